//! Copying into a repository whose storage fails, or that is like the source.

use std::sync::Arc;

use larder::codec::Compression;
use larder::crypto::Suite;
use larder::error::Result;
use larder::manager::{CopyOptions, CopyOutcome, CopyReport, copy};
use larder::repository::{Author, Repository, Snapshot};
use larder::storage::{MemoryStorage, SharedStorage};
use larder::tree::Manifest;
use larder::verify::{CheckOptions, ReadData, check};

use crate::support::{Lab, LabOptions};

fn options() -> CopyOptions {
    CopyOptions {
        compression: Compression::default(),
        readers: None,
        dry_run: false,
        author: Author { host: "lab".into(), user: "tester".into() },
    }
}

fn lab_options() -> LabOptions {
    LabOptions { suite: Suite::None, ..LabOptions::default() }
}

fn try_copy(from: &Lab, to: &Lab) -> Result<CopyReport> {
    let (from_repository, to_repository) = (from.try_open()?, to.try_open()?);
    from_repository.load_index()?;
    to_repository.load_index()?;
    let list = from_repository.snapshots()?;
    let all: Vec<&Snapshot> = list.snapshots.iter().collect();
    copy(&from_repository, &to_repository, &all, &options(), &to.runtime())
}

/// What restores and people see of a snapshot, but not where it lies.
fn shown(repository: &Repository, snapshot: &Snapshot) -> Vec<String> {
    Manifest::of(snapshot)
        .entries(repository)
        .map(|entry| {
            let mut entry = entry.expect("reads");
            entry.content = larder::model::Content::None;
            entry.xattrs = larder::model::XattrsRef::None;
            format!("{entry:?}")
        })
        .collect()
}

fn assert_copied(from: &Lab, to: &Lab) {
    let (from, to) = (from.open(), to.open());
    let (originals, copies) = (from.snapshots().expect("lists"), to.snapshots().expect("lists"));
    for original in &originals.snapshots {
        let copy = copies.snapshots.iter().find(|copy| copy.body.original == Some(original.id));
        let copy = copy.expect("copied");
        assert_eq!(shown(&from, original), shown(&to, copy));
        assert_eq!((copy.body.bytes, copy.body.files), (original.body.bytes, original.body.files));
    }
    assert_eq!(originals.snapshots.len(), copies.snapshots.len());
    let all = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    let report = check(&to, &all, &larder::runtime::Runtime::default()).expect("checks");
    assert!(report.is_clean(), "{report:?}");
}

/// Stop the destination after some of its writes: the next run ends what was begun, stores nothing
/// twice, and copies no snapshot twice.
#[test]
fn copies_that_were_broken_off_go_on() {
    let from = Lab::with(310, lab_options());
    from.backup();
    from.tree().edit(10);
    from.backup();
    for writes in crate::rounds(1, 1)..=crate::rounds(6, 60) {
        let to = Lab::with(311, lab_options());
        to.storage.fail_after_writes(writes);
        let failed = try_copy(&from, &to).is_err();
        to.storage.heal();
        let report = try_copy(&from, &to).expect("copies");
        assert!(failed || report.added.chunks == 0, "after {writes} writes");
        assert_copied(&from, &to);
    }
}

/// The same tree, and a new repository for it; with ids like those of `from`, or others.
fn other_repository(from: &Lab, is_like: bool) -> Lab {
    let to = from.on(MemoryStorage::new());
    let mut init = to.init_options();
    init.like = is_like.then(|| from.open().likeness());
    let storage: SharedStorage = Arc::clone(&to.storage) as SharedStorage;
    Repository::init(storage, &[to.unlock()], &init, &to.open_options(), &to.runtime())
        .expect("makes a repository");
    to
}

/// Copies are the parents of later backups: nothing is read or stored again.
#[test]
fn backups_go_on_from_copies() {
    let from = Lab::with(320, lab_options());
    from.backup();
    for is_like in [false, true] {
        let to = other_repository(&from, is_like);
        try_copy(&from, &to).expect("copies");
        let report = to.backup();
        assert!(report.parent.is_some());
        let (stats, wanted) = (report.stats, from.fork().backup().stats);
        let files = |stats: &larder::archive::BackupStats| {
            (stats.files_new, stats.files_changed, stats.files_unmodified)
        };
        assert_eq!(files(&stats), files(&wanted), "as a backup beside the original");
    }
}

/// Repositories that are alike name everything alike: chunks move as they are, and what is there is
/// not even read.
#[test]
fn chunks_move_as_they_are_between_repositories_that_are_alike() {
    let from = Lab::with(330, LabOptions::default());
    from.backup();
    from.tree().edit(10);
    from.backup();
    let to = other_repository(&from, true);
    let report = try_copy(&from, &to).expect("copies");
    assert!(report.same_ids);
    assert_copied(&from, &to);
    let roots = |lab: &Lab| -> Vec<_> {
        let list = lab.open().snapshots().expect("lists");
        list.snapshots.iter().map(|one| one.body.root).collect()
    };
    assert_eq!(roots(&from), roots(&to));
    // Without the first one's chunks the second copy of the same state still works.
    let third = other_repository(&from, true);
    third.backup();
    for name in from.memory.names().iter().filter(|name| name.starts_with("data/")) {
        from.memory.remove(name);
    }
    let report = try_copy(&from, &third).expect("copies what is there");
    let copied =
        report.snapshots.iter().filter(|one| matches!(one.outcome, CopyOutcome::Copied(_)));
    assert_eq!(copied.count(), 1, "the last state is all there: {report:?}");
}

#[test]
fn only_repositories_with_the_same_encryption_can_be_alike() {
    let from = Lab::with(340, LabOptions::default());
    let open = Lab::with(341, lab_options());
    let init = larder::repository::InitOptions {
        like: Some(from.open().likeness()),
        ..open.init_options()
    };
    let storage: SharedStorage = Arc::new(MemoryStorage::new());
    let options = open.open_options();
    let made = Repository::init(storage, &[open.unlock()], &init, &options, &open.runtime());
    assert_eq!(made.err().expect("refused").exit_code(), 2);
}
