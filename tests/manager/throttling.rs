//! Limits of bandwidth on a real repository, by a clock that moves only while transfers wait.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use larder::archive::{BackupOptions, BackupReport, backup};
use larder::crypto::Suite;
use larder::repository::{InitOptions, LAYOUT, OpenOptions, Repository, Unlock};
use larder::restore::{RestoreOptions, restore};
use larder::runtime::{CancelToken, Clock, Runtime, SystemClock, TestClock};
use larder::source::SourcePath;
use larder::storage::throttle::{Pace, ThrottleHandle, throttled};
use larder::storage::{self, Location, SharedStorage};
use tempfile::TempDir;

use crate::support::{Dice, TreeCopy};

/// A repository in a folder, reached under limits.
struct Throttled {
    home: TempDir,
    handle: ThrottleHandle,
    clock: Arc<TestClock>,
}

impl Throttled {
    fn new(limits: &str) -> Self {
        let clock = Arc::new(TestClock::at_ms(SystemClock.now_ms()));
        let moved = Arc::clone(&clock);
        let wait = move |wait: Duration| {
            moved.advance_ms(wait.as_nanos().div_ceil(1_000_000) as i64);
        };
        let limits = limits.parse().expect("limits");
        let handle = ThrottleHandle::with_clock(limits, clock.clone(), TimeZone::UTC, wait);
        Self { home: tempfile::tempdir().expect("a folder"), handle, clock }
    }

    fn storage(&self, cancel: &CancelToken) -> SharedStorage {
        let path = self.home.path().join("repository");
        let location = Location::from_path(&path).expect("a location");
        let storage = storage::create(&location, LAYOUT).expect("opens");
        throttled(storage, Pace::new(self.handle.clone(), cancel.clone()))
    }

    fn init(&self) -> Repository {
        let storage = self.storage(&CancelToken::default());
        let options = InitOptions { suite: Suite::None, ..InitOptions::default() };
        let (open, runtime) = (OpenOptions::default(), Runtime::default());
        Repository::init(storage, &[Unlock::Nothing], &options, &open, &runtime).expect("inits")
    }

    /// Files that do not compress, in a folder of this name.
    fn files(&self, name: &str, files: u64, len: usize) -> std::path::PathBuf {
        let folder = self.home.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let dice = Dice::seeded(files);
        for number in 0..files {
            std::fs::write(folder.join(number.to_string()), dice.noise(len)).expect("a file");
        }
        folder
    }

    fn back_up(&self, repository: &Repository, folder: &std::path::Path) -> BackupReport {
        let options = BackupOptions {
            sources: vec![SourcePath::new(folder).expect("a path")],
            pack_target: Some(2 << 20),
            ..BackupOptions::default()
        };
        backup(repository, &options, &Runtime::default()).expect("backs up")
    }

    fn stored_bytes(&self) -> u64 {
        let mut bytes = 0;
        let storage = self.storage(&CancelToken::default());
        storage.list("", &mut |object| bytes += object.len).expect("lists");
        bytes
    }

    /// Seconds that transfers waited since `start_ms`.
    fn seconds_since(&self, start_ms: i64) -> f64 {
        (self.clock.now_ms() - start_ms) as f64 / 1000.0
    }
}

/// A backup of 16 MiB at 1 MiB a second takes 16 seconds of that clock, its restore at 4 MiB a
/// second takes four, and a new limit holds at once.
#[test]
fn bandwidth_throttling() {
    let lab = Throttled::new("up 1M down 4M");
    let repository = lab.init();
    let folder = lab.files("source", 8, 2 << 20);

    let (start, before) = (lab.clock.now_ms(), lab.stored_bytes());
    let report = lab.back_up(&repository, &folder);
    assert!(report.is_complete());
    let stored = lab.stored_bytes() - before;
    assert!(stored > 16 << 20, "random bytes stay as long as they are: {stored}");
    let rate = stored as f64 / lab.seconds_since(start);
    let share = rate / (1 << 20) as f64;
    assert!((0.95..=1.05).contains(&share), "uploads at {share} of their limit");

    let start = lab.clock.now_ms();
    let target = lab.home.path().join("restored");
    let snapshot = report.snapshot.expect("a snapshot");
    let subtree = folder.strip_prefix("/").expect("absolute").as_os_str();
    let options = RestoreOptions {
        target: target.clone(),
        subtree: Some(subtree.as_encoded_bytes().to_vec()),
        ..RestoreOptions::default()
    };
    restore(&repository, &snapshot, &options, &Runtime::default()).expect("restores");
    TreeCopy::of_folder(&folder).assert_same(&TreeCopy::of_folder(&target), "restored");
    let seconds = lab.seconds_since(start);
    assert!((3.8..4.4).contains(&seconds), "16 MiB at 4 MiB a second: {seconds} s");

    // Without limits nobody waits, and a plan brings them back.
    lab.handle.set(None, None);
    let start = lab.clock.now_ms();
    lab.back_up(&repository, &lab.files("more", 2, 1 << 20));
    assert_eq!(lab.seconds_since(start), 0.0);
    lab.handle.set_plan(Some("else up 512K".parse().expect("a plan")));
    lab.back_up(&repository, &lab.files("most", 4, 1 << 20));
    let seconds = lab.seconds_since(start);
    assert!((7.8..8.8).contains(&seconds), "4 MiB at half a MiB a second: {seconds} s");
}

/// A run that is cancelled while it waits for bandwidth ends, and says that it was cancelled.
#[test]
fn a_cancelled_backup_does_not_wait_for_bandwidth() {
    let lab = Throttled::new("unlimited");
    lab.init();
    let folder = lab.files("source", 4, 2 << 20);
    let cancel = CancelToken::default();
    let (stop, moved) = (cancel.clone(), Arc::clone(&lab.clock));
    // The signal comes while the first pack is under way.
    let wait = move |wait: Duration| {
        stop.cancel();
        moved.advance_ms(wait.as_millis() as i64 + 1);
    };
    let limits = "up 16K".parse().expect("limits");
    let handle = ThrottleHandle::with_clock(limits, lab.clock.clone(), TimeZone::UTC, wait);
    let slow = Throttled { handle, home: lab.home, clock: lab.clock };
    let storage = slow.storage(&cancel);
    let runtime = Runtime { cancel, ..Runtime::default() };
    let repository = Repository::open(storage, &Unlock::Nothing, &OpenOptions::default(), &runtime);
    let options = BackupOptions {
        sources: vec![SourcePath::new(&folder).expect("a path")],
        pack_target: Some(2 << 20),
        ..BackupOptions::default()
    };
    let start = slow.clock.now_ms();
    let error = backup(&repository.expect("opens"), &options, &runtime).expect_err("cancelled");
    assert!(matches!(error, larder::error::Error::Cancelled { .. }), "{error:?}");
    let seconds = slow.seconds_since(start);
    assert!(seconds < 30.0, "8 MiB would have taken 512 s: {seconds} s");
    let left =
        std::fs::read_dir(slow.home.path().join("repository/tmp")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "no half-written object stays");
}
