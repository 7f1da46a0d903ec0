//! How many calls are under way at once: as many as the service takes.
//!
//! A service that is asked for too much answers 429 or 503, or lets calls run into their time
//! limits, and repeating them all at once makes that worse. So the number of calls in flight is
//! found out, as TCP finds its window: it begins at the most ([`Storage::concurrency`], or what
//! `concurrency=N` in the location says), every round with a failure that passes halves it, down
//! to one call, and each round of answers adds one. A round is as long as a call takes: the calls
//! that were under way when one failed mean the same trouble, and count once.
//!
//! In an outage this leaves a single call that looks whether the service is back, and the others
//! wait in the order they came. When it is, every answer adds one call up to half of what worked
//! before, so that nobody meets a service that has just started with all there is.
//!
//! Bytes in flight are bounded too: calls hold their objects in memory while they wait. Waits
//! between repetitions hold no place ([`retry`](super::retry) is above this).

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::asked::{Asked, Effect};
use super::failure::failure;
use super::retry::Notify;
use super::waiting::{LOOK_AGAIN, Waits};
use super::{Archive, ObjectLock, ObjectMeta, PutMode, SharedStorage, Storage};
use crate::error::{StorageError, StorageErrorKind};
use crate::runtime::CancelToken;

/// The most bytes of calls in flight; a call with more goes alone.
const BYTES_MAX: u64 = 256 << 20;

/// What a read of unknown length counts for: most such objects are small.
const READ_BYTES: u64 = 1 << 20;

/// After so many failures in a row, a cancelled run has nobody to say its last words to: each of
/// them would wait for an answer as long as the others did.
const AWAY: u32 = 3;

/// Lets only as many calls pass at once as the service takes.
pub struct AdaptiveStorage {
    inner: SharedStorage,
    limit: Limit,
    cancel: CancelToken,
    waits: Waits,
}

impl AdaptiveStorage {
    /// Wraps `inner`: never more than `most` calls at once. A call that waits for its turn while
    /// the service fails ends when `cancel` is set, and so does one that waits for an answer
    /// soon after.
    pub fn new(inner: SharedStorage, most: NonZeroUsize, cancel: CancelToken) -> Self {
        let limit = Limit::new(most.get(), BYTES_MAX);
        let waits = Waits::new(inner.location(), cancel.clone(), Notify::default());
        Self { inner, limit, cancel, waits }
    }

    /// Tells `notify` when the service is silent for long.
    pub fn telling(self, notify: Notify) -> Self {
        let waits = Waits::new(self.inner.location(), self.cancel.clone(), notify);
        Self { waits, ..self }
    }

    /// How many calls may be under way now.
    pub fn limit(&self) -> usize {
        self.limit.state.lock().window.calls()
    }

    fn call<T>(
        &self,
        action: &'static str,
        name: &str,
        bytes: u64,
        call: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let Some(place) = self.limit.enter(bytes, &self.cancel) else {
            let what = "the run was cancelled while this waited for its turn";
            let kind = StorageErrorKind::Temporary;
            return Err(failure(self.location(), action, name, kind, what));
        };
        let is_last_word = self.cancel.is_cancelled();
        let (result, was_cut_off) = self.waits.during(call);
        let is_answered = !result.as_ref().is_err_and(StorageError::is_temporary);
        if is_answered {
            self.waits.answered();
        }
        match (was_cut_off && !is_answered, is_last_word) {
            (true, true) => place.leave_nobody(),
            // It may only be slow: that says nothing about the last words.
            (true, false) => {}
            (false, _) => place.leave(is_answered),
        }
        result
    }
}

/// Who may pass.
struct Limit {
    most: usize,
    bytes_max: u64,
    state: Mutex<State>,
    left: Condvar,
}

struct State {
    window: Window,
    calls: usize,
    bytes: u64,
    /// Those that wait, first come first.
    waiting: VecDeque<u64>,
    next_ticket: u64,
}

impl Limit {
    fn new(most: usize, bytes_max: u64) -> Self {
        let (calls, bytes, waiting, next_ticket) = (0, 0, VecDeque::new(), 0);
        let state = State { window: Window::new(most), calls, bytes, waiting, next_ticket };
        Self { most, bytes_max, state: Mutex::new(state), left: Condvar::new() }
    }

    /// Waits for a place; `None` if the run was cancelled while the service fails. Where calls are
    /// answered, they go on after a cancellation too: the last words of a run.
    fn enter(&self, bytes: u64, cancel: &CancelToken) -> Option<Place<'_>> {
        let mut state = self.state.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(ticket);
        loop {
            if cancel.is_cancelled() && state.window.failures >= AWAY {
                state.waiting.retain(|waiting| *waiting != ticket);
                self.left.notify_all();
                return None;
            }
            let has_room = state.calls == 0
                || state.calls < state.window.calls() && state.bytes + bytes <= self.bytes_max;
            if state.waiting.front() == Some(&ticket) && has_room {
                state.waiting.pop_front();
                state.calls += 1;
                state.bytes += bytes;
                // There may be room for the next one too.
                self.left.notify_all();
                return Some(Place { limit: self, bytes, round: state.window.round });
            }
            if cancel.is_cancelled() && state.window.failures > 0 {
                state.waiting.retain(|waiting| *waiting != ticket);
                self.left.notify_all();
                return None;
            }
            self.left.wait_for(&mut state, LOOK_AGAIN);
        }
    }
}

/// A call under way.
struct Place<'l> {
    limit: &'l Limit,
    bytes: u64,
    round: u64,
}

impl Place<'_> {
    fn leave(self, answered: bool) {
        let mut state = self.limit.state.lock();
        let is_busy = state.calls * 2 > state.window.calls();
        match answered {
            true => state.window.answered(is_busy, self.limit.most),
            false => state.window.failed(self.round),
        }
    }
}

impl Place<'_> {
    /// A last word waited in vain, and the next ones need not.
    fn leave_nobody(self) {
        self.limit.state.lock().window.failures = AWAY;
    }
}

/// Also when the call panicked.
impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.limit.state.lock();
        state.calls -= 1;
        state.bytes -= self.bytes;
        self.limit.left.notify_all();
    }
}

/// How many calls may be under way: pure arithmetic.
#[derive(Clone, Debug)]
struct Window {
    size: f64,
    /// Below it, every answer adds a whole call.
    fast_below: f64,
    /// The size at the last answer.
    worked: f64,
    /// Grows with each reduction: failures of calls that began before it say nothing new.
    round: u64,
    /// How many failures there were since the last answer.
    failures: u32,
}

impl Window {
    fn new(most: usize) -> Self {
        let size = most as f64;
        Self { size, fast_below: size, worked: size, round: 0, failures: 0 }
    }

    fn calls(&self) -> usize {
        self.size as usize
    }

    /// A call was answered while the places were in use, or not: then it proves nothing.
    fn answered(&mut self, is_busy: bool, most: usize) {
        self.failures = 0;
        if is_busy {
            let step = if self.size < self.fast_below { 1.0 } else { 1.0 / self.size };
            self.size = (self.size + step).min(most as f64);
        }
        self.worked = self.size;
    }

    /// A call of this round failed.
    fn failed(&mut self, round: u64) {
        self.failures = self.failures.saturating_add(1);
        if round == self.round {
            self.round += 1;
            self.fast_below = (self.worked / 2.0).max(1.0);
            self.size = (self.size / 2.0).max(1.0);
        }
    }
}

fn total(parts: &[&[u8]]) -> u64 {
    parts.iter().map(|part| part.len() as u64).sum()
}

impl Storage for AdaptiveStorage {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        self.call("write", name, total(parts), || self.inner.put(name, parts, mode))
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        self.call("read", name, len_max.min(READ_BYTES), || self.inner.get(name, len_max))
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        self.call("read", name, buf.len() as u64, || self.inner.get_range(name, offset, buf))
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        self.call("read", name, 0, || self.inner.head(name))
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        // Handed on only when the place is free again: `found` may call storage itself.
        let mut all = Vec::new();
        self.call("list", prefix, 0, || self.inner.list(prefix, &mut |meta| all.push(meta)))?;
        all.into_iter().for_each(found);
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.call("delete", name, 0, || self.inner.delete(name))
    }

    fn concurrency(&self) -> usize {
        self.limit.most
    }

    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        self.as_lock()
    }

    fn archive(&self) -> Option<&dyn Archive> {
        self.as_archive()
    }

    fn warning(&self) -> Option<&str> {
        self.inner.warning()
    }

    fn clean_unfinished(&self, age: Duration) -> Result<u64, StorageError> {
        self.call("delete", "", 0, || self.inner.clean_unfinished(age))
    }
}

impl Asked for AdaptiveStorage {
    fn below(&self) -> &SharedStorage {
        &self.inner
    }

    fn ask<T>(
        &self,
        _effect: Effect,
        action: &'static str,
        name: &str,
        request: &dyn Fn() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.call(action, name, 0, request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::conformance::{Scale, conformance_at};
    use crate::storage::fault::On;
    use crate::storage::{FaultStorage, MemoryStorage};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn most(calls: usize) -> NonZeroUsize {
        NonZeroUsize::new(calls).expect("not zero")
    }

    fn over(faults: &Arc<FaultStorage>, calls: usize) -> AdaptiveStorage {
        AdaptiveStorage::new(faults.clone(), most(calls), CancelToken::default())
    }

    fn faulty() -> Arc<FaultStorage> {
        Arc::new(FaultStorage::new(Arc::new(MemoryStorage::new())))
    }

    /// Sixteen calls that fail together are one piece of news.
    #[test]
    fn a_round_of_failures_halves_it_once_and_answers_bring_it_back() {
        let mut window = Window::new(16);
        for _ in 0..16 {
            window.failed(0);
        }
        assert_eq!((window.calls(), window.round), (8, 1));
        for round in 1..9 {
            window.failed(round);
        }
        assert_eq!(window.calls(), 1, "never less than one");
        for calls in 2..=8 {
            window.answered(true, 16);
            assert_eq!(window.calls(), calls, "fast up to half of what worked");
        }
        for _ in 0..8 {
            window.answered(false, 16);
        }
        assert_eq!(window.calls(), 8, "an idle service proves nothing");
        for _ in 0..500 {
            window.answered(true, 16);
        }
        assert_eq!(window.calls(), 16, "slowly to the most, and no further");
        window.failed(window.round);
        assert!((7..=8).contains(&window.calls()));
        for _ in 0..8 {
            window.answered(true, 16);
        }
        assert!(window.calls() <= 9, "one more in a round: {}", window.calls());
    }

    #[test]
    fn only_failures_that_pass_make_it_slower() {
        let faults = faulty();
        let storage = over(&faults, 8);
        storage.get("missing", 9).expect_err("missing");
        faults.fail_times(On::Get, 1, 1, StorageErrorKind::Denied);
        storage.get("denied", 9).expect_err("denied");
        assert_eq!(storage.limit(), 8);
        faults.fail_times(On::Get, 1, 9, StorageErrorKind::Temporary);
        for _ in 0..9 {
            storage.get("busy", 9).expect_err("busy");
        }
        assert_eq!((storage.limit(), storage.concurrency()), (1, 8));
        storage.get("missing", 9).expect_err("missing");
        assert_eq!(storage.limit(), 2, "that there is none is an answer");
    }

    #[test]
    fn never_more_calls_or_bytes_than_allowed() {
        let limit = Limit::new(3, 100);
        let (calls, bytes, peak) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let free = CancelToken::default();
        std::thread::scope(|scope| {
            for thread in 0..8_usize {
                let (limit, calls, bytes, peak, free) = (&limit, &calls, &bytes, &peak, &free);
                scope.spawn(move || {
                    for round in 0..20_usize {
                        // Some are larger than what is allowed: they go alone.
                        let len = (thread * 31 + round * 17) % 140;
                        let place = limit.enter(len as u64, free).expect("not cancelled");
                        let now = calls.fetch_add(1, Ordering::SeqCst) + 1;
                        let held = bytes.fetch_add(len, Ordering::SeqCst) + len;
                        peak.fetch_max(now, Ordering::SeqCst);
                        assert!(now <= 3 && (held <= 100 || now == 1), "{now} {held}");
                        std::thread::yield_now();
                        bytes.fetch_sub(len, Ordering::SeqCst);
                        calls.fetch_sub(1, Ordering::SeqCst);
                        place.leave(true);
                    }
                });
            }
        });
        assert!(limit.state.lock().waiting.is_empty());
        assert!(peak.load(Ordering::SeqCst) >= 1);
    }

    /// Somebody presses Ctrl-C while one call waits for a service that is away, others for it.
    #[test]
    fn waiting_ends_with_the_run_if_the_service_fails() {
        let limit = Limit::new(1, 100);
        let cancel = CancelToken::default();
        let place = limit.enter(0, &cancel).expect("free");
        limit.state.lock().window.failures = 1;
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| limit.enter(0, &cancel).is_none());
            cancel.cancel();
            assert!(waiting.join().expect("no panic"));
            limit.state.lock().window.failures = 0;
            let waiting = scope.spawn(|| limit.enter(0, &cancel).is_some());
            place.leave(true);
            assert!(waiting.join().expect("no panic"), "its last words are heard");
        });
        limit.state.lock().window.failures = AWAY;
        assert!(limit.enter(0, &cancel).is_none(), "there is nobody to hear them");
        assert!(limit.enter(0, &CancelToken::default()).is_some(), "another run still tries");
    }

    /// `found` reads what a listing finds, also where one call at a time is all there is.
    #[test]
    fn a_listing_may_be_read_while_it_is_handed_on() {
        let faults = faulty();
        let storage = over(&faults, 1);
        storage.put("a/1", &[b"abc"], PutMode::Content).expect("writes");
        let mut read = Vec::new();
        storage
            .list("", &mut |meta| read.push(storage.get(&meta.name, 9).expect("reads")))
            .expect("lists");
        assert_eq!(read, [b"abc"]);
    }

    #[test]
    fn it_conforms() {
        conformance_at(Scale { objects: 100, exclusive: true }, || {
            let cancel = CancelToken::default();
            Arc::new(AdaptiveStorage::new(Arc::new(MemoryStorage::new()), most(2), cancel))
        });
    }
}
