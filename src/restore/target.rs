//! The target folder and the folders in it, reached without following symbolic links.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::fsmeta::{self, OpenDir};

/// The folder that everything goes into.
pub(super) struct Target {
    path: PathBuf,
    /// `None` in a dry run whose target is not there.
    fd: Option<OwnedFd>,
    /// Nothing was in it when the restore began.
    pub(super) was_empty: bool,
    is_plain: bool,
}

/// A folder in the target.
#[derive(Debug)]
pub(super) struct Dir {
    /// Relative to the target; empty for the target itself.
    pub(super) path: Box<[u8]>,
    /// Tells folders apart in caches.
    pub(super) id: u64,
    /// This restore made it, so whatever is in it was made by this restore.
    pub(super) is_fresh: bool,
    /// What is made in it has neither attributes nor flags to begin with.
    pub(super) is_plain: bool,
    /// `false` in a dry run that would have made it.
    pub(super) exists: bool,
    /// It, or a folder that it is in, has another name than in the snapshot.
    pub(super) is_beside: bool,
}

impl Target {
    /// Opens the target, and makes it if it is missing (not in a dry run).
    ///
    /// # Errors
    /// [`Error::Local`]; [`Error::Usage`] if it is something else than a folder.
    pub(super) fn open(path: &Path, dry_run: bool) -> Result<Self> {
        let target = Self { path: path.to_path_buf(), fd: None, was_empty: true, is_plain: true };
        match fs::metadata(path) {
            Ok(found) if !found.is_dir() => {
                return Err(Error::usage_hint(
                    format!("the target `{}` is no folder", path.display()),
                    "give a folder; it is made if it is missing",
                ));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && dry_run => return Ok(target),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path).map_err(|error| Error::local("create", path, error))?;
            }
            Err(error) => return Err(Error::local("open", path, error)),
        }
        let dir = File::open(path).map_err(|error| Error::local("open", path, error))?;
        target.describe(dir)
    }

    /// An open folder as the target; `path` is its name for people.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub(super) fn of(path: &Path, dir: File) -> Result<Self> {
        Self { path: path.to_path_buf(), fd: None, was_empty: true, is_plain: true }.describe(dir)
    }

    fn describe(self, dir: File) -> Result<Self> {
        let mut target = self;
        let path = target.path.clone();
        let read = |error| Error::local("read", &path, error);
        fsmeta::read_dir_names(&dir, &mut Vec::new(), |_, _| target.was_empty = false)
            .map_err(read)?;
        let inherited = |name: &[u8]| name == b"system.posix_acl_default";
        let xattrs = fsmeta::read_xattrs_fd(&dir).map_err(read)?;
        target.is_plain = !xattrs.list.iter().any(|xattr| inherited(&xattr.name))
            && xattrs.unreadable.is_empty()
            && fsmeta::read_flags(&dir).unwrap_or(u32::MAX) == 0;
        target.fd = Some(dir.into());
        Ok(target)
    }

    /// One that is never made.
    pub(super) fn nowhere() -> Self {
        Self { path: PathBuf::new(), fd: None, was_empty: true, is_plain: true }
    }

    /// The target itself as a folder.
    pub(super) fn root(&self) -> Dir {
        let exists = self.fd.is_some();
        let (is_fresh, is_plain) = (self.was_empty, self.is_plain);
        Dir { path: Box::default(), id: 0, is_fresh, is_plain, exists, is_beside: false }
    }

    /// The target itself.
    ///
    /// # Errors
    /// `NotFound` in a dry run whose target is not there.
    pub(super) fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.fd.as_ref().ok_or(io::ErrorKind::NotFound)?.as_fd())
    }

    /// Opens a folder in it.
    ///
    /// # Errors
    /// What the system says: a symbolic link on the way is an error.
    pub(super) fn open_dir(&self, path: &[u8], purpose: OpenDir) -> io::Result<OwnedFd> {
        fsmeta::open_dir_beneath(self.fd()?, path, purpose)
    }

    /// The path of the target without symbolic links.
    ///
    /// # Errors
    /// [`Error::Local`] if it is gone.
    pub(super) fn absolute(&self) -> Result<PathBuf> {
        fs::canonicalize(&self.path).map_err(|error| Error::local("open", &self.path, error))
    }

    /// A path of the target for people.
    pub(super) fn join(&self, path: &[u8]) -> PathBuf {
        self.path.join(std::ffi::OsStr::from_bytes(path))
    }
}

impl Dir {
    /// A folder in the target. `id` is its own alone.
    pub(super) fn new(path: &[u8], id: u64) -> Self {
        Self {
            path: path.into(),
            id,
            is_fresh: false,
            is_plain: false,
            exists: true,
            is_beside: false,
        }
    }

    /// The path of an entry in it.
    pub(super) fn join(&self, name: &[u8]) -> Vec<u8> {
        if self.path.is_empty() { name.to_vec() } else { [&self.path[..], b"/", name].concat() }
    }
}

/// The folder part and the name of a path.
pub(super) fn split_path(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// Open folders of one thread. Folders come in order, so few misses are left.
pub(super) struct DirCache {
    slots: Vec<Option<(u64, OwnedFd)>>,
}

/// Open folders a thread keeps: all threads together stay far below what a process may have open.
const DIRS_OPEN: usize = 32;

impl DirCache {
    pub(super) fn new() -> Self {
        Self { slots: (0..DIRS_OPEN).map(|_| None).collect() }
    }

    /// Opens a folder, to reach what is in it.
    ///
    /// # Errors
    /// As [`Target::open_dir`].
    pub(super) fn get(&mut self, target: &Target, dir: &Dir) -> io::Result<BorrowedFd<'_>> {
        let slot = &mut self.slots[dir.id as usize % DIRS_OPEN];
        if slot.as_ref().is_none_or(|(id, _)| *id != dir.id) {
            *slot = Some((dir.id, target.open_dir(&dir.path, OpenDir::Path)?));
        }
        let (_, fd) = slot.as_ref().ok_or(io::ErrorKind::NotFound)?;
        Ok(fd.as_fd())
    }

    /// Opens a folder that is in another: the way from the target may be long.
    pub(super) fn enter(&mut self, target: &Target, parent: &Dir, dir: &Dir) {
        let (_, name) = split_path(&dir.path);
        let opened = self
            .get(target, parent)
            .and_then(|parent| fsmeta::open_dir_at(parent, name, OpenDir::Path));
        // What went wrong shows when the folder is needed.
        if let Ok(fd) = opened {
            self.slots[dir.id as usize % DIRS_OPEN] = Some((dir.id, fd));
        }
    }
}
