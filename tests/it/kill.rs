//! The real program on a real disk, killed in the middle of its work.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use larder::crypto::Suite;
use larder::repository::{InitOptions, LAYOUT, OpenOptions, Repository, Unlock};
use larder::runtime::Runtime;
use larder::storage::{Location, SharedStorage};
use rustix::process::{Pid, Signal, kill_process};

use crate::rounds;
use crate::support::{Dice, LiveTree, TreeCopy};

/// A home folder with a tree and a repository on disk.
struct Machine {
    home: tempfile::TempDir,
    tree: LiveTree,
    dice: Dice,
}

impl Machine {
    fn new(seed: u64) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let mut tree = LiveTree::new(home.path().join("source"), seed);
        tree.add_samples();
        tree.grow(20);
        let machine = Self { home, tree, dice: Dice::seeded(seed) };
        let storage = larder::storage::create(&machine.location(), LAYOUT).expect("makes");
        // Small packs, so that there is much to be killed between.
        let init = InitOptions { suite: Suite::None, pack_target: 4 << 20, ..Default::default() };
        let (unlocks, open) = ([Unlock::Nothing], OpenOptions::default());
        Repository::init(storage, &unlocks, &init, &open, &Runtime::default()).expect("makes");
        machine
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("repository")
    }

    fn location(&self) -> Location {
        Location::from_path(&self.folder()).expect("a location")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
        command.env_clear().env("HOME", self.home.path()).current_dir(self.home.path());
        command.args(["-r", "repository"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program starts")
    }

    #[track_caller]
    fn succeed(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    /// Changes the tree, with enough new bytes for several packs.
    fn change(&mut self, round: u64) {
        self.tree.edit(10);
        let len = (10 << 20) + self.dice.below(10 << 20) as usize;
        self.tree.add_noise(&format!("noise{}", round % 2), len);
    }

    /// Starts a backup, waits until it has stored so many more objects, and sends a signal.
    /// Returns how it ended.
    fn interrupt(&self, objects: usize, signal: Signal) -> Output {
        let before = files(&self.folder());
        let mut child = self.command(&["snapshot", "source"]).spawn().expect("starts");
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut ended = false;
        while !ended && files(&self.folder()) < before + objects {
            assert!(Instant::now() < deadline, "the program hangs");
            std::thread::yield_now();
            ended = child.try_wait().expect("asks").is_some();
        }
        // Once it has been waited for, its id may be somebody else's.
        if !ended {
            let id = Pid::from_raw(child.id() as i32).expect("an id");
            kill_process(id, signal).expect("sends a signal");
        }
        child.wait_with_output().expect("ends")
    }

    fn open(&self) -> Repository {
        let storage: SharedStorage = larder::storage::open(&self.location()).expect("opens");
        let (open, runtime) = (OpenOptions::default(), Runtime::default());
        let repository = Repository::open(storage, &Unlock::Nothing, &open, &runtime);
        let repository = repository.expect("opens");
        let bad = repository.load_index().expect("loads the index");
        assert!(bad.is_empty(), "{bad:?}");
        repository
    }

    /// The newest snapshots are whole, as many as there are `trees` and what was killed, and those
    /// of `trees` are among them.
    fn assert_whole(&self, trees: &[TreeCopy]) {
        let repository = self.open();
        let list = repository.snapshots().expect("lists snapshots");
        assert!(list.bad.is_empty(), "{:?}", list.bad);
        let copies: Vec<TreeCopy> = list
            .snapshots
            .iter()
            .rev()
            .take(trees.len() * 3)
            .map(|snapshot| TreeCopy::of_snapshot(&repository, snapshot, self.tree.root()))
            .collect::<Result<_, _>>()
            .expect("reads all snapshots");
        for tree in trees {
            assert!(copies.contains(tree), "a finished snapshot is not what it was");
        }
    }
}

/// Files below a folder, unfinished ones included.
fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let count = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files(&entry.path()),
        _ => 1,
    };
    entries.flatten().map(count).sum()
}

/// `kill -9` at random moments: what was finished stays whole, and the next run goes on.
#[test]
fn a_killed_program_damages_nothing_and_the_next_run_completes() {
    let mut machine = Machine::new(150);
    machine.succeed(&["snapshot", "source"]);
    let mut finished = vec![TreeCopy::of_folder(machine.tree.root())];
    let mut killed = 0;
    for round in 0..rounds(3, 20) {
        machine.change(round);
        // One moment after another in one run after another, as a machine that keeps crashing.
        for _ in 0..1 + machine.dice.below(2) {
            let objects = machine.dice.below(7) as usize;
            let output = machine.interrupt(objects, Signal::KILL);
            killed += u64::from(output.status.signal() == Some(9));
            machine.assert_whole(&finished[finished.len() - 1..]);
        }
        machine.succeed(&["snapshot", "source"]);
        finished.push(TreeCopy::of_folder(machine.tree.root()));
        machine.succeed(&["check", "--read-data"]);
    }
    machine.assert_whole(&finished);
    assert!(killed > 0, "no run was still going when it was killed");
}

/// Sessions without an end.
fn open_sessions(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("lists").flatten();
    let names: Vec<String> =
        entries.map(|entry| entry.file_name().into_string().expect("plain")).collect();
    let ended = names.iter().filter(|name| name.ends_with(".end")).count();
    names.iter().filter(|name| name.ends_with("-00000000")).count() - ended
}

/// SIGINT and SIGTERM: the program says so, ends with their codes, leaves no session, and keeps what
/// it stored.
#[test]
fn a_signal_ends_a_run_in_good_order() {
    let mut machine = Machine::new(151);
    machine.succeed(&["snapshot", "source"]);
    let first = TreeCopy::of_folder(machine.tree.root());
    for (round, signal, code) in [(0, Signal::INT, 130), (1, Signal::TERM, 143)] {
        machine.change(round);
        let output = machine.interrupt(2, signal);
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            // It was faster than the signal.
            continue;
        }
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("interrupted"), "{said}");
        assert_eq!(open_sessions(&machine.folder().join("sessions")), 0, "it said goodbye");
        assert_eq!(files(&machine.folder().join("tmp")), 0, "nothing is left unfinished");
        machine.assert_whole(std::slice::from_ref(&first));
    }
    machine.succeed(&["snapshot", "source"]);
    machine.succeed(&["check", "--read-data"]);
    machine.assert_whole(&[first, TreeCopy::of_folder(machine.tree.root())]);
}
