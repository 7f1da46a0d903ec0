//! Locks and archives behind wrappers: what is asked of them is a request as all others, which
//! each wrapper counts, repeats or lets wait for its turn.

use super::failure::failure;
use super::object_lock::LockSettings;
use super::{Archive, ArchiveState, ObjectLock, Retention, SharedStorage, WarmUpRequest};
use crate::error::{StorageError, StorageErrorKind};

/// What a request of this kind does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It only asks.
    Reads,
    /// It changes something, and may be sent twice.
    Writes,
}

/// A wrapper that treats all requests to locks and archives in one way.
///
/// Its `object_lock` and `archive` must be itself, where the storage below has such.
pub(super) trait Asked: Send + Sync {
    /// The storage below.
    fn below(&self) -> &SharedStorage;

    /// Sends a request in the way of this wrapper. `action` and `name` are for errors.
    fn ask<T>(
        &self,
        effect: Effect,
        action: &'static str,
        name: &str,
        request: &dyn Fn() -> Result<T, StorageError>,
    ) -> Result<T, StorageError>;

    /// This wrapper as locks, if there are any below.
    fn as_lock(&self) -> Option<&dyn ObjectLock>
    where
        Self: Sized,
    {
        self.below().object_lock().map(|_| self as &dyn ObjectLock)
    }

    /// This wrapper as an archive, if there is one below.
    fn as_archive(&self) -> Option<&dyn Archive>
    where
        Self: Sized,
    {
        self.below().archive().map(|_| self as &dyn Archive)
    }
}

fn lock_of<'s>(storage: &'s SharedStorage, name: &str) -> Result<&'s dyn ObjectLock, StorageError> {
    storage.object_lock().ok_or_else(|| none(storage, "ask for the locks of", name))
}

fn archive_of<'s>(storage: &'s SharedStorage, name: &str) -> Result<&'s dyn Archive, StorageError> {
    storage.archive().ok_or_else(|| none(storage, "ask for", name))
}

fn none(storage: &SharedStorage, action: &'static str, name: &str) -> StorageError {
    let what = "the place has nothing of that kind";
    failure(storage.location(), action, name, StorageErrorKind::Permanent, what)
}

impl<W: Asked> ObjectLock for W {
    fn settings(&self) -> Result<LockSettings, StorageError> {
        let below = self.below();
        self.ask(Effect::Reads, "ask for the locks of", "", &|| lock_of(below, "")?.settings())
    }

    fn retention(&self, name: &str) -> Result<Option<Retention>, StorageError> {
        let below = self.below();
        self.ask(Effect::Reads, "ask for the retention of", name, &|| {
            lock_of(below, name)?.retention(name)
        })
    }

    fn retain(&self, name: &str, retention: &Retention) -> Result<(), StorageError> {
        let below = self.below();
        self.ask(Effect::Writes, "extend the retention of", name, &|| {
            lock_of(below, name)?.retain(name, retention)
        })
    }
}

impl<W: Asked> Archive for W {
    fn is_cold(&self) -> bool {
        self.below().archive().is_some_and(Archive::is_cold)
    }

    fn state(&self, name: &str) -> Result<ArchiveState, StorageError> {
        let below = self.below();
        self.ask(Effect::Reads, "read", name, &|| archive_of(below, name)?.state(name))
    }

    fn warm_up(&self, name: &str, request: &WarmUpRequest) -> Result<(), StorageError> {
        let below = self.below();
        self.ask(Effect::Writes, "ask for", name, &|| {
            archive_of(below, name)?.warm_up(name, request)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::Arc;
    use std::time::Duration;

    use parking_lot::Mutex;

    use super::*;
    use crate::storage::wrap::{Puts, remote};
    use crate::storage::{Connection, MemoryStorage, ObjectMeta, PutMode, RetryPolicy, Storage};
    use crate::storage::{LockMode, WarmUpTier};

    /// Has locks and an archive, and fails as often as it is told to.
    #[derive(Default)]
    struct Safe {
        memory: MemoryStorage,
        fails: Mutex<u32>,
        asked: Mutex<Vec<String>>,
        has_none: bool,
    }

    impl Safe {
        fn asked(&self, what: String) -> Result<(), StorageError> {
            self.asked.lock().push(what);
            let mut fails = self.fails.lock();
            let left = fails.checked_sub(1);
            *fails = left.unwrap_or(0);
            let busy = failure("safe:", "ask", "", StorageErrorKind::Temporary, "busy");
            left.map_or(Ok(()), |_| Err(busy))
        }
    }

    impl Storage for Safe {
        fn location(&self) -> &str {
            "safe:"
        }
        fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
            self.memory.put(name, parts, mode)
        }
        fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
            self.memory.get(name, len_max)
        }
        fn get_range(&self, name: &str, at: u64, buf: &mut [u8]) -> Result<(), StorageError> {
            self.memory.get_range(name, at, buf)
        }
        fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
            self.memory.head(name)
        }
        fn list(&self, at: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
            self.memory.list(at, found)
        }
        fn delete(&self, name: &str) -> Result<(), StorageError> {
            self.memory.delete(name)
        }
        fn object_lock(&self) -> Option<&dyn ObjectLock> {
            (!self.has_none).then_some(self)
        }
        fn archive(&self) -> Option<&dyn Archive> {
            (!self.has_none).then_some(self)
        }
    }

    impl ObjectLock for Safe {
        fn settings(&self) -> Result<LockSettings, StorageError> {
            self.asked("settings".into()).map(|()| LockSettings::default())
        }
        fn retention(&self, name: &str) -> Result<Option<Retention>, StorageError> {
            self.asked(format!("retention {name}")).map(|()| None)
        }
        fn retain(&self, name: &str, retention: &Retention) -> Result<(), StorageError> {
            self.asked(format!("retain {name} {}", retention.until_ms))
        }
    }

    impl Archive for Safe {
        fn is_cold(&self) -> bool {
            true
        }
        fn state(&self, name: &str) -> Result<ArchiveState, StorageError> {
            self.asked(format!("state {name}")).map(|()| ArchiveState::Cold)
        }
        fn warm_up(&self, name: &str, request: &WarmUpRequest) -> Result<(), StorageError> {
            self.asked(format!("warm up {name} {}", request.days))
        }
    }

    fn connection() -> Connection {
        let wait = Duration::from_millis(1);
        let policy = RetryPolicy { wait_first: wait, wait_max: wait, ..RetryPolicy::default() };
        Connection { policy, ..Connection::default() }
    }

    #[test]
    fn locks_and_archives_are_counted_repeated_and_wait_for_their_turn() {
        let (safe, connection) = (Arc::new(Safe::default()), connection());
        let storage = remote(safe.clone(), Puts::Torn, NonZeroUsize::new(4), &connection);
        let (lock, archive) =
            (storage.object_lock().expect("has"), storage.archive().expect("has"));
        assert!(archive.is_cold());
        let retention = Retention { mode: LockMode::Governance, until_ms: 5 };
        let request = WarmUpRequest { days: 2, tier: WarmUpTier::Bulk };
        let calls: [&dyn Fn() -> Result<(), StorageError>; 5] = [
            &|| lock.settings().map(|_| ()),
            &|| lock.retention("a").map(|_| ()),
            &|| lock.retain("a", &retention),
            &|| archive.state("a").map(|_| ()),
            &|| archive.warm_up("a", &request),
        ];
        for call in calls {
            *safe.fails.lock() = 2;
            call().expect("the third time");
        }
        let used = connection.counter.used();
        assert_eq!((used.asks, used.errors, used.retries, used.requests()), (15, 10, 10, 15));
        let asked = safe.asked.lock();
        let expected = ["settings", "retention a", "retain a 5", "state a", "warm up a 2"];
        assert!(asked.iter().step_by(3).eq(expected.iter()), "{asked:?}");
    }

    #[test]
    fn a_cancelled_run_asks_a_service_that_is_away_for_nothing() {
        let (safe, connection) = (Arc::new(Safe::default()), connection());
        let storage = remote(safe.clone(), Puts::Whole, None, &connection);
        connection.cancel.cancel();
        *safe.fails.lock() = u32::MAX;
        let lock = storage.object_lock().expect("has");
        for _ in 0..9 {
            lock.settings().expect_err("busy");
        }
        assert!(safe.asked.lock().len() < 9, "the others did not wait for their turn");
    }

    #[test]
    fn where_there_is_nothing_of_the_kind_wrappers_have_none() {
        let safe = Arc::new(Safe { has_none: true, ..Safe::default() });
        let storage = remote(safe, Puts::Whole, None, &connection());
        assert!(storage.object_lock().is_none() && storage.archive().is_none());
    }
}
