//! Packs on their way into a level or run, each with a number.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use hashbrown::HashTable;

use super::SegmentInfo;
use super::level::SEGMENT_LEN;
use crate::error::{Error, Result};
use crate::format::pack::PackType;
use crate::model::{EpochId, ObjectHash};
use crate::runtime::Spool;

/// A pack to be taken into the index.
#[derive(Clone, Debug)]
pub(crate) struct NewPack {
    pub(crate) hash: ObjectHash,
    pub(crate) len: u64,
    pub(crate) pack_type: PackType,
    pub(crate) segments: Vec<SegmentInfo>,
}

/// Who says that a pack is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    /// A table, whose run may not be there.
    Table,
    /// A complete run, or another level.
    Run,
    /// A directory, whose records were all added.
    Directory,
}

/// A pack without its segments.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackEntry {
    pub(super) hash: ObjectHash,
    pub(super) len: u64,
    first: u32,
    pub(super) segments: u32,
    pub(super) pack_type: PackType,
    told: Told,
}

/// Numbers packs in the order in which they are added. About 60 bytes a pack are held; segments
/// are spooled.
pub(super) struct Packs {
    entries: Vec<PackEntry>,
    numbers: HashTable<u32>,
    hasher: RandomState,
    segments: Spool,
}

impl Packs {
    pub(super) fn new(folder: Option<&Path>) -> Self {
        Self {
            entries: Vec::new(),
            numbers: HashTable::new(),
            hasher: RandomState::new(),
            segments: Spool::new(folder),
        }
    }

    fn number(&self, hash: &ObjectHash) -> Option<u32> {
        let is_it = |number: &u32| self.entries[*number as usize].hash == *hash;
        self.numbers.find(self.hasher.hash_one(hash), is_it).copied()
    }

    /// The number of a pack, added if it is new.
    ///
    /// # Errors
    /// [`Error::Local`] if there is no room for it.
    pub(super) fn add(&mut self, pack: &NewPack, told: Told) -> Result<u32> {
        let segments = pack.segments.iter().copied().map(Ok);
        self.add_streamed(pack.hash, pack.len, pack.pack_type, segments, told)
    }

    /// As [`Packs::add`], with segments one by one.
    pub(super) fn add_streamed(
        &mut self,
        hash: ObjectHash,
        len: u64,
        pack_type: PackType,
        segments: impl Iterator<Item = Result<SegmentInfo>>,
        told: Told,
    ) -> Result<u32> {
        if let Some(number) = self.number(&hash) {
            let entry = &mut self.entries[number as usize];
            entry.told = entry.told.max(told);
            return Ok(number);
        }
        let too_many = || Error::Internal { what: "the index has too many packs".into() };
        let number = u32::try_from(self.entries.len()).map_err(|_| too_many())?;
        let position = self.segments.len() / SEGMENT_LEN as u64;
        let first = u32::try_from(position).map_err(|_| too_many())?;
        let mut count = 0;
        for segment in segments {
            self.segments.push(&segment?.encode())?;
            count += 1;
        }
        first.checked_add(count).ok_or_else(too_many)?;
        self.entries.push(PackEntry { hash, len, first, segments: count, pack_type, told });
        let (entries, hasher) = (&self.entries, &self.hasher);
        let rehash = |number: &u32| hasher.hash_one(entries[*number as usize].hash);
        self.numbers.insert_unique(hasher.hash_one(hash), number, rehash);
        Ok(number)
    }

    /// Says that a pack is there after all.
    pub(super) fn confirm(&mut self, number: u32) {
        let told = &mut self.entries[number as usize].told;
        *told = (*told).max(Told::Run);
    }

    /// Takes back what [`Packs::confirm`] said, unless somebody else says it too.
    pub(super) fn doubt(&mut self, number: u32) {
        let told = &mut self.entries[number as usize].told;
        if *told == Told::Run {
            *told = Told::Table;
        }
    }

    /// Whether all records of a pack's directory were added.
    pub(super) fn has_directory(&self, hash: &ObjectHash) -> bool {
        let number = self.number(hash);
        number.is_some_and(|number| self.entries[number as usize].told == Told::Directory)
    }

    /// New numbers for the packs that count: those that are there and not dropped. Others get
    /// `None`.
    pub(super) fn kept(&self, dropped: &HashSet<ObjectHash>) -> Kept {
        let mut kept = Kept { numbers: Vec::with_capacity(self.entries.len()), packs: 0 };
        let mut segments = 0_u64;
        for entry in &self.entries {
            let counts = entry.told > Told::Table && !dropped.contains(&entry.hash);
            kept.numbers.push(if counts { kept.packs } else { GONE });
            kept.packs += u32::from(counts);
            segments += if counts { u64::from(entry.segments) } else { 0 };
        }
        debug_assert!(segments <= u64::from(u32::MAX), "checked when they were added");
        kept
    }

    /// All packs with their numbers.
    pub(super) fn entries(&self) -> &[PackEntry] {
        &self.entries
    }

    /// The segments of one pack.
    ///
    /// # Errors
    /// [`Error::Local`] if they cannot be read.
    pub(super) fn segments_of(&self, entry: &PackEntry) -> Result<Vec<SegmentInfo>> {
        let start = u64::from(entry.first) * SEGMENT_LEN as u64;
        let mut bytes = vec![0; entry.segments as usize * SEGMENT_LEN];
        self.segments.read_at(start, &mut bytes)?;
        Ok(bytes.as_chunks().0.iter().map(SegmentInfo::decode).collect())
    }
}

const GONE: u32 = u32::MAX;

/// Numbers of packs after those that do not count were left out.
pub(super) struct Kept {
    numbers: Vec<u32>,
    pub(super) packs: u32,
}

impl Kept {
    /// The new number of a pack; `None` if it does not count.
    pub(super) fn number(&self, old: u32) -> Option<u32> {
        self.numbers.get(old as usize).copied().filter(|number| *number != GONE)
    }
}

impl SegmentInfo {
    /// 32 bytes, as in the file of a level.
    pub(super) fn encode(&self) -> [u8; SEGMENT_LEN] {
        let mut bytes = [0; SEGMENT_LEN];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.sealed_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.plain_len.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.epoch.0);
        bytes[24] = self.codec;
        bytes
    }

    /// Reads 32 bytes.
    pub(super) fn decode(bytes: &[u8; SEGMENT_LEN]) -> Self {
        let number =
            |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
        Self {
            offset: u64::from_le_bytes(bytes[..8].try_into().unwrap_or_default()),
            sealed_len: number(8),
            plain_len: number(12),
            epoch: EpochId(bytes[16..24].try_into().unwrap_or_default()),
            codec: bytes[24],
        }
    }
}
