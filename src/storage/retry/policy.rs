//! How often and how long, and the clock that it is measured by.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::runtime::CancelToken;

/// How often and how long calls are repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often one call may fail while other calls to the same storage succeed.
    pub attempts_max: u32,
    /// The longest wait after the first failure; it doubles each time.
    pub wait_first: Duration,
    /// The longest wait of all.
    pub wait_max: Duration,
    /// How long no call at all may succeed; zero repeats nothing.
    pub give_up_after: Duration,
}

/// Survives an outage of five minutes: a router or a server that starts anew.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 10,
            wait_first: Duration::from_millis(500),
            wait_max: Duration::from_secs(30),
            give_up_after: Duration::from_secs(300),
        }
    }
}

impl RetryPolicy {
    /// For a mirror that a run writes to beside its own place: half a minute.
    #[must_use]
    pub fn beside(self) -> Self {
        const LONGEST: Duration = Duration::from_secs(30);
        Self { give_up_after: self.give_up_after.min(LONGEST), ..self }
    }

    /// The longest wait after a failed attempt; the first is 0.
    pub(super) fn wait_after(&self, attempt: u32) -> Duration {
        let doubled = 2_u32.checked_pow(attempt).and_then(|n| self.wait_first.checked_mul(n));
        doubled.unwrap_or(self.wait_max).min(self.wait_max)
    }
}

type Wait = dyn Fn(Duration, &CancelToken) + Send + Sync;

/// Waits, and knows how late it is. What a test's `wait` does not take counts as if it had.
pub(super) struct Pause {
    wait: Box<Wait>,
    started: Instant,
    skipped_ns: AtomicU64,
}

impl Default for Pause {
    fn default() -> Self {
        Self::with(sleep)
    }
}

impl Pause {
    pub(super) fn with(wait: impl Fn(Duration, &CancelToken) + Send + Sync + 'static) -> Self {
        Self { wait: Box::new(wait), started: Instant::now(), skipped_ns: AtomicU64::new(0) }
    }

    /// Time since this was made.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed() + Duration::from_nanos(self.skipped_ns.load(Ordering::SeqCst))
    }

    pub(super) fn wait(&self, wait: Duration, cancel: &CancelToken) {
        let start = Instant::now();
        (self.wait)(wait, cancel);
        let skipped = wait.saturating_sub(start.elapsed());
        let skipped_ns = u64::try_from(skipped.as_nanos()).unwrap_or(u64::MAX);
        self.skipped_ns.fetch_add(skipped_ns, Ordering::SeqCst);
    }
}

/// Sleeps in steps that are short enough to notice a cancellation.
fn sleep(mut wait: Duration, cancel: &CancelToken) {
    const STEP: Duration = Duration::from_millis(50);
    while !wait.is_zero() && !cancel.is_cancelled() {
        std::thread::sleep(wait.min(STEP));
        wait = wait.saturating_sub(STEP);
    }
}
