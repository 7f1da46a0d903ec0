//! Where times come from.

use std::sync::atomic::{AtomicI64, Ordering};

/// The wall clock. Nothing is ever deleted on its word: it labels snapshots and judges racy files.
pub trait Clock: Send + Sync {
    /// Nanoseconds since 1970 (UTC), negative before.
    fn now_ns(&self) -> i128;

    /// Milliseconds since 1970 (UTC), as stored in records.
    fn now_ms(&self) -> i64 {
        i64::try_from(self.now_ns().div_euclid(1_000_000)).unwrap_or(i64::MAX)
    }
}

/// The clock of the machine.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ns(&self) -> i128 {
        jiff::Timestamp::now().as_nanosecond()
    }
}

/// A clock that moves only when told.
pub struct TestClock(AtomicI64);

impl TestClock {
    /// Starts at `now_ms` milliseconds since 1970.
    pub fn at_ms(now_ms: i64) -> Self {
        Self(AtomicI64::new(now_ms))
    }

    /// Moves on (or back) by `step_ms` milliseconds.
    pub fn advance_ms(&self, step_ms: i64) {
        self.0.fetch_add(step_ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now_ns(&self) -> i128 {
        i128::from(self.0.load(Ordering::SeqCst)) * 1_000_000
    }
}
