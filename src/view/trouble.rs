//! What can go wrong while a view is open for days: packs that a prune removed, damage, storage
//! that does not answer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{NodeId, View};
use crate::error::{Error, Result, StorageErrorKind};
use crate::repository::Repository;

/// How long something that was not found in a fresh index is not looked for in a fresher one.
const GIVEN_UP_FOR: Duration = Duration::from_secs(60);
/// How long nobody tries to load the index again after that failed, but for what is missing.
const PAUSE: Duration = Duration::from_secs(10);
/// How many things are remembered as lost, and how many lines are remembered as said.
const REMEMBERED_MAX: usize = 10_000;

/// The kind of thing that a node is in an error that says that it is not there.
const NODE: &str = "node";

/// Whether an error says that a node is not there, or not any more: its snapshot was forgotten.
/// Nothing is wrong with the repository then.
pub fn is_gone(error: &Error) -> bool {
    matches!(error, Error::NotFound { what, .. } if *what == NODE)
}

pub(super) fn gone(node: NodeId) -> Error {
    Error::NotFound { what: NODE, name: node.0.to_string() }
}

/// Keeps the index as fresh as it has to be.
pub(super) struct Freshness {
    repository: Arc<Repository>,
    /// There are snapshots that the index may not know.
    is_stale: AtomicBool,
    loads: Mutex<Loads>,
}

#[derive(Default)]
struct Loads {
    last: Option<Instant>,
    /// When the last one failed.
    failed: Option<Instant>,
    /// What was not there after a load either.
    lost: HashMap<String, Instant>,
}

impl Freshness {
    pub(super) fn new(repository: &Arc<Repository>) -> Self {
        let repository = Arc::clone(repository);
        Self { repository, is_stale: AtomicBool::new(false), loads: Mutex::default() }
    }

    /// There are new snapshots: before the next page is read the index is loaded.
    pub(super) fn mark_stale(&self) {
        self.is_stale.store(true, Ordering::Release);
    }

    /// Runs something that reads. If it fails because of what the index does not know yet, or
    /// because a prune moved it, the index is loaded and it runs again.
    ///
    /// # Errors
    /// Those of `read`.
    pub(super) fn reading<T>(&self, mut read: impl FnMut() -> Result<T>) -> Result<T> {
        self.load_if_stale();
        loop {
            let started = Instant::now();
            match read() {
                Err(error) if self.may_be_there_now(&error, started) => {}
                result => return result,
            }
        }
    }

    /// Loads the index if there are new snapshots. What the old one knows can be read meanwhile, and
    /// without storage.
    pub(super) fn load_if_stale(&self) {
        if !self.is_stale.load(Ordering::Acquire) {
            return;
        }
        let Some(mut loads) = self.loads.try_lock() else { return };
        let is_too_soon = loads.failed.is_some_and(|failed| failed.elapsed() < PAUSE);
        if !is_too_soon
            && self.is_stale.swap(false, Ordering::AcqRel)
            && self.load(&mut loads).is_err()
        {
            self.mark_stale();
        }
    }

    /// Whether what failed with `error`, and was begun at `started`, is worth another try: the
    /// index was loaded since.
    pub(super) fn may_be_there_now(&self, error: &Error, started: Instant) -> bool {
        let is_missing = match error {
            Error::NotFound { what, .. } => *what != NODE,
            Error::Storage(error) => error.kind == StorageErrorKind::Missing,
            _ => false,
        };
        if !is_missing {
            return false;
        }
        let mut loads = self.loads.lock();
        if loads.last.is_some_and(|last| last > started) {
            return true;
        }
        // Others waited for the same, and storage does not answer.
        if loads.failed.is_some_and(|failed| failed > started) {
            return false;
        }
        let what = error.to_string();
        if loads.lost.get(&what).is_some_and(|since| since.elapsed() < GIVEN_UP_FOR) {
            return false;
        }
        if self.load(&mut loads).is_err() {
            return false;
        }
        if loads.lost.len() >= REMEMBERED_MAX {
            loads.lost.clear();
        }
        loads.lost.insert(what, Instant::now());
        true
    }

    fn load(&self, loads: &mut Loads) -> Result<()> {
        let loaded = self.repository.load_index();
        if let Err(error) = &loaded {
            tracing::warn!("the index could not be loaded again: {}", error.in_full());
        }
        if loaded.is_err() {
            loads.failed = Some(Instant::now());
        }
        loaded?;
        loads.last = Some(Instant::now());
        Ok(())
    }
}

/// Lines of the log that were written: each is written once.
#[derive(Default)]
pub(super) struct Said(Mutex<HashSet<String>>);

impl Said {
    /// Says in the log, once, that something of a file or folder cannot be read.
    pub(super) fn say(&self, shown_path: &str, error: &Error) {
        let text = format!("`{shown_path}` cannot be read: {}", error.in_full());
        let mut said = self.0.lock();
        if said.len() >= REMEMBERED_MAX {
            said.clear();
        }
        if said.insert(text.clone()) {
            tracing::warn!("{text}");
        }
    }
}

impl View {
    /// As [`Said::say`].
    pub(super) fn say(&self, shown_path: &str, error: &Error) {
        self.said.say(shown_path, error);
    }
}
