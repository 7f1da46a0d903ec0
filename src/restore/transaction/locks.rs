//! Keeps two in-place restores out of one tree.
//!
//! Each holds what it restores for itself, and the folders that lead there together with others:
//! so one of `/srv` and one of `/srv/web` exclude each other, one of `/srv` and one of `/home` do
//! not. The system lets go of everything when the process ends.

use std::io;
use std::os::fd::OwnedFd;

use super::unfinished::busy;
use crate::error::{Error, Result};
use crate::fsmeta::{self, OpenDir};
use crate::restore::target::Target;

/// The folders that are held.
#[derive(Default)]
pub(super) struct Locks(Vec<OwnedFd>);

impl Drop for Locks {
    fn drop(&mut self) {
        self.0.iter().for_each(fsmeta::unlock);
    }
}

impl Locks {
    /// Takes hold of the paths, or of what is there of the way to them.
    ///
    /// # Errors
    /// [`Error::Busy`] if somebody else holds one.
    pub(super) fn take(tree: &Target, paths: &[Vec<u8>]) -> Result<Self> {
        let mut shared: Vec<&[u8]> = Vec::new();
        let mut own: Vec<&[u8]> = Vec::new();
        for path in paths {
            let ends = (0..path.len()).filter(|at| path[*at] == b'/');
            let mut way: Vec<&[u8]> = vec![b""];
            way.extend(ends.map(|end| &path[..end]));
            if !path.is_empty() {
                way.push(path);
            }
            // A file is held by the folder that it is in.
            while way.len() > 1
                && way.last().is_some_and(|last| tree.open_dir(last, OpenDir::Path).is_err())
            {
                way.pop();
            }
            own.extend(way.pop());
            shared.extend(way);
        }
        own.sort_unstable();
        own.dedup();
        shared.sort_unstable();
        shared.dedup();
        shared.retain(|path| own.binary_search(path).is_err());
        let mut locks = Self::default();
        for (path, is_shared) in
            shared.iter().map(|path| (path, true)).chain(own.iter().map(|path| (path, false)))
        {
            locks.take_one(tree, path, is_shared)?;
        }
        Ok(locks)
    }

    fn take_one(&mut self, tree: &Target, path: &[u8], is_shared: bool) -> Result<()> {
        let dir = match tree.open_dir(path, OpenDir::Read) {
            // A folder that may not be read cannot be held.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            dir => dir.map_err(|error| Error::local("open", tree.join(path), error))?,
        };
        match fsmeta::try_lock(&dir, is_shared) {
            Ok(true) => self.0.push(dir),
            Ok(false) => return Err(busy(&tree.join(path))),
            // A file system without locks.
            Err(_) => {}
        }
        Ok(())
    }
}
