use larder::repair::{IndexRepair, IndexRepairOptions, repair_index};
use larder::storage::{PutMode, Storage};
use larder::verify::Severity;

use super::{author, lab, names};
use crate::support::Lab;

fn repair(lab: &Lab, options: IndexRepairOptions) -> IndexRepair {
    let repository = lab.try_open().expect("opens");
    repair_index(&repository, &options, &author(), &lab.runtime()).expect("repairs")
}

fn dry() -> IndexRepairOptions {
    IndexRepairOptions { dry_run: true, ..IndexRepairOptions::default() }
}

/// Nothing wrong: nothing is written.
#[test]
fn a_whole_index_is_left_as_it_is() {
    let lab = lab(60);
    let before = names(&lab, "");
    for read_packs in [false, true] {
        for dry_run in [true, false] {
            let options = IndexRepairOptions { dry_run, read_packs, without_missing: false };
            let report = repair(&lab, options);
            assert!(report.is_whole());
            assert_eq!((report.added_packs, report.corrected.len()), (0, 0));
            assert_eq!(
                report.packs as usize,
                names(&lab, "data/").len() + names(&lab, "meta/").len()
            );
        }
    }
    assert_eq!(names(&lab, ""), before);
}

#[test]
fn a_lost_index_is_made_again_from_packs() {
    let lab = lab(61);
    let packs = names(&lab, "data/").len() + names(&lab, "meta/").len();
    for name in names(&lab, "index/") {
        lab.memory.remove(&name);
    }
    let would = repair(&lab, dry());
    assert_eq!(would.added_packs as usize, packs);
    assert!(names(&lab, "index/").is_empty(), "a dry run wrote something");

    let report = repair(&lab, IndexRepairOptions::default());
    assert_eq!(IndexRepair { dry_run: true, ..report }, would);
    assert!(lab.try_check().expect("checks").is_clean());
    lab.assert_all_whole("with a new index");
    let data = names(&lab, "data/");
    lab.backup();
    assert_eq!(names(&lab, "data/"), data, "every chunk was found again");
}

/// A damaged index object is harmless once all packs are named without it; a check knows that.
#[test]
fn damaged_index_objects_cost_nothing_after_a_repair() {
    let lab = lab(62);
    for name in names(&lab, "index/") {
        let hurt = lab.fork();
        hurt.memory.damage(&name, |bytes| bytes[200] ^= 1);
        assert!(!hurt.try_check().expect("checks").is_clean(), "{name}: before");

        let report = repair(&hurt, IndexRepairOptions::default());
        assert!(report.is_whole() && report.added_packs > 0, "{name}: {report:?}");
        assert_eq!(report.bad_objects.len(), 1, "{name}");
        assert_eq!(report.bad_objects[0].object, name);
        assert!(hurt.memory.bytes(&name).is_some(), "a repair deletes nothing");

        let check = hurt.try_check().expect("checks");
        assert!(check.is_clean(), "{name}: {:?}", check.findings);
        assert!(check.findings.iter().any(|f| f.object == name && f.severity == Severity::Warning));
        assert_eq!(hurt.assert_whole_beside_bad(&name).len(), 1);
    }
}

#[test]
fn packs_that_are_gone_or_cut_off_are_named() {
    let lab = lab(63);
    let data = names(&lab, "data/");
    lab.memory.remove(&data[0]);
    lab.memory.damage(&data[1], |bytes| bytes.truncate(1000));
    let before = names(&lab, "");
    for options in [dry(), IndexRepairOptions::default()] {
        let report = repair(&lab, options);
        assert!(!report.is_whole());
        assert_eq!(report.missing, [data[0].as_str()]);
        assert_eq!(report.damaged.iter().map(|flaw| &flaw.object).collect::<Vec<_>>(), [&data[1]]);
    }
    assert_eq!(names(&lab, ""), before, "there is nothing to be done about the index");
}

/// What is lost for good can be given up, and is taken in again if it turns up all the same.
#[test]
fn missing_packs_are_given_up_only_when_asked() {
    let lab = lab(66);
    let data = names(&lab, "data/");
    let bytes = lab.memory.bytes(&data[0]).expect("is there");
    lab.memory.remove(&data[0]);
    let options = IndexRepairOptions { without_missing: true, ..IndexRepairOptions::default() };
    let report = repair(&lab, options);
    assert_eq!(report.missing, [data[0].as_str()]);
    assert!(repair(&lab, IndexRepairOptions::default()).is_whole(), "the index knows it no more");
    lab.memory.put(&data[0], &[&bytes], PutMode::Content).expect("puts it back");
    let report = repair(&lab, IndexRepairOptions::default());
    assert_eq!((report.added_packs, report.is_whole()), (1, true));
}

/// Nobody knows what is in a pack that no index object names and that does not say so itself.
#[test]
fn unreadable_packs_without_index_are_named() {
    let lab = lab(64);
    let data = names(&lab, "data/");
    lab.memory.damage(&data[0], |bytes| {
        let end = bytes.len() - 1;
        bytes[end] ^= 1;
    });
    for name in names(&lab, "index/") {
        lab.memory.remove(&name);
    }
    let report = repair(&lab, IndexRepairOptions::default());
    assert!(!report.is_whole());
    assert_eq!(report.unreadable.iter().map(|flaw| &flaw.object).collect::<Vec<_>>(), [&data[0]]);
}

/// A repair that is broken off at any write is just repeated.
#[test]
fn a_repair_of_the_index_can_be_broken_off_anywhere() {
    let lab = lab(65);
    for name in names(&lab, "index/") {
        lab.memory.remove(&name);
    }
    for writes in 0.. {
        let hurt = lab.fork();
        hurt.storage.fail_after_writes(writes);
        let repository = hurt.try_open().expect("opens");
        let options = IndexRepairOptions::default();
        let done = repair_index(&repository, &options, &author(), &hurt.runtime()).is_ok();
        hurt.storage.heal();
        hurt.assert_whole_beside_bad("after a broken repair");
        assert!(repair(&hurt, options).is_whole());
        hurt.assert_all_whole("after a repeated repair");
        if done {
            assert!(writes > 1, "it writes something");
            break;
        }
    }
}
