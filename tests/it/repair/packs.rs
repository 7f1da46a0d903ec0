use std::collections::BTreeSet;

use larder::model::ObjectHash;
use larder::repair::{PackRepair, PackRepairOptions, PackState, repair_packs};
use larder::verify::{Hits, hits};

use super::{author, names};
use crate::support::{Lab, LabOptions};

/// A remembered snapshot in packs of several segments.
fn lab(seed: u64) -> Lab {
    let options = LabOptions {
        suite: larder::crypto::Suite::None,
        samples: false,
        entries: 6,
        pack_target: 8 << 20,
        ..LabOptions::default()
    };
    let mut lab = Lab::with(seed, options);
    for number in 0..5 {
        lab.tree().add_noise(&format!("large {number}"), 1_300_000);
    }
    lab.backup_named("first");
    lab
}

fn hash(name: &str) -> ObjectHash {
    name.rsplit('/').next().and_then(ObjectHash::from_hex).expect("a pack")
}

fn largest(lab: &Lab, prefix: &str) -> String {
    let len = |name: &String| lab.memory.bytes(name).expect("is there").len();
    names(lab, prefix).into_iter().max_by_key(len).expect("a pack")
}

fn repair(lab: &Lab, packs: &[&str], dry_run: bool) -> (PackRepair, Hits) {
    let repository = lab.try_open().expect("opens");
    let packs: Vec<ObjectHash> = packs.iter().map(|name| hash(name)).collect();
    let options = PackRepairOptions { dry_run };
    let report =
        repair_packs(&repository, &packs, &options, &author(), &lab.runtime()).expect("repairs");
    let snapshots = repository.snapshots().expect("lists").snapshots;
    let hits = hits(&repository, &snapshots, &report.damage, 100, &lab.runtime()).expect("looks");
    (report, hits)
}

fn flip(lab: &Lab, name: &str, at: usize) {
    assert!(lab.memory.damage(name, |bytes| bytes[at] ^= 1));
}

#[test]
fn whole_packs_are_left_alone() {
    let lab = lab(70);
    let before = names(&lab, "");
    let packs = [names(&lab, "data/"), names(&lab, "meta/")].concat();
    let packs: Vec<&str> = packs.iter().map(String::as_str).collect();
    let (report, hits) = repair(&lab, &packs, false);
    assert!(report.packs.iter().all(|pack| pack.state == PackState::Whole));
    assert!(hits.snapshots.is_empty() && report.lost_chunks == 0);
    assert_eq!(names(&lab, ""), before);
}

/// One bad segment: the others are saved, what is lost is named, and the next backup of the same,
/// unchanged files makes the old snapshot whole again.
#[test]
fn a_bad_segment_costs_what_is_in_it_until_the_next_backup() {
    let lab = lab(71);
    let pack = largest(&lab, "data/");
    flip(&lab, &pack, 100);
    let before: BTreeSet<String> = names(&lab, "").into_iter().collect();

    let (would, hits_before) = repair(&lab, &[&pack], true);
    assert_eq!(names(&lab, ""), before.iter().cloned().collect::<Vec<_>>(), "a dry run wrote");
    let (report, hits) = repair(&lab, &[&pack], false);
    assert_eq!(PackRepair { dry_run: true, ..report.clone() }, would);
    assert_eq!(hits, hits_before);
    assert_eq!(report.packs[0].state, PackState::Damaged);
    assert!(report.salvaged_chunks > 0 && report.lost_chunks > 0, "{report:?}");
    assert_eq!(hits.snapshots.len(), 1);
    assert!(hits.snapshots[0].file_count > 0 && hits.snapshots[0].file_count < 5);
    assert!(names(&lab, "").into_iter().collect::<BTreeSet<_>>().is_superset(&before));
    let check = lab.try_check().expect("checks");
    assert_eq!(check.hits.snapshots.len(), 1, "what is lost is lost");
    assert_eq!(check.bad_packs, [pack.as_str()]);

    // A second repair has nothing to save.
    let after = names(&lab, "");
    let (again, _) = repair(&lab, &[&pack], false);
    assert_eq!((again.salvaged_chunks, again.lost_chunks), (0, report.lost_chunks));
    assert_eq!(names(&lab, ""), after);

    let healing = lab.backup();
    assert!(healing.stats.bytes_read > 0, "lost files are read again");
    lab.assert_all_whole("after the next backup");
    let check = lab.try_check().expect("checks");
    assert!(check.is_clean(), "{:?}", check.findings);
    assert!(check.warnings > 0, "the damaged pack is still told of");
    let (healed, _) = repair(&lab, &[&pack], false);
    assert_eq!(healed.lost_chunks, 0);
}

/// Without a repair nobody knows of bytes that changed in place, so the next backup relies on them:
/// this is what damage lists are for.
#[test]
fn every_damage_to_any_pack_is_healed_by_repair_and_backup() {
    let lab = lab(72);
    let all = [names(&lab, "data/"), names(&lab, "meta/")].concat();
    for pack in &all {
        let len = lab.memory.bytes(pack).expect("is there").len();
        for at in [0, 64, len / 2, len - 40, len - 1] {
            let hurt = lab.fork();
            flip(&hurt, pack, at);
            heals(&hurt, pack, &format!("{pack} at {at}"));
        }
        for len in [0, 63, len / 2, len - 1] {
            let hurt = lab.fork();
            hurt.memory.damage(pack, |bytes| bytes.truncate(len));
            heals(&hurt, pack, &format!("{pack} cut to {len}"));
        }
    }
}

/// After a repair and a backup of the same files, lost chunks are there again. Pages are made again
/// where they are the same: some of them hold folders above the source, whose times change.
fn heals(lab: &Lab, pack: &str, what: &str) {
    repair(lab, &[pack], false);
    let snapshot = lab.backup().snapshot.expect("a snapshot");
    let repository = lab.try_open().expect("opens");
    repository.load_index().expect("loads the index");
    let read = lab.read(&repository, &snapshot).unwrap_or_else(|e| panic!("{what}: {e}"));
    lab.live_copy().assert_same(&read, what);
    if pack.starts_with("data/") {
        lab.assert_all_whole(what);
    }
}

/// The end of a pack is gone, but the index knows what is in it; or the index is gone, but the
/// pack knows.
#[test]
fn index_and_directory_stand_in_for_each_other() {
    let lab = lab(73);
    let pack = largest(&lab, "data/");
    let end = lab.memory.bytes(&pack).expect("is there").len();

    let headless = lab.fork();
    flip(&headless, &pack, end - 1);
    flip(&headless, &pack, end - 200);
    let (report, hits) = repair(&headless, &[&pack], false);
    assert_eq!((report.packs[0].state, report.lost_chunks), (PackState::Damaged, 0));
    assert!(report.salvaged_chunks > 0 && hits.snapshots.is_empty());
    let check = headless.try_check().expect("checks");
    assert!(check.is_clean(), "{:?}", check.findings);
    // Not even the pack is needed any more.
    headless.memory.remove(&pack);
    headless.assert_all_whole("without the damaged pack");

    let lost = lab.fork();
    names(&lost, "index/").iter().for_each(|name| lost.memory.remove(name));
    flip(&lost, &pack, 100);
    let (report, hits) = repair(&lost, &[&pack], false);
    assert!(report.salvaged_chunks > 0 && report.lost_chunks > 0);
    assert_eq!(hits.snapshots.len(), 1);

    let both = lab.fork();
    names(&both, "index/").iter().for_each(|name| both.memory.remove(name));
    flip(&both, &pack, end - 1);
    let (report, _) = repair(&both, &[&pack], false);
    assert_eq!(report.packs[0].state, PackState::Unreadable);
    assert_eq!(report.unreadable().count(), 1);
}

/// A pack holds what another one should hold: nothing is saved that is there anyway, and what is
/// gone is told.
#[test]
fn a_pack_in_the_place_of_another_is_no_loss_twice() {
    let lab = lab(74);
    lab.tree().add_noise("more", 1_300_000);
    let before = names(&lab, "data/");
    lab.backup();
    let new = names(&lab, "data/").into_iter().find(|name| !before.contains(name));
    let (old, new) = (largest(&lab, "data/"), new.expect("a new pack"));
    lab.memory.replace(&new, &lab.memory.bytes(&old).expect("is there"));
    let (report, hits) = repair(&lab, &[&new], false);
    assert_eq!((report.salvaged_chunks, report.packs[0].state), (0, PackState::Damaged));
    assert!(report.lost_chunks > 0);
    assert_eq!(hits.snapshots.len(), 1);
    lab.assert_remembered_whole("the older snapshot");
    lab.backup();
    assert!(lab.try_check().expect("checks").is_clean());
}

#[test]
fn missing_packs_are_told_with_what_they_cost() {
    let lab = lab(75);
    let pack = largest(&lab, "data/");
    lab.memory.remove(&pack);
    let (report, hits) = repair(&lab, &[&pack], false);
    assert_eq!(report.packs[0].state, PackState::Missing);
    assert!(report.lost_chunks > 0 && report.salvaged_chunks == 0);
    assert_eq!(hits.snapshots.len(), 1);
}

/// Broken off at any write, a repair leaves nothing that hurts, and is repeated.
#[test]
fn a_repair_of_packs_can_be_broken_off_anywhere() {
    let lab = lab(76);
    let pack = largest(&lab, "data/");
    flip(&lab, &pack, 100);
    let (whole, _) = repair(&lab.fork(), &[&pack], false);
    for writes in 0.. {
        let hurt = lab.fork();
        hurt.storage.fail_after_writes(writes);
        let repository = hurt.try_open().expect("opens");
        let options = PackRepairOptions::default();
        let done =
            repair_packs(&repository, &[hash(&pack)], &options, &author(), &hurt.runtime()).is_ok();
        hurt.storage.heal();
        let (report, _) = repair(&hurt, &[&pack], false);
        assert_eq!(report.lost_chunks, whole.lost_chunks, "after {writes} writes");
        hurt.backup();
        hurt.assert_all_whole(&format!("after {writes} writes"));
        if done {
            assert!(writes > 2, "it writes something");
            break;
        }
    }
}
