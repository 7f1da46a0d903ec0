//! Brings the local levels up to date with the index objects of the repository.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::level::Level;
use super::merge::{MergeError, READ_AHEAD, Records};
use super::objects::{Gathered, IncompleteRun, IndexObject, Listed, gather, open_index_object};
use super::{Index, LevelBuilder, LevelUse, Location, PackRef, location};
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::header::ObjectType;
use crate::model::ObjectHash;
use crate::repository::object::hash_in_name;
use crate::repository::state::make_private_folder;
use crate::storage::{SharedStorage, in_parallel};

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
    pub(crate) fn load(&self, storage: &SharedStorage) -> Result<Loaded> {
        let mut folder = self.folder();
        for _ in 0..LISTINGS_MAX {
            match self.try_load(storage, folder) {
                Ok(Some(loaded)) => return Ok(loaded),
                Ok(None) => {}
                Err(error @ Error::Local { .. }) if folder.is_some() => {
                    tracing::warn!("the index is kept in memory only: {error}");
                    folder = None;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Busy { what: "index objects vanish as fast as they are listed".into() })
    }

    /// The folder of level files and temporary files, if it is there and can be written.
    pub(crate) fn folder(&self) -> Option<&Path> {
        let folder = self.cache_dir.as_deref()?;
        match make_private_folder(folder) {
            Ok(()) => Some(folder),
            Err(error) => {
                tracing::warn!("the index is kept in memory only: {error}");
                None
            }
        }
    }

    /// A builder for what a session or reader adds.
    pub(crate) fn builder(&self) -> LevelBuilder {
        LevelBuilder::new(self.folder())
    }

    /// `None` if an object vanished after it was listed: it was merged into one that is not in
    /// this listing, so the listing must be made again. So it must if a local level turned out to
    /// be damaged.
    fn try_load(&self, storage: &SharedStorage, folder: Option<&Path>) -> Result<Option<Loaded>> {
        let mut listed = HashMap::new();
        storage.list("index/", &mut |meta| {
            if let Some(hash) = hash_in_name(&meta.name) {
                listed.insert(hash, meta.len);
            }
        })?;
        self.open_level_files(&listed);
        self.mark_stale(&listed);
        let mut loaded = Loaded::default();
        // Lists that were read before count for objects that are new, too.
        let mut known = Gathered::new(None);
        let known_lists = self.covered_drop_lists(&listed);
        let mut gathered = Gathered::new(folder);
        let missing = self.uncovered(&listed);
        if !self.gather(storage, &known_lists, &mut known, &mut loaded.bad)?
            || !self.gather(storage, &missing, &mut gathered, &mut loaded.bad)?
        {
            return Ok(None);
        }
        // What was dropped since may be in any level: all of them are made anew, less that.
        let merge_all = !gathered.dropped.is_empty();
        let dropped = known.dropped.into_iter().chain(std::mem::take(&mut gathered.dropped));
        self.levels.write().dropped = Arc::new(dropped.collect());
        let incomplete = gathered.finish_runs(storage, &self.keys);
        let mut builder = gathered.builder;
        loop {
            match self.put_level(&mut builder, merge_all) {
                Ok(()) => break,
                Err(MergeError::Run(_, Error::Storage(e)))
                    if e.kind == StorageErrorKind::Missing =>
                {
                    return Ok(None);
                }
                Err(MergeError::Run(run_id, error)) if error.is_damage() => {
                    loaded.bad.push(error);
                    builder.remove_run(run_id);
                }
                Err(MergeError::Level) => {
                    self.mark_stale(&HashMap::new());
                    return Ok(None);
                }
                Err(error) => return Err(error.into_error()),
            }
        }
        self.retire_stale();
        // An interrupted merge leaves a run without some of its parts, the new or the old one.
        // All that it says is known from elsewhere then, and nothing is wrong.
        let lost = incomplete.into_iter().filter(|run| self.is_lost(run));
        loaded.bad.extend(lost.map(|run| run.error));
        Ok(Some(loaded))
    }

    /// Whether a run has ids that are known from nowhere else.
    fn is_lost(&self, incomplete: &IncompleteRun) -> bool {
        let mut records = incomplete.run.records(1);
        loop {
            match records.next_record() {
                Ok(Some(record)) if self.find_all(&record.id).is_empty() => return true,
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }

    /// The packs that drop lists name which came since the index was loaded. The index itself stays
    /// as it is.
    ///
    /// # Errors
    /// The storage's.
    pub(crate) fn dropped_since(&self, storage: &SharedStorage) -> Result<Vec<ObjectHash>> {
        let mut listed = HashMap::new();
        storage.list("index/", &mut |meta| {
            if let Some(hash) = hash_in_name(&meta.name) {
                listed.insert(hash, meta.len);
            }
        })?;
        let new = self.uncovered(&listed);
        let opened = in_parallel(&**storage, &new, |(hash, len)| {
            open_index_object(&**storage, &self.keys, self.repo_id, *hash, *len)
        });
        let mut dropped = Vec::new();
        for object in opened {
            match object {
                Ok(IndexObject::Drops(packs)) => dropped.extend(packs),
                Ok(_) => {}
                // It was merged since it was listed. Drop lists stay for days.
                Err(Error::Storage(e)) if e.kind == StorageErrorKind::Missing => {}
                Err(error) if error.is_damage() => {
                    tracing::warn!("an index object cannot be read: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(dropped)
    }

    fn gather(
        &self,
        storage: &SharedStorage,
        objects: &[Listed],
        gathered: &mut Gathered,
        bad: &mut Vec<Error>,
    ) -> Result<bool> {
        gather(storage, &self.keys, self.repo_id, objects, gathered, bad)
    }

    /// Starts to gather index objects for merging them.
    pub(crate) fn gathering(&self) -> Gathered {
        Gathered::new(self.folder())
    }

    /// Gathers what index objects say, for merging them.
    ///
    /// # Errors
    /// If any of them cannot be read: nothing must be merged then.
    pub(crate) fn gather_for_merge(
        &self,
        storage: &SharedStorage,
        objects: &[Listed],
        gathered: &mut Gathered,
    ) -> Result<()> {
        let mut bad = Vec::new();
        if !self.gather(storage, objects, gathered, &mut bad)? {
            return Err(Error::Busy { what: "the index is being merged by somebody else".into() });
        }
        bad.into_iter().next().map_or(Ok(()), Err)
    }

    /// What was gathered, ready to be merged.
    ///
    /// # Errors
    /// If a run is not whole.
    pub(crate) fn finish_gathering(
        &self,
        storage: &SharedStorage,
        mut gathered: Gathered,
    ) -> Result<LevelBuilder> {
        let incomplete = gathered.finish_runs(storage, &self.keys).into_iter().next();
        incomplete.map_or(Ok(gathered.builder), |run| Err(run.error))
    }

    /// Calls `found` with every record, in no particular order. Needs no memory.
    pub fn for_each(&self, found: &mut dyn FnMut(&[u8; 32], Location)) {
        let levels: Vec<(u32, Arc<Level>)> =
            self.levels.read().iter().map(|(number, level)| (number, Arc::clone(level))).collect();
        for (number, level) in levels {
            for record_no in 0..level.record_count() {
                if record_no.is_multiple_of(READ_AHEAD) {
                    level.will_read(record_no, 2 * READ_AHEAD);
                }
                let Some(record) = level.record(record_no) else { continue };
                let pack = PackRef { level: number, pack_no: record.pack_no };
                found(&record.id, location(pack, &record));
            }
        }
    }

    /// Says that ids from `first` to `last` are about to be looked up, in their order: a hint that
    /// has that part of a large index read ahead.
    pub fn will_find(&self, first: &[u8; 32], last: &[u8; 32]) {
        for (_, level) in self.levels.read().iter() {
            level.will_find(first, last);
        }
    }

    /// Drop lists that active levels cover, where they are still there.
    fn covered_drop_lists(&self, listed: &HashMap<ObjectHash, u64>) -> Vec<Listed> {
        let lists = self.covered().into_iter().filter(|c| c.object_type == ObjectType::DropList);
        let unique: HashSet<ObjectHash> = lists.map(|c| c.object).collect();
        unique.into_iter().filter_map(|list| Some((list, *listed.get(&list)?))).collect()
    }

    /// Listed objects that no active level covers.
    fn uncovered(&self, listed: &HashMap<ObjectHash, u64>) -> Vec<Listed> {
        let covered: HashSet<ObjectHash> = self.covered().into_iter().map(|c| c.object).collect();
        let missing = listed.iter().filter(|(hash, _)| !covered.contains(*hash));
        let mut missing: Vec<Listed> = missing.map(|(hash, len)| (*hash, *len)).collect();
        missing.sort();
        missing
    }

    /// Opens the level files of this repository that are not open yet.
    fn open_level_files(&self, listed: &HashMap<ObjectHash, u64>) {
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
                Ok(level) if is_current(&level, listed) => {
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

    /// Takes levels out of use that cover objects which are not in the repository any more.
    pub(super) fn mark_stale(&self, listed: &HashMap<ObjectHash, u64>) {
        for (level, used) in &mut self.levels.write().all {
            if *used == LevelUse::Active && !is_current(level, listed) {
                *used = LevelUse::Stale;
                level.remove_file();
            }
        }
    }

    /// What stale levels knew is known from others now.
    fn retire_stale(&self) {
        for (_, used) in &mut self.levels.write().all {
            if *used == LevelUse::Stale {
                *used = LevelUse::Retired;
            }
        }
    }

    /// Puts what was collected to use in this process only.
    ///
    /// # Errors
    /// [`Error::Local`] if there is no memory for it.
    pub(crate) fn add_in_memory(&self, mut builder: LevelBuilder) -> Result<()> {
        let dropped = Arc::clone(&self.levels.read().dropped);
        let level = builder.build_in_memory(&dropped, self.repo_id);
        let level = level.map_err(MergeError::into_error)?;
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
    ///
    /// # Errors
    /// [`Error::Local`] if it cannot be kept even in memory.
    pub(crate) fn add_level(&self, mut builder: LevelBuilder) -> Result<()> {
        match self.put_level(&mut builder, false) {
            // An old level is unreadable: what is new stands beside it.
            Err(MergeError::Level) => {
                let dropped = Arc::clone(&self.levels.read().dropped);
                let level = builder.build(&[], &dropped, self.repo_id);
                let level = level.map_err(MergeError::into_error)?;
                self.levels.write().all.push((Arc::new(level), LevelUse::Active));
                Ok(())
            }
            put => put.map_err(MergeError::into_error),
        }
    }

    /// Makes a level of what was collected, merged with small levels or with all, and puts it to
    /// use. Look-ups go on meanwhile.
    fn put_level(&self, builder: &mut LevelBuilder, merge_all: bool) -> Result<(), MergeError> {
        if !builder.covers_any() {
            return Ok(());
        }
        let _building = self.building.lock();
        let (mut active, dropped) = {
            let levels = self.levels.read();
            let active = levels.all.iter().filter(|(_, used)| *used == LevelUse::Active);
            let active: Vec<Arc<Level>> = active.map(|(level, _)| Arc::clone(level)).collect();
            (active, Arc::clone(&levels.dropped))
        };
        active.sort_by_key(|level| level.record_count());
        let mut size = builder.records_len();
        let mut merged = Vec::new();
        for level in active {
            if !merge_all && level.record_count() > MERGE_RATIO * size.max(1 << 12) {
                break;
            }
            size += level.record_count();
            merged.push(level);
        }
        let new = builder.build(&merged, &dropped, self.repo_id)?;
        let mut levels = self.levels.write();
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

/// Whether all that a level covers is still in the repository. Drop lists may go: what they
/// dropped is not in the level.
fn is_current(level: &Level, listed: &HashMap<ObjectHash, u64>) -> bool {
    let mut covered = level.covered().into_iter();
    covered.all(|c| c.object_type == ObjectType::DropList || listed.contains_key(&c.object))
}
