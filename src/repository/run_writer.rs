//! Writes a run of the index piece by piece: first its packs, then its records in the order of
//! ids (SPEC.md, section 10). Holds one table and one shard at most, whatever the size of the run.

use rayon::prelude::*;

use super::Repository;
use super::object::{make_object, seal_record};
use crate::crypto::{Class, SealKind, Unit, object_hash, seal};
use crate::error::{Error, Result};
use crate::format::header::{HEADER_LEN, Header, ObjectType};
use crate::format::index::{
    BLOCK_RECORDS, IndexRecord, PackTable, RunBlock, RunDirectory, RunPack, SHARD_RECORDS,
    TABLE_PACKS, block_context,
};
use crate::format::pack::Trailer;
use crate::format::record::{Bin, encode};
use crate::model::{BackupId, EpochId, ObjectHash};
use crate::storage::PutMode;

/// Blocks that are sealed at once, on all processors.
const BATCH_BLOCKS: usize = 64;

/// Records of a shard. Few in tests, so that runs have several.
const RECORDS_MAX: usize = if cfg!(test) { 4000 } else { SHARD_RECORDS };

/// A run that is being written. It counts once [`RunWriter::finish`] has returned; one that is
/// dropped before leaves objects that say nothing.
#[doc(hidden)]
pub struct RunWriter<'r> {
    repository: &'r Repository,
    run_id: BackupId,
    supersedes: Vec<u8>,
    table: Vec<RunPack>,
    tables: Vec<u8>,
    packs: u32,
    shard: u32,
    shards: u32,
    /// Records of a shard, but for the last.
    shard_records: u64,
    /// Sealed blocks of the shard that is being written.
    sealed: Vec<Vec<u8>>,
    blocks: Vec<RunBlock>,
    written: u64,
    records: Vec<IndexRecord>,
    last: Option<IndexRecord>,
}

impl Repository {
    /// Starts a run of at most `records_max` records, which replaces the index objects
    /// `supersedes`.
    #[doc(hidden)]
    pub fn run_writer(&self, records_max: u64, supersedes: &[ObjectHash]) -> RunWriter<'_> {
        let shards = records_max.div_ceil(RECORDS_MAX as u64);
        RunWriter {
            repository: self,
            run_id: BackupId(self.random.bytes()),
            supersedes: supersedes.iter().flat_map(|object| object.0).collect(),
            table: Vec::new(),
            tables: Vec::new(),
            packs: 0,
            shard: 0,
            shards: u32::try_from(shards).unwrap_or(u32::MAX),
            shard_records: records_max.div_ceil(shards.max(1)),
            sealed: Vec::new(),
            blocks: Vec::new(),
            written: 0,
            records: Vec::new(),
            last: None,
        }
    }

    /// The epoch that new segments are sealed in.
    #[doc(hidden)]
    pub fn data_epoch(&self) -> EpochId {
        self.keys.current(Class::Data).epoch()
    }
}

impl RunWriter<'_> {
    /// Adds a pack and returns its number. All packs come before the first record.
    ///
    /// # Errors
    /// The storage's.
    pub fn pack(&mut self, pack: RunPack) -> Result<u32> {
        let number = self.packs;
        self.packs = number.checked_add(1).ok_or_else(too_many)?;
        self.table.push(pack);
        if self.table.len() == TABLE_PACKS {
            self.end_table()?;
        }
        Ok(number)
    }

    fn end_table(&mut self) -> Result<()> {
        let packs = std::mem::take(&mut self.table);
        if packs.is_empty() {
            return Ok(());
        }
        let repository = self.repository;
        let first = self.packs - packs.len() as u32;
        let table = PackTable { run_id: self.run_id, first, packs };
        let (hash, object) = make_object(
            ObjectType::PackTable,
            repository.keys.suite,
            repository.id,
            repository.keys.current(Class::Index),
            &repository.random,
            &encode(&table),
        );
        repository.storage.put(&format!("index/{hash}"), &[&object], PutMode::Content)?;
        self.tables.extend_from_slice(hash.as_bytes());
        Ok(())
    }

    /// Adds a record, greater than the one before.
    ///
    /// # Errors
    /// The storage's, and [`Error::Internal`] for a record out of order or too many of them.
    pub fn record(&mut self, record: IndexRecord) -> Result<()> {
        if self.last.is_some_and(|last| last >= record) {
            return Err(Error::Internal { what: "index records are out of order".into() });
        }
        self.last = Some(record);
        self.records.push(record);
        self.written += 1;
        if self.written == self.shard_records {
            self.end_shard()
        } else {
            if self.records.len() == BATCH_BLOCKS * BLOCK_RECORDS {
                self.seal_blocks();
            }
            Ok(())
        }
    }

    fn seal_blocks(&mut self) {
        let key = self.repository.keys.current(Class::Index);
        let random = &self.repository.random;
        let (run_id, shard, first) = (self.run_id, self.shard, self.blocks.len());
        let sealed: Vec<Vec<u8>> = self
            .records
            .par_chunks(BLOCK_RECORDS)
            .enumerate()
            .map(|(number, block)| {
                let mut plain = Vec::with_capacity(block.len() * crate::format::index::RECORD_LEN);
                block.iter().for_each(|record| plain.extend_from_slice(&record.encode()));
                let context = block_context(run_id, shard, (first + number) as u32);
                seal(key, Unit { kind: SealKind::RunBlock, context }, random, &plain)
            })
            .collect();
        for (block, sealed) in self.records.chunks(BLOCK_RECORDS).zip(sealed) {
            self.blocks.push(RunBlock {
                first: ObjectHash(block[0].id),
                sealed_len: sealed.len() as u32,
                records: block.len() as u32,
            });
            self.sealed.push(sealed);
        }
        self.records.clear();
    }

    fn end_shard(&mut self) -> Result<()> {
        self.end_table()?;
        self.seal_blocks();
        if self.shard >= self.shards {
            return Err(too_many());
        }
        let repository = self.repository;
        let key = repository.keys.current(Class::Index);
        let suite = repository.keys.suite.number();
        let header = Header::new(ObjectType::IndexRun, suite, repository.id, key.epoch()).encode();
        let directory = RunDirectory {
            run_id: self.run_id,
            shard: self.shard,
            shards: self.shards,
            supersedes: Bin(std::mem::take(&mut self.supersedes)),
            records: self.written,
            blocks: std::mem::take(&mut self.blocks),
            tables: Bin(self.tables.clone()),
        };
        let sealed_directory = seal_record(
            key,
            &header,
            SealKind::RunDirectory,
            &repository.random,
            &encode(&directory),
        );
        let blocks = std::mem::take(&mut self.sealed);
        let blocks_len: usize = blocks.iter().map(Vec::len).sum();
        let trailer = Trailer {
            directory_offset: (HEADER_LEN + blocks_len) as u64,
            directory_len: sealed_directory.len() as u32,
        }
        .encode();
        let mut parts: Vec<&[u8]> = vec![&header];
        parts.extend(blocks.iter().map(|block| &block[..]));
        parts.extend([&sealed_directory[..], &trailer[..]]);
        let name = format!("index/{}", object_hash(&parts));
        repository.storage.put(&name, &parts, PutMode::Content)?;
        self.shard += 1;
        self.written = 0;
        Ok(())
    }

    /// Writes what is left. The run is durable then. Where fewer records came than were announced
    /// (copies of others), its last shards are empty.
    ///
    /// # Errors
    /// The storage's.
    pub fn finish(mut self) -> Result<()> {
        while self.shard < self.shards {
            self.end_shard()?;
        }
        Ok(())
    }
}

fn too_many() -> Error {
    Error::Internal { what: "the index has more parts than its numbers allow".into() }
}
