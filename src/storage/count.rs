//! What a run costs: requests by kind, and bytes both ways.
//!
//! Services bill requests and what is read. Counted where a request leaves for storage, so put it
//! below retries and above limits. A listing is one request here however many objects it finds;
//! services that answer in pages of 1,000 bill each page, so the objects are counted too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::asked::{Asked, Effect};
use super::hand_on::hand_on;
use super::throttle::{Pace, throttled};
use super::{Archive, ObjectLock, ObjectMeta, PutMode, SharedStorage, Storage};
use crate::error::{StorageError, StorageErrorKind};

/// What was asked of storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageUse {
    /// Objects written.
    pub puts: u64,
    /// Objects read as a whole.
    pub gets: u64,
    /// Parts of objects read.
    pub ranges: u64,
    /// Looks at the length of an object.
    pub heads: u64,
    /// Listings of folders.
    pub lists: u64,
    /// Objects that these listings found.
    pub listed: u64,
    /// Objects removed.
    pub deletes: u64,
    /// What was asked about locks and of archives.
    pub asks: u64,
    /// Bytes of objects that were written.
    pub uploaded_bytes: u64,
    /// Bytes of objects that were read.
    pub downloaded_bytes: u64,
    /// Requests that failed; that an object is missing or exists already is an answer.
    pub errors: u64,
    /// Requests that repeated one that failed. They are among the others too.
    pub retries: u64,
}

impl StorageUse {
    /// All requests.
    pub fn requests(&self) -> u64 {
        self.puts + self.gets + self.ranges + self.heads + self.lists + self.deletes + self.asks
    }

    /// What came since `earlier`, a snapshot of the same counter.
    pub fn since(&self, earlier: &Self) -> Self {
        let minus = |field: fn(&Self) -> u64| field(self).saturating_sub(field(earlier));
        Self {
            puts: minus(|used| used.puts),
            gets: minus(|used| used.gets),
            ranges: minus(|used| used.ranges),
            heads: minus(|used| used.heads),
            lists: minus(|used| used.lists),
            listed: minus(|used| used.listed),
            deletes: minus(|used| used.deletes),
            asks: minus(|used| used.asks),
            uploaded_bytes: minus(|used| used.uploaded_bytes),
            downloaded_bytes: minus(|used| used.downloaded_bytes),
            errors: minus(|used| used.errors),
            retries: minus(|used| used.retries),
        }
    }
}

/// Counts for any number of storages and threads.
#[derive(Debug, Default)]
pub struct RequestCounter {
    puts: AtomicU64,
    gets: AtomicU64,
    ranges: AtomicU64,
    heads: AtomicU64,
    lists: AtomicU64,
    listed: AtomicU64,
    deletes: AtomicU64,
    asks: AtomicU64,
    uploaded_bytes: AtomicU64,
    downloaded_bytes: AtomicU64,
    errors: AtomicU64,
    retries: AtomicU64,
}

impl RequestCounter {
    /// All there was up to now.
    pub fn used(&self) -> StorageUse {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        StorageUse {
            puts: read(&self.puts),
            gets: read(&self.gets),
            ranges: read(&self.ranges),
            heads: read(&self.heads),
            lists: read(&self.lists),
            listed: read(&self.listed),
            deletes: read(&self.deletes),
            asks: read(&self.asks),
            uploaded_bytes: read(&self.uploaded_bytes),
            downloaded_bytes: read(&self.downloaded_bytes),
            errors: read(&self.errors),
            retries: read(&self.retries),
        }
    }

    /// One more request is a repetition.
    pub(super) fn repeats(&self) {
        add(&self.retries, 1);
    }

    /// Counts a request, with its bytes if it succeeded.
    fn note<T>(
        &self,
        requests: &AtomicU64,
        moved: Option<(&AtomicU64, u64)>,
        result: Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        add(requests, 1);
        match (&result, moved) {
            (Ok(_), Some((bytes, len))) => add(bytes, len),
            (Ok(_), None) => {}
            (Err(error), _) => match error.kind {
                StorageErrorKind::Missing | StorageErrorKind::Exists => {}
                _ => add(&self.errors, 1),
            },
        }
        result
    }
}

fn add(number: &AtomicU64, more: u64) {
    number.fetch_add(more, Ordering::Relaxed);
}

/// Counts what passes through it.
pub struct CountStorage {
    inner: SharedStorage,
    counter: Arc<RequestCounter>,
}

impl CountStorage {
    /// Wraps `inner` and counts for `counter`.
    pub fn new(inner: SharedStorage, counter: Arc<RequestCounter>) -> Self {
        Self { inner, counter }
    }
}

impl Storage for CountStorage {
    hand_on!(inner: location, concurrency, warning, clean_unfinished);

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        let len = parts.iter().map(|part| part.len() as u64).sum();
        let result = self.inner.put(name, parts, mode);
        let counter = &self.counter;
        counter.note(&counter.puts, Some((&counter.uploaded_bytes, len)), result)
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        let result = self.inner.get(name, len_max);
        let len = result.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let counter = &self.counter;
        counter.note(&counter.gets, Some((&counter.downloaded_bytes, len)), result)
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        let result = self.inner.get_range(name, offset, buf);
        let counter = &self.counter;
        let moved = (&counter.downloaded_bytes, buf.len() as u64);
        counter.note(&counter.ranges, Some(moved), result)
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        self.counter.note(&self.counter.heads, None, self.inner.head(name))
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        let mut listed = 0;
        let result = self.inner.list(prefix, &mut |meta| {
            listed += 1;
            found(meta);
        });
        add(&self.counter.listed, listed);
        self.counter.note(&self.counter.lists, None, result)
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.counter.note(&self.counter.deletes, None, self.inner.delete(name))
    }

    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        self.as_lock()
    }

    fn archive(&self) -> Option<&dyn Archive> {
        self.as_archive()
    }

    fn paced(&self, pace: &Pace) -> Option<SharedStorage> {
        let paced = throttled(Arc::clone(&self.inner), pace.clone());
        Some(Arc::new(Self::new(paced, Arc::clone(&self.counter))))
    }
}

impl Asked for CountStorage {
    fn below(&self) -> &SharedStorage {
        &self.inner
    }

    fn ask<T>(
        &self,
        _effect: Effect,
        _action: &'static str,
        _name: &str,
        request: &dyn Fn() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.counter.note(&self.counter.asks, None, request())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::CancelToken;
    use crate::storage::conformance::{Scale, conformance_at};
    use crate::storage::fault::On;
    use crate::storage::{FaultStorage, MemoryStorage, RetryPolicy, RetryStorage};

    #[test]
    fn every_request_is_counted_by_its_kind() {
        let counter = Arc::new(RequestCounter::default());
        let faults = Arc::new(FaultStorage::new(Arc::new(MemoryStorage::new())));
        let counted = CountStorage::new(faults.clone(), Arc::clone(&counter));
        let retry =
            RetryStorage::new(Arc::new(counted), RetryPolicy::default(), CancelToken::default());
        let storage = retry.with_wait(|_, _| {}).counting(Arc::clone(&counter));

        storage.put("a/1", &[b"abc", b"de"], PutMode::Content).expect("writes");
        storage.put("a/1", &[b"x"], PutMode::CreateOnce).expect_err("exists");
        storage.get("a/1", 9).expect("reads");
        storage.get("a/2", 9).expect_err("missing");
        let before = counter.used();
        storage.get_range("a/1", 1, &mut [0; 3]).expect("reads");
        storage.head("a/1").expect("looks");
        storage.list("", &mut |_| {}).expect("lists");
        faults.fail_times(On::Delete, 1, 2, StorageErrorKind::Temporary);
        storage.delete("a/1").expect("the third time");

        let used = counter.used();
        let expected = StorageUse {
            puts: 2,
            gets: 2,
            ranges: 1,
            heads: 1,
            lists: 1,
            listed: 1,
            deletes: 3,
            asks: 0,
            uploaded_bytes: 5,
            downloaded_bytes: 8,
            errors: 2,
            retries: 2,
        };
        assert_eq!(used, expected);
        let later = used.since(&before);
        assert_eq!((later.requests(), later.downloaded_bytes, later.puts), (6, 3, 0));
    }

    #[test]
    fn it_conforms() {
        conformance_at(Scale { objects: 100, exclusive: true }, || {
            Arc::new(CountStorage::new(Arc::new(MemoryStorage::new()), Arc::default()))
        });
    }
}
