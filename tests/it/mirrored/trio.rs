//! A repository and two mirrors of it, on one memory, so that their writes have one order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use larder::archive::{BackupReport, backup};
use larder::crypto::Suite;
use larder::error::{Result, StorageError};
use larder::model::{MirrorPolicy, Place};
use larder::repository::{OpenOptions, Repository};
use larder::storage::fault::{Fault, On, Rule};
use larder::storage::record::Write;
use larder::storage::{
    Connector, FaultStorage, MemoryStorage, ObjectMeta, PutMode, RecordStorage, SharedStorage,
    Storage,
};
use larder::verify::{CheckOptions, ReadData, check};

use crate::support::{CrashState, Lab, LabOptions};

/// The folders of the primary and of its mirrors in the memory, and one of a place that may become
/// a mirror.
pub(super) const PLACES: [&str; 4] = ["primary/", "m1/", "m2/", "m3/"];

/// A folder of some storage as a storage of its own.
struct Folder {
    inner: SharedStorage,
    folder: &'static str,
    location: String,
}

impl Folder {
    fn below(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }

    fn own(&self, meta: ObjectMeta) -> ObjectMeta {
        let name = meta.name.strip_prefix(self.folder).expect("in the folder").into();
        ObjectMeta { name, ..meta }
    }
}

impl Storage for Folder {
    fn location(&self) -> &str {
        &self.location
    }
    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        self.inner.put(&self.below(name), parts, mode)
    }
    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        self.inner.get(&self.below(name), len_max)
    }
    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        self.inner.get_range(&self.below(name), offset, buf)
    }
    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        self.inner.head(&self.below(name)).map(|meta| self.own(meta))
    }
    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        self.inner.list(&self.below(prefix), &mut |meta| found(self.own(meta)))
    }
    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.inner.delete(&self.below(name))
    }
}

pub(super) struct Trio {
    /// The tree, its memories, the clock. Its own storage is not used.
    pub(super) lab: Lab,
    pub(super) memory: Arc<MemoryStorage>,
    pub(super) record: Arc<RecordStorage>,
    disk: Arc<FaultStorage>,
    /// Faults of each place.
    pub(super) faults: [Arc<FaultStorage>; 4],
    pub(super) policy: Option<MirrorPolicy>,
}

impl Trio {
    /// A tree, a repository, and two mirrors with the same in them.
    pub(super) fn new(seed: u64, suite: Suite) -> Self {
        let options = LabOptions { suite, samples: false, entries: 4, ..LabOptions::default() };
        let lab = Lab::empty(seed, options);
        let trio = Self::on(lab, MemoryStorage::new());
        let made = Repository::init(
            trio.place(0),
            &[trio.lab.unlock()],
            &trio.lab.init_options(),
            &trio.alone(),
            &trio.lab.runtime(),
        );
        let made = made.expect("makes a repository");
        for name in ["m1", "m2"] {
            let place = Place::mirror(name, format!("memory:{name}"));
            made.add_place(&place, &trio.lab.runtime()).expect("adds a mirror");
        }
        drop(made);
        trio.copy_all();
        trio.record.clear();
        trio
    }

    fn on(lab: Lab, memory: MemoryStorage) -> Self {
        let clock = Arc::clone(&lab.clock);
        let memory = Arc::new(memory.on_clock(clock));
        let disk = Arc::new(FaultStorage::new(Arc::clone(&memory) as SharedStorage));
        let record = RecordStorage::keeping_writes(Arc::clone(&disk) as SharedStorage);
        let record = Arc::new(record);
        let faults = PLACES.map(|folder| {
            let inner = Arc::clone(&record) as SharedStorage;
            let location = format!("memory:{}", folder.trim_end_matches('/'));
            Arc::new(FaultStorage::new(Arc::new(Folder { inner, folder, location })))
        });
        Self { lab, memory, record, disk, faults, policy: None }
    }

    /// The same tree before other storage.
    pub(super) fn with_memory(&self, memory: MemoryStorage) -> Self {
        // A lab of its own: what this machine remembers changes with the storage.
        let lab = self.lab.on(MemoryStorage::new());
        Self { policy: self.policy, ..Self::on(lab, memory) }
    }

    pub(super) fn fork(&self) -> Self {
        self.with_memory(self.memory.fork())
    }

    pub(super) fn after(&self, state: &CrashState, writes: &[Write]) -> Self {
        let memory = self.memory.fork();
        state.apply(writes, &memory);
        self.with_memory(memory)
    }

    pub(super) fn slow_puts(&self) {
        let fault = Fault::Delay(Duration::from_millis(2));
        self.disk.inject(Rule {
            on: On::Put,
            prefix: String::new(),
            nth: 1,
            times: u64::MAX,
            fault,
        });
    }

    pub(super) fn place(&self, number: usize) -> SharedStorage {
        Arc::clone(&self.faults[number]) as SharedStorage
    }

    /// Opens a place as somebody who never saw it and knows of no other.
    pub(super) fn alone(&self) -> OpenOptions {
        OpenOptions { places: Connector::none(), ..OpenOptions::default() }
    }

    pub(super) fn try_open_alone(&self, number: usize) -> Result<Repository> {
        let runtime = self.lab.runtime();
        Repository::open(self.place(number), &self.lab.unlock(), &self.alone(), &runtime)
    }

    /// Reaches the mirrors.
    pub(super) fn connector(&self) -> Connector {
        let places: Vec<SharedStorage> = (0..PLACES.len()).map(|n| self.place(n)).collect();
        Connector::new(move |location| {
            let is_it = |place: &&SharedStorage| place.location() == location;
            Ok(Arc::clone(places.iter().find(is_it).expect("one of the places")))
        })
    }

    pub(super) fn try_open(&self) -> Result<Repository> {
        let options = OpenOptions {
            places: self.connector(),
            mirror_policy: self.policy,
            ..self.lab.open_options()
        };
        Repository::open(self.place(0), &self.lab.unlock(), &options, &self.lab.runtime())
    }

    #[track_caller]
    pub(super) fn open(&self) -> Repository {
        self.try_open().expect("opens")
    }

    pub(super) fn try_backup(&self) -> Result<BackupReport> {
        backup(&self.try_open()?, &self.lab.backup_options(), &self.lab.runtime())
    }

    #[track_caller]
    pub(super) fn backup(&self) -> BackupReport {
        let report = self.try_backup().expect("backs up");
        assert!(report.is_complete(), "{:?}", report.stats);
        report
    }

    #[track_caller]
    pub(super) fn backup_named(&mut self, name: &str) -> BackupReport {
        let report = self.backup();
        self.lab.remember(name, &report);
        report
    }

    /// What mirrors are to have, by place.
    pub(super) fn names(&self, number: usize) -> BTreeSet<String> {
        let is_shared = |name: &String| {
            !["gc/", "sessions/", "mirrors/"].iter().any(|folder| name.starts_with(folder))
        };
        let names = self.memory.names().into_iter();
        let own = names.filter_map(|name| Some(name.strip_prefix(PLACES[number])?.to_owned()));
        own.filter(is_shared).collect()
    }

    /// The numbers of the places that the repository says it is at.
    pub(super) fn members(&self) -> Vec<usize> {
        let places = self.open().places();
        let is_in = |number: &usize| {
            let name = PLACES[*number].trim_end_matches('/');
            *number == 0 || places.find(name).is_some()
        };
        (0..PLACES.len()).filter(is_in).collect()
    }

    /// Makes the mirrors what the primary is.
    pub(super) fn copy_all(&self) {
        let wanted = self.names(0);
        for number in [1, 2] {
            for extra in self.names(number).difference(&wanted) {
                self.memory.remove(&format!("{}{extra}", PLACES[number]));
            }
            for name in &wanted {
                let bytes = self.memory.bytes(&format!("primary/{name}")).expect("is there");
                self.memory.replace(&format!("{}{name}", PLACES[number]), &bytes);
            }
        }
    }

    /// A place alone opens, is sound, hides nothing, and every snapshot in it is what it was.
    /// Returns the names of those that were remembered.
    #[track_caller]
    pub(super) fn assert_sound(&self, number: usize, what: &str) -> BTreeSet<String> {
        let what = format!("{} {what}", PLACES[number]);
        let repository =
            self.try_open_alone(number).unwrap_or_else(|error| panic!("{what}: {error}"));
        let bad = repository.load_index().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(bad.is_empty(), "{what}: {bad:?}");
        let list = repository.snapshots().expect("lists snapshots");
        assert!(list.bad.is_empty() && list.rollback.is_empty(), "{what}: {list:?}");
        let mut found = BTreeSet::new();
        for snapshot in &list.snapshots {
            let read = self.lab.read(&repository, snapshot);
            let read = read.unwrap_or_else(|error| panic!("{what}: {error}"));
            let known = self.lab.all_remembered().find(|(_, id, _)| *id == snapshot.id);
            if let Some((name, _, tree)) = known {
                tree.assert_same(&read, format!("{what}: {name}"));
                found.insert(name.to_owned());
            }
        }
        let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
        let report = check(&repository, &options, &self.lab.runtime());
        let report = report.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(report.is_clean(), "{what}: {:?}", report.findings);
        found
    }

    /// What is remembered comes back from each place alone.
    #[track_caller]
    pub(super) fn assert_all_sound(&self, what: &str) {
        let all: BTreeSet<String> =
            self.lab.all_remembered().map(|(name, _, _)| name.to_owned()).collect();
        for (number, place) in PLACES.iter().enumerate().take(3) {
            assert_eq!(self.assert_sound(number, what), all, "{what}: {place}");
        }
    }

    /// Every mirror has what the primary has, and nothing else.
    #[track_caller]
    pub(super) fn assert_equal(&self, what: &str) {
        for number in [1, 2] {
            assert_eq!(self.names(number), self.names(0), "{what}: {}", PLACES[number]);
        }
    }
}
