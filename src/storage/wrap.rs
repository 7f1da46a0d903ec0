//! What stands between the engine and a service, in one place and in this order, from the service
//! outwards:
//!
//! 1. limits of bandwidth, by the service itself where it can ([`throttled`]);
//! 2. a count of requests ([`CountStorage`]): every attempt is one;
//! 3. a look at the length of what was written, where a broken connection can leave half an
//!    object under its final name ([`SizeCheckStorage`]);
//! 4. as many calls at once as the service takes ([`AdaptiveStorage`]);
//! 5. repetitions ([`RetryStorage`]), whose waits take no place from others.
//!
//! What lives in this process or on its disks has the first two only: a disk that fails does not
//! get better by being asked again. Folders of a mounted share are between the two: their reads
//! are repeated.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::adaptive::AdaptiveStorage;
use super::count::CountStorage;
use super::retry::{Repeat, RetryStorage};
use super::size_check::SizeCheckStorage;
use super::throttle::throttled;
use super::{Connection, SharedStorage};

/// What becomes of a write whose connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Puts {
    /// The object is there or not.
    Whole,
    /// Half of it may be under its final name.
    Torn,
}

/// For storage of this process and its disks.
pub(super) fn local(storage: SharedStorage, connection: &Connection) -> SharedStorage {
    let storage = match connection.pace() {
        Some(pace) => throttled(storage, pace),
        None => storage,
    };
    Arc::new(CountStorage::new(storage, Arc::clone(&connection.counter)))
}

/// For folders of a mounted share.
pub(super) fn share(storage: SharedStorage, connection: &Connection) -> SharedStorage {
    Arc::new(retrying(local(storage, connection), connection).only(Repeat::Reads))
}

/// For services. `concurrency` is what the location says.
pub(super) fn remote(
    storage: SharedStorage,
    puts: Puts,
    concurrency: Option<NonZeroUsize>,
    connection: &Connection,
) -> SharedStorage {
    let own = NonZeroUsize::new(storage.concurrency()).unwrap_or(NonZeroUsize::MIN);
    let most = concurrency.or(connection.concurrency).unwrap_or(own);
    let storage = local(storage, connection);
    let storage = match puts {
        Puts::Whole => storage,
        Puts::Torn => Arc::new(SizeCheckStorage::new(storage)),
    };
    let adaptive = AdaptiveStorage::new(storage, most, connection.cancel.clone())
        .telling(connection.notify.clone());
    Arc::new(retrying(Arc::new(adaptive), connection))
}

fn retrying(storage: SharedStorage, connection: &Connection) -> RetryStorage {
    RetryStorage::new(storage, connection.policy.clone(), connection.cancel.clone())
        .counting(Arc::clone(&connection.counter))
        .telling(connection.notify.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::StorageErrorKind;
    use crate::storage::fault::{Fault, On, Rule};
    use crate::storage::{FaultStorage, MemoryStorage, PutMode, RetryPolicy, Storage};
    use std::time::Duration;

    fn quick() -> Connection {
        let wait = Duration::from_millis(1);
        let policy = RetryPolicy { wait_first: wait, wait_max: wait, ..RetryPolicy::default() };
        Connection { policy, ..Connection::default() }
    }

    fn faulty() -> Arc<FaultStorage> {
        Arc::new(FaultStorage::new(Arc::new(MemoryStorage::new())))
    }

    #[test]
    fn a_remote_service_has_all_of_it() {
        let (faults, connection) = (faulty(), quick());
        let two = NonZeroUsize::new(2);
        let storage = remote(faults.clone(), Puts::Torn, two, &connection);
        assert_eq!(storage.concurrency(), 2);
        let (prefix, fault) = (String::new(), Fault::TearUnnoticed(1));
        faults.inject(Rule { on: On::Put, prefix, nth: 1, times: 1, fault });
        faults.fail_nth(On::Put, 2, StorageErrorKind::Temporary);
        storage.put("a", &[b"abc"], PutMode::Content).expect("the third time");
        let used = connection.counter.used();
        // One torn and seen by a look, one failed, one whole and seen by a look.
        assert_eq!((used.puts, used.heads, used.retries, used.errors), (3, 2, 2, 1));
        assert_eq!(storage.get("a", 9).expect("reads"), b"abc");
    }

    #[test]
    fn the_location_says_more_about_connections_than_the_program() {
        let eight = NonZeroUsize::new(8);
        let connection = Connection { concurrency: eight, ..Connection::default() };
        let calls = |said| remote(faulty(), Puts::Whole, said, &connection).concurrency();
        assert_eq!((calls(None), calls(NonZeroUsize::new(3))), (8, 3));
        let plain = remote(faulty(), Puts::Whole, None, &Connection::default());
        assert_eq!(plain.concurrency(), faulty().concurrency());
    }

    /// What a disk says is final; what a share fails to read may come the next time.
    #[test]
    fn folders_of_this_machine_repeat_nothing_and_those_of_a_share_only_reads() {
        let (faults, connection) = (faulty(), quick());
        faults.fail_times(On::Any, 1, 2, StorageErrorKind::Temporary);
        let disk = local(faults.clone(), &connection);
        disk.head("a").expect_err("failed");
        disk.put("a", &[b"x"], PutMode::Content).expect_err("failed");
        disk.put("a", &[b"x"], PutMode::Content).expect("writes");
        let mounted = share(faults.clone(), &connection);
        faults.fail_times(On::Any, 1, 2, StorageErrorKind::Temporary);
        assert_eq!(mounted.get("a", 9).expect("reads"), b"x");
        faults.fail_times(On::Write, 1, 1, StorageErrorKind::Temporary);
        mounted.delete("a").expect_err("failed");
        assert_eq!(connection.counter.used().retries, 2);
    }
}
