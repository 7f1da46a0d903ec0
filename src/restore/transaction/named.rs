//! Staging folders that are found by their names. Anybody who may write to a folder can make one
//! there, and root's rollback must not obey it: only what is ours is looked at, and only if its
//! journal tells of this very folder.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::described::Described;
use super::extras::join;
use super::journal::{self, Header, Records};
use super::registry::{Entry, KeptFolder};
use crate::error::{Error, Result};
use crate::fsmeta::{self, OpenDir, Stat};
use crate::model::FileKind;
use crate::restore::target::Target;
use crate::source::{STAGING_PREFIX, is_staging_name};

/// No path is longer.
const PRIMARY_BYTES_MAX: u64 = 1 << 20;

/// The names of what looks like a staging folder in a folder; none if that cannot be read.
pub(super) fn staging_names(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().as_bytes().to_vec());
    names.filter(|name| is_staging_name(name)).collect()
}

/// Whether the staging folder `name` of `above` is ours.
pub(super) fn is_ours(above: &Path, name: &[u8]) -> bool {
    let found = File::open(above).and_then(|above| fsmeta::stat_at(&above, name));
    found.is_ok_and(|found| is_private(&found, FileKind::Dir))
}

/// Whether an entry is of this kind and was made by us, or by root, for nobody else.
pub(super) fn is_private(found: &Stat, kind: FileKind) -> bool {
    let is_closed = match kind {
        FileKind::Dir => found.mode & 0o777 == 0o700,
        _ => found.mode & 0o022 == 0,
    };
    found.kind == kind && is_closed && fsmeta::is_own(found)
}

/// Opens the journal in a staging folder; `None` if there is none.
///
/// # Errors
/// `PermissionDenied` for one that is not ours, or what the system says.
pub(super) fn open_journal(staging: impl AsFd) -> io::Result<Option<File>> {
    let file = match fsmeta::open_file_at(staging, journal::NAME) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    if !is_private(&fsmeta::stat_fd(&file)?, FileKind::File) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "its journal is not ours"));
    }
    Ok(Some(file))
}

/// What the staging folder `name` of `above` tells of its restore; `None` if it is not to be
/// believed.
///
/// # Errors
/// [`Error::Local`] for what cannot be read.
pub(super) fn entry_of(above: &Path, name: &[u8]) -> Result<Option<Entry>> {
    let shown = above.join(OsStr::from_bytes(name));
    match read(above, name) {
        // What is somebody else's may not even be opened.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        entry => entry.map_err(|error| Error::local("read the journal in", shown, error)),
    }
}

fn read(above: &Path, name: &[u8]) -> io::Result<Option<Entry>> {
    let Some(id) = name.strip_prefix(STAGING_PREFIX.as_bytes()) else { return Ok(None) };
    let id = String::from_utf8_lossy(id).into_owned();
    let Some(staging) = open_staging(above, name)? else { return Ok(None) };
    let mut primary = None;
    if let Some(path) = read_primary(&staging)? {
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
        if name.as_bytes() == shown_name(&id).as_bytes() && above.is_dir() {
            primary = open_staging(above, name.as_bytes())?;
        }
    }
    let journal = match &primary {
        Some(primary) => open_journal(primary)?,
        None => open_journal(&staging)?,
    };
    if let Some(records) = journal.map(Records::read).transpose()?.flatten() {
        let header = &records.header;
        let first = primary.as_ref().unwrap_or(&staging);
        let is_told = header.id == id && tells_of(header, &staging)? && tells_of(header, first)?;
        return Ok(is_told.then(|| {
            let folder = |folder: &journal::Folder| {
                (join(&folder.top, folder.name.as_bytes()), folder.above.clone())
            };
            let folders: Vec<KeptFolder> = header.folders.iter().map(folder).collect();
            Entry::new(&id, &header.target, &folders)
        }));
    }
    // Nothing was exchanged: it goes, and the folder that it is in stays as it is.
    let dir = File::open(above)?;
    let (_, now) = Described::read(&dir, b".")?;
    let folders = [(name.to_vec(), now)];
    Ok(Some(Entry::new(&id, above.as_os_str().as_bytes(), &folders)))
}

fn shown_name(id: &str) -> String {
    format!("{STAGING_PREFIX}{id}")
}

/// Opens a staging folder; `None` if it is not ours.
fn open_staging(above: &Path, name: &[u8]) -> io::Result<Option<OwnedFd>> {
    let above = File::open(above)?;
    let found = fsmeta::stat_at(&above, name)?;
    if !is_private(&found, FileKind::Dir) {
        return Ok(None);
    }
    let staging = fsmeta::open_dir_at(&above, name, OpenDir::Read)?;
    let is_same = is_private(&fsmeta::stat_fd(&staging)?, FileKind::Dir);
    Ok(is_same.then_some(staging))
}

/// Where the staging folder with the journal is, if it is another one.
fn read_primary(staging: &OwnedFd) -> io::Result<Option<PathBuf>> {
    use std::io::Read;
    let file = match fsmeta::open_file_at(staging, b"primary") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    if !is_private(&fsmeta::stat_fd(&file)?, FileKind::File) {
        return Ok(None);
    }
    let mut path = Vec::new();
    file.take(PRIMARY_BYTES_MAX).read_to_end(&mut path)?;
    let path = PathBuf::from(OsStr::from_bytes(&path));
    Ok(Some(path).filter(|path| path.is_absolute()))
}

/// Whether a journal names this folder, where it is, among its staging folders.
fn tells_of(header: &Header, staging: &OwnedFd) -> io::Result<bool> {
    let target = PathBuf::from(OsStr::from_bytes(&header.target));
    if !target.is_absolute() || !target.is_dir() {
        return Ok(false);
    }
    let Ok(tree) = File::open(&target).map(|dir| Target::of(&target, dir)) else {
        return Ok(false);
    };
    let Ok(tree) = tree else { return Ok(false) };
    let own = fsmeta::stat_fd(staging)?;
    let is_it = |folder: &journal::Folder| {
        let path = join(&folder.top, folder.name.as_bytes());
        let found = tree.open_dir(&path, OpenDir::Path).and_then(fsmeta::stat_fd);
        found.is_ok_and(|found| (found.dev, found.inode) == (own.dev, own.inode))
    };
    Ok(header.folders.iter().any(is_it))
}
