//! What `stat` tells of a node.

use std::sync::Arc;

use parking_lot::Mutex;

use super::NodeId;
use crate::fsmeta::OwnerNames;
use crate::model::{Content, Entry, FileKind, Owner, Piece, Time};

/// Space on a disk is given out in blocks of this many bytes.
const DISK_BLOCK: u64 = 4096;
/// What `blocks` counts.
const STAT_BLOCK: u64 = 512;
/// A file that was sparse has a hole of at least this many bytes (SPEC.md, section 11).
const HOLE_MIN: u64 = 64 << 10;
/// Permissions of folders that no snapshot has.
const FOLDER_MODE: u32 = 0o555;
/// Permissions of links that no snapshot has.
const LINK_MODE: u32 = 0o777;

/// What is known about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Its number, the same for all names of a hard link.
    pub node: NodeId,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with set-id and sticky bits, `0o7777` at most.
    pub mode: u32,
    /// Who owns it.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// How many names it had at the source; 1 and more.
    pub nlink: u64,
    /// Length in bytes, of a link that of its target. `i64::MAX` at most.
    pub size: u64,
    /// Space that it takes up, in units of 512 bytes. Holes of sparse files count as none, as far
    /// as that is known without reading more.
    pub blocks: u64,
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of content or metadata at the source.
    pub ctime: Time,
    /// Last access, where the backup kept it; else as `mtime`.
    pub atime: Time,
    /// Major and minor number of a device node.
    pub device: Option<(u32, u32)>,
    /// Whether it is part of a snapshot and never changes.
    pub lasting: bool,
}

impl Attributes {
    /// Those of an entry. Of a hard link the entry is the one that has the content.
    pub(super) fn of(node: NodeId, entry: &Entry, owners: &Owners) -> Self {
        let (uid, gid) = owners.resolve(&entry.owner);
        let (size, taken) = match &entry.content {
            _ if entry.kind == FileKind::Dir => (DISK_BLOCK, DISK_BLOCK),
            Content::Inline(target) if entry.kind == FileKind::Symlink => (target.len() as u64, 0),
            _ => (entry.size.min(i64::MAX as u64), taken(entry)),
        };
        Self {
            node,
            kind: entry.kind,
            mode: entry.mode,
            uid,
            gid,
            nlink: entry.nlink.max(1),
            size,
            blocks: taken.div_ceil(DISK_BLOCK) * (DISK_BLOCK / STAT_BLOCK),
            mtime: entry.mtime,
            ctime: entry.ctime,
            atime: entry.atime.unwrap_or(entry.mtime),
            device: entry.device,
            lasting: true,
        }
    }

    /// Those of a folder that the view made.
    pub(super) fn of_folder(node: NodeId, time: Time, owners: &Owners) -> Self {
        Self {
            node,
            kind: FileKind::Dir,
            mode: FOLDER_MODE,
            uid: owners.own.0,
            gid: owners.own.1,
            nlink: 1,
            size: DISK_BLOCK,
            blocks: DISK_BLOCK / STAT_BLOCK,
            mtime: time,
            ctime: time,
            atime: time,
            device: None,
            lasting: false,
        }
    }

    /// Those of a link that the view made.
    pub(super) fn of_link(node: NodeId, target: &[u8], time: Time, owners: &Owners) -> Self {
        Self {
            kind: FileKind::Symlink,
            mode: LINK_MODE,
            size: target.len() as u64,
            blocks: 0,
            ..Self::of_folder(node, time, owners)
        }
    }
}

/// About how many bytes of a disk the content of a file takes up.
fn taken(entry: &Entry) -> u64 {
    let size = entry.size.min(i64::MAX as u64);
    if !entry.sparse {
        return size;
    }
    match &entry.content {
        Content::None => 0,
        Content::Inline(bytes) => bytes.len() as u64,
        Content::Pieces(pieces) => {
            let chunks = pieces.iter().filter(|piece| matches!(piece, Piece::Chunk(..)));
            chunks.map(Piece::len).fold(0, u64::saturating_add).min(size)
        }
        // Where its holes are stands in pages of their own; that there is one is known.
        Content::List { .. } => size.saturating_sub(HOLE_MIN),
    }
}

/// An owner, and its user and group here.
type Resolved = (Arc<Owner>, (u32, u32));

/// Who owns what is shown.
pub(super) struct Owners {
    /// Who owns everything, if that was asked for.
    all: Option<(u32, u32)>,
    /// Who owns what the view made.
    own: (u32, u32),
    names: OwnerNames,
    /// Owners stand next to each other: the last one is asked for again as a rule.
    last: Mutex<Option<Resolved>>,
}

impl Owners {
    pub(super) fn new(all: Option<(u32, u32)>) -> Self {
        let own = all.unwrap_or_else(crate::fsmeta::own_ids);
        Self { all, own, names: OwnerNames::load(), last: Mutex::default() }
    }

    /// User and group on this machine, found as `restore` finds them: by name, else by number.
    fn resolve(&self, owner: &Arc<Owner>) -> (u32, u32) {
        if let Some(all) = self.all {
            return all;
        }
        let mut last = self.last.lock();
        if let Some((known, found)) = &*last
            && (Arc::ptr_eq(known, owner) || known == owner)
        {
            return *found;
        }
        let found = self.names.resolve(owner);
        *last = Some((Arc::clone(owner), found));
        found
    }
}
