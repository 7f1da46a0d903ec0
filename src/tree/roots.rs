//! The sources of a snapshot, for programs and for people.

use super::clean_path;
use crate::error::Error;
use crate::model::escape_bytes;
use crate::repository::Snapshot;

/// What the root of a stream begins with in a snapshot's record, in place of `/`.
const STREAM: &[u8] = b"stdin:";

/// What the root of an imported archive begins with.
pub(crate) const ARCHIVE: &[u8] = b"import:";

/// The sources of a snapshot as manifests have them.
pub fn roots(snapshot: &Snapshot) -> Vec<Vec<u8>> {
    let path = |root: &[u8]| match root.starts_with(ARCHIVE) {
        // Whatever is in it.
        true => Vec::new(),
        false => clean_path(root.strip_prefix(STREAM).unwrap_or(root)),
    };
    snapshot.body.roots.iter().map(|root| path(&root.0)).collect()
}

/// The sources of a snapshot as text: `/home`, `stdin:db.sql`, `import:old.zip`.
pub fn shown_roots(snapshot: &Snapshot) -> Vec<String> {
    snapshot.body.roots.iter().map(|root| shown_root(&root.0)).collect()
}

/// A source as records name it, as text: `/home`, `stdin:db.sql`.
pub fn shown_root(root: &[u8]) -> String {
    match root.starts_with(STREAM) || root.starts_with(ARCHIVE) {
        true => escape_bytes(root).into_owned(),
        false => shown_path(root),
    }
}

/// Says that a snapshot has no such path, as manifests have it.
pub fn path_missing(snapshot: &Snapshot, path: &[u8]) -> Error {
    Error::PathMissing { snapshot: snapshot.id.short(), path: shown_path(path) }
}

/// A manifest's path as people know it, with `/` in front.
pub fn shown_path(path: &[u8]) -> String {
    let text = escape_bytes(path);
    if text.starts_with('/') { text.into_owned() } else { format!("/{text}") }
}
