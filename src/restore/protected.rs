//! What is never deleted, whatever was asked for: the repository, and what the patterns of the
//! backup left out. The snapshot lacks both, and says nothing about them by that.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::ledger::Ledger;
use super::options::RestoreOptions;
use super::selection::name;
use crate::error::{Error, Result};
use crate::fsmeta::{self, OpenDir, Stat};
use crate::repository::{Repository, Snapshot};
use crate::source::{Excludes, FileId, WalkOptions, is_staging_name};
use crate::storage::Location;

pub(super) struct Protected {
    /// The folder of the repository, if it is one of this machine.
    repository: Option<FileId>,
    /// What was left out when the snapshot was made. It does not tell for which patterns upper and
    /// lower case are equal, so what fits either way counts.
    left_out: [Excludes; 2],
    /// It is not known what to protect.
    everything: bool,
}

impl Protected {
    /// Finds out what to protect. If that cannot be done, and something may be deleted, everything
    /// is, with a warning.
    pub(super) fn new(
        repository: &Repository,
        snapshot: &Snapshot,
        options: &RestoreOptions,
        ledger: &Ledger,
    ) -> Self {
        let unknown = |error: Error| {
            let text = format!("nothing is deleted: it is not known what has to stay: {error}");
            ledger.warn(b"", text);
        };
        let mut found = Self { repository: None, left_out: Default::default(), everything: false };
        match folder_of(repository) {
            Ok(folder) => found.repository = folder,
            Err(error) if options.delete => {
                unknown(error);
                return Self { everything: true, ..found };
            }
            Err(_) => {}
        }
        if options.delete {
            match left_out(&snapshot.body.excludes) {
                Ok(rules) => found.left_out = rules,
                Err(error) => {
                    unknown(error);
                    found.everything = true;
                }
            }
        }
        found
    }

    /// Whether the entry with this path in the snapshot, and what is in it, stays: also what an
    /// in-place restore works with.
    pub(super) fn covers(&self, path: &[u8], stat: &Stat) -> bool {
        self.everything
            || self.repository == Some(id(stat))
            || (stat.is_dir() && is_staging_name(name(path)))
            || self.left_out.iter().any(|rules| rules.exclude(path, name(path), stat.is_dir()))
    }

    /// Whether a folder is that of the repository: nothing is restored into it.
    pub(super) fn is_repository(&self, stat: &Stat) -> bool {
        self.repository == Some(id(stat))
    }

    /// Whether an open folder is the repository or lies in it: a snapshot may have a folder where
    /// the repository, or a copy of it, is now.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn is_in_repository(&self, dir: impl AsFd) -> io::Result<bool> {
        match self.repository {
            Some(repository) => is_in(repository, dir),
            None => Ok(false),
        }
    }
}

/// Refuses a target in the folder of the repository. `open` is the target, or the first folder
/// above it that is there.
///
/// # Errors
/// [`Error::Usage`], and [`Error::Local`] if the target cannot be looked at.
pub(super) fn refuse_within(
    repository: &Repository,
    target: &Path,
    open: io::Result<OwnedFd>,
) -> Result<()> {
    // A repository that cannot be found in the file system has no folder there to be in.
    let Ok(Some(folder)) = folder_of(repository) else { return Ok(()) };
    let failed = |error| Error::local("look at", target, error);
    let open = open.map_err(failed)?;
    let meta = fsmeta::stat_fd(&open).map_err(failed)?;
    // That a target is no folder is said elsewhere.
    if meta.is_dir() && is_in(folder, &open).map_err(failed)? {
        return Err(Error::usage_hint(
            format!("the target `{}` lies in the repository", target.display()),
            "restore to a folder outside of it: what is in it must only be changed by larder",
        ));
    }
    Ok(())
}

/// The folder of the repository, if it is one of this machine.
fn folder_of(repository: &Repository) -> Result<Option<FileId>> {
    let location = Location::parse(repository.location())?;
    // A path that is not UTF-8 leads nowhere as text: not to know it must not pass for not to
    // have it.
    let Some(path) = location.as_path() else { return Ok(None) };
    let found = std::fs::metadata(path)
        .map_err(|error| Error::local("find the repository at", path, error))?;
    Ok(Some(FileId { dev: found.dev(), inode: found.ino() }))
}

/// Rules for what the patterns of a backup left out.
fn left_out(patterns: &[String]) -> Result<[Excludes; 2]> {
    if let Some(filter) = patterns.iter().find(|pattern| pattern.starts_with('#')) {
        let text = filter.trim_start_matches(['#', ' ']);
        return Err(Error::usage(format!("the backup left out {text}")));
    }
    let exact = WalkOptions { exclude: patterns.to_vec(), ..WalkOptions::default() };
    let folded = WalkOptions { iexclude: patterns.to_vec(), ..WalkOptions::default() };
    Ok([Excludes::new(&exact)?, Excludes::new(&folded)?])
}

/// Whether an open folder is this one or lies in it.
fn is_in(folder: FileId, dir: impl AsFd) -> io::Result<bool> {
    let mut open = fsmeta::open_dir_at(dir, b".", OpenDir::Path)?;
    let mut at = id(&fsmeta::stat_fd(&open)?);
    loop {
        if at == folder {
            return Ok(true);
        }
        open = fsmeta::open_dir_at(&open, b"..", OpenDir::Path)?;
        // Only the root is above itself.
        let above = id(&fsmeta::stat_fd(&open)?);
        if above == at {
            return Ok(false);
        }
        at = above;
    }
}

fn id(stat: &Stat) -> FileId {
    FileId { dev: stat.dev, inode: stat.inode }
}
