//! Limits of bandwidth: one rate for all uploads and one for all downloads of a process.
//!
//! Transfers are paced piece by piece where a storage can do so ([`Storage::paced`]); elsewhere
//! [`ThrottleStorage`] pays for whole calls: a write before it begins and a read of known length
//! too, so no more than the limit is ever under way, and a read of unknown length afterwards. Only
//! the bytes of objects count, not names, listings or headers.
//!
//! [`BandwidthPlan`] says which limits hold when. [`ThrottleHandle`] changes them while transfers
//! are under way.

mod bucket;
mod handle;
mod limits;
mod plan;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use super::failure::{classify, failure};
use super::hand_on::hand_on;
use super::{PutMode, SharedStorage, Storage};
use crate::error::StorageError;

pub use handle::{Direction, FurtherLimit, Pace, ThrottleHandle, Transfer, Turn};
pub use limits::{Limits, Rate, parse_rate};
pub use plan::BandwidthPlan;

/// The same storage, kept to the limits of `pace`: by itself if it can, else call by call.
pub fn throttled(storage: SharedStorage, pace: Pace) -> SharedStorage {
    match storage.paced(&pace) {
        Some(paced) => paced,
        None => Arc::new(ThrottleStorage::new(storage, pace)),
    }
}

/// Pays for whole calls, for storage that cannot pace its transfers.
pub struct ThrottleStorage {
    inner: SharedStorage,
    pace: Pace,
}

impl ThrottleStorage {
    /// Wraps `inner`.
    pub fn new(inner: SharedStorage, pace: Pace) -> Self {
        Self { inner, pace }
    }

    fn pay(
        &self,
        action: &'static str,
        name: &str,
        direction: Direction,
        bytes: usize,
    ) -> Result<(), StorageError> {
        let paid = self.pace.begin(direction, bytes as u64).pass(bytes);
        paid.map_err(|error: io::Error| {
            failure(self.inner.location(), action, name, classify(&error), error)
        })
    }
}

impl Storage for ThrottleStorage {
    hand_on!(
        inner: location, head, list, delete, concurrency, object_lock, archive, warning, clean_unfinished
    );

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        let len = parts.iter().map(|part| part.len()).sum();
        self.pay("write", name, Direction::Upload, len)?;
        self.inner.put(name, parts, mode)
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        // The next one waits for what this one brings.
        self.pay("read", name, Direction::Download, 0)?;
        let bytes = self.inner.get(name, len_max)?;
        self.pay("read", name, Direction::Download, bytes.len())?;
        Ok(bytes)
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        self.pay("read", name, Direction::Download, buf.len())?;
        self.inner.get_range(name, offset, buf)
    }
}
