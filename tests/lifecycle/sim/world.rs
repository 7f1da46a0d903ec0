//! Simulated storage behind all clients: objects, their past, its clock, and what goes wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use larder::error::{StorageError, StorageErrorKind};
use larder::runtime::Clock;
use larder::storage::{MemoryStorage, ObjectMeta, PutMode, Storage};

use crate::support::Dice;

pub(super) const SECOND_MS: i64 = 1000;
pub(super) const MINUTE_MS: i64 = 60 * SECOND_MS;
pub(super) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;

/// When the simulated world begins: some day in 2026.
pub(super) const START_MS: i64 = 1_790_000_000_000;

/// The clock of storage, or one that is wrong by a fixed time.
#[derive(Clone)]
pub(super) struct WorldClock {
    now_ms: Arc<AtomicI64>,
    skew_ms: i64,
}

impl WorldClock {
    pub(super) fn new() -> Self {
        Self { now_ms: Arc::new(AtomicI64::new(START_MS)), skew_ms: 0 }
    }

    /// The same clock as somebody with a wrong one sees it.
    pub(super) fn skewed(&self, skew_ms: i64) -> Self {
        Self { now_ms: Arc::clone(&self.now_ms), skew_ms }
    }

    pub(super) fn storage_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    pub(super) fn advance(&self, by_ms: i64) {
        self.now_ms.fetch_add(by_ms.max(0), Ordering::SeqCst);
    }
}

impl Clock for WorldClock {
    fn now_ns(&self) -> i128 {
        i128::from(self.storage_ms() + self.skew_ms) * 1_000_000
    }
}

/// How much goes wrong. Each is "once in so many calls"; 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    pub(super) lost_answers: u64,
    pub(super) late_writes: u64,
    pub(super) failures: u64,
    pub(super) crashes: u64,
    pub(super) stalls: u64,
    /// Listings hide and show so much of the last hour, in percent.
    pub(super) stale_percent: u64,
    /// Listings show nothing that begins so. No storage does that: it is there to see whether the
    /// rules that rest on these objects are missed.
    pub(super) hidden: Option<&'static str>,
}

/// A write that storage has taken and not done yet.
struct Late {
    due_ms: i64,
    name: String,
    bytes: Vec<u8>,
    mode: PutMode,
}

/// An object that was deleted not long ago.
struct Deleted {
    meta: ObjectMeta,
    at_ms: i64,
}

/// A delete, and who did it.
pub(super) struct Removal {
    pub(super) client: usize,
    pub(super) name: String,
}

pub(super) struct World {
    pub(super) memory: Arc<MemoryStorage>,
    pub(super) clock: WorldClock,
    pub(super) dice: Dice,
    pub(super) trouble: Trouble,
    pub(super) removals: Vec<Removal>,
    /// What happened, for people who look for the reason of a loss.
    pub(super) story: Vec<String>,
    late: Vec<Late>,
    deleted: BTreeMap<String, Deleted>,
}

/// What becomes of one call beside its work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Well,
    /// Nothing is done, the caller learns of it.
    Fails,
    /// It is done, the caller does not learn of it.
    AnswerLost,
    /// The caller gives up, and it is done later.
    Late,
}

impl World {
    pub(super) fn new(memory: Arc<MemoryStorage>, clock: WorldClock, dice: Dice) -> Self {
        Self {
            memory,
            clock,
            dice,
            trouble: Trouble::default(),
            removals: Vec::new(),
            story: Vec::new(),
            late: Vec::new(),
            deleted: BTreeMap::new(),
        }
    }

    /// True once in so many times; never for 0.
    pub(super) fn chance(&self, once_in: u64) -> bool {
        once_in > 0 && self.dice.once_in(once_in)
    }

    pub(super) fn tell(&mut self, client: usize, what: &str) {
        let after = self.clock.storage_ms() - START_MS;
        let (days, rest) = (after / DAY_MS, after % DAY_MS);
        let (hours, minutes) = (rest / HOUR_MS, rest % HOUR_MS / MINUTE_MS);
        let seconds = rest % MINUTE_MS / SECOND_MS;
        let line = format!("{days}d {hours:02}:{minutes:02}:{seconds:02} client {client} {what}");
        self.story.push(line);
    }

    /// Nothing goes wrong from now on, and what was late has arrived.
    pub(super) fn settle(&mut self) {
        self.trouble = Trouble::default();
        self.clock.advance(2 * HOUR_MS);
        self.arrive();
    }

    pub(super) fn fate(&self) -> Fate {
        if self.chance(self.trouble.failures) {
            Fate::Fails
        } else if self.chance(self.trouble.lost_answers) {
            Fate::AnswerLost
        } else if self.chance(self.trouble.late_writes) {
            Fate::Late
        } else {
            Fate::Well
        }
    }

    /// Late writes whose time has come.
    pub(super) fn arrive(&mut self) {
        let now_ms = self.clock.storage_ms();
        let (due, late) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|late: &Late| late.due_ms <= now_ms);
        self.late = late;
        for Late { name, bytes, mode, .. } in due {
            self.tell(99, &format!("a late write arrives: {name}"));
            // A name that is taken is a write that was repeated meanwhile.
            let _ = self.store(&name, &bytes, mode);
        }
    }

    fn store(&mut self, name: &str, bytes: &[u8], mode: PutMode) -> Result<(), StorageError> {
        self.memory.put(name, &[bytes], mode)?;
        self.deleted.remove(name);
        Ok(())
    }

    pub(super) fn put(
        &mut self,
        client: usize,
        name: &str,
        bytes: Vec<u8>,
        mode: PutMode,
    ) -> Result<(), StorageError> {
        let fate = self.fate();
        self.tell(client, &format!("put {name} {fate:?}"));
        match fate {
            Fate::Fails => Err(lost(name)),
            Fate::Late => {
                let wait_ms = self.dice.below(45 * MINUTE_MS as u64) as i64;
                let due_ms = self.clock.storage_ms() + wait_ms;
                self.late.push(Late { due_ms, name: name.into(), bytes, mode });
                Err(lost(name))
            }
            Fate::AnswerLost => self.store(name, &bytes, mode).and(Err(lost(name))),
            Fate::Well => self.store(name, &bytes, mode),
        }
    }

    pub(super) fn delete(&mut self, client: usize, name: &str) -> Result<(), StorageError> {
        let fate = self.fate();
        self.tell(client, &format!("delete {name} {fate:?}"));
        if fate == Fate::Fails {
            return Err(lost(name));
        }
        if let Ok(meta) = self.memory.head(name) {
            let at_ms = self.clock.storage_ms();
            self.deleted.insert(name.into(), Deleted { meta, at_ms });
            self.removals.push(Removal { client, name: name.into() });
        }
        self.memory.delete(name)?;
        if fate == Fate::Well { Ok(()) } else { Err(lost(name)) }
    }

    pub(super) fn list(
        &mut self,
        client: usize,
        prefix: &str,
    ) -> Result<Vec<ObjectMeta>, StorageError> {
        if self.chance(self.trouble.failures) {
            return Err(lost(prefix));
        }
        let mut all = Vec::new();
        self.memory.list(prefix, &mut |meta| all.push(meta))?;
        if let Some(hidden) = self.trouble.hidden {
            all.retain(|meta| !meta.name.starts_with(hidden));
        }
        let stale = self.trouble.stale_percent;
        if stale > 0 {
            let since_ms = self.clock.storage_ms() - HOUR_MS;
            let mut hidden = Vec::new();
            all.retain(|meta| {
                let is_new = meta.modified_ms.is_some_and(|at_ms| at_ms > since_ms);
                let is_shown = !is_new || self.dice.below(100) >= stale;
                if !is_shown {
                    hidden.push(meta.name.clone());
                }
                is_shown
            });
            let gone = self.deleted.iter().filter(|(name, deleted)| {
                name.starts_with(prefix) && deleted.at_ms > since_ms && self.dice.below(100) < stale
            });
            let gone: Vec<ObjectMeta> = gone.map(|(_, deleted)| deleted.meta.clone()).collect();
            if !hidden.is_empty() || !gone.is_empty() {
                let gone: Vec<&str> = gone.iter().map(|meta| meta.name.as_str()).collect();
                self.tell(client, &format!("list {prefix} hides {hidden:?}, still shows {gone:?}"));
            }
            all.extend(gone);
        }
        Ok(all)
    }

    pub(super) fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&MemoryStorage) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if self.chance(self.trouble.failures) {
            return Err(lost(name));
        }
        read(&self.memory)
    }
}

fn lost(name: &str) -> StorageError {
    error(name, StorageErrorKind::Temporary, "the network failed")
}

pub(super) fn error(name: &str, kind: StorageErrorKind, what: &'static str) -> StorageError {
    StorageError {
        kind,
        action: "reach",
        location: "simulated:".into(),
        object: name.into(),
        source: what.into(),
    }
}
