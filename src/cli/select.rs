//! From what people type to snapshots and paths in them. The rules are the library's
//! ([`crate::tree`]); here is what the command line adds.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::output::Output;
use crate::error::{Error, Result};
use crate::model::{Entry, FileKind};
use crate::repository::{Repository, Snapshot, SnapshotList};
use crate::tree::{Manifest, clean_path, path_missing};
pub(crate) use crate::tree::{roots, shown_path, shown_root, shown_roots};

/// The entry at `path`. The root is there even if the snapshot, as that of an archive, has no entry
/// for it.
///
/// # Errors
/// [`Error::PathMissing`], and what reading pages fails with.
pub(crate) fn find_entry(
    repository: &Repository,
    snapshot: &Snapshot,
    path: &[u8],
) -> Result<Entry> {
    let entry = Manifest::of(snapshot).find(repository, path)?;
    if entry.is_none() && path.is_empty() {
        return Ok(Entry::new(Vec::new(), FileKind::Dir));
    }
    entry.ok_or_else(|| path_missing(snapshot, path))
}

/// Absolute form of a `--path`, without looking at the disk: the source may be gone.
///
/// # Errors
/// [`Error::Local`] if it is relative and there is no current folder.
pub(crate) fn source_path(path: &Path) -> Result<Vec<u8>> {
    let absolute = std::path::absolute(path)
        .map_err(|error| Error::local("find the place of", path, error))?;
    Ok(clean_path(absolute.as_os_str().as_bytes()))
}

/// Says what is wrong with the log: snapshots may be missing from the list, or hidden from it.
pub(crate) fn warn_of_bad(list: &SnapshotList, out: &Output) {
    for breach in &list.rollback {
        out.alarm(&breach.to_string());
    }
    for notice in &list.notices {
        out.warn(notice);
    }
    for error in &list.bad {
        out.warn(&format!("a snapshot may be missing from the list: {error}"));
    }
}
