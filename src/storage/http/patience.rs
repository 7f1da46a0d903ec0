//! How long a request may do nothing.
//!
//! A limit for a whole request would be wrong for every speed but one: what counts is whether
//! anything moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::error::Result;
use crate::storage::connection::Connection;
use crate::storage::waiting::{self, Signs};

/// What a server may take to deal with each MiB it was sent, on top.
const ANSWER_PER_MIB: Duration = Duration::from_secs(1);

/// When a request is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The longest time without a byte in either direction.
    pub idle: Duration,
}

impl Patience {
    /// The same, but short for the machine's own surroundings: somebody is there at once, or
    /// nobody is.
    pub(super) fn for_host(self, host: &str) -> Self {
        const NEARBY: Duration = Duration::from_secs(2);
        if is_nearby(host) { Self { idle: self.idle.min(NEARBY) } } else { self }
    }

    /// What a connection says.
    ///
    /// # Errors
    /// As [`Connection::patience`].
    pub fn of(connection: &Connection) -> Result<Self> {
        connection.patience().map(|timeouts| Self { idle: timeouts.idle })
    }
}

/// Where clouds offer credentials to their machines.
pub(super) fn is_nearby(host: &str) -> bool {
    ["169.254.", "[fd00:ec2::", "metadata.google.internal"]
        .iter()
        .any(|beginning| host.starts_with(beginning))
}

/// How far one request has got. Times are milliseconds since it began.
pub(super) struct Progress {
    began: Instant,
    /// When the last bytes were taken from us; afterwards, the end of the upload.
    moved_ms: AtomicU64,
    /// Bytes of the body that are still to be taken.
    left: AtomicU64,
    len: u64,
    /// Of the service, for whoever waits.
    signs: Option<Arc<Signs>>,
}

impl Progress {
    /// Of a request that this thread waits for.
    pub(super) fn new(len: u64) -> Self {
        let began = Instant::now();
        let (moved_ms, left) = (AtomicU64::new(0), AtomicU64::new(len));
        Self { began, moved_ms, left, len, signs: waiting::signs() }
    }

    /// So many bytes were taken; none if it is ourselves who wait.
    pub(super) fn moved(&self, bytes: usize) {
        self.left.fetch_sub(bytes as u64, Ordering::Relaxed);
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_ms.store(now_ms, Ordering::Relaxed);
        if let Some(signs) = &self.signs {
            signs.note_until((Instant::now() + self.answer_after()).into());
        }
    }

    /// How long the answer may take once everything was taken: the last bytes are in buffers yet,
    /// and leave as slowly as those before.
    fn answer_after(&self) -> Duration {
        if self.len == 0 || !self.is_sent() {
            return Duration::ZERO;
        }
        let moved = Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
        let mib = u32::try_from(self.len >> 20).unwrap_or(u32::MAX);
        moved.saturating_add(ANSWER_PER_MIB.saturating_mul(mib))
    }

    /// Whether everything was taken.
    pub(super) fn is_sent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// When to give up, if nothing moves any more.
    fn deadline(&self, patience: Patience) -> Instant {
        let moved = Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
        self.began + moved + patience.idle.saturating_add(self.answer_after())
    }

    /// Returns once nothing has moved for too long.
    pub(super) async fn stalled(&self, patience: Patience) {
        loop {
            sleep_until(self.deadline(patience)).await;
            if self.deadline(patience) <= Instant::now() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_more_time_after_more_bytes() {
        let patience = Patience { idle: Duration::from_secs(60) };
        let waits = |progress: &Progress| progress.deadline(patience) - progress.began;
        let progress = Progress::new(16 << 20);
        assert_eq!(waits(&progress), Duration::from_secs(60));
        progress.moved_ms.store(9_000, Ordering::Relaxed);
        assert_eq!(waits(&progress), Duration::from_secs(69));
        progress.left.store(0, Ordering::Relaxed);
        assert_eq!(waits(&progress), Duration::from_secs(9 + 60 + 9 + 16));
    }
}
