use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::crypto::Suite;
use crate::repository::{
    InitOptions, KdfCost, OpenOptions, Password, Repository, Snapshot, Unlock,
};
use crate::runtime::{Random, Runtime};
use crate::source::SourcePath;
use crate::storage::{MemoryStorage, SharedStorage, Storage};
use crate::tree::{FileReader, Manifest};

fn runtime() -> Runtime {
    Runtime { random: Random::os(), ..Runtime::default() }
}

fn repository(storage: &Arc<MemoryStorage>) -> Repository {
    let storage: SharedStorage = Arc::clone(storage) as SharedStorage;
    let init = InitOptions { kdf: KdfCost::CheapForTests, ..InitOptions::default() };
    let unlock = [Unlock::Password(Password::new("pw"))];
    Repository::init(storage, &unlock, &init, &OpenOptions::default(), &runtime()).expect("inits")
}

fn options(source: &Path) -> BackupOptions {
    BackupOptions {
        sources: vec![SourcePath::new(source).expect("a path")],
        ..BackupOptions::default()
    }
}

fn content(repository: &Repository, snapshot: &Snapshot, path: &Path) -> (u64, Vec<u8>) {
    let path = path.to_str().expect("plain").trim_start_matches('/');
    let manifest = Manifest::of(snapshot);
    let entry = manifest.find(repository, path.as_bytes()).expect("reads").expect("is there");
    let mut reader = FileReader::open(repository, &manifest, &entry).expect("opens");
    let size = reader.size();
    let mut tail = vec![0; 10];
    let read = reader.read_at(size.saturating_sub(10), &mut tail).expect("reads");
    tail.truncate(read);
    (size, tail)
}

/// A lost pack made the next backup read the file again, but only its first slice: it was cut off
/// at 256 MiB without a word.
#[test]
fn a_large_file_is_read_whole_when_a_lost_pack_makes_it_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("image");
    let handle = fs::File::create(&file).expect("creates");
    handle.set_len((256 << 20) + (1 << 20)).expect("makes a hole");
    handle.write_all_at(b"the beginning", 0).expect("writes");
    handle.write_all_at(b"0123456789", (256 << 20) + (1 << 20) - 10).expect("writes");
    drop(handle);
    let past = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    fs::File::open(&file).expect("opens").set_modified(past).expect("sets");
    let storage = Arc::new(MemoryStorage::new());
    let repository = repository(&storage);
    backup(&repository, &options(folder.path()), &runtime()).expect("backs up");
    for name in storage.names().iter().filter(|name| name.starts_with("data/")) {
        storage.delete(name).expect("deletes");
    }
    let report = backup(&repository, &options(folder.path()), &runtime()).expect("backs up");
    let snapshot = report.snapshot.expect("a snapshot");
    let (size, tail) = content(&repository, &snapshot, &file);
    assert_eq!(size, (256 << 20) + (1 << 20));
    assert_eq!(tail, b"0123456789");
}

/// What a dry run or an interrupted run meant to store was taken for stored by the next run of
/// the same process.
#[test]
fn nothing_counts_as_stored_because_an_earlier_run_meant_to_store_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, vec![7; 100_000]).expect("writes");
    let storage = Arc::new(MemoryStorage::new());
    let repository = repository(&storage);
    let dry = BackupOptions { dry_run: true, ..options(folder.path()) };
    let report = backup(&repository, &dry, &runtime()).expect("looks");
    assert!(report.snapshot.is_none() && report.stats.chunks_added > 0);
    let cancelled = runtime();
    cancelled.cancel.cancel();
    backup(&repository, &options(folder.path()), &cancelled).expect_err("is cancelled");
    let report = backup(&repository, &options(folder.path()), &runtime()).expect("backs up");
    let (size, tail) = content(&repository, &report.snapshot.expect("a snapshot"), &file);
    assert_eq!((size, tail), (100_000, vec![7; 10]));
}

/// A password for a repository that is not encrypted: somebody may have put it there.
#[test]
fn a_secret_never_opens_an_unencrypted_repository() {
    let storage = Arc::new(MemoryStorage::new());
    let shared = || Arc::clone(&storage) as SharedStorage;
    let init = InitOptions { suite: Suite::None, ..InitOptions::default() };
    let nothing = OpenOptions::default();
    Repository::init(shared(), &[Unlock::Nothing], &init, &nothing, &runtime()).expect("inits");
    let secret = Unlock::Password(Password::new("pw"));
    assert!(Repository::open(shared(), &secret, &nothing, &runtime()).is_err());
    Repository::open(shared(), &Unlock::Nothing, &nothing, &runtime()).expect("opens");
}
