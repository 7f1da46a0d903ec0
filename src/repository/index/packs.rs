//! Packs on their way into a level, each with a number.

use std::collections::HashMap;

use super::SegmentInfo;
use crate::format::pack::PackType;
use crate::model::ObjectHash;

/// A pack to be taken into the index.
#[derive(Clone, Debug)]
pub(crate) struct NewPack {
    pub(crate) hash: ObjectHash,
    pub(crate) len: u64,
    pub(crate) pack_type: PackType,
    pub(crate) segments: Vec<SegmentInfo>,
}

/// Numbers packs in the order in which they are added.
#[derive(Default)]
pub(super) struct Packs {
    all: Vec<NewPack>,
    numbers: HashMap<ObjectHash, u32>,
}

impl Packs {
    /// The number of a pack, added if it is new.
    pub(super) fn add(&mut self, pack: NewPack) -> u32 {
        *self.numbers.entry(pack.hash).or_insert_with(|| {
            self.all.push(pack);
            (self.all.len() - 1) as u32
        })
    }

    pub(super) fn contains(&self, hash: &ObjectHash) -> bool {
        self.numbers.contains_key(hash)
    }

    pub(super) fn all(&self) -> &[NewPack] {
        &self.all
    }

    pub(super) fn into_all(self) -> Vec<NewPack> {
        self.all
    }
}
