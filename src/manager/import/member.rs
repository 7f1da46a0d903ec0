//! One member of an archive, whatever kind of archive it is.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Error;
use crate::model::{Owner, Time, Xattr};

/// What an archive says of a member. Nothing of it is checked.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: Vec<u8>,
    pub(super) kind: MemberKind,
    /// Permissions.
    pub(super) mode: u32,
    pub(super) owner: Arc<Owner>,
    pub(super) mtime: Time,
    pub(super) atime: Option<Time>,
    pub(super) xattrs: Vec<Xattr>,
    /// What of it cannot be taken over as it is.
    pub(super) odd: Vec<String>,
    /// Bytes of a file, holes included.
    pub(super) size: u64,
    /// Which parts of a file are stored, in order and apart from each other; `None` is all.
    pub(super) extents: Option<Vec<Range<u64>>>,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MemberKind {
    File,
    Dir,
    /// Its target comes with it, or is its content.
    Symlink(Option<Vec<u8>>),
    /// Another name for this member.
    HardLink(Vec<u8>),
    Fifo,
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    /// Something that cannot be taken over, and why.
    Unsupported(String),
}

/// Why an archive is not read on.
#[derive(Debug)]
pub(super) enum Stop {
    /// It is damaged or ends too early.
    Damaged(String),
    /// What says where its members are is damaged or lost.
    NoList(String),
    /// Whatever the archive: storage, a limit, a cancellation.
    Fatal(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

impl Stop {
    pub(super) fn damaged(what: impl ToString) -> Self {
        Self::Damaged(what.to_string())
    }
}
