//! Repositories whose data is at another place: both sides together and the cold one alone are
//! whole, wherever a writer stops.

use std::sync::Arc;

use larder::archive::{BackupOptions, backup};
use larder::crypto::Suite;
use larder::error::StorageErrorKind::Denied;
use larder::error::{Error, Result};
use larder::format::log::LogKind;
use larder::hand_on;
use larder::manager::{Mirrors, MovedData};
use larder::model::{BackupId, Place, PlaceRole};
use larder::prune::{MaxUnused, PruneOptions, run};
use larder::repository::{Author, InitOptions, OpenOptions, Repository};
use larder::storage::fault::{Fault, On, Rule};
use larder::storage::record::Operation;
use larder::storage::{
    Connector, FaultStorage, Location, MemoryStorage, RecordStorage, SharedStorage, Storage,
};
use larder::verify::{CheckOptions, ReadData, check};

use crate::support::{Lab, LabOptions, TreeCopy};

/// A tree, and its repository in two memories that fail on command.
struct Halves {
    lab: Lab,
    hot: Arc<MemoryStorage>,
    cold: Arc<MemoryStorage>,
    /// Where the data may move to.
    new: Arc<MemoryStorage>,
    new_faults: Arc<FaultStorage>,
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
        let new = Arc::new(MemoryStorage::with_clock(lab.clock.clone()));
        let new_faults = Arc::new(FaultStorage::new(new.clone()));
        let made = Vec::new();
        Self { lab, hot, cold, new, new_faults, hot_faults, cold_faults, cold_record, made }
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
        OpenOptions { places: self.connector(), ..self.lab.open_options() }
    }

    fn connector(&self) -> Connector {
        let called = |faults: &Arc<FaultStorage>, location| -> SharedStorage {
            Arc::new(Called { inner: faults.clone(), location })
        };
        let cold = called(&self.cold_faults, "memory:cold");
        let new = called(&self.new_faults, NEW);
        Connector::new(move |location: &str| match location {
            "memory:cold" => Ok(cold.clone()),
            NEW => Ok(new.clone()),
            _ => panic!("{location}"),
        })
    }

    /// Moves the data to the new place, as the command does.
    fn move_data(&self) -> Result<MovedData> {
        self.move_data_of(&self.try_open()?)
    }

    fn move_data_of(&self, repository: &Repository) -> Result<MovedData> {
        let to = Location::parse(NEW).expect("a location");
        Mirrors::of(repository, self.connector()).move_data(&to, &self.lab.runtime())
    }

    /// Where the repository says that its data is.
    fn data_location(&self) -> String {
        let places = self.try_open().expect("opens").places();
        places.data().expect("another place").location.clone()
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
        self.open_alone(&self.cold)
    }

    fn open_alone(&self, place: &Arc<MemoryStorage>) -> Repository {
        let options = OpenOptions { state_dir: None, ..self.options() };
        let (place, unlock): (SharedStorage, _) = (place.clone(), self.lab.unlock());
        let opened = Repository::open(place, &unlock, &options, &self.lab.runtime());
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
        self.new_faults.heal();
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

/// Where the data moves to.
const NEW: &str = "memory:new";

/// Storage that says where it is.
struct Called {
    inner: SharedStorage,
    location: &'static str,
}

impl Storage for Called {
    hand_on!(inner: put, get, get_range, head, list, delete);

    fn location(&self) -> &str {
        self.location
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

/// All goes to the new place, which is a full repository by itself; the old one stays as it was.
#[test]
fn data_moves_to_another_place() {
    let mut halves = Halves::new(506, 2);
    let earlier = halves.try_open().expect("opens");
    let moved = halves.move_data().expect("moves");
    assert_eq!((&*moved.from, &*moved.to), ("memory:cold", NEW));
    assert_eq!(Halves::names(&halves.new, "data/"), Halves::names(&halves.cold, "data/"));
    assert_eq!(halves.data_location(), NEW);
    assert_eq!(halves.assert_whole(&halves.try_open().expect("opens"), "moved"), 2);
    assert_eq!(halves.assert_whole(&halves.open_alone(&halves.new), "the new place"), 2);
    assert_eq!(halves.assert_whole(&halves.open_cold(), "the old place"), 2);
    assert!(matches!(halves.move_data(), Err(Error::Usage { .. })), "it is there");

    // Whoever was open before writes nothing to the old place.
    let before = halves.cold.names();
    halves.edit();
    let (options, runtime) = (halves.lab.backup_options(), halves.lab.runtime());
    for refused in [
        backup(&earlier, &options, &runtime).map(drop),
        run(&earlier, &at_once(), &runtime).map(drop),
    ] {
        let error = refused.expect_err("its data is elsewhere");
        assert!(error.to_string().contains("moved to `memory:new`"), "{error}");
    }
    assert_eq!(halves.cold.names(), before);
    halves.backup().expect("backs up");
    assert_eq!(halves.cold.names(), before);
    assert!(Halves::names(&halves.new, "data/") > Halves::names(&halves.cold, "data/"));
    forget_first(&halves);
    run(&halves.try_open().expect("opens"), &at_once(), &halves.lab.runtime()).expect("prunes");
    assert_eq!(halves.assert_whole(&halves.try_open().expect("opens"), "later"), 2);
    assert_eq!(halves.assert_whole(&halves.open_alone(&halves.new), "the new place later"), 2);
}

/// A run at work would write its packs to the old place. One that slept for long finds out before
/// it commits.
#[test]
fn data_does_not_move_while_somebody_writes() {
    let halves = Halves::new(507, 1);
    let busy = halves.try_open().expect("opens");
    let list = busy.snapshots().expect("lists");
    let (session, _) =
        busy.begin_session("snapshot", "lab", &halves.lab.runtime()).expect("begins");
    let error = halves.move_data().expect_err("somebody is at work");
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    assert_eq!(halves.data_location(), "memory:cold");
    halves.lab.clock.advance_ms(13 * 3_600_000);
    halves.move_data().expect("that one is over");
    let new = larder::repository::NewSnapshot {
        id: BackupId(halves.lab.runtime().random.bytes()),
        host: "lab".into(),
        user: "tester".into(),
        body: list.snapshots[0].body.clone(),
    };
    let committed = larder::commit::commit(&busy, &session, new, &list, &halves.lab.runtime());
    let error = committed.expect_err("its packs are at the old place");
    assert!(error.to_string().contains("moved to `memory:new`"), "{error}");
}

/// The old place is gone; its packs were brought to the new one by other means.
#[test]
fn data_that_was_moved_by_others_is_found_at_its_new_place() {
    let halves = Halves::new(508, 2);
    for name in halves.cold.names().iter().filter(|name| name.starts_with("data/")) {
        halves.new.replace(name, &halves.cold.bytes(name).expect("is there"));
    }
    halves.cold_faults.fail_times(On::Any, 1, u64::MAX, Denied);
    let open = || {
        let options = OpenOptions { data_location: Some(NEW.into()), ..halves.options() };
        let (hot, unlock): (SharedStorage, _) = (halves.hot_faults.clone(), halves.lab.unlock());
        Repository::open(hot, &unlock, &options, &halves.lab.runtime()).expect("opens")
    };
    let pack = halves.new.names().remove(0);
    let bytes = halves.new.bytes(&pack).expect("a pack");
    halves.new.remove(&pack);
    let error = halves.move_data_of(&open()).expect_err("not all of it is there");
    assert!(matches!(error, Error::Refused { .. }) && error.to_string().contains(&pack), "{error}");
    halves.new.replace(&pack, &bytes[1..]);
    halves.move_data_of(&open()).expect_err("not whole");
    halves.new.replace(&pack, &bytes);
    halves.move_data_of(&open()).expect("is written down");
    assert_eq!(halves.data_location(), NEW);
    assert_eq!(halves.assert_whole(&halves.try_open().expect("opens"), "moved"), 2);
    assert_eq!(halves.assert_whole(&halves.open_alone(&halves.new), "the new place"), 2);
}

/// Stopped after any write to any place: all is there wherever the repository says that it is, and
/// the move goes on.
#[test]
fn a_move_may_stop_anywhere() {
    let before = Halves::new(509, 1);
    let mut stops = 0;
    for place in 0..3 {
        for writes in 0..60 {
            let what = format!("place {place} after {writes} writes");
            let mut halves = before.fork();
            let faults = [&halves.hot_faults, &halves.cold_faults, &halves.new_faults][place];
            faults.fail_after_writes(writes);
            let stopped = halves.move_data().is_err();
            halves.heal();
            assert_eq!(halves.assert_whole(&halves.try_open().expect("opens"), &what), 1);
            if halves.data_location() != NEW {
                halves.move_data().unwrap_or_else(|error| panic!("{what}: {error}"));
            }
            halves.lab.tree().add_noise(&format!("noise {place} {writes}"), 20_000);
            halves.backup().unwrap_or_else(|error| panic!("{what}: {error}"));
            let open = || halves.try_open().expect("opens");
            run(&open(), &PruneOptions::new(author()), &halves.lab.runtime()).expect("prunes");
            assert_eq!(open().complete_split().expect("looks").lost, [""; 0], "{what}");
            assert_eq!(halves.assert_whole(&open(), &what), 2);
            assert_eq!(halves.assert_whole(&halves.open_alone(&halves.new), &what), 2);
            if !stopped {
                break;
            }
            stops += 1;
        }
    }
    assert!(stops > 8, "{stops}");
}
