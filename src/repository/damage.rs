//! What is known to be bad, and what that means for a chunk or page.

use std::collections::{HashMap, HashSet};

use super::{Index, Location};
use crate::format::pack::PackType;
use crate::model::{ObjectHash, PageId};

/// Everything that was found to be bad, small enough to keep: bad things are few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Packs that are not there.
    pub missing_packs: HashSet<ObjectHash>,
    /// Packs whose bytes are not those that they were named after, or that cannot be read, whether
    /// that costs anything or not.
    pub bad_packs: HashMap<ObjectHash, PackType>,
    /// Packs on damage lists: what could be read of them has a copy elsewhere.
    pub distrusted_packs: HashSet<ObjectHash>,
    /// Packs that end too early, with the bytes that are there.
    pub short_packs: HashMap<ObjectHash, u64>,
    /// Segments that do not open or decompress.
    pub segments: HashSet<(ObjectHash, u32)>,
    /// Chunks and pages that are not what they should be in a pack.
    pub copies: HashSet<(ObjectHash, [u8; 32])>,
    /// Pages that cannot be read, or whose content makes no sense.
    pub pages: HashSet<PageId>,
    /// Chunks that are named somewhere and that the index does not know with that length: any
    /// number of them, so they are not listed here.
    pub lost_chunks: bool,
}

impl Damage {
    /// Whether nothing is bad.
    pub fn is_empty(&self) -> bool {
        self.missing_packs.is_empty()
            && self.distrusted_packs.is_empty()
            && self.short_packs.is_empty()
            && self.segments.is_empty()
            && self.copies.is_empty()
            && self.pages.is_empty()
            && !self.lost_chunks
    }

    /// Whether no good copy of a chunk or page is known. One with a bad and a good copy is not
    /// lost. `len` is the length it must have, where that is known.
    pub fn is_lost(&self, index: &Index, id: &[u8; 32], len: Option<u32>) -> bool {
        // Nearly always the first copy is good, and looking for all takes longer.
        let is_good = |location: &Location| {
            len.is_none_or(|len| len == location.len) && self.is_good_copy(index, id, location)
        };
        match index.find(id) {
            Some(location) if is_good(&location) => false,
            _ => !index.find_all(id).iter().any(is_good),
        }
    }

    fn is_good_copy(&self, index: &Index, id: &[u8; 32], location: &Location) -> bool {
        if self.is_empty() {
            return true;
        }
        let pack = index.pack(location.pack).hash;
        if self.missing_packs.contains(&pack)
            || self.distrusted_packs.contains(&pack)
            || self.segments.contains(&(pack, location.segment_no))
            || self.copies.contains(&(pack, *id))
        {
            return false;
        }
        let Some(len) = self.short_packs.get(&pack) else { return true };
        index
            .segment(location.pack, location.segment_no)
            .is_some_and(|segment| segment.offset + u64::from(segment.sealed_len) <= *len)
    }
}
