//! What goes along with the error of a failed attempt: when to come back, and that it is over.

use std::error::Error;
use std::time::Duration;

use crate::error::StorageError;
use crate::model::format_duration;

/// A service that says when to come back (`Retry-After` of HTTP). Anywhere among the sources of a
/// [`StorageError`], it keeps the call from being repeated earlier.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct RetryAfter {
    /// How long not to come back.
    pub wait: Duration,
    /// What the service said.
    source: Box<dyn Error + Send + Sync>,
}

impl RetryAfter {
    /// Nobody is sent away for longer: an hour in a header may be a mistake, and looking again
    /// does no harm.
    pub const LONGEST: Duration = Duration::from_secs(120);

    /// Adds to `source` when to come back.
    pub fn new(wait: Duration, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { wait, source: source.into() }
    }

    /// When to come back after `error`, if the service said so.
    pub(super) fn find(error: &StorageError) -> Option<Duration> {
        let mut source: Option<&(dyn Error + 'static)> = error.source();
        while let Some(error) = source {
            if let Some(after) = error.downcast_ref::<Self>() {
                return Some(after.wait);
            }
            source = error.source();
        }
        None
    }
}

/// The last of several attempts failed too.
#[derive(Debug, thiserror::Error)]
#[error("gave up after {} and {attempts} attempts", format_duration(*after))]
pub struct GaveUp {
    /// Time since the first of them.
    pub after: Duration,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last one failed.
    pub source: Box<dyn Error + Send + Sync>,
}

impl GaveUp {
    /// Adds to `error` how often it was repeated, if it was.
    pub(super) fn wrap(error: StorageError, repeated: u32, after: Duration) -> StorageError {
        if repeated == 0 {
            return error;
        }
        let source = Box::new(Self { after, attempts: repeated + 1, source: error.source });
        StorageError { source, ..error }
    }
}
