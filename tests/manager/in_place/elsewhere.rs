//! Rollbacks of trees that are not as they were: moved, mounted elsewhere or in part, on a device
//! with another number, with a journal that is damaged. No original is ever thrown away.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use larder::error::Error;
use larder::restore::transaction::{
    InPlaceState, RollbackOptions, RollbackReport, restore_in_place, rollback,
};
use larder::runtime::Runtime;

use super::exact::{Exact, assert_clean};
use super::kill::{Machine, open, options};
use super::room::Mount;

const FILES: usize = 40;

fn fill(folder: &Path, text: &str) {
    fs::create_dir_all(folder).expect("makes");
    for number in 0..FILES {
        fs::write(folder.join(format!("file{number}")), format!("{text} {number}"))
            .expect("writes");
    }
}

/// A tree with another file system in it, whose restore was killed when all was exchanged but
/// nothing said so yet; and the tree of before.
fn killed_on_two(has_state: bool) -> Option<(Mount, Machine, Exact)> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let source = home.path().join("source");
    let mount = Mount::new(&source.join("deep/mnt"), 4 << 10)?;
    let fill_all = |text: &str| {
        fill(&source.join("plain"), text);
        fill(&source.join("deep/mnt"), text);
    };
    fill_all("stored");
    let machine = Machine::of(home, has_state);
    fill_all("changed");
    let before = Exact::of(&machine.source());
    assert!(machine.kill("restore", machine.last_step()));
    assert_eq!(originals(&machine.source()), FILES);
    assert_eq!(originals(&machine.source().join("deep/mnt")), FILES);
    Some((mount, machine, before))
}

/// A tree in one file system, in the same state.
fn killed(source: &str) -> (Machine, Exact) {
    let home = tempfile::tempdir().expect("a temporary folder");
    fill(&home.path().join(source), "stored");
    let machine = Machine::of(home, false);
    fill(&machine.home.path().join(source), "changed");
    let before = Exact::of(&machine.source());
    assert!(machine.kill("restore", machine.last_step()));
    (machine, before)
}

/// The staging folder that is in a folder, or in one of those in it.
fn staging(folder: &Path) -> PathBuf {
    let paths = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).expect("lists").flatten().map(|entry| entry.path()).collect()
    };
    let is_staging = |path: &PathBuf| path.to_string_lossy().contains(".larder-in-place-");
    let here = paths(folder);
    let inner = here.iter().filter(|path| path.is_dir()).flat_map(|path| paths(path));
    here.iter().cloned().chain(inner).find(is_staging).expect("a staging folder")
}

/// How many originals are set aside.
fn originals(folder: &Path) -> usize {
    fs::read_dir(staging(folder).join("old")).expect("lists").count()
}

fn roll_back(dir: Option<&Path>, state_dir: Option<PathBuf>) -> RollbackReport {
    let options = RollbackOptions { state_dir, ..Default::default() };
    rollback(dir, &options).expect("looks")
}

#[track_caller]
fn assert_undecided(report: &RollbackReport, said: &str) {
    assert!(report.unfinished.is_empty() && report.undone == 0, "{report:?}");
    assert_eq!(report.undecided.len(), 1, "{report:?}");
    assert!(report.undecided[0].what.contains(said), "{report:?}");
}

#[track_caller]
fn assert_rolled_back(report: &RollbackReport) {
    assert!(report.undecided.is_empty() && report.conflicts.is_empty(), "{report:?}");
    assert_eq!(report.unfinished.len(), 1, "{report:?}");
    assert_eq!(report.unfinished[0].state, InPlaceState::Switching, "{report:?}");
}

/// The tree lies elsewhere, as on a rescue system that knows nothing: it is rolled back there,
/// whichever of its folders is named.
#[test]
fn a_tree_that_was_moved_is_rolled_back_where_it_is() {
    for (named, has_state) in [("deep/mnt", false), ("", false), ("deep/mnt", true), ("", true)] {
        let Some((_mount, machine, before)) = killed_on_two(has_state) else { return };
        let moved = machine.home.path().join("rescue/tree");
        fs::create_dir(machine.home.path().join("rescue")).expect("makes");
        fs::rename(machine.source(), &moved).expect("moves");
        if has_state {
            // What is remembered leads nowhere: that is not forgotten.
            assert_undecided(&roll_back(None, machine.state()), "source");
            assert_undecided(&roll_back(None, machine.state()), "in-place/");
        }
        let state = machine.state();
        // Several folders are above: that with the journal may be one of them.
        assert_rolled_back(&roll_back(Some(&moved.join(named)), state.clone()));
        before.assert_same(&moved, format!("named {named:?}"));
        assert_clean(&moved, state.as_deref());
        fs::rename(&moved, machine.source()).expect("moves back");
    }
}

/// One of the file systems is not mounted: nothing is touched, nothing is forgotten, and once it is
/// there everything comes back.
#[test]
fn what_is_not_mounted_is_waited_for() {
    for has_state in [true, false] {
        let Some((_mount, machine, before)) = killed_on_two(has_state) else { return };
        let (source, state) = (machine.source(), machine.state());
        let mnt = source.join("deep/mnt");
        let hiding = Mount::new(&mnt, 64).expect("mounts");
        for dir in [Some(&source), None].into_iter().filter(|dir| dir.is_some() || has_state) {
            let report = roll_back(dir.map(|dir| &**dir), state.clone());
            assert_undecided(&report, "deep/mnt/.larder-in-place");
        }
        let (repository, snapshot) = open(machine.home.path());
        let options = options(machine.home.path(), has_state, None);
        let error = restore_in_place(&repository, &snapshot, &options, &Runtime::default());
        assert!(matches!(error, Err(Error::Untouched { .. })), "{error:?}");
        drop(hiding);
        assert_eq!(originals(&mnt), FILES);
        // And the other way round: the folder with the journal is not there.
        let (first, hidden) = (staging(&source), machine.home.path().join("hidden"));
        assert_ne!(first.parent(), Some(&*mnt));
        fs::rename(&first, &hidden).expect("hides");
        let report = roll_back(Some(&mnt), None);
        assert_eq!((report.undone, report.unfinished.len()), (0, 0), "{report:?}");
        assert_eq!(report.undecided.len(), 1, "{report:?}");
        assert_eq!(originals(&mnt), FILES);
        fs::rename(&hidden, &first).expect("puts back");
        assert_rolled_back(&roll_back(Some(&mnt), state.clone()));
        assert_same_but_times(&before, &source);
        assert_clean(&source, state.as_deref());
    }
}

/// Hiding a staging folder moved the times of the folder that it is in.
#[track_caller]
fn assert_same_but_times(before: &Exact, source: &Path) {
    for path in [&b"plain/file7"[..], b"deep/mnt/file7", b"deep/mnt"] {
        let now = Exact::of(source);
        assert_eq!(before.node(path), now.node(path), "{}", String::from_utf8_lossy(path));
    }
}

/// A copy of the tree, with what is unfinished in it: only the tree itself is rolled back.
#[test]
fn a_copy_is_left_alone() {
    let (machine, before) = killed("source");
    let copy = machine.home.path().join("copy");
    let copied = Command::new("cp").arg("-a").arg(machine.source()).arg(&copy).status();
    assert!(copied.expect("copies").success());
    let same = Exact::of(&copy);
    assert_undecided(&roll_back(Some(&copy), None), "it is a copy");
    same.assert_same(&copy, "a copy");
    assert_rolled_back(&roll_back(Some(&machine.source()), None));
    before.assert_same(&machine.source(), "the tree itself");
}

/// After a restart a device has another number: entries are known by their inodes.
#[test]
fn a_device_may_have_another_number() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let images = tempfile::tempdir().expect("a temporary folder");
    let source = home.path().join("source");
    fs::create_dir(&source).expect("makes");
    let image = |name: &str| {
        let path = images.path().join(name);
        let file = fs::File::create(&path).expect("makes");
        file.set_len(16 << 20).expect("sets a length");
        let made = Command::new("mkfs.ext4").arg("-q").arg(&path).output();
        made.is_ok_and(|output| output.status.success()).then_some(path)
    };
    let (Some(disk), Some(other)) = (image("disk"), image("other")) else { return };
    let Some(mounted) = Loop::new(&disk, &source) else { return };
    fill(&source, "stored");
    let device = source.metadata().expect("is there").dev();
    let machine = Machine::of(home, true);
    fill(&source, "changed");
    fs::remove_file(source.join("file3")).expect("removes");
    let before = Exact::of(&source);
    assert!(machine.kill("restore", machine.last_step()));
    drop(mounted);
    assert_undecided(&roll_back(None, machine.state()), "not mounted");
    fs::create_dir(machine.home.path().join("other")).expect("makes");
    let _other = Loop::new(&other, &machine.home.path().join("other"));
    let Some(_mounted) = Loop::new(&disk, &source) else { return };
    let is_other = source.metadata().expect("is there").dev() != device;
    assert_rolled_back(&roll_back(None, machine.state()));
    before.assert_same(&source, format!("another number: {is_other}"));
    assert_clean(&source.join("lost+found"), machine.state().as_deref());
}

/// A file system in a file, mounted.
struct Loop(PathBuf);

impl Loop {
    fn new(image: &Path, at: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(["-o", "loop"]).arg(image).arg(at).output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        is_mounted.then(|| Self(at.to_path_buf()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

/// A damaged record in the middle of a journal: all that the others tell of is undone, and the
/// original that it told of is kept.
#[test]
fn a_damaged_journal_costs_no_original() {
    let (machine, before) = killed("source");
    let journal = staging(&machine.source()).join("journal");
    let mut bytes = fs::read(&journal).expect("reads");
    let asides: Vec<usize> =
        (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"Aside")).collect();
    assert_eq!(asides.len(), FILES);
    bytes[asides[FILES / 2] + 8] ^= 1;
    fs::write(&journal, &bytes).expect("writes");
    for _ in 0..2 {
        let error = rollback(Some(&machine.source()), &RollbackOptions::default());
        assert!(matches!(error, Err(Error::RollbackFailed { .. })), "{error:?}");
        assert_eq!(originals(&machine.source()), 1, "of the damaged record");
    }
    let now = Exact::of(&machine.source());
    let names = (0..FILES).map(|number| format!("file{number}"));
    let back = names.filter(|name| before.node(name.as_bytes()) == now.node(name.as_bytes()));
    assert_eq!(back.count(), FILES - 1);
    // The first record says what all of it is about.
    let first = bytes.iter().position(|byte| *byte == 0x81).expect("a record");
    bytes[first + 20] ^= 1;
    fs::write(&journal, &bytes).expect("writes");
    assert_undecided(&roll_back(Some(&machine.source()), None), "missing or damaged");
    assert_eq!(originals(&machine.source()), 1);
}

/// The folder of an original is gone: the original is kept, and comes back when the folder does.
#[test]
fn originals_of_folders_that_are_gone_are_kept() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let plain = home.path().join("source/plain");
    fill(&plain, "stored");
    fill(&home.path().join("source/other"), "stored");
    let machine = Machine::of(home, true);
    fill(&plain, "changed");
    fill(&machine.source().join("other"), "changed");
    assert!(machine.kill("restore", machine.last_step()));
    let moved = machine.home.path().join("moved");
    fs::rename(&plain, &moved).expect("moves");
    let report = roll_back(None, machine.state());
    assert_eq!(report.conflicts.len(), FILES, "{report:?}");
    assert_eq!(originals(&machine.source()), FILES);
    fs::rename(&moved, &plain).expect("moves back");
    assert_rolled_back(&roll_back(None, machine.state()));
    assert_eq!(fs::read(plain.join("file7")).expect("is back"), b"changed 7");
    assert_clean(&machine.source(), machine.state().as_deref());
}
