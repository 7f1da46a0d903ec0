//! What [`copy`] makes: the snapshot that a backup into the destination would have made.

use std::os::unix::fs::FileExt;

use super::super::{CopyOptions, CopyOutcome, CopyReport, copy};
use super::*;
use crate::chunker::{ChunkerParams, SizeClass};
use crate::codec::Compression;
use crate::retention::{Candidate, TimeStanding};
use crate::verify::{CheckOptions, ReadData, check};

fn options() -> CopyOptions {
    CopyOptions {
        compression: Compression::default(),
        readers: None,
        dry_run: false,
        author: author(),
    }
}

fn copied(from: &Repository, to: &Repository) -> CopyReport {
    from.load_index().expect("loads");
    to.load_index().expect("loads");
    let list = from.snapshots().expect("lists");
    let all: Vec<&Snapshot> = list.snapshots.iter().collect();
    copy(from, to, &all, &options(), &Runtime::default()).expect("copies")
}

fn snapshot(outcome: &CopyOutcome) -> &Snapshot {
    match outcome {
        CopyOutcome::Copied(snapshot) => snapshot,
        other => panic!("not copied: {other:?}"),
    }
}

fn data_packs(repository: &Repository) -> Vec<String> {
    let mut names = Vec::new();
    repository.storage().list("data/", &mut |meta| names.push(meta.name)).expect("lists");
    names
}

fn assert_clean(repository: &Repository) {
    let all = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    let report = check(repository, &all, &Runtime::default()).expect("checks");
    assert!(report.is_clean(), "{report:?}");
}

/// Files of every kind of content: inline, one chunk, many chunks, lists of pages, holes.
fn make_contents(root: &Path) {
    make_tree(root);
    fs::write(root.join("empty"), "").expect("a file");
    fs::write(root.join("zeros"), vec![0; 200_000]).expect("a file");
    std::os::unix::fs::symlink("zeros", root.join("link")).expect("a link");
    let noise = |len: usize| -> Vec<u8> {
        let mut bytes = vec![0; len];
        crate::runtime::Random::seeded(len as u64).fill(&mut bytes);
        bytes
    };
    fs::write(root.join("list"), noise(5 << 20)).expect("a file");
    let holes = fs::File::create(root.join("holes")).expect("a file");
    holes.set_len(3 << 20).expect("a length");
    holes.write_all_at(&noise(100_000), 70_000).expect("writes");
    holes.write_all_at(&noise(70_000), (2 << 20) + 5).expect("writes");
    let mut mixed = noise(300_000);
    mixed[65_536..4 * 65_536].fill(0);
    fs::write(root.join("mixed"), mixed).expect("a file");
    let _ = rustix::fs::lsetxattr(
        root.join("list"),
        "user.long",
        &noise(700),
        rustix::fs::XattrFlags::empty(),
    );
}

#[test]
fn a_copy_is_what_a_backup_would_have_made() {
    let home = tempfile::tempdir().expect("a folder");
    let source = home.path().join("source");
    make_contents(&source);
    let params = ChunkerParams::for_average(4 << 10).expect("possible");
    let small = vec![SizeClass { below: u64::MAX, params }];
    let from = repository(&home.path().join("from"));
    backed_up(&from, &source, WalkOptions::default());
    for (name, classes) in [("same", None), ("small", Some(small))] {
        let to = repository_with(&home.path().join(name), classes);
        let report = copied(&from, &to);
        assert!(!report.same_ids, "another constant");
        let copy = snapshot(&report.snapshots[0].outcome).clone();
        let wanted = backed_up_as(BackupStrategy::Full, &to, &source, WalkOptions::default());
        assert_eq!(entries(&to, &copy, &source), entries(&to, &wanted, &source), "{name}");
        assert_eq!(copy.body.original, Some(report.snapshots[0].original.id));
        assert_eq!(copy.body.start_ms, report.snapshots[0].original.body.start_ms);
        let added = report.added;
        assert!(added.stored_bytes > 5 << 20, "{added:?}");
        assert_clean(&to);
        let list = to.snapshots().expect("lists");
        let standings = Candidate::all_of(&list);
        assert!(standings.iter().all(|one| one.time_standing() == TimeStanding::InTime));
    }
}

#[test]
fn copies_are_made_once_and_share_work() {
    let home = tempfile::tempdir().expect("a folder");
    let source = home.path().join("source");
    make_contents(&source);
    let from = repository(&home.path().join("from"));
    let to = repository(&home.path().join("to"));
    backed_up(&from, &source, WalkOptions::default());
    copied(&from, &to);
    let first_packs = data_packs(&from);
    fs::write(source.join("keep/new"), vec![9; 100_000]).expect("a file");
    backed_up(&from, &source, WalkOptions::default());
    // What the second one shares with the first is not read: it is not even there any more.
    first_packs.iter().for_each(|name| from.storage().delete(name).expect("deletes"));
    let report = copied(&from, &to);
    assert!(matches!(report.snapshots[0].outcome, CopyOutcome::AlreadyThere(_)), "{report:?}");
    let copy = snapshot(&report.snapshots[1].outcome).clone();
    assert_eq!(copy.body.parent.as_ref().expect("translated").id, {
        let list = to.snapshots().expect("lists");
        list.snapshots[0].id
    });
    assert_clean(&to);
    let wanted = backed_up_as(BackupStrategy::Full, &to, &source, WalkOptions::default());
    assert_eq!(entries(&to, &copy, &source), entries(&to, &wanted, &source));
    // Forgotten copies are not made again behind the back of who forgot them.
    let list = to.snapshots().expect("lists");
    let gone: Vec<&Snapshot> = list.snapshots.iter().filter(|one| one.id == copy.id).collect();
    let runtime = Runtime::default();
    let kind = crate::format::log::LogKind::Forget;
    to.append_about(kind, &gone, "", &author(), &list, &runtime).expect("forgets");
    let report = copied(&from, &to);
    assert!(matches!(report.snapshots[1].outcome, CopyOutcome::ForgottenThere(_)), "{report:?}");
}

#[test]
fn damage_costs_only_the_snapshot_that_it_hits() {
    let home = tempfile::tempdir().expect("a folder");
    let source = home.path().join("source");
    make_contents(&source);
    let from = repository(&home.path().join("from"));
    let to = repository(&home.path().join("to"));
    backed_up(&from, &source, WalkOptions::default());
    fs::remove_file(source.join("list")).expect("removes");
    let others = home.path().join("others");
    make_tree(&others);
    fs::write(others.join("alone"), vec![3; 100_000]).expect("a file");
    data_packs(&from).iter().for_each(|name| from.storage().delete(name).expect("deletes"));
    from.load_index().expect("loads");
    backed_up(&from, &others, WalkOptions::default());
    let report = copied(&from, &to);
    assert!(matches!(report.snapshots[0].outcome, CopyOutcome::Damaged(_)), "{report:?}");
    snapshot(&report.snapshots[1].outcome);
    assert_clean(&to);
}

#[test]
fn a_repository_is_not_copied_into_itself() {
    let home = tempfile::tempdir().expect("a folder");
    let from = repository(&home.path().join("from"));
    let error = copy(&from, &from, &[], &options(), &Runtime::default()).expect_err("refused");
    assert_eq!(error.exit_code(), 2);
}

/// Small and large files, whose pieces are moved as they are, and a list of pieces in windows.
#[test]
fn between_repositories_that_are_alike_roots_are_equal() {
    let home = tempfile::tempdir().expect("a folder");
    let source = home.path().join("source");
    make_contents(&source);
    let params = ChunkerParams::for_average(4 << 10).expect("possible");
    let small = vec![SizeClass { below: u64::MAX, params }];
    let from = repository_with(&home.path().join("from"), Some(small));
    let original = backed_up(&from, &source, WalkOptions::default());
    let to = repository_like(&home.path().join("to"), &from);
    let report = copied(&from, &to);
    assert!(report.same_ids);
    assert_eq!(snapshot(&report.snapshots[0].outcome).body.root, original.body.root);
    assert_clean(&to);
}

/// A time that cannot be believed in the source cannot be believed of the copy.
#[test]
fn copies_look_no_better_than_their_originals() {
    let home = tempfile::tempdir().expect("a folder");
    let source = home.path().join("source");
    make_tree(&source);
    let from = repository(&home.path().join("from"));
    let to = repository(&home.path().join("to"));
    back_dated(&from, &source);
    for _ in 0..2 {
        copied(&from, &to);
        let list = to.snapshots().expect("lists");
        assert_eq!(list.snapshots.len(), 1);
        let candidate = &Candidate::all_of(&list)[0];
        assert!(matches!(candidate.time_standing(), TimeStanding::BackDated(_)), "{candidate:?}");
    }
    // Once somebody has looked at it there, the next copy says so here.
    let list = from.snapshots().expect("lists");
    let all: Vec<&Snapshot> = list.snapshots.iter().collect();
    let kind = crate::format::log::LogKind::Clear;
    from.append_about(kind, &all, "", &author(), &list, &Runtime::default()).expect("clears");
    copied(&from, &to);
    let candidate = &Candidate::all_of(&to.snapshots().expect("lists"))[0];
    assert_eq!(candidate.time_standing(), TimeStanding::InTime);
}

/// A copy in quarantine does not stand for its original.
#[test]
fn bad_copies_are_made_again() {
    let home = tempfile::tempdir().expect("a folder");
    let source = home.path().join("source");
    make_tree(&source);
    let from = repository(&home.path().join("from"));
    let to = repository(&home.path().join("to"));
    backed_up(&from, &source, WalkOptions::default());
    copied(&from, &to);
    let list = to.snapshots().expect("lists");
    let all: Vec<&Snapshot> = list.snapshots.iter().collect();
    let kind = crate::format::log::LogKind::Quarantine;
    to.append_about(kind, &all, "damaged", &author(), &list, &Runtime::default()).expect("says");
    let report = copied(&from, &to);
    snapshot(&report.snapshots[0].outcome);
    let report = copied(&from, &to);
    assert!(matches!(report.snapshots[0].outcome, CopyOutcome::AlreadyThere(_)), "{report:?}");
}
