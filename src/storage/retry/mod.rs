//! Repeats calls that failed for a reason that passes.
//!
//! Every call may be repeated: reads, deletes (a name is never used again for other content),
//! writes of objects named by their content, where a first attempt that did arrive changes
//! nothing, and listings, of which nothing is handed on before they are whole. A `CreateOnce`
//! write whose answer got lost would find its own object in the way, so it is looked at first:
//! the same bytes are ours, none means again, others are somebody else's.
//!
//! Waits double from failure to failure and are drawn from the whole length, so that many clients
//! do not come back as one. When it ends is decided by what all calls of a storage see together
//! (`outage`): as long as others succeed, a call has a number of attempts; while none does,
//! all have one length of time, and people are told once.

mod after;
mod outage;
mod policy;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use self::outage::{Outages, Verdict};
use self::policy::Pause;
use super::asked::{Asked, Effect};
use super::count::RequestCounter;
use super::failure::failure;
use super::hand_on::hand_on;
use super::{Archive, ObjectLock, ObjectMeta, PutMode, SharedStorage, Storage};
use crate::error::{StorageError, StorageErrorKind};
use crate::runtime::{CancelToken, Random};

pub use self::after::{GaveUp, RetryAfter};
pub use self::outage::{Notify, ServiceNotice};
pub use self::policy::RetryPolicy;

/// Which calls are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// All of them.
    All,
    /// Those that change nothing: for folders of a share, where the system repeats writes itself.
    Reads,
}

/// Repeats calls that failed as `Temporary`.
pub struct RetryStorage {
    inner: SharedStorage,
    policy: RetryPolicy,
    repeat: Repeat,
    cancel: CancelToken,
    random: Random,
    pause: Pause,
    outages: Outages,
    counter: Option<Arc<RequestCounter>>,
}

impl RetryStorage {
    /// Wraps `inner`. Once `cancel` is set, nothing is repeated and waits end: the call returns
    /// its last error, and the caller's own look at the token says why.
    pub fn new(inner: SharedStorage, policy: RetryPolicy, cancel: CancelToken) -> Self {
        Self {
            inner,
            policy,
            repeat: Repeat::All,
            cancel,
            random: Random::os(),
            pause: Pause::default(),
            outages: Outages::default(),
            counter: None,
        }
    }

    /// Waits with `wait` instead of sleeping. Time that it does not take counts as if it had.
    pub fn with_wait(self, wait: impl Fn(Duration, &CancelToken) + Send + Sync + 'static) -> Self {
        Self { pause: Pause::with(wait), ..self }
    }

    /// Tells `counter` of each repetition.
    pub fn counting(self, counter: Arc<RequestCounter>) -> Self {
        Self { counter: Some(counter), ..self }
    }

    /// Tells `notify` when the service is away, and when it is back.
    pub fn telling(self, notify: Notify) -> Self {
        Self { outages: Outages::telling(notify), ..self }
    }

    /// Repeats only some calls.
    pub fn only(self, repeat: Repeat) -> Self {
        Self { repeat, ..self }
    }

    /// Calls until it succeeds, fails for good or the policy ends it.
    fn repeat<T>(
        &self,
        mut call: impl FnMut() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut troubles = self.outages.begin();
        let mut attempt = 0_u32;
        loop {
            let began = self.pause.now();
            let error = match call() {
                Err(error) if error.is_temporary() => error,
                result => {
                    self.outages.answered(self.location(), self.pause.now());
                    return result;
                }
            };
            if self.cancel.is_cancelled() {
                return Err(error);
            }
            let tried = began..self.pause.now();
            let left = match self.outages.failed(&mut troubles, tried, &self.policy) {
                Verdict::Again { left } => left,
                Verdict::GiveUp { after } => return Err(GaveUp::wrap(error, attempt, after)),
            };
            let wait = self.wait_for(attempt, &error).min(left);
            let (action, name) = (error.action, &error.object);
            tracing::debug!(action, name, ?wait, cause = %error.source, "repeats after a failure");
            self.outages.tell_away(self.location(), &error, self.pause.now() + wait, &self.policy);
            self.pause.wait(wait, &self.cancel);
            if self.cancel.is_cancelled() {
                return Err(error);
            }
            if let Some(counter) = &self.counter {
                counter.repeats();
            }
            attempt += 1;
        }
    }

    /// How long to wait after a failed attempt; the first is 0.
    fn wait_for(&self, attempt: u32, error: &StorageError) -> Duration {
        let longest = self.policy.wait_after(attempt);
        let share = self.random.next_u64() as f64 / u64::MAX as f64;
        let asked = RetryAfter::find(error).unwrap_or_default().min(RetryAfter::LONGEST);
        // Whoever was told the same time does not come back in the same moment.
        asked + longest.mul_f64(share)
    }

    /// As [`RetryStorage::repeat`], for calls that change something.
    fn repeat_write<T>(
        &self,
        mut call: impl FnMut() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        match self.repeat {
            Repeat::All => self.repeat(call),
            Repeat::Reads => call(),
        }
    }

    /// Creates an object, and knows its own again.
    fn create_once(&self, name: &str, parts: &[&[u8]]) -> Result<(), StorageError> {
        let mut in_doubt = false;
        self.repeat_write(|| {
            if in_doubt && self.look(name, parts)? == Found::Ours {
                return Ok(());
            }
            match self.inner.put(name, parts, PutMode::CreateOnce) {
                Err(error) if error.is_temporary() => {
                    in_doubt = true;
                    Err(error)
                }
                // An earlier attempt arrived after the look.
                Err(error) if in_doubt && error.kind == StorageErrorKind::Exists => {
                    match self.look(name, parts)? {
                        Found::Ours => Ok(()),
                        Found::Nothing => Err(error),
                    }
                }
                result => result,
            }
        })
    }

    /// What became of an attempt to create `name`.
    ///
    /// # Errors
    /// `Exists` if something else is there; `Temporary` if it may still become ours.
    fn look(&self, name: &str, parts: &[&[u8]]) -> Result<Found, StorageError> {
        let ours = parts.concat();
        let len = match self.inner.head(name) {
            Ok(meta) => meta.len,
            Err(error) if error.kind == StorageErrorKind::Missing => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        let refuse = |kind, what| Err(failure(self.location(), "write", name, kind, what));
        if len <= ours.len() as u64 {
            let stored = self.inner.get(name, len)?;
            if stored == ours {
                return Ok(Found::Ours);
            }
            if ours.starts_with(&stored) {
                // Half of ours, or of somebody who began as we did: nobody may replace it.
                let what = format!("a broken write left {len} of {} bytes there", ours.len());
                return refuse(StorageErrorKind::Temporary, what);
            }
        }
        refuse(StorageErrorKind::Exists, "it exists already".into())
    }
}

/// What is under a name that somebody tried to create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// All the bytes that were to be there.
    Ours,
    Nothing,
}

impl Storage for RetryStorage {
    hand_on!(inner: location, concurrency, warning);

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        match mode {
            PutMode::Content | PutMode::Replace => {
                self.repeat_write(|| self.inner.put(name, parts, mode))
            }
            PutMode::CreateOnce => self.create_once(name, parts),
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
        self.repeat_write(|| self.inner.delete(name))
    }

    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        self.as_lock()
    }

    fn archive(&self) -> Option<&dyn Archive> {
        self.as_archive()
    }

    fn clean_unfinished(&self, age: Duration) -> Result<u64, StorageError> {
        self.repeat_write(|| self.inner.clean_unfinished(age))
    }
}

impl Asked for RetryStorage {
    fn below(&self) -> &SharedStorage {
        &self.inner
    }

    fn ask<T>(
        &self,
        effect: Effect,
        _action: &'static str,
        _name: &str,
        request: &dyn Fn() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        match effect {
            Effect::Reads => self.repeat(request),
            Effect::Writes => self.repeat_write(request),
        }
    }
}
