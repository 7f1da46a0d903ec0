//! Damage at any place is healed from any other, and never made worse.

use std::sync::Arc;

use larder::error::StorageErrorKind;
use larder::mirror::{HealOptions, HealReport, Needed, heal};
use larder::storage::fault::On;
use larder::storage::record::apply;
use larder::storage::{FaultStorage, MemoryStorage, RecordStorage, SharedStorage};

use super::{assert_same, lab, lasting, memory, synced};
use crate::support::Lab;

fn healed(lab: &Lab, places: &[&Arc<MemoryStorage>], options: &HealOptions) -> HealReport {
    let places: Vec<SharedStorage> =
        places.iter().map(|place| Arc::clone(place) as SharedStorage).collect();
    heal(&places, options, &lab.runtime()).expect("heals")
}

/// A repository, and a complete mirror of it.
fn pair(seed: u64) -> (Lab, Arc<MemoryStorage>) {
    let (lab, mirror) = (lab(seed), memory());
    synced(&*lab.memory, &*mirror, &lab);
    (lab, mirror)
}

#[test]
fn every_kind_of_damage_is_healed_in_both_directions() {
    let (lab, mirror) = pair(30);
    let names = lasting(&lab.memory);
    for (number, name) in names.iter().enumerate() {
        for (place, other) in [(&lab.memory, &mirror), (&mirror, &lab.memory)] {
            let hurt = match number % 3 {
                0 => place.damage(name, |bytes| bytes[20] ^= 1),
                1 => place.damage(name, |bytes| bytes.truncate(12)),
                _ => place.damage(name, |bytes| bytes.extend([0; 9])),
            };
            assert!(hurt);
            let report = healed(&lab, &[&lab.memory, &mirror], &HealOptions::default());
            assert!(report.is_whole(), "{name}: {report:?}");
            assert_eq!(report.healed.len(), 1, "{name}: {:?}", report.healed);
            assert_eq!(report.healed[0].name, *name);
            assert_same(place, other);
        }
    }
    lab.assert_all_whole("after so much");
}

/// Each place has whole what the other one lacks.
#[test]
fn two_damaged_places_make_a_whole_one() {
    let (lab, mirror) = pair(31);
    let names = lasting(&lab.memory);
    for (number, name) in names.iter().enumerate() {
        let place = if number % 2 == 0 { &lab.memory } else { &mirror };
        place.damage(name, |bytes| bytes[30] ^= 1);
    }
    let report = healed(&lab, &[&lab.memory, &mirror], &HealOptions::default());
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.healed.len(), names.len());
    assert_same(&lab.memory, &mirror);
    lab.assert_all_whole("healed from each other");
}

#[test]
fn what_is_missing_comes_back_if_it_is_needed() {
    let (lab, mirror) = pair(32);
    let needed = Needed::of(&lab.open()).expect("reads the index");
    let names = lasting(&lab.memory);
    let packs: Vec<_> = names.iter().filter(|n| n.contains("ta/")).take(2).collect();
    packs.iter().for_each(|name| lab.memory.remove(name));
    // Without a key nobody knows that they are needed.
    let blind = healed(&lab, &[&lab.memory, &mirror], &HealOptions::default());
    assert!(blind.is_whole() && blind.healed.is_empty());
    assert_eq!(blind.synced[0].extra.objects, 2);
    let options = HealOptions { needed: needed.clone(), ..HealOptions::default() };
    let dry = HealOptions { dry_run: true, ..options.clone() };
    let planned = healed(&lab, &[&lab.memory, &mirror], &dry);
    assert!(!planned.is_whole());
    assert!(packs.iter().all(|name| lab.memory.bytes(name).is_none()), "nothing was written");
    let report = healed(&lab, &[&lab.memory, &mirror], &options);
    assert!(report.is_whole());
    assert_eq!((report.healed.len(), &report.healed), (2, &planned.healed));
    assert_same(&lab.memory, &mirror);
    // What no place has is named.
    for place in [&lab.memory, &mirror] {
        place.remove(packs[0]);
    }
    let report = healed(&lab, &[&lab.memory, &mirror], &options);
    assert_eq!(report.left.len(), 1);
    assert_eq!(report.left[0].name, *packs[0]);
    assert!(!report.is_whole());
}

/// The log says which of its records are missing; a folder of which nothing is left was not
/// emptied by the repository.
#[test]
fn records_and_whole_folders_come_back() {
    let (lab, mirror) = pair(33);
    let of = |folder: &str| -> Vec<String> {
        lasting(&mirror).into_iter().filter(|name| name.starts_with(folder)).collect()
    };
    lab.memory.remove(&of("snapshots/")[0]);
    let needed = Needed::of(&lab.open()).expect("reads the log");
    let options = HealOptions { needed, ..HealOptions::default() };
    let report = healed(&lab, &[&lab.memory, &mirror], &options);
    assert_eq!((report.is_whole(), report.healed.len()), (true, 1));
    for folder in ["keys/", "keyring/", "config/", "index/", "snapshots/", "repo"] {
        let gone = of(folder);
        gone.iter().for_each(|name| lab.memory.remove(name));
        let report = healed(&lab, &[&lab.memory, &mirror], &HealOptions::default());
        assert!(report.is_whole(), "{folder}: {report:?}");
        assert_eq!(report.healed.len(), gone.len(), "{folder}");
        assert_same(&lab.memory, &mirror);
    }
    // A key that was removed on purpose stays away.
    let key = &of("keys/")[0];
    let again = lab.memory.bytes(key).expect("a key");
    mirror.replace(&format!("keys/{}", "ab".repeat(32)), &again);
    let report = healed(&lab, &[&lab.memory, &mirror], &HealOptions::default());
    assert_eq!(report.left.len(), 1, "a bad key of the mirror alone");
    assert_eq!(of("keys/").len(), 2);
    assert!(lab.memory.names().iter().filter(|name| name.starts_with("keys/")).count() == 1);
}

#[test]
fn a_quick_heal_compares_lengths_alone() {
    let (lab, mirror) = pair(34);
    let names = lasting(&lab.memory);
    lab.memory.damage(&names[3], |bytes| bytes.truncate(20));
    lab.memory.damage(&names[4], |bytes| bytes[40] ^= 1);
    let quick = HealOptions { quick: true, ..HealOptions::default() };
    let report = healed(&lab, &[&lab.memory, &mirror], &quick);
    assert_eq!((report.healed.len(), report.read.objects), (1, 2));
    let report = healed(&lab, &[&lab.memory, &mirror], &HealOptions::default());
    assert_eq!((report.healed.len(), &report.healed[0].name), (1, &names[4]));
}

/// A mirror is a repository when it is complete, and not before.
#[test]
fn a_mirror_that_was_never_complete_gets_its_repo_last() {
    let lab = lab(38);
    let mirror = memory();
    let record = Arc::new(RecordStorage::keeping_writes(mirror.clone()));
    let places: [SharedStorage; 2] = [lab.memory.clone(), record.clone()];
    let report = heal(&places, &HealOptions::default(), &lab.runtime()).expect("heals");
    assert!(report.is_whole() && report.healed.is_empty(), "{report:?}");
    let writes = record.writes();
    let early = Arc::new(MemoryStorage::new());
    writes[..writes.len() - 1].iter().for_each(|write| apply(write, &early));
    assert!(early.bytes("repo").is_none() && mirror.bytes("repo").is_some());
    assert_same(&lab.memory, &mirror);
}

/// Bytes that nobody has whole stay as they are: something of them may still be read.
#[test]
fn what_nobody_has_whole_is_left_alone() {
    let (lab, mirror) = pair(35);
    let names = lasting(&lab.memory);
    let pack = names.iter().find(|name| name.starts_with("data/")).expect("a pack");
    lab.memory.damage(pack, |bytes| bytes[80] ^= 1);
    mirror.damage(pack, |bytes| bytes[90] ^= 1);
    let before = (lab.memory.bytes(pack), mirror.bytes(pack));
    let report = healed(&lab, &[&lab.memory, &mirror], &HealOptions::default());
    assert_eq!((report.healed.len(), report.left.len()), (0, 2));
    assert!(report.left[0].what.contains("no place has it whole"), "{:?}", report.left);
    assert_eq!((lab.memory.bytes(pack), mirror.bytes(pack)), before);
}

/// Storage that takes no replacement is told of, and the rest is healed.
#[test]
fn what_storage_refuses_is_named() {
    let (lab, mirror) = pair(36);
    let names = lasting(&lab.memory);
    names[2..5].iter().for_each(|name| {
        lab.memory.damage(name, |bytes| bytes[50] ^= 1);
    });
    let faults = Arc::new(FaultStorage::new(lab.memory.clone()));
    faults.fail_nth(On::Put, 2, StorageErrorKind::Denied);
    let places: [SharedStorage; 2] = [faults, mirror.clone()];
    let report = heal(&places, &HealOptions::default(), &lab.runtime()).expect("heals");
    assert_eq!((report.healed.len(), report.left.len()), (2, 1));
    assert!(report.left[0].what.contains("could not be replaced"), "{:?}", report.left);
    let dead = Arc::new(FaultStorage::new(mirror));
    dead.fail_times(On::Any, 1, 1 << 40, StorageErrorKind::Temporary);
    let places: [SharedStorage; 2] = [lab.memory.clone(), dead];
    let report = heal(&places, &HealOptions::default(), &lab.runtime()).expect("heals");
    assert_eq!((report.unreachable.len(), report.left.len()), (1, 1));
    assert!(!report.is_whole());
}

/// A heal that is stopped after any write leaves nothing worse than it was.
#[test]
fn a_heal_that_is_stopped_loses_nothing() {
    let (lab, mirror) = pair(37);
    let names = lasting(&lab.memory);
    for (number, name) in names.iter().enumerate() {
        let place = if number % 2 == 0 { &lab.memory } else { &mirror };
        place.damage(name, |bytes| bytes[30] ^= 1);
    }
    let before = lab.memory.fork();
    let record = Arc::new(RecordStorage::keeping_writes(lab.memory.clone()));
    let places: [SharedStorage; 2] = [record.clone(), Arc::new(mirror.fork())];
    heal(&places, &HealOptions::default(), &lab.runtime()).expect("heals");
    let writes = record.writes();
    assert!(writes.len() > 3);
    for stop in 0..writes.len() {
        let stopped = Arc::new(before.fork());
        writes[..stop].iter().for_each(|write| apply(write, &stopped));
        let other = Arc::new(mirror.fork());
        let report = healed(&lab, &[&stopped, &other], &HealOptions::default());
        assert!(report.is_whole(), "after {stop} writes: {report:?}");
        assert_same(&stopped, &other);
    }
}
