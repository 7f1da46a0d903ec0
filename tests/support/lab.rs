//! The one place that builds a repository for tests.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder::archive::{BackupOptions, BackupReport, backup};
use larder::chunker::SizeClass;
use larder::crypto::Suite;
use larder::error::{Error, Result};
use larder::model::entry::is_within;
use larder::model::{BackupId, BackupStrategy, Entry, PageId};
use larder::repository::{
    InitOptions, KdfCost, OpenOptions, Password, Repository, Snapshot, Unlock,
};
use larder::restore::{OwnerPolicy, RestoreOptions, restore};
use larder::runtime::{Clock, Random, Runtime, SystemClock, TestClock};
use larder::source::SourcePath;
use larder::storage::fault::{Fault, On, Rule};
use larder::storage::{FaultStorage, MemoryStorage, RecordStorage, SharedStorage};
use larder::tree::Manifest;
use larder::verify::{CheckOptions, CheckReport, ReadData, check};
use parking_lot::{Mutex, MutexGuard};
use tempfile::TempDir;

use super::{LiveTree, TreeCopy};

/// What opens the repository of a lab.
pub(crate) const PASSWORD: &str = "a password that must never be stored";

/// What a lab may differ in.
///
/// Tests that move many megabytes use [`Suite::None`]: without optimisation AES is slow, and what
/// they are about is the same.
#[derive(Clone, Debug)]
pub(crate) struct LabOptions {
    pub(crate) suite: Suite,
    /// Bytes of a pack: small, so that small trees make several.
    pub(crate) pack_target: u64,
    /// Chunk sizes, if not those of every new repository.
    pub(crate) classes: Option<Vec<SizeClass>>,
    /// Whether the tree has one sample of each kind of entry, almost a megabyte in all.
    pub(crate) samples: bool,
    /// Random entries of the tree at the beginning.
    pub(crate) entries: u64,
    pub(crate) time: LabTime,
}

/// Which time it is in a lab. The times of its files are always real.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LabTime {
    /// An hour after the files were written, and a minute more with each run: nothing counts as
    /// racy, and the times of a file alone decide whether it is read.
    Later,
    /// Now: everything was written a moment ago, and nothing is trusted.
    Now,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self {
            suite: Suite::Aes256,
            pack_target: 64 << 10,
            classes: None,
            samples: true,
            entries: 20,
            time: LabTime::Later,
        }
    }
}

/// A live tree and a repository in memory that fails on command. What the engine does goes through
/// `storage` (faults), `record` (what really happened) and ends in `memory`.
pub(crate) struct Lab {
    pub(crate) memory: Arc<MemoryStorage>,
    pub(crate) record: Arc<RecordStorage>,
    /// Faults of the disk itself, which `record` does not see: delays, above all.
    pub(crate) disk: Arc<FaultStorage>,
    pub(crate) storage: Arc<FaultStorage>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) options: LabOptions,
    tree: Arc<Mutex<LiveTree>>,
    home: Arc<TempDir>,
    /// What this machine remembers of the repository.
    state: PathBuf,
    seed: u64,
    /// Counts everything that draws random numbers, so that no two runs draw the same.
    draws: Arc<AtomicU64>,
    remembered: BTreeMap<String, (BackupId, TreeCopy)>,
}

impl Lab {
    /// A tree and a new repository, both from `seed`.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::with(seed, LabOptions::default())
    }

    /// As [`Lab::seeded`], with other options.
    pub(crate) fn with(seed: u64, options: LabOptions) -> Self {
        let lab = Self::empty(seed, options);
        lab.try_init().expect("makes a repository");
        lab.record.clear();
        lab
    }

    /// A tree, and storage without a repository.
    pub(crate) fn empty(seed: u64, options: LabOptions) -> Self {
        let home = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let mut tree = LiveTree::new(home.path().join("source"), seed);
        if options.samples {
            tree.add_samples();
        }
        tree.grow(options.entries);
        let clock = Arc::new(TestClock::at_ms(SystemClock.now_ms() + 3_600_000));
        let memory = MemoryStorage::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        let Stack { memory, disk, record, storage } = Stack::on(memory);
        let state = home.path().join("state");
        let draws = Arc::new(AtomicU64::new(0));
        let tree = Arc::new(Mutex::new(tree));
        let remembered = BTreeMap::new();
        Self {
            memory,
            disk,
            record,
            storage,
            clock,
            options,
            tree,
            home,
            state,
            seed,
            draws,
            remembered,
        }
    }

    /// A lab with the same tree and memories on other storage.
    pub(crate) fn on(&self, memory: MemoryStorage) -> Self {
        let clock = Arc::new(TestClock::at_ms(self.clock.now_ms()));
        let memory = memory.on_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        let Stack { memory, disk, record, storage } = Stack::on(memory);
        let number = self.draws.fetch_add(1, Ordering::Relaxed);
        let state = self.home.path().join(format!("state-{number}"));
        copy_files(&self.state, &state);
        Self {
            memory,
            disk,
            record,
            storage,
            clock,
            options: self.options.clone(),
            tree: Arc::clone(&self.tree),
            home: Arc::clone(&self.home),
            state,
            seed: self.seed,
            draws: Arc::clone(&self.draws),
            remembered: self.remembered.clone(),
        }
    }

    /// A lab with the same tree and memories, and a copy of the storage.
    pub(crate) fn fork(&self) -> Self {
        self.on(self.memory.fork())
    }

    /// Another client with another tree on the same storage.
    pub(crate) fn beside(&self, seed: u64) -> Self {
        let mut tree = LiveTree::new(self.home.path().join(format!("source-{seed}")), seed);
        tree.grow(self.options.entries);
        Self {
            memory: Arc::clone(&self.memory),
            disk: Arc::clone(&self.disk),
            record: Arc::clone(&self.record),
            storage: Arc::clone(&self.storage),
            clock: Arc::clone(&self.clock),
            options: self.options.clone(),
            tree: Arc::new(Mutex::new(tree)),
            home: Arc::clone(&self.home),
            state: self.home.path().join(format!("state-of-{seed}")),
            seed,
            draws: Arc::new(AtomicU64::new(0)),
            remembered: BTreeMap::new(),
        }
    }

    /// The files that this client keeps on its machine.
    pub(crate) fn local_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(&self.state).expect("lists the state").flatten();
        let files = entries.map(|entry| entry.path()).filter(|path| path.is_file());
        files.map(|path| (path.clone(), std::fs::read(path).expect("reads"))).collect()
    }

    /// From now on this is another machine, which knows nothing of the repository.
    pub(crate) fn lose_memory(&self) {
        std::fs::remove_dir_all(&self.state).expect("removes the state");
    }

    /// Lets every user reach the tree and change what this client keeps.
    pub(crate) fn allow_everybody(&self) {
        std::fs::create_dir_all(&self.state).expect("makes a folder");
        let entries = std::fs::read_dir(&self.state).expect("lists").flatten();
        let state = entries.map(|entry| entry.path()).chain([self.state.clone()]);
        for path in state.chain([self.home.path().to_path_buf()]) {
            let open = std::fs::Permissions::from_mode(0o777);
            std::fs::set_permissions(path, open).expect("sets a mode");
        }
    }

    /// The tree, to change it.
    pub(crate) fn tree(&self) -> MutexGuard<'_, LiveTree> {
        self.tree.lock()
    }

    /// The folder that is backed up.
    pub(crate) fn source(&self) -> PathBuf {
        self.tree().root().to_path_buf()
    }

    /// A path in a folder that is gone with the lab.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The surroundings of one run.
    pub(crate) fn runtime(&self) -> Runtime {
        let draw = self.draws.fetch_add(1, Ordering::Relaxed);
        self.clock.advance_ms(60_000);
        let clock: Arc<dyn Clock> = match self.options.time {
            LabTime::Later => Arc::clone(&self.clock) as Arc<dyn Clock>,
            LabTime::Now => Arc::new(SystemClock),
        };
        Runtime {
            clock,
            random: Random::seeded(self.seed.wrapping_mul(1_000_003).wrapping_add(draw)),
            ..Runtime::default()
        }
    }

    /// What opens the repository.
    pub(crate) fn unlock(&self) -> Unlock {
        match self.options.suite {
            Suite::None => Unlock::Nothing,
            Suite::Aes256 => Unlock::Password(Password::new(PASSWORD)),
        }
    }

    pub(crate) fn init_options(&self) -> InitOptions {
        let default = InitOptions::default();
        InitOptions {
            suite: self.options.suite,
            kdf: KdfCost::CheapForTests,
            classes: self.options.classes.clone().unwrap_or(default.classes),
            ..default
        }
    }

    pub(crate) fn open_options(&self) -> OpenOptions {
        OpenOptions {
            cache_dir: None,
            state_dir: Some(self.state.clone()),
            ..OpenOptions::default()
        }
    }

    fn shared(&self) -> SharedStorage {
        Arc::clone(&self.storage) as SharedStorage
    }

    pub(crate) fn try_init(&self) -> Result<Repository> {
        let (init, open) = (self.init_options(), self.open_options());
        Repository::init(self.shared(), &[self.unlock()], &init, &open, &self.runtime())
    }

    pub(crate) fn try_open(&self) -> Result<Repository> {
        self.try_open_with(&self.unlock())
    }

    pub(crate) fn try_open_with(&self, unlock: &Unlock) -> Result<Repository> {
        Repository::open(self.shared(), unlock, &self.open_options(), &self.runtime())
    }

    /// The repository, opened anew, with its index.
    #[track_caller]
    pub(crate) fn open(&self) -> Repository {
        let repository = self.try_open().expect("opens");
        let bad = repository.load_index().expect("loads the index");
        assert!(bad.is_empty(), "{bad:?}");
        repository
    }

    /// What a run is given, if the test does not say otherwise.
    pub(crate) fn backup_options(&self) -> BackupOptions {
        BackupOptions {
            sources: vec![SourcePath::new(&self.source()).expect("a path")],
            host: Some("lab".into()),
            user: Some("tester".into()),
            pack_target: Some(self.options.pack_target),
            ..BackupOptions::default()
        }
    }

    /// One run from opening the repository to the commit, as the command line does it.
    pub(crate) fn try_backup(&self) -> Result<BackupReport> {
        self.try_backup_with(|_, _| {})
    }

    /// As [`Lab::try_backup`], after `change` had a look at options and surroundings.
    pub(crate) fn try_backup_with(
        &self,
        change: impl FnOnce(&mut BackupOptions, &mut Runtime),
    ) -> Result<BackupReport> {
        let (mut options, mut runtime) = (self.backup_options(), self.runtime());
        change(&mut options, &mut runtime);
        let repository = self.try_open()?;
        backup(&repository, &options, &runtime)
    }

    /// A run that has to succeed.
    #[track_caller]
    pub(crate) fn backup(&self) -> BackupReport {
        self.complete(self.try_backup())
    }

    #[track_caller]
    pub(crate) fn backup_as(&self, strategy: BackupStrategy) -> BackupReport {
        self.complete(self.try_backup_with(|options, _| options.strategy = strategy))
    }

    /// A run that was tried has to have succeeded, without errors.
    #[track_caller]
    pub(crate) fn complete(&self, ran: Result<BackupReport>) -> BackupReport {
        let report = ran.expect("backs up");
        assert!(report.is_complete(), "{:?}", report.stats);
        report
    }

    /// Changes the tree and backs it up.
    #[track_caller]
    pub(crate) fn backup_edited(&self) -> BackupReport {
        self.tree().edit(10);
        self.backup()
    }

    /// Backs up, and remembers the tree as it is now under `name`.
    #[track_caller]
    pub(crate) fn backup_named(&mut self, name: &str) -> BackupReport {
        let report = self.backup();
        self.remember(name, &report);
        report
    }

    /// Remembers that the snapshot of `report` holds the tree as it is now.
    pub(crate) fn remember(&mut self, name: &str, report: &BackupReport) {
        let snapshot = report.snapshot.as_ref().expect("not a dry run");
        self.remembered.insert(name.into(), (snapshot.id, self.live_copy()));
    }

    /// The tree as it is now.
    pub(crate) fn live_copy(&self) -> TreeCopy {
        TreeCopy::of_folder(&self.source())
    }

    /// What a snapshot holds of the tree.
    pub(crate) fn read(&self, repository: &Repository, snapshot: &Snapshot) -> Result<TreeCopy> {
        TreeCopy::of_snapshot(repository, snapshot, &self.source())
    }

    /// The snapshot remembered as `name`, and what it has to hold.
    #[track_caller]
    pub(crate) fn remembered(&self, repository: &Repository, name: &str) -> (Snapshot, &TreeCopy) {
        let (id, copy) = self.remembered.get(name).expect("was remembered");
        let list = repository.snapshots().expect("lists snapshots");
        let found = list.snapshots.into_iter().find(|snapshot| snapshot.id == *id);
        (found.unwrap_or_else(|| panic!("snapshot `{name}` is gone")), copy)
    }

    /// The id of the snapshot remembered as `name`.
    #[track_caller]
    pub(crate) fn id_of(&self, name: &str) -> BackupId {
        self.remembered.get(name).expect("was remembered").0
    }

    /// Everything that was remembered: name, snapshot and what it has to hold.
    pub(crate) fn all_remembered(&self) -> impl Iterator<Item = (&str, BackupId, &TreeCopy)> {
        self.remembered.iter().map(|(name, (id, copy))| (name.as_str(), *id, copy))
    }

    /// Restores the tree of a snapshot into an empty folder and copies what is there then.
    ///
    /// # Errors
    /// Those of the restore. What it could not restore makes it fail here.
    pub(crate) fn restore(&self, repository: &Repository, snapshot: &Snapshot) -> Result<TreeCopy> {
        let target = tempfile::tempdir_in(self.home.path()).expect("a temporary folder");
        let options = RestoreOptions {
            target: target.path().join("restored"),
            subtree: Some(self.source().as_os_str().as_bytes()[1..].to_vec()),
            owner: OwnerPolicy::Numeric,
            ..RestoreOptions::default()
        };
        let report = restore(repository, snapshot, &options, &self.runtime())?;
        assert!(report.is_complete(), "{:?}", report.failures);
        Ok(TreeCopy::of_folder(&options.target))
    }

    /// Looks at everything that is stored, to the last byte.
    ///
    /// # Errors
    /// Those of opening and of the check.
    pub(crate) fn try_check(&self) -> Result<CheckReport> {
        let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
        check(&self.try_open()?, &options, &self.runtime())
    }

    /// What was remembered as `name` comes back to the last attribute.
    #[track_caller]
    pub(crate) fn assert_restores_identical(&self, name: &str) {
        self.assert_restores(&self.open(), name);
    }

    /// The same, whatever else is in the repository.
    #[track_caller]
    pub(crate) fn assert_restores_beside_bad(&self, name: &str) {
        self.assert_restores(&self.try_open().expect("opens"), name);
    }

    #[track_caller]
    fn assert_restores(&self, repository: &Repository, name: &str) {
        let (snapshot, copy) = self.remembered(repository, name);
        let restored = self.restore(repository, &snapshot).expect("restores a snapshot");
        copy.assert_same(&restored, name);
    }

    /// All that was remembered comes back, every other snapshot can be read to its end, and nothing
    /// in the repository is bad.
    #[track_caller]
    pub(crate) fn assert_all_whole(&self, what: &str) {
        let bad = self.assert_whole_beside_bad(what);
        assert!(bad.is_empty(), "{what}: {bad:?}");
    }

    /// As [`Lab::assert_all_whole`], but index objects and records may be bad. Returns them.
    #[track_caller]
    pub(crate) fn assert_whole_beside_bad(&self, what: &str) -> Vec<Error> {
        self.assert_whole(what, |_| true)
    }

    /// All that was remembered comes back, whatever else may be in the repository.
    #[track_caller]
    pub(crate) fn assert_remembered_whole(&self, what: &str) {
        self.assert_whole(what, |is_remembered| is_remembered);
    }

    #[track_caller]
    fn assert_whole(&self, what: &str, counts: impl Fn(bool) -> bool) -> Vec<Error> {
        let repository = self.try_open().unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut bad = repository.load_index().expect("loads the index");
        let list = repository.snapshots().expect("lists snapshots");
        bad.extend(list.bad);
        for (name, (id, _)) in &self.remembered {
            assert!(list.snapshots.iter().any(|s| s.id == *id), "{what}: `{name}` is gone");
        }
        for snapshot in &list.snapshots {
            let remembered = self.remembered.iter().find(|(_, (id, _))| *id == snapshot.id);
            if !counts(remembered.is_some()) {
                continue;
            }
            let read = self.read(&repository, snapshot);
            let read = read.unwrap_or_else(|error| panic!("{what}: {}: {error}", snapshot.id));
            if let Some((name, (_, copy))) = remembered {
                copy.assert_same(&read, format!("{what}: {name}"));
            }
        }
        bad
    }

    /// The whole manifest of a snapshot, to compare with that of another run.
    pub(crate) fn manifest(&self, repository: &Repository, snapshot: &Snapshot) -> ManifestCopy {
        let entries = Manifest::of(snapshot).entries(repository);
        ManifestCopy {
            root: snapshot.body.root,
            entries: entries.collect::<Result<_>>().expect("reads a manifest"),
            source: self.source().as_os_str().as_bytes()[1..].to_vec(),
        }
    }

    /// Puts take a moment each from now on, so that several are under way at once.
    pub(crate) fn slow_puts(&self) {
        self.disk.inject(Rule {
            on: On::Put,
            prefix: String::new(),
            nth: 1,
            times: u64::MAX,
            fault: Fault::Delay(Duration::from_millis(4)),
        });
    }
}

/// A manifest in memory.
pub(crate) struct ManifestCopy {
    root: PageId,
    entries: Vec<Entry>,
    source: Vec<u8>,
}

impl ManifestCopy {
    /// Fails unless the other manifest is the same, to the root page.
    ///
    /// The folders that lead to the source are in it too. They belong to the machine, and whatever
    /// else happens in them meanwhile may show: with such a change, and only then, everything but
    /// these folders is compared, and not the root.
    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Self, what: &str) {
        let differs = |pair: &(&Entry, &Entry)| pair.0 != pair.1;
        assert_eq!(self.entries.len(), other.entries.len(), "{what}: number of entries");
        let pairs = || self.entries.iter().zip(&other.entries);
        if let Some((a, b)) =
            pairs().filter(differs).find(|(a, _)| is_within(&a.path, &self.source))
        {
            panic!("{what}: an entry differs:\n{a:?}\n{b:?}");
        }
        if !pairs().any(|pair| differs(&pair)) {
            assert_eq!(self.root, other.root, "{what}: equal entries, but not equal pages");
        }
    }
}

struct Stack {
    memory: Arc<MemoryStorage>,
    disk: Arc<FaultStorage>,
    record: Arc<RecordStorage>,
    storage: Arc<FaultStorage>,
}

impl Stack {
    fn on(memory: MemoryStorage) -> Self {
        let memory = Arc::new(memory);
        let disk = Arc::new(FaultStorage::new(Arc::clone(&memory) as SharedStorage));
        let record = RecordStorage::keeping_writes(Arc::clone(&disk) as SharedStorage);
        let record = Arc::new(record);
        let storage = FaultStorage::new(Arc::clone(&record) as SharedStorage);
        Self { memory, disk, record, storage: Arc::new(storage) }
    }
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("makes a folder");
    let Ok(entries) = std::fs::read_dir(from) else { return };
    for entry in entries.flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copies a file");
    }
}
