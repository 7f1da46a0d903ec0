//! The one place that builds what the tests of managers work with: a repository in a folder, a
//! folder to back up, and managers of both.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder::archive::BackupOptions;
use larder::crypto::Suite;
use larder::manager::{BackupManager, ManagerOptions};
use larder::model::BackupId;
use larder::repository::{
    InitOptions, KdfCost, LAYOUT, OpenOptions, Password, Repository, Snapshot, Unlock,
};
use larder::restore::{OwnerPolicy, RestoreOptions, restore};
use larder::runtime::{Clock, Runtime, SystemClock, TestClock};
use larder::source::SourcePath;
use larder::storage::{self, Location};
use tempfile::TempDir;

use super::support::TreeCopy;

/// What opens the repository of a shop.
pub(crate) const PASSWORD: &str = "correct horse";

/// What a shop may differ in.
pub(crate) struct ShopOptions {
    pub(crate) suite: Suite,
    /// A clock that the test moves; `None` is the real one.
    pub(crate) clock: Option<Arc<TestClock>>,
}

impl Default for ShopOptions {
    fn default() -> Self {
        Self { suite: Suite::Aes256, clock: None }
    }
}

/// A repository in a folder, a source with a few files, and a state folder. Gone when dropped.
pub(crate) struct Shop {
    home: TempDir,
    options: ShopOptions,
}

impl Shop {
    /// An encrypted repository without backups, on the real clock.
    pub(crate) fn new() -> Self {
        Self::with(ShopOptions::default())
    }

    /// One that lives at a time of its own, which the test moves on.
    pub(crate) fn with_clock() -> (Self, Arc<TestClock>) {
        let clock = Arc::new(TestClock::at_ms(SystemClock.now_ms() + 3_600_000));
        (Self::with(ShopOptions { clock: Some(Arc::clone(&clock)), ..Default::default() }), clock)
    }

    pub(crate) fn with(options: ShopOptions) -> Self {
        let shop = Self { home: tempfile::tempdir().expect("a temporary folder"), options };
        shop.write("letter.txt", "Dear reader,\n");
        shop.write("photos/sea.jpg", noise(1, 300_000));
        shop.write("photos/hill.jpg", noise(2, 40_000));
        shop.write("empty", "");
        std::os::unix::fs::symlink("letter.txt", shop.source().join("link")).expect("a link");
        let storage = storage::create(&shop.location(), LAYOUT).expect("a folder for it");
        let suite = shop.options.suite;
        let init = InitOptions { suite, kdf: KdfCost::CheapForTests, ..InitOptions::default() };
        let (open, runtime) = (shop.open_options(), shop.runtime());
        Repository::init(storage, &[shop.unlock()], &init, &open, &runtime)
            .expect("makes a repository");
        shop
    }

    /// A path that is gone with the shop.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The folder that is backed up.
    pub(crate) fn source(&self) -> PathBuf {
        self.path("source")
    }

    /// Writes a file of the source, and the folders it is in.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.source().join(name);
        std::fs::create_dir_all(path.parent().expect("below home")).expect("a folder");
        std::fs::write(&path, bytes).expect("a file");
        path
    }

    /// Removes a file of the source.
    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.source().join(name)).expect("removes a file");
    }

    /// The folder of the repository.
    pub(crate) fn repository_folder(&self) -> PathBuf {
        self.path("repository")
    }

    pub(crate) fn location(&self) -> Location {
        Location::from_path(&self.repository_folder()).expect("a location")
    }

    /// The folder of what this machine remembers.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    /// What opens the repository.
    pub(crate) fn unlock(&self) -> Unlock {
        match self.options.suite {
            Suite::None => Unlock::Nothing,
            Suite::Aes256 => Unlock::Password(Password::new(PASSWORD)),
        }
    }

    pub(crate) fn open_options(&self) -> OpenOptions {
        OpenOptions {
            cache_dir: Some(self.path("cache")),
            state_dir: Some(self.state_dir()),
            ..OpenOptions::default()
        }
    }

    /// The surroundings of an operation, with the clock of the shop.
    pub(crate) fn runtime(&self) -> Runtime {
        match &self.options.clock {
            None => Runtime::default(),
            Some(clock) => {
                Runtime { clock: Arc::clone(clock) as Arc<dyn Clock>, ..Runtime::default() }
            }
        }
    }

    /// The repository, opened anew.
    pub(crate) fn open(&self) -> Repository {
        let storage = storage::open(&self.location()).expect("is there");
        Repository::open(storage, &self.unlock(), &self.open_options(), &self.runtime())
            .expect("opens")
    }

    pub(crate) fn manager_options(&self) -> ManagerOptions {
        ManagerOptions {
            backup: BackupOptions {
                sources: vec![SourcePath::new(&self.source()).expect("a path")],
                host: Some("shop".into()),
                ..BackupOptions::default()
            },
            export_folder: Some(self.path("exports")),
            state_dir: Some(self.state_dir()),
            runtime: self.runtime(),
            ..ManagerOptions::default()
        }
    }

    /// A manager of the repository, opened anew as another program would.
    pub(crate) fn manager(&self) -> BackupManager {
        self.manager_with(|_| {})
    }

    /// As [`Shop::manager`], with other options.
    pub(crate) fn manager_with(&self, change: impl FnOnce(&mut ManagerOptions)) -> BackupManager {
        let mut options = self.manager_options();
        change(&mut options);
        BackupManager::open(self.open(), options).expect("opens")
    }

    /// The source as it is now.
    pub(crate) fn live_copy(&self) -> TreeCopy {
        TreeCopy::of_folder(&self.source())
    }

    /// The folder that the source comes back to if all of a snapshot is restored to `target`.
    pub(crate) fn source_below(&self, target: &Path) -> PathBuf {
        target.join(self.source().strip_prefix("/").expect("absolute"))
    }

    /// The source's folder in manifests.
    pub(crate) fn source_in_snapshot(&self) -> Vec<u8> {
        self.source().as_os_str().as_bytes()[1..].to_vec()
    }

    #[track_caller]
    pub(crate) fn snapshot(&self, repository: &Repository, id: BackupId) -> Snapshot {
        let list = repository.snapshots().expect("lists snapshots");
        let found = list.snapshots.into_iter().find(|snapshot| snapshot.id == id);
        found.unwrap_or_else(|| panic!("snapshot {id} is gone"))
    }

    /// Restores the source of a backup into an empty folder, and returns what is there then.
    #[track_caller]
    pub(crate) fn restored(&self, manager: &BackupManager, id: BackupId) -> TreeCopy {
        let target = tempfile::tempdir_in(self.home.path()).expect("a temporary folder");
        let options = RestoreOptions {
            target: target.path().join("restored"),
            subtree: Some(self.source_in_snapshot()),
            owner: OwnerPolicy::Numeric,
            ..RestoreOptions::default()
        };
        let repository = manager.repository();
        let snapshot = self.snapshot(repository, id);
        let report = restore(repository, &snapshot, &options, &self.runtime()).expect("restores");
        assert!(report.is_complete(), "{:?}", report.failures);
        TreeCopy::of_folder(&options.target)
    }

    /// Every file below the repository's folder with its bytes, by its name there.
    pub(crate) fn stored(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let root = self.repository_folder();
        let mut folders = vec![root.clone()];
        let mut files = BTreeMap::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("lists").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&root).expect("below").to_path_buf();
                    files.insert(name, std::fs::read(&path).expect("reads"));
                }
            }
        }
        files
    }
}

/// Bytes that cannot be compressed, always the same for a seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}
