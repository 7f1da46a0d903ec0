//! Merges index deltas into runs, so that opening a repository reads few objects
//! (SPEC.md, section 10).
//!
//! Order: pack tables, shards, and only when all of them are durable the deletes of what they
//! replace. A crash in between leaves records twice, which harms nobody.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::Repository;
use super::index::LevelBuilder;
use super::object::hash_in_name;
use crate::error::{Result, StorageErrorKind};
use crate::format::header::ObjectType;
use crate::format::index::{RunPack, RunSegment};
use crate::format::record::Bin;
use crate::model::{BackupId, EpochId, ObjectHash};
use crate::repository::index::NewPack;
use crate::runtime::{Phase, Runtime};

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

    pub(super) fn write_run(
        &self,
        builder: LevelBuilder,
        replaced: &[ObjectHash],
        runtime: &Runtime,
    ) -> Result<()> {
        let (packs, mut records) = builder.into_parts();
        records.par_sort_unstable();
        records.dedup();
        let mut run = self.run_writer(records.len() as u64, replaced);
        packs.iter().try_for_each(|pack| run.pack(run_pack(pack)).map(|_| ()))?;
        for record in records {
            run.record(record)?;
        }
        runtime.cancel.check()?;
        run.finish()
    }
}

fn names(hashes: &Bin) -> impl Iterator<Item = ObjectHash> {
    hashes.0.as_chunks().0.iter().map(|hash| ObjectHash(*hash))
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
