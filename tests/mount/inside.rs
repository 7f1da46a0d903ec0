//! Mounts in this process, on storage in memory that is slow, away or stuck on command.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use larder::error::{StorageError, StorageErrorKind};
use larder::hand_on;
use larder::mount::{MountOptions, Mounted, mount};
use larder::repository::Repository;
use larder::storage::fault::{Fault, On, Rule};
use larder::storage::{SharedStorage, Storage};
use larder::view::{View, ViewOptions};

use crate::engine::{Lab, LabOptions, TreeCopy};
use crate::support::{LONG, is_possible};

/// A lab with some entries more than usual, and one backup.
fn lab(seed: u64, entries: u64) -> Lab {
    let mut lab = Lab::with(seed, LabOptions { entries, ..LabOptions::default() });
    lab.backup_named("first");
    lab
}

/// Mounts everything in a folder of the lab.
fn mounted(lab: &Lab, name: &str) -> Mounted {
    let folder = lab.scratch(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    let options = ViewOptions { refresh: Duration::ZERO, ..ViewOptions::default() };
    let view = View::new(Arc::new(lab.open()), options).expect("a view");
    mount(Arc::new(view), &folder, &MountOptions::default()).expect("a mount")
}

/// Where the lab's source is in a snapshot.
fn source_in(lab: &Lab, snapshot: &Path) -> PathBuf {
    snapshot.join(lab.source().strip_prefix("/").expect("absolute"))
}

#[test]
fn every_tree_is_what_a_restore_brings_back() {
    if !is_possible() {
        return;
    }
    for seed in 0..3 {
        let mut lab = lab(seed, 10 + 20 * seed);
        lab.tree().edit(15);
        lab.backup_named("second");
        let mount = mounted(&lab, "mnt");
        let repository = lab.open();
        for name in ["first", "second"] {
            let (snapshot, _) = lab.remembered(&repository, name);
            let folder = mount.folder().join("ids").join(snapshot.id.to_string());
            let shown = TreeCopy::of_folder(&source_in(&lab, &folder));
            let restored = lab.restore(&repository, &snapshot).expect("a restore");
            restored.assert_same(&shown, format!("seed {seed}, {name}"));
        }
        mount.unmount().expect("nobody uses it");
    }
}

#[test]
fn new_snapshots_appear() {
    if !is_possible() {
        return;
    }
    let mut lab = lab(7, 5);
    let mount = mounted(&lab, "mnt");
    let count = || std::fs::read_dir(mount.folder().join("ids")).expect("a folder").count();
    assert_eq!(count(), 1);
    let before = std::fs::read_link(mount.folder().join("latest")).expect("a link");
    lab.tree().edit(3);
    lab.clock.advance_ms(60_000);
    lab.backup_named("second");
    let start = Instant::now();
    while count() == 1
        || std::fs::read_link(mount.folder().join("latest")).expect("a link") == before
    {
        assert!(start.elapsed() < LONG, "it does not appear");
        std::thread::sleep(Duration::from_millis(50));
    }
    mount.unmount().expect("nobody uses it");
}

fn rule(times: u64, fault: Fault) -> Rule {
    Rule { on: On::Get, prefix: "data/".into(), nth: 1, times, fault }
}

/// A lab with one file of `len` bytes that nothing compresses.
fn lab_with_large(len: usize) -> Lab {
    let options = LabOptions { samples: false, entries: 0, ..LabOptions::default() };
    let mut lab = Lab::with(3, options);
    std::fs::write(lab.source().join("large"), crate::engine::Dice::seeded(1).noise(len))
        .expect("a file");
    lab.backup_named("first");
    lab
}

/// Readers get an error while storage is away, and everything when it is back.
#[test]
fn storage_that_comes_back_is_read_again() {
    if !is_possible() {
        return;
    }
    let lab = lab_with_large(3 << 20);
    let mount = mounted(&lab, "mnt");
    let file = source_in(&lab, &mount.folder().join("latest")).join("large");
    let expected = std::fs::read(lab.source().join("large")).expect("a file");
    lab.disk.inject(rule(u64::MAX, Fault::Fail(StorageErrorKind::Temporary)));
    let error = std::fs::read(&file).expect_err("storage is away");
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    // What needs no data goes on.
    assert_eq!(std::fs::metadata(&file).expect("known").len(), expected.len() as u64);
    lab.disk.heal();
    assert!(std::fs::read(&file).expect("storage is back") == expected);
    mount.unmount().expect("nobody uses it");
}

/// Whoever reads from storage that does not answer can be killed, and the mount goes on.
#[test]
fn a_reader_of_stuck_storage_can_be_killed() {
    if !is_possible() {
        return;
    }
    let lab = lab_with_large(2 << 20);
    let mount = mounted(&lab, "mnt");
    let file = source_in(&lab, &mount.folder().join("latest")).join("large");
    lab.disk.inject(rule(u64::MAX, Fault::Delay(Duration::from_secs(20))));
    for signal in ["KILL", "INT"] {
        let reader = Command::new("cat").arg(&file).stdout(Stdio::null()).spawn();
        let mut reader = reader.expect("a reader");
        std::thread::sleep(Duration::from_millis(300));
        let pid = reader.id().to_string();
        Command::new("kill").args([&format!("-{signal}"), &pid]).status().expect("killed");
        let killed = Instant::now();
        while reader.try_wait().expect("a child").is_none() {
            assert!(killed.elapsed() < Duration::from_secs(10), "{signal} does not end it");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    lab.disk.heal();
    // Another folder is listed although the first reads may still hang.
    assert!(std::fs::read_dir(mount.folder()).expect("a folder").count() >= 4);
    drop(mount);
}

/// What is read in order is fetched in many requests at once, where storage takes so many.
#[test]
fn slow_storage_is_read_ahead_of_whoever_reads_in_order() {
    if !is_possible() {
        return;
    }
    let lab = lab_with_large(12 << 20);
    let slow = Arc::new(Slow { inner: lab.disk.clone(), now: 0.into(), most: 0.into() });
    let repository =
        Repository::open(slow.clone(), &lab.unlock(), &lab.open_options(), &lab.runtime())
            .expect("opens");
    repository.load_index().expect("an index");
    let view = View::new(Arc::new(repository), ViewOptions::default()).expect("a view");
    let folder = lab.scratch("mnt");
    std::fs::create_dir_all(&folder).expect("a folder");
    let mount = mount(Arc::new(view), &folder, &MountOptions::default()).expect("a mount");

    let file = source_in(&lab, &mount.folder().join("latest")).join("large");
    let mut read = Vec::new();
    std::fs::File::open(&file).expect("a file").read_to_end(&mut read).expect("readable");
    assert!(read == std::fs::read(lab.source().join("large")).expect("a file"));
    let most = slow.most.load(Ordering::Relaxed);
    assert!(most >= 4, "at most {most} requests at once");
    mount.unmount().expect("nobody uses it");
}

/// Storage that takes many calls at once, and its time for each; counts how many it gets.
struct Slow {
    inner: SharedStorage,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Storage for Slow {
    hand_on!(inner: location, put, get, head, list, delete);

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(100));
        self.now.fetch_sub(1, Ordering::Relaxed);
        self.inner.get_range(name, offset, buf)
    }

    fn concurrency(&self) -> usize {
        16
    }
}
