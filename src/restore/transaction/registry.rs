//! What this machine remembers of in-place restores that are under way: a file for each in the
//! state folder. It leads to the staging folders, and keeps what is needed when those are gone:
//! what the folders that they were in were like.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::described::Described;
use crate::error::{Error, Result};
use crate::model::{escape_bytes, unescape};

/// Larger than any such file is.
const BYTES_MAX: u64 = 16 << 20;

/// An in-place restore under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) id: String,
    /// The absolute path of the target, escaped.
    target: String,
    /// What paths in the journal have in front of those in the target, escaped: the tree lies
    /// elsewhere than it did.
    #[serde(default)]
    base: String,
    /// The staging folders, that with the journal first.
    folders: Vec<Kept>,
    /// Whether the folders above are described as they are after the restore.
    pub(super) is_committed: bool,
}

/// A staging folder in a file of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// Its path relative to the target, escaped.
    path: String,
    /// What the folder that it is in has to get back once it is gone.
    above: Described,
    /// That folder's device and inode number.
    #[serde(default)]
    identity: (u64, u64),
}

/// A staging folder.
#[derive(Clone, Debug)]
pub(super) struct KeptFolder {
    /// Its path relative to the target.
    pub(super) path: Vec<u8>,
    /// What the folder that it is in is like.
    pub(super) above: Described,
    /// Device and inode number of that folder: what is not in it is gone, what is not in another
    /// one may be somewhere else.
    pub(super) identity: (u64, u64),
}

impl Entry {
    pub(super) fn new(id: &str, target: &[u8], folders: &[KeptFolder]) -> Self {
        let keep = |folder: &KeptFolder| Kept {
            path: text(&folder.path),
            above: folder.above.clone(),
            identity: folder.identity,
        };
        Self {
            id: id.into(),
            target: text(target),
            base: String::new(),
            folders: folders.iter().map(keep).collect(),
            is_committed: false,
        }
    }

    /// The absolute path of the target.
    pub(super) fn target(&self) -> PathBuf {
        let bytes = unescape(&self.target);
        PathBuf::from(OsStr::from_bytes(&bytes))
    }

    /// The staging folders.
    pub(super) fn folders(&self) -> Vec<KeptFolder> {
        let folder = |kept: &Kept| KeptFolder {
            path: unescape(&kept.path),
            above: kept.above.clone(),
            identity: kept.identity,
        };
        self.folders.iter().map(folder).collect()
    }

    /// The same after the commit: with the folders above as they are now.
    pub(super) fn committed(&self, folders: &[KeptFolder]) -> Self {
        let target = unescape(&self.target);
        let base = self.base.clone();
        Self { is_committed: true, base, ..Self::new(&self.id, &target, folders) }
    }

    /// What paths in the journal have in front of those in the target.
    pub(super) fn base(&self) -> Vec<u8> {
        unescape(&self.base)
    }

    /// The same for a tree that lies elsewhere now.
    pub(super) fn with_base(self, base: &[u8]) -> Self {
        Self { base: text(base), ..self }
    }

    /// Where it is written.
    pub(super) fn path(&self, state_dir: &Path) -> PathBuf {
        path(state_dir, &self.id)
    }
}

fn text(bytes: &[u8]) -> String {
    escape_bytes(bytes).into_owned()
}

fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("in-place")
}

fn path(state_dir: &Path, id: &str) -> PathBuf {
    folder(state_dir).join(format!("{id}.json"))
}

/// Writes an entry, durably, in place of the one there may be.
///
/// # Errors
/// [`Error::Local`].
pub(super) fn write(state_dir: &Path, entry: &Entry) -> Result<()> {
    let path = path(state_dir, &entry.id);
    let local = |error: io::Error| Error::local("write", &path, error);
    let folder = folder(state_dir);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(local)?;
    let new = path.with_extension("new");
    let json = serde_json::to_vec_pretty(entry).map_err(|error| local(error.into()))?;
    let mut options = fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(&new).map_err(local)?;
    file.write_all(&json).and_then(|()| file.sync_all()).map_err(local)?;
    fs::rename(&new, &path).map_err(local)?;
    File::open(&folder).and_then(|folder| folder.sync_all()).map_err(local)
}

/// Removes an entry; one that is gone is removed.
///
/// # Errors
/// [`Error::Local`].
pub(super) fn remove(state_dir: &Path, id: &str) -> Result<()> {
    let path = path(state_dir, id);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::local("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// All entries that can be read; what else lies there is left alone.
///
/// # Errors
/// [`Error::Local`] if the folder is there and cannot be listed.
pub(super) fn list(state_dir: &Path) -> Result<Vec<Entry>> {
    let folder = folder(state_dir);
    let names = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names.map_err(|error| Error::local("list", &folder, error))?,
    };
    let mut entries = Vec::new();
    for name in names.flatten() {
        let path = name.path();
        if path.extension() != Some(OsStr::new("json"))
            || name.metadata().map_or(true, |found| found.len() > BYTES_MAX)
        {
            continue;
        }
        let entry = fs::read(&path).ok().and_then(|json| serde_json::from_slice(&json).ok());
        // A file whose name is another one was not written here.
        entries
            .extend(entry.filter(|entry: &Entry| path.file_stem() == Some(OsStr::new(&entry.id))));
    }
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(entries)
}
