//! Repeats calls that failed for a reason that passes.
//!
//! Only calls that may be repeated are: reads, deletes (a name is never used again for other
//! content), and writes of objects named by their content or replaced, where a first attempt that
//! did arrive changes nothing. A `CreateOnce` write whose answer got lost would find its own object in the
//! way, so it fails and its caller decides.

use std::sync::Arc;
use std::time::Duration;

use super::count::RequestCounter;
use super::{Archive, ObjectLock, ObjectMeta, PutMode, SharedStorage, Storage};
use crate::error::StorageError;
use crate::runtime::{CancelToken, Random};

/// How often and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts_max: u32,
    /// The wait after the first failure; it doubles each time.
    pub wait_first: Duration,
    /// The longest wait.
    pub wait_max: Duration,
}

/// Gives up after about two minutes.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 10,
            wait_first: Duration::from_millis(250),
            wait_max: Duration::from_secs(30),
        }
    }
}

type Wait = dyn Fn(Duration, &CancelToken) + Send + Sync;

/// Repeats idempotent calls that failed as `Temporary`.
pub struct RetryStorage {
    inner: SharedStorage,
    policy: RetryPolicy,
    cancel: CancelToken,
    random: Random,
    wait: Box<Wait>,
    counter: Option<Arc<RequestCounter>>,
}

impl RetryStorage {
    /// Wraps `inner`. Once `cancel` is set, nothing is repeated and waits end: the call returns
    /// its last error, and the caller's own look at the token says why.
    pub fn new(inner: SharedStorage, policy: RetryPolicy, cancel: CancelToken) -> Self {
        let wait = Box::new(sleep);
        Self { inner, policy, cancel, random: Random::os(), wait, counter: None }
    }

    /// Waits with `wait` instead of sleeping.
    pub fn with_wait(self, wait: impl Fn(Duration, &CancelToken) + Send + Sync + 'static) -> Self {
        Self { wait: Box::new(wait), ..self }
    }

    /// Tells `counter` of each repetition.
    pub fn counting(self, counter: Arc<RequestCounter>) -> Self {
        Self { counter: Some(counter), ..self }
    }

    fn repeat<T>(
        &self,
        mut call: impl FnMut() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut wait = self.policy.wait_first;
        for _ in 1..self.policy.attempts_max {
            match call() {
                Err(error) if error.is_temporary() && !self.cancel.is_cancelled() => {
                    let name = &error.object;
                    tracing::debug!(action = error.action, name, ?wait, "repeats after a failure");
                }
                result => return result,
            }
            // Between a half and the whole, so that many clients do not come back as one.
            let share = 0.5 + self.random.next_u64() as f64 / u64::MAX as f64 / 2.0;
            (self.wait)(wait.mul_f64(share), &self.cancel);
            wait = (wait * 2).min(self.policy.wait_max);
            if let Some(counter) = &self.counter {
                counter.repeats();
            }
        }
        call()
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

impl Storage for RetryStorage {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        match mode {
            PutMode::Content | PutMode::Replace => {
                self.repeat(|| self.inner.put(name, parts, mode))
            }
            PutMode::CreateOnce => self.inner.put(name, parts, mode),
        }
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        self.repeat(|| self.inner.get(name, len_max))
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        self.repeat(|| self.inner.get_range(name, offset, buf))
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        self.repeat(|| self.inner.head(name))
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        // A listing that broke off begins again: nothing is handed on before it is whole.
        let all = self.repeat(|| {
            let mut all = Vec::new();
            self.inner.list(prefix, &mut |meta| all.push(meta)).map(|()| all)
        })?;
        all.into_iter().for_each(found);
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.repeat(|| self.inner.delete(name))
    }

    fn concurrency(&self) -> usize {
        self.inner.concurrency()
    }

    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        self.inner.object_lock()
    }

    fn archive(&self) -> Option<&dyn Archive> {
        self.inner.archive()
    }

    fn warning(&self) -> Option<&str> {
        self.inner.warning()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::StorageErrorKind;
    use crate::storage::fault::{FaultStorage, On};
    use crate::storage::{MemoryStorage, list_sorted};
    use parking_lot::Mutex;
    use std::sync::Arc;

    struct Case {
        storage: RetryStorage,
        faults: Arc<FaultStorage>,
        waits: Arc<Mutex<Vec<Duration>>>,
        cancel: CancelToken,
    }

    fn case() -> Case {
        let memory = Arc::new(MemoryStorage::new());
        memory.put("a", &[b"abc"], PutMode::Content).unwrap();
        let faults = Arc::new(FaultStorage::new(memory));
        let waits = Arc::new(Mutex::new(Vec::new()));
        let seen = waits.clone();
        let cancel = CancelToken::default();
        let policy = RetryPolicy { attempts_max: 6, ..Default::default() };
        let storage = RetryStorage::new(faults.clone(), policy, cancel.clone())
            .with_wait(move |wait, _| seen.lock().push(wait));
        Case { storage, faults, waits, cancel }
    }

    #[test]
    fn temporary_failures_pass_with_growing_waits() {
        let Case { storage, faults, waits, .. } = case();
        faults.fail_times(On::Get, 1, 4, StorageErrorKind::Temporary);
        assert_eq!(storage.get("a", 9).unwrap(), b"abc");
        let waits = waits.lock();
        assert_eq!(waits.len(), 4);
        for (at, wait) in waits.iter().enumerate() {
            let whole = Duration::from_millis(250 << at);
            assert!(*wait >= whole / 2 && *wait <= whole, "{at}: {wait:?}");
        }
    }

    #[test]
    fn it_gives_up_in_the_end_and_at_once_where_it_makes_no_sense() {
        let Case { storage, faults, waits, .. } = case();
        faults.fail_times(On::Get, 1, 99, StorageErrorKind::Temporary);
        assert!(storage.get("a", 9).unwrap_err().is_temporary());
        assert_eq!(waits.lock().len(), 5);
        faults.heal();
        faults.fail_times(On::Get, 1, 1, StorageErrorKind::Denied);
        assert_eq!(storage.get("a", 9).unwrap_err().kind, StorageErrorKind::Denied);
        assert_eq!(waits.lock().len(), 5);
    }

    /// The answer to a create got lost: repeating it would report a stranger's object.
    #[test]
    fn only_writes_named_by_content_are_repeated() {
        let Case { storage, faults, .. } = case();
        faults.lose_answer(On::Put, 1);
        storage.put("b", &[b"x"], PutMode::Content).unwrap();
        faults.lose_answer(On::Put, 1);
        let lost = storage.put("c", &[b"x"], PutMode::CreateOnce).unwrap_err();
        assert!(lost.is_temporary());
    }

    #[test]
    fn a_broken_listing_is_not_seen_twice() {
        let Case { storage, faults, .. } = case();
        faults.fail_times(On::List, 1, 2, StorageErrorKind::Temporary);
        assert_eq!(list_sorted(&storage, "").unwrap().len(), 1);
    }

    #[test]
    fn cancelling_ends_it() {
        let Case { storage, faults, waits, cancel } = case();
        faults.fail_times(On::Get, 1, 99, StorageErrorKind::Temporary);
        cancel.cancel();
        assert!(storage.get("a", 9).unwrap_err().is_temporary());
        assert!(waits.lock().is_empty());
    }
}
