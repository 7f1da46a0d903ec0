//! How an object gets onto a local disk so that it stays there.
//!
//! 1. folders that are missing are made;
//! 2. the bytes go into a new file in `tmp/` of the same repository, which is then synced;
//! 3. the parents of folders this process uses for the first time are synced. After the file, not
//!    before it: most file systems have by then written those entries with the file's;
//! 4. the file is renamed to its final name, exclusively if it must be created once;
//! 5. the folder that got the new name is synced.
//!
//! A crash before 4 leaves a file in `tmp/`, after it a whole object. A sync that fails is never
//! repeated: the system may drop the unwritten pages and report success the second time. The
//! object fails, and whoever tries again writes a new file.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, fstat, linkat, mkdirat, openat, renameat,
    renameat_with, statat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr, writev};

use super::super::PutMode;
use super::super::name::{TMP_FOLDER, split_folder};
use super::super::throttle::{Direction, Transfer};
use super::{LocalStorage, milliseconds, open_subfolder};

/// Only the owner reads and writes objects: names and times would tell others something too.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const FOLDER_MODE: Mode = Mode::RWXU;

/// Slices given to one `writev`; systems refuse more than 1024.
const SLICES_MAX: usize = 512;

/// Stores an object durably.
pub(super) fn put(
    storage: &LocalStorage,
    name: &str,
    parts: &[&[u8]],
    mode: PutMode,
) -> io::Result<()> {
    let (folder, last) = split_folder(name);
    let folder = Folder::make(storage, folder)?;
    let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
    match statat(folder.fd(), last, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) if mode == PutMode::CreateOnce => return Err(exists()),
        Ok(stat)
            if mode == PutMode::Content
                && FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                && u64::try_from(stat.st_size) == Ok(len) =>
        {
            // Whoever wrote it may not have come to its syncs yet, and our caller relies on them.
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let file = openat(folder.fd(), last, flags, Mode::empty())?;
            File::from(file).sync_all()?;
            folder.sync_parents(storage)?;
            return sync_folder(folder.fd());
        }
        Ok(_) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let mut temp = Temp::create(storage)?;
    match &storage.pace {
        None => temp.write(parts)?,
        Some(pace) => temp.write_paced(parts, &pace.begin(Direction::Upload, len))?,
    }
    temp.file.sync_all()?;
    folder.sync_parents(storage)?;
    match mode {
        PutMode::Content | PutMode::Replace => {
            renameat(&temp.folder, &temp.name, folder.fd(), last)?;
            temp.moved = true;
        }
        PutMode::CreateOnce => temp.publish_once(folder.fd(), last)?,
    }
    sync_folder(folder.fd())
}

/// The open folder an object goes to, with its parents.
struct Folder {
    /// From the root to the last one. Opened for this write alone: the system reports a failure
    /// to write an entry once to each opened folder, so it must not be shared.
    chain: Vec<OwnedFd>,
    /// Folders whose entry may not be on disk: path, and the parent in `chain` that holds it.
    unsynced: Vec<(String, usize)>,
}

impl Folder {
    /// Opens `path`, making what is missing, following no link.
    fn make(storage: &LocalStorage, path: &str) -> io::Result<Self> {
        let root = storage.open_folder("")?;
        let mut folder = Self { chain: vec![root], unsynced: Vec::new() };
        if path.is_empty() {
            return Ok(folder);
        }
        let mut start = 0;
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            let (opened, is_new) = make_subfolder(folder.fd(), &path[start..end])?;
            if is_new || !storage.durable_folders.lock().contains(&path[..end]) {
                folder.unsynced.push((path[..end].into(), folder.chain.len() - 1));
            }
            folder.chain.push(opened);
            start = end + 1;
        }
        Ok(folder)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.chain[self.chain.len() - 1].as_fd()
    }

    /// Makes sure that this folder and its parents survive a crash, once per process: even a
    /// folder that was there may have been made a moment ago by somebody who has not synced yet.
    fn sync_parents(&self, storage: &LocalStorage) -> io::Result<()> {
        for (path, parent) in &self.unsynced {
            sync_folder(self.chain[*parent].as_fd())?;
            storage.durable_folders.lock().insert(path.clone());
        }
        Ok(())
    }
}

/// Opens a folder, made if it is missing, and says whether it was.
fn make_subfolder(parent: BorrowedFd<'_>, name: &str) -> io::Result<(OwnedFd, bool)> {
    match open_subfolder(parent, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match mkdirat(parent, name, FOLDER_MODE) {
                Ok(()) | Err(Errno::EXIST) => Ok((open_subfolder(parent, name)?, true)),
                Err(error) => Err(error.into()),
            }
        }
        opened => Ok((opened?, false)),
    }
}

/// Syncs the entries of a folder. Some network file systems cannot and say so: their server
/// decides, and nothing can be done from here.
pub(super) fn sync_folder(folder: BorrowedFd<'_>) -> io::Result<()> {
    // Through std, which knows what a system needs to reach the disk itself.
    match File::from(folder.try_clone_to_owned()?).sync_all() {
        Err(error)
            if matches!(
                Errno::from_io_error(&error),
                Some(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS)
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// A file in `tmp/`, removed when dropped before it got its final name.
struct Temp {
    folder: OwnedFd,
    name: String,
    file: File,
    moved: bool,
}

impl Temp {
    fn create(storage: &LocalStorage) -> io::Result<Self> {
        let (folder, _) = make_subfolder(storage.root.as_fd(), TMP_FOLDER)?;
        let mut random = [0; 12];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&folder, &name, flags | OFlags::NOFOLLOW, FILE_MODE)?;
        Ok(Self { folder, name, file: file.into(), moved: false })
    }

    /// Writes all parts, as they lie in memory.
    fn write(&self, parts: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> =
            parts.iter().filter(|part| !part.is_empty()).map(|part| IoSlice::new(part)).collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            let now = rest.len().min(SLICES_MAX);
            match retry_on_intr(|| writev(&self.file, &rest[..now]))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => IoSlice::advance_slices(&mut rest, written),
            }
        }
        Ok(())
    }

    /// Writes all parts, no faster than allowed.
    fn write_paced(&mut self, parts: &[&[u8]], transfer: &Transfer<'_>) -> io::Result<()> {
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                let piece;
                (piece, rest) = rest.split_at(rest.len().min(transfer.piece()));
                transfer.pass(piece.len())?;
                self.file.write_all(piece)?;
            }
        }
        Ok(())
    }

    /// Gives the file its final name unless there is one, in one step wherever the file system
    /// can.
    fn publish_once(&mut self, folder: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        match renameat_with(&self.folder, &self.name, folder, name, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.moved = true;
                return Ok(());
            }
            Err(Errno::EXIST) => return Err(exists()),
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
        match linkat(&self.folder, &self.name, folder, name, AtFlags::empty()) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {
                // Over NFS the answer to a link that was made can get lost, and the repeated
                // request then finds its own work.
                return if fstat(&self.file)?.st_nlink == 2 { Ok(()) } else { Err(exists()) };
            }
            Err(Errno::PERM | Errno::NOSYS | Errno::NOTSUP | Errno::MLINK) => {}
            Err(error) => return Err(error.into()),
        }
        // Neither exists here (SMB through FUSE): whole, but of two at the same moment both win.
        match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => return Err(exists()),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        renameat(&self.folder, &self.name, folder, name)?;
        self.moved = true;
        Ok(())
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if !self.moved {
            // If this fails too, `clean_unfinished` removes it later.
            let _ = unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
    }
}

fn exists() -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, "it exists already")
}

/// See [`Storage::clean_unfinished`](super::Storage::clean_unfinished).
pub(super) fn clean_tmp(storage: &LocalStorage, age: Duration) -> io::Result<u64> {
    let folder = match storage.open_folder(TMP_FOLDER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        opened => opened?,
    };
    // A file made now has the time of the storage, which the clock of this machine may not share.
    let now_ms = {
        let probe = Temp::create(storage)?;
        let stat = fstat(&probe.file)?;
        milliseconds(stat.st_mtime, stat.st_mtime_nsec as i64)
    };
    let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    let mut removed = 0;
    let mut entries = Dir::new(folder)?;
    while let Some(entry) = entries.read() {
        let entry = entry?;
        let stat = match statat(entries.fd()?, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        let modified_ms = milliseconds(stat.st_mtime, stat.st_mtime_nsec as i64);
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if is_file && modified_ms.saturating_add(age_ms) <= now_ms {
            match unlinkat(entries.fd()?, entry.file_name(), AtFlags::empty()) {
                Ok(()) => removed += 1,
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(removed)
}
