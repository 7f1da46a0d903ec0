//! Which failures are tried again, and when.

use std::time::Duration;

use crate::error::{Error, StorageErrorKind};
use crate::runtime::Random;

/// How long a failed run waits before it is tried again. `Default` is one minute, then twice as
/// long each time, up to an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryDelays {
    /// Before the second attempt.
    pub first: Duration,
    /// The longest.
    pub max: Duration,
}

impl Default for RetryDelays {
    fn default() -> Self {
        Self { first: Duration::from_secs(60), max: Duration::from_secs(3600) }
    }
}

impl RetryDelays {
    /// How long to wait after attempt number `attempt` (1 is the first) failed, milliseconds: twice
    /// as long each time, and up to a quarter more or less by chance, so that machines that failed
    /// together do not come back together.
    pub fn delay_ms(&self, attempt: u32, random: &Random) -> i64 {
        let doubled = self.first.saturating_mul(1 << attempt.saturating_sub(1).min(20));
        let delay_ms = doubled.min(self.max).as_millis().min(u128::from(u32::MAX)) as u64;
        let spread = delay_ms / 2;
        let chance = if spread == 0 { 0 } else { random.next_u64() % (spread + 1) };
        (delay_ms - delay_ms / 4 + chance) as i64
    }
}

/// Whether a failure is worth another attempt: what only a person can change is not.
pub fn is_worth_retrying(error: &Error) -> bool {
    match error {
        // A disk or a network folder may be back in a minute.
        Error::RepositoryMissing { .. } | Error::SourcesMissing { .. } => true,
        Error::Busy { .. } | Error::Overtaken { .. } => true,
        Error::MirrorsLeft { source, .. } => is_worth_retrying(source),
        Error::Storage(error) => match error.kind {
            StorageErrorKind::Denied | StorageErrorKind::Permanent => false,
            StorageErrorKind::Missing
            | StorageErrorKind::Exists
            | StorageErrorKind::Full
            | StorageErrorKind::Unusable
            | StorageErrorKind::Temporary => true,
        },
        Error::Local { source, .. } => !matches!(
            source.kind(),
            std::io::ErrorKind::PermissionDenied
                | std::io::ErrorKind::ReadOnlyFilesystem
                | std::io::ErrorKind::InvalidInput
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_differ() {
        let delays = RetryDelays::default();
        let random = Random::seeded(1);
        for (attempt, min_s, max_s) in [(1, 45, 75), (2, 90, 150), (3, 180, 300), (40, 2700, 4500)]
        {
            let all: Vec<i64> = (0..50).map(|_| delays.delay_ms(attempt, &random)).collect();
            assert!(all.iter().all(|ms| (min_s * 1000..=max_s * 1000).contains(ms)), "{all:?}");
            assert!(all.iter().any(|ms| *ms != all[0]));
        }
        let none = RetryDelays { first: Duration::ZERO, max: Duration::ZERO };
        assert_eq!(none.delay_ms(1, &random), 0);
        let endless = RetryDelays { first: Duration::MAX, max: Duration::MAX };
        assert!(endless.delay_ms(u32::MAX, &random) > 0);
    }

    #[test]
    fn what_only_a_person_can_change_is_not_tried_again() {
        let local = |kind: std::io::ErrorKind| Error::local("read", "/x", kind);
        for again in [
            Error::SourcesMissing { paths: Vec::new() },
            Error::Busy { what: String::new() },
            local(std::io::ErrorKind::StorageFull),
        ] {
            assert!(is_worth_retrying(&again), "{again}");
        }
        for never in [
            Error::usage("no"),
            Error::WrongKey { what: "password", location: String::new(), tried: 1 },
            Error::Cancelled { signal: None },
            Error::damaged("x", "y"),
            local(std::io::ErrorKind::PermissionDenied),
        ] {
            assert!(!is_worth_retrying(&never), "{never}");
        }
    }
}
