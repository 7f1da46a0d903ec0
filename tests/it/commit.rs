//! The last steps of a backup against a prune that works meanwhile: marks, fences, and data that is
//! gone when a writer wakes up.

use std::sync::Arc;

use larder::commit::{clear_suspects, commit, undelete};
use larder::error::Error;
use larder::format::log::LogKind;
use larder::manager::{RewriteOptions, TagChange, rewrite};
use larder::model::{BackupId, ObjectHash};
use larder::repository::{Author, NewSnapshot, Repository, Snapshot};
use larder::runtime::{Phase, Progress};
use larder::source::WalkOptions;
use larder::storage::Storage;

use crate::support::Lab;

/// Does something when the run has stored everything and is about to commit.
struct BeforeCommit<F>(F);

impl<F: Fn() + Send + Sync> Progress for BeforeCommit<F> {
    fn phase(&self, phase: Phase) {
        if phase == Phase::Committing {
            (self.0)();
        }
    }
}

fn packs(repository: &Repository) -> Vec<ObjectHash> {
    repository.index().packs().into_iter().map(|(_, info)| info.hash).collect()
}

fn author() -> Author {
    Author { host: "lab".into(), user: "tester".into() }
}

const GC: BackupId = BackupId([7; 16]);

/// Removes packs as a prune does that has waited for everybody.
fn drop_packs(lab: &Lab, repository: &Repository, packs: &[ObjectHash]) {
    repository.put_drop_list(GC, packs, 0).expect("puts");
    for name in lab.memory.names() {
        if packs.iter().any(|pack| name.ends_with(&pack.to_string())) {
            lab.memory.delete(&name).expect("deletes");
        }
    }
}

/// Packs that are condemned while a backup runs may go the moment it has committed.
#[test]
fn what_is_condemned_during_a_run_is_copied() {
    let mut lab = Lab::seeded(301);
    lab.backup_named("first");
    lab.tree().edit(5);
    let old = packs(&lab.open());
    let other = Arc::new(lab.open());
    let (at_commit, condemned) = (Arc::clone(&other), old.clone());
    let report = lab.try_backup_with(|_, runtime| {
        runtime.progress = Arc::new(BeforeCommit(move || {
            at_commit.put_mark(GC, &condemned, &[], 0).expect("puts");
        }));
    });
    let report = lab.complete(report);
    drop_packs(&lab, &other, &old);
    let repository = lab.open();
    let list = repository.snapshots().expect("lists");
    let second = &list.snapshots[1];
    assert_eq!(second.id, report.snapshot.expect("committed").id);
    let restored = lab.restore(&repository, second).expect("restores");
    assert_eq!(restored, lab.live_copy());
}

/// The machine slept, its session was fenced, and everything is still there.
#[test]
fn a_fenced_run_verifies_everything_and_clears_itself() {
    let mut lab = Lab::seeded(302);
    lab.backup_named("first");
    lab.tree().edit(5);
    let other = Arc::new(lab.open());
    for (round, after_commit) in [false, true].into_iter().enumerate() {
        let repository = lab.open();
        let (session, _) = repository.begin_session("test", "lab", &lab.runtime()).expect("begins");
        let known = repository.snapshots().expect("lists");
        let mut new = NewSnapshot {
            id: BackupId([round as u8; 16]),
            host: "lab".into(),
            user: "tester".into(),
            body: known.snapshots[0].body.clone(),
        };
        new.body.start_ms += 1 + round as i64;
        if after_commit {
            // A second commit of a session does not rest on what the first one looked at.
            let first = NewSnapshot { id: BackupId([9; 16]), ..new.clone() };
            commit(&repository, &session, first, &known, &lab.runtime()).expect("commits");
        }
        other.put_fence(GC, session.id(), 0).expect("puts");
        let snapshot = commit(&repository, &session, new, &known, &lab.runtime()).expect("commits");
        session.end().expect("ends");
        let list = lab.open().snapshots().expect("lists");
        let found = list.snapshots.iter().find(|s| s.id == snapshot.id).expect("is there");
        assert!(!found.suspect, "it is not the fenced session that wrote it, or it was cleared");
    }
    let (open, bad) = other.load_sessions().expect("lists");
    assert!(bad.is_empty(), "{bad:?}");
    assert!(open.iter().all(|session| session.ended), "{open:?}");
}

/// A fence that came late makes a snapshot suspect; whoever finds all of it there says so.
#[test]
fn suspects_are_cleared_if_they_are_whole() {
    let mut lab = Lab::seeded(305);
    lab.backup_named("whole");
    lab.tree().edit(5);
    lab.backup_named("broken");
    let repository = lab.open();
    let list = repository.snapshots().expect("lists");
    for snapshot in &list.snapshots {
        repository.put_fence(GC, snapshot.session_id, 0).expect("puts");
    }
    // The second one loses what the first one does not need.
    let body = &list.snapshots[1].body;
    let root = repository.index().find(&body.root.0).expect("is there");
    let pack = repository.index().pack(root.pack);
    lab.memory.delete(&pack.object_name()).expect("deletes");

    let repository = lab.open();
    let list = repository.snapshots().expect("lists");
    assert!(list.snapshots.iter().all(|snapshot| snapshot.suspect));
    let suspects: Vec<&Snapshot> = list.snapshots.iter().collect();
    let done = clear_suspects(&repository, &suspects, &author(), &list, &lab.runtime());
    let done = done.expect("looks");
    assert_eq!(done.cleared, [suspects[0].id]);
    assert!(matches!(&done.incomplete[..], [(id, _)] if *id == suspects[1].id));
    let list = repository.snapshots().expect("lists");
    let suspect: Vec<bool> = list.snapshots.iter().map(|snapshot| snapshot.suspect).collect();
    assert_eq!(suspect, [false, true]);
}

/// A prune went on without a machine that slept: what it took is read from the source again.
#[test]
fn a_run_that_lost_its_ground_starts_anew() {
    let mut lab = Lab::seeded(303);
    lab.backup_named("first");
    let old = packs(&lab.open());
    let other = Arc::new(lab.open());
    let fork = lab.fork();
    let taken = std::sync::atomic::AtomicBool::new(false);
    let (memory, condemned) = (Arc::clone(&fork.memory), old.clone());
    let at_commit = Arc::new(fork.open());
    let report = fork.try_backup_with(|_, runtime| {
        runtime.progress = Arc::new(BeforeCommit(move || {
            if taken.swap(true, std::sync::atomic::Ordering::SeqCst) {
                return;
            }
            let (sessions, _) = at_commit.load_sessions().expect("lists");
            for session in sessions.iter().filter(|session| !session.ended) {
                at_commit.put_fence(GC, session.id, 0).expect("puts");
            }
            at_commit.put_drop_list(GC, &condemned, 0).expect("puts");
            for name in memory.names() {
                if condemned.iter().any(|pack| name.ends_with(&pack.to_string())) {
                    memory.delete(&name).expect("deletes");
                }
            }
        }));
    });
    let report = fork.complete(report);
    drop(other);
    let repository = fork.open();
    let list = repository.snapshots().expect("lists");
    let id = report.snapshot.expect("committed").id;
    let second = list.snapshots.iter().find(|s| s.id == id).expect("is there");
    assert!(!second.suspect);
    assert_eq!(fork.restore(&repository, second).expect("restores"), fork.live_copy());
}

/// A forget is taken back as long as the data is there, and never half.
#[test]
fn undelete_brings_back_what_is_there() {
    let mut lab = Lab::seeded(304);
    lab.backup_named("first");
    let repository = lab.open();
    let list = repository.snapshots().expect("lists");
    let first = list.snapshots[0].clone();
    let forget = |list: &larder::repository::SnapshotList, snapshot: &Snapshot| {
        repository
            .append_about(LogKind::Forget, &[snapshot], "old", &author(), list, &lab.runtime())
            .expect("forgets");
        repository.snapshots().expect("lists")
    };
    let list = forget(&list, &first);
    assert!(list.snapshots.is_empty() && list.forgotten.len() == 1);
    let all: Vec<_> = list.forgotten.iter().collect();
    let done = undelete(&repository, &all, &|_| true, &author(), &list, &lab.runtime())
        .expect("undeletes");
    assert_eq!((done.len(), done[0].id), (1, first.id));
    lab.assert_all_whole("undeleted");
    // A prune is about to remove data and records: there are new packs, and the new record stays.
    let list = forget(&repository.snapshots().expect("lists"), &done[0]);
    assert_eq!(list.forgotten.len(), 2, "the old record, and the new one");
    let old = packs(&repository);
    repository.put_mark(GC, &old, &[first.record, done[0].record], 0).expect("puts");
    let last = list.forgotten.iter().rfind(|gone| gone.snapshot.record == done[0].record);
    let last = last.expect("is there");
    let done = undelete(&repository, &[last], &|_| true, &author(), &list, &lab.runtime());
    let done = done.expect("undeletes").remove(0);
    drop_packs(&lab, &repository, &old);
    for gone in &list.forgotten {
        lab.memory.delete(&gone.snapshot.object_name).expect("deletes");
    }
    lab.assert_all_whole("its packs and old records are gone");
    // Its data is gone: it stays forgotten.
    forget(&repository.snapshots().expect("lists"), &done);
    repository.load_index().expect("loads");
    let new = packs(&repository);
    drop_packs(&lab, &repository, &new);
    let list = repository.snapshots().expect("lists");
    let all: Vec<_> = list.forgotten.iter().collect();
    let failed = undelete(&repository, &all, &|_| true, &author(), &list, &lab.runtime());
    assert!(matches!(failed, Err(Error::Overtaken { .. })), "{failed:?}");
    assert!(repository.snapshots().expect("lists").snapshots.is_empty());
}

/// A snapshot that is made from another one looks nothing up while it is made: what was condemned
/// before is found, and copied, before it is committed.
#[test]
fn what_is_made_from_a_snapshot_outlives_its_packs() {
    let mut lab = Lab::seeded(306);
    lab.backup_named("first");
    let repository = lab.open();
    let list = repository.snapshots().expect("lists");
    let old = packs(&repository);
    repository.put_mark(GC, &old, &[list.snapshots[0].record], 0).expect("puts");
    let options = RewriteOptions {
        exclude: WalkOptions::default(),
        tags: TagChange { add: vec!["new".into()], ..TagChange::default() },
        host: None,
        description: None,
        time_ms: None,
        forget: false,
        dry_run: false,
        author: author(),
    };
    let all: Vec<&Snapshot> = list.snapshots.iter().collect();
    let done = rewrite(&repository, &all, &list, &options, &lab.runtime()).expect("rewrites");
    let id = done[0].snapshot.as_ref().expect("is new").id;
    drop_packs(&lab, &repository, &old);
    lab.memory.delete(&list.snapshots[0].object_name).expect("deletes");
    let repository = lab.open();
    let after = repository.snapshots().expect("lists");
    let new = after.snapshots.iter().find(|one| one.id == id).expect("is there");
    assert_eq!(lab.restore(&repository, new).expect("restores"), lab.live_copy());
    // What is gone cannot be made anew.
    drop_packs(&lab, &repository, &packs(&repository));
    let again = RewriteOptions { host: Some("mail".into()), ..options };
    let failed = rewrite(&repository, &[new], &after, &again, &lab.runtime());
    assert!(matches!(failed, Err(Error::Overtaken { .. })), "{failed:?}");
}

fn copy_of_first(known: &larder::repository::SnapshotList, id: u8) -> NewSnapshot {
    let mut new = NewSnapshot {
        id: BackupId([id; 16]),
        host: "lab".into(),
        user: "tester".into(),
        body: known.snapshots[0].body.clone(),
    };
    new.body.start_ms += i64::from(id);
    new
}

/// Storage's time was set back: a prune took the session for one that came after its mark, and was
/// through with it before the commit.
#[test]
fn what_is_dropped_during_a_run_is_copied_or_missed() {
    for deleted in [false, true] {
        let mut lab = Lab::seeded(310);
        lab.backup_named("first");
        let repository = lab.open();
        let (session, _) = repository.begin_session("test", "lab", &lab.runtime()).expect("begins");
        let known = repository.snapshots().expect("lists");
        let new = copy_of_first(&known, 3);
        let other = lab.open();
        let old = packs(&other);
        match deleted {
            true => drop_packs(&lab, &other, &old),
            false => drop(other.put_drop_list(GC, &old, 0).expect("puts")),
        }
        let committed = commit(&repository, &session, new, &known, &lab.runtime());
        if deleted {
            assert!(matches!(committed, Err(Error::Overtaken { .. })), "{committed:?}");
            continue;
        }
        let snapshot = committed.expect("commits");
        session.end().expect("ends");
        drop_packs(&lab, &other, &old);
        let restored = lab.restore(&lab.open(), &snapshot).expect("restores");
        assert_eq!(restored, lab.live_copy());
    }
}

/// A fence is a fence, whatever can be read of it.
#[test]
fn a_damaged_fence_counts() {
    let mut lab = Lab::seeded(311);
    lab.backup_named("first");
    let repository = lab.open();
    let (session, _) = repository.begin_session("test", "lab", &lab.runtime()).expect("begins");
    let known = repository.snapshots().expect("lists");
    lab.open().put_fence(GC, session.id(), 0).expect("puts");
    let name = format!("gc/fence-{}-{GC}", session.id());
    assert!(lab.memory.damage(&name, |bytes| bytes.truncate(40)));
    assert!(repository.load_gc().expect("loads").is_fenced(session.id()));
    let new = copy_of_first(&known, 4);
    let snapshot = commit(&repository, &session, new, &known, &lab.runtime()).expect("commits");
    assert_ne!(snapshot.session_id, session.id(), "it was committed by a session that is fenced");
}
