//! What a thread does while it waits for a service: it ends the wait soon after the run was
//! cancelled, and says a word when the service has been silent for long.
//!
//! A silent service is one that takes requests and neither answers nor moves a byte: no failure,
//! for a minute (`Timeouts`), and a person who waits for it should know what for.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::retry::{Notify, ServiceNotice};
use crate::runtime::CancelToken;

/// What calls have left that are under way when the run is cancelled.
const UNDER_WAY: Duration = Duration::from_millis(500);

/// What a call has that begins after the cancellation: the last words of a run, which are small.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The same where the service was silent when the run was cancelled.
const LAST_WORDS_TO_NOBODY: Duration = Duration::from_secs(1);

/// A service whose calls were cut off after so long without a sign of life is silent.
const SILENT_AFTER: Duration = Duration::from_secs(1);

/// People hear of a silence after so long, and not of the next one for a while.
const TELL_AFTER: Duration = Duration::from_secs(10);
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(300);

/// How soon a cancellation is noticed.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The waits for one service.
pub(super) struct Waits {
    location: String,
    cancel: CancelToken,
    notify: Notify,
    signs: Arc<Signs>,
}

/// When a service was last seen alive.
#[derive(Debug, Default)]
pub(super) struct Signs(Mutex<Seen>);

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// May be in the future: bytes that are in buffers yet leave as slowly as those before.
    last: Option<Instant>,
    is_silent: bool,
    told: Option<Instant>,
}

impl Signs {
    /// A byte moved, or it answered.
    pub(super) fn note(&self) {
        self.note_until(Instant::now());
    }

    /// The same, and until then nothing else is to be expected.
    pub(super) fn note_until(&self, time: Instant) {
        let mut seen = self.0.lock();
        seen.is_silent = false;
        seen.last = seen.last.max(Some(time));
    }

    /// How long there was none, for a call that waits since `began`.
    fn silence(&self, began: Instant, now: Instant) -> Duration {
        let last = self.0.lock().last;
        now.saturating_duration_since(last.map_or(began, |last| last.max(began)))
    }

    /// Whether people should be told of a silence now.
    fn tells(&self, now: Instant) -> bool {
        let mut seen = self.0.lock();
        let is_due = seen.told.is_none_or(|told| now - told >= TELL_AGAIN_AFTER);
        if is_due {
            seen.told = Some(now);
        }
        is_due
    }
}

impl Waits {
    pub(super) fn new(location: &str, cancel: CancelToken, notify: Notify) -> Self {
        Self { location: location.into(), cancel, notify, signs: Arc::default() }
    }

    /// Calls, and ends what the call waits for once the run is cancelled. Also says whether it
    /// had to.
    pub(super) fn during<T>(&self, call: impl FnOnce() -> T) -> (T, bool) {
        let grace = match (self.cancel.is_cancelled(), self.signs.0.lock().is_silent) {
            (false, _) => UNDER_WAY,
            (true, false) => LAST_WORDS,
            (true, true) => LAST_WORDS_TO_NOBODY,
        };
        let waiting = Waiting {
            location: self.location.clone(),
            cancel: self.cancel.clone(),
            notify: self.notify.clone(),
            signs: Arc::clone(&self.signs),
            began: Instant::now(),
            grace,
            end: None,
            cut_off: false,
        };
        let before = Restore(WAITING.replace(Some(waiting)));
        let result = call();
        let cut_off = WAITING.with_borrow(|waiting| waiting.as_ref().is_some_and(|w| w.cut_off));
        drop(before);
        (result, cut_off)
    }

    /// The service answered a call.
    pub(super) fn answered(&self) {
        self.signs.note();
    }
}

/// The call of this thread.
struct Waiting {
    location: String,
    cancel: CancelToken,
    notify: Notify,
    signs: Arc<Signs>,
    began: Instant,
    /// What is left once the run is cancelled.
    grace: Duration,
    /// When that is over; known once the cancellation was noticed.
    end: Option<Instant>,
    /// Whether a wait was ended.
    cut_off: bool,
}

thread_local! {
    static WAITING: RefCell<Option<Waiting>> = const { RefCell::new(None) };
}

/// Puts back what there was before, also when the call panicked.
struct Restore(Option<Waiting>);

impl Drop for Restore {
    fn drop(&mut self) {
        WAITING.set(self.0.take());
    }
}

impl Waiting {
    /// Whether the wait is over.
    fn look(&mut self, now: Instant) -> bool {
        let silence = self.signs.silence(self.began, now);
        if !self.cancel.is_cancelled() {
            if silence >= TELL_AFTER && self.signs.tells(now) {
                self.notify.tell(&ServiceNotice::Silent { location: self.location.clone() });
            }
            return false;
        }
        if now < *self.end.get_or_insert(now + self.grace) {
            return false;
        }
        self.cut_off = true;
        self.signs.0.lock().is_silent |= silence >= SILENT_AFTER;
        true
    }
}

/// The signs of life of the service that this thread calls.
pub(super) fn signs() -> Option<Arc<Signs>> {
    WAITING.with_borrow(|waiting| waiting.as_ref().map(|waiting| Arc::clone(&waiting.signs)))
}

/// A piece of what this thread waits for has come.
pub(super) fn is_alive() {
    if let Some(signs) = signs() {
        signs.note();
    }
}

/// Returns once this thread has waited long enough for a run that is cancelled. On the way, it
/// tells of a silence.
pub(super) async fn over() {
    if WAITING.with_borrow(Option::is_none) {
        return std::future::pending().await;
    }
    let is_over =
        || WAITING.with_borrow_mut(|w| w.as_mut().is_some_and(|w| w.look(Instant::now())));
    while !is_over() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::asynchronous::block_on;
    use super::*;
    use crate::error::StorageErrorKind;
    use std::future::{pending, ready};

    fn waits(cancel: &CancelToken) -> Waits {
        Waits::new("test:", cancel.clone(), Notify::default())
    }

    #[test]
    fn a_call_under_way_ends_with_the_run() {
        let cancel = CancelToken::default();
        let waits = waits(&cancel);
        let (ended, cut_off) = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| waits.during(|| block_on(pending::<()>())));
            cancel.cancel();
            waiting.join().expect("no panic")
        });
        assert_eq!(ended.expect_err("nobody answers").kind, StorageErrorKind::Temporary);
        assert!(cut_off);
    }

    /// All that one call waits for has one end: not one each.
    #[test]
    fn last_words_are_heard_by_whoever_listens() {
        let cancel = CancelToken::default();
        cancel.cancel();
        let waits = waits(&cancel);
        let began = Instant::now();
        let words = || {
            block_on(ready(1)).expect("answered");
            block_on(pending::<()>()).expect_err("nobody answers");
            assert!(began.elapsed() >= LAST_WORDS / 2, "they have some time");
            let second = Instant::now();
            block_on(pending::<()>()).expect_err("nobody answers");
            second.elapsed()
        };
        let (second, cut_off) = waits.during(words);
        assert!(second < LAST_WORDS / 2 && cut_off);
        assert!(!waits.during(|| block_on(ready(1))).1);
        assert_eq!(block_on(ready(1)).expect("nothing ends it"), 1);
        // Whoever was silent for so long is not waited for as long again.
        let third = Instant::now();
        assert!(waits.during(|| block_on(pending::<()>())).1);
        assert!(third.elapsed() < LAST_WORDS);
    }

    #[test]
    fn people_are_told_of_a_silence_once() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let teller = Arc::clone(&told);
        let notify = Notify::new(move |notice| teller.lock().push(notice.to_string()));
        let waits = Waits::new("test:", CancelToken::default(), notify);
        waits.during(|| {
            let look = |after: Duration| {
                WAITING.with_borrow_mut(|waiting| {
                    let waiting = waiting.as_mut().expect("waits");
                    assert!(!waiting.look(waiting.began + after), "nobody cancelled it");
                });
                told.lock().len()
            };
            assert_eq!(look(TELL_AFTER / 2), 0);
            signs().expect("waits").note_until(Instant::now() + TELL_AFTER);
            assert_eq!(look(TELL_AFTER + TELL_AFTER / 2), 0, "bytes were still on their way");
            assert_eq!(look(TELL_AFTER * 2 + LOOK_AGAIN), 1);
            assert_eq!(look(TELL_AFTER * 3), 1);
            assert_eq!(look(TELL_AGAIN_AFTER + TELL_AFTER * 3), 2);
        });
        assert!(told.lock()[0].starts_with("no answer from `test:` yet"), "{told:?}");
        assert!(signs().is_none());
    }
}
