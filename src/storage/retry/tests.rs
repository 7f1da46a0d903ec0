use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::storage::fault::{Fault, FaultStorage, On, Rule};
use crate::storage::{MemoryStorage, list_sorted};

struct Case {
    storage: RetryStorage,
    faults: Arc<FaultStorage>,
    memory: Arc<MemoryStorage>,
    waits: Arc<Mutex<Vec<Duration>>>,
    told: Arc<Mutex<Vec<ServiceNotice>>>,
    cancel: CancelToken,
}

fn case() -> Case {
    let memory = Arc::new(MemoryStorage::new());
    memory.put("a", &[b"abc"], PutMode::Content).unwrap();
    let faults = Arc::new(FaultStorage::new(memory.clone()));
    let waits: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let told: Arc<Mutex<Vec<ServiceNotice>>> = Arc::default();
    let cancel = CancelToken::default();
    let (waiting, telling) = (waits.clone(), told.clone());
    let storage = RetryStorage::new(faults.clone(), RetryPolicy::default(), cancel.clone())
        .with_wait(move |wait, _| waiting.lock().push(wait))
        .telling(Notify::new(move |notice| telling.lock().push(notice.clone())));
    Case { storage, faults, memory, waits, told, cancel }
}

fn temporary(faults: &FaultStorage, on: On, times: u64) {
    faults.fail_times(on, 1, times, StorageErrorKind::Temporary);
}

#[test]
fn temporary_failures_pass_with_growing_waits() {
    let Case { storage, faults, waits, .. } = case();
    let mut sums = [Duration::ZERO; 4];
    for _ in 0..50 {
        temporary(&faults, On::Get, 4);
        assert_eq!(storage.get("a", 9).unwrap(), b"abc");
        let waits = std::mem::take(&mut *waits.lock());
        assert_eq!(waits.len(), 4);
        for (at, wait) in waits.iter().enumerate() {
            assert!(*wait <= Duration::from_millis(500 << at), "{at}: {wait:?}");
            sums[at] += *wait;
        }
    }
    // Drawn from the whole length: half of it in the mean.
    for (at, sum) in sums.iter().enumerate() {
        let mean = sum.as_millis() / 50;
        assert!((100 << at..400 << at).contains(&mean), "{at}: {mean} ms");
    }
}

/// A router starts anew in the middle of a night's backup.
#[test]
fn an_outage_of_some_minutes_is_survived_and_told_of_once() {
    let Case { storage, faults, waits, told, .. } = case();
    temporary(&faults, On::Any, 10);
    storage.delete("other").unwrap();
    let away: Duration = waits.lock().iter().sum();
    assert!(away > Duration::from_secs(10), "{away:?}");
    let told = told.lock();
    let [ServiceNotice::Away { cause, retry_for, .. }, ServiceNotice::Back { away_for, .. }] =
        &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!(cause, "it was told to fail");
    assert!(*retry_for > Duration::from_secs(250), "{retry_for:?}");
    assert!(away_for.abs_diff(away) < Duration::from_secs(2), "{away_for:?} of {away:?}");
    assert!(told[0].to_string().contains("does not answer"), "{}", told[0]);
}

#[test]
fn a_short_trouble_is_nobodys_business() {
    let Case { storage, faults, told, .. } = case();
    temporary(&faults, On::Get, 1);
    storage.get("a", 9).unwrap();
    assert!(told.lock().is_empty());
}

#[test]
fn it_gives_up_in_the_end_and_says_how_long_it_tried() {
    let Case { storage, faults, waits, .. } = case();
    temporary(&faults, On::Get, 999);
    let error = storage.get("a", 9).unwrap_err();
    assert!(error.is_temporary());
    let waited: Duration = waits.lock().iter().sum();
    assert!(waited.abs_diff(Duration::from_secs(300)) < Duration::from_secs(2), "{waited:?}");
    let attempts = waits.lock().len() + 1;
    let expected = format!("gave up after 5 min 0 s and {attempts} attempts");
    assert_eq!(error.source.to_string(), expected);
    assert_eq!(error.source.source().unwrap().to_string(), "it was told to fail");

    // The last words of the same run do not wait as long again.
    temporary(&faults, On::Put, 999);
    let before = waits.lock().len();
    storage.put("end", &[], PutMode::Content).unwrap_err();
    assert_eq!(waits.lock().len(), before);
}

/// A daemon's run of last night failed; today's run is another one.
#[test]
fn an_old_outage_is_forgotten() {
    let Case { storage, faults, .. } = case();
    temporary(&faults, On::Get, 999);
    storage.get("a", 9).unwrap_err();
    faults.heal();
    storage.pause.wait(Duration::from_secs(3600), &CancelToken::default());
    temporary(&faults, On::Get, 3);
    assert_eq!(storage.get("a", 9).unwrap(), b"abc");
}

#[test]
fn failures_for_good_are_not_repeated() {
    let Case { storage, faults, waits, .. } = case();
    use StorageErrorKind::*;
    for kind in [Missing, Denied, Full, Permanent, Exists] {
        faults.fail_times(On::Any, 1, 1, kind);
        assert_eq!(storage.get("a", 9).unwrap_err().kind, kind);
        faults.heal();
    }
    assert!(waits.lock().is_empty());
}

/// One object that always fails must not hold a run up for ever while all others come.
#[test]
fn a_call_that_fails_alone_has_a_number_of_attempts() {
    let Case { faults, memory, .. } = case();
    memory.put("b", &[b"b"], PutMode::Content).unwrap();
    faults.inject(Rule {
        on: On::Get,
        prefix: "a".into(),
        nth: 1,
        times: 999,
        fault: Fault::Fail(StorageErrorKind::Temporary),
    });
    let before = faults.calls(On::Get);
    let other = RetryStorage::new(faults.clone(), RetryPolicy::default(), CancelToken::default());
    let shared = Arc::new(Mutex::new(None::<Arc<RetryStorage>>));
    let neighbour = shared.clone();
    let storage = Arc::new(other.with_wait(move |_, _| {
        let neighbour = neighbour.lock().clone();
        neighbour.unwrap().get("b", 9).unwrap();
    }));
    *shared.lock() = Some(storage.clone());
    storage.get("a", 9).unwrap_err();
    // One of its own before anybody else was answered, then ten among the answers to others.
    assert_eq!(faults.calls(On::Get) - before, 11 + 10);
    *shared.lock() = None;
}

#[test]
fn nobody_comes_back_before_the_service_says() {
    struct Busy(Arc<FaultStorage>);
    impl Storage for Busy {
        fn location(&self) -> &str {
            "busy"
        }
        fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
            self.0.put(name, parts, mode)
        }
        fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
            self.0.get(name, len_max).map_err(|error| {
                let source = Box::new(RetryAfter::new(Duration::from_secs(7), error.source));
                StorageError { source, ..error }
            })
        }
        fn get_range(&self, name: &str, at: u64, buf: &mut [u8]) -> Result<(), StorageError> {
            self.0.get_range(name, at, buf)
        }
        fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
            self.0.head(name)
        }
        fn list(&self, at: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
            self.0.list(at, found)
        }
        fn delete(&self, name: &str) -> Result<(), StorageError> {
            self.0.delete(name)
        }
    }
    let Case { faults, waits, .. } = case();
    let seen = waits.clone();
    let busy = Arc::new(Busy(faults.clone()));
    let storage = RetryStorage::new(busy, RetryPolicy::default(), CancelToken::default())
        .with_wait(move |wait, _| seen.lock().push(wait));
    temporary(&faults, On::Get, 1);
    storage.get("a", 9).unwrap();
    assert!(waits.lock()[0] >= Duration::from_secs(7), "{:?}", waits.lock());
}

/// The answer to a create got lost: what is there is ours.
#[test]
fn a_create_whose_answer_got_lost_knows_its_own_object() {
    let Case { storage, faults, .. } = case();
    faults.lose_answer(On::Put, 1);
    storage.put("b", &[b"x", b"y"], PutMode::CreateOnce).unwrap();
    assert_eq!(faults.calls(On::Put), 1, "looked at, not written again");
    // Never arrived: written again.
    temporary(&faults, On::Put, 1);
    storage.put("c", &[b"x"], PutMode::CreateOnce).unwrap();
    assert_eq!(storage.get("c", 9).unwrap(), b"x");
}

#[test]
fn a_create_never_takes_what_is_somebody_elses() {
    let Case { storage, faults, memory, .. } = case();
    let refused = storage.put("a", &[b"abc"], PutMode::CreateOnce).unwrap_err();
    assert_eq!(refused.kind, StorageErrorKind::Exists, "the first answer counts, even if equal");
    for theirs in [&b"abd"[..], b"abcd", b"xb"] {
        memory.delete("b").unwrap();
        // Theirs comes between our first attempt, which never arrived, and the look.
        temporary(&faults, On::Put, 1);
        let memory = memory.clone();
        let theirs_too = theirs.to_vec();
        let storage =
            RetryStorage::new(faults.clone(), RetryPolicy::default(), CancelToken::default())
                .with_wait(move |_, _| {
                    memory.put("b", &[&theirs_too], PutMode::Content).unwrap();
                });
        let refused = storage.put("b", &[b"abc"], PutMode::CreateOnce).unwrap_err();
        assert_eq!(refused.kind, StorageErrorKind::Exists);
        assert_eq!(storage.get("b", 9).unwrap(), theirs, "as they left it");
    }
}

/// Half an object, and nobody knows whose: it is not replaced, and not called somebody else's.
#[test]
fn half_a_create_stays_a_failure_that_may_pass() {
    let Case { faults, memory, .. } = case();
    let torn = memory.clone();
    let storage = RetryStorage::new(faults.clone(), RetryPolicy::default(), CancelToken::default())
        .with_wait(move |_, _| torn.put("b", &[b"ab"], PutMode::Content).unwrap());
    temporary(&faults, On::Put, 1);
    let error = storage.put("b", &[b"abc"], PutMode::CreateOnce).unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
    assert_eq!(memory.get("b", 9).unwrap(), b"ab");
    assert_eq!(faults.calls(On::Put), 1);
}

#[test]
fn a_broken_listing_is_not_seen_twice() {
    let Case { storage, faults, .. } = case();
    temporary(&faults, On::List, 2);
    assert_eq!(list_sorted(&storage, "").unwrap().len(), 1);
}

#[test]
fn cancelling_ends_it() {
    let Case { storage, faults, waits, cancel, .. } = case();
    temporary(&faults, On::Get, 99);
    cancel.cancel();
    assert!(storage.get("a", 9).unwrap_err().is_temporary());
    assert!(waits.lock().is_empty());
}

#[test]
fn zero_repeats_nothing() {
    let Case { faults, .. } = case();
    let policy = RetryPolicy { give_up_after: Duration::ZERO, ..RetryPolicy::default() };
    let storage = RetryStorage::new(faults.clone(), policy, CancelToken::default());
    temporary(&faults, On::Get, 1);
    assert_eq!(storage.get("a", 9).unwrap_err().source.to_string(), "it was told to fail");
}
