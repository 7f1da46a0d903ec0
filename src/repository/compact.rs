//! Merges index deltas into runs, so that opening a repository reads few objects
//! (SPEC.md, section 10).
//!
//! Order: pack tables, shards, and only when all of them are durable the deletes of what they
//! replace. A crash in between leaves records twice, which harms nobody.

use std::collections::{HashMap, HashSet};

use super::Repository;
use super::index::{MergeError, Merged};
use super::object::hash_in_name;
use crate::crypto::Class;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::header::{HEADER_LEN, Header, ObjectType};
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
        self.merge_index(Some(deltas_max), runtime)
    }

    /// Writes the whole index anew if a part of it is sealed with older keys. Returns how many
    /// objects were replaced.
    ///
    /// # Errors
    /// As [`Repository::compact_index`].
    pub fn reseal_index(&self, runtime: &Runtime) -> Result<usize> {
        self.index.load(&self.storage)?;
        let current = self.keys.current(Class::Index).epoch();
        let listed = self.listed_index()?;
        // Not those that were deleted since they were loaded.
        let stored = self.index.covered().into_iter().filter(|c| listed.contains_key(&c.object));
        for covered in stored {
            let mut head = [0; HEADER_LEN];
            let name = format!("index/{}", covered.object);
            self.storage.get_range(&name, 0, &mut head)?;
            if Header::decode(&head, &name)?.epoch != current {
                return self.merge_index(None, runtime);
            }
        }
        Ok(0)
    }

    /// Merges deltas, if there are more than so many, with the runs that are not much larger; or
    /// everything.
    fn merge_index(&self, deltas_max: Option<usize>, runtime: &Runtime) -> Result<usize> {
        let covered = self.index.covered();
        let of_type = |wanted: ObjectType| {
            covered.iter().filter(move |c| c.object_type == wanted).map(|c| c.object)
        };
        let mut replaced: Vec<ObjectHash> = of_type(ObjectType::IndexDelta).collect();
        if deltas_max.is_some_and(|max| replaced.len() <= max) {
            return Ok(0);
        }
        runtime.progress.phase(Phase::MergingIndex);
        let listed = self.listed_index()?;
        let mut gathered = self.index.gathering();
        let storage = &self.storage;
        self.index.gather_for_merge(storage, &with_lens(&replaced, &listed)?, &mut gathered)?;
        let runs = self.runs(of_type(ObjectType::IndexRun), &listed)?;
        for run in &runs {
            if deltas_max.is_some() && run.records > MERGE_RATIO * gathered.records_len() {
                break;
            }
            let objects = with_lens(&run.objects, &listed)?;
            self.index.gather_for_merge(storage, &objects, &mut gathered)?;
            replaced.extend(&run.objects);
        }
        runtime.cancel.check()?;
        let mut builder = self.index.finish_gathering(storage, gathered)?;
        self.write_run(&builder.merged(&self.index.dropped()), &replaced, runtime)?;
        self.sort_for_removal(&mut replaced);
        // What an interrupted merge replaced, but did not get to delete, goes too.
        let listed = self.listed_index()?;
        let superseded = runs.iter().flat_map(|run| &run.supersedes);
        for object in replaced.iter().chain(superseded.filter(|old| listed.contains_key(*old))) {
            match self.storage.delete(&format!("index/{object}")) {
                Ok(()) => {}
                // Storage that refuses deletes keeps both; records twice are harmless.
                Err(error) if error.kind == StorageErrorKind::Denied => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(replaced.len())
    }

    /// Puts pack tables last: a table without its run is nothing, but a run without its tables looks
    /// like one that was damaged.
    pub(super) fn sort_for_removal(&self, objects: &mut [ObjectHash]) {
        let covered = self.index.covered();
        let tables: HashSet<ObjectHash> = covered
            .iter()
            .filter(|covered| covered.object_type == ObjectType::PackTable)
            .map(|covered| covered.object)
            .collect();
        objects.sort_by_key(|object| tables.contains(object));
    }

    /// All index objects with their lengths.
    pub(super) fn listed_index(&self) -> Result<HashMap<ObjectHash, u64>> {
        let mut listed = HashMap::new();
        self.storage.list("index/", &mut |meta| {
            if let Some(hash) = hash_in_name(&meta.name) {
                listed.insert(hash, meta.len);
            }
        })?;
        Ok(listed)
    }

    /// The complete runs, small ones first.
    fn runs(
        &self,
        shards: impl Iterator<Item = ObjectHash>,
        listed: &HashMap<ObjectHash, u64>,
    ) -> Result<Vec<Run>> {
        let mut runs: HashMap<BackupId, Run> = HashMap::new();
        for shard in shards {
            let len = len_of(listed, &shard)?;
            let directory = self.index.shard_directory(&*self.storage, shard, len)?;
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
        merged: &Merged<'_>,
        replaced: &[ObjectHash],
        runtime: &Runtime,
    ) -> Result<()> {
        let mut run = self.run_writer(merged.records_max(), replaced);
        merged.each_pack(&mut |pack| run.pack(run_pack(&pack)).map(|_| ()))?;
        let mut count = 0_u32;
        let written = merged.each_record(&mut |record| {
            count = count.wrapping_add(1);
            if count.is_multiple_of(1 << 16) {
                runtime.cancel.check()?;
            }
            run.record(*record)
        });
        written.map_err(MergeError::into_error)?;
        runtime.cancel.check()?;
        run.finish()
    }
}

/// Index objects with the lengths that were listed.
///
/// # Errors
/// [`Error::Busy`] if one is not there any more.
pub(super) fn with_lens(
    objects: &[ObjectHash],
    listed: &HashMap<ObjectHash, u64>,
) -> Result<Vec<(ObjectHash, u64)>> {
    objects.iter().map(|object| Ok((*object, len_of(listed, object)?))).collect()
}

fn len_of(listed: &HashMap<ObjectHash, u64>, object: &ObjectHash) -> Result<u64> {
    let gone = || Error::Busy { what: "the index is being merged by somebody else".into() };
    listed.get(object).copied().ok_or_else(gone)
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
