//! Lists of snapshots for whoever shows them all the time, and must not ask storage each time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::BackupManager;
use crate::error::Result;
use crate::repository::{LogWatch, SnapshotList};

/// The log as it was seen last. Whoever looks at it holds the lock, and others wait for the same.
#[derive(Default)]
pub(super) struct Seen(Mutex<State>);

#[derive(Default)]
struct State {
    watch: LogWatch,
    list: Option<Arc<SnapshotList>>,
    looked: Option<Instant>,
    /// When the index was loaded: it knows all snapshots of the list of then.
    loaded: Option<Arc<SnapshotList>>,
}

impl BackupManager {
    /// The same manager, whose lists of snapshots may be so old: within that time storage is not
    /// asked again, and later only for what is new. For showing things, not for deciding what may
    /// be removed.
    pub fn showing(&self, max_age: Duration) -> Self {
        Self { max_age: Some(max_age), ..self.clone() }
    }

    /// All snapshots, as old as they may be.
    ///
    /// # Errors
    /// The storage's.
    pub fn snapshot_list(&self) -> Result<Arc<SnapshotList>> {
        let Some(max_age) = self.max_age else {
            return Ok(Arc::new(self.repository().snapshots()?));
        };
        let mut state = self.shared.seen.0.lock();
        let state = &mut *state;
        if let (Some(list), Some(looked)) = (&state.list, state.looked)
            && looked.elapsed() < max_age
        {
            return Ok(Arc::clone(list));
        }
        if let Some(list) = self.repository().snapshots_if_changed(&mut state.watch)? {
            state.list = Some(Arc::new(list));
        }
        state.looked = Some(Instant::now());
        Ok(Arc::clone(state.list.get_or_insert_default()))
    }

    /// Brings the index up to date; of a manager that [shows](BackupManager::showing) only if there
    /// are other snapshots than before. Parts that cannot be used show when something is missing.
    ///
    /// # Errors
    /// The storage's.
    pub fn load_index(&self) -> Result<()> {
        let list = match self.max_age {
            Some(_) => Some(self.snapshot_list()?),
            None => None,
        };
        let is_same = |list: &Arc<SnapshotList>| {
            let state = self.shared.seen.0.lock();
            state.loaded.as_ref().is_some_and(|loaded| Arc::ptr_eq(loaded, list))
        };
        if list.as_ref().is_some_and(is_same) {
            return Ok(());
        }
        for error in self.repository().load_index()? {
            tracing::warn!("a part of the index cannot be used: {error}");
        }
        if list.is_some() {
            self.shared.seen.0.lock().loaded = list;
        }
        Ok(())
    }
}
