//! The whole index in the order of ids, with every pack numbered once: what plans of a prune are
//! made of. Records are streamed from the levels, so this needs memory for packs only.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::level::Level;
use super::merge::READ_AHEAD;
use super::{Index, Location, PackInfo, PackRef, location};
use crate::error::{Error, Result};
use crate::model::ObjectHash;

/// Every pack of the index once, and which of them a [`PackRef`] means. Good as long as nothing is
/// added to the index.
pub struct NumberedPacks {
    packs: Vec<(PackRef, PackInfo)>,
    /// For each level where its packs start in `numbers`.
    starts: Vec<usize>,
    numbers: Vec<u32>,
}

impl NumberedPacks {
    /// The packs, sorted by name.
    pub fn all(&self) -> &[(PackRef, PackInfo)] {
        &self.packs
    }

    /// Which of them a reference means.
    pub fn number(&self, pack: PackRef) -> Option<usize> {
        let start = *self.starts.get(pack.level as usize)?;
        self.numbers.get(start + pack.pack_no as usize).map(|number| *number as usize)
    }

    /// The number of a pack by name.
    pub fn find(&self, hash: &ObjectHash) -> Option<usize> {
        self.packs.binary_search_by(|(_, info)| info.hash.cmp(hash)).ok()
    }
}

/// Gets an id and all places where it is.
pub(crate) type OnPlaces<'a> = &'a mut dyn FnMut(&[u8; 32], &[Location]) -> Result<()>;

impl Index {
    /// Numbers all packs.
    pub fn number_packs(&self) -> NumberedPacks {
        let packs = self.packs();
        let levels = self.levels.read();
        let mut starts = vec![usize::MAX; levels.all.len()];
        let mut numbers = Vec::new();
        for (number, level) in levels.iter() {
            starts[number as usize] = numbers.len();
            for pack_no in 0..level.pack_count() {
                let hash = level.pack(pack_no).hash;
                let at = packs.binary_search_by(|(_, info)| info.hash.cmp(&hash));
                // Every pack of every level is in the list.
                numbers.push(at.unwrap_or(usize::MAX) as u32);
            }
        }
        NumberedPacks { packs, starts, numbers }
    }

    /// Calls `found` for each id in ascending order with all places where it is.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the local index cannot be read: a missing record might be the only
    /// one. Those of `found`.
    pub(crate) fn for_each_sorted(&self, found: OnPlaces<'_>) -> Result<()> {
        let levels: Vec<(u32, Arc<Level>)> =
            self.levels.read().iter().map(|(number, level)| (number, Arc::clone(level))).collect();
        let read = |source: usize, number: u64| {
            let damaged = || Error::damaged("local index", "a part of it cannot be read");
            if number.is_multiple_of(READ_AHEAD) {
                levels[source].1.will_read(number, 2 * READ_AHEAD);
            }
            levels[source].1.record(number).ok_or_else(damaged)
        };
        let mut next = BinaryHeap::new();
        for (source, (_, level)) in levels.iter().enumerate() {
            if level.record_count() > 0 {
                next.push(Reverse((read(source, 0)?, source, 0)));
            }
        }
        let mut places: Vec<Location> = Vec::new();
        let mut id = [0; 32];
        while let Some(Reverse((record, source, number))) = next.pop() {
            if record.id != id && !places.is_empty() {
                found(&id, &places)?;
                places.clear();
            }
            id = record.id;
            let pack = PackRef { level: levels[source].0, pack_no: record.pack_no };
            places.push(location(pack, &record));
            if number + 1 < levels[source].1.record_count() {
                next.push(Reverse((read(source, number + 1)?, source, number + 1)));
            }
        }
        if !places.is_empty() {
            found(&id, &places)?;
        }
        Ok(())
    }
}
