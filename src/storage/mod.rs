//! Where objects are kept: one narrow, synchronous trait, its implementations and its wrappers.
//!
//! Objects are immutable and named once. Nothing above this module knows what kind of storage it
//! talks to; nothing in this module knows what the bytes mean.
//!
//! Kept in: [`local`] (folders), [`opendal`] (services, `memory:`), `sftp`, `webdav`, `smb`, `nfs`,
//! [`bundle`] (one file that is only read), [`memory`] (tests). What only some can do:
//! [`object_lock`], [`archive`]. Wrapped by: [`retry`], [`adaptive`] (and `waiting`), [`throttle`],
//! [`count`], [`size_check`] (in an order that `wrap.rs` knows), [`read_only`], and for tests [`record`] and
//! [`fault`]. [`conformance`] says what all of them must do. [`location`] gets from what people
//! write to one of them.
//!
//! Not here: caching of decoded data (`repository`), retention, encryption.

pub mod adaptive;
pub mod archive;
mod asked;
mod asynchronous;
pub mod bundle;
#[doc(hidden)]
pub mod conformance;
pub mod connection;
mod connector;
pub mod count;
mod explain;
mod failure;
pub mod fault;
mod hand_on;
pub mod http;
pub mod local;
pub mod location;
pub mod memory;
pub mod mirror;
pub mod name;
#[cfg(feature = "nfs")]
mod nfs;
pub mod object_lock;
pub mod opendal;
pub mod probe;
pub mod read_only;
pub mod record;
pub mod retry;
mod services;
#[cfg(feature = "sftp")]
mod sftp;
#[cfg(any(feature = "smb", feature = "nfs"))]
mod share;
pub mod size_check;
#[cfg(feature = "smb")]
mod smb;
pub mod split;
pub mod throttle;
mod waiting;
#[cfg(feature = "webdav")]
mod webdav;
mod wrap;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::error::StorageError;

pub use self::opendal::OpendalStorage;
pub use adaptive::AdaptiveStorage;
pub use archive::{Archive, ArchiveState, WarmUpRequest, WarmUpTier};
pub use bundle::{BundleStorage, BundleWriter};
pub use connection::{Access, Connection, Timeouts};
pub use connector::Connector;
pub use count::{CountStorage, RequestCounter, StorageUse};
pub use fault::FaultStorage;
pub use local::LocalStorage;
pub use location::{Location, create, create_with, open, open_with};
pub use memory::MemoryStorage;
pub(crate) use mirror::AFTER_RUN;
pub use mirror::{Heads, MirrorReport, MirrorState, MirrorStorage, ReadElsewhere, is_begun};
pub use object_lock::{LockMode, LockSettings, ObjectLock, Retention};
pub use read_only::ReadOnlyStorage;
pub use record::RecordStorage;
pub use retry::{GaveUp, Notify, RetryAfter, RetryPolicy, RetryStorage, ServiceNotice};
pub use size_check::SizeCheckStorage;
pub use split::{Completed, SplitStorage};
pub use throttle::{BandwidthPlan, ThrottleHandle, ThrottleStorage};

/// One object found by a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Full name, `/`-separated, as given to [`Storage::put`].
    pub name: String,
    /// Length in bytes.
    pub len: u64,
    /// Storage's own time of the last write, in milliseconds since 1970, where it has one.
    pub modified_ms: Option<i64>,
}

/// What a [`Storage::put`] does when the name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// Objects named by their content: writing the same name again is harmless, and an existing
    /// object of the same length may be left as it is.
    Content,
    /// Objects that must be created once: an existing one is an error of kind `Exists` wherever
    /// the service can tell.
    CreateOnce,
    /// Objects whose stored bytes are known to be wrong: afterwards the name holds these bytes,
    /// whatever it held before, and no reader sees half of them.
    Replace,
}

/// A place that keeps immutable objects under names.
///
/// All methods may be called from any number of threads. A successful [`put`](Storage::put) is
/// durable: it survives a crash of the machine that holds the storage. Readers see a whole object
/// or none.
///
/// Names are relative, `/`-separated, made of `[a-z0-9._-]`; at most 200 bytes.
pub trait Storage: Send + Sync {
    /// The location as shown to people: never holds secrets.
    fn location(&self) -> &str;

    /// Stores `parts`, one after the other, as the object `name`.
    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError>;

    /// Reads the whole object, up to `len_max` bytes.
    ///
    /// # Errors
    /// A longer object is an error of kind `Permanent`: stored lengths are untrusted.
    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError>;

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    /// An object that ends before `offset + buf.len()` is an error of kind `Permanent`.
    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError>;

    /// How many copies there are of each object.
    fn copies(&self) -> usize {
        1
    }

    /// As [`get_range`](Storage::get_range), from one copy and no other: for those who can tell
    /// good bytes from bad ones. Copy 0 is the one that listings tell of.
    ///
    /// # Errors
    /// As [`get_range`](Storage::get_range).
    fn get_range_of(
        &self,
        _copy: usize,
        name: &str,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), StorageError> {
        self.get_range(name, offset, buf)
    }

    /// Length and time of one object.
    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError>;

    /// Calls `found` for each object whose name starts with the folder `prefix` (`""` or ending
    /// in `/`), at any depth, in no particular order. A folder that does not exist is empty.
    ///
    /// # Errors
    /// A listing that could not be finished is an error, whatever `found` has seen before.
    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError>;

    /// Removes an object. One that is not there is not an error.
    fn delete(&self, name: &str) -> Result<(), StorageError>;

    /// How many calls at once make sense: about the number of cores for local disk, more where
    /// every call waits for a network.
    fn concurrency(&self) -> usize {
        2
    }

    /// What was wrong with the place itself when it was opened, in words: people should know of it
    /// before they rely on what is there.
    fn warning(&self) -> Option<&str> {
        None
    }

    /// How objects are kept from being deleted, if the service can do that.
    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        None
    }

    /// How objects are asked for that cannot be read at once, if the service has such.
    fn archive(&self) -> Option<&dyn Archive> {
        None
    }

    /// The same storage, whose transfers ask `pace` before each piece; `None` if it moves objects
    /// only as a whole. For [`throttled`](throttle::throttled), which then pays for whole calls.
    fn paced(&self, _pace: &throttle::Pace) -> Option<SharedStorage> {
        None
    }

    /// Removes what writes that never finished left behind more than `age` ago, by the clock of
    /// the storage: temporary files, parts of uploads. Returns how many those were; none where a
    /// write leaves nothing.
    fn clean_unfinished(&self, _age: Duration) -> Result<u64, StorageError> {
        Ok(0)
    }
}

/// Lists a folder into a vector, sorted by name.
pub fn list_sorted(storage: &dyn Storage, prefix: &str) -> Result<Vec<ObjectMeta>, StorageError> {
    let mut all = Vec::new();
    storage.list(prefix, &mut |meta| all.push(meta))?;
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// Calls `work` for each item on as many threads as storage takes calls at once, and returns the
/// results in the order of the items. For calls that wait; work for processors belongs elsewhere.
pub fn in_parallel<T: Sync, R: Send>(
    storage: &dyn Storage,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    /// Fewer items than this are done before a thread has started.
    const WORTH_IT: usize = 8;
    let threads = storage.concurrency().clamp(1, 64).min(items.len() / WORTH_IT + 1);
    if threads == 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let parts: Vec<Vec<(usize, R)>> = std::thread::scope(|scope| {
        let run = || {
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(number) else { return done };
                done.push((number, work(item)));
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut all: Vec<(usize, R)> = parts.into_iter().flatten().collect();
    all.sort_unstable_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, result)| result).collect()
}

/// Storage shared between threads.
pub type SharedStorage = Arc<dyn Storage>;
