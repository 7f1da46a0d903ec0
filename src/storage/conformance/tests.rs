use super::*;
use crate::runtime::CancelToken;
use crate::storage::fault::FaultStorage;
use crate::storage::record::RecordStorage;
use crate::storage::{LocalStorage, MemoryStorage, OpendalStorage, RetryPolicy, RetryStorage};
use opendal::{Operator, services};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Real disks take their time for each object: 300 are enough there.
const ON_DISK: Scale = Scale { objects: 300, exclusive: true };

/// Makes storages in folders below `base` that go when this does.
struct Folders(Mutex<Vec<tempfile::TempDir>>);

impl Folders {
    fn add(&self, base: &Path) -> std::path::PathBuf {
        let dir = tempfile::tempdir_in(base).unwrap();
        let path = dir.path().to_owned();
        self.0.lock().unwrap().push(dir);
        path
    }
}

fn local(scale: Scale, base: &Path) {
    let folders = Folders(Mutex::default());
    conformance_at(scale, || {
        let path = folders.add(base);
        Arc::new(LocalStorage::open(&path, path.display().to_string()).unwrap())
    });
    for folder in &*folders.0.lock().unwrap() {
        let left = folder.path().join("tmp").read_dir().map_or(0, Iterator::count);
        assert_eq!(left, 0, "no temporary files stay");
    }
}

fn memory() -> SharedStorage {
    Arc::new(MemoryStorage::new())
}

#[test]
fn memory_conforms() {
    conformance(memory);
}

#[test]
fn local_disk_conforms() {
    local(ON_DISK, &std::env::temp_dir());
}

#[test]
fn a_file_system_in_memory_conforms() {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() {
        local(Scale::default(), shm);
    }
}

#[test]
fn opendal_memory_conforms() {
    conformance(|| {
        let operator = Operator::new(services::Memory::default()).unwrap();
        Arc::new(OpendalStorage::new(operator, "memory:".into(), 4))
    });
}

/// Not what `fs:` uses, but the service most like SFTP and the like that can be tried here.
#[test]
fn opendal_files_conform() {
    let folders = Folders(Mutex::default());
    conformance_at(Scale { exclusive: false, ..ON_DISK }, || {
        let path = folders.add(&std::env::temp_dir());
        let (root, tmp) = (path.to_str().unwrap(), path.join("tmp"));
        let files = services::Fs::default().root(root).atomic_write_dir(tmp.to_str().unwrap());
        Arc::new(OpendalStorage::new(Operator::new(files).unwrap(), root.into(), 4))
    });
}

#[test]
fn wrappers_conform() {
    let policy = RetryPolicy::default;
    conformance(|| Arc::new(RecordStorage::new(memory())));
    conformance(|| Arc::new(FaultStorage::new(memory())));
    conformance(|| Arc::new(RetryStorage::new(memory(), policy(), CancelToken::default())));
    conformance(|| {
        let below = Arc::new(RecordStorage::keeping_writes(memory()));
        let faults = Arc::new(FaultStorage::new(below));
        Arc::new(RetryStorage::new(faults, policy(), CancelToken::default()))
    });
}
