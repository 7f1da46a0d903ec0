//! Snapshots into a new bundle.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::BundleOptions;
use crate::crypto::Suite;
use crate::error::{Error, Result};
use crate::manager::copy::{Copied, CopyOptions, CopyOutcome, Ids, copy_as};
use crate::model::Encryption;
use crate::repository::{InitOptions, OpenOptions, Repository, Snapshot, Unlock};
use crate::runtime::{Phase, Runtime};
use crate::storage::SharedStorage;
use crate::storage::bundle::{BundleWriter, Existing};

/// What a new bundle holds.
#[derive(Debug)]
pub struct BundleReport {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub len: u64,
    /// How it is sealed.
    pub encryption: Encryption,
    /// About each snapshot, the oldest first.
    pub snapshots: Vec<Copied>,
}

impl BundleReport {
    /// How many snapshots are in it.
    pub fn copied(&self) -> u64 {
        self.snapshots.iter().filter(|one| is_in(&one.outcome)).count() as u64
    }

    /// How many of those that were asked for are not in it.
    pub fn failed(&self) -> u64 {
        self.snapshots.len() as u64 - self.copied()
    }
}

fn is_in(outcome: &CopyOutcome) -> bool {
    matches!(outcome, CopyOutcome::Copied(_))
}

/// Makes the bundle `path` of `snapshots`, which every one of `unlocks` opens. The index of `from`
/// is loaded.
///
/// Without `unlocks`, a bundle of a repository that is not encrypted is not encrypted either; one
/// of an encrypted repository is refused. [`Unlock::Nothing`] asks for an open one in any case.
///
/// Snapshots that are damaged or in doubt are left out, and told in the report. The file gets its
/// name when it is whole: an error leaves nothing.
///
/// # Errors
/// [`Error::Usage`] if there is nothing to export, nothing to seal it with, a file of that name or
/// a place in the repository; [`Error::Damaged`] if no snapshot can be read as a whole;
/// [`Error::Local`], [`Error::Cancelled`], and the storage's.
pub fn export_bundle(
    from: &Repository,
    snapshots: &[&Snapshot],
    path: &Path,
    unlocks: &[Unlock],
    options: &BundleOptions,
    runtime: &Runtime,
) -> Result<BundleReport> {
    if snapshots.is_empty() {
        return Err(Error::usage_hint("there is no snapshot to export", "name some, or `latest`"));
    }
    let suite = suite(from, unlocks)?;
    check_place(from, path, options)?;
    make_folder(path)?;
    let writer = Arc::new(BundleWriter::create(path, runtime)?);
    let to = make(from, &writer, unlocks, suite, options, runtime)?;
    let copying = CopyOptions {
        compression: options.compression,
        readers: None,
        dry_run: false,
        author: options.author.clone(),
    };
    let mut snapshots = copy_as(Ids::Kept, from, &to, snapshots, &copying, runtime)?.snapshots;
    if !snapshots.iter().any(|one| is_in(&one.outcome)) {
        return Err(nothing_copied(snapshots.swap_remove(0)));
    }
    drop(to);
    runtime.cancel.check()?;
    runtime.progress.phase(Phase::Finishing);
    let existing = if options.replace { Existing::Replace } else { Existing::Keep };
    let len = writer.finish(existing)?;
    let encryption = match suite {
        Suite::None => Encryption::None,
        Suite::Aes256 => Encryption::Aes256,
    };
    Ok(BundleReport { path: path.into(), len, encryption, snapshots })
}

/// Makes the folder of the bundle if it is missing.
fn make_folder(path: &Path) -> Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| Error::local("create", folder, error))
}

/// How the bundle is sealed: never less than its source, unless somebody says so.
fn suite(from: &Repository, unlocks: &[Unlock]) -> Result<Suite> {
    match (unlocks, from.suite()) {
        ([], Suite::Aes256) => Err(Error::usage_hint(
            "the repository is encrypted, and nothing says what shall open the bundle",
            "give it a password or key file of its own, like `--to-password-file`",
        )),
        ([] | [Unlock::Nothing], _) => Ok(Suite::None),
        _ => Ok(Suite::Aes256),
    }
}

fn check_place(from: &Repository, path: &Path, options: &BundleOptions) -> Result<()> {
    if from.contains_path(path) {
        return Err(Error::usage_hint(
            format!("`{}` is in the repository itself", path.display()),
            "export to another folder",
        ));
    }
    let there = path.symlink_metadata();
    if there.as_ref().is_ok_and(|there| there.is_dir()) {
        return Err(Error::usage_hint(
            format!("`{}` is a folder", path.display()),
            "name the file that the bundle shall be",
        ));
    }
    if there.is_ok() && !options.replace {
        return Err(Error::usage_hint(
            format!("there is a file `{}` already", path.display()),
            "choose another name, or let it be replaced with `--force`",
        ));
    }
    Ok(())
}

/// The repository in the bundle. Where both are sealed in the same way it is like the source:
/// chunks need not be cut anew on the way out, nor on the way back.
fn make(
    from: &Repository,
    writer: &Arc<BundleWriter>,
    unlocks: &[Unlock],
    suite: Suite,
    options: &BundleOptions,
    runtime: &Runtime,
) -> Result<Repository> {
    let init = InitOptions {
        suite,
        kdf: options.kdf,
        pack_target: from.config().pack_target,
        like: (suite == from.suite()).then(|| from.likeness()),
        ..InitOptions::default()
    };
    let unlocks = if unlocks.is_empty() { &[Unlock::Nothing] } else { unlocks };
    let storage: SharedStorage = Arc::<BundleWriter>::clone(writer);
    let to = Repository::init(storage, unlocks, &init, &OpenOptions::default(), runtime)?;
    to.load_index()?;
    Ok(to)
}

fn nothing_copied(first: Copied) -> Error {
    match first.outcome {
        CopyOutcome::Damaged(error) => error,
        _ => {
            let id = first.original.id.short();
            let what = "it is in quarantine or suspect: `larder check` tells more";
            Error::damaged(format!("snapshot {id}"), what)
        }
    }
}
