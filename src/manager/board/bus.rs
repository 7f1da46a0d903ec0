//! Events for whoever listens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::event::{Event, Happening};
use crate::runtime::Clock;

/// Events that can be asked for again; then the oldest go.
const KEPT: usize = 4_096;

/// Events that come up in one millisecond at most, on average since the start: their numbers begin
/// with the time, so that those of a later process are greater.
const PER_MS: u64 = 1_000;

/// Takes events and hands them to any number of listeners, none of which it ever waits for.
///
/// Clones share everything.
#[derive(Clone)]
pub struct EventBus(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    changed: Condvar,
    newest: watch::Sender<u64>,
}

struct State {
    /// In the order of their numbers.
    kept: VecDeque<Arc<Event>>,
    last_id: u64,
    /// The greatest number of an event that is not kept any more.
    lost_id: u64,
}

/// Events of before the ones that are kept were asked for: the listener has to look at everything
/// anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// Events after this one can be asked for.
    pub newest_id: u64,
}

impl EventBus {
    /// A bus without events.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let now_ms = u64::try_from(clock.now_ms()).unwrap_or_default();
        let first = now_ms.saturating_mul(PER_MS);
        let state = State { kept: VecDeque::new(), last_id: first, lost_id: first };
        let newest = watch::Sender::new(first);
        Self(Arc::new(Shared { clock, state: Mutex::new(state), changed: Condvar::new(), newest }))
    }

    /// Tells of something.
    pub fn tell(&self, repository: Option<&str>, happening: Happening) {
        let time = Timestamp::from_millisecond(self.0.clock.now_ms()).unwrap_or(Timestamp::MAX);
        let mut state = self.0.state.lock();
        let state = &mut *state;
        if let Happening::JobProgress { job_id, .. } = &happening {
            // The step before it is of no use any more.
            let same = |event: &Arc<Event>| matches!(&event.happening, Happening::JobProgress { job_id: other, .. } if other == job_id);
            if let Some(at) = state.kept.iter().rposition(same) {
                state.kept.remove(at);
            }
        }
        state.last_id += 1;
        let repository = repository.map(str::to_owned);
        state.kept.push_back(Arc::new(Event { id: state.last_id, time, repository, happening }));
        if state.kept.len() > KEPT
            && let Some(oldest) = state.kept.pop_front()
        {
            state.lost_id = oldest.id;
        }
        let newest_id = state.last_id;
        self.0.newest.send_replace(newest_id);
        self.0.changed.notify_all();
    }

    /// The number of the newest event.
    pub fn newest_id(&self) -> u64 {
        self.0.state.lock().last_id
    }

    /// The events after the one of this number, oldest first.
    ///
    /// # Errors
    /// [`Missed`] if some of them are not kept any more, or if the number is none of this bus.
    pub fn since(&self, id: u64) -> Result<Vec<Arc<Event>>, Missed> {
        let state = self.0.state.lock();
        if id < state.lost_id || id > state.last_id {
            return Err(Missed { newest_id: state.last_id });
        }
        let from = state.kept.partition_point(|event| event.id <= id);
        Ok(state.kept.range(from..).cloned().collect())
    }

    /// Waits for events after the one of this number, for so long at most. Whether there are any.
    pub fn wait(&self, id: u64, longest: Duration) -> bool {
        let until = Instant::now() + longest;
        let mut state = self.0.state.lock();
        while state.last_id <= id {
            if self.0.changed.wait_until(&mut state, until).timed_out() {
                return state.last_id > id;
            }
        }
        true
    }

    /// The number of the newest event, for async tasks that wait for it to change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.newest.subscribe()
    }
}
