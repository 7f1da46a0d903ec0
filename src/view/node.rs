//! Numbers of nodes, without a table of files.
//!
//! ```text
//! 63     40 39     34 33                 0
//! | tree    | up     | entry + 1          |   in a snapshot
//! | 0       | kind   | which one          |   above the snapshots
//! ```
//!
//! In a snapshot the number of an entry in the manifest is the number of its node, and the number
//! of the tree comes from the snapshot's id: so inode numbers stay what they are from one mount to
//! the next. Folders whose own entry is lost are named by an entry that lies in them and how many
//! folders they are above it (`up`). Node 0 of a tree is the root of the snapshot.

use crate::error::{Error, Result};

/// Names a file, folder or other node of a [`View`](super::View): an inode number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NodeId(pub u64);

/// Bits of a number within one tree.
const LOCAL_BITS: u32 = 40;
/// Bits of an entry's number and 1.
const ENTRY_BITS: u32 = 34;
/// Trees there can be at once.
pub(super) const TREES: u32 = 1 << 23;

/// A node of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Local {
    /// The root of the snapshot.
    Root,
    /// The entry of this number.
    Entry(u64),
    /// A folder without an entry, so many components above the entry of this number.
    Above(u64, u32),
}

impl NodeId {
    /// The root of the view.
    pub const ROOT: Self = Self(1);

    pub(super) fn in_tree(tree: u32, local: Local) -> Result<Self> {
        Ok(Self(u64::from(tree) << LOCAL_BITS | local.to_bits()?))
    }

    pub(super) fn at_top(bits: u64) -> Self {
        Self(bits & ((1 << LOCAL_BITS) - 1))
    }

    /// Whether it is part of a snapshot: what is known about it never changes.
    pub fn is_lasting(self) -> bool {
        self.tree() != 0
    }

    /// The number of its tree; 0 above the snapshots.
    pub(super) fn tree(self) -> u32 {
        u32::try_from(self.0 >> LOCAL_BITS).unwrap_or(u32::MAX)
    }

    /// Its number within the tree.
    pub(super) fn local_bits(self) -> u64 {
        self.0 & ((1 << LOCAL_BITS) - 1)
    }
}

impl Local {
    pub(super) fn from_bits(bits: u64) -> Option<Self> {
        let number = bits & ((1 << ENTRY_BITS) - 1);
        let up = u32::try_from(bits >> ENTRY_BITS).ok()?;
        Some(match (number.checked_sub(1), up) {
            (None, 0) => Self::Root,
            (None, _) => return None,
            (Some(number), 0) => Self::Entry(number),
            (Some(number), up) => Self::Above(number, up),
        })
    }

    /// # Errors
    /// If the manifest has more entries, or deeper folders, than there are numbers.
    pub(super) fn to_bits(self) -> Result<u64> {
        let (number, up) = match self {
            Self::Root => return Ok(0),
            Self::Entry(number) => (number, 0),
            Self::Above(number, up) => (number, up),
        };
        if number >= (1 << ENTRY_BITS) - 1 || up >= 1 << (LOCAL_BITS - ENTRY_BITS) {
            return Err(Error::damaged("manifest", "it has more entries than can be shown"));
        }
        Ok(u64::from(up) << ENTRY_BITS | (number + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for local in [Local::Root, Local::Entry(0), Local::Entry(1 << 33), Local::Above(7, 63)] {
            let node = NodeId::in_tree(TREES - 1, local).expect("fits");
            assert_eq!(node.tree(), TREES - 1);
            assert_eq!(Local::from_bits(node.local_bits()), Some(local));
            assert!(node.0 < 1 << 63, "programs that take it for signed");
        }
        assert!(NodeId::in_tree(1, Local::Entry((1 << 34) - 1)).is_err());
        assert!(NodeId::in_tree(1, Local::Above(1, 64)).is_err());
        assert_eq!(Local::from_bits(1 << 34), None);
    }
}
