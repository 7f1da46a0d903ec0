//! One repository on two places: what is small and often read on the *hot* one, packs of data on
//! the *cold* one.
//!
//! | | hot | cold |
//! |---|---|---|
//! | `data/` | - | all of it |
//! | `sessions/`, `gc/`, `mirrors/` | all of it | - |
//! | everything else | all of it, read from here | a copy, never read |
//!
//! So the cold place alone is a full repository, as one that was copied between two runs would be.
//! What is copied is written to the hot place first and taken away from the cold place first: the
//! cold place never has a name that the hot one lacks. Packs of data are durable on the cold place
//! before anything that names them is written, because the put of a pack ends only then.
//!
//! [`SplitStorage::complete`] copies what a crash, or an outage of the cold place, kept from it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::object_lock::{LockSettings, ObjectLock, Retention};
use super::throttle::{Pace, throttled};
use super::{Archive, ObjectMeta, PutMode, SharedStorage, Storage, in_parallel};
use crate::error::{StorageError, StorageErrorKind};

/// What is only on the cold place.
const COLD: &str = "data/";
/// What is only on the hot place: who is at work on the repository.
const HOT: [&str; 3] = ["sessions/", "gc/", "mirrors/"];
/// Configurations: older ones are deleted when a newer one is there.
const CONFIG: &str = "config/";
/// No object that is copied is longer.
const COPY_LEN_MAX: u64 = 1 << 30;

/// Two places as one.
pub struct SplitStorage {
    hot: SharedStorage,
    cold: SharedStorage,
}

/// What [`SplitStorage::complete`] did and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    /// Objects that were copied to the cold place.
    pub copied: u64,
    /// What the cold place has and the hot one does not, by name: no writer leaves such a state, so
    /// the hot place has lost it.
    pub lost: Vec<String>,
}

/// Where an object belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Hot,
    Cold,
    Both,
}

fn side(name: &str) -> Side {
    match name {
        name if name.starts_with(COLD) => Side::Cold,
        name if HOT.iter().any(|folder| name.starts_with(folder)) => Side::Hot,
        _ => Side::Both,
    }
}

impl SplitStorage {
    /// `hot` is what people named; `cold` gets the packs of data.
    pub fn new(hot: SharedStorage, cold: SharedStorage) -> Self {
        Self { hot, cold }
    }

    /// The place of everything but packs of data.
    pub fn hot(&self) -> &SharedStorage {
        &self.hot
    }

    /// The place of the packs of data.
    pub fn cold(&self) -> &SharedStorage {
        &self.cold
    }

    /// Where this object is read.
    fn of(&self, name: &str) -> &SharedStorage {
        if side(name) == Side::Cold { &self.cold } else { &self.hot }
    }

    /// Copies to the cold place what it lacks, in the order in which a repository is written.
    /// Deletes nothing but older configurations: of what the hot place lacks, the cold one has the
    /// last copy.
    ///
    /// # Errors
    /// The storage's; what was copied until then stays.
    pub fn complete(&self) -> Result<Completed, StorageError> {
        let mut completed = Completed::default();
        for folder in ["keys/", "keyring/", CONFIG, "meta/", "index/", "snapshots/", "repo"] {
            self.complete_folder(folder, &mut completed)?;
        }
        Ok(completed)
    }

    fn complete_folder(&self, folder: &str, completed: &mut Completed) -> Result<(), StorageError> {
        let names = |storage: &SharedStorage| -> Result<HashSet<String>, StorageError> {
            let mut names = HashSet::new();
            if !folder.ends_with('/') {
                if has(storage, folder)? {
                    names.insert(folder.to_owned());
                }
                return Ok(names);
            }
            storage.list(folder, &mut |meta| _ = names.insert(meta.name))?;
            Ok(names)
        };
        // The cold one first: what comes meanwhile is written to both, and is no loss.
        let cold = names(&self.cold)?;
        let hot = names(&self.hot)?;
        let mut missing: Vec<&String> = hot.difference(&cold).collect();
        missing.sort_unstable();
        let copies = in_parallel(&*self.cold, &missing, |name| self.copy(name));
        for copy in copies {
            completed.copied += u64::from(copy?);
        }
        let mut spare: Vec<&String> = cold.difference(&hot).collect();
        spare.sort_unstable();
        for name in spare {
            // The name begins with the generation, and only the newest counts.
            if folder == CONFIG && hot.iter().any(|newer| newer > name) {
                self.cold.delete(name)?;
                continue;
            }
            // In this order: what is deleted meanwhile goes from the cold place first.
            if !has(&self.hot, name)? && has(&self.cold, name)? {
                completed.lost.push(name.clone());
            }
        }
        Ok(())
    }

    fn copy(&self, name: &str) -> Result<bool, StorageError> {
        let bytes = match self.hot.get(name, COPY_LEN_MAX) {
            // Gone since it was listed.
            Err(error) if error.kind == StorageErrorKind::Missing => return Ok(false),
            bytes => bytes?,
        };
        self.cold.put(name, &[&bytes], PutMode::Content).map(|()| true)
    }
}

fn has(storage: &SharedStorage, name: &str) -> Result<bool, StorageError> {
    match storage.head(name) {
        Ok(_) => Ok(true),
        Err(error) if error.kind == StorageErrorKind::Missing => Ok(false),
        Err(error) => Err(error),
    }
}

impl Storage for SplitStorage {
    fn location(&self) -> &str {
        self.hot.location()
    }

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        match side(name) {
            Side::Cold => self.cold.put(name, parts, mode),
            Side::Hot => self.hot.put(name, parts, mode),
            Side::Both => {
                self.hot.put(name, parts, mode)?;
                // Whether it may be there was decided on the hot place.
                let mode = match mode {
                    PutMode::CreateOnce => PutMode::Content,
                    mode => mode,
                };
                self.cold.put(name, parts, mode)
            }
        }
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        self.of(name).get(name, len_max)
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        self.of(name).get_range(name, offset, buf)
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        self.of(name).head(name)
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        if prefix.starts_with(COLD) {
            return self.cold.list(prefix, found);
        }
        // What lies in `data/` of the hot place is no part of the repository.
        self.hot.list(prefix, &mut |meta| {
            if side(&meta.name) != Side::Cold {
                found(meta);
            }
        })?;
        if prefix.is_empty() {
            self.cold.list(COLD, found)?;
        }
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        match side(name) {
            Side::Cold => self.cold.delete(name),
            Side::Hot => self.hot.delete(name),
            Side::Both => {
                self.cold.delete(name)?;
                self.hot.delete(name)
            }
        }
    }

    fn concurrency(&self) -> usize {
        self.hot.concurrency().max(self.cold.concurrency())
    }

    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        let has_locks = self.cold.object_lock().is_some() || self.hot.object_lock().is_some();
        has_locks.then_some(self)
    }

    fn archive(&self) -> Option<&dyn Archive> {
        self.cold.archive()
    }

    fn warning(&self) -> Option<&str> {
        self.hot.warning().or_else(|| self.cold.warning())
    }

    fn paced(&self, pace: &Pace) -> Option<SharedStorage> {
        let side = |storage: &SharedStorage| throttled(Arc::clone(storage), pace.clone());
        Some(Arc::new(Self::new(side(&self.hot), side(&self.cold))))
    }

    fn clean_unfinished(&self, age: Duration) -> Result<u64, StorageError> {
        Ok(self.hot.clean_unfinished(age)? + self.cold.clean_unfinished(age)?)
    }
}

impl SplitStorage {
    /// The locks of the places that keep `name` and have locks.
    fn locks(&self, name: &str) -> impl Iterator<Item = &dyn ObjectLock> {
        let places = match side(name) {
            Side::Hot => [Some(&self.hot), None],
            Side::Cold => [None, Some(&self.cold)],
            Side::Both => [Some(&self.hot), Some(&self.cold)],
        };
        places.into_iter().flatten().filter_map(|storage| storage.object_lock())
    }
}

/// What is on both places is kept as long, and as strictly, as the one that lets go of it first.
impl ObjectLock for SplitStorage {
    fn settings(&self) -> Result<LockSettings, StorageError> {
        let mut all = LockSettings::default();
        for lock in [&self.cold, &self.hot].into_iter().filter_map(|side| side.object_lock()) {
            let settings = lock.settings()?;
            all.object_lock |= settings.object_lock;
            all.versions |= settings.versions;
            all.default = all.default.or(settings.default);
        }
        Ok(all)
    }

    fn retention(&self, name: &str) -> Result<Option<Retention>, StorageError> {
        let mut weakest: Option<Option<Retention>> = None;
        for lock in self.locks(name) {
            if !lock.settings()?.object_lock {
                continue;
            }
            let kept = lock.retention(name)?;
            weakest = Some(match (weakest, kept) {
                (None, kept) => kept,
                (Some(Some(weakest)), Some(kept)) => Some(Retention {
                    mode: weakest.mode.min(kept.mode),
                    until_ms: weakest.until_ms.min(kept.until_ms),
                }),
                _ => None,
            });
        }
        Ok(weakest.flatten())
    }

    fn retain(&self, name: &str, retention: &Retention) -> Result<(), StorageError> {
        for lock in self.locks(name) {
            if !lock.settings()?.object_lock {
                continue;
            }
            let kept = lock.retention(name)?;
            let wanted = kept.map_or(*retention, |kept| Retention {
                mode: kept.mode.max(retention.mode),
                until_ms: kept.until_ms.max(retention.until_ms),
            });
            if kept != Some(wanted) {
                lock.retain(name, &wanted)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::conformance::{Scale, conformance_at};
    use crate::storage::{FaultStorage, MemoryStorage, RecordStorage, list_sorted};

    fn names(storage: &dyn Storage) -> Vec<String> {
        let listed = list_sorted(storage, "").expect("lists");
        listed.into_iter().map(|meta| meta.name).collect()
    }

    fn put(storage: &dyn Storage, name: &str) -> Result<(), StorageError> {
        storage.put(name, &[name.as_bytes()], PutMode::Content)
    }

    const ALL: [&str; 7] =
        ["data/aa/1", "gc/mark-1", "index/1", "keys/1", "meta/bb/1", "repo", "sessions/1"];

    #[test]
    fn it_conforms() {
        conformance_at(Scale { objects: 100, exclusive: true }, || {
            let side = || -> SharedStorage { Arc::new(MemoryStorage::new()) };
            Arc::new(SplitStorage::new(side(), side()))
        });
    }

    #[test]
    fn each_side_has_its_part_and_small_things_are_read_from_the_hot_one() {
        let (hot, cold) = (Arc::new(MemoryStorage::new()), Arc::new(MemoryStorage::new()));
        let watched = Arc::new(RecordStorage::new(cold.clone()));
        let split = SplitStorage::new(hot.clone(), watched.clone());
        ALL.iter().for_each(|name| put(&split, name).expect("writes"));
        assert_eq!(names(&*hot), ALL[1..]);
        assert_eq!(names(&*cold), ["data/aa/1", "index/1", "keys/1", "meta/bb/1", "repo"]);
        assert_eq!(names(&split), ALL);

        let before = watched.calls().len();
        for name in &ALL[1..] {
            assert_eq!(split.get(name, 99).expect("reads"), name.as_bytes());
            split.head(name).expect("looks");
            split.get_range(name, 0, &mut [0; 3]).expect("reads");
        }
        for folder in ["keys/", "index/", "meta/", "snapshots/", "gc/"] {
            list_sorted(&split, folder).expect("lists");
        }
        assert_eq!(watched.calls().len(), before, "the cold side was asked");
        split.get("data/aa/1", 99).expect("reads");
        assert!(watched.calls().len() > before);

        ALL.iter().for_each(|name| split.delete(name).expect("deletes"));
        assert_eq!((names(&*hot), names(&*cold)), (vec![], vec![]));
    }

    /// Whatever write is the last, on either side: the cold side has nothing that the hot one
    /// lacks, nothing names a pack that is not there, and what is missing is completed later.
    #[test]
    fn the_cold_side_never_knows_more() {
        let mut stops = 0;
        for (on_cold, writes) in (0..20).flat_map(|writes| [(false, writes), (true, writes)]) {
            let (hot, cold) = (Arc::new(MemoryStorage::new()), Arc::new(MemoryStorage::new()));
            let faulty = |inner: &Arc<MemoryStorage>, hit: bool| {
                let faults = FaultStorage::new(inner.clone());
                if hit {
                    faults.fail_after_writes(writes);
                }
                Arc::new(faults)
            };
            let split = SplitStorage::new(faulty(&hot, !on_cold), faulty(&cold, on_cold));
            let done = ALL.iter().all(|name| put(&split, name).is_ok())
                && ALL.iter().rev().all(|name| split.delete(name).is_ok());
            stops += usize::from(!done);

            let (at_hot, at_cold) = (names(&*hot), names(&*cold));
            let copies = at_cold.iter().filter(|name| side(name) == Side::Both);
            copies.for_each(|name| assert!(at_hot.contains(name), "{on_cold} {writes}: {name}"));
            let is_there = |name: &str| at_cold.iter().chain(&at_hot).any(|other| other == name);
            assert!(!is_there("index/1") || is_there("data/aa/1"), "{on_cold} {writes}");

            let whole = SplitStorage::new(hot.clone(), cold.clone());
            whole.complete().expect("copies");
            assert_eq!(whole.complete().expect("looks"), Completed::default());
            let shared = |names: Vec<String>| -> Vec<String> {
                names.into_iter().filter(|name| side(name) == Side::Both).collect()
            };
            assert_eq!(shared(names(&*hot)), shared(names(&*cold)), "{on_cold} {writes}");
        }
        assert_eq!(stops, 12 + 10, "every write and delete of either side was the last one once");
    }

    /// The last copy of what the hot side lost is not deleted, and is told of.
    #[test]
    fn what_the_hot_side_lost_stays_on_the_cold_one() {
        let (hot, cold) = (Arc::new(MemoryStorage::new()), Arc::new(MemoryStorage::new()));
        let split = SplitStorage::new(hot.clone(), cold.clone());
        ALL.iter().for_each(|name| put(&split, name).expect("writes"));
        for name in LOST {
            hot.delete(name).expect("it is lost");
        }
        cold.delete("meta/bb/1").expect("it was never copied");
        let completed = split.complete().expect("completes");
        assert_eq!(
            (completed.copied, completed.lost.clone()),
            (1, LOST.map(String::from).to_vec())
        );
        assert_eq!(names(&*cold), ["data/aa/1", "index/1", "keys/1", "meta/bb/1", "repo"]);
    }

    const LOST: [&str; 3] = ["keys/1", "index/1", "repo"];

    #[test]
    fn creating_once_is_decided_on_the_hot_side() {
        let (hot, cold) = (Arc::new(MemoryStorage::new()), Arc::new(MemoryStorage::new()));
        put(&*cold, "repo").expect("left over");
        let split = SplitStorage::new(hot, cold);
        let create = || split.put("repo", &[b"repo"], PutMode::CreateOnce);
        create().expect("the hot side has none");
        assert_eq!(create().expect_err("exists").kind, StorageErrorKind::Exists);
    }
}
