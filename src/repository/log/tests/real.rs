//! Real records in memory: several machines, storage that forgets, and machines that do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::crypto::Suite;
use crate::error::{Error, StorageErrorKind};
use crate::format::log::{LogKind, SnapshotBody};
use crate::model::{BackupId, ObjectHash};
use crate::repository::log::chains::Breach;
use crate::repository::{
    Author, InitOptions, KdfCost, NewSnapshot, OpenOptions, RemovedRecords, Repository, Snapshot,
    SnapshotList, Unlock,
};
use crate::runtime::{Random, Runtime};
use crate::storage::fault::{Fault, On, Rule};
use crate::storage::{FaultStorage, MemoryStorage, SharedStorage, Storage};

/// One repository and the machines that use it.
pub(super) struct Lab {
    storage: Arc<MemoryStorage>,
    machines: tempfile::TempDir,
}

impl Lab {
    pub(super) fn new() -> Self {
        let lab = Self {
            storage: Arc::new(MemoryStorage::new()),
            machines: tempfile::tempdir().expect("a folder"),
        };
        let options = InitOptions {
            suite: Suite::None,
            kdf: KdfCost::CheapForTests,
            ..InitOptions::default()
        };
        let open = OpenOptions {
            cache_dir: None,
            state_dir: Some(lab.state("a")),
            ..OpenOptions::default()
        };
        Repository::init(lab.shared(), &[Unlock::Nothing], &options, &open, &Runtime::default())
            .expect("inits");
        lab
    }

    pub(super) fn shared(&self) -> SharedStorage {
        Arc::clone(&self.storage) as SharedStorage
    }

    fn state(&self, machine: &str) -> PathBuf {
        self.machines.path().join(machine)
    }

    fn open(&self, machine: &str) -> Repository {
        self.open_at(machine, self.shared())
    }

    fn open_at(&self, machine: &str, storage: SharedStorage) -> Repository {
        let options = OpenOptions {
            cache_dir: None,
            state_dir: Some(self.state(machine)),
            ..OpenOptions::default()
        };
        Repository::open(storage, &Unlock::Nothing, &options, &Runtime::default()).expect("opens")
    }

    /// A machine that remembers as long as it has the repository open.
    pub(super) fn open_in_memory(&self, storage: SharedStorage) -> Repository {
        let (unlock, options) = (Unlock::Nothing, OpenOptions::default());
        Repository::open(storage, &unlock, &options, &Runtime::default()).expect("opens")
    }

    fn list(&self, machine: &str) -> SnapshotList {
        self.open(machine).snapshots().expect("lists")
    }

    /// A machine makes a snapshot.
    fn snapshot(&self, machine: &str) -> Snapshot {
        snapshot(&self.open(machine), machine).expect("commits")
    }

    fn say(&self, machine: &str, kind: LogKind, about: &Snapshot) {
        let repository = self.open(machine);
        let list = repository.snapshots().expect("lists");
        let runtime = Runtime::default();
        repository
            .append_about(kind, &[about], "test", &author(machine), &list, &runtime)
            .expect("appends");
    }

    /// The repository is what it was: the machines go on with what they remember.
    fn roll_back(&mut self, to: MemoryStorage) {
        self.storage = Arc::new(to);
    }

    fn visible(&self, machine: &str) -> Vec<BackupId> {
        self.list(machine).snapshots.iter().map(|snapshot| snapshot.id).collect()
    }

    fn finish(&self, machine: &str, gone: &[ObjectHash]) -> Result<RemovedRecords, Error> {
        finish(&self.open(machine), machine, gone)
    }
}

pub(super) fn author(machine: &str) -> Author {
    Author { host: machine.into(), user: "ann".into() }
}

pub(super) fn snapshot(repository: &Repository, machine: &str) -> Result<Snapshot, Error> {
    let runtime = Runtime::default();
    let (session, _) = repository.begin_session("snapshot", machine, &runtime)?;
    let known = repository.snapshots()?;
    let new = NewSnapshot {
        id: BackupId(Random::os().bytes()),
        host: machine.into(),
        user: "ann".into(),
        body: SnapshotBody::new(known.snapshots.len() as i64),
    };
    let made = repository.commit_snapshot(new, &session, &known, &runtime)?;
    session.end()?;
    Ok(made)
}

pub(super) fn finish(
    repository: &Repository,
    machine: &str,
    gone: &[ObjectHash],
) -> Result<RemovedRecords, Error> {
    let known = repository.snapshots()?;
    repository.finish_forgotten(gone, &author(machine), &known, &Runtime::default())
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copies");
    }
}

#[test]
fn what_one_machine_says_of_a_snapshot_holds_on_all() {
    let lab = Lab::new();
    let (first, second) = (lab.snapshot("a"), lab.snapshot("b"));
    lab.say("b", LogKind::Forget, &first);
    lab.say("b", LogKind::Pin, &second);
    let list = lab.list("a");
    assert_eq!(list.rollback, []);
    assert_eq!(list.snapshots.len(), 1);
    assert!(list.snapshots[0].pinned && list.snapshots[0].first_seen_ms.is_some());
    assert_eq!(list.forgotten[0].snapshot.id, first.id);
    assert_eq!(list.forgotten[0].reason, "test");
    lab.say("a", LogKind::Undelete, &first);
    assert_eq!(lab.visible("b").len(), 2);
}

#[test]
fn a_rolled_back_repository_is_noticed_here_and_by_all_after_the_next_record() {
    let mut lab = Lab::new();
    lab.snapshot("a");
    let earlier = lab.storage.fork();
    let hidden = lab.snapshot("b");
    assert_eq!(lab.list("a").rollback, []);
    lab.roll_back(earlier);
    for machine in ["a", "b"] {
        let list = lab.list(machine);
        assert!(matches!(list.rollback[..], [Breach::Missing { first: 1, last: 1, .. }]));
        assert!(list.rollback[0].to_string().contains("rolled back"), "{}", list.rollback[0]);
        let error = list.check_history(false).expect_err("refuses");
        assert!(error.hint().is_some_and(|hint| hint.contains("--accept-history")));
        assert_eq!(error.exit_code(), 1);
    }
    assert_eq!(lab.list("fresh").rollback, [], "a fresh machine cannot know");
    lab.snapshot("a");
    assert_eq!(lab.list("other").rollback.len(), 1, "the record names what its writer has seen");
    // Listing it again does not make it true.
    assert_eq!(lab.list("b").rollback.len(), 1);
    let error = lab.finish("a", &[hidden.record]).expect_err("refuses");
    assert!(matches!(error, Error::History { .. }), "{error}");
    let trusted =
        |accept| lab.open("a").trusted_snapshots(accept, &author("a"), &Runtime::default());
    assert!(matches!(trusted(false), Err(Error::History { .. })));
    assert_eq!(trusted(true).expect("accepts").rollback, []);
    for machine in ["a", "b", "other", "another"] {
        let list = lab.list(machine);
        assert_eq!((list.rollback.len(), list.snapshots.len()), (0, 2), "{machine}");
    }
    let made = lab.snapshot("b");
    assert_eq!((made.client_seq, lab.list("a").rollback.len()), (2, 0));
}

#[test]
fn a_hidden_record_is_told_apart_from_one_that_was_pruned() {
    let lab = Lab::new();
    let (first, second) = (lab.snapshot("a"), lab.snapshot("a"));
    lab.snapshot("a");
    lab.say("b", LogKind::Forget, &first);
    let done = lab.finish("b", &[first.record]).expect("finishes");
    assert_eq!(done, RemovedRecords { removed: 2, retained: 0 });
    assert_eq!(lab.storage.bytes(&first.object_name), None);
    for machine in ["a", "b", "fresh"] {
        let list = lab.list(machine);
        assert_eq!((list.rollback.len(), list.snapshots.len(), list.forgotten.len()), (0, 2, 0));
    }
    assert_eq!(lab.finish("b", &[]).expect("nothing to do"), RemovedRecords::default());
    lab.storage.remove(&second.object_name);
    for machine in ["a", "b", "fresh"] {
        let rollback = lab.list(machine).rollback;
        assert!(
            matches!(rollback[..], [Breach::Missing { first: 2, last: 2, .. }]),
            "{rollback:?}"
        );
    }
}

#[test]
fn a_record_that_is_put_back_after_its_data_was_pruned_stays_forgotten() {
    let lab = Lab::new();
    let (first, second) = (lab.snapshot("a"), lab.snapshot("a"));
    let bytes = lab.storage.bytes(&first.object_name).expect("it is there");
    lab.say("a", LogKind::Forget, &first);
    lab.finish("a", &[first.record]).expect("finishes");
    lab.storage.replace(&first.object_name, &bytes);
    let list = lab.list("a");
    assert_eq!(lab.visible("a"), [second.id]);
    assert_eq!((list.rollback.len(), list.forgotten.len()), (0, 1));
    lab.finish("b", &[first.record]).expect("goes on");
    assert_eq!(lab.storage.bytes(&first.object_name), None);
}

#[test]
fn a_copied_machine_goes_on_as_a_new_client() {
    let lab = Lab::new();
    lab.snapshot("a");
    copy_folder(&lab.state("a"), &lab.state("copy"));
    let original = lab.snapshot("a");
    let list = lab.list("copy");
    assert_eq!((list.notices.len(), list.rollback.len()), (1, 0), "{:?}", list.notices);
    let made = lab.snapshot("copy");
    assert_ne!(made.client_id, original.client_id);
    assert_eq!(made.client_seq, 1);
    for machine in ["a", "copy"] {
        let list = lab.list(machine);
        assert_eq!((list.notices.len(), list.rollback.len(), list.snapshots.len()), (0, 0, 3));
    }
    assert_eq!(lab.snapshot("a").client_id, original.client_id);
}

#[test]
fn two_copies_that_write_at_once_part_ways_and_lose_nothing() {
    let mut lab = Lab::new();
    lab.snapshot("a");
    copy_folder(&lab.state("a"), &lab.state("copy"));
    let both = lab.storage.fork();
    let one = lab.snapshot("a");
    let first = Arc::clone(&lab.storage);
    lab.roll_back(both);
    let other = lab.snapshot("copy");
    assert_eq!((one.client_id, one.client_seq), (other.client_id, other.client_seq));
    lab.storage.replace(&one.object_name, &first.bytes(&one.object_name).expect("it is there"));
    for machine in ["a", "copy"] {
        let list = lab.list(machine);
        assert!(matches!(list.rollback[..], [Breach::Fork { seq: 2, .. }]), "{:?}", list.rollback);
        assert_eq!((list.notices.len(), list.snapshots.len()), (1, 3));
    }
    let clients = [lab.snapshot("a").client_id, lab.snapshot("copy").client_id, one.client_id];
    assert!(clients[0] != clients[1] && clients[1] != clients[2] && clients[0] != clients[2]);
    lab.open("a").trusted_snapshots(true, &author("a"), &Runtime::default()).expect("accepts");
    let list = lab.list("copy");
    assert_eq!((list.rollback.len(), list.snapshots.len()), (0, 5));
}

#[test]
fn a_listing_that_is_behind_hides_nothing_that_somebody_names() {
    let lab = Lab::new();
    lab.snapshot("a");
    let faulty = Arc::new(FaultStorage::new(lab.shared()));
    faulty.freeze_listings().expect("lists");
    let repository = lab.open_at("a", Arc::clone(&faulty) as SharedStorage);
    let second = snapshot(&repository, "a").expect("commits");
    let third = snapshot(&repository, "a").expect("commits");
    assert_eq!((second.client_seq, third.client_seq), (2, 3));
    let list = repository.snapshots().expect("lists");
    assert_eq!((list.snapshots.len(), list.rollback.len(), list.notices.len()), (3, 0, 0));
    assert!(list.snapshots.iter().all(|snapshot| snapshot.first_seen_ms.is_some()));
}

#[test]
fn a_record_whose_answer_got_lost_is_found_again() {
    let faults = [
        // Found again by its name.
        (Fault::LoseAnswer, 3, 3),
        // It may still arrive: nobody else may have its number.
        (Fault::Fail(StorageErrorKind::Temporary), 2, 1),
    ];
    for (fault, count, seq) in faults {
        let lab = Lab::new();
        lab.snapshot("a");
        let faulty = Arc::new(FaultStorage::new(lab.shared()));
        let repository = lab.open_at("a", Arc::clone(&faulty) as SharedStorage);
        let (prefix, told) = ("snapshots/".to_owned(), format!("{fault:?}"));
        faulty.inject(Rule { on: On::Put, prefix, nth: 1, times: 1, fault });
        snapshot(&repository, "a").expect_err("the answer is lost");
        let made = lab.snapshot("a");
        let list = lab.list("a");
        assert_eq!((made.client_seq, list.snapshots.len()), (seq, count), "{told}");
        assert_eq!((list.rollback.len(), list.notices.len()), (0, 0), "{told}");
    }
}

#[test]
fn storage_that_refuses_deletes_keeps_forgotten_snapshots_forgotten() {
    let lab = Lab::new();
    let (first, second) = (lab.snapshot("a"), lab.snapshot("a"));
    lab.say("a", LogKind::Forget, &first);
    let faulty = Arc::new(FaultStorage::new(lab.shared()));
    faulty.fail_times(On::Delete, 1, u64::MAX, StorageErrorKind::Denied);
    let repository = lab.open_at("b", Arc::clone(&faulty) as SharedStorage);
    let retained = RemovedRecords { removed: 0, retained: 2 };
    assert_eq!(finish(&repository, "b", &[first.record]).expect("no error"), retained);
    let names = lab.storage.names();
    assert_eq!(finish(&repository, "b", &[first.record]).expect("no error"), retained);
    assert_eq!(lab.storage.names(), names, "nothing is written again and again");
    assert_eq!(lab.visible("a"), [second.id]);
    assert_eq!(lab.list("a").rollback, []);
}

#[test]
fn a_crash_anywhere_while_records_go_is_harmless() {
    let prepared = || {
        let lab = Lab::new();
        let gone: Vec<_> = (0..3).map(|_| lab.snapshot("a")).collect();
        let kept = lab.snapshot("b");
        gone.iter().for_each(|snapshot| lab.say("a", LogKind::Forget, snapshot));
        lab.say("a", LogKind::Pin, &kept);
        lab.finish("b", &[gone[0].record]).expect("finishes");
        (lab, gone, kept)
    };
    for writes in 0.. {
        let (lab, gone, kept) = prepared();
        let ids: Vec<ObjectHash> = gone.iter().map(|snapshot| snapshot.record).collect();
        let faulty = Arc::new(FaultStorage::new(lab.shared()));
        let repository = lab.open_at("b", Arc::clone(&faulty) as SharedStorage);
        faulty.fail_after_writes(writes);
        let result = finish(&repository, "b", &ids);
        for machine in ["a", "b", "fresh"] {
            let list = lab.list(machine);
            assert_eq!(list.rollback, [], "after {writes} writes, on {machine}");
            assert_eq!((list.snapshots.len(), list.snapshots[0].id), (1, kept.id));
            assert!(list.snapshots[0].pinned && list.bad.is_empty() && list.notices.is_empty());
        }
        lab.finish("a", &ids).expect("goes on");
        let list = lab.list("a");
        assert_eq!((list.rollback.len(), list.forgotten.len()), (0, 0), "after {writes} writes");
        // The kept snapshot, its pin, and one checkpoint.
        assert_eq!(list.records().len(), 3, "after {writes} writes");
        if result.is_ok() {
            assert!(writes > 5, "{writes}");
            return;
        }
    }
}

#[test]
fn two_prunes_at_once_end_with_one_checkpoint() {
    let lab = Lab::new();
    let (first, second) = (lab.snapshot("a"), lab.snapshot("b"));
    lab.snapshot("c");
    lab.say("a", LogKind::Forget, &first);
    lab.say("b", LogKind::Forget, &second);
    let (a, b) = (lab.open("a"), lab.open("b"));
    let (known_a, known_b) = (a.snapshots().expect("lists"), b.snapshots().expect("lists"));
    let runtime = Runtime::default();
    a.finish_forgotten(&[first.record], &author("a"), &known_a, &runtime).expect("finishes");
    // The other one decided before, and has not seen any of that.
    b.finish_forgotten(&[second.record], &author("b"), &known_b, &runtime).expect("finishes");
    for machine in ["a", "b", "c", "fresh"] {
        let list = lab.list(machine);
        assert_eq!((list.rollback.len(), list.snapshots.len()), (0, 1), "{:?}", list.rollback);
        assert_eq!((list.forgotten.len(), list.records().len()), (0, 2));
    }
}

#[test]
fn a_damaged_record_is_there_and_not_usable() {
    let lab = Lab::new();
    let (first, _) = (lab.snapshot("a"), lab.snapshot("a"));
    lab.storage.damage(&first.object_name, |bytes| bytes[100] ^= 1);
    let list = lab.list("a");
    assert_eq!((list.bad.len(), list.rollback.len(), list.snapshots.len()), (1, 0, 1));
    let names = lab.storage.list("snapshots/", &mut |_| ());
    names.expect("lists");
}

/// Two prunes of one machine: the second decided before the first wrote, and must not count as
/// knowing what the first did.
#[test]
fn a_checkpoint_knows_all_that_its_machine_wrote() {
    let lab = Lab::new();
    let (first, second) = (lab.snapshot("a"), lab.snapshot("b"));
    lab.snapshot("c");
    lab.say("b", LogKind::Forget, &first);
    lab.say("b", LogKind::Forget, &second);
    let (one, other) = (lab.open("a"), lab.open("a"));
    let known = other.snapshots().expect("lists");
    finish(&one, "a", &[first.record]).expect("finishes");
    let runtime = Runtime::default();
    other.append_checkpoint(&known, &author("a"), &runtime).expect("reads the log again");
    other.finish_forgotten(&[second.record], &author("a"), &known, &runtime).expect("finishes");
    for machine in ["a", "b", "fresh"] {
        let list = lab.list(machine);
        assert_eq!((list.rollback.len(), list.snapshots.len()), (0, 1), "{:?}", list.rollback);
        assert_eq!((list.forgotten.len(), list.records().len()), (0, 2));
    }
}
