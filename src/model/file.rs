//! What is known about a file, as plain data: shared by what captures it, stores it and applies it.

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

    /// Whether it is a device node, for which alone a device number means something.
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

/// One extended attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Xattr {
    /// Full name with its namespace: `user.comment`, `system.posix_acl_access`,
    /// `security.capability`, ...
    pub name: Vec<u8>,
    /// Its bytes, as the kernel gives them.
    pub value: Vec<u8>,
}
