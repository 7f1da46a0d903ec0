use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::error::StorageErrorKind;
use crate::runtime::{SystemClock, TestClock};
use crate::storage::fault::{Fault, FaultStorage, On, Rule};
use crate::storage::{LocalStorage, MemoryStorage, list_sorted};

fn probed(storage: &dyn Storage) -> Probe {
    probe(storage, &SystemClock, &Random::os(), &CancelToken::default()).unwrap()
}

fn verdict(probe: &Probe, check: &str) -> Verdict {
    let found = probe.findings.iter().find(|finding| finding.check == check);
    found.unwrap_or_else(|| panic!("{check} was not tried: {probe:?}")).verdict
}

#[test]
fn a_good_place_is_good_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let local = LocalStorage::open(dir.path(), "place".into()).unwrap();
    let found = probed(&local);
    assert_eq!(found.verdict(), Verdict::Good, "{found:?}");
    assert_eq!(found.clock_ahead_ms, Some(0));
    assert!(found.left.is_empty() && list_sorted(&local, "").unwrap().is_empty());
}

#[test]
fn a_place_that_refuses_deletes_says_so_and_gets_nothing_large() {
    let memory = Arc::new(MemoryStorage::new());
    let faults = FaultStorage::new(memory.clone());
    faults.fail_times(On::Delete, 1, u64::MAX, StorageErrorKind::Denied);
    let found = probed(&faults);
    assert_eq!(verdict(&found, "delete"), Verdict::Note);
    assert!(!found.left.is_empty());
    let kept: u64 = list_sorted(&*memory, "").unwrap().iter().map(|meta| meta.len).sum();
    assert!(kept <= 64 << 10, "{kept} bytes stay");
}

#[test]
fn wrong_bytes_fail_and_no_answer_is_an_error() {
    let faults = FaultStorage::new(Arc::new(MemoryStorage::new()));
    faults.inject(Rule {
        on: On::Get,
        prefix: String::new(),
        nth: 1,
        times: 1,
        fault: Fault::FlipBit(7),
    });
    assert_eq!(verdict(&probed(&faults), "read after write"), Verdict::Fails);
    faults.fail_times(On::Put, 1, 1, StorageErrorKind::Denied);
    let refused = probe(&faults, &SystemClock, &Random::os(), &CancelToken::default());
    assert_eq!(refused.unwrap_err().kind, StorageErrorKind::Denied);
}

#[test]
fn clocks_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let local = LocalStorage::open(dir.path(), "place".into()).unwrap();
    for (late, expected) in [
        (0, Verdict::Good),
        (5 * 60, Verdict::Note),
        (3600, Verdict::Warning),
        (-3600, Verdict::Warning),
    ] {
        let clock = TestClock::at_ms(crate::runtime::SystemClock.now_ms() - late * 1000);
        let found = probe(&local, &clock, &Random::os(), &CancelToken::default()).unwrap();
        assert_eq!(verdict(&found, "clock"), expected, "{late} s: {found:?}");
        let ahead = Duration::from_millis(found.clock_ahead_ms.unwrap().unsigned_abs());
        assert!(ahead.as_secs().abs_diff(late.unsigned_abs()) < 60, "{ahead:?}");
    }
}
