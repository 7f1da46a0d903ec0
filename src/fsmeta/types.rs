//! What is known about a file, as plain data, independent of how it is stored.

use std::io;

/// The kind of a directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl FileKind {
    /// The word for it in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "directory",
            Self::Symlink => "symbolic link",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::CharDevice => "character device",
            Self::BlockDevice => "block device",
        }
    }

    /// Whether it is a device node, for which alone [`Stat::rdev_major`] means something.
    pub fn is_device(self) -> bool {
        matches!(self, Self::CharDevice | Self::BlockDevice)
    }
}

/// A moment as file systems keep it: `secs` since 1970 (UTC), negative before, plus `nanos`
/// (0 to 999,999,999), which always count forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Whole seconds since 1970, rounded down.
    pub secs: i64,
    /// Nanoseconds after that second.
    pub nanos: u32,
}

impl Time {
    /// Nanoseconds since 1970, negative before.
    pub fn as_ns(self) -> i128 {
        i128::from(self.secs) * 1_000_000_000 + i128::from(self.nanos)
    }
}

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

/// One extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xattr {
    /// Full name with its namespace: `user.comment`, `system.posix_acl_access`,
    /// `security.capability`, ...
    pub name: Vec<u8>,
    /// Its bytes, as the kernel gives them.
    pub value: Vec<u8>,
}

/// The extended attributes of one entry.
#[derive(Debug, Default)]
pub struct Xattrs {
    /// Those that could be read, sorted by name.
    pub list: Vec<Xattr>,
    /// Names that are there and could not be read, and why.
    pub unreadable: Vec<(Vec<u8>, io::Error)>,
}
