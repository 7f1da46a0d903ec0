//! Storage that fails: any call of a run, in any way. The run ends with an error that says
//! something or succeeds, older snapshots stay whole, and the next run completes.

use larder::crypto::Suite;
use larder::error::{Error, StorageErrorKind};
use larder::storage::fault::{Fault, On, Rule};

use crate::rounds;
use crate::support::{Lab, LabOptions};

/// A repository with one snapshot and changes that wait to be backed up.
fn lab(seed: u64, suite: Suite) -> Lab {
    let mut lab =
        Lab::with(seed, LabOptions { suite, samples: false, entries: 20, ..LabOptions::default() });
    lab.backup_named("before");
    lab.tree().edit(6);
    lab.tree().add_noise("noise", 150_000);
    lab
}

/// Runs a backup with `fault` at its `nth` call of a kind, and looks at what is left.
fn assert_survives(lab: &Lab, on: On, nth: u64, fault: Fault) {
    let what = format!("{fault:?} at call {nth} of {on:?}");
    let is_lie = matches!(fault, Fault::TearUnnoticed(_));
    let lab = lab.fork();
    lab.storage.inject(Rule { on, prefix: String::new(), nth, times: 1, fault });
    match lab.try_backup() {
        Ok(report) => assert!(report.snapshot.is_some(), "{what}"),
        Err(error) => assert_says_something(&error, &what),
    }
    lab.storage.heal();
    if !is_lie {
        lab.assert_whole_beside_bad(&what);
    }
    // A run that believed what it was told made a snapshot that may be lost; older ones are not.
    assert_recovers(&lab, &what);
    if !is_lie {
        lab.assert_whole_beside_bad(&what);
    }
}

/// Storage works again: older snapshots are whole, and the next run completes.
fn assert_recovers(lab: &Lab, what: &str) {
    lab.assert_remembered_whole(what);
    let report = lab.try_backup().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(report.is_complete(), "{what}: {:?}", report.stats);
    lab.assert_remembered_whole(what);
    let repository = lab.try_open().expect("opens");
    repository.load_index().expect("loads the index");
    let snapshot = report.snapshot.expect("a snapshot");
    let read = lab.read(&repository, &snapshot).unwrap_or_else(|error| panic!("{what}: {error}"));
    lab.live_copy().assert_same(&read, what);
}

fn assert_says_something(error: &Error, what: &str) {
    let text = error.to_string();
    assert!(text.len() > 10 && !text.contains("panicked"), "{what}: {text}");
    assert!(!matches!(error, Error::Internal { .. }), "{what}: {text}");
    let source = std::error::Error::source(error);
    assert!(
        !matches!(error, Error::Damaged { .. }) || source.is_none(),
        "{what}: failing storage is not damage: {text}"
    );
}

/// How many calls of a kind a run makes that nothing disturbs.
fn calls(lab: &Lab, on: On) -> u64 {
    let lab = lab.fork();
    lab.backup();
    lab.storage.calls(on)
}

#[test]
fn a_call_that_fails_ends_the_run_or_not_and_harms_nothing() {
    let lab = lab(20, Suite::Aes256);
    let kinds =
        [StorageErrorKind::Permanent, StorageErrorKind::Temporary, StorageErrorKind::Missing];
    for nth in 1..=calls(&lab, On::Any) {
        for (number, kind) in (0_u64..).zip(kinds) {
            if (nth + number).is_multiple_of(rounds(3, 1)) {
                assert_survives(&lab, On::Any, nth, Fault::Fail(kind));
            }
        }
    }
}

/// The object is there, but the client does not know: what it does next must not depend on it.
#[test]
fn an_answer_that_gets_lost_harms_nothing() {
    let lab = lab(21, Suite::Aes256);
    for nth in 1..=calls(&lab, On::Write) {
        assert_survives(&lab, On::Write, nth, Fault::LoseAnswer);
    }
}

/// Half an object under its final name, with and without an error. No storage should do that, and
/// some do.
#[test]
fn a_torn_write_harms_nothing_older() {
    let lab = lab(22, Suite::Aes256);
    for nth in 1..=calls(&lab, On::Put) {
        for keep in [0, 1, 63, 100, 5000] {
            if (nth + keep as u64).is_multiple_of(rounds(2, 1)) {
                assert_survives(&lab, On::Put, nth, Fault::Tear(keep));
            } else {
                assert_survives(&lab, On::Put, nth, Fault::TearUnnoticed(keep));
            }
        }
    }
}

/// What is read is shorter than it should be, or has a bit changed on the way. It is the same as
/// damage for the run, and forgotten in the next.
#[test]
fn reads_that_lie_harm_nothing() {
    let lab = lab(23, Suite::Aes256);
    for nth in 1..=calls(&lab, On::Get) {
        for (number, at) in (0..).zip([40, 150, 100_000]) {
            if (nth + number).is_multiple_of(rounds(2, 1)) {
                assert_survives(&lab, On::Get, nth, Fault::FlipBit(at));
            } else {
                assert_survives(&lab, On::Get, nth, Fault::Shorten(at));
            }
        }
    }
}

/// The storage fills up after every number of bytes that makes a difference. Nothing is damaged,
/// the error says so, and with room again the run goes on.
#[test]
fn a_full_disk_is_named_and_harms_nothing() {
    let lab = lab(24, Suite::Aes256);
    let whole = lab.fork();
    whole.record.clear();
    whole.backup();
    let mut sum = 0;
    let mut limits = vec![0];
    for write in whole.record.writes() {
        let len = write.bytes.map_or(0, |bytes| bytes.len() as u64);
        limits.extend([sum + len / 2, (sum + len).saturating_sub(1)]);
        sum += len;
    }
    for limit in limits {
        let what = format!("full after {limit} of {sum} bytes");
        let lab = lab.fork();
        lab.storage.fill_after_bytes(limit);
        let kind = match lab.try_backup() {
            Err(Error::Storage(error)) => Some(error.kind),
            Err(error) => panic!("{what}: {error}"),
            // Packs are put together at random: it may have needed less this time.
            Ok(_) => None,
        };
        assert!(matches!(kind, None | Some(StorageErrorKind::Full)), "{what}: {kind:?}");
        lab.storage.heal();
        lab.assert_whole_beside_bad(&what);
        assert_recovers(&lab, &what);
    }
}

/// Reading is no run: a failing call fails that one thing, and the next try works.
#[test]
fn opening_and_reading_fail_cleanly() {
    let mut lab = lab(25, Suite::Aes256);
    lab.backup_named("second");
    let try_read = |lab: &Lab| -> Result<(), Error> {
        let repository = lab.try_open()?;
        repository.load_index()?;
        let list = repository.snapshots()?;
        for snapshot in &list.snapshots {
            lab.read(&repository, snapshot)?;
        }
        Ok(())
    };
    let counting = lab.fork();
    try_read(&counting).expect("reads");
    for nth in 1..=counting.storage.calls(On::Any) {
        let lab = lab.fork();
        lab.storage.fail_nth(On::Any, nth, StorageErrorKind::Temporary);
        let what = format!("call {nth}");
        match try_read(&lab) {
            Ok(()) => {}
            Err(Error::Storage(error)) => assert!(error.is_temporary(), "{what}: {error}"),
            Err(error) => panic!("{what}: {error}"),
        }
        lab.storage.heal();
        lab.assert_all_whole(&what);
    }
}
