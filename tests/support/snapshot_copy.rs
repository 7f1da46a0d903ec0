//! Reads a snapshot into memory through the reading layers, checking everything on the way.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use larder::error::{Error, Result};
use larder::model::entry::is_within;
use larder::model::{Content, Entry, FileKind, Piece};
use larder::repository::{Reader, Repository, Snapshot};
use larder::tree::{Manifest, Pieces, load_xattrs};

use super::tree_copy::{Body, Node, TreeCopy};

impl TreeCopy {
    /// Copies what a snapshot holds of `folder`.
    ///
    /// # Errors
    /// The first thing that cannot be read.
    pub(crate) fn of_snapshot(
        repository: &Repository,
        snapshot: &Snapshot,
        folder: &Path,
    ) -> Result<Self> {
        let (copy, errors) = Self::of_what_is_left(repository, snapshot, folder);
        match errors.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(copy),
        }
    }

    /// Copies what can still be read, and says why the rest cannot.
    pub(crate) fn of_what_is_left(
        repository: &Repository,
        snapshot: &Snapshot,
        folder: &Path,
    ) -> (Self, Vec<Error>) {
        let root = &folder.as_os_str().as_bytes()[1..];
        let mut reader = repository.reader();
        let mut copy = Self::default();
        let mut errors = Vec::new();
        for entry in Manifest::of(snapshot).entries(repository) {
            let node = entry.and_then(|entry| {
                let node = node(repository, &mut reader, &entry, root)?;
                Ok((entry.path, node))
            });
            match node {
                Ok((path, node)) if is_within(&path, root) => {
                    copy.0.insert(below(&path, root), node);
                }
                Ok(_) => {}
                Err(error) => errors.push(error),
            }
        }
        (copy, errors)
    }
}

fn below(path: &[u8], root: &[u8]) -> Vec<u8> {
    path[root.len()..].strip_prefix(b"/").unwrap_or_default().to_vec()
}

fn node(
    repository: &Repository,
    reader: &mut Reader<'_>,
    entry: &Entry,
    root: &[u8],
) -> Result<Node> {
    let same_as = entry.link_to.as_ref().map(|first| below(first, root));
    let body = match entry.kind {
        // What a further name holds is what the first one holds.
        _ if same_as.is_some() => Body::Nothing,
        FileKind::File => file(repository, reader, entry)?,
        FileKind::Symlink => match &entry.content {
            Content::Inline(target) => Body::Target(target.clone()),
            _ => Body::Nothing,
        },
        FileKind::CharDevice | FileKind::BlockDevice => {
            entry.device.map_or(Body::Nothing, |(major, minor)| Body::Device(major, minor))
        }
        _ => Body::Nothing,
    };
    Ok(Node {
        kind: entry.kind,
        mode: entry.mode,
        owner: (entry.owner.uid, entry.owner.gid),
        mtime: entry.mtime,
        body,
        xattrs: load_xattrs(reader, entry)?,
        same_as,
    })
}

fn file(repository: &Repository, reader: &mut Reader<'_>, entry: &Entry) -> Result<Body> {
    let mut hasher = blake3::Hasher::new();
    let mut len = 0;
    if let Content::Inline(bytes) = &entry.content {
        hasher.update(bytes);
        len = bytes.len() as u64;
    }
    for piece in Pieces::new(repository, entry) {
        let piece = piece?;
        len += piece.len();
        match piece {
            Piece::Chunk(id, chunk_len) => {
                let bytes = reader.chunk(id)?;
                assert_eq!(bytes.len(), chunk_len as usize, "a chunk has its length");
                hasher.update(&bytes);
            }
            Piece::Hole(len) => zeros(&mut hasher, len),
        }
    }
    assert_eq!(len, entry.size, "the pieces add up to the file");
    Ok(Body::Bytes { len, hash: hasher.finalize() })
}

fn zeros(hasher: &mut blake3::Hasher, mut len: u64) {
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    while len > 0 {
        let step = len.min(ZEROS.len() as u64);
        hasher.update(&ZEROS[..step as usize]);
        len -= step;
    }
}
