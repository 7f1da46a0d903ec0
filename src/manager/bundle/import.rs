//! Snapshots out of a bundle.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::BundleOptions;
use crate::error::{Error, Result};
use crate::manager::check_history;
use crate::manager::copy::{Copied, CopyOptions, CopyOutcome, copy};
use crate::model::BackupId;
use crate::repository::{OpenOptions, Repository, Snapshot, SnapshotList, Unlock};
use crate::runtime::Runtime;
use crate::storage::bundle::{BundleStorage, Trust};
use crate::storage::{Location, SharedStorage};

/// What an import did.
#[derive(Debug)]
pub struct ImportedBundle {
    /// About each snapshot that was asked for, the oldest first.
    pub snapshots: Vec<Copied>,
    /// What of the bundle itself could not be used: there may have been more in it.
    pub damage: Vec<String>,
    /// Bytes that were added to the repository, as stored.
    pub stored_bytes: u64,
}

impl ImportedBundle {
    /// The snapshots as they are in the repository now: imported, or there before. Oldest first.
    pub fn ids(&self) -> impl Iterator<Item = BackupId> + '_ {
        self.snapshots.iter().filter_map(|one| match &one.outcome {
            CopyOutcome::Copied(copy) => Some(copy.id),
            CopyOutcome::AlreadyThere(id) => Some(*id),
            _ => None,
        })
    }

    /// How many things are not in the repository that should be: damaged snapshots, and damage
    /// that may have cost others.
    pub fn failed(&self) -> u64 {
        let is_left =
            |one: &&Copied| matches!(one.outcome, CopyOutcome::Damaged(_) | CopyOutcome::InDoubt);
        (self.snapshots.iter().filter(is_left).count() + self.damage.len()) as u64
    }
}

/// A bundle that is open for reading, and what is in it.
pub struct OpenBundle {
    /// The repository in it, with its index.
    pub repository: Repository,
    /// Its snapshots.
    pub list: SnapshotList,
    /// What of it cannot be used: there may have been more in it.
    pub damage: Vec<String>,
    path: PathBuf,
}

impl OpenBundle {
    /// Opens the bundle `path` with whichever of `unlocks` fits; none for one that is not
    /// encrypted. Writes nothing, and this machine remembers nothing of it.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is no bundle, [`Error::WrongKey`], [`Error::KeyNeeded`],
    /// [`Error::Damaged`] if what is left of it has no keys, [`Error::Local`].
    pub fn open(path: &Path, unlocks: &[Unlock], runtime: &Runtime) -> Result<Self> {
        let location = Location::from_path(path)?;
        let shown = location.to_string();
        let found = BundleStorage::open(path, shown.clone(), Trust::Told)?;
        let storage: SharedStorage = Arc::new(found.ok_or_else(|| {
            Error::usage_hint(
                format!("`{shown}` is no bundle"),
                "give a file that `larder export --format larder` made",
            )
        })?);
        let repository = open_with(&storage, unlocks, runtime).map_err(|error| match error {
            // A file that lost its beginning.
            Error::RepositoryMissing { .. } => {
                Error::damaged(&shown, "what is left of the bundle holds no repository")
            }
            error => error,
        })?;
        let mut damage: Vec<String> = storage.warning().map(str::to_owned).into_iter().collect();
        damage.extend(repository.load_index()?.iter().map(reasons));
        let list = repository.snapshots()?;
        damage.extend(list.bad.iter().map(reasons));
        damage.extend(list.rollback.iter().map(ToString::to_string));
        Ok(Self { repository, list, damage, path: path.into() })
    }

    /// The newest of its snapshots.
    pub fn newest(&self) -> Option<&Snapshot> {
        self.list.snapshots.last()
    }

    /// Copies `snapshots` of it into `into`, whose index is loaded. What is there already is not
    /// copied again, by whatever way it came: the report says so, and under which id.
    ///
    /// # Errors
    /// [`Error::Usage`] if the bundle lies in the folder of `into`; [`Error::History`] if records of
    /// `into` are hidden or unreadable and that was not accepted; [`Error::Cancelled`], and the
    /// storage's.
    pub fn import(
        &self,
        into: &Repository,
        snapshots: &[&Snapshot],
        options: &BundleOptions,
        runtime: &Runtime,
    ) -> Result<ImportedBundle> {
        check_place(into, &self.path)?;
        // One of them may say that a snapshot was forgotten.
        check_history(&into.snapshots()?, options.accept_history)?;
        let copying = CopyOptions {
            compression: options.compression,
            readers: None,
            dry_run: options.dry_run,
            author: options.author.clone(),
        };
        let report = copy(&self.repository, into, snapshots, &copying, runtime)?;
        Ok(ImportedBundle {
            snapshots: report.snapshots,
            damage: self.damage.clone(),
            stored_bytes: report.added.stored_bytes,
        })
    }
}

/// Copies the snapshots `which` of the bundle `path`, or all of them, into `into`. Its index is
/// loaded.
///
/// # Errors
/// Those of [`OpenBundle::open`] and [`OpenBundle::import`], and [`Error::NotFound`] for a
/// snapshot that is not in the bundle.
pub fn import_bundle(
    into: &Repository,
    path: &Path,
    unlocks: &[Unlock],
    which: Option<&[BackupId]>,
    options: &BundleOptions,
    runtime: &Runtime,
) -> Result<ImportedBundle> {
    check_place(into, path)?;
    let bundle = OpenBundle::open(path, unlocks, runtime)?;
    let all = &bundle.list.snapshots;
    let chosen: Vec<&Snapshot> = match which {
        None => all.iter().collect(),
        Some(ids) => {
            let find = |id: &BackupId| all.iter().find(|snapshot| snapshot.id == *id);
            let missing =
                |id: &BackupId| Error::NotFound { what: "snapshot", name: id.to_string() };
            let found = ids.iter().map(|id| find(id).ok_or_else(|| missing(id)));
            found.collect::<Result<_>>()?
        }
    };
    bundle.import(into, &chosen, options, runtime)
}

/// An error with its reasons, on one line.
fn reasons(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(reason) = source {
        text.push_str(&format!(": {reason}"));
        source = reason.source();
    }
    text
}

/// With the first secret that fits.
fn open_with(storage: &SharedStorage, unlocks: &[Unlock], runtime: &Runtime) -> Result<Repository> {
    let open =
        |unlock| Repository::open(Arc::clone(storage), unlock, &OpenOptions::default(), runtime);
    let mut wrong = None;
    for unlock in unlocks {
        match open(unlock) {
            Err(error @ Error::WrongKey { .. }) => wrong = Some(error),
            result => return result,
        }
    }
    wrong.map_or_else(|| open(&Unlock::Nothing), Err)
}

/// A bundle in the folder of a repository is in the way of its objects, and of whoever mirrors it.
fn check_place(into: &Repository, path: &Path) -> Result<()> {
    if into.contains_path(path) {
        return Err(Error::usage_hint(
            format!("`{}` is in the repository itself", path.display()),
            "move it out of there first",
        ));
    }
    Ok(())
}
