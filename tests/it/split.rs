//! Repositories whose data is at another place: both sides together and the cold one alone are
//! whole, wherever a writer stops.

use std::sync::Arc;

use larder::archive::{BackupOptions, backup};
use larder::crypto::Suite;
use larder::error::StorageErrorKind::Denied;
use larder::error::{Error, Result};
use larder::format::log::LogKind;
use larder::model::{BackupId, Place, PlaceRole};
use larder::prune::{MaxUnused, PruneOptions, run};
use larder::repository::{Author, InitOptions, OpenOptions, Repository};
use larder::storage::fault::{Fault, On, Rule};
use larder::storage::record::Operation;
use larder::storage::{Connector, FaultStorage, MemoryStorage, RecordStorage, SharedStorage};
use larder::verify::{CheckOptions, ReadData, check};

use crate::support::{Lab, LabOptions, TreeCopy};

/// A tree, and its repository in two memories that fail on command.
struct Halves {
    lab: Lab,
    hot: Arc<MemoryStorage>,
    cold: Arc<MemoryStorage>,
    hot_faults: Arc<FaultStorage>,
    cold_faults: Arc<FaultStorage>,
    cold_record: Arc<RecordStorage>,
    made: Vec<(BackupId, TreeCopy)>,
}

impl Halves {
    fn on(lab: Lab, hot: MemoryStorage, cold: MemoryStorage) -> Self {
        let (hot, cold) = (Arc::new(hot), Arc::new(cold));
        let cold_record = Arc::new(RecordStorage::new(cold.clone()));
        let hot_faults = Arc::new(FaultStorage::new(hot.clone()));
        let cold_faults = Arc::new(FaultStorage::new(cold_record.clone()));
        Self { lab, hot, cold, hot_faults, cold_faults, cold_record, made: Vec::new() }
    }

    /// With this many backups.
    fn new(seed: u64, backups: u32) -> Self {
        // Small and not sealed: what this is about is the order of writes.
        let small =
            LabOptions { entries: 10, samples: false, suite: Suite::None, ..Default::default() };
        let lab = Lab::with(seed, small);
        let clock = || MemoryStorage::with_clock(lab.clock.clone());
        let (hot, cold) = (clock(), clock());
        let mut halves = Self::on(lab, hot, cold);
        let place =
            Place { role: PlaceRole::Data, name: "data".into(), location: "memory:cold".into() };
        let init = InitOptions { data: Some(place), ..halves.lab.init_options() };
        let (options, runtime) = (halves.options(), halves.lab.runtime());
        let unlock = [halves.lab.unlock()];
        Repository::init(halves.hot_faults.clone(), &unlock, &init, &options, &runtime)
            .expect("makes a repository");
        for _ in 0..backups {
            halves.edit();
            halves.backup().expect("backs up");
        }
        halves
    }

    fn edit(&self) {
        self.lab.tree().edit(8);
        let random = larder::runtime::Random::seeded(self.made.len() as u64 + 77);
        let bytes = random.bytes::<200_000>();
        std::fs::write(self.lab.tree().path("big"), bytes).expect("writes");
    }

    /// A copy of both sides.
    fn fork(&self) -> Self {
        let mut fork = Self::on(self.lab.fork(), self.hot.fork(), self.cold.fork());
        fork.made.clone_from(&self.made);
        fork
    }

    fn options(&self) -> OpenOptions {
        let cold: SharedStorage = self.cold_faults.clone();
        let connect = move |location: &str| {
            assert_eq!(location, "memory:cold");
            Ok(cold.clone())
        };
        OpenOptions { places: Connector::new(connect), ..self.lab.open_options() }
    }

    fn try_open(&self) -> Result<Repository> {
        let runtime = self.lab.runtime();
        let hot: SharedStorage = self.hot_faults.clone();
        let opened = Repository::open(hot, &self.lab.unlock(), &self.options(), &runtime)?;
        opened.load_index()?;
        Ok(opened)
    }

    /// The cold side by itself, by a machine that remembers nothing.
    fn open_cold(&self) -> Repository {
        let options = OpenOptions { state_dir: None, ..self.options() };
        let (cold, unlock): (SharedStorage, _) = (self.cold.clone(), self.lab.unlock());
        let opened = Repository::open(cold, &unlock, &options, &self.lab.runtime());
        let opened = opened.expect("opens");
        assert!(opened.load_index().expect("loads").is_empty());
        opened
    }

    fn backup(&mut self) -> Result<()> {
        let options = BackupOptions { ..self.lab.backup_options() };
        let report = backup(&self.try_open()?, &options, &self.lab.runtime())?;
        let id = report.snapshot.as_ref().expect("a snapshot").id;
        self.made.push((id, self.lab.live_copy()));
        Ok(())
    }

    fn heal(&self) {
        self.hot_faults.heal();
        self.cold_faults.heal();
    }

    /// All that a repository lists is whole, and restores to what it was.
    #[track_caller]
    fn assert_whole(&self, repository: &Repository, what: &str) -> usize {
        let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
        let report = check(repository, &options, &self.lab.runtime()).expect("checks");
        assert!(report.is_clean(), "{what}: {:?}", report.findings);
        let list = repository.snapshots().expect("lists");
        assert!(list.bad.is_empty(), "{what}: {:?}", list.bad);
        // The newest stands for all: the check has read every byte.
        let known = list.snapshots.iter().rev().take(1).filter_map(|snapshot| {
            let made = self.made.iter().find(|(id, _)| *id == snapshot.id)?;
            Some((snapshot, &made.1))
        });
        for (snapshot, copy) in known {
            let restored = self.lab.restore(repository, snapshot).expect("restores");
            assert_eq!(&restored, copy, "{what}");
        }
        list.snapshots.len()
    }

    fn names(storage: &MemoryStorage, folder: &str) -> usize {
        storage.names().iter().filter(|name| name.starts_with(folder)).count()
    }
}

fn author() -> Author {
    Author { host: "lab".into(), user: "tester".into() }
}

fn at_once() -> PruneOptions {
    let max_unused = MaxUnused::Bytes(0);
    PruneOptions { grace_ms: 0, max_unused, ignore_lease: true, ..PruneOptions::new(author()) }
}

fn forget_first(halves: &Halves) {
    let repository = halves.try_open().expect("opens");
    let list = repository.snapshots().expect("lists");
    let (first, runtime) = (&list.snapshots[0], halves.lab.runtime());
    repository
        .append_about(LogKind::Forget, &[first], "test", &author(), &list, &runtime)
        .expect("forgets");
}

#[test]
fn data_is_on_one_side_and_each_side_does_its_part() {
    let mut halves = Halves::new(501, 3);
    assert_eq!(Halves::names(&halves.hot, "data/"), 0);
    for folder in ["sessions/", "gc/", "mirrors/"] {
        assert_eq!(Halves::names(&halves.cold, folder), 0, "{folder}");
    }
    for folder in ["repo", "keys/", "keyring/", "config/", "meta/", "index/", "snapshots/"] {
        let count = Halves::names(&halves.hot, folder);
        assert!(count > 0 && count == Halves::names(&halves.cold, folder), "{folder}");
    }
    // What is small is never read from the cold side.
    halves.cold_record.clear();
    let repository = halves.try_open().expect("opens");
    assert_eq!(halves.assert_whole(&repository, "both"), 3);
    halves.edit();
    halves.backup().expect("backs up");
    let read = [Operation::Get, Operation::GetRange, Operation::Head, Operation::List];
    let calls = halves.cold_record.calls().into_iter();
    for call in calls.filter(|call| read.contains(&call.operation)) {
        assert!(call.name.starts_with("data/"), "{call:?}");
    }
    assert_eq!(halves.assert_whole(&halves.open_cold(), "the cold side alone"), 4);

    forget_first(&halves);
    let report = run(&halves.try_open().expect("opens"), &at_once(), &halves.lab.runtime());
    assert!(report.expect("prunes").deleted.packs > 0);
    assert_eq!(halves.assert_whole(&halves.try_open().expect("opens"), "pruned"), 3);
    assert_eq!(halves.assert_whole(&halves.open_cold(), "pruned, the cold side"), 3);
}

/// Stopped after any write of either side: what was there stays, what is named is there, on both
/// sides together and on the cold one alone; the next run goes on.
#[test]
fn writers_may_stop_anywhere() {
    let halves = Halves::new(502, 2);
    halves.edit();
    let mut stops = 0;
    for on_cold in [false, true] {
        for writes in 0..60 {
            let what = format!("stopped after {writes} writes, cold: {on_cold}");
            let mut halves = halves.fork();
            let faults = if on_cold { &halves.cold_faults } else { &halves.hot_faults };
            faults.fail_after_writes(writes);
            let stopped = halves.backup().is_err();
            halves.heal();
            // The record of a run that failed may be there.
            let both = halves.assert_whole(&halves.try_open().expect("opens"), &what);
            let alone = halves.assert_whole(&halves.open_cold(), &what);
            assert!(both >= alone && alone >= 2, "{what}: {both} {alone}");
            if !stopped {
                break;
            }
            stops += 1;
            halves.backup().expect("goes on");
            halves.assert_whole(&halves.try_open().expect("opens"), &what);
            let completed = halves.try_open().expect("opens").complete_split();
            completed.expect("completes");
            let names = |storage: &MemoryStorage| Halves::names(storage, "snapshots/");
            assert_eq!(names(&halves.hot), names(&halves.cold), "{what}");
            halves.assert_whole(&halves.open_cold(), &what);
        }
    }
    assert!(stops > 5, "{stops}");
}

/// The record is on the hot side and not on the cold one: the run says that it failed, the snapshot
/// counts all the same, and the next prune brings it to the cold side.
#[test]
fn a_record_that_only_the_hot_side_has_is_copied_later() {
    let mut halves = Halves::new(505, 1);
    halves.edit();
    let (on, prefix, fault) = (On::Put, "snapshots/".to_owned(), Fault::Fail(Denied));
    halves.cold_faults.inject(Rule { on, prefix, nth: 1, times: 1, fault });
    let error = halves.backup().expect_err("the cold side refuses");
    assert!(error.in_full().contains("it was told to fail"), "{}", error.in_full());
    let records =
        |halves: &Halves| [&halves.hot, &halves.cold].map(|side| Halves::names(side, "snapshots/"));
    assert_eq!(records(&halves), [2, 1]);
    let both = halves.try_open().expect("opens");
    assert_eq!(halves.assert_whole(&both, "both"), 2, "it is there");
    assert_eq!(halves.assert_whole(&halves.open_cold(), "the cold side"), 1);

    halves.edit();
    halves.backup().expect("goes on");
    assert_eq!(records(&halves), [3, 2]);
    // The run that failed counts as over.
    halves.lab.clock.advance_ms(13 * 3_600_000);
    run(&halves.try_open().expect("opens"), &at_once(), &halves.lab.runtime()).expect("prunes");
    assert_eq!(records(&halves), [3, 3]);
    let both = halves.try_open().expect("opens");
    assert!(both.snapshots().expect("lists").rollback.is_empty());
    assert_eq!(halves.assert_whole(&both, "completed"), 3);
    assert_eq!(halves.assert_whole(&halves.open_cold(), "completed, the cold side"), 3);
}

#[test]
fn prunes_may_stop_anywhere() {
    let halves = Halves::new(503, 3);
    forget_first(&halves);
    let mut stops = 0;
    for on_cold in [false, true] {
        for writes in (0..60).step_by(crate::rounds(4, 1) as usize) {
            let what = format!("stopped after {writes} writes, cold: {on_cold}");
            let halves = halves.fork();
            let faults = if on_cold { &halves.cold_faults } else { &halves.hot_faults };
            faults.fail_after_writes(writes);
            let prune = || run(&halves.try_open()?, &at_once(), &halves.lab.runtime());
            let stopped = prune().is_err();
            halves.heal();
            assert_eq!(halves.assert_whole(&halves.try_open().expect("opens"), &what), 2);
            prune().expect("goes on");
            assert_eq!(halves.assert_whole(&halves.try_open().expect("opens"), &what), 2);
            assert_eq!(halves.assert_whole(&halves.open_cold(), &what), 2, "{what}");
            if !stopped {
                break;
            }
            stops += 1;
        }
    }
    assert!(stops > 6, "{stops}");
}

#[test]
fn a_place_that_cannot_be_reached_is_named() {
    let halves = Halves::new(504, 1);
    let open = |places: Connector| {
        let options = OpenOptions { places, ..halves.lab.open_options() };
        let hot: SharedStorage = halves.hot.clone();
        Repository::open(hot, &halves.lab.unlock(), &options, &halves.lab.runtime())
    };
    let away = Connector::new(|_| Err(Error::RepositoryMissing { location: "somewhere".into() }));
    for places in [away, Connector::none()] {
        let error = open(places).err().expect("fails");
        assert!(error.to_string().contains("`memory:cold`"), "{error}");
        assert!(error.hint().is_some() && error.exit_code() == 1, "{error:?}");
    }
    // A place in use is not taken.
    let place =
        Place { role: PlaceRole::Data, name: "data".into(), location: "memory:cold".into() };
    let init = InitOptions { data: Some(place), ..halves.lab.init_options() };
    let (unlock, options) = ([halves.lab.unlock()], halves.options());
    let fresh: SharedStorage = Arc::new(MemoryStorage::new());
    let again = Repository::init(fresh.clone(), &unlock, &init, &options, &halves.lab.runtime());
    assert!(matches!(again, Err(Error::RepositoryExists { .. })), "{:?}", again.err());
    assert!(larder::storage::list_sorted(&*fresh, "").expect("lists").is_empty());
}
