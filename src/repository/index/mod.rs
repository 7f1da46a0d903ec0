//! Where every chunk is: levels of sorted, mapped records, and what this process adds.
//!
//! A level is a local file (or anonymous memory) made from some index objects of the repository.
//! Loading lists the repository's index objects, drops levels that cover objects which are gone,
//! and makes one new level from all objects that no level covers, merged with the small levels.
//! So opening after a backup costs what that backup added, and memory does not grow with the
//! repository: levels are mapped, not read.

mod build;
mod inspect;
mod level;
mod load;
mod merge;
mod objects;
mod packs;
mod run;
mod sort;
mod sorted;
mod write;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use rayon::prelude::*;

use super::keys::Keys;
use crate::format::pack::PackType;
use crate::model::{EpochId, ObjectHash, RepoId};
pub(crate) use build::LevelBuilder;
pub(crate) use inspect::Outline;
use level::Covered;
use level::Level;
pub(crate) use merge::{MergeError, Merged};
pub(crate) use packs::NewPack;
pub use sorted::NumberedPacks;

/// A pack in the index of this process. Not stored anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackRef {
    level: u32,
    pack_no: u32,
}

#[cfg(test)]
impl PackRef {
    /// A pack in the level that was loaded first.
    pub(super) fn in_first_level(pack_no: u32) -> Self {
        Self { level: 0, pack_no }
    }
}

/// Where a chunk or page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// In which pack.
    pub pack: PackRef,
    /// In which of its segments.
    pub segment_no: u32,
    /// Where it starts in the plain segment.
    pub offset: u32,
    /// Its plain length.
    pub len: u32,
}

/// A pack as the index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackInfo {
    /// Its name.
    pub hash: ObjectHash,
    /// Its length in bytes.
    pub len: u64,
    /// What it holds.
    pub pack_type: PackType,
    /// How many segments it has.
    pub segments: u32,
}

impl PackInfo {
    /// The name of its object.
    pub fn object_name(&self) -> String {
        pack_name(self.pack_type, self.hash)
    }
}

/// The name of a pack's object.
pub(crate) fn pack_name(pack_type: PackType, hash: ObjectHash) -> String {
    format!("{}/{:02x}/{hash}", pack_type.folder(), hash.0[0])
}

/// A segment as the index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Where it starts in the pack.
    pub offset: u64,
    /// Its sealed length.
    pub sealed_len: u32,
    /// The length of its chunks together.
    pub plain_len: u32,
    /// Number of its codec.
    pub codec: u8,
    /// Which epoch's key seals it.
    pub epoch: EpochId,
}

/// Sums over the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexStats {
    /// Records, copies included.
    pub records: u64,
    /// Packs of chunks.
    pub data_packs: u64,
    /// Packs of pages.
    pub meta_packs: u64,
    /// Bytes of packs of chunks.
    pub data_bytes: u64,
    /// Bytes of packs of pages.
    pub meta_bytes: u64,
    /// Bytes of chunks before compression.
    pub data_plain_bytes: u64,
    /// Bytes of pages before compression.
    pub meta_plain_bytes: u64,
}

/// The index of an open repository. All methods may be called from any thread.
pub struct Index {
    repo_id: RepoId,
    keys: Arc<Keys>,
    cache_dir: Option<PathBuf>,
    levels: RwLock<Levels>,
    /// Held while a level is made, so that two do not merge the same levels.
    building: Mutex<()>,
}

/// Levels never move: a [`PackRef`] holds a position. Those that were merged into another are
/// retired: references to them still work, look-ups pass them over.
#[derive(Default)]
struct Levels {
    all: Vec<(Arc<Level>, LevelUse)>,
    /// Packs whose entries do not count for deduplication: not listed, or condemned.
    ghosts: HashSet<ObjectHash>,
    /// Packs that drop lists name: whatever else says so, they are not there.
    dropped: Arc<HashSet<ObjectHash>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LevelUse {
    Active,
    /// Made up from packs that no index object names: never merged, gone before a session looks
    /// for such packs.
    Recovered,
    /// Covers objects that are not in the repository any more. What comes in its place is being
    /// made: until then it answers readers who find an id nowhere else, and nobody else.
    Stale,
    Retired,
}

impl Index {
    pub(crate) fn new(repo_id: RepoId, keys: Arc<Keys>, cache_dir: Option<PathBuf>) -> Self {
        let cache_dir = cache_dir.map(|dir| dir.join(repo_id.to_string()));
        Self { repo_id, keys, cache_dir, levels: RwLock::default(), building: Mutex::default() }
    }

    /// This machine's folder for the repository, if it keeps one.
    pub(crate) fn cache_dir(&self) -> Option<&Path> {
        self.cache_dir.as_deref()
    }

    /// An index of the same repository that is loaded by itself.
    pub(crate) fn apart(&self) -> Self {
        Self {
            repo_id: self.repo_id,
            keys: Arc::clone(&self.keys),
            cache_dir: self.cache_dir.clone(),
            levels: RwLock::default(),
            building: Mutex::default(),
        }
    }

    /// Where an id is, if it is stored in a pack that is there. Other copies: [`Index::find_all`].
    pub fn find(&self, id: &[u8; 32]) -> Option<Location> {
        let levels = self.levels.read();
        levels.iter().find_map(|(number, level)| {
            level.find(id).find_map(|record| {
                let pack = PackRef { level: number, pack_no: record.pack_no };
                levels.is_usable(level, record.pack_no).then(|| location(pack, &record))
            })
        })
    }

    /// All places where an id is, in packs that are there or not: if one is damaged, another may
    /// be good.
    pub fn find_all(&self, id: &[u8; 32]) -> Vec<Location> {
        let levels = self.levels.read();
        let mut found = Vec::new();
        for (number, level) in levels.iter() {
            for record in level.find(id) {
                let pack = PackRef { level: number, pack_no: record.pack_no };
                found.push(location(pack, &record));
            }
        }
        if found.is_empty() {
            for (number, level) in levels.stale() {
                found.extend(level.find(id).map(|record| {
                    let pack = PackRef { level: number, pack_no: record.pack_no };
                    location(pack, &record)
                }));
            }
        }
        found
    }

    /// A pack by reference.
    ///
    /// # Panics
    /// If the reference is of another repository's index.
    pub fn pack(&self, pack: PackRef) -> PackInfo {
        self.level(pack.level).pack(pack.pack_no)
    }

    /// A segment of a pack; `None` if it has no such segment.
    pub fn segment(&self, pack: PackRef, segment_no: u32) -> Option<SegmentInfo> {
        self.level(pack.level).segment(pack.pack_no, segment_no)
    }

    fn level(&self, number: u32) -> Arc<Level> {
        let levels = self.levels.read();
        let (level, _) = levels.all.get(number as usize).expect("a reference of this index");
        Arc::clone(level)
    }

    /// All packs, each once, sorted by name.
    pub fn packs(&self) -> Vec<(PackRef, PackInfo)> {
        let levels = self.levels.read();
        let mut packs = Vec::new();
        for (number, level) in levels.iter() {
            for pack_no in 0..level.pack_count() {
                packs.push((PackRef { level: number, pack_no }, level.pack(pack_no)));
            }
        }
        packs.par_sort_unstable_by_key(|(pack, info): &(PackRef, PackInfo)| (info.hash, *pack));
        packs.dedup_by_key(|(_, info)| info.hash);
        packs
    }

    /// Sums over all packs.
    pub fn stats(&self) -> IndexStats {
        let records = self.levels.read().iter().map(|(_, level)| level.record_count()).sum();
        let mut stats = IndexStats { records, ..IndexStats::default() };
        for (pack, info) in self.packs() {
            let plain: u64 = (0..info.segments)
                .filter_map(|no| self.segment(pack, no))
                .map(|segment| u64::from(segment.plain_len))
                .sum();
            let (packs, bytes, plain_bytes) = match info.pack_type {
                PackType::Data => {
                    (&mut stats.data_packs, &mut stats.data_bytes, &mut stats.data_plain_bytes)
                }
                PackType::Meta => {
                    (&mut stats.meta_packs, &mut stats.meta_bytes, &mut stats.meta_plain_bytes)
                }
            };
            *packs += 1;
            *bytes += info.len;
            *plain_bytes += plain;
        }
        stats
    }

    /// The index objects that are in use.
    pub(crate) fn covered(&self) -> Vec<Covered> {
        self.levels.read().iter().flat_map(|(_, level)| level.covered()).collect()
    }

    /// The packs that drop lists name.
    pub(crate) fn dropped(&self) -> Arc<HashSet<ObjectHash>> {
        Arc::clone(&self.levels.read().dropped)
    }

    /// Leaves these packs out of deduplication, too.
    pub(crate) fn add_ghosts(&self, packs: &[ObjectHash]) {
        self.levels.write().ghosts.extend(packs);
    }

    /// Leaves packs out of deduplication: they are not listed with the right length, or condemned.
    pub(crate) fn set_ghosts(&self, ghosts: HashSet<ObjectHash>) {
        self.levels.write().ghosts = ghosts;
    }
}

impl Levels {
    fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, &Arc<Level>)> {
        self.used_as(|used| matches!(used, LevelUse::Active | LevelUse::Recovered))
    }

    fn stale(&self) -> impl DoubleEndedIterator<Item = (u32, &Arc<Level>)> {
        self.used_as(|used| used == LevelUse::Stale)
    }

    fn used_as(
        &self,
        fits: impl Fn(LevelUse) -> bool,
    ) -> impl DoubleEndedIterator<Item = (u32, &Arc<Level>)> {
        let numbered = self.all.iter().enumerate();
        numbered
            .filter(move |(_, (_, used))| fits(*used))
            .map(|(number, (level, _))| (number as u32, level))
    }

    fn is_usable(&self, level: &Level, pack_no: u32) -> bool {
        self.ghosts.is_empty() || !self.ghosts.contains(&level.pack(pack_no).hash)
    }
}

fn location(pack: PackRef, record: &crate::format::index::IndexRecord) -> Location {
    Location { pack, segment_no: record.segment_no, offset: record.offset, len: record.len }
}

#[cfg(test)]
mod tests;
