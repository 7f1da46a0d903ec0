//! From what people type to snapshots and paths in them. The rules are the library's
//! ([`crate::tree`]); here is what the command line adds.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::output::Output;
use crate::error::{Error, Result};
use crate::model::{Entry, escape_bytes};
use crate::repository::{Repository, Snapshot, SnapshotList};
use crate::tree::{Manifest, clean_path};

/// The entry at `path`.
///
/// # Errors
/// [`Error::NotFound`], and what reading pages fails with.
pub(crate) fn find_entry(
    repository: &Repository,
    manifest: &Manifest,
    path: &[u8],
) -> Result<Entry> {
    let entry = manifest.find(repository, path)?;
    entry.ok_or_else(|| Error::NotFound { what: "path", name: shown_path(path) })
}

/// What the root of a stream begins with in a snapshot's record, in place of `/`.
const STREAM: &[u8] = b"stdin:";

/// The sources of a snapshot as manifests have them.
pub(crate) fn roots(snapshot: &Snapshot) -> Vec<Vec<u8>> {
    let path = |root: &[u8]| clean_path(root.strip_prefix(STREAM).unwrap_or(root));
    snapshot.body.roots.iter().map(|root| path(&root.0)).collect()
}

/// The sources of a snapshot as text: `/home`, `stdin:db.sql`.
pub(crate) fn shown_roots(snapshot: &Snapshot) -> Vec<String> {
    snapshot.body.roots.iter().map(|root| shown_root(&root.0)).collect()
}

/// A source as text.
pub(crate) fn shown_root(root: &[u8]) -> String {
    match root.starts_with(STREAM) {
        true => escape_bytes(root).into_owned(),
        false => shown_path(root),
    }
}

/// A manifest's path as people know it, with `/` in front.
pub(crate) fn shown_path(path: &[u8]) -> String {
    let text = escape_bytes(path);
    if text.starts_with('/') { text.into_owned() } else { format!("/{text}") }
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
