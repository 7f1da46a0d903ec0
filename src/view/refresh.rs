//! The list of snapshots, renewed when somebody looks and it is too old.
//!
//! A thread of its own renews it: storage that does not answer must not keep anybody from the
//! snapshots that are known.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::listing::Listing;
use crate::error::Result;
use crate::repository::{LogWatch, Repository, Snapshot, SnapshotList};
use crate::tree::SnapshotFilter;

/// How long somebody who looks waits for the new list before the old one is shown.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the list is to be.
pub(super) struct Wanted {
    /// Which snapshots are in it.
    pub(super) filter: SnapshotFilter,
    /// How old it may be.
    pub(super) max_age: Duration,
    /// Whether the times in it are named without `:`.
    pub(super) plain_times: bool,
}

/// Called when there is a new list.
pub(super) type OnNew = Box<dyn Fn() + Send + Sync>;

/// The list of snapshots of a repository.
pub(super) struct Snapshots(Arc<Shared>);

struct Shared {
    repository: Arc<Repository>,
    wanted: Wanted,
    /// Called before a list that is new is shown.
    on_new: OnNew,
    state: Mutex<State>,
    /// The log as it was seen last. Whoever renews the list holds it.
    watch: Mutex<Watch>,
    renewed: Condvar,
}

struct State {
    listing: Arc<Listing>,
    /// When the newest look at the log ended.
    looked: Instant,
    /// When the look that goes on began.
    running_since: Option<Instant>,
}

#[derive(Default)]
struct Watch {
    log: LogWatch,
    /// What was said about damaged records, to be said once.
    said: HashSet<String>,
    is_failing: bool,
}

impl Snapshots {
    /// Reads the list.
    ///
    /// # Errors
    /// The storage's.
    pub(super) fn new(repository: &Arc<Repository>, wanted: Wanted, on_new: OnNew) -> Result<Self> {
        let state = State { listing: Arc::default(), looked: Instant::now(), running_since: None };
        let shared = Arc::new(Shared {
            repository: Arc::clone(repository),
            wanted,
            on_new,
            state: Mutex::new(state),
            watch: Mutex::default(),
            renewed: Condvar::new(),
        });
        shared.renew()?;
        Ok(Self(shared))
    }

    /// The list, not older than it may be unless storage does not answer.
    pub(super) fn get(&self) -> Arc<Listing> {
        let mut state = self.0.state.lock();
        if state.running_since.is_none() && state.looked.elapsed() >= self.0.wanted.max_age {
            state.running_since = Some(Instant::now());
            let shared = Arc::clone(&self.0);
            std::thread::spawn(move || shared.renew_or_say());
        }
        while let Some(since) = state.running_since
            && let Some(rest) = PATIENCE.checked_sub(since.elapsed())
        {
            self.0.renewed.wait_for(&mut state, rest);
        }
        Arc::clone(&state.listing)
    }
}

impl Shared {
    fn renew_or_say(&self) {
        let renewed = self.renew();
        let mut watch = self.watch.lock();
        match &renewed {
            Err(error) if !watch.is_failing => {
                tracing::warn!("the list of snapshots is not renewed: {}", error.in_full());
            }
            Ok(()) if watch.is_failing => tracing::warn!("the list of snapshots is renewed again"),
            _ => {}
        }
        watch.is_failing = renewed.is_err();
        drop(watch);
        let mut state = self.state.lock();
        state.looked = Instant::now();
        state.running_since = None;
        self.renewed.notify_all();
    }

    fn renew(&self) -> Result<()> {
        let mut watch = self.watch.lock();
        let Some(list) = self.repository.snapshots_if_changed(&mut watch.log)? else {
            return Ok(());
        };
        say_bad(&list, &mut watch.said);
        let fits = |snapshot: &Snapshot| self.wanted.filter.fits(snapshot);
        let listing = Arc::new(Listing::new(&list.snapshots, fits, self.wanted.plain_times));
        (self.on_new)();
        self.state.lock().listing = listing;
        Ok(())
    }
}

/// Records that cannot be used may be snapshots that are missing.
fn say_bad(list: &SnapshotList, said: &mut HashSet<String>) {
    for error in &list.bad {
        let text = error.to_string();
        if said.insert(text.clone()) {
            tracing::warn!("a snapshot may be missing: {text}");
        }
    }
}
