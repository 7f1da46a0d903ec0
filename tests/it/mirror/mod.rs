//! Mirrors: complete after a sync, valid at every moment of one, healed from any whole copy.

mod heal;
mod scrub;
mod sync;

use std::sync::Arc;

use larder::mirror::{SyncOptions, SyncReport, sync};
use larder::storage::{MemoryStorage, Storage};

use crate::support::{Lab, LabOptions};

/// A repository with a few snapshots.
fn lab(seed: u64) -> Lab {
    let mut lab = Lab::with(seed, LabOptions { samples: false, ..LabOptions::default() });
    lab.backup_named("first");
    lab.tree().edit(10);
    lab.backup_named("second");
    lab
}

/// Names of what a mirror has to hold.
fn lasting(memory: &MemoryStorage) -> Vec<String> {
    let passing = ["sessions/", "gc/", "mirrors/"];
    let mut names = memory.names();
    names.retain(|name| !passing.iter().any(|folder| name.starts_with(folder)));
    names
}

#[track_caller]
fn synced(from: &dyn Storage, to: &dyn Storage, lab: &Lab) -> SyncReport {
    sync(from, to, &SyncOptions::default(), &lab.runtime()).expect("syncs")
}

#[track_caller]
fn assert_same(a: &MemoryStorage, b: &MemoryStorage) {
    assert_eq!(lasting(a), lasting(b));
    for name in lasting(a) {
        assert_eq!(a.bytes(&name), b.bytes(&name), "{name}");
    }
}

/// The same tree and memories, on what the mirror holds alone.
fn lab_on(lab: &Lab, mirror: &MemoryStorage) -> Lab {
    lab.on(mirror.fork())
}

fn memory() -> Arc<MemoryStorage> {
    Arc::new(MemoryStorage::new())
}
