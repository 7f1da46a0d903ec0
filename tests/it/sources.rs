//! Awkward sources: what cannot be read, what changes or vanishes meanwhile, what is very deep, very
//! large or not a file at all.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use larder::archive::{BackupReport, backup};
use larder::crypto::Suite;
use larder::error::Error;
use larder::model::Entry;
use larder::repository::{Repository, Snapshot};
use larder::restore::{RestoreOptions, restore};
use larder::runtime::Progress;
use larder::source::SourcePath;
use larder::storage::Location;
use larder::tree::Manifest;
use parking_lot::Mutex;
use rustix::fs::{CWD, Mode, OFlags};

use crate::support::{Lab, LabOptions, TreeCopy, set_times};

fn lab(seed: u64) -> Lab {
    lab_with(seed, 5)
}

fn lab_with(seed: u64, entries: u64) -> Lab {
    let suite = Suite::None;
    Lab::with(seed, LabOptions { suite, samples: false, entries, ..LabOptions::default() })
}

fn snapshot(report: &BackupReport) -> &Snapshot {
    report.snapshot.as_ref().expect("not a dry run")
}

/// The entry of a path of the tree in a snapshot.
fn find(lab: &Lab, repository: &Repository, report: &BackupReport, name: &str) -> Option<Entry> {
    let path = lab.source().join(name);
    let path = &path.as_os_str().as_bytes()[1..];
    Manifest::of(snapshot(report)).find(repository, path).expect("reads a manifest")
}

/// Runs something as a user without rights. Threads that it starts have none either.
fn without_rights<T>(run: impl FnOnce() -> T) -> T {
    use rustix::process::Uid;
    let is_root = rustix::process::geteuid().is_root();
    let set = |uid| rustix::thread::set_thread_res_uid(None, Some(Uid::from_raw(uid)), None);
    if is_root {
        set(65_534).expect("gives up the rights");
    }
    let result = run();
    if is_root {
        set(0).expect("takes the rights back");
    }
    result
}

/// Folders and files that this user may not read are named and counted, the rest is backed up, and
/// the snapshot says that it is partial.
#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_there() {
    let lab = lab_with(120, 0);
    let closed = lab.tree().path("closed");
    fs::create_dir(&closed).expect("makes");
    fs::write(closed.join("inside"), b"unseen").expect("writes");
    let secret = lab.tree().add_noise("secret", 5000);
    lab.tree().add_noise("open", 5000);
    lab.allow_everybody();
    for path in [&closed, &secret] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o0)).expect("closes");
    }
    let report = without_rights(|| lab.try_backup()).expect("backs up");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("opens");
    assert_eq!(report.stats.errors, 2, "{:?}", snapshot(&report).body.errors);
    assert!(!report.is_complete() && snapshot(&report).body.partial);
    let named: Vec<String> = snapshot(&report)
        .body
        .errors
        .iter()
        .map(|error| String::from_utf8_lossy(&error.path.0).into_owned())
        .collect();
    assert!(named.iter().any(|path| path.ends_with("source/closed")), "{named:?}");
    assert!(named.iter().any(|path| path.ends_with("source/secret")), "{named:?}");
    let repository = lab.open();
    assert!(find(&lab, &repository, &report, "open").is_some());
    assert!(find(&lab, &repository, &report, "closed/inside").is_none());
    assert!(find(&lab, &repository, &report, "secret").is_none(), "no file without its bytes");
    // Next time it can be read, and is.
    let report = lab.backup();
    assert!(find(&lab, &lab.open(), &report, "secret").is_some());
    lab.assert_all_whole("readable again");
}

/// Calls a closure at the first report about a file of some length.
struct Meddler<F> {
    bytes: u64,
    meddle: Mutex<Option<F>>,
}

impl<F: FnOnce() + Send> Progress for Meddler<F> {
    fn expect(&self, _entries: u64, bytes: u64) {
        if bytes == self.bytes
            && let Some(meddle) = self.meddle.lock().take()
        {
            meddle();
        }
    }
}

/// Backs up, and does something at the moment when a file of `bytes` bytes was found, and not yet
/// opened.
fn meddle_at(lab: &Lab, bytes: u64, meddle: impl FnOnce() + Send + 'static) -> BackupReport {
    let report = lab.try_backup_with(|_, runtime| {
        runtime.progress = Arc::new(Meddler { bytes, meddle: Mutex::new(Some(meddle)) });
    });
    report.expect("backs up")
}

/// A file that was there a moment ago is no error.
#[test]
fn files_that_vanish_are_left_out_with_a_warning() {
    let lab = lab(121);
    let path = lab.tree().add_noise("vanishes", 7777);
    let report = meddle_at(&lab, 7777, move || fs::remove_file(path).expect("removes"));
    assert_eq!((report.stats.errors, report.stats.warnings), (0, 1));
    assert!(find(&lab, &lab.open(), &report, "vanishes").is_none());
    lab.assert_all_whole("a file vanished");
    lab.backup();
}

/// A file that was exchanged for something else between two looks at it is never followed, and
/// never blocks.
#[test]
fn files_that_become_something_else_do_no_harm() {
    let secret = Path::new("/etc/passwd");
    for number in 0..3 {
        let lab = lab(122 + number);
        let path = lab.tree().add_noise("changes", 7777);
        let changes = path.clone();
        let report = meddle_at(&lab, 7777, move || {
            fs::remove_file(&changes).expect("removes");
            match number {
                0 => std::os::unix::fs::symlink(secret, &changes).expect("links"),
                1 => fs::create_dir(&changes).expect("makes"),
                _ => {
                    let mode = Mode::from_raw_mode(0o600);
                    let fifo = rustix::fs::FileType::Fifo;
                    rustix::fs::mknodat(CWD, &changes, fifo, mode, 0).expect("makes");
                }
            }
        });
        let repository = lab.open();
        if let Some(entry) = find(&lab, &repository, &report, "changes") {
            let len = fs::metadata(secret).expect("is there").len();
            assert!(entry.size != len || entry.size == 0, "a link was followed: {entry:?}");
        }
        lab.assert_all_whole("a file became something else");
        let report = lab.backup();
        assert!(find(&lab, &lab.open(), &report, "changes").is_some());
    }
}

/// A folder that vanishes while it is walked takes along what was in it, and nothing else.
#[test]
fn folders_that_vanish_take_nothing_else_along() {
    let lab = lab(126);
    for n in 0..200 {
        let folder = lab.tree().path(format!("z{n:03}"));
        fs::create_dir(&folder).expect("makes");
        fs::write(folder.join("file"), b"x").expect("writes");
    }
    lab.tree().add_noise("first", 7777);
    let root = lab.source();
    let report = meddle_at(&lab, 7777, move || {
        for n in 100..200 {
            fs::remove_dir_all(root.join(format!("z{n:03}"))).expect("removes");
        }
    });
    assert_eq!(report.stats.errors, 0);
    let repository = lab.open();
    for n in 0..100 {
        assert!(find(&lab, &repository, &report, &format!("z{n:03}/file")).is_some());
    }
    lab.assert_all_whole("folders vanished");
}

/// Backs up while somebody writes to `path` all the time.
fn backup_while_written_to(lab: &Lab, path: &Path) -> BackupReport {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let file = fs::OpenOptions::new().write(true).open(path).expect("opens");
            let mut round = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                file.write_all_at(&round.to_le_bytes(), round * 997 % (3 << 20)).expect("writes");
            }
        });
        let report = lab.try_backup();
        stop.store(true, Ordering::Relaxed);
        report.expect("backs up")
    })
}

/// A file that is written to all the time is in the snapshot with whatever was read, marked, with a
/// warning. Once it is at rest it is read again, although its times would not say so.
#[test]
fn files_that_change_while_they_are_read_are_marked_and_read_again() {
    let lab = lab(127);
    let path = lab.tree().add_noise("busy", 3 << 20);
    // On a busy machine the writer may not get to write in the moment that counts.
    let torn = (0..50).find_map(|_| {
        let report = backup_while_written_to(&lab, &path);
        assert_eq!(report.stats.errors, 0);
        let entry = find(&lab, &lab.open(), &report, "busy").expect("is there");
        assert_eq!(entry.torn, report.stats.warnings > 0, "{:?}", report.stats);
        entry.torn.then_some(entry)
    });
    let entry = torn.expect("it is seen to change");
    // As if the last write had been before the run: only the mark says that it must be read.
    set_times(&path, entry.mtime.secs, i64::from(entry.mtime.nanos));
    let report = lab.complete(lab.try_backup_with(|options, _| options.ignore_ctime = true));
    assert!(report.stats.bytes_read >= 3 << 20, "{:?}", report.stats);
    let entry = find(&lab, &lab.open(), &report, "busy").expect("is there");
    assert!(!entry.torn);
    let repository = lab.open();
    lab.live_copy().assert_same(&lab.read(&repository, snapshot(&report)).expect("reads"), "busy");
}

/// Files that grow, shrink or are emptied right after they were found are stored as they are then.
#[test]
fn files_that_change_before_they_are_read_are_stored_as_they_are() {
    for (number, len) in [0_u64, 1, 200, 300, 7776, 7778, 900_000].into_iter().enumerate() {
        let lab = lab(130 + number as u64);
        let path = lab.tree().add_noise("changes", 7777);
        let report = meddle_at(&lab, 7777, move || {
            let file = fs::OpenOptions::new().write(true).open(path).expect("opens");
            file.set_len(len).expect("sets the length");
        });
        assert_eq!(report.stats.errors, 0);
        let repository = lab.open();
        let read = lab.read(&repository, snapshot(&report)).expect("reads");
        lab.live_copy().assert_same(&read, format!("{len} bytes"));
        lab.backup();
    }
}

/// A repository in the folder that is backed up does not back itself up.
#[test]
fn a_source_that_contains_its_repository_leaves_it_out() {
    let lab = lab(140);
    let folder = lab.tree().path("backups/repository");
    let location = Location::from_path(&folder).expect("a location");
    let storage = larder::storage::create(&location, larder::repository::LAYOUT).expect("makes");
    let (init, open) = (lab.init_options(), lab.open_options());
    let unlocks = [lab.unlock()];
    let repository = Repository::init(storage, &unlocks, &init, &open, &lab.runtime());
    let repository = repository.expect("makes a repository");
    for _ in 0..3 {
        let report = backup(&repository, &lab.backup_options(), &lab.runtime()).expect("backs up");
        assert!(report.is_complete(), "{:?}", report.stats);
        assert!(find(&lab, &repository, &report, "backups").is_some());
        let inside = find(&lab, &repository, &report, "backups/repository/repo");
        assert!(inside.is_none(), "{inside:?}");
    }
}

/// Sources that are not there: all of them is an error, some of them are counted.
#[test]
fn missing_sources_are_named() {
    let lab = lab(141);
    let missing = SourcePath::new(&lab.scratch("missing")).expect("a path");
    let all = lab.try_backup_with(|options, _| options.sources = vec![missing.clone()]);
    assert!(matches!(all, Err(Error::SourcesMissing { .. })), "{all:?}");
    assert!(lab.memory.names().iter().all(|name| !name.starts_with("sessions/")));
    let some = lab.try_backup_with(|options, _| options.sources.push(missing.clone()));
    let report = some.expect("backs up");
    assert_eq!(report.stats.errors, 1, "{:?}", snapshot(&report).body.errors);
    lab.assert_all_whole("a source is missing");
}

/// Paths of more than 10,000 bytes, which no system call takes in one piece, there and back.
#[test]
fn very_deep_folders_are_kept() {
    let mut lab = lab(142);
    let mut folder = open_folder(CWD, &lab.source());
    for n in 0..45 {
        let name = format!("{n:02}{}", "d".repeat(240));
        rustix::fs::mkdirat(&folder, &name, Mode::from_raw_mode(0o755)).expect("makes");
        folder = open_folder(&folder, Path::new(&name));
    }
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&folder, "at the bottom", flags, Mode::from_raw_mode(0o644));
    rustix::io::write(file.expect("makes a file"), b"deep").expect("writes");
    let deepest = lab.live_copy();
    assert!(deepest.longest_path() > 10_000, "{}", deepest.longest_path());
    lab.backup_named("deep");
    lab.backup();
    lab.assert_all_whole("deep");
    lab.assert_restores_identical("deep");
}

fn open_folder(at: impl rustix::fd::AsFd, path: &Path) -> rustix::fd::OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(at, path, flags, Mode::empty()).expect("opens a folder")
}

/// A file of 1 TiB with three bytes in it takes a moment, there and back, and no space.
#[test]
fn a_huge_sparse_file_takes_a_moment() {
    const LEN: u64 = 1 << 40;
    const PLACES: [u64; 3] = [0, LEN / 3, LEN - 1];
    let lab = lab(143);
    let path = lab.tree().path("huge");
    let file = fs::File::create(&path).expect("makes a file");
    if file.set_len(LEN).is_err() {
        // This file system has no files of that length.
        return;
    }
    for place in PLACES {
        file.write_all_at(b"!", place).expect("writes");
    }
    let started = Instant::now();
    let report = lab.backup();
    assert!(report.stats.bytes_stored < 1 << 20, "{:?}", report.stats);
    let repository = lab.open();
    let target = lab.scratch("restored");
    let options = RestoreOptions {
        target: target.clone(),
        subtree: Some(lab.source().as_os_str().as_bytes()[1..].to_vec()),
        ..RestoreOptions::default()
    };
    let restored = restore(&repository, snapshot(&report), &options, &lab.runtime());
    assert!(restored.expect("restores").is_complete());
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let back = fs::File::open(target.join("huge")).expect("is there");
    let meta = back.metadata().expect("a look");
    assert_eq!(meta.len(), LEN);
    assert!(meta.blocks() * 512 < 4 << 20, "{} blocks", meta.blocks());
    for place in PLACES {
        let mut byte = [0];
        back.read_exact_at(&mut byte, place).expect("reads");
        assert_eq!(&byte, b"!", "at {place}");
    }
    assert!(lab.try_check().expect("checks").is_clean());
    let again = lab.backup();
    assert_eq!(again.stats.bytes_read, 0, "{:?}", again.stats);
}

/// Names of any bytes, as single sources too.
#[test]
fn names_of_any_bytes_come_back() {
    let mut lab = lab(144);
    let folder = lab.tree().path("names");
    fs::create_dir(&folder).expect("makes");
    for byte in (1..=255_u8).filter(|byte| *byte != b'/') {
        let name = PathBuf::from(std::ffi::OsStr::from_bytes(&[b'n', byte, byte]));
        fs::write(folder.join(name), [byte]).expect("writes");
    }
    lab.backup_named("names");
    lab.assert_restores_identical("names");
    let odd = folder.join(std::ffi::OsStr::from_bytes(b"n\xff\xff"));
    let source = SourcePath::new(&odd).expect("a path");
    let report = lab.complete(lab.try_backup_with(|options, _| options.sources = vec![source]));
    let repository = lab.open();
    let entry = find(&lab, &repository, &report, "names").expect("the folder that leads there");
    assert!(entry.path.ends_with(b"names"));
    let read = TreeCopy::of_snapshot(&repository, snapshot(&report), &odd).expect("reads");
    assert_eq!(read.len(), 1);
}

#[test]
fn every_name_of_a_file_has_its_flags() {
    use rustix::fs::IFlags;
    let lab = lab(145);
    let (first, second) = (lab.source().join("name 1"), lab.source().join("name 2"));
    fs::write(&first, b"do not dump").expect("writes");
    let file = fs::File::open(&first).expect("opens");
    if rustix::fs::ioctl_setflags(&file, IFlags::NODUMP).is_err() {
        eprintln!("skipped: this file system has no flags");
        return;
    }
    fs::hard_link(&first, &second).expect("links");
    let repository = lab.open();
    let report = lab.backup();
    for name in ["name 1", "name 2"] {
        let entry = find(&lab, &repository, &report, name).expect("is there");
        assert_eq!(entry.inode_flags, IFlags::NODUMP.bits(), "{name}");
    }
}
