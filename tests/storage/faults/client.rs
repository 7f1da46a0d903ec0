//! A client of a repository whose runs may fail, and what it may rely on all the same.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use larder::archive::{BackupOptions, backup};
use larder::crypto::Suite;
use larder::error::{Error, Result};
use larder::format::log::LogKind;
use larder::model::BackupId;
use larder::prune::{MaxUnused, PruneOptions, run};
use larder::repository::{Author, InitOptions, LAYOUT, OpenOptions, Repository, Unlock};
use larder::restore::{OwnerPolicy, RestoreOptions, restore};
use larder::runtime::Runtime;
use larder::source::SourcePath;
use larder::storage::{self, Connection, Location, RetryPolicy, SharedStorage, Timeouts};
use larder::verify::{CheckOptions, ReadData, check};
use tempfile::TempDir;

use crate::support::{LiveTree, TreeCopy};

/// No run may take longer, whatever the server does: a hang is the fault that is looked for.
const HANG: Duration = Duration::from_secs(60);

/// What is done to a repository, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Init,
    FirstBackup,
    SecondBackup,
    Restore,
    Forget,
    Prune,
    Check,
}

impl Phase {
    pub(crate) const ALL: [Self; 7] = [
        Self::Init,
        Self::FirstBackup,
        Self::SecondBackup,
        Self::Restore,
        Self::Forget,
        Self::Prune,
        Self::Check,
    ];
}

/// Short waits: a second without a byte is a server that hangs, and it gives up soon.
pub(crate) fn impatient(connection: Connection, give_up_after: Duration) -> Connection {
    let policy = RetryPolicy {
        wait_first: Duration::from_millis(4),
        wait_max: Duration::from_millis(100),
        give_up_after,
        ..RetryPolicy::default()
    };
    let second = Duration::from_secs(1);
    let timeouts = Timeouts { connect: second, idle: second };
    Connection { policy, timeouts, ..connection }
}

/// A tree, and a repository for it somewhere.
pub(crate) struct Client {
    home: TempDir,
    tree: LiveTree,
    location: Location,
    pub(crate) connection: Connection,
    /// Every snapshot that was reported as done, with what it has to hold.
    done: Vec<(BackupId, TreeCopy)>,
    forgotten: Option<BackupId>,
    /// Whether a backup failed: it counts as being at work for some hours.
    has_failed: bool,
}

impl Client {
    /// A small tree of several packs. Nothing is stored yet.
    pub(crate) fn new(location: &str, connection: Connection) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let mut tree = LiveTree::new(home.path().join("tree"), 11);
        tree.grow(12);
        tree.add_noise("noise", 400_000);
        let location = location.parse().expect("a location");
        Self {
            home,
            tree,
            location,
            connection,
            done: Vec::new(),
            forgotten: None,
            has_failed: false,
        }
    }

    /// One phase, within bounded time.
    ///
    /// # Errors
    /// What the run ended with.
    pub(crate) fn run(&mut self, phase: Phase) -> Result<()> {
        let start = Instant::now();
        let result = match phase {
            Phase::Init => self.init(),
            Phase::FirstBackup => self.back_up(),
            Phase::SecondBackup => {
                self.tree.edit(6);
                self.tree.add_noise("more", 150_000);
                self.back_up()
            }
            Phase::Restore => self.restore_newest(),
            Phase::Forget => self.forget_oldest(),
            Phase::Prune => self.prune(),
            Phase::Check => self.check(),
        };
        self.has_failed |= result.is_err();
        assert!(start.elapsed() < HANG, "{phase:?} took {:?}", start.elapsed());
        result
    }

    fn state(&self) -> OpenOptions {
        let state_dir: Option<PathBuf> = Some(self.home.path().join("state"));
        OpenOptions { cache_dir: None, state_dir, ..OpenOptions::default() }
    }

    fn storage(&self) -> Result<SharedStorage> {
        storage::create_with(&self.location, LAYOUT, &self.connection)
    }

    fn open(&self) -> Result<Repository> {
        Repository::open(self.storage()?, &Unlock::Nothing, &self.state(), &Runtime::default())
    }

    fn init(&self) -> Result<()> {
        let init = InitOptions { suite: Suite::None, ..InitOptions::default() };
        let (open, runtime) = (self.state(), Runtime::default());
        match Repository::init(self.storage()?, &[Unlock::Nothing], &init, &open, &runtime) {
            // An earlier attempt made it, and was not told so before its time was over.
            Ok(_) | Err(Error::RepositoryExists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn back_up(&mut self) -> Result<()> {
        let options = BackupOptions {
            sources: vec![SourcePath::new(self.tree.root()).expect("a path")],
            pack_target: Some(64 << 10),
            ..BackupOptions::default()
        };
        let report = backup(&self.open()?, &options, &Runtime::default())?;
        assert!(report.is_complete(), "{:?}", report.stats);
        let id = report.snapshot.expect("no dry run").id;
        self.done.push((id, TreeCopy::of_folder(self.tree.root())));
        Ok(())
    }

    fn restore(&self, repository: &Repository, id: BackupId) -> Result<TreeCopy> {
        let list = repository.snapshots()?;
        let snapshot = list.snapshots.iter().find(|snapshot| snapshot.id == id);
        let snapshot = snapshot.unwrap_or_else(|| panic!("{id} was done and is gone"));
        let target = tempfile::tempdir_in(self.home.path()).expect("a folder");
        let options = RestoreOptions {
            target: target.path().join("back"),
            subtree: Some(self.tree.root().as_os_str().as_bytes()[1..].to_vec()),
            owner: OwnerPolicy::Numeric,
            ..RestoreOptions::default()
        };
        let report = restore(repository, snapshot, &options, &Runtime::default())?;
        // A storage that is away may end a restore file by file.
        if !report.is_complete() {
            return Err(Error::Untouched {
                what: format!("{:?}", report.failures),
                hint: "".into(),
            });
        }
        Ok(TreeCopy::of_folder(&options.target))
    }

    fn restore_newest(&self) -> Result<()> {
        let repository = self.open()?;
        repository.load_index()?;
        let (id, copy) = self.done.last().expect("was backed up");
        copy.assert_same(&self.restore(&repository, *id)?, "the newest");
        Ok(())
    }

    fn forget_oldest(&mut self) -> Result<()> {
        let repository = self.open()?;
        let list = repository.snapshots()?;
        let id = self.forgotten.unwrap_or_else(|| self.done.remove(0).0);
        self.forgotten = Some(id);
        let gone: Vec<_> = list.snapshots.iter().filter(|snapshot| snapshot.id == id).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let runtime = Runtime::default();
        repository.append_about(LogKind::Forget, &gone, "test", &author(), &list, &runtime)?;
        Ok(())
    }

    fn prune(&self) -> Result<()> {
        let mut options = PruneOptions {
            max_unused: MaxUnused::Bytes(0),
            // What an earlier attempt could not take away.
            ignore_lease: true,
            ..PruneOptions::new(author())
        };
        if !self.has_failed {
            options.grace_ms = 0;
        }
        run(&self.open()?, &options, &Runtime::default()).map(|_| ())
    }

    fn check(&self) -> Result<()> {
        let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
        let report = check(&self.open()?, &options, &Runtime::default())?;
        assert!(report.is_clean(), "{report:?}");
        Ok(())
    }

    /// Every snapshot that was reported as done comes back as it was.
    #[track_caller]
    pub(crate) fn assert_all_restore(&self, what: &str) {
        let repository = self.open().unwrap_or_else(|error| panic!("{what}: {error}"));
        repository.load_index().unwrap_or_else(|error| panic!("{what}: {error}"));
        for (id, copy) in &self.done {
            let back = self.restore(&repository, *id);
            copy.assert_same(&back.unwrap_or_else(|error| panic!("{what}: {error}")), what);
        }
    }
}

fn author() -> Author {
    Author { host: "lab".into(), user: "tester".into() }
}
