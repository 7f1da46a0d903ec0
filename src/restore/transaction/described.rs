//! Owner, mode, times, attributes and flags of a live entry: read, kept in the journal, and given
//! back.

use std::io;
use std::os::fd::AsFd;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::fsmeta::{self, Metadata, OpenDir, Stat, Target as MetaTarget, Unapplied};
use crate::model::{FileKind, Time, Xattr};
use crate::restore::attributes::Attributes;

/// What can be set of an entry beside its content. In a plan what it shall be, in the journal
/// what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Described {
    kind: u8,
    pub(super) mode: u32,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: (i64, u32),
    atime: Option<(i64, u32)>,
    /// `None` where there are none, or they cannot be read.
    pub(super) flags: Option<u32>,
    /// `None` leaves those that are there.
    xattrs: Option<Vec<(ByteBuf, ByteBuf)>>,
}

const KINDS: [FileKind; 7] = [
    FileKind::File,
    FileKind::Dir,
    FileKind::Symlink,
    FileKind::Fifo,
    FileKind::Socket,
    FileKind::CharDevice,
    FileKind::BlockDevice,
];

/// The number of a kind in journals and plans.
pub(super) fn kind_number(kind: FileKind) -> u8 {
    KINDS.iter().position(|known| *known == kind).unwrap_or_default() as u8
}

impl Described {
    /// What the snapshot has.
    pub(super) fn wanted(attributes: &Attributes) -> Self {
        let has_flags = matches!(attributes.kind, FileKind::File | FileKind::Dir);
        Self {
            kind: kind_number(attributes.kind),
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            mtime: pair(attributes.mtime),
            atime: attributes.atime.map(pair),
            flags: has_flags.then_some(attributes.flags),
            xattrs: attributes.xattrs.as_deref().map(bytes),
        }
    }

    /// What the live entry `name` of `dir` has; `.` is `dir` itself. Returns too what the system
    /// says about it.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn read(dir: impl AsFd, name: &[u8]) -> io::Result<(Stat, Self)> {
        let found = fsmeta::stat_at(&dir, name)?;
        let (flags, xattrs) = match Open::entry(&dir, name, found.kind)? {
            Open::Whole(file) => {
                (fsmeta::read_flags(&file).ok(), fsmeta::read_xattrs_fd(&file)?.list)
            }
            Open::Held(_) => (None, fsmeta::read_xattrs_at(&dir, name)?.list),
        };
        let described = Self {
            kind: kind_number(found.kind),
            mode: found.mode,
            uid: Some(found.uid),
            gid: Some(found.gid),
            mtime: pair(found.mtime),
            atime: Some(pair(found.atime)),
            flags,
            xattrs: Some(bytes(&xattrs)),
        };
        Ok((found, described))
    }

    /// Gives all of it to the live entry `name` of `dir`, even a protected one, unless it has it.
    /// Returns what the system did not take.
    ///
    /// # Errors
    /// If it cannot be reached.
    pub(super) fn apply(&self, dir: impl AsFd, name: &[u8]) -> io::Result<Vec<Unapplied>> {
        if Self::read(&dir, name).is_ok_and(|(_, now)| now.is_as(self)) {
            return Ok(Vec::new());
        }
        let xattrs: Option<Vec<Xattr>> = self.xattrs.as_ref().map(|list| {
            let xattr = |(name, value): &(ByteBuf, ByteBuf)| Xattr {
                name: name.to_vec(),
                value: value.to_vec(),
            };
            list.iter().map(xattr).collect()
        });
        let metadata = Metadata {
            kind: self.kind(),
            uid: self.uid,
            gid: self.gid,
            mode: self.mode,
            xattrs: xattrs.as_deref(),
            mtime: time(self.mtime),
            atime: self.atime.map(time),
            flags: self.flags,
        };
        Ok(match Open::entry(&dir, name, self.kind())? {
            Open::Whole(file) => {
                // What protects it would keep all else from being set.
                let _ = fsmeta::clear_protection(&file);
                fsmeta::apply(MetaTarget::open(&file), &metadata)
            }
            Open::Held(held) => fsmeta::apply(MetaTarget::path(&held), &metadata),
        })
    }

    /// What kind of entry it describes.
    pub(super) fn kind(&self) -> FileKind {
        KINDS.get(usize::from(self.kind)).copied().unwrap_or(FileKind::File)
    }

    /// The same with other times.
    pub(super) fn with_times(&self, mtime: Time, atime: Time) -> Self {
        Self { mtime: pair(mtime), atime: Some(pair(atime)), ..self.clone() }
    }

    /// About how many bytes it takes in a journal.
    pub(super) fn weight(&self) -> u64 {
        let xattrs = self.xattrs.iter().flatten();
        96 + xattrs.map(|(name, value)| 16 + (name.len() + value.len()) as u64).sum::<u64>()
    }

    /// Whether an entry of this description needs nothing to be as `wanted`.
    pub(super) fn is_as(&self, wanted: &Self) -> bool {
        let same = |has: Option<u32>, want: Option<u32>| want.is_none() || has == want;
        self.kind == wanted.kind
            && (self.mode == wanted.mode || self.kind() == FileKind::Symlink)
            && same(self.uid, wanted.uid)
            && same(self.gid, wanted.gid)
            && self.mtime == wanted.mtime
            && (wanted.atime.is_none() || self.atime == wanted.atime)
            && same(self.flags, wanted.flags)
            && (wanted.xattrs.is_none() || self.xattrs == wanted.xattrs)
    }
}

/// An entry, open as far as that is possible.
pub(super) enum Open {
    /// A file or folder that was opened to be read.
    Whole(std::fs::File),
    /// Only held.
    Held(std::os::fd::OwnedFd),
}

impl Open {
    /// Opens the entry `name` of `dir`, which is said to be a `kind`.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn entry(dir: impl AsFd, name: &[u8], kind: FileKind) -> io::Result<Self> {
        let whole = match kind {
            FileKind::File => fsmeta::open_file_at(&dir, name),
            FileKind::Dir => fsmeta::open_dir_at(&dir, name, OpenDir::Read).map(Into::into),
            _ => return Ok(Self::Held(fsmeta::open_path_at(&dir, name)?)),
        };
        match whole {
            Ok(file) if fsmeta::stat_fd(&file)?.kind == kind => Ok(Self::Whole(file)),
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
            _ => Ok(Self::Held(fsmeta::open_path_at(&dir, name)?)),
        }
    }

    /// Clears what protects it, and for others than root what keeps its owner from changing what
    /// is in it. `found` is what the system said about it.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn make_usable(&self, found: &Stat) -> io::Result<()> {
        const ALL: u32 = 0o700;
        let target = match self {
            Self::Whole(file) => {
                fsmeta::clear_protection(file)?;
                MetaTarget::open(file)
            }
            Self::Held(held) => MetaTarget::path(held),
        };
        if fsmeta::is_root() || !found.is_dir() || found.mode & ALL == ALL {
            return Ok(());
        }
        let metadata = Metadata {
            kind: FileKind::Dir,
            uid: None,
            gid: None,
            mode: found.mode | ALL,
            xattrs: None,
            mtime: found.mtime,
            atime: None,
            flags: None,
        };
        fsmeta::apply(target, &metadata).into_iter().next().map_or(Ok(()), |first| Err(first.error))
    }
}

fn pair(time: Time) -> (i64, u32) {
    (time.secs, time.nanos)
}

fn time((secs, nanos): (i64, u32)) -> Time {
    Time { secs, nanos }
}

fn bytes(list: &[Xattr]) -> Vec<(ByteBuf, ByteBuf)> {
    let pair =
        |xattr: &Xattr| (ByteBuf::from(xattr.name.clone()), ByteBuf::from(xattr.value.clone()));
    list.iter().map(pair).collect()
}
