//! Snapshots made out of snapshots are what a backup would have made.

mod copying;
mod rewriting;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::archive::{BackupOptions, backup};
use crate::chunker::SizeClass;
use crate::crypto::Suite;
use crate::model::entry::is_within;
use crate::model::{BackupStrategy, Entry};
use crate::repository::{Author, InitOptions, OpenOptions, Repository, Snapshot, Unlock};
use crate::runtime::{Runtime, TestClock};
use crate::source::{SourcePath, WalkOptions};
use crate::storage::{MemoryStorage, SharedStorage};
use crate::tree::Manifest;

fn author() -> Author {
    Author { host: "desk".into(), user: "ann".into() }
}

fn repository(state: &Path) -> Repository {
    repository_with(state, None)
}

fn repository_with(state: &Path, classes: Option<Vec<SizeClass>>) -> Repository {
    let mut init = InitOptions::default();
    init.classes = classes.unwrap_or(init.classes);
    made(state, init)
}

fn repository_like(state: &Path, other: &Repository) -> Repository {
    made(state, InitOptions { like: Some(other.likeness()), ..InitOptions::default() })
}

fn made(state: &Path, init: InitOptions) -> Repository {
    let storage: SharedStorage = Arc::new(MemoryStorage::new());
    let init = InitOptions { suite: Suite::None, ..init };
    let options = OpenOptions { state_dir: Some(state.into()), ..OpenOptions::default() };
    Repository::init(storage, &[Unlock::Nothing], &init, &options, &Runtime::default())
        .expect("inits")
}

fn backed_up(repository: &Repository, source: &Path, walk: WalkOptions) -> Snapshot {
    backed_up_as(BackupStrategy::Incremental, repository, source, walk)
}

fn backed_up_as(
    strategy: BackupStrategy,
    repository: &Repository,
    source: &Path,
    walk: WalkOptions,
) -> Snapshot {
    let options = BackupOptions {
        strategy,
        sources: vec![SourcePath::new(source).expect("a path")],
        walk,
        host: Some("web".into()),
        tags: vec!["a".into()],
        ..BackupOptions::default()
    };
    let report = backup(repository, &options, &Runtime::default()).expect("backs up");
    report.snapshot.expect("a snapshot")
}

/// A backup of a machine whose clock is wrong by weeks.
fn back_dated(repository: &Repository, source: &Path) -> Snapshot {
    let now_ms = Runtime::default().clock.now_ms();
    let clock = Arc::new(TestClock::at_ms(now_ms - 20 * 24 * 3_600_000));
    let options = BackupOptions {
        sources: vec![SourcePath::new(source).expect("a path")],
        host: Some("web".into()),
        ..BackupOptions::default()
    };
    let runtime = Runtime { clock, ..Runtime::default() };
    backup(repository, &options, &runtime).expect("backs up").snapshot.expect("a snapshot")
}

/// Files of several sizes, a folder to leave out, hard links in and out of it.
fn make_tree(root: &Path) {
    fs::create_dir_all(root.join("keep/deep")).expect("a folder");
    fs::create_dir_all(root.join("gone/deep")).expect("a folder");
    for number in 0..200_u32 {
        let bytes = number.to_le_bytes().repeat(1 + number as usize * 7);
        fs::write(root.join(format!("keep/deep/{number}")), &bytes).expect("a file");
        fs::write(root.join(format!("gone/deep/{number}")), &bytes).expect("a file");
    }
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    fs::write(root.join("gone/large"), large).expect("a file");
    fs::hard_link(root.join("gone/large"), root.join("keep/large")).expect("a link");
    fs::hard_link(root.join("gone/large"), root.join("keep/second")).expect("a link");
}

/// All that a snapshot has of `source`.
fn entries(repository: &Repository, snapshot: &Snapshot, source: &Path) -> Vec<Entry> {
    let source = source.to_str().expect("plain").trim_start_matches('/').as_bytes();
    Manifest::of(snapshot)
        .entries(repository)
        .map(|entry| entry.expect("reads"))
        .filter(|entry| is_within(&entry.path, source) || entry.path == source)
        .collect()
}
