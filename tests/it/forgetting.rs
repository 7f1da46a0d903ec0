//! What retention decides about snapshots as storage has them: clocks that are wrong, records that
//! are forged, storage that refuses deletes.

use std::sync::Arc;

use jiff::tz::TimeZone;
use larder::crypto::Suite;
use larder::error::StorageErrorKind;
use larder::format::log::LogKind;
use larder::model::{Age, BackupId};
use larder::repository::{Author, NewSnapshot, Repository, Snapshot};
use larder::retention::{
    Candidate, Count, GroupBy, MIN_AGE, RetentionPolicy, Setting, Sights, TimeStanding, plan,
};
use larder::runtime::{Clock, TestClock};
use larder::storage::fault::On;

use crate::support::{Lab, LabOptions};

const HOUR_MS: i64 = 3_600_000;

fn lab(seed: u64) -> Lab {
    let options =
        LabOptions { suite: Suite::None, samples: false, entries: 3, ..LabOptions::default() };
    Lab::with(seed, options)
}

fn author() -> Author {
    Author { host: "lab".into(), user: "tester".into() }
}

/// A backup of a machine whose clock is wrong by so much.
fn backup_with_clock(lab: &Lab, wrong_ms: i64) -> Snapshot {
    let ran = lab.try_backup_with(|_, runtime| {
        runtime.clock = Arc::new(TestClock::at_ms(lab.clock.now_ms() + wrong_ms));
    });
    lab.complete(ran).snapshot.expect("a snapshot")
}

/// The snapshots that `--keep-last 1` keeps, by the clock of storage.
fn kept(lab: &Lab, repository: &Repository, min_age: Age) -> Vec<Snapshot> {
    let list = repository.snapshots().expect("lists");
    let now_ms = repository.storage_now_ms("lab", "forget", &lab.runtime()).expect("tells");
    let setting = Setting {
        now_ms: now_ms.expect("a clock"),
        time_zone: TimeZone::UTC,
        min_age,
        group_by: GroupBy::default(),
        allow_empty: false,
    };
    let policy = RetentionPolicy {
        keep_last: Some(Count::Some(1.try_into().expect("one"))),
        ..Default::default()
    };
    let plan = plan(&Candidate::all_of(&list), &policy, &setting).expect("a plan");
    let kept = plan.decisions().filter(|decision| decision.is_kept());
    kept.map(|decision| list.snapshots[decision.at].clone()).collect()
}

#[test]
fn wrong_clocks_push_nothing_out() {
    let lab = lab(300);
    let honest = lab.backup().snapshot.expect("a snapshot");
    let ahead = backup_with_clock(&lab, 72 * HOUR_MS);
    let behind = backup_with_clock(&lab, -400 * HOUR_MS);
    let hours_off = backup_with_clock(&lab, 5 * HOUR_MS);
    lab.clock.advance_ms(48 * HOUR_MS);
    let repository = lab.open();
    let list = repository.snapshots().expect("lists");
    for (snapshot, candidate) in list.snapshots.iter().zip(Candidate::all_of(&list)) {
        let standing = candidate.time_standing();
        let is_right = match standing {
            TimeStanding::InTime => snapshot.id == honest.id || snapshot.id == hours_off.id,
            TimeStanding::PostDated(ms) => snapshot.id == ahead.id && ms > 70 * HOUR_MS,
            TimeStanding::BackDated(ms) => snapshot.id == behind.id && ms > 398 * HOUR_MS,
            TimeStanding::Unknown => false,
        };
        assert!(is_right, "{standing:?}");
    }
    // The last one in time is kept, and those about whose time nobody can decide.
    let ids = |kept: Vec<Snapshot>| kept.iter().map(|one| one.id).collect::<Vec<_>>();
    let mut wanted = [hours_off.id, ahead.id, behind.id];
    let mut found = ids(kept(&lab, &repository, MIN_AGE));
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
    // Until somebody at this machine says that its time is right.
    let known: Vec<&Snapshot> = list.snapshots.iter().filter(|one| one.id == ahead.id).collect();
    let runtime = lab.runtime();
    let said =
        repository.append_about(LogKind::Clear, &known, "looked", &author(), &list, &runtime);
    said.expect("says so");
    let mut found = ids(kept(&lab, &repository, MIN_AGE));
    let mut wanted = [ahead.id, behind.id];
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
}

/// What another machine cleared does not count here: it may be the one that forged it.
#[test]
fn others_cannot_clear_for_this_machine() {
    let lab = lab(301);
    let forged = backup_with_clock(&lab, -400 * HOUR_MS);
    let other = lab.beside(302);
    let repository = other.open();
    let list = repository.snapshots().expect("lists");
    let all: Vec<&Snapshot> = list.snapshots.iter().collect();
    let runtime = other.runtime();
    let said = repository.append_about(LogKind::Clear, &all, "", &author(), &list, &runtime);
    said.expect("says so");
    let standing = |lab: &Lab| {
        let list = lab.open().snapshots().expect("lists");
        assert_eq!(list.snapshots[0].id, forged.id);
        Candidate::all_of(&list)[0].time_standing()
    };
    assert_eq!(standing(&other), TimeStanding::InTime);
    assert!(matches!(standing(&lab), TimeStanding::BackDated(_)));
}

/// Append-only storage tells the time, and takes tombstones and their undoing.
#[test]
fn storage_that_refuses_deletes_can_be_used() {
    let lab = lab(303);
    let snapshot = lab.backup().snapshot.expect("a snapshot");
    let repository = lab.open();
    lab.storage.fail_times(On::Delete, 1, u64::MAX, StorageErrorKind::Denied);
    let runtime = lab.runtime();
    let now_ms = repository.storage_now_ms("lab", "forget", &runtime).expect("tells");
    assert_eq!(now_ms, Some(lab.clock.now_ms()), "storage's clock, and not that of the machine");
    let list = repository.snapshots().expect("lists");
    let all: Vec<&Snapshot> = list.snapshots.iter().collect();
    repository
        .append_about(LogKind::Forget, &all, "", &author(), &list, &runtime)
        .expect("forgets");
    let list = repository.snapshots().expect("lists");
    assert_eq!((list.snapshots.len(), list.forgotten.len()), (0, 1));
    let forgotten: Vec<_> = list.forgotten.iter().collect();
    larder::commit::undelete(&repository, &forgotten, &|_| true, &author(), &list, &runtime)
        .expect("takes it back");
    let list = repository.snapshots().expect("lists");
    assert_eq!(list.snapshots[0].id, snapshot.id);
}

/// Commits a snapshot as somebody would who has the keys.
fn planted(lab: &Lab, like: &Snapshot, change: impl Fn(&mut NewSnapshot)) -> Snapshot {
    let repository = lab.open();
    let (session, _) = repository.begin_session("test", "lab", &lab.runtime()).expect("begins");
    let (host, user) = (like.host.clone(), like.user.clone());
    let mut new = NewSnapshot { id: BackupId([99; 16]), host, user, body: like.body.clone() };
    new.body.original = Some(like.id);
    change(&mut new);
    let list = repository.snapshots().expect("lists");
    let done = repository.commit_snapshot(new, &session, &list, &lab.runtime());
    session.end().expect("ends");
    done.expect("commits")
}

/// Whoever has snapshots of one machine cannot lend their times to those of another.
#[test]
fn first_sights_are_borrowed_within_a_series_only() {
    let lab = lab(304);
    let own = lab.backup().snapshot.expect("a snapshot");
    lab.clock.advance_ms(400 * HOUR_MS);
    let standing = |change: fn(&mut NewSnapshot)| {
        let lab = lab.fork();
        let made = planted(&lab, &own, change);
        let list = lab.open().snapshots().expect("lists");
        let at = list.snapshots.iter().position(|one| one.record == made.record);
        Candidate::all_of(&list)[at.expect("is there")].time_standing()
    };
    let is_back_dated = |standing| matches!(standing, TimeStanding::BackDated(_));
    assert_eq!(standing(|_| ()), TimeStanding::InTime);
    assert!(is_back_dated(standing(|new| new.host = "victim".into())));
    assert!(is_back_dated(standing(|new| new.body.roots.truncate(0))));
    assert!(is_back_dated(standing(|new| new.body.start_ms -= 1)));
}

/// Taking back a forget makes nothing look better than it did.
#[test]
fn what_was_said_of_a_snapshot_holds_when_it_is_undeleted() {
    let lab = lab(305);
    let good = lab.backup().snapshot.expect("a snapshot");
    let pinned = lab.backup().snapshot.expect("a snapshot");
    let doubtful = lab.backup().snapshot.expect("a snapshot");
    let back_dated = backup_with_clock(&lab, -400 * HOUR_MS);
    let repository = lab.open();
    let runtime = lab.runtime();
    let say = |kind, about: &[&Snapshot]| {
        let list = repository.snapshots().expect("lists");
        let said = repository.append_about(kind, about, "forged?", &author(), &list, &runtime);
        said.expect("says so");
    };
    say(LogKind::Pin, &[&pinned]);
    say(LogKind::Quarantine, &[&doubtful]);
    say(LogKind::Forget, &[&good, &pinned, &doubtful, &back_dated]);
    lab.clock.advance_ms(100 * HOUR_MS);
    let list = repository.snapshots().expect("lists");
    let all: Vec<_> = list.forgotten.iter().collect();
    assert_eq!(all.len(), 4);
    let sights = Sights::of(&list);
    let is_in_time = |one: &Snapshot| sights.candidate(one).retention_ms().is_some();
    larder::commit::undelete(&repository, &all, &is_in_time, &author(), &list, &runtime)
        .expect("takes it back");
    // Another machine sees the same: the old records still tell when they appeared.
    for lab in [&lab, &lab.beside(306)] {
        let list = lab.open().snapshots().expect("lists");
        assert_eq!(list.snapshots.len(), 4);
        for (one, candidate) in list.snapshots.iter().zip(Candidate::all_of(&list)) {
            assert_eq!(one.pinned, one.id == pinned.id);
            let why = (one.id == doubtful.id).then(|| "forged?".to_owned());
            assert_eq!(one.quarantine, why);
            let is_out_of_time = candidate.retention_ms().is_none();
            assert_eq!(is_out_of_time, one.id == back_dated.id, "{candidate:?}");
        }
    }
}
