//! What is never deleted, whatever was asked for: the repository, and what the patterns of the
//! backup left out. The snapshot lacks both, and says nothing about them by that.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use super::ledger::Ledger;
use super::options::RestoreOptions;
use super::selection::name;
use crate::error::{Error, Result};
use crate::fsmeta::{self, OpenDir, Stat};
use crate::repository::{Repository, Snapshot};
use crate::source::{Excludes, FileId, WalkOptions};
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
    /// Finds out what to protect. If that cannot be done everything is, with a warning.
    pub(super) fn new(
        repository: &Repository,
        snapshot: &Snapshot,
        options: &RestoreOptions,
        ledger: &Ledger,
    ) -> Self {
        let nothing = Self { repository: None, left_out: Default::default(), everything: false };
        if !options.delete {
            return nothing;
        }
        Self::find(repository, &snapshot.body.excludes).unwrap_or_else(|error| {
            let text = format!("nothing is deleted: it is not known what has to stay: {error}");
            ledger.warn(b"", text);
            Self { everything: true, ..nothing }
        })
    }

    fn find(repository: &Repository, patterns: &[String]) -> Result<Self> {
        let location = Location::parse(repository.location())?;
        let repository = match location.as_path() {
            // A path that is not UTF-8 leads nowhere as text: not to know it must not pass for
            // not to have it.
            Some(path) => {
                let found = std::fs::metadata(path)
                    .map_err(|error| Error::local("find the repository at", path, error))?;
                Some(FileId { dev: found.dev(), inode: found.ino() })
            }
            None => None,
        };
        if let Some(filter) = patterns.iter().find(|pattern| pattern.starts_with('#')) {
            let text = filter.trim_start_matches(['#', ' ']);
            return Err(Error::usage(format!("the backup left out {text}")));
        }
        let exact = WalkOptions { exclude: patterns.to_vec(), ..WalkOptions::default() };
        let folded = WalkOptions { iexclude: patterns.to_vec(), ..WalkOptions::default() };
        let left_out = [Excludes::new(&exact)?, Excludes::new(&folded)?];
        Ok(Self { repository, left_out, everything: false })
    }

    /// Whether the entry with this path in the snapshot, and what is in it, stays.
    pub(super) fn covers(&self, path: &[u8], stat: &Stat) -> bool {
        self.everything
            || self.repository == Some(id(stat))
            || self.left_out.iter().any(|rules| rules.exclude(path, name(path), stat.is_dir()))
    }

    /// Whether an open folder is the repository or lies in it: a snapshot may have a folder where
    /// the repository, or a copy of it, is now.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn is_in_repository(&self, dir: impl AsFd) -> io::Result<bool> {
        let Some(repository) = self.repository else { return Ok(false) };
        let mut open = fsmeta::open_dir_at(dir, b".", OpenDir::Path)?;
        let mut at = id(&fsmeta::stat_fd(&open)?);
        loop {
            if at == repository {
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
}

fn id(stat: &Stat) -> FileId {
    FileId { dev: stat.dev, inode: stat.inode }
}
