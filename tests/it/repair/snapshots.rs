use std::collections::BTreeSet;

use larder::model::BackupId;
use larder::repair::{
    LostPart, REPAIRED_TAG, RepairOutcome, SnapshotRepair, SnapshotRepairOptions, repair_snapshots,
};
use larder::repository::{Repository, Snapshot};
use larder::retention::{Candidate, Sights};
use larder::tree::{FileReader, Manifest};
use larder::verify::{CheckOptions, ReadData, check};

use super::{author, lab, names};
use crate::support::{Lab, TreeCopy};

/// What the command does: finds what is damaged, and repairs the snapshots that it hits.
fn try_repair(lab: &Lab, options: &SnapshotRepairOptions) -> larder::error::Result<SnapshotRepair> {
    let repository = lab.try_open()?;
    let list = repository.snapshots()?;
    let what = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
    let report = check(&repository, &what, &lab.runtime())?;
    let is_hit = |s: &&Snapshot| report.hits.snapshots.iter().any(|hit| hit.id == s.id);
    let hit: Vec<Snapshot> = list.snapshots.iter().filter(is_hit).cloned().collect();
    let sights = Sights::of(&list);
    let is_in_time = |one: &Snapshot| sights.candidate(one).retention_ms().is_some();
    let (damage, runtime) = (&report.damage, lab.runtime());
    repair_snapshots(&repository, &hit, damage, &is_in_time, options, &author(), &runtime)
}

fn repair(lab: &Lab, options: SnapshotRepairOptions) -> SnapshotRepair {
    try_repair(lab, &options).expect("repairs")
}

fn opened(lab: &Lab) -> Repository {
    let repository = lab.try_open().expect("opens");
    repository.load_index().expect("loads the index");
    repository
}

fn snapshot(repository: &Repository, id: BackupId) -> Snapshot {
    let list = repository.snapshots().expect("lists").snapshots;
    list.into_iter().find(|snapshot| snapshot.id == id).expect("is there")
}

fn left(lab: &Lab, id: BackupId) -> TreeCopy {
    let repository = opened(lab);
    let snapshot = snapshot(&repository, id);
    TreeCopy::of_what_is_left(&repository, &snapshot, &lab.source()).0
}

#[test]
fn whole_snapshots_are_left_alone() {
    let lab = lab(80);
    let before = names(&lab, "");
    let report = repair(&lab, SnapshotRepairOptions::default());
    assert!(report.snapshots.is_empty());
    assert_eq!(names(&lab, ""), before);
}

/// For each data pack: what can be read is in the new snapshot, and nothing else; what is not is
/// listed; the original is in quarantine; and a second repair finds nothing more to do.
#[test]
fn what_can_be_kept_is_kept_and_the_rest_is_listed() {
    let lab = lab(81);
    for pack in names(&lab, "data/") {
        let hurt = lab.fork();
        hurt.memory.remove(&pack);
        let before: BTreeSet<String> = names(&hurt, "").into_iter().collect();

        let dry = SnapshotRepairOptions { dry_run: true, ..SnapshotRepairOptions::default() };
        let would = repair(&hurt, dry);
        assert!(names(&hurt, "").into_iter().eq(before.iter().cloned()), "a dry run wrote");
        let report = repair(&hurt, SnapshotRepairOptions::default());
        assert!(names(&hurt, "").into_iter().collect::<BTreeSet<_>>().is_superset(&before));
        assert!(!report.snapshots.is_empty());

        for (repaired, would) in report.snapshots.iter().zip(&would.snapshots) {
            assert_eq!((&repaired.lost, repaired.entries), (&would.lost, would.entries));
            assert_eq!(repaired.outcome, RepairOutcome::Repaired);
            assert!(repaired.lost.iter().all(|lost| lost.part == LostPart::Content && !lost.kept));
            let id = repaired.repaired.expect("a new snapshot");
            let repository = opened(&hurt);
            let (old, new) = (snapshot(&repository, repaired.original), snapshot(&repository, id));
            assert!(old.quarantine.is_some() && new.quarantine.is_none());
            assert_eq!((new.body.original, new.body.partial), (Some(old.id), true));
            assert_eq!((new.body.series, new.body.start_ms), (old.body.series, old.body.start_ms));
            assert!(new.body.tags.iter().any(|tag| tag == REPAIRED_TAG));
            assert_eq!(new.body.error_count, repaired.lost_count);

            let readable = left(&hurt, old.id);
            let kept = hurt.read(&repository, &new).expect("all of it is readable");
            readable.assert_same(&kept, "what is left");
            let lost = repaired.lost_count;
            assert_eq!(new.body.entries + lost, old.body.entries);
        }
        let again = repair(&hurt, SnapshotRepairOptions::default());
        let is_old = |s: &&_| {
            matches!(
                s,
                &&larder::repair::RepairedSnapshot { outcome: RepairOutcome::AlreadyRepaired, .. }
            )
        };
        assert_eq!(again.snapshots.iter().filter(is_old).count(), again.snapshots.len());
        // The sources still have everything.
        hurt.backup();
        hurt.assert_restores_beside_bad("second");
    }
}

/// With zeros in place of what is lost, a file has its length, and all that is left is where it
/// was. The next backup does not take it for the file.
#[test]
fn partial_files_keep_what_is_left_in_its_place() {
    let mut lab = lab(82);
    lab.tree().add_noise("large", 3_000_000);
    lab.backup_named("large");
    let len = |name: &String| lab.memory.bytes(name).expect("is there").len();
    let packs = names(&lab, "data/");
    let pack = packs.iter().max_by_key(|name| len(name)).expect("a pack");
    lab.memory.damage(pack, |bytes| bytes[100] ^= 1);
    // First things first: from now on no backup relies on the pack.
    let hash = larder::model::ObjectHash::from_hex(&pack["data/ab/".len()..]).expect("a hash");
    let options = larder::repair::PackRepairOptions::default();
    let opened_once = lab.try_open().expect("opens");
    larder::repair::repair_packs(&opened_once, &[hash], &options, &author(), &lab.runtime())
        .expect("repairs");

    let options = SnapshotRepairOptions { keep_partial: true, ..SnapshotRepairOptions::default() };
    let report = repair(&lab, options);
    let [repaired] = &report.snapshots[..] else { panic!("one snapshot") };
    assert!(repaired.lost.iter().all(|lost| lost.kept));
    let repository = opened(&lab);
    let new = snapshot(&repository, repaired.repaired.expect("a new snapshot"));
    assert_eq!(new.body.entries, snapshot(&repository, repaired.original).body.entries);
    let manifest = Manifest::of(&new);
    let mut zeros = 0;
    for lost in &repaired.lost {
        let entry = manifest.find(&repository, &lost.raw).expect("reads").expect("is there");
        let mut reader = FileReader::open(&repository, &manifest, &entry).expect("opens");
        let mut bytes = Vec::new();
        reader.copy_to(&mut bytes).expect("reads");
        let path = std::path::Path::new("/").join(std::str::from_utf8(&lost.raw).expect("text"));
        let source = std::fs::read(path).expect("the source");
        assert_eq!(bytes.len(), source.len());
        let differing = bytes.iter().zip(&source).filter(|(a, b)| a != b);
        zeros += differing.inspect(|(a, _)| assert_eq!(**a, 0)).count();
    }
    assert!(zeros > 0, "something was lost");
    let next = lab.backup().snapshot.expect("a snapshot");
    let repository = opened(&lab);
    let read = lab.read(&repository, &next).expect("reads");
    lab.live_copy().assert_same(&read, "the next backup");
}

/// Lost pages cost what is in them. Nothing is left of a snapshot whose root is lost.
#[test]
fn lost_pages_cost_what_is_in_them() {
    let lab = lab(83);
    for number in 0..150 {
        lab.tree().add_noise(&format!("page {number:03}"), 20);
    }
    let id = lab.backup().snapshot.expect("a snapshot").id;
    let mut outcomes = BTreeSet::new();
    for pack in names(&lab, "meta/") {
        for at in [64, 300] {
            let hurt = lab.fork();
            hurt.memory.damage(&pack, |bytes| bytes[at] ^= 1);
            let report = repair(&hurt, SnapshotRepairOptions::default());
            for repaired in &report.snapshots {
                outcomes.insert(format!("{:?}", repaired.outcome));
                let repository = opened(&hurt);
                assert!(snapshot(&repository, repaired.original).quarantine.is_some());
                assert!(!repaired.ranges.is_empty());
                let Some(new) = repaired.repaired else { continue };
                let new = snapshot(&repository, new);
                let kept = hurt.read(&repository, &new).expect("all of it is readable");
                let readable = left(&hurt, repaired.original);
                for (path, node) in &readable.0 {
                    assert_eq!(kept.get(path), Some(node), "something readable is not kept");
                }
            }
            hurt.backup();
        }
    }
    assert!(outcomes.contains("NothingLeft"), "{outcomes:?}");
    assert!(opened(&lab).snapshots().expect("lists").snapshots.iter().any(|s| s.id == id));
}

/// Broken off at any write: nothing hurts, and a second try ends in the same state.
#[test]
fn a_repair_of_snapshots_can_be_broken_off_anywhere() {
    let lab = lab(84);
    let pack = names(&lab, "data/").remove(0);
    lab.memory.remove(&pack);
    let whole = repair(&lab.fork(), SnapshotRepairOptions::default());
    for writes in 0.. {
        let hurt = lab.fork();
        hurt.storage.fail_after_writes(writes);
        let done = try_repair(&hurt, &SnapshotRepairOptions::default()).is_ok();
        hurt.storage.heal();
        let report = repair(&hurt, SnapshotRepairOptions::default());
        assert_eq!(report.snapshots.len(), whole.snapshots.len(), "after {writes} writes");
        let repository = opened(&hurt);
        for repaired in &report.snapshots {
            assert!(snapshot(&repository, repaired.original).quarantine.is_some());
            let new = snapshot(&repository, repaired.repaired.expect("a new snapshot"));
            hurt.read(&repository, &new).expect("all of it is readable");
        }
        if done {
            assert!(writes > 2, "it writes something");
            break;
        }
    }
}

/// Of a snapshot without a tree nothing is made, and one record is enough to say so.
#[test]
fn what_is_lost_as_a_whole_is_put_into_quarantine_once() {
    let lab = lab(88);
    for pack in names(&lab, "meta/") {
        lab.memory.remove(&pack);
    }
    let report = repair(&lab, SnapshotRepairOptions::default());
    assert!(report.snapshots.iter().all(|s| s.outcome == RepairOutcome::NothingLeft));
    let records = names(&lab, "snapshots/");
    let again = repair(&lab, SnapshotRepairOptions::default());
    assert_eq!(again, report);
    assert_eq!(names(&lab, "snapshots/"), records);
}

/// A repaired snapshot counts at the time of its original, also when that one is gone.
#[test]
fn repairs_move_nothing_to_the_day_of_the_repair() {
    let lab = lab(87);
    let list = lab.open().snapshots().expect("lists");
    let times: Vec<i64> = list.snapshots.iter().map(Snapshot::time_ms).collect();
    lab.clock.advance_ms(90 * 24 * 3_600_000);
    let packs = names(&lab, "data/");
    lab.memory.remove(&packs[0]);
    let report = repair(&lab, SnapshotRepairOptions::default());
    assert!(!report.snapshots.is_empty());
    for repaired in &report.snapshots {
        assert_eq!(repaired.outcome, RepairOutcome::Repaired);
        let original = snapshot(&lab.open(), repaired.original);
        lab.memory.remove(&original.object_name);
    }
    let list = lab.open().snapshots().expect("lists");
    for (one, candidate) in list.snapshots.iter().zip(Candidate::all_of(&list)) {
        assert!(times.contains(&one.time_ms()));
        assert_eq!(candidate.retention_ms(), Some(one.time_ms()), "{:?}", one.body.original);
    }
}
