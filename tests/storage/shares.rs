//! What tests of SMB and NFS have in common.

use std::error::Error as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use larder::error::{Error, StorageError, StorageErrorKind};
use larder::storage::{
    self, Connection, Location, PutMode, RetryPolicy, SharedStorage, Storage, list_sorted,
};
use tempfile::TempDir;

/// Storage that repeats nothing: the first failure counts.
pub(crate) fn open(location: &str, connection: &Connection) -> SharedStorage {
    let policy = RetryPolicy { give_up_after: Duration::ZERO, ..RetryPolicy::default() };
    open_patiently(location, &Connection { policy, ..connection.clone() })
}

pub(crate) fn open_patiently(location: &str, connection: &Connection) -> SharedStorage {
    let location = Location::parse(location).expect("a location");
    storage::open_with(&location, connection).expect("it opens")
}

/// What kind of failure it is, and all that people are told of it.
pub(crate) fn told<T>(result: Result<T, StorageError>) -> (StorageErrorKind, String) {
    let Err(error) = result else { panic!("it should fail") };
    assert!(error.source().is_some(), "it has a reason");
    let (kind, error) = (error.kind, Error::from(error));
    (kind, format!("{}. {}", error.in_full(), error.hint().unwrap_or_default()))
}

pub(crate) fn names(storage: &dyn Storage) -> Vec<String> {
    let all = list_sorted(storage, "").expect("a listing");
    all.into_iter().map(|meta| meta.name).collect()
}

/// A file system of 8 MiB, where this machine lets us mount one.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    pub(crate) fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m,mode=0777", "tmpfs"])
            .arg(folder.path())
            .output();
        match mount {
            Ok(done) if done.status.success() => Some(Self(folder)),
            Ok(done) => {
                let why = String::from_utf8_lossy(&done.stderr).trim().to_owned();
                println!("skipped: a full disk because no small one can be mounted: {why}");
                None
            }
            Err(why) => {
                println!("skipped: a full disk because no small one can be mounted: {why}");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// A full disk is told as such, leaves nothing behind, and what was there stays readable.
pub(crate) fn full_disk_is_told(storage: &dyn Storage, disk: &Path) {
    storage.put("data/small", &[b"x"], PutMode::Content).expect("there is room");
    for len in [16 << 20, 9 << 20] {
        let (kind, text) = told(storage.put("data/large", &[&vec![7; len]], PutMode::Content));
        assert_eq!(kind, StorageErrorKind::Full, "{text}");
        assert!(text.contains("full") && text.contains("free some space"), "{text}");
    }
    assert_eq!(names(storage), ["data/small"]);
    assert_eq!(storage.get("data/small", 1).expect("it can be read"), b"x");
    let left = disk.join("tmp").read_dir().map_or(0, Iterator::count);
    assert_eq!(left, 0, "no temporary files stay");
    storage.put("data/small2", &[b"y"], PutMode::Content).expect("there is room again");
}

/// What is in the folder and no object is not listed; old unfinished writes go, young ones stay.
pub(crate) fn strangers_and_leftovers(storage: &dyn Storage, folder: &Path) {
    storage.put("data/a", &[b"x"], PutMode::Content).expect("a put");
    storage.put("data/b", &[b"x"], PutMode::CreateOnce).expect("a put");
    for name in ["README.TXT", "data/.nfs000000000a45c2f100000001", "data/A b", "tmp/young"] {
        std::fs::write(folder.join(name), "not ours").expect("a file");
    }
    std::fs::create_dir(folder.join("data/Sub")).expect("a folder");
    assert_eq!(names(storage), ["data/a", "data/b"]);

    let old = std::fs::File::create(folder.join("tmp/old")).expect("a file");
    let written = old.metadata().and_then(|meta| meta.modified()).expect("a time");
    let long_ago = written - Duration::from_secs(48 * 3600);
    old.set_modified(long_ago).expect("an old file");
    drop(old);
    assert_eq!(storage.clean_unfinished(Duration::from_secs(86_400)).expect("it cleans"), 1);
    let left = folder.join("tmp").read_dir().expect("a folder");
    let left: Vec<_> = left.map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(left, ["young"]);
}

/// Objects are written, the server dies and comes back, objects are written: no put fails, and
/// all of them are whole.
pub(crate) fn writes_survive_a_restart(
    storage: &dyn Storage,
    kill_and_restart: impl FnOnce() + Send,
) {
    const OBJECTS: usize = 120;
    let bytes = |at: usize| vec![at as u8; if at.is_multiple_of(10) { 6 << 20 } else { 3000 + at }];
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                scope.spawn(move || {
                    for at in (writer..OBJECTS).step_by(4) {
                        let name = format!("data/{:02x}/{at:04}", at % 7);
                        storage.put(&name, &[&bytes(at)], PutMode::Content).expect("it arrives");
                    }
                })
            })
            .collect();
        while names_so_far(storage) < OBJECTS / 4 {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(writers.iter().any(|writer| !writer.is_finished()), "in mid-backup");
        kill_and_restart();
    });
    let all = list_sorted(storage, "").expect("a listing");
    assert_eq!(all.len(), OBJECTS);
    for meta in all {
        let at: usize = meta.name.rsplit('/').next().and_then(|n| n.parse().ok()).expect("a name");
        assert!(storage.get(&meta.name, 8 << 20).expect("it can be read") == bytes(at));
    }
}

fn names_so_far(storage: &dyn Storage) -> usize {
    list_sorted(storage, "data/").map_or(0, |all| all.len())
}
