//! Storage that fails: any call of a run, in any way. The run ends with an error that says
//! something or succeeds, older snapshots stay whole, and the next run completes.

use larder::archive::{BackupOptions, backup};
use larder::chunker::{ChunkerParams, SizeClass};
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

/// Storage that stops after three writes in every run: each run goes on from what the one before
/// left, so that there is an end.
#[test]
fn runs_that_are_stopped_again_and_again_get_there() {
    let params = ChunkerParams::for_average(2 << 20).expect("parameters");
    let classes = Some(vec![SizeClass { below: u64::MAX, params }]);
    let (suite, pack_target) = (Suite::None, 1);
    let options = LabOptions { classes, suite, pack_target, entries: 5, ..LabOptions::default() };
    let mut lab = Lab::with(26, options);
    for n in 0..8_u64 {
        let path = lab.tree().path(format!("file{n}"));
        std::fs::write(path, (n + 1).to_le_bytes().repeat(1 << 17)).expect("writes");
    }
    let mut runs = 0;
    let report = loop {
        runs += 1;
        assert!(runs < 40, "it never ends");
        lab.storage.fail_after_writes(4);
        let ran = lab.try_backup();
        lab.storage.heal();
        match ran {
            Ok(report) => break report,
            Err(error) => assert_says_something(&error, "stopped"),
        }
    };
    assert!(runs > 3, "{runs} runs");
    lab.remember("at last", &report);
    lab.assert_restores_identical("at last");
    lab.assert_all_whole("at last");
}

/// A program that stays open, as a server does, runs backup after backup on one open repository.
/// What a run meant to store and did not get to is stored by the next.
#[test]
fn a_run_that_failed_leaves_nothing_behind_in_an_open_repository() {
    let lab = lab(27, Suite::None);
    let writes = calls(&lab, On::Write);
    for stop_after in 0..writes {
        let mut lab = lab.fork();
        let repository = lab.open();
        lab.storage.fail_after_writes(stop_after);
        let stopped = backup(&repository, &lab.backup_options(), &lab.runtime());
        lab.storage.heal();
        let dry = BackupOptions { dry_run: true, ..lab.backup_options() };
        backup(&repository, &dry, &lab.runtime()).expect("counts");
        let cancelled = lab.runtime();
        cancelled.cancel.cancel();
        assert!(backup(&repository, &lab.backup_options(), &cancelled).is_err());
        let report = backup(&repository, &lab.backup_options(), &lab.runtime());
        let report = report.unwrap_or_else(|error| panic!("stopped after {stop_after}: {error}"));
        lab.remember("after", &report);
        lab.assert_all_whole(&format!("stopped after {stop_after}: {stopped:?}"));
    }
}

/// A clock that jumps: snapshots may be out of order, their content never is.
#[test]
fn a_clock_that_jumps_hides_no_change() {
    let mut lab = lab(28, Suite::None);
    for (number, jump_ms) in [-90_000_000, 1, 900_000_000_000, -900_000_000_000].iter().enumerate()
    {
        lab.clock.advance_ms(*jump_ms);
        lab.tree().edit(6);
        let name = number.to_string();
        lab.backup_named(&name);
        lab.assert_restores_identical(&name);
    }
    lab.assert_all_whole("after all jumps");
}
