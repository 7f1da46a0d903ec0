//! What is known about a file, as plain data, independent of how it is stored.

use std::io;

pub use crate::model::{FileKind, Time, Xattr};

/// What the system says about an entry without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its kind.
    pub kind: FileKind,
    /// Permission bits with set-user-id, set-group-id and sticky: `0o7777` at most.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// Length in bytes; for a symbolic link that of its target.
    pub size: u64,
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of content or metadata; nobody can set it.
    pub ctime: Time,
    /// Last access.
    pub atime: Time,
    /// Number of the inode in its file system.
    pub inode: u64,
    /// How many names it has.
    pub nlink: u64,
    /// The file system that holds it (`st_dev`).
    pub dev: u64,
    /// For a device node, which device: major number. Else 0.
    pub rdev_major: u32,
    /// For a device node, which device: minor number. Else 0.
    pub rdev_minor: u32,
    /// Units of 512 bytes that it takes up. Less than `size` needs: it has holes.
    pub blocks: u64,
}

impl Stat {
    /// Whether it takes up less space than its length: it has holes (or is compressed by the file
    /// system, so this is a hint).
    pub fn may_have_holes(&self) -> bool {
        self.blocks.saturating_mul(512) < self.size
    }

    /// Whether this is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind == FileKind::Dir
    }
}

/// The extended attributes of one entry.
#[derive(Debug, Default)]
pub struct Xattrs {
    /// Those that could be read, sorted by name.
    pub list: Vec<Xattr>,
    /// Names that are there and could not be read, and why.
    pub unreadable: Vec<(Vec<u8>, io::Error)>,
}
