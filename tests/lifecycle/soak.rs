//! The real program on a real disk for as long as one likes: three machines edit and back up, a
//! fourth forgets, prunes and checks, and any of them is killed at any moment. Days pass between
//! prunes: all files of the repository are made older. Every snapshot that nobody forgot has to hold
//! what its tree held, to the last byte.
//!
//! `LARDER_SOAK_SECONDS=7200 cargo test --release --test lifecycle soak -- --nocapture` runs for two
//! hours and prints what it did;
//! `LARDER_SOAK_PROGRAM` names another build of the program.

// What it did is worth seeing.
#![allow(clippy::print_stdout)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use larder::model::BackupId;
use larder::repository::{OpenOptions, Repository, Unlock};
use larder::runtime::Runtime;
use larder::storage::Location;
use larder::verify::{CheckOptions, ReadData, check};
use parking_lot::Mutex;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use rustix::process::{Pid, Signal, kill_process};

use crate::is_long;
use crate::support::{Dice, LiveTree, TreeCopy};

const HOUR_S: i64 = 3600;

/// What ought to be.
#[derive(Default)]
struct Truth {
    trees: HashMap<BackupId, (PathBuf, TreeCopy)>,
    /// Snapshots that somebody tried to forget.
    given_up: HashSet<BackupId>,
    counts: BTreeMap<&'static str, u64>,
}

/// A folder with the repository and everybody's homes.
struct Site {
    home: tempfile::TempDir,
    truth: Mutex<Truth>,
    until: Instant,
}

impl Site {
    fn repository(&self) -> PathBuf {
        self.home.path().join("repository")
    }

    fn count(&self, what: &'static str, number: u64) {
        *self.truth.lock().counts.entry(what).or_default() += number;
    }

    fn command(&self, who: &str, arguments: &[&str]) -> Command {
        let program = std::env::var_os("LARDER_SOAK_PROGRAM");
        let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_larder").into());
        let mut command = Command::new(program);
        let home = self.home.path().join(who);
        std::fs::create_dir_all(&home).expect("makes a folder");
        command.env_clear().env("HOME", &home).env("TMPDIR", &home).current_dir(&home);
        command.arg("-r").arg(self.repository()).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the program; sometimes it is killed. `None`: it was.
    fn run(&self, who: &str, arguments: &[&str], dice: &Dice, kill_once_in: u64) -> Option<Output> {
        let mut child = self.command(who, arguments).spawn().expect("the program starts");
        if kill_once_in > 0 && dice.once_in(kill_once_in) {
            std::thread::sleep(Duration::from_millis(dice.below(400)));
            if child.try_wait().expect("asks").is_none() {
                let id = Pid::from_raw(child.id() as i32).expect("an id");
                kill_process(id, Signal::KILL).expect("kills");
                child.wait().expect("ends");
                self.count("killed", 1);
                return None;
            }
        }
        Some(child.wait_with_output().expect("ends"))
    }

    /// One machine: edits its tree and backs it up, over and over.
    fn write(&self, number: u64, seed: u64) {
        let who = format!("writer{number}");
        let dice = Dice::seeded(seed ^ number);
        let root = self.home.path().join(format!("tree{number}"));
        let mut tree = LiveTree::new(root.clone(), seed + number);
        tree.grow(15);
        let host = who.clone();
        let arguments =
            ["snapshot", "--json", "--host", &host, root.to_str().expect("a plain name")];
        while Instant::now() < self.until {
            tree.edit(1 + dice.below(8));
            // What all have in common, and what comes and goes.
            let shared = Dice::seeded(seed ^ dice.below(12)).noise(150_000);
            let path = tree.path(format!("shared{}", dice.below(3)));
            // An edit may have made something else of it.
            let _ = std::fs::remove_dir_all(&path);
            let _ = std::fs::remove_file(&path);
            std::fs::write(path, shared).expect("writes");
            let copy = TreeCopy::of_folder(&root);
            let Some(output) = self.run(&who, &arguments, &dice, 5) else { continue };
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{who}: {output:?}");
            let summary: serde_json::Value =
                serde_json::from_str(said.lines().last().unwrap_or_default()).expect("JSON");
            let id = summary["snapshot_id"].as_str().and_then(BackupId::from_hex);
            let id = id.expect("an id");
            self.truth.lock().trees.insert(id, (root.clone(), copy));
            self.count("backups", 1);
        }
    }

    /// Somebody else: forgets, takes back, prunes and checks, and lets days pass.
    fn keep(&self, seed: u64) {
        let who = "keeper";
        let dice = Dice::seeded(seed ^ 0x4ee9);
        while Instant::now() < self.until {
            std::thread::sleep(Duration::from_millis(200));
            match dice.below(8) {
                0..3 => self.forget(who, &dice),
                3 => {
                    let arguments = ["undelete", "--all", "--host", "writer1"];
                    if self.run(who, &arguments, &dice, 6).is_some_and(|o| o.status.success()) {
                        self.count("undeletes", 1);
                    }
                }
                4..7 => {
                    grow_older(&self.repository(), 30 * HOUR_S);
                    let arguments = ["prune", "--grace", "1d", "--max-unused", "0", "--json"];
                    let Some(output) = self.run(who, &arguments, &dice, 4) else { continue };
                    let code = output.status.code();
                    // 11: another prune seems to be at work: the one that was killed.
                    assert!(matches!(code, Some(0 | 11)), "prune: {output:?}");
                    self.count("prunes", u64::from(code == Some(0)));
                }
                _ => {
                    let output = self.run(who, &["check"], &dice, 0).expect("is not killed");
                    assert!(output.status.success(), "check: {output:?}");
                    self.count("checks", 1);
                }
            }
        }
    }

    fn forget(&self, who: &str, dice: &Dice) {
        let ids: Vec<BackupId> = {
            let mut truth = self.truth.lock();
            let known = truth.trees.keys().filter(|id| !truth.given_up.contains(id));
            let mut known: Vec<BackupId> = known.copied().collect();
            known.sort_unstable();
            // Some always stay.
            let gone = known.into_iter().filter(|_| dice.once_in(3)).take(4);
            let gone: Vec<BackupId> = gone.collect();
            truth.given_up.extend(&gone);
            gone
        };
        if ids.is_empty() {
            return;
        }
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let mut arguments = vec!["forget", "--allow-empty"];
        arguments.extend(names.iter().map(String::as_str));
        if let Some(output) = self.run(who, &arguments, dice, 6) {
            assert!(output.status.success(), "forget: {output:?}");
            self.count("forgotten", ids.len() as u64);
        }
    }

    /// What nobody forgot is there and holds what it held.
    fn judge(&self) {
        let location = Location::from_path(&self.repository()).expect("a location");
        let storage = larder::storage::open(&location).expect("opens");
        let open = OpenOptions::default();
        let runtime = Runtime::default();
        let repository = Repository::open(storage, &Unlock::Nothing, &open, &runtime);
        let repository = repository.expect("opens");
        let bad = repository.load_index().expect("loads the index");
        assert!(bad.is_empty(), "{bad:?}");
        let list = repository.snapshots().expect("lists");
        assert!(list.bad.is_empty() && list.rollback.is_empty(), "{list:?}");
        let truth = self.truth.lock();
        let there: HashSet<BackupId> = list.snapshots.iter().map(|s| s.id).collect();
        for id in truth.trees.keys().filter(|id| !truth.given_up.contains(id)) {
            assert!(there.contains(id), "snapshot {id} is gone");
        }
        for snapshot in list.snapshots.iter().filter(|snapshot| !snapshot.suspect) {
            let of = snapshot.body.original.unwrap_or(snapshot.id);
            // Of what was killed nobody knows what it held, but it can be read.
            let number = &snapshot.host["writer".len()..];
            let root = self.home.path().join(format!("tree{number}"));
            let read = TreeCopy::of_snapshot(&repository, snapshot, &root);
            let read = read.unwrap_or_else(|error| panic!("snapshot {}: {error}", snapshot.id));
            if let Some((_, copy)) = truth.trees.get(&of) {
                copy.assert_same(&read, format!("snapshot {}", snapshot.id));
            }
        }
        let options = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
        let report = check(&repository, &options, &runtime).expect("checks");
        let suspects = list.snapshots.iter().filter(|snapshot| snapshot.suspect).count();
        assert!(suspects > 0 || report.is_clean(), "{:?}", report.findings);
        println!("{} snapshots, {suspects} suspect: {:?}", list.snapshots.len(), truth.counts);
    }
}

/// Time passes for everything that is stored now.
fn grow_older(folder: &Path, seconds: i64) {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        // Somebody may have deleted it just now, or not finished it.
        let Ok(meta) = entry.metadata() else { continue };
        match meta.is_dir() {
            true if entry.file_name() != "tmp" => grow_older(&entry.path(), seconds),
            true => {}
            false => {
                let (tv_sec, tv_nsec) = (meta.mtime() - seconds, meta.mtime_nsec() as _);
                let time = Timespec { tv_sec, tv_nsec };
                let times = Timestamps { last_access: time, last_modification: time };
                let _ = utimensat(CWD, entry.path(), &times, AtFlags::SYMLINK_NOFOLLOW);
            }
        }
    }
}

#[test]
fn soak() {
    let seconds = std::env::var("LARDER_SOAK_SECONDS").ok();
    let seconds = seconds.map(|text| text.parse().expect("a number of seconds"));
    let seconds: u64 = seconds.unwrap_or(if is_long() { 300 } else { 12 });
    let rounds = seconds.div_ceil(60);
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut site = Site { home, truth: Mutex::default(), until: Instant::now() };
    let made = site.command("keeper", &["repo", "init", "--encryption", "none"]).output();
    assert!(made.expect("starts").status.success());
    for round in 0..rounds {
        // A round has its own trees; the repository stays.
        let length = Duration::from_secs(seconds / rounds);
        site.until = Instant::now() + length;
        std::thread::scope(|scope| {
            for number in 0..3 {
                let site = &site;
                scope.spawn(move || site.write(10 * round + number, 900 + round));
            }
            scope.spawn(|| site.keep(950 + round));
        });
        site.judge();
    }
    // Days later, with nobody in the way.
    for _ in 0..6 {
        grow_older(&site.repository(), 30 * HOUR_S);
        let arguments = ["prune", "--grace", "1d", "--max-unused", "0"];
        let output = site.command("keeper", &arguments).output().expect("starts");
        assert!(output.status.success(), "{output:?}");
    }
    site.judge();
}
