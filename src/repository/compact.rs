//! Merges index deltas into runs, so that opening a repository reads few objects
//! (SPEC.md, section 10).
//!
//! Order: pack tables, shards, and only when all of them are durable the deletes of what they
//! replace. A crash in between leaves records twice, which harms nobody.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::Repository;
use super::index::LevelBuilder;
use super::object::{hash_in_name, make_object, seal_record};
use crate::crypto::{Class, SealKind, Unit, object_hash, seal};
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::header::{HEADER_LEN, Header, ObjectType};
use crate::format::index::{
    BLOCK_RECORDS, IndexRecord, PackTable, RunBlock, RunDirectory, RunPack, RunSegment,
    SHARD_RECORDS, TABLE_PACKS, block_context,
};
use crate::format::pack::Trailer;
use crate::format::record::{Bin, encode};
use crate::model::{BackupId, EpochId, ObjectHash};
use crate::repository::index::NewPack;
use crate::runtime::{Phase, Runtime};
use crate::storage::PutMode;

/// More deltas than this are merged.
const DELTAS_MAX: usize = 32;
/// A run is merged with newer records if it has at most this many times as many: so each record
/// is written again only a few times while a repository grows.
const MERGE_RATIO: u64 = 8;

/// A complete run in the repository.
#[derive(Default)]
struct Run {
    /// Its shards and tables.
    objects: Vec<ObjectHash>,
    /// What it replaced.
    supersedes: Vec<ObjectHash>,
    records: u64,
}

impl Repository {
    /// Merges index deltas into a run if there are many. Returns how many objects were replaced.
    ///
    /// # Errors
    /// The storage's. The index is whole whatever happens.
    pub fn compact_index(&self, runtime: &Runtime) -> Result<usize> {
        self.compact_index_beyond(DELTAS_MAX, runtime)
    }

    /// As [`Repository::compact_index`], with more than `deltas_max` deltas counting as many.
    ///
    /// # Errors
    /// The storage's.
    pub fn compact_index_beyond(&self, deltas_max: usize, runtime: &Runtime) -> Result<usize> {
        let covered = self.index.covered();
        let of_type = |wanted: ObjectType| {
            covered.iter().filter(move |c| c.object_type == wanted).map(|c| c.object)
        };
        let mut replaced: Vec<ObjectHash> = of_type(ObjectType::IndexDelta).collect();
        if replaced.len() <= deltas_max {
            return Ok(0);
        }
        runtime.progress.phase(Phase::MergingIndex);
        let mut builder = self.index.collect_objects(&*self.storage, &replaced)?;
        let runs = self.runs(of_type(ObjectType::IndexRun))?;
        for run in &runs {
            if run.records > MERGE_RATIO * builder.records_len() {
                break;
            }
            builder.absorb(self.index.collect_objects(&*self.storage, &run.objects)?);
            replaced.extend(&run.objects);
        }
        runtime.cancel.check()?;
        self.write_run(builder, &replaced, runtime)?;
        // What an interrupted merge replaced, but did not get to delete, goes too.
        let mut listed = HashSet::new();
        self.storage.list("index/", &mut |meta| listed.extend(hash_in_name(&meta.name)))?;
        let left = runs.iter().flat_map(|run| &run.supersedes).filter(|old| listed.contains(*old));
        for object in replaced.iter().chain(left) {
            match self.storage.delete(&format!("index/{object}")) {
                Ok(()) => {}
                // Storage that refuses deletes keeps both; records twice are harmless.
                Err(error) if error.kind == StorageErrorKind::Denied => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(replaced.len())
    }

    /// The complete runs, small ones first.
    fn runs(&self, shards: impl Iterator<Item = ObjectHash>) -> Result<Vec<Run>> {
        let mut runs: HashMap<BackupId, Run> = HashMap::new();
        for shard in shards {
            let directory = self.index.run_directory(&*self.storage, shard)?;
            let run = runs.entry(directory.run_id).or_default();
            run.objects.push(shard);
            run.objects.extend(names(&directory.tables));
            run.supersedes.extend(names(&directory.supersedes));
            run.records += directory.records;
        }
        let mut runs: Vec<_> = runs.into_values().collect();
        for run in &mut runs {
            run.objects.sort();
            run.objects.dedup();
        }
        runs.sort_by_key(|run| run.records);
        Ok(runs)
    }

    fn write_run(
        &self,
        builder: LevelBuilder,
        replaced: &[ObjectHash],
        runtime: &Runtime,
    ) -> Result<()> {
        let (packs, mut records) = builder.into_parts();
        records.par_sort_unstable();
        records.dedup();
        let run_id = BackupId(self.random.bytes());
        let key = self.keys.current(Class::Index);
        let mut tables = Vec::new();
        for (number, part) in packs.chunks(TABLE_PACKS).enumerate() {
            let first = u32::try_from(number * TABLE_PACKS).map_err(too_many)?;
            let table = PackTable { run_id, first, packs: part.iter().map(run_pack).collect() };
            let object_type = ObjectType::PackTable;
            let (suite, record) = (self.keys.suite, encode(&table));
            let (hash, object) =
                make_object(object_type, suite, self.id, key, &self.random, &record);
            self.storage.put(&format!("index/{hash}"), &[&object], PutMode::Content)?;
            tables.extend_from_slice(hash.as_bytes());
        }
        let shards = records.chunks(SHARD_RECORDS);
        let shard_count = u32::try_from(shards.len()).map_err(too_many)?;
        for (shard, part) in (0_u32..).zip(shards) {
            runtime.cancel.check()?;
            let supersedes = if shard == 0 { concat(replaced) } else { Vec::new() };
            let directory = RunDirectory {
                run_id,
                shard,
                shards: shard_count,
                supersedes: Bin(supersedes),
                records: part.len() as u64,
                blocks: Vec::new(),
                tables: Bin(tables.clone()),
            };
            let object = self.make_shard(directory, part);
            let name = format!("index/{}", object_hash(&[&object]));
            self.storage.put(&name, &[&object], PutMode::Content)?;
        }
        Ok(())
    }

    fn make_shard(&self, mut directory: RunDirectory, records: &[IndexRecord]) -> Vec<u8> {
        let key = self.keys.current(Class::Index);
        let suite = self.keys.suite.number();
        let header = Header::new(ObjectType::IndexRun, suite, self.id, key.epoch()).encode();
        let blocks: Vec<_> = records.chunks(BLOCK_RECORDS).enumerate().collect();
        let sealed: Vec<Vec<u8>> = blocks
            .par_iter()
            .map(|(number, block)| {
                let plain: Vec<u8> = block.iter().flat_map(IndexRecord::encode).collect();
                let context = block_context(directory.run_id, directory.shard, *number as u32);
                let unit = Unit { kind: SealKind::RunBlock, context };
                seal(key, unit, &self.random, &plain)
            })
            .collect();
        directory.blocks = blocks
            .iter()
            .zip(&sealed)
            .map(|((_, block), sealed)| RunBlock {
                first: ObjectHash(block[0].id),
                sealed_len: sealed.len() as u32,
                records: block.len() as u32,
            })
            .collect();
        let mut object =
            Vec::with_capacity(HEADER_LEN + sealed.iter().map(Vec::len).sum::<usize>());
        object.extend_from_slice(&header);
        sealed.iter().for_each(|block| object.extend_from_slice(block));
        let record = encode(&directory);
        let directory_sealed =
            seal_record(key, &header, SealKind::RunDirectory, &self.random, &record);
        let trailer = Trailer {
            directory_offset: object.len() as u64,
            directory_len: directory_sealed.len() as u32,
        };
        object.extend_from_slice(&directory_sealed);
        object.extend_from_slice(&trailer.encode());
        object
    }
}

fn too_many(_: std::num::TryFromIntError) -> Error {
    Error::Internal { what: "the index has more parts than its numbers allow".into() }
}

fn names(hashes: &Bin) -> impl Iterator<Item = ObjectHash> {
    hashes.0.as_chunks().0.iter().map(|hash| ObjectHash(*hash))
}

fn concat(objects: &[ObjectHash]) -> Vec<u8> {
    objects.iter().flat_map(|object| object.0).collect()
}

fn run_pack(pack: &NewPack) -> RunPack {
    let mut epochs: Vec<EpochId> = Vec::new();
    let segments = pack
        .segments
        .iter()
        .map(|segment| {
            let known = epochs.iter().position(|epoch| *epoch == segment.epoch);
            let epoch_no = known.unwrap_or_else(|| {
                epochs.push(segment.epoch);
                epochs.len() - 1
            });
            RunSegment {
                offset: segment.offset,
                sealed_len: segment.sealed_len,
                plain_len: segment.plain_len,
                codec: segment.codec,
                epoch_no: epoch_no as u32,
            }
        })
        .collect();
    RunPack {
        pack: pack.hash,
        len: pack.len,
        pack_type: pack.pack_type.object_type() as u8,
        epochs,
        segments,
    }
}
