//! Storage that remembers what was asked of it, and the writes themselves.
//!
//! For tests: "an unchanged tree writes no packs" is a question to the calls; "whatever moment the
//! machine stops, older snapshots are whole" replays each prefix of the writes onto fresh memory
//! and opens that. Put below a fault wrapper it sees what really happened; above it, what the
//! engine was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::hand_on::hand_on;
use super::{MemoryStorage, ObjectMeta, PutMode, SharedStorage, Storage};
use crate::error::StorageError;

/// Which method was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// [`Storage::put`]
    Put,
    /// [`Storage::get`]
    Get,
    /// [`Storage::get_range`]
    GetRange,
    /// [`Storage::head`]
    Head,
    /// [`Storage::list`]
    List,
    /// [`Storage::delete`]
    Delete,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which method.
    pub operation: Operation,
    /// The object's name, or the listed folder.
    pub name: String,
    /// Where a `get_range` begins; 0 for the others.
    pub offset: u64,
    /// Bytes written or read; entries found by a listing; 0 if it failed.
    pub len: u64,
    /// Whether it succeeded.
    pub ok: bool,
}

/// A write that succeeded.
#[derive(Clone, Debug)]
pub struct Write {
    /// The object's name.
    pub name: String,
    /// What it holds from now on; `None` if it was deleted.
    pub bytes: Option<Arc<[u8]>>,
    /// When the call came and went, on a counter of all calls' beginnings and ends. Two writes
    /// whose times overlap may reach the disk in either order.
    pub started: u64,
    /// See `started`.
    pub finished: u64,
}

/// Remembers all calls. Keeps the bytes of writes only if asked to.
pub struct RecordStorage {
    inner: SharedStorage,
    keep_writes: bool,
    ticks: AtomicU64,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    calls: Vec<Call>,
    writes: Vec<Write>,
}

impl RecordStorage {
    /// Wraps `inner` and remembers calls, but no bytes.
    pub fn new(inner: SharedStorage) -> Self {
        Self { inner, keep_writes: false, ticks: AtomicU64::new(0), log: Mutex::default() }
    }

    /// Wraps `inner` and also remembers all bytes written.
    pub fn keeping_writes(inner: SharedStorage) -> Self {
        Self { keep_writes: true, ..Self::new(inner) }
    }

    /// All calls so far, in the order they ended.
    pub fn calls(&self) -> Vec<Call> {
        self.log.lock().calls.clone()
    }

    /// How many calls of one kind there were for names that begin with `prefix`.
    pub fn count(&self, operation: Operation, prefix: &str) -> usize {
        self.matching(operation, prefix, |calls| calls.count())
    }

    /// Bytes moved by the calls of one kind for names that begin with `prefix`.
    pub fn bytes(&self, operation: Operation, prefix: &str) -> u64 {
        self.matching(operation, prefix, |calls| calls.map(|call| call.len).sum())
    }

    fn matching<T>(
        &self,
        operation: Operation,
        prefix: &str,
        sum: impl FnOnce(&mut dyn Iterator<Item = &Call>) -> T,
    ) -> T {
        let log = self.log.lock();
        let fits = |call: &&Call| call.operation == operation && call.name.starts_with(prefix);
        sum(&mut log.calls.iter().filter(fits))
    }

    /// Forgets all calls and writes so far.
    pub fn clear(&self) {
        *self.log.lock() = Log::default();
    }

    /// The writes so far, in the order they ended. Empty unless it was made with
    /// [`keeping_writes`](Self::keeping_writes).
    pub fn writes(&self) -> Vec<Write> {
        self.log.lock().writes.clone()
    }

    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    fn note<T>(
        &self,
        operation: Operation,
        (name, offset): (&str, u64),
        result: Result<T, StorageError>,
        len: impl FnOnce(&T) -> u64,
    ) -> Result<T, StorageError> {
        let call = Call {
            operation,
            name: name.into(),
            offset,
            len: result.as_ref().map_or(0, len),
            ok: result.is_ok(),
        };
        self.log.lock().calls.push(call);
        result
    }

    fn note_write(&self, name: &str, started: u64, bytes: Option<Arc<[u8]>>) {
        if self.keep_writes {
            // The end is drawn under the lock: the log is in its order.
            let mut log = self.log.lock();
            let finished = self.tick();
            log.writes.push(Write { name: name.into(), bytes, started, finished });
        }
    }
}

/// What storage holds after these writes.
pub fn replay(writes: &[Write]) -> MemoryStorage {
    let storage = MemoryStorage::new();
    for write in writes {
        apply(write, &storage);
    }
    storage
}

/// Makes one more write onto what [`replay`] gave.
pub fn apply(write: &Write, storage: &MemoryStorage) {
    match &write.bytes {
        Some(bytes) => storage.replace(&write.name, bytes),
        None => storage.remove(&write.name),
    }
}

impl Storage for RecordStorage {
    hand_on!(inner: location, concurrency, object_lock, archive, warning, clean_unfinished);

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        let started = self.tick();
        let result = self.inner.put(name, parts, mode);
        if result.is_ok() && self.keep_writes {
            self.note_write(name, started, Some(parts.concat().into()));
        }
        let len = parts.iter().map(|part| part.len() as u64).sum();
        self.note(Operation::Put, (name, 0), result, |()| len)
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        let result = self.inner.get(name, len_max);
        self.note(Operation::Get, (name, 0), result, |bytes| bytes.len() as u64)
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        let result = self.inner.get_range(name, offset, buf);
        self.note(Operation::GetRange, (name, offset), result, |()| buf.len() as u64)
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        let result = self.inner.head(name);
        self.note(Operation::Head, (name, 0), result, |_| 0)
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        let mut entries = 0;
        let result = self.inner.list(prefix, &mut |meta| {
            entries += 1;
            found(meta);
        });
        self.note(Operation::List, (prefix, 0), result, |()| entries)
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        let started = self.tick();
        let result = self.inner.delete(name);
        if result.is_ok() {
            self.note_write(name, started, None);
        }
        self.note(Operation::Delete, (name, 0), result, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_and_writes_replayed() {
        let storage = RecordStorage::keeping_writes(Arc::new(MemoryStorage::new()));
        storage.put("data/a", &[b"ab", b"c"], PutMode::Content).unwrap();
        storage.put("index/b", &[b"d"], PutMode::Content).unwrap();
        storage.put("index/b", &[b"d"], PutMode::CreateOnce).unwrap_err();
        storage.delete("data/a").unwrap();
        storage.get("index/b", 9).unwrap();
        storage.list("", &mut |_| {}).unwrap();

        assert_eq!(storage.count(Operation::Put, ""), 3);
        assert_eq!(storage.count(Operation::Put, "data/"), 1);
        assert_eq!(storage.bytes(Operation::Put, ""), 4);
        assert_eq!(storage.bytes(Operation::Get, "index/"), 1);
        assert_eq!(storage.calls().last().unwrap().len, 1);

        let writes = storage.writes();
        let states: Vec<_> = (0..=writes.len()).map(|n| replay(&writes[..n]).names()).collect();
        let (a, b) = ("data/a".to_owned(), "index/b".to_owned());
        assert_eq!(states, [vec![], vec![a.clone()], vec![a, b.clone()], vec![b]]);
        assert!(writes.windows(2).all(|pair| pair[0].finished < pair[1].started));
        storage.clear();
        assert!(storage.calls().is_empty() && storage.writes().is_empty());
    }
}
