//! A run in storage, read in the order of ids, block by block: a part of one shard is held,
//! however large the run is.

use std::ops::Range;
use std::sync::Arc;

use super::merge::Records;
use crate::crypto::{Class, OVERHEAD, PREFIX, SealKind, Unit, open_in_place};
use crate::error::{Error, Result};
use crate::format::header::ObjectType;
use crate::format::header::{HEADER_LEN, Header};
use crate::format::index::{IndexRecord, RECORD_LEN, RunBlock, RunDirectory, block_context};
use crate::format::pack::{TRAILER_LEN, Trailer};
use crate::model::{BackupId, EpochId, ObjectHash};
use crate::repository::keys::Keys;
use crate::repository::object::{open_record, seal_kind};
use crate::storage::SharedStorage;

/// Sealed bytes that all runs of a merge together read ahead, about.
const READ_MAX: usize = 16 << 20;
/// Sealed bytes that a run reads ahead at most: enough to make good use of a slow network.
const READ_ONE: usize = if cfg!(test) { 60 << 10 } else { 4 << 20 };

/// A shard by its directory.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub(super) hash: ObjectHash,
    epoch: EpochId,
    pub(super) directory: RunDirectory,
}

/// Reads the bytes of an object from an offset on.
type ReadAt<'a> = dyn Fn(u64, usize) -> Result<Vec<u8>> + 'a;

impl Shard {
    /// Reads the directory of a shard of `len` bytes whose header is known.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the object, and those of `read_at`.
    pub(super) fn read(
        keys: &Keys,
        hash: ObjectHash,
        header: &[u8; HEADER_LEN],
        len: u64,
        read_at: &ReadAt<'_>,
    ) -> Result<Self> {
        let name = format!("index/{hash}");
        let damaged = || Error::damaged(&name, "it is cut off");
        let epoch = Header::decode(header, &name)?.epoch;
        let key = keys.of_epoch(Class::Index, epoch, &name)?;
        let at = len.checked_sub(TRAILER_LEN as u64).ok_or_else(damaged)?;
        let trailer = read_at(at, TRAILER_LEN)?;
        let trailer: &[u8; TRAILER_LEN] = trailer.first_chunk().ok_or_else(damaged)?;
        let trailer = Trailer::decode(trailer, len, &name)?;
        let sealed = read_at(trailer.directory_offset, trailer.directory_len as usize)?;
        let record = open_record(key, header, seal_kind(ObjectType::IndexRun), &sealed, &name)?;
        let directory = RunDirectory::decode(&record, &name)?;
        let fits = |block: &RunBlock| {
            block.sealed_len as usize == block.records as usize * RECORD_LEN + OVERHEAD
        };
        let blocks: u64 = directory.blocks.iter().map(|block| u64::from(block.sealed_len)).sum();
        if !directory.blocks.iter().all(fits)
            || HEADER_LEN as u64 + blocks > trailer.directory_offset
        {
            return Err(damaged());
        }
        Ok(Self { hash, epoch, directory })
    }

    fn name(&self) -> String {
        format!("index/{}", self.hash)
    }

    /// Opens a block where it lies and returns its records, a part of `sealed`.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the object.
    pub(super) fn open_block<'s>(
        &self,
        keys: &Keys,
        number: usize,
        sealed: &'s mut [u8],
    ) -> Result<&'s [u8]> {
        let directory = &self.directory;
        let key = keys.of_epoch(Class::Index, self.epoch, &self.name())?;
        let context = block_context(directory.run_id, directory.shard, number as u32);
        // How long it is was checked with the directory.
        open_in_place(key, Unit { kind: SealKind::RunBlock, context }, sealed)
            .ok_or_else(|| Error::damaged(self.name(), "a block's seal does not open"))
    }
}

/// New number and count of segments of each pack of a run, by its number in the run.
pub(super) type PackNumbers = Vec<(u32, u32)>;

/// A run, or what is there of one.
pub(super) struct RunSource {
    pub(super) run_id: BackupId,
    storage: SharedStorage,
    keys: Arc<Keys>,
    /// In the order of ids.
    shards: Vec<Shard>,
    /// `None` if nobody knows its packs: only its ids are of use.
    pub(super) numbers: Option<PackNumbers>,
    /// Shards and tables.
    pub(super) objects: Vec<ObjectHash>,
    pub(super) records: u64,
}

impl RunSource {
    pub(super) fn new(
        storage: &SharedStorage,
        keys: &Arc<Keys>,
        mut shards: Vec<Shard>,
        numbers: Option<PackNumbers>,
    ) -> Self {
        shards.sort_by_key(|shard| shard.directory.shard);
        let first = shards.first();
        let tables = first.map(|shard| shard.directory.tables.0.as_chunks().0).unwrap_or_default();
        let mut objects: Vec<ObjectHash> = tables.iter().map(|table| ObjectHash(*table)).collect();
        objects.extend(shards.iter().map(|shard| shard.hash));
        Self {
            run_id: first.map_or(BackupId([0; 16]), |shard| shard.directory.run_id),
            storage: Arc::clone(storage),
            keys: Arc::clone(keys),
            records: shards.iter().map(|shard| shard.directory.records).sum(),
            shards,
            numbers,
            objects,
        }
    }

    /// How many of its objects, the last ones, are shards.
    pub(super) fn shard_count(&self) -> usize {
        self.shards.len()
    }

    /// Its records in the order of ids, with new pack numbers where they are known. `runs` is how
    /// many are read at once.
    pub(super) fn records(&self, runs: usize) -> RunRecords<'_> {
        RunRecords {
            source: self,
            read_len: (READ_MAX / runs.max(1)).min(READ_ONE),
            shard: 0,
            block: 0,
            offset: HEADER_LEN as u64,
            sealed: Vec::new(),
            used: 0,
            sealed_end: 0,
            plain: 0..0,
            last: None,
        }
    }
}

/// See [`RunSource::records`].
pub(super) struct RunRecords<'s> {
    source: &'s RunSource,
    read_len: usize,
    shard: usize,
    /// The block to be opened next.
    block: usize,
    /// Where it starts in its object.
    offset: u64,
    /// Sealed blocks that were read ahead, up to the one before `sealed_end`.
    sealed: Vec<u8>,
    used: usize,
    sealed_end: usize,
    /// The records of the block that was opened, as a part of `sealed`.
    plain: Range<usize>,
    last: Option<[u8; 32]>,
}

impl RunRecords<'_> {
    /// Opens the next block; `false` at the end of the run.
    fn next_block(&mut self) -> Result<bool> {
        let shard = loop {
            let Some(shard) = self.source.shards.get(self.shard) else { return Ok(false) };
            if self.block < shard.directory.blocks.len() {
                break shard;
            }
            self.shard += 1;
            (self.block, self.offset, self.sealed_end) = (0, HEADER_LEN as u64, 0);
        };
        let blocks = &shard.directory.blocks;
        if self.block >= self.sealed_end {
            let mut len = 0;
            self.sealed_end = self.block;
            while let Some(next) = blocks.get(self.sealed_end)
                && (len == 0 || len + next.sealed_len as usize <= self.read_len)
            {
                len += next.sealed_len as usize;
                self.sealed_end += 1;
            }
            self.plain = 0..0;
            self.sealed.resize(len, 0);
            self.source.storage.get_range(&shard.name(), self.offset, &mut self.sealed)?;
            self.used = 0;
        }
        let len = blocks[self.block].sealed_len as usize;
        let sealed = &mut self.sealed[self.used..self.used + len];
        let plain_len = shard.open_block(&self.source.keys, self.block, sealed)?.len();
        let start = self.used + PREFIX;
        self.plain = start..start + plain_len;
        self.used += len;
        self.offset += len as u64;
        self.block += 1;
        Ok(true)
    }

    fn damaged(&self, what: &str) -> Error {
        let shard = self.source.shards.get(self.shard);
        Error::damaged(shard.map(Shard::name).unwrap_or_default(), what)
    }
}

impl Records for RunRecords<'_> {
    fn next_record(&mut self) -> Result<Option<IndexRecord>> {
        let bytes = loop {
            if let Some(bytes) = self.sealed[self.plain.clone()].first_chunk() {
                break bytes;
            }
            if !self.next_block()? {
                return Ok(None);
            }
        };
        let mut record = IndexRecord::decode(bytes);
        self.plain.start += RECORD_LEN;
        if self.last.is_some_and(|last| last > record.id) {
            return Err(self.damaged("its records are out of order"));
        }
        self.last = Some(record.id);
        if let Some(numbers) = &self.source.numbers {
            match numbers.get(record.pack_no as usize) {
                Some((number, segments)) if record.segment_no < *segments => {
                    record.pack_no = *number;
                }
                _ => return Err(self.damaged("a record points outside its pack")),
            }
        }
        Ok(Some(record))
    }
}
