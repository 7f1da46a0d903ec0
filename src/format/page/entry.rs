//! One entry as a trimmed record: trailing elements that have their default value are left out.

use std::fmt;
use std::sync::Arc;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::content::ContentRecord;
use super::xattrs::{XattrsRecord, xattr};
use crate::error::Result;
use crate::format::list::{join, split};
use crate::format::record::Bin;
use crate::model::{Content, Entry, FileKind, Owner, Piece, Time, Xattr, XattrsRef};

/// Elements that are always there; the others may be trimmed.
const FIELDS_MIN: usize = 6;
const FLAG_SPARSE: u32 = 1;
const FLAG_TORN: u32 = 2;

/// An entry as stored, relative to the entry before it in the page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryRecord {
    prefix: u32,
    suffix: Bin,
    kind: u8,
    mode: u32,
    owner: u32,
    mtime_secs: i64,
    mtime_nanos: u32,
    ctime_secs: i64,
    ctime_nanos: u32,
    inode: i64,
    nlink: u64,
    size: u64,
    content: ContentRecord,
    link: Option<Bin>,
    flags: u32,
    inode_flags: u32,
    xattrs: XattrsRecord,
    device: Option<(u32, u32)>,
    atime: Option<(i64, u32)>,
}

fn kind_number(kind: FileKind) -> u8 {
    match kind {
        FileKind::File => 1,
        FileKind::Dir => 2,
        FileKind::Symlink => 3,
        FileKind::Fifo => 4,
        FileKind::Socket => 5,
        FileKind::CharDevice => 6,
        FileKind::BlockDevice => 7,
    }
}

fn kind_from_number(number: u8) -> Option<FileKind> {
    Some(match number {
        1 => FileKind::File,
        2 => FileKind::Dir,
        3 => FileKind::Symlink,
        4 => FileKind::Fifo,
        5 => FileKind::Socket,
        6 => FileKind::CharDevice,
        7 => FileKind::BlockDevice,
        _ => return None,
    })
}

impl EntryRecord {
    pub(super) fn new(entry: &Entry, before: Option<&Entry>, owner: u32) -> Self {
        let prefix = before.map_or(0, |before| {
            before.path.iter().zip(&entry.path).take_while(|(a, b)| a == b).count()
        });
        let content = match &entry.content {
            Content::None => ContentRecord::None,
            Content::Inline(bytes) => ContentRecord::Inline(Bin(bytes.clone())),
            Content::Pieces(pieces) => match pieces[..] {
                [Piece::Chunk(id, len)] if u64::from(len) == entry.size => ContentRecord::One(id),
                _ => {
                    let (ids, lengths) = split(pieces);
                    ContentRecord::Pieces(ids, lengths)
                }
            },
            Content::List { root, depth, pieces } => ContentRecord::List(*root, *depth, *pieces),
        };
        let pair = |x: &Xattr| (Bin(x.name.clone()), Bin(x.value.clone()));
        let xattrs = match &entry.xattrs {
            XattrsRef::None => XattrsRecord::None,
            XattrsRef::Inline(list) => XattrsRecord::Inline(list.iter().map(pair).collect()),
            XattrsRef::Page(id) => XattrsRecord::Page(*id),
        };
        Self {
            prefix: prefix as u32,
            suffix: entry.path[prefix..].into(),
            kind: kind_number(entry.kind),
            mode: entry.mode,
            owner,
            mtime_secs: entry.mtime.secs,
            mtime_nanos: entry.mtime.nanos,
            ctime_secs: entry.ctime.secs.wrapping_sub(entry.mtime.secs),
            ctime_nanos: entry.ctime.nanos,
            inode: entry.inode.wrapping_sub(before.map_or(0, |b| b.inode)) as i64,
            nlink: entry.nlink,
            size: entry.size,
            content,
            link: entry.link_to.clone().map(Bin),
            flags: u32::from(entry.sparse) * FLAG_SPARSE + u32::from(entry.torn) * FLAG_TORN,
            inode_flags: entry.inode_flags,
            xattrs,
            device: entry.device,
            atime: entry.atime.map(|t| (t.secs, t.nanos)),
        }
    }

    pub(super) fn into_entry(self, before: Option<&Entry>, owners: &[Arc<Owner>]) -> Option<Entry> {
        let nanos = |n: u32| (n < 1_000_000_000).then_some(n);
        let prefix = before.map_or(&[][..], |b| &b.path).get(..self.prefix as usize)?;
        let mut path = Vec::with_capacity(prefix.len() + self.suffix.0.len());
        path.extend_from_slice(prefix);
        path.extend_from_slice(&self.suffix.0);
        let content = match self.content {
            ContentRecord::None => Content::None,
            ContentRecord::Inline(bytes) => Content::Inline(bytes.0),
            ContentRecord::One(id) => {
                Content::Pieces(vec![Piece::Chunk(id, u32::try_from(self.size).ok()?)])
            }
            ContentRecord::Pieces(ids, lengths) => Content::Pieces(join(&ids, &lengths)?),
            ContentRecord::List(root, depth, pieces) => Content::List { root, depth, pieces },
        };
        let xattrs = match self.xattrs {
            XattrsRecord::None => XattrsRef::None,
            XattrsRecord::Inline(list) => XattrsRef::Inline(list.into_iter().map(xattr).collect()),
            XattrsRecord::Page(id) => XattrsRef::Page(id),
        };
        let atime = match self.atime {
            None => None,
            Some((secs, n)) => Some(Time { secs, nanos: nanos(n)? }),
        };
        let entry = Entry {
            path,
            kind: kind_from_number(self.kind)?,
            mode: self.mode & 0o7777,
            owner: Arc::clone(owners.get(self.owner as usize)?),
            mtime: Time { secs: self.mtime_secs, nanos: nanos(self.mtime_nanos)? },
            ctime: Time {
                secs: self.mtime_secs.wrapping_add(self.ctime_secs),
                nanos: nanos(self.ctime_nanos)?,
            },
            atime,
            inode: before.map_or(0, |b| b.inode).wrapping_add(self.inode as u64),
            nlink: self.nlink,
            size: self.size,
            content,
            link_to: self.link.map(|link| link.0),
            sparse: self.flags & FLAG_SPARSE != 0,
            torn: self.flags & FLAG_TORN != 0,
            inode_flags: self.inode_flags,
            xattrs,
            device: self.device,
        };
        content_fits(&entry).then_some(entry)
    }

    /// How many elements are left when trailing defaults are trimmed.
    fn trimmed_len(&self) -> usize {
        let used = [
            self.mtime_nanos != 0,
            self.ctime_secs != 0,
            self.ctime_nanos != 0,
            self.inode != 0,
            self.nlink != 0,
            self.size != 0,
            self.content != ContentRecord::None,
            self.link.is_some(),
            self.flags != 0,
            self.inode_flags != 0,
            self.xattrs != XattrsRecord::None,
            self.device.is_some(),
            self.atime.is_some(),
        ];
        FIELDS_MIN + used.iter().rposition(|used| *used).map_or(0, |last| last + 1)
    }
}

/// Whether content and size agree, so that later code can rely on it.
fn content_fits(entry: &Entry) -> bool {
    let is_file = entry.kind == FileKind::File;
    match &entry.content {
        Content::None => true,
        Content::Inline(bytes) => {
            entry.kind == FileKind::Symlink || (is_file && bytes.len() as u64 == entry.size)
        }
        Content::Pieces(pieces) => {
            let sum = pieces.iter().try_fold(0_u64, |sum, piece| sum.checked_add(piece.len()));
            is_file && !pieces.is_empty() && sum == Some(entry.size)
        }
        Content::List { depth, .. } => is_file && *depth < 8,
    }
}

/// Bytes of content, link and attributes that count for the page cut rule.
pub(super) fn payload_weight(entry: &Entry) -> usize {
    let content = match &entry.content {
        Content::None => 0,
        Content::Inline(bytes) => bytes.len(),
        Content::Pieces(pieces) => {
            32 * pieces.iter().filter(|p| matches!(p, Piece::Chunk(..))).count()
        }
        Content::List { .. } => 32,
    };
    let xattrs = match &entry.xattrs {
        XattrsRef::None => 0,
        XattrsRef::Inline(list) => list.iter().map(|x| x.name.len() + x.value.len()).sum(),
        XattrsRef::Page(_) => 32,
    };
    content + xattrs + entry.link_to.as_ref().map_or(0, Vec::len)
}

impl Serialize for EntryRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let len = self.trimmed_len();
        let mut tuple = serializer.serialize_tuple(len)?;
        let mut left = len;
        macro_rules! put {
            ($($field:expr),*) => {
                $(if left > 0 {
                    tuple.serialize_element($field)?;
                    left -= 1;
                })*
            };
        }
        put!(
            &self.prefix,
            &self.suffix,
            &self.kind,
            &self.mode,
            &self.owner,
            &self.mtime_secs,
            &self.mtime_nanos,
            &self.ctime_secs,
            &self.ctime_nanos,
            &self.inode,
            &self.nlink,
            &self.size,
            &self.content,
            &self.link,
            &self.flags,
            &self.inode_flags,
            &self.xattrs,
            &self.device,
            &self.atime
        );
        debug_assert_eq!(left, 0);
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for EntryRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntryVisitor;
        impl<'de> Visitor<'de> for EntryVisitor {
            type Value = EntryRecord;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the array of an entry")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<EntryRecord, A::Error> {
                let short = || serde::de::Error::custom("an entry is too short");
                let record = EntryRecord {
                    prefix: seq.next_element()?.ok_or_else(short)?,
                    suffix: seq.next_element()?.ok_or_else(short)?,
                    kind: seq.next_element()?.ok_or_else(short)?,
                    mode: seq.next_element()?.ok_or_else(short)?,
                    owner: seq.next_element()?.ok_or_else(short)?,
                    mtime_secs: seq.next_element()?.ok_or_else(short)?,
                    mtime_nanos: seq.next_element()?.unwrap_or_default(),
                    ctime_secs: seq.next_element()?.unwrap_or_default(),
                    ctime_nanos: seq.next_element()?.unwrap_or_default(),
                    inode: seq.next_element()?.unwrap_or_default(),
                    nlink: seq.next_element()?.unwrap_or_default(),
                    size: seq.next_element()?.unwrap_or_default(),
                    content: seq.next_element()?.unwrap_or_default(),
                    link: seq.next_element()?.unwrap_or_default(),
                    flags: seq.next_element()?.unwrap_or_default(),
                    inode_flags: seq.next_element()?.unwrap_or_default(),
                    xattrs: seq.next_element()?.unwrap_or_default(),
                    device: seq.next_element()?.unwrap_or_default(),
                    atime: seq.next_element()?.unwrap_or_default(),
                };
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(record)
            }
        }
        deserializer.deserialize_seq(EntryVisitor)
    }
}
