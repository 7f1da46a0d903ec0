//! Brings the local levels up to date with the index objects of the repository.

use std::collections::HashSet;
use std::sync::Arc;

use super::level::Level;
use super::objects::{IncompleteRun, IndexObject, collect, open_index_object};
use super::{Index, LevelBuilder, LevelUse, Location, PackRef, location};
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::header::ObjectType;
use crate::format::index::RunDirectory;
use crate::format::record::names32;
use crate::model::ObjectHash;
use crate::repository::object::hash_in_name;
use crate::storage::{Storage, in_parallel, list_sorted};

/// A level is merged with a new one if it is at most this many times as large.
const MERGE_RATIO: u64 = 8;

/// How often a listing is repeated before a load gives up.
const LISTINGS_MAX: usize = 16;

/// What a load found.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Objects that could not be used.
    pub(crate) bad: Vec<Error>,
}

impl Index {
    /// Loads what the repository's index objects say. Bad objects are reported and left out.
    ///
    /// # Errors
    /// The storage's, and [`Error::Local`].
    pub(crate) fn load(&self, storage: &dyn Storage) -> Result<Loaded> {
        for _ in 0..LISTINGS_MAX {
            if let Some(loaded) = self.try_load(storage)? {
                return Ok(loaded);
            }
        }
        Err(Error::Busy { what: "index objects vanish as fast as they are listed".into() })
    }

    /// `None` if an object vanished after it was listed: it was merged into one that is not in
    /// this listing, so the listing must be made again.
    fn try_load(&self, storage: &dyn Storage) -> Result<Option<Loaded>> {
        let listed: HashSet<ObjectHash> = list_sorted(storage, "index/")?
            .iter()
            .filter_map(|meta| hash_in_name(&meta.name))
            .collect();
        self.open_level_files(&listed);
        self.retire_stale(&listed);
        let mut loaded = Loaded::default();
        let missing = self.uncovered(&listed);
        let Some(mut objects) = self.open_objects(storage, &missing, &mut loaded.bad)? else {
            return Ok(None);
        };
        if objects.iter().any(|(_, object)| matches!(object, IndexObject::Drops(_))) {
            // What was dropped may be in the levels: all of them are made anew, less that.
            self.retire_stale(&HashSet::new());
            loaded.bad.clear();
            let all = self.uncovered(&listed);
            match self.open_objects(storage, &all, &mut loaded.bad)? {
                Some(again) => objects = again,
                None => return Ok(None),
            }
            self.set_dropped(&objects);
        } else {
            // Lists that were read before count for objects that are new, too.
            let known = self.covered_drop_lists();
            match self.open_objects(storage, &known, &mut loaded.bad)? {
                Some(lists) => self.set_dropped(&lists),
                None => return Ok(None),
            }
        }
        if !objects.is_empty() {
            let (builder, incomplete) = collect(objects, &self.dropped())?;
            self.add_level(builder)?;
            // An interrupted merge leaves a run without some of its parts, the new or the old one.
            // All that it says is known from elsewhere then, and nothing is wrong.
            let is_lost =
                |run: &IncompleteRun| run.ids.iter().any(|id| self.find_all(id).is_empty());
            loaded.bad.extend(incomplete.into_iter().filter(is_lost).map(|run| run.error));
        }
        Ok(Some(loaded))
    }

    /// Opens index objects and collects what they say, for merging them.
    ///
    /// # Errors
    /// If any of them cannot be read: nothing must be merged then.
    pub(crate) fn collect_objects(
        &self,
        storage: &dyn Storage,
        hashes: &[ObjectHash],
    ) -> Result<LevelBuilder> {
        self.collect_without(storage, hashes, &HashSet::new())
    }

    /// As [`Index::collect_objects`], without what they say of some packs.
    ///
    /// # Errors
    /// As [`Index::collect_objects`].
    pub(crate) fn collect_without(
        &self,
        storage: &dyn Storage,
        hashes: &[ObjectHash],
        packs: &HashSet<ObjectHash>,
    ) -> Result<LevelBuilder> {
        let mut bad = Vec::new();
        let objects = self.open_objects(storage, hashes, &mut bad)?;
        let vanished = || Error::Busy { what: "the index is being merged by somebody else".into() };
        let objects = objects.ok_or_else(vanished)?;
        let mut left_out = self.dropped();
        left_out.extend(packs);
        let (builder, incomplete) = collect(objects, &left_out)?;
        bad.extend(incomplete.into_iter().map(|run| run.error));
        bad.into_iter().next().map_or(Ok(builder), Err)
    }

    /// The directory of a shard of a run.
    ///
    /// # Errors
    /// [`Error::Damaged`], and the storage's.
    pub(crate) fn run_directory(
        &self,
        storage: &dyn Storage,
        hash: ObjectHash,
    ) -> Result<RunDirectory> {
        match open_index_object(storage, &self.keys, self.repo_id, hash)? {
            IndexObject::Shard(directory, _) => Ok(directory),
            _ => Err(Error::damaged(format!("index/{hash}"), "it is no index run")),
        }
    }

    /// Reads one index object and checks all of it. Returns the packs that it drops.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the object, and the storage's.
    pub(crate) fn inspect(
        &self,
        storage: &dyn Storage,
        hash: ObjectHash,
    ) -> Result<Vec<ObjectHash>> {
        match open_index_object(storage, &self.keys, self.repo_id, hash)? {
            IndexObject::Drops(list) => names32(&list.packs.0, ObjectHash)
                .ok_or_else(|| Error::damaged(format!("index/{hash}"), "its list is malformed")),
            _ => Ok(Vec::new()),
        }
    }

    /// Calls `found` with every record, in no particular order. Needs no memory.
    pub fn for_each(&self, found: &mut dyn FnMut(&[u8; 32], Location)) {
        let levels: Vec<(u32, Arc<Level>)> =
            self.levels.read().iter().map(|(number, level)| (number, Arc::clone(level))).collect();
        for (number, level) in levels {
            for record in (0..level.record_count()).filter_map(|no| level.record(no)) {
                let pack = PackRef { level: number, pack_no: record.pack_no };
                found(&record.id, location(pack, &record));
            }
        }
    }

    /// Drop lists that active levels cover.
    fn covered_drop_lists(&self) -> Vec<ObjectHash> {
        let lists = self.covered().into_iter().filter(|c| c.object_type == ObjectType::DropList);
        let unique: HashSet<ObjectHash> = lists.map(|c| c.object).collect();
        unique.into_iter().collect()
    }

    /// Remembers the packs that drop lists name: all there are.
    fn set_dropped(&self, objects: &[(ObjectHash, IndexObject)]) {
        let lists = objects.iter().filter_map(|(_, object)| match object {
            IndexObject::Drops(list) => names32(&list.packs.0, ObjectHash),
            _ => None,
        });
        let packs: HashSet<ObjectHash> = lists.flatten().collect();
        self.levels.write().dropped = packs;
    }

    /// Listed objects that no active level covers.
    fn uncovered(&self, listed: &HashSet<ObjectHash>) -> Vec<ObjectHash> {
        let levels = self.levels.read();
        let covered: HashSet<ObjectHash> =
            levels.iter().flat_map(|(_, level)| level.covered()).map(|c| c.object).collect();
        let mut missing: Vec<ObjectHash> = listed.difference(&covered).copied().collect();
        missing.sort();
        missing
    }

    fn open_objects(
        &self,
        storage: &dyn Storage,
        hashes: &[ObjectHash],
        bad: &mut Vec<Error>,
    ) -> Result<Option<Vec<(ObjectHash, IndexObject)>>> {
        let opened = in_parallel(storage, hashes, |hash| {
            (*hash, open_index_object(storage, &self.keys, self.repo_id, *hash))
        });
        let mut objects = Vec::new();
        for (hash, object) in opened {
            match object {
                Ok(object) => objects.push((hash, object)),
                Err(Error::Storage(e)) if e.kind == StorageErrorKind::Missing => return Ok(None),
                Err(error) if error.is_damage() => bad.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(objects))
    }

    /// Opens the level files of this repository that are not open yet.
    fn open_level_files(&self, listed: &HashSet<ObjectHash>) {
        let Some(folder) = &self.cache_dir else { return };
        let mut levels = self.levels.write();
        if levels.iter().next().is_some() {
            return;
        }
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        let mut opened: Vec<Arc<Level>> = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if !name.starts_with("index-") || name.contains('.') {
                continue;
            }
            match Level::open(&entry.path(), self.repo_id) {
                Ok(level) if level.covered().iter().all(|c| listed.contains(&c.object)) => {
                    opened.push(Arc::new(level));
                }
                // Anything else is stale or in doubt: what it knew is loaded anew.
                _ => _ = std::fs::remove_file(entry.path()),
            }
        }
        // Large ones first: they answer most look-ups. Those that others cover wholly are left
        // from an interrupted merge.
        opened.sort_by_key(|level| std::cmp::Reverse(level.record_count()));
        let mut covered: HashSet<ObjectHash> = HashSet::new();
        for level in opened {
            let objects = level.covered();
            if objects.iter().all(|c| covered.contains(&c.object)) {
                level.remove_file();
                continue;
            }
            covered.extend(objects.iter().map(|c| c.object));
            levels.all.push((level, LevelUse::Active));
        }
    }

    /// Retires levels that cover objects which are not in the repository any more.
    fn retire_stale(&self, listed: &HashSet<ObjectHash>) {
        for (level, used) in &mut self.levels.write().all {
            if *used == LevelUse::Active
                && !level.covered().iter().all(|c| listed.contains(&c.object))
            {
                *used = LevelUse::Retired;
                level.remove_file();
            }
        }
    }

    /// Puts what was collected to use in this process only.
    ///
    /// # Errors
    /// [`Error::Local`] if there is no memory for it.
    pub(crate) fn add_in_memory(&self, builder: LevelBuilder) -> Result<()> {
        let level = builder.build(&[], self.repo_id, None)?;
        self.levels.write().all.push((Arc::new(level), LevelUse::Recovered));
        Ok(())
    }

    /// Forgets what was made up from packs: a session takes them in for good.
    pub(crate) fn forget_recovered(&self) {
        for (_, used) in &mut self.levels.write().all {
            if *used == LevelUse::Recovered {
                *used = LevelUse::Retired;
            }
        }
    }

    /// Makes a level of what was collected, merged with small ones, and puts it to use.
    pub(crate) fn add_level(&self, builder: LevelBuilder) -> Result<()> {
        let mut levels = self.levels.write();
        let mut active: Vec<Arc<Level>> = levels
            .all
            .iter()
            .filter(|(_, used)| *used == LevelUse::Active)
            .map(|(level, _)| Arc::clone(level))
            .collect();
        active.sort_by_key(|level| level.record_count());
        let mut size = builder.records.len() as u64;
        let mut merged = Vec::new();
        for level in active {
            if level.record_count() > MERGE_RATIO * size.max(1 << 12) {
                break;
            }
            size += level.record_count();
            merged.push(level);
        }
        let new = builder.build(&merged, self.repo_id, self.cache_dir.as_deref())?;
        for (level, used) in &mut levels.all {
            if merged.iter().any(|m| Arc::ptr_eq(m, level)) {
                *used = LevelUse::Retired;
                level.remove_file();
            }
        }
        levels.all.push((Arc::new(new), LevelUse::Active));
        Ok(())
    }
}
