//! What is true of local disks alone; the rest is in the conformance suite.

use super::*;
use crate::storage::list_sorted;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub(super) fn open(path: &Path) -> LocalStorage {
    LocalStorage::open(path, "test".into()).unwrap()
}

fn storage() -> (tempfile::TempDir, LocalStorage) {
    let dir = tempfile::tempdir().unwrap();
    let storage = open(dir.path());
    (dir, storage)
}

fn put(storage: &LocalStorage, name: &str, bytes: &[u8]) -> Result<(), StorageErrorKind> {
    storage.put(name, &[bytes], PutMode::Content).map_err(|error| error.kind)
}

pub(super) fn names(storage: &LocalStorage) -> Vec<String> {
    list_sorted(storage, "").unwrap().into_iter().map(|meta| meta.name).collect()
}

pub(super) fn is_tmp_empty(folder: &Path) -> bool {
    folder.join("tmp").read_dir().map_or(0, Iterator::count) == 0
}

fn mode(path: PathBuf) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn files_are_private_and_folders_made_when_needed() {
    let (dir, storage) = storage();
    let entries = || dir.path().read_dir().unwrap().count();
    assert_eq!(entries(), 0);
    storage.get("data/00/a", 9).unwrap_err();
    storage.delete("data/00/a").unwrap();
    storage.clean_unfinished(Duration::ZERO).unwrap();
    assert_eq!(entries(), 0, "only writes make folders");
    put(&storage, "data/00/a", b"x").unwrap();
    assert_eq!(entries(), 2);
    assert_eq!(dir.path().join("data").read_dir().unwrap().count(), 1);
    for folder in ["data", "data/00", "tmp"] {
        assert_eq!(mode(dir.path().join(folder)), 0o700, "{folder}");
    }
    assert_eq!(mode(dir.path().join("data/00/a")), 0o600);
}

#[test]
fn folders_that_go_while_it_runs_are_made_again() {
    let (dir, storage) = storage();
    put(&storage, "data/00/a", b"x").unwrap();
    fs::remove_dir_all(dir.path().join("data")).unwrap();
    fs::remove_dir_all(dir.path().join("tmp")).unwrap();
    put(&storage, "data/00/a", b"x").unwrap();
    assert_eq!(names(&storage), ["data/00/a"]);
    fs::remove_dir_all(dir.path()).unwrap();
    assert_eq!(put(&storage, "data/00/b", b"x"), Err(StorageErrorKind::Missing));
}

#[test]
fn only_old_unfinished_writes_are_cleaned() {
    let (dir, storage) = storage();
    put(&storage, "repo", b"x").unwrap();
    let tmp = dir.path().join("tmp");
    for (name, days) in [("old", 8), ("young", 6)] {
        let file = fs::File::create(tmp.join(name)).unwrap();
        let now = fs::metadata(dir.path().join("repo")).unwrap().modified().unwrap();
        file.set_modified(now - Duration::from_secs(days * 86_400)).unwrap();
    }
    fs::create_dir(tmp.join("folder")).unwrap();
    assert_eq!(names(&storage), ["repo"], "unfinished writes are no objects");
    assert_eq!(storage.clean_unfinished(Duration::from_secs(7 * 86_400)).unwrap(), 1);
    let mut left: Vec<_> = tmp.read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["folder", "young"]);
}

/// Somebody who can write to the folder points parts of it elsewhere: nothing there may change.
#[test]
fn links_lead_no_write_out_of_the_repository() {
    let (dir, storage) = storage();
    let outside = tempfile::tempdir().unwrap();
    let precious = outside.path().join("precious");
    fs::write(&precious, "old").unwrap();
    symlink(outside.path(), dir.path().join("data")).unwrap();
    fs::create_dir(dir.path().join("meta")).unwrap();
    symlink(outside.path(), dir.path().join("meta/00")).unwrap();
    for name in ["data/precious", "data/new", "data/00/new", "meta/00/precious", "meta/00/new"] {
        for mode in [PutMode::Content, PutMode::CreateOnce] {
            let error = storage.put(name, &[b"new"], mode).unwrap_err();
            assert!(error.source.to_string().contains("symbolic link"), "{error:?}");
        }
        storage.delete(name).unwrap_err();
    }
    assert!(list_sorted(&storage, "").is_err(), "what is behind it is not absent");
    assert!(list_sorted(&storage, "data/").is_err());
    assert_eq!(storage.get("data/precious", 9).unwrap(), b"old", "reads follow");
    let left: Vec<_> = outside.path().read_dir().unwrap().collect();
    assert_eq!((left.len(), fs::read(&precious).unwrap()), (1, b"old".to_vec()));
}

#[test]
fn links_at_final_names_are_replaced_not_followed() {
    let (dir, storage) = storage();
    let precious = dir.path().join("PRECIOUS");
    fs::write(&precious, "old").unwrap();
    for name in ["a", "b", "c"] {
        symlink(&precious, dir.path().join(name)).unwrap();
    }
    symlink("nowhere", dir.path().join("d")).unwrap();
    assert_eq!(names(&storage), ["a", "b", "c"], "a link to a file reads as that file");
    put(&storage, "a", b"new").unwrap();
    storage.delete("b").unwrap();
    for name in ["c", "d"] {
        let error = storage.put(name, &[b"new"], PutMode::CreateOnce).unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Exists);
    }
    assert_eq!(storage.get("a", 9).unwrap(), b"new");
    assert_eq!(fs::read(&precious).unwrap(), b"old");
}

#[test]
fn foreign_things_do_not_disturb() {
    let (dir, storage) = storage();
    fs::write(dir.path().join("Notes (1).txt"), "").unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    fs::set_permissions(dir.path().join("lost+found"), fs::Permissions::from_mode(0o000)).unwrap();
    let made = Command::new("mkfifo").arg(dir.path().join("fifo")).status();
    put(&storage, "a", b"x").unwrap();
    assert_eq!(names(&storage), ["a"]);
    if made.is_ok_and(|status| status.success()) {
        let error = storage.get("fifo", 9).unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Missing, "and it does not wait for a writer");
    }
}

/// A file system in memory of 1 MiB, as root; `None` where it cannot be mounted.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(dir.path());
        let done = mount.stderr(Stdio::null()).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("skipped: a file system cannot be mounted here");
            return None;
        }
        Some(Self(dir))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_shows_no_partial_object() {
    let Some(small) = Mounted::new() else { return };
    let storage = open(small.0.path());
    put(&storage, "data/00/a", &[1; 300_000]).unwrap();
    for mode in [PutMode::Content, PutMode::CreateOnce] {
        let error = storage.put("data/00/b", &[&[2; 1_000_000]], mode).unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Full);
        assert_eq!(names(&storage), ["data/00/a"]);
    }
    assert!(is_tmp_empty(small.0.path()), "and gives the space back");
    // A longer object that cannot be replaced stays as it is.
    assert_eq!(put(&storage, "data/00/a", &[3; 900_000]), Err(StorageErrorKind::Full));
    assert_eq!(storage.get("data/00/a", 1 << 20).unwrap(), [1; 300_000]);
    put(&storage, "data/00/b", &[2; 300_000]).unwrap();
}

#[test]
fn a_read_only_file_system_denies() {
    let Some(small) = Mounted::new() else { return };
    let storage = open(small.0.path());
    put(&storage, "data/00/a", b"x").unwrap();
    let mut remount = Command::new("mount");
    let done = remount.args(["-o", "remount,ro"]).arg(small.0.path()).status();
    assert!(done.unwrap().success());
    let storage = open(small.0.path());
    assert_eq!(put(&storage, "data/00/b", b"x"), Err(StorageErrorKind::Denied));
    assert_eq!(storage.delete("data/00/a").unwrap_err().kind, StorageErrorKind::Denied);
    assert_eq!(storage.get("data/00/a", 9).unwrap(), b"x");
    assert_eq!(names(&storage), ["data/00/a"]);
}

#[test]
fn permissions_are_told_apart_from_absence() {
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root may do everything");
        return;
    }
    let (dir, storage) = storage();
    put(&storage, "data/00/a", b"x").unwrap();
    let data = dir.path().join("data");
    for (mode, reads) in [(0o500, true), (0o000, false)] {
        fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
        let denied = Some(StorageErrorKind::Denied);
        assert_eq!(put(&storage, "data/01/b", b"x").err(), denied);
        assert_eq!(storage.get("data/00/a", 9).is_ok(), reads);
        let listed = list_sorted(&storage, "");
        assert_eq!(
            listed.err().map(|error| error.kind),
            (!reads).then_some(StorageErrorKind::Denied)
        );
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
}

/// What mounts of network folders say that disks do not.
#[test]
fn on_a_mounted_share_failed_reads_may_pass_and_files_held_open_are_no_objects() {
    let (dir, mut storage) = storage();
    put(&storage, "data/00/a", b"x").unwrap();
    // Somebody else still reads an object that was deleted.
    fs::write(dir.path().join("data/00/.nfs000000000a45c2f100000001"), "y").unwrap();
    assert_eq!(names(&storage), ["data/00/a"]);

    let kind = |storage: &LocalStorage, action, errno: Errno| {
        storage.error(action, "data/00/a", errno.into()).kind
    };
    for (on_network, of_reads) in
        [(false, StorageErrorKind::Permanent), (true, StorageErrorKind::Temporary)]
    {
        storage.on_network = on_network;
        assert_eq!(kind(&storage, "read", Errno::IO), of_reads);
        assert_eq!(kind(&storage, "list", Errno::IO), of_reads);
        // What failed to be written is not known to be there: the object is written anew.
        assert_eq!(kind(&storage, "write", Errno::IO), StorageErrorKind::Permanent);
        assert_eq!(kind(&storage, "read", Errno::STALE), StorageErrorKind::Temporary);
        assert_eq!(kind(&storage, "write", Errno::HOSTDOWN), StorageErrorKind::Temporary);
    }
}
