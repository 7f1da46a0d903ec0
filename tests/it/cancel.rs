//! Runs that are told to stop, at any moment: they stop soon, and the next run goes on from what
//! they stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder::chunker::{ChunkerParams, SizeClass};
use larder::crypto::Suite;
use larder::error::Error;
use larder::runtime::{CancelToken, Progress};

use crate::support::{Lab, LabOptions};

/// Cancels at the nth report of a kind.
struct Tripwire {
    cancel: CancelToken,
    left: AtomicU64,
    on: Report,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Report {
    Done,
    Transferred,
    Current,
}

impl Tripwire {
    fn seen(&self, report: Report) {
        if report == self.on && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.cancel.cancel_by_signal(2);
        }
    }
}

impl Progress for Tripwire {
    fn done(&self, _entries: u64, _bytes: u64) {
        self.seen(Report::Done);
    }

    fn transferred(&self, _bytes: u64) {
        self.seen(Report::Transferred);
    }

    fn current(&self, _path: &std::path::Path) {
        self.seen(Report::Current);
    }
}

/// A tree of files that are one chunk and, with such small packs, one pack each.
fn lab(seed: u64) -> Lab {
    let params = ChunkerParams::for_average(2 << 20).expect("parameters");
    let classes = Some(vec![SizeClass { below: u64::MAX, params }]);
    let suite = Suite::None;
    let mut lab = Lab::with(
        seed,
        LabOptions { classes, suite, pack_target: 1, entries: 3, ..LabOptions::default() },
    );
    lab.backup_named("before");
    for n in 0..12_u64 {
        let path = lab.tree().path(format!("file{n}"));
        std::fs::write(path, (n + 1).to_le_bytes().repeat(1 << 17)).expect("writes");
    }
    lab
}

/// Stops a run at a report, and returns the bytes of packs stored by it and by the next one.
fn stop_and_go_on(lab: &Lab, on: Report, nth: u64) -> (u64, u64) {
    let what = format!("stopped at {on:?} {nth}");
    let mut lab = lab.fork();
    let stopped = lab.try_backup_with(|_, runtime| {
        let cancel = runtime.cancel.clone();
        runtime.progress = Arc::new(Tripwire { cancel, left: AtomicU64::new(nth), on });
    });
    match stopped {
        Err(Error::Cancelled { signal: Some(2) }) => {}
        // The last reports come when all is done.
        Ok(report) => assert!(report.snapshot.is_some(), "{what}"),
        Err(error) => panic!("{what}: {error}"),
    }
    lab.assert_all_whole(&what);
    let names = lab.memory.names();
    let sessions = names.iter().filter(|name| name.starts_with("sessions/"));
    let (ended, announced): (Vec<_>, Vec<_>) = sessions.partition(|name| name.ends_with(".end"));
    assert_eq!(announced.len(), ended.len(), "{what}: it said goodbye");
    let first = packs(&lab);
    lab.record.clear();
    lab.backup_named("after");
    lab.assert_all_whole(&what);
    (first, packs(&lab))
}

fn packs(lab: &Lab) -> u64 {
    let put = larder::storage::record::Operation::Put;
    lab.record.count(put, "data/") as u64
}

#[test]
fn a_cancelled_run_stops_and_the_next_goes_on_from_there() {
    let lab = lab(30);
    let (all, _) = stop_and_go_on(&lab, Report::Done, u64::MAX);
    assert!(all >= 12, "{all} packs");
    let mut went_on = 0;
    for (on, numbers) in [
        (Report::Transferred, (1..13).collect::<Vec<_>>()),
        (Report::Done, (1..40).step_by(4).collect()),
        (Report::Current, (1..13).step_by(3).collect()),
    ] {
        for nth in numbers {
            let (first, second) = stop_and_go_on(&lab, on, nth);
            assert!(first + second <= all + 2, "{on:?} {nth}: {first} packs, then {second}");
            went_on += u64::from(first > 0 && second > 0);
            if on == Report::Transferred {
                assert!(first >= nth.min(all), "{first} packs were stored at {nth}");
                assert!(second <= all - first.min(all) + 1, "{nth}: {first}, then {second}");
            }
        }
    }
    assert!(went_on >= 5, "only {went_on} runs were stopped in the middle");
}

/// A token that was cancelled before: nothing is written at all.
#[test]
fn a_run_that_is_cancelled_from_the_start_writes_no_packs() {
    let lab = lab(31);
    lab.record.clear();
    let ran = lab.try_backup_with(|_, runtime| runtime.cancel.cancel());
    assert!(matches!(ran, Err(Error::Cancelled { signal: None })), "{ran:?}");
    assert_eq!(packs(&lab), 0);
    lab.assert_all_whole("cancelled");
}
