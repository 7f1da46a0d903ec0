//! What a walk gives.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::fsmeta::{self, FileKind, OpenDir, Stat, Xattrs};

use super::dir::DirHandle;

/// One step of a walk.
#[derive(Debug)]
pub enum Item {
    /// The next entry, in the order of [`compare_paths`](crate::model::entry::compare_paths).
    Entry(WalkEntry),
    /// Something that could not be looked at; the walk goes on.
    Failed(Failure),
}

/// A live file, directory or other entry: what the system said about it when it was met, and the
/// way to the rest.
#[derive(Clone)]
pub struct WalkEntry {
    /// Path from the root without a `/` in front, raw bytes; the root itself has the empty path.
    pub path: Vec<u8>,
    /// What the system said about it.
    pub stat: Stat,
    /// The directory it is in; for the root, the root.
    pub dir: Arc<DirHandle>,
    /// Where the name begins in `path`.
    pub(super) name_start: usize,
    /// Whether a source named it through a symbolic link, which is then followed.
    pub(super) follow: bool,
}

impl WalkEntry {
    /// The last component of the path; empty for the root.
    pub fn name(&self) -> &[u8] {
        &self.path[self.name_start..]
    }

    fn name_at(&self) -> &[u8] {
        if self.path.is_empty() { b"." } else { self.name() }
    }

    /// Opens the regular file for reading. It may have changed since it was met, and even have
    /// become another: compare [`fsmeta::stat_fd`] of the opened file with `stat`.
    ///
    /// # Errors
    /// What the system says; `NotFound` if it vanished.
    pub fn open(&self) -> io::Result<File> {
        fsmeta::open_file_at(self.dir.fd()?, self.name_at())
    }

    /// Reads where the symbolic link points to.
    ///
    /// # Errors
    /// What the system says.
    pub fn read_link(&self) -> io::Result<Vec<u8>> {
        fsmeta::read_link_at(self.dir.fd()?, self.name_at())
    }

    /// Reads its extended attributes. For a file that is open anyway
    /// [`fsmeta::read_xattrs_fd`] is quicker.
    ///
    /// # Errors
    /// What the system says.
    pub fn xattrs(&self) -> io::Result<Xattrs> {
        if self.stat.is_dir()
            && let Ok(dir) = self.open_dir()
        {
            return fsmeta::read_xattrs_fd(dir);
        }
        fsmeta::read_xattrs_at(self.dir.fd()?, self.name_at())
    }

    /// Reads its inode flags; none for what is neither a regular file nor a directory.
    ///
    /// # Errors
    /// What the system says.
    pub fn flags(&self) -> io::Result<u32> {
        match self.stat.kind {
            FileKind::File => fsmeta::read_flags(self.open()?),
            FileKind::Dir => fsmeta::read_flags(self.open_dir()?),
            _ => Ok(0),
        }
    }

    /// Reads what the system says about it now.
    ///
    /// # Errors
    /// What the system says; `NotFound` if it vanished.
    pub fn stat_again(&self) -> io::Result<Stat> {
        let dir = self.dir.fd()?;
        if self.follow {
            fsmeta::stat_follow_at(dir, self.name_at())
        } else {
            fsmeta::stat_at(dir, self.name_at())
        }
    }

    fn open_dir(&self) -> io::Result<std::os::fd::OwnedFd> {
        let dir = self.dir.fd()?;
        if self.follow {
            let path = fsmeta::open_dir_path_at(dir, self.name_at())?;
            return fsmeta::open_dir_at(path, b".", OpenDir::Read);
        }
        fsmeta::open_dir_at(dir, self.name_at(), OpenDir::Read)
    }
}

impl fmt::Debug for WalkEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WalkEntry")
            .field("path", &crate::model::escape_bytes(&self.path))
            .field("stat", &self.stat)
            .finish_non_exhaustive()
    }
}

/// Something that a walk could not look at.
#[derive(Debug)]
pub struct Failure {
    /// Path from the root without a `/` in front, raw bytes.
    pub path: Vec<u8>,
    /// What that means for the result.
    pub kind: FailureKind,
    /// What the system said.
    pub error: io::Error,
}

/// What a [`Failure`] means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// A source that does not exist.
    SourceMissing,
    /// An entry that was there when its directory was read and gone a moment later. This happens
    /// in every live tree, so it is worth a remark, not an alarm.
    Vanished,
    /// An entry that could not be looked at: it is missing from the walk.
    Entry,
    /// A directory (which was given as an entry) whose content could not be read, or not wholly.
    Content,
    /// A rules file in the tree (`.gitignore`, a cache tag) that could not be read or understood:
    /// nothing was left out because of it.
    Rules,
    /// A folder that an in-place restore works with, or left behind when it was killed: what is
    /// around it may be of either state, or set aside in that folder and missing from the walk.
    Staging,
    /// The same, of a user who has no say over the folder that it is in.
    ForeignStaging,
}
