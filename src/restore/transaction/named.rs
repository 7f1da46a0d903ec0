//! Staging folders that are found by their names. Anybody who may write to a folder can make one
//! there, and root's rollback must not obey it: only what is ours is looked at, and only if its
//! journal tells of this very folder.
//!
//! The tree need not be where it was: on a rescue system its disk is mounted somewhere else. Where
//! it is follows from where a staging folder really lies.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::described::Described;
use super::extras::join;
use super::journal::{self, Folder, Header, Records};
use super::registry::{Entry, KeptFolder};
use crate::fsmeta::{self, OpenDir, Stat};
use crate::model::FileKind;
use crate::source::{STAGING_PREFIX, is_staging_name};

/// The names of what looks like a staging folder in a folder; none if that cannot be read.
pub(super) fn staging_names(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().as_bytes().to_vec());
    names.filter(|name| is_staging_name(name)).collect()
}

/// Whether an entry is of this kind and was made by us, or by root, for nobody else.
pub(super) fn is_private(found: &Stat, kind: FileKind) -> bool {
    let is_closed = match kind {
        FileKind::Dir => found.mode & 0o777 == 0o700,
        _ => found.mode & 0o022 == 0,
    };
    found.kind == kind && is_closed && fsmeta::is_own(found)
}

/// Opens the journal in a staging folder, or the copy of its header; `None` if there is none.
///
/// # Errors
/// `PermissionDenied` for one that is not ours, or what the system says.
pub(super) fn open_journal(staging: impl AsFd, name: &[u8]) -> io::Result<Option<File>> {
    let file = match fsmeta::open_file_at(staging, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    if !is_private(&fsmeta::stat_fd(&file)?, FileKind::File) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "its journal is not ours"));
    }
    Ok(Some(file))
}

/// Whether originals are set aside in an open staging folder.
///
/// # Errors
/// What the system says.
pub(super) fn holds_originals(staging: impl AsFd) -> io::Result<bool> {
    let old = match fsmeta::open_dir_at(staging, b"old", OpenDir::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        old => old?,
    };
    let mut is_empty = true;
    fsmeta::read_dir_names(&old, &mut Vec::new(), |_, _| is_empty = false)?;
    Ok(!is_empty)
}

/// What a staging folder is that was found by its name.
pub(super) enum Named {
    /// Part of this restore.
    Of(Box<Entry>),
    /// Somebody else's.
    Foreign,
    /// Ours, but what it belongs to cannot be said: why, and what to do.
    Undecided(String),
}

/// What the staging folder `name` of `above`, a path without symbolic links, belongs to.
pub(super) fn look_at(above: &Path, name: &[u8]) -> Named {
    match read(above, name) {
        Ok(named) => named,
        // What is somebody else's may not even be opened.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Named::Foreign,
        Err(error) => Named::Undecided(format!("its journal cannot be read: {error}")),
    }
}

fn read(above: &Path, name: &[u8]) -> io::Result<Named> {
    let Some(id) = name.strip_prefix(STAGING_PREFIX.as_bytes()) else { return Ok(Named::Foreign) };
    let id = String::from_utf8_lossy(id).into_owned();
    let Some(staging) = open_staging(above, name)? else { return Ok(Named::Foreign) };
    let journal = open_journal(&staging, journal::NAME)?;
    let is_first = journal.is_some();
    let journal = match journal {
        None => open_journal(&staging, journal::COPY)?,
        journal => journal,
    };
    let records = journal.map(Records::read).transpose()?.flatten();
    let header = records.map(|records| records.header.clone());
    let (found, now) = Described::read(&File::open(above)?, b".")?;
    let Some(header) = header else {
        if holds_originals(&staging)? {
            let what =
                "its journal is missing or damaged, and originals are set aside in its `old`";
            return Ok(Named::Undecided(what.into()));
        }
        // Nothing was exchanged: it goes, and the folder that it is in stays as it is.
        let identity = (found.dev, found.inode);
        let folders = [KeptFolder { path: name.to_vec(), above: now, identity }];
        return Ok(Named::Of(Box::new(Entry::new(&id, above.as_os_str().as_bytes(), &folders))));
    };
    if header.id != id {
        return Ok(Named::Undecided(format!("its journal is that of `{}`", header.id)));
    }
    // The first one has the journal, the others have copies of its header.
    let numbers = if is_first { 0..1 } else { 1..header.folders.len() };
    let mine = header.folders.get(numbers).unwrap_or_default();
    if !mine.iter().any(|folder| folder.identity.1 == found.inode) {
        let tops = tops(&header, mine);
        let text = format!("it is a copy: its journal tells of {tops}, and is of use only there");
        return Ok(Named::Undecided(text));
    }
    let mine = mine.iter().filter(|folder| folder.identity.1 == found.inode);
    match mine.filter_map(|folder| locate(&header, folder, above)).next() {
        Some((target, base)) => {
            let inner = |path: &[u8]| below(path, &base).map(<[u8]>::to_vec);
            let folder = |folder: &Folder| {
                Some(KeptFolder {
                    path: join(&inner(&folder.top)?, folder.name.as_bytes()),
                    above: folder.above.clone(),
                    identity: folder.identity,
                })
            };
            let folders: Option<Vec<KeptFolder>> = header.folders.iter().map(folder).collect();
            let entry =
                Entry::new(&id, target.as_os_str().as_bytes(), &folders.unwrap_or_default());
            Ok(Named::Of(Box::new(entry.with_base(&base))))
        }
        None => {
            let all = tops(&header, &header.folders);
            Ok(Named::Undecided(format!(
                "it is part of what was in {all}: mount all of these below one folder, with the \
                 same paths in it, or `chroot` to where they are"
            )))
        }
    }
}

/// The folders that staging folders were in, for people.
fn tops(header: &Header, folders: &[Folder]) -> String {
    let target = Path::new(OsStr::from_bytes(&header.target));
    let top = |folder: &Folder| {
        let top = target.join(OsStr::from_bytes(&folder.top));
        format!("`{}`", top.display())
    };
    folders.iter().map(top).collect::<Vec<_>>().join(", ")
}

/// Where the target is, if the staging folder of `folder` is in `above` now, and what the paths in
/// the journal have in front of those in it: `/mnt/ann/web` that was `/home/ann/web` is `/mnt`
/// without `home`. `None` if staging folders are outside of that.
fn locate(header: &Header, folder: &Folder, above: &Path) -> Option<(PathBuf, Vec<u8>)> {
    let (mut base, mut target) = (Path::new(OsStr::from_bytes(&folder.top)), above);
    while let (Some(name), Some(now)) = (base.file_name(), target.file_name())
        && name == now
    {
        (base, target) = (base.parent()?, target.parent()?);
    }
    let base = base.as_os_str().as_bytes();
    let is_inside = header.folders.iter().all(|folder| below(&folder.top, base).is_some());
    is_inside.then(|| (target.to_path_buf(), base.to_vec()))
}

/// A path relative to the folder `base`; `None` if it is not in there.
pub(super) fn below<'p>(path: &'p [u8], base: &[u8]) -> Option<&'p [u8]> {
    match path.strip_prefix(base)? {
        inner if base.is_empty() || inner.is_empty() => Some(inner),
        inner => inner.strip_prefix(b"/"),
    }
}

/// Opens a staging folder; `None` if it is not ours.
///
/// # Errors
/// What the system says.
pub(super) fn open_staging(above: &Path, name: &[u8]) -> io::Result<Option<OwnedFd>> {
    let above = File::open(above)?;
    let found = fsmeta::stat_at(&above, name)?;
    if !is_private(&found, FileKind::Dir) {
        return Ok(None);
    }
    let staging = fsmeta::open_dir_at(&above, name, OpenDir::Read)?;
    let is_same = is_private(&fsmeta::stat_fd(&staging)?, FileKind::Dir);
    Ok(is_same.then_some(staging))
}
