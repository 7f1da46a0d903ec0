//! One entry of a snapshot's manifest: a file, folder, link or other node, as plain data.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{ChunkId, FileKind, PageId, Time, Xattr};

/// One entry of a manifest (SPEC.md, section 11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path in the snapshot, raw bytes, `/`-separated, without a leading `/`. Empty for the root.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with set-id and sticky bits, `0o7777` at most.
    pub mode: u32,
    /// Who owns it.
    pub owner: Arc<Owner>,
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of content or metadata at the source; cannot be restored.
    pub ctime: Time,
    /// Last access, if the backup was asked to keep it.
    pub atime: Option<Time>,
    /// Inode number at the source.
    pub inode: u64,
    /// How many names it had at the source.
    pub nlink: u64,
    /// Length of a file in bytes, 0 for all else.
    pub size: u64,
    /// The bytes of a file, or the target of a symbolic link.
    pub content: Content,
    /// The first path of its hard-link group, if that is another entry; it has the content then.
    pub link_to: Option<Vec<u8>>,
    /// The file took up less space than its length: its holes are restored as holes.
    pub sparse: bool,
    /// The file changed while it was read: its content may never have existed as a whole.
    pub torn: bool,
    /// Inode flags (`FS_IOC_GETFLAGS`), 0 where there are none.
    pub inode_flags: u32,
    /// Extended attributes.
    pub xattrs: XattrsRef,
    /// Major and minor number of a device node.
    pub device: Option<(u32, u32)>,
}

impl Entry {
    /// An entry of which nothing is known but path and kind: mode 0, times 0, one name, no
    /// content, owned by nobody in particular.
    pub fn new(path: impl Into<Vec<u8>>, kind: FileKind) -> Self {
        Self {
            path: path.into(),
            kind,
            mode: 0,
            owner: Arc::default(),
            mtime: Time::default(),
            ctime: Time::default(),
            atime: None,
            inode: 0,
            nlink: 1,
            size: 0,
            content: Content::None,
            link_to: None,
            sparse: false,
            torn: false,
            inode_flags: 0,
            xattrs: XattrsRef::None,
            device: None,
        }
    }

    /// The last component of the path.
    pub fn name(&self) -> &[u8] {
        self.path.rsplit(|b| *b == b'/').next().unwrap_or_default()
    }
}

/// An owner and a group, by number and by name (empty where the number has no name).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Owner {
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// User name.
    pub user: Vec<u8>,
    /// Group name.
    pub group: Vec<u8>,
}

/// Where the bytes of an entry are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Content {
    /// Nowhere: size 0, one hole of the whole size, or a hard link to another entry.
    #[default]
    None,
    /// Here: a small file, or the target of a symbolic link.
    Inline(Vec<u8>),
    /// In these pieces, in file order.
    Pieces(Vec<Piece>),
    /// In the pieces that a tree of list pages names.
    List {
        /// The topmost list page.
        root: PageId,
        /// Its level; 0 if it is a leaf.
        depth: u8,
        /// Pieces in all.
        pieces: u64,
    },
}

/// A part of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// Bytes that are stored.
    Chunk(ChunkId, u32),
    /// This many zeros.
    Hole(u64),
}

impl Piece {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Chunk(_, len) => u64::from(*len),
            Self::Hole(len) => *len,
        }
    }

    /// Whether it has no bytes, which a valid piece never has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Extended attributes, or where they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum XattrsRef {
    /// There are none.
    #[default]
    None,
    /// Here, sorted by name.
    Inline(Vec<Xattr>),
    /// In a page of their own.
    Page(PageId),
}

/// Compares two paths component by component: a folder comes first, then all that is in it.
pub fn compare_paths(a: &[u8], b: &[u8]) -> Ordering {
    let common = a.iter().zip(b).position(|(x, y)| x != y);
    match common {
        Some(at) => rank(a[at]).cmp(&rank(b[at])),
        None => a.len().cmp(&b.len()),
    }
}

/// The order of bytes in paths: as if `/` were 0.
fn rank(byte: u8) -> u8 {
    if byte == b'/' { 0 } else { byte }
}

/// Whether `path` is `folder` or lies in it. The empty folder is the root.
pub fn is_within(path: &[u8], folder: &[u8]) -> bool {
    folder.is_empty()
        || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Whether `path` may stand in a manifest: relative, no empty, `.` or `..` components, no zero.
pub fn is_valid_path(path: &[u8]) -> bool {
    path.is_empty()
        || path
            .split(|b| *b == b'/')
            .all(|name| !matches!(name, b"" | b"." | b"..") && !name.contains(&0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_stand_before_what_is_in_them() {
        let mut paths: Vec<&[u8]> = vec![b"a.b", b"a-b", b"a/b", b"a", b"", b"a/b/c", b"a/b-c"];
        paths.sort_by(|a, b| compare_paths(a, b));
        let want: Vec<&[u8]> = vec![b"", b"a", b"a/b", b"a/b/c", b"a/b-c", b"a-b", b"a.b"];
        assert_eq!(paths, want);
    }

    #[test]
    fn only_plain_paths_are_valid() {
        for good in [&b""[..], b"a", b"a/..b/c", b"\xff/ "] {
            assert!(is_valid_path(good));
        }
        for bad in [&b"/a"[..], b"a/", b"a//b", b".", b"a/..", b"../a", b"a\0b"] {
            assert!(!is_valid_path(bad));
        }
    }
}
