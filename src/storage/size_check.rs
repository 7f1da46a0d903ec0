//! Looks after each write whether all of it arrived, for services whose writes are not atomic.
//!
//! A connection that breaks at the wrong moment can leave the first half of an object under its
//! final name while the service reports success (SFTP servers and WebDAV proxies are known for
//! it). One look at the length costs a request and finds that; wrong bytes of the right length are
//! found by their hash when they are read.

use std::sync::Arc;

use super::failure::failure;
use super::hand_on::hand_on;
use super::throttle::{Pace, throttled};
use super::{PutMode, SharedStorage, Storage};
use crate::error::{StorageError, StorageErrorKind};

/// Fails as `Temporary` when a write that succeeded left an object of another length: repeated, it
/// replaces what is there. Put it below [`RetryStorage`](super::RetryStorage).
pub struct SizeCheckStorage {
    inner: SharedStorage,
}

impl SizeCheckStorage {
    /// Wraps `inner`.
    pub fn new(inner: SharedStorage) -> Self {
        Self { inner }
    }
}

impl Storage for SizeCheckStorage {
    hand_on!(
        inner: location, get, get_range, head, list, delete, concurrency, object_lock, archive, warning, clean_unfinished
    );

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        self.inner.put(name, parts, mode)?;
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let stored = match self.inner.head(name) {
            Ok(meta) if meta.len == len => return Ok(()),
            Ok(meta) => meta.len,
            Err(error) if error.kind == StorageErrorKind::Missing => 0,
            Err(error) => return Err(error),
        };
        // What was created once stays as it is: it may be somebody else's.
        let what = format!("the service took {len} bytes and has {stored}");
        Err(failure(self.location(), "write", name, StorageErrorKind::Temporary, what))
    }

    fn paced(&self, pace: &Pace) -> Option<SharedStorage> {
        let paced = throttled(Arc::clone(&self.inner), pace.clone());
        Some(Arc::new(Self::new(paced)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::CancelToken;
    use crate::storage::conformance::{Scale, conformance_at};
    use crate::storage::fault::{Fault, On, Rule};
    use crate::storage::{FaultStorage, MemoryStorage, RetryPolicy, RetryStorage};

    fn torn(times: u64) -> (Arc<FaultStorage>, Arc<SizeCheckStorage>) {
        let faults = Arc::new(FaultStorage::new(Arc::new(MemoryStorage::new())));
        let fault = Fault::TearUnnoticed(3);
        faults.inject(Rule { on: On::Put, prefix: "data/".into(), nth: 1, times, fault });
        let checked = Arc::new(SizeCheckStorage::new(faults.clone()));
        (faults, checked)
    }

    /// Half an object under its final name, and the service said that all is well.
    #[test]
    fn a_write_that_was_cut_short_is_noticed_and_repeated() {
        let (_, checked) = torn(1);
        let error = checked.put("data/a", &[b"ab", b"cdef"], PutMode::Content).expect_err("torn");
        assert!(error.is_temporary());
        assert_eq!(error.source.to_string(), "the service took 6 bytes and has 3");

        let (faults, checked) = torn(2);
        let retry = RetryStorage::new(checked, RetryPolicy::default(), CancelToken::default());
        let storage = retry.with_wait(|_, _| {});
        storage.put("data/a", &[b"abcdef"], PutMode::Content).expect("the third time");
        assert_eq!(storage.get("data/a", 9).expect("reads"), b"abcdef");
        assert_eq!(faults.calls(On::Put), 3);
        assert_eq!(faults.calls(On::Head), 3, "one look for each write");
    }

    /// It may be somebody else's that came first: it is neither written again nor removed.
    #[test]
    fn what_must_be_created_once_is_left_as_it_is() {
        let (faults, checked) = torn(1);
        let retry = RetryStorage::new(checked, RetryPolicy::default(), CancelToken::default());
        let storage = retry.with_wait(|_, _| {});
        let error = storage.put("data/a", &[b"abcdef"], PutMode::CreateOnce).expect_err("torn");
        assert!(error.is_temporary());
        assert_eq!((faults.calls(On::Put), faults.calls(On::Delete)), (1, 0));
        assert_eq!(storage.get("data/a", 9).expect("reads"), b"abc");
    }

    /// An answer that got lost, or a look that failed, is no reason to call an object whole.
    #[test]
    fn a_look_that_fails_fails_the_write() {
        let (faults, checked) = torn(0);
        faults.fail_nth(On::Head, 1, StorageErrorKind::Denied);
        let error = checked.put("data/a", &[b"abc"], PutMode::Content).expect_err("no look");
        assert_eq!(error.kind, StorageErrorKind::Denied);
        checked.put("data/a", &[], PutMode::Content).expect("an empty object has a length too");
    }

    #[test]
    fn it_conforms() {
        conformance_at(Scale { objects: 100, exclusive: true }, || {
            Arc::new(SizeCheckStorage::new(Arc::new(MemoryStorage::new())))
        });
    }
}
