//! Making a mirror complete, without a key.

use std::sync::Arc;

use larder::error::{Error, StorageErrorKind};
use larder::mirror::{SyncOptions, sync};
use larder::prune::{MaxUnused, PruneOptions, run as prune};
use larder::repository::{Author, OpenOptions, Repository};
use larder::runtime::{CancelToken, Runtime};
use larder::storage::fault::{Fault, On, Rule};
use larder::storage::record::Operation;
use larder::storage::{
    FaultStorage, MemoryStorage, PutMode, ReadOnlyStorage, RecordStorage, SharedStorage, Storage,
};
use larder::verify::{CheckOptions, ReadData, check};

use super::{assert_same, lab, lab_on, lasting, memory, synced};
use crate::support::{Lab, LabOptions, crash_states};

#[test]
fn a_mirror_is_a_full_repository_and_stays_one() {
    let mut lab = lab(1);
    let mirror = memory();
    let report = synced(&*lab.memory, &*mirror, &lab);
    assert!(report.is_new && report.is_complete());
    assert_eq!(report.copied, report.missing);
    assert_eq!(report.copied.objects as usize + 1, mirror.names().len(), "and `repo`");
    assert_same(&lab.memory, &mirror);
    let alone = lab_on(&lab, &mirror);
    alone.assert_all_whole("the mirror alone");
    for name in ["first", "second"] {
        alone.assert_restores_identical(name);
    }
    assert!(alone.try_check().expect("checks").is_clean());
    // Backups go on there too.
    alone.backup_edited();
    alone.assert_all_whole("the mirror after a backup");

    lab.tree().edit(5);
    lab.backup_named("third");
    let again = synced(&*lab.memory, &*mirror, &lab);
    assert!(!again.is_new && again.copied.objects > 0);
    assert!(again.copied.objects < report.copied.objects);
    assert_same(&lab.memory, &mirror);
    lab_on(&lab, &mirror).assert_restores_identical("third");
    let idle = synced(&*lab.memory, &*mirror, &lab);
    assert_eq!(idle.copied.objects, 0);
    assert_eq!(idle.extra.objects, 0);
}

/// Every folder of each place is listed once (the index of the source twice), nothing is looked at
/// by itself, every object is read and written once, and at most one more is in the way.
#[test]
fn nothing_is_asked_for_twice() {
    let lab = lab(2);
    let from = Arc::new(RecordStorage::new(lab.memory.clone()));
    let to = Arc::new(RecordStorage::new(memory()));
    let report = synced(&*from, &*to, &lab);
    let calls = |storage: &RecordStorage, operation| {
        storage.calls().iter().filter(|call| call.operation == operation).count() as u64
    };
    assert_eq!(calls(&from, Operation::List), 8);
    assert_eq!(calls(&to, Operation::List), 1);
    assert_eq!(calls(&from, Operation::Get), report.copied.objects + 2, "`repo` twice");
    assert_eq!(calls(&to, Operation::Put), report.copied.objects + 1);
    for storage in [&from, &to] {
        assert_eq!(calls(storage, Operation::Head) + calls(storage, Operation::Delete), 0);
    }
}

/// A run that is stopped anywhere leaves a mirror that opens, has no damage and restores what
/// records it has; or, if it never was one, no repository yet. The next run makes it complete.
#[test]
fn whenever_it_stops_the_mirror_is_valid() {
    let mut lab = Lab::with(3, LabOptions { samples: false, entries: 6, ..LabOptions::default() });
    lab.backup_named("first");
    let mirror = memory();
    for round in ["second", "third"] {
        let before = mirror.fork();
        let record = Arc::new(RecordStorage::keeping_writes(mirror.clone()));
        synced(&*lab.memory, &*record, &lab);
        let writes = record.writes();
        assert!(writes.len() > 3, "{round}: {}", writes.len());
        for state in crash_states(&writes) {
            let stopped = before.fork();
            state.apply(&writes, &stopped);
            if stopped.bytes("repo").is_some() && state.torn.is_none() {
                assert_valid(&lab, &stopped, round);
            }
            synced(&*lab.memory, &stopped, &lab);
            assert_same(&lab.memory, &stopped);
        }
        lab.tree().edit(4);
        lab.backup_named(round);
    }
}

/// Another client backs up and a prune removes packs, each between any two calls of the sync.
#[test]
fn what_happens_meanwhile_leaves_a_valid_mirror() {
    let mut lab = lab(4);
    lab.tree().edit(6);
    lab.backup_named("third");
    let mirror = memory();
    synced(&*lab.memory, &*mirror, &lab);
    for nth in (1..=10).chain([12, 16, 24]) {
        let lab = lab.fork();
        lab.tree().edit(4);
        lab.backup();
        let source = Meanwhile::new(&lab, nth);
        let target = mirror.fork();
        let report = sync(&source, &target, &SyncOptions::default(), &lab.runtime());
        let report = report.unwrap_or_else(|error| panic!("{nth}: {error}"));
        assert!(report.bad.is_empty(), "{nth}: {:?}", report.bad);
        assert_valid(&lab, &target, &nth.to_string());
        synced(&*lab.memory, &target, &lab);
        for name in lasting(&lab.memory) {
            assert!(target.bytes(&name).is_some(), "{nth}: {name}");
        }
    }
}

/// To a machine that remembers nothing, what the mirror holds alone is a whole repository. Returns
/// the number of its snapshots.
#[track_caller]
fn assert_valid(lab: &Lab, mirror: &MemoryStorage, what: &str) -> usize {
    let (storage, options) = (Arc::new(mirror.fork()), OpenOptions::default());
    let opened = Repository::open(storage, &lab.unlock(), &options, &lab.runtime());
    let repository = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
    let list = repository.snapshots().expect("lists");
    assert!(list.rollback.is_empty() && list.bad.is_empty(), "{what}: {:?}", list.rollback);
    let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    let check = check(&repository, &options, &lab.runtime()).expect("checks");
    assert!(check.is_clean(), "{what}: {check:?}");
    list.snapshots.len()
}

/// Storage under which everything happens at once, before its `nth` call.
struct Meanwhile<'a> {
    lab: &'a Lab,
    nth: u64,
    calls: std::sync::atomic::AtomicU64,
}

impl<'a> Meanwhile<'a> {
    fn new(lab: &'a Lab, nth: u64) -> Self {
        Self { lab, nth, calls: Default::default() }
    }

    fn call(&self) -> &MemoryStorage {
        if self.calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 == self.nth {
            let lab = self.lab;
            let repository = lab.open();
            let list = repository.snapshots().expect("lists");
            let oldest: Vec<_> = list.snapshots.iter().take(1).collect();
            let author = Author { host: "lab".into(), user: "tester".into() };
            let forget = larder::format::log::LogKind::Forget;
            repository
                .append_about(forget, &oldest, "test", &author, &list, &lab.runtime())
                .expect("forgets");
            let options = PruneOptions {
                grace_ms: 0,
                max_unused: MaxUnused::Bytes(0),
                ..PruneOptions::new(author)
            };
            prune(&lab.try_open().expect("opens"), &options, &lab.runtime()).expect("prunes");
            lab.tree().edit(3);
            lab.backup();
        }
        &self.lab.memory
    }
}

impl Storage for Meanwhile<'_> {
    fn location(&self) -> &str {
        "memory:busy"
    }
    fn put(
        &self,
        name: &str,
        parts: &[&[u8]],
        mode: PutMode,
    ) -> Result<(), larder::error::StorageError> {
        self.call().put(name, parts, mode)
    }
    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, larder::error::StorageError> {
        self.call().get(name, len_max)
    }
    fn get_range(
        &self,
        name: &str,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), larder::error::StorageError> {
        self.call().get_range(name, offset, buf)
    }
    fn head(&self, name: &str) -> Result<larder::storage::ObjectMeta, larder::error::StorageError> {
        self.call().head(name)
    }
    fn list(
        &self,
        prefix: &str,
        found: &mut dyn FnMut(larder::storage::ObjectMeta),
    ) -> Result<(), larder::error::StorageError> {
        self.call().list(prefix, found)
    }
    fn delete(&self, name: &str) -> Result<(), larder::error::StorageError> {
        self.call().delete(name)
    }
}

#[test]
fn damage_is_not_copied_and_another_mirror_helps() {
    let lab = lab(5);
    let whole: SharedStorage = Arc::new(lab.memory.fork());
    let names = lasting(&lab.memory);
    let pack = names.iter().find(|name| name.starts_with("data/")).expect("a pack").clone();
    let record = names.iter().find(|name| name.starts_with("snapshots/")).expect("one").clone();
    for name in [&pack, &record] {
        lab.memory.damage(name, |bytes| bytes[70] ^= 1);
    }
    let mirror = memory();
    let report = synced(&*lab.memory, &*mirror, &lab);
    let mut bad: Vec<&str> = report.bad.iter().map(|bad| bad.name.as_str()).collect();
    bad.sort_unstable();
    assert_eq!(bad, [pack.as_str(), record.as_str()]);
    assert!(!report.is_complete());
    assert!(mirror.bytes(&pack).is_none() && mirror.bytes(&record).is_none());
    assert_eq!(mirror.names().len() + 2, names.len(), "all else is there");

    let options = SyncOptions { others: vec![whole.clone()], ..SyncOptions::default() };
    let report = sync(&*lab.memory, &*mirror, &options, &lab.runtime()).expect("syncs");
    assert!(report.is_complete());
    assert_eq!((report.copied.objects, report.from_others), (2, 2));
    lab_on(&lab, &mirror).assert_all_whole("taken from a third place");
}

/// What is hurt on its way is read again, a torn object is replaced, and one of the same length is
/// not looked at: that is for a scrub.
#[test]
fn lengths_are_compared_and_transfers_checked() {
    let lab = lab(6);
    let faults = Arc::new(FaultStorage::new(lab.memory.clone()));
    let (on, prefix, fault) = (On::Get, "data/".to_owned(), Fault::FlipBit(100));
    faults.inject(Rule { on, prefix, nth: 1, times: 1, fault });
    let mirror = memory();
    assert!(synced(&*faults, &*mirror, &lab).is_complete());
    assert_same(&lab.memory, &mirror);
    let names = lasting(&mirror);
    let (torn, empty) = (&names[1], &names[names.len() - 2]);
    mirror.damage(torn, |bytes| bytes.truncate(10));
    mirror.damage(empty, Vec::clear);
    let report = synced(&*lab.memory, &*mirror, &lab);
    assert_eq!((report.copied.objects, report.replaced), (2, 2));
    assert_same(&lab.memory, &mirror);
}

#[test]
fn a_dry_run_compares_and_writes_nothing() {
    let lab = lab(7);
    let mirror = memory();
    let target = ReadOnlyStorage::new(mirror.clone());
    let options = SyncOptions { dry_run: true, ..SyncOptions::default() };
    let report = sync(&*lab.memory, &target, &options, &lab.runtime()).expect("compares");
    assert!(report.is_new && report.missing.objects > 5 && !report.is_complete());
    assert_eq!(report.copied.objects, 0);
    synced(&*lab.memory, &*mirror, &lab);
    mirror.put("data/ff/notes.txt", &[b"x"], PutMode::Content).expect("puts");
    let report = sync(&*lab.memory, &target, &options, &lab.runtime()).expect("compares");
    assert!(report.is_complete());
    assert_eq!((report.missing.objects, report.foreign.objects), (0, 1));
}

#[test]
fn other_places_are_refused() {
    let (lab, other) = (lab(8), lab(9));
    let options = SyncOptions::default();
    let refused = |target: &MemoryStorage| {
        let error = sync(&*lab.memory, target, &options, &lab.runtime()).expect_err("refused");
        assert!(matches!(error, Error::Usage { .. } | Error::LocationNotEmpty { .. }), "{error}");
    };
    let theirs = other.memory.fork();
    refused(&theirs);
    assert_eq!(theirs.names(), other.memory.names(), "nothing was written");
    theirs.remove("repo");
    refused(&theirs);
    let files = MemoryStorage::new();
    files.put("notes.txt", &[b"x"], PutMode::Content).expect("puts");
    refused(&files);
    let error = sync(&MemoryStorage::new(), &*memory(), &options, &lab.runtime());
    assert!(matches!(error, Err(Error::RepositoryMissing { .. })));
    // A mirror that lost its signpost is still one.
    let mirror = memory();
    synced(&*lab.memory, &*mirror, &lab);
    mirror.remove("repo");
    synced(&*lab.memory, &*mirror, &lab);
    mirror.damage("repo", |bytes| bytes[3] ^= 1);
    synced(&*lab.memory, &*mirror, &lab);
    assert_same(&lab.memory, &mirror);
}

#[test]
fn a_full_or_dead_mirror_is_an_error_and_what_was_there_stays() {
    let mut lab = lab(10);
    let mirror = memory();
    synced(&*lab.memory, &*mirror, &lab);
    lab.tree().edit(8);
    lab.backup_named("third");
    for kind in [StorageErrorKind::Full, StorageErrorKind::Denied, StorageErrorKind::Temporary] {
        let faults = FaultStorage::new(mirror.clone());
        faults.fail_times(On::Put, 2, 99, kind);
        let options = SyncOptions::default();
        let error = sync(&*lab.memory, &faults, &options, &lab.runtime()).expect_err("fails");
        assert!(matches!(error, Error::Storage(error) if error.kind == kind));
        let snapshots = assert_valid(&lab, &mirror, "a write failed");
        assert_eq!(snapshots, 2, "the new one is not there before its packs");
    }
    let cancel = CancelToken::default();
    cancel.cancel();
    let runtime = Runtime { cancel, ..lab.runtime() };
    let error = sync(&*lab.memory, &*mirror, &SyncOptions::default(), &runtime);
    assert!(matches!(error, Err(Error::Cancelled { .. })));
    synced(&*lab.memory, &*mirror, &lab);
    lab_on(&lab, &mirror).assert_restores_identical("third");
}

/// Only what the holder of the key names goes, and only if it is gone at the source.
#[test]
fn a_mirror_lets_go_of_nothing_unasked() {
    let lab = lab(11);
    let mirror = memory();
    synced(&*lab.memory, &*mirror, &lab);
    let names = lasting(&lab.memory);
    let of = |folder: &str| names.iter().find(|n| n.starts_with(folder)).expect("one").clone();
    let (pack, record) = (of("data/"), of("snapshots/"));
    lab.memory.remove(&pack);
    let report = synced(&*lab.memory, &*mirror, &lab);
    assert_eq!((report.deleted, report.extra.objects), (0, 1));
    assert!(mirror.bytes(&pack).is_some());
    let deletes = vec![record.clone(), pack.clone(), "data/00/never".into()];
    let options = SyncOptions { deletes, ..SyncOptions::default() };
    let report = sync(&*lab.memory, &*mirror, &options, &lab.runtime()).expect("syncs");
    assert_eq!(report.deleted, 1);
    assert!(mirror.bytes(&pack).is_none() && mirror.bytes(&record).is_some());
}

/// One that never deletes is complete nevertheless.
#[test]
fn what_a_mirror_refuses_to_delete_stays() {
    let lab = lab(12);
    let mirror = memory();
    synced(&*lab.memory, &*mirror, &lab);
    let names = lasting(&lab.memory);
    let pack = names.iter().find(|name| name.starts_with("data/")).expect("one").clone();
    lab.memory.remove(&pack);
    let strict = FaultStorage::new(mirror.clone());
    strict.fail_times(On::Delete, 1, u64::MAX, StorageErrorKind::Denied);
    let options = SyncOptions { deletes: vec![pack.clone()], ..SyncOptions::default() };
    let report = sync(&*lab.memory, &strict, &options, &lab.runtime()).expect("syncs");
    assert_eq!((report.deleted, report.retained, report.is_complete()), (0, 1, true));
    assert!(mirror.bytes(&pack).is_some());
}
