//! Restores and rollbacks that are killed at every step there is, by `kill -9` of a process of
//! their own.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use larder::archive::{BackupOptions, backup};
use larder::crypto::Suite;
use larder::repository::{InitOptions, LAYOUT, OpenOptions, Repository, Snapshot, Unlock};
use larder::restore::transaction::{
    Hook, InPlaceOptions, RollbackOptions, restore_in_place, rollback, unfinished,
};
use larder::runtime::Runtime;
use larder::source::SourcePath;
use larder::storage::Location;

use super::exact::{Exact, assert_clean, set_flags};
use crate::support::{LiveTree, TreeCopy, set_times, set_xattr};

const WHAT: &str = "LARDER_TEST_CHILD";
const HOME: &str = "LARDER_TEST_CHILD_HOME";
const STEP: &str = "LARDER_TEST_CHILD_STEP";

/// A tree, a repository on disk, and a state folder.
pub(super) struct Machine {
    pub(super) home: tempfile::TempDir,
    pub(super) stored: TreeCopy,
    /// Whether the restore remembers anything beside its staging folders.
    pub(super) has_state: bool,
}

pub(super) fn open(home: &Path) -> (Repository, Snapshot) {
    let location = Location::from_path(&home.join("repository")).expect("a location");
    let storage = larder::storage::open(&location).expect("opens");
    let runtime = Runtime::default();
    let repository = Repository::open(storage, &Unlock::Nothing, &OpenOptions::default(), &runtime);
    let repository = repository.expect("opens");
    let snapshot = repository.snapshots().expect("lists").snapshots.pop().expect("a snapshot");
    (repository, snapshot)
}

pub(super) fn options(home: &Path, has_state: bool, hook: Option<Hook>) -> InPlaceOptions {
    InPlaceOptions {
        delete: true,
        state_dir: has_state.then(|| home.join("state")),
        hook,
        ..InPlaceOptions::default()
    }
}

/// A process of its own that is told what to do by its environment: no test by itself.
#[test]
fn child() {
    let Ok(what) = std::env::var(WHAT) else { return };
    let home = PathBuf::from(std::env::var_os(HOME).expect("a home"));
    let step: u64 = std::env::var(STEP).expect("a step").parse().expect("a number");
    let hook = Some(Hook::new(move |_, number| {
        if number == step {
            let own = rustix::process::getpid();
            let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
            std::thread::sleep(Duration::from_secs(60));
        }
        Ok(())
    }));
    let has_state = !what.contains("stateless");
    if what.starts_with("restore") {
        let (repository, snapshot) = open(&home);
        let options = options(&home, has_state, hook);
        restore_in_place(&repository, &snapshot, &options, &Runtime::default()).expect("restores");
    } else {
        let state_dir = has_state.then(|| home.join("state"));
        let options = RollbackOptions { state_dir, hook, ..Default::default() };
        rollback(Some(&home.join("source")), &options).expect("rolls back");
    }
}

impl Machine {
    fn new(has_state: bool) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let mut tree = LiveTree::new(home.path().join("source"), 500);
        tree.add_samples();
        fs::create_dir(tree.path("kept")).expect("makes");
        fs::write(tree.path("kept/one"), b"one").expect("writes");
        fs::hard_link(tree.path("kept/one"), tree.path("kept/two")).expect("links");
        fs::create_dir(tree.path("kept/gone")).expect("makes");
        fs::hard_link(tree.path("kept/one"), tree.path("kept/gone/three")).expect("links");
        fs::write(tree.path("kept/protected"), b"as it was").expect("writes");
        set_flags(&tree.path("kept/protected"), "+i");
        Self::of(home, has_state)
    }

    /// With a backup of what is in `source`.
    pub(super) fn of(home: tempfile::TempDir, has_state: bool) -> Self {
        let source = home.path().join("source");
        let location = Location::from_path(&home.path().join("repository")).expect("a location");
        let storage = larder::storage::create(&location, LAYOUT).expect("makes");
        let init = InitOptions { suite: Suite::None, pack_target: 4 << 20, ..Default::default() };
        let open = OpenOptions::default();
        let repository =
            Repository::init(storage, &[Unlock::Nothing], &init, &open, &Runtime::default());
        let sources = vec![SourcePath::new(&source).expect("a path")];
        let options = BackupOptions { sources, ..BackupOptions::default() };
        backup(&repository.expect("makes"), &options, &Runtime::default()).expect("backs up");
        let stored = TreeCopy::of_folder(&source);
        Self { home, stored, has_state }
    }

    pub(super) fn source(&self) -> PathBuf {
        self.home.path().join("source")
    }

    /// Changes the tree in all ways that there are.
    fn edit(&self) -> Exact {
        let at = |name: &str| self.source().join(name);
        let _ = fs::remove_file(at("samples/tiny"));
        fs::write(at("samples/tiny"), b"other").expect("writes");
        fs::remove_file(at("samples/noise")).expect("removes");
        fs::remove_dir_all(at("samples/deep/er")).expect("removes");
        fs::remove_file(at("samples/text")).expect("removes");
        fs::create_dir(at("samples/text")).expect("makes");
        fs::write(at("samples/text/in the way"), b"x").expect("writes");
        fs::remove_dir(at("samples/empty folder")).expect("removes");
        fs::write(at("samples/empty folder"), b"a file now").expect("writes");
        fs::create_dir(at("extra")).expect("makes");
        fs::write(at("extra/file"), b"not in the snapshot").expect("writes");
        set_flags(&at("extra/file"), "+i");
        set_xattr(&at("samples/sparse"), "user.other", b"metadata only");
        set_times(&at("kept/one"), 1_234_567_890, 5);
        fs::remove_file(at("kept/two")).expect("removes");
        fs::write(at("kept/two"), b"a file of its own").expect("writes");
        fs::remove_dir_all(at("kept/gone")).expect("removes");
        set_flags(&at("kept/protected"), "-i");
        fs::write(at("kept/protected"), b"and now").expect("writes");
        set_flags(&at("kept/protected"), "+i");
        set_flags(&at("kept"), "+i");
        set_times(&at("samples"), 1_000_000_000, 7);
        set_times(&self.source(), 1_100_000_000, 9);
        Exact::of(&self.source())
    }

    /// Takes the protection away, so that the tree can be edited again and removed.
    fn unprotect(&self) {
        for name in ["kept", "kept/protected", "extra/file"] {
            set_flags(&self.source().join(name), "-i");
        }
    }

    /// Runs a process that kills itself at a step. Returns whether it did.
    pub(super) fn kill(&self, what: &str, step: u64) -> bool {
        let what = if self.has_state { what.to_string() } else { format!("{what} stateless") };
        let output = Command::new(std::env::current_exe().expect("a program"))
            .args(["--exact", "in_place::kill::child", "--nocapture"])
            .env(WHAT, what)
            .env(HOME, self.home.path())
            .env(STEP, step.to_string())
            .stdin(Stdio::null())
            .output()
            .expect("starts");
        assert!(
            output.status.signal() == Some(9) || output.status.success(),
            "step {step}: {output:?}"
        );
        output.status.signal() == Some(9)
    }

    pub(super) fn state(&self) -> Option<PathBuf> {
        self.has_state.then(|| self.home.path().join("state"))
    }

    fn roll_back(&self) {
        let state_dir = self.state();
        let options = RollbackOptions { state_dir, ..Default::default() };
        let report = rollback(Some(&self.source()), &options).expect("rolls back");
        assert!(report.conflicts.is_empty(), "{report:?}");
        let left = unfinished(Some(&self.source()), options.state_dir.as_deref());
        assert_eq!(left.expect("looks"), []);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.unprotect();
    }
}

/// `kill -9` at every step of an in-place restore, then a rollback: the tree equals its manifest
/// of before, or, once it was committed, that of the snapshot.
#[test]
fn a_restore_killed_at_any_step_is_rolled_back() {
    let machine = Machine::new(true);
    let mut before = machine.edit();
    let (mut back, mut forward) = (0, 0);
    for step in 0.. {
        let was_killed = machine.kill("restore", step);
        machine.roll_back();
        assert_clean(&machine.source(), machine.state().as_deref());
        if before.is(&machine.source()) {
            assert!(was_killed, "step {step}: nothing was restored");
            assert_eq!(forward, 0, "step {step}: there is no way back after the commit");
            back += 1;
            continue;
        }
        if forward == 0 && !machine.is_restored() {
            before.assert_same(&machine.source(), format!("killed at step {step}"));
        }
        machine.stored.assert_same(
            &TreeCopy::of_folder(&machine.source()),
            format!("killed at step {step}, after the commit"),
        );
        forward += 1;
        if !was_killed {
            break;
        }
        machine.unprotect();
        before = machine.edit();
    }
    assert!(back > 60 && forward > 5, "{back} steps back, {forward} forward");
}

/// `kill -9` at every step of a rollback, and at another of the next one: in the end the tree is
/// as it was before the restore.
#[test]
fn a_rollback_killed_at_any_step_is_repeated() {
    let machine = Machine::new(true);
    let before = machine.edit();
    let last = machine.last_step();
    let mut steps = 0;
    for step in 0.. {
        assert!(machine.kill("restore", last), "it is killed before the commit");
        let was_killed = machine.kill("rollback", step);
        machine.kill("rollback", (step * 7) % 23);
        machine.roll_back();
        before.assert_same(&machine.source(), format!("rollback killed at step {step}"));
        assert_clean(&machine.source(), machine.state().as_deref());
        if !was_killed {
            break;
        }
        steps += 1;
    }
    assert!(steps > 30, "only {steps} steps");
}

/// The same without a state folder: what is left is found by its name.
#[test]
fn without_a_state_folder_remains_are_found_by_name() {
    let machine = Machine::new(false);
    let before = machine.edit();
    let last = machine.last_step();
    for step in (8..=last).step_by(9).chain([last]) {
        assert!(machine.kill("restore", step), "step {step}");
        let left = unfinished(Some(&machine.source()), None).expect("looks");
        assert_eq!(left.len(), 1, "step {step}: {left:?}");
        machine.roll_back();
        before.assert_same(&machine.source(), format!("killed at step {step}"));
        assert_clean(&machine.source(), None);
    }
}

/// The next restore in place brings what an earlier one left to its end first.
#[test]
fn the_next_restore_rolls_back_first() {
    let machine = Machine::new(true);
    machine.edit();
    let last = machine.last_step();
    assert!(machine.kill("restore", last));
    let (repository, snapshot) = open(machine.home.path());
    let options = options(machine.home.path(), true, None);
    let report = restore_in_place(&repository, &snapshot, &options, &Runtime::default());
    assert_eq!(report.expect("restores").rolled_back, 1);
    assert!(machine.is_restored());
    assert_clean(&machine.source(), machine.state().as_deref());
}

impl Machine {
    fn is_restored(&self) -> bool {
        self.stored.differences(&TreeCopy::of_folder(&self.source())).is_empty()
    }

    /// The number of the step before the commit: found by letting it fail there, which rolls back.
    pub(super) fn last_step(&self) -> u64 {
        let (repository, snapshot) = open(self.home.path());
        let commit = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let found = std::sync::Arc::clone(&commit);
        let hook = Hook::new(move |step, number| match step {
            "commit" => {
                found.store(number, std::sync::atomic::Ordering::Relaxed);
                Err(std::io::Error::other("a made-up error"))
            }
            _ => Ok(()),
        });
        let options = options(self.home.path(), self.has_state, Some(hook));
        restore_in_place(&repository, &snapshot, &options, &Runtime::default())
            .expect_err("it fails before the commit");
        commit.load(std::sync::atomic::Ordering::Relaxed)
    }
}
