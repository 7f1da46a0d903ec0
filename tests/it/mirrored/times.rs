//! Snapshots that reach a mirror late keep their times there, if whoever copies them has the keys.

use larder::crypto::Suite;
use larder::manager::{Mirrors, SyncedMirror};
use larder::mirror::{SyncOptions, sync};
use larder::model::MirrorPolicy;
use larder::retention::{Candidate, TimeStanding};

use super::trio::Trio;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Two snapshots, a day apart, that no mirror has.
fn behind(seed: u64) -> Trio {
    let mut trio = Trio::new(seed, Suite::Aes256);
    trio.policy = Some(MirrorPolicy::Async);
    for name in ["one", "two"] {
        trio.backup_named(name);
        trio.lab.tree().edit(3);
        trio.lab.clock.advance_ms(DAY_MS);
    }
    trio
}

fn synced(trio: &Trio) -> Vec<SyncedMirror> {
    let repository = trio.open();
    let mirrors = Mirrors::of(&repository, trio.connector());
    let synced = mirrors.sync(&[], false, &trio.lab.runtime()).expect("syncs");
    assert!(synced.iter().all(|one| one.outcome.as_ref().is_ok_and(|r| r.is_complete())));
    synced
}

/// How the times of the snapshots at a place alone stand.
fn standings(trio: &Trio, number: usize) -> Vec<TimeStanding> {
    let list = trio.try_open_alone(number).expect("opens").snapshots().expect("lists");
    Candidate::all_of(&list).iter().map(Candidate::time_standing).collect()
}

fn records(trio: &Trio) -> usize {
    trio.names(0).iter().filter(|name| name.starts_with("snapshots/")).count()
}

#[test]
fn a_sync_with_keys_says_when_late_snapshots_were_made() {
    let trio = behind(40);
    trio.lab.clock.advance_ms(DAY_MS);
    synced(&trio);
    for number in 0..3 {
        assert_eq!(standings(&trio, number), [TimeStanding::InTime; 2], "{number}");
    }
    trio.assert_equal("synced");
    trio.assert_all_sound("synced");
    assert_eq!(trio.open().debts().expect("lists"), []);
    // Once is enough: nothing is written when nothing is late.
    assert_eq!(records(&trio), 3);
    synced(&trio);
    trio.lab.clock.advance_ms(DAY_MS);
    synced(&trio);
    assert_eq!(records(&trio), 3);
}

#[test]
fn a_sync_in_time_writes_nothing() {
    let mut trio = Trio::new(41, Suite::None);
    trio.policy = Some(MirrorPolicy::Async);
    trio.backup_named("one");
    trio.lab.clock.advance_ms(HOUR_MS);
    synced(&trio);
    assert_eq!(records(&trio), 1);
    assert_eq!(standings(&trio, 1), [TimeStanding::InTime]);
}

/// Without keys nobody can say so, and nothing that is late counts.
#[test]
fn without_keys_late_snapshots_are_out_of_time() {
    let trio = behind(42);
    let (from, to) = (trio.place(0), trio.place(1));
    sync(&*from, &*to, &SyncOptions::default(), &trio.lab.runtime()).expect("syncs");
    let out = |standing: &TimeStanding| matches!(standing, TimeStanding::BackDated(_));
    assert!(standings(&trio, 1).iter().any(out), "{:?}", standings(&trio, 1));
    // A sync with keys puts that right later, too.
    synced(&trio);
    assert_eq!(standings(&trio, 1), [TimeStanding::InTime; 2]);
}
