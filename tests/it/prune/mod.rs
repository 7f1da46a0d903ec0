//! Forgetting and pruning: what is kept restores to the last byte, what goes is gone, and nothing
//! depends on when it is stopped or what else runs.

mod failures;
mod locked;
mod meanwhile;

use larder::error::Result;
use larder::format::log::LogKind;
use larder::model::BackupId;
use larder::prune::{MaxUnused, PruneOptions, PrunePlan, PruneReport, plan, run};
use larder::repository::Author;
use larder::storage::{ObjectMeta, Storage};

use crate::support::{Lab, LabOptions};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

fn author() -> Author {
    Author { host: "lab".into(), user: "tester".into() }
}

fn options() -> PruneOptions {
    PruneOptions::new(author())
}

/// Everything at once, and nothing unused is left.
fn at_once() -> PruneOptions {
    PruneOptions { grace_ms: 0, max_unused: MaxUnused::Bytes(0), ..options() }
}

fn forget(lab: &Lab, keep: impl Fn(usize) -> bool) -> Vec<BackupId> {
    let repository = lab.open();
    let list = repository.snapshots().expect("lists");
    let gone: Vec<_> = list
        .snapshots
        .iter()
        .enumerate()
        .filter(|(number, _)| !keep(*number))
        .map(|(_, snapshot)| snapshot)
        .collect();
    repository
        .append_about(LogKind::Forget, &gone, "test", &author(), &list, &lab.runtime())
        .expect("forgets");
    gone.iter().map(|snapshot| snapshot.id).collect()
}

fn try_prune(lab: &Lab, options: &PruneOptions) -> Result<PruneReport> {
    run(&lab.try_open()?, options, &lab.runtime())
}

#[track_caller]
fn prune(lab: &Lab, options: &PruneOptions) -> PruneReport {
    try_prune(lab, options).expect("prunes")
}

#[track_caller]
fn planned(lab: &Lab, options: &PruneOptions) -> PrunePlan {
    plan(&lab.open(), options, &lab.runtime()).expect("plans")
}

fn names(lab: &Lab, prefix: &str) -> Vec<String> {
    lab.memory.names().into_iter().filter(|name| name.starts_with(prefix)).collect()
}

/// Bytes of all packs.
fn pack_bytes(lab: &Lab) -> i64 {
    let mut bytes = 0;
    for prefix in ["data/", "meta/"] {
        lab.memory.list(prefix, &mut |meta: ObjectMeta| bytes += meta.len as i64).expect("lists");
    }
    bytes
}

/// All snapshots that are left restore to what they were made of, and no byte is wrong.
#[track_caller]
fn assert_left(lab: &Lab, what: &str) {
    let repository = lab.open();
    let list = repository.snapshots().expect("lists");
    assert!(list.bad.is_empty() && list.rollback.is_empty(), "{what}: {list:?}");
    let report = lab.try_check().expect("checks");
    assert!(report.is_clean(), "{what}: {:?}", report.findings);
    for (name, id, copy) in lab.all_remembered() {
        let Some(snapshot) = list.snapshots.iter().find(|snapshot| snapshot.id == id) else {
            continue;
        };
        let restored = lab.restore(&repository, snapshot).expect("restores");
        assert_eq!(&restored, copy, "{what}: {name}");
    }
}

/// A tree in several versions, with files of its own in each.
fn versions(seed: u64, number: usize) -> Lab {
    let mut lab = Lab::with(seed, LabOptions { entries: 40, ..LabOptions::default() });
    for version in 0..number {
        lab.tree().edit(12);
        let path = lab.tree().path("big");
        let bytes: Vec<u8> =
            larder::runtime::Random::seeded(seed + version as u64).bytes::<300_000>().to_vec();
        std::fs::write(path, bytes).expect("writes");
        lab.backup_named(&format!("version {version}"));
    }
    lab
}

/// What a plan says is what a run does, to the byte; what is left is whole and is found again.
#[test]
fn a_run_at_once_frees_what_its_plan_says() {
    let lab = versions(401, 5);
    let gone = forget(&lab, |number| number % 2 == 0);
    let before = pack_bytes(&lab);
    let expected = planned(&lab, &at_once());
    assert_eq!(expected.snapshots.len(), gone.len());
    assert!(expected.delete.packs > 0, "{expected:?}");
    assert!(expected.lost.count > 0, "{:?}", expected.lost);
    assert_eq!(pack_bytes(&lab), before, "a plan changes nothing");
    assert!(names(&lab, "gc/").is_empty(), "a plan writes nothing");
    let report = prune(&lab, &at_once());
    assert_left(&lab, "pruned");
    assert_eq!(names(&lab, "gc/"), [""; 0], "nothing is left of the prune");
    assert!(report.records > 0, "{report:?}");
    assert_eq!(before - pack_bytes(&lab), report.plan.freed_bytes, "{report:?}");
    assert!(expected.exact && expected.warnings.is_empty(), "{expected:?}");
    assert_eq!(report.plan.freed_bytes, expected.freed_bytes, "{expected:?} {report:?}");
    assert_eq!(report.deleted.bytes, expected.delete.bytes + expected.repack.bytes);
    assert!(lab.open().snapshots().expect("lists").forgotten.is_empty());
    // Nothing more is to be done, and nothing is stored again.
    let again = prune(&lab, &at_once());
    assert_eq!(again.deleted.packs + again.written.packs, 0, "{again:?}");
    let backup = lab.backup();
    assert_eq!(backup.stats.files_new + backup.stats.files_changed, 0, "{:?}", backup.stats);
    assert_left(&lab, "backed up again");
}

/// Without haste: kept for the grace, then condemned, a day later gone, and the mark after that.
#[test]
fn what_is_forgotten_goes_step_by_step() {
    let lab = versions(402, 4);
    forget(&lab, |number| number == 3);
    let before = pack_bytes(&lab);
    let early = prune(&lab, &options());
    assert_eq!((early.condemned.packs, early.deleted.packs), (0, 0), "{early:?}");
    lab.clock.advance_ms(8 * DAY_MS);
    let marked = prune(&lab, &options());
    assert!(marked.condemned.packs > 0, "{marked:?}");
    assert_eq!(marked.deleted.packs, 0);
    assert_eq!(names(&lab, "gc/mark-").len(), 1);
    assert!(marked.plan.finish_ms.is_some(), "{:?}", marked.plan);
    assert_left(&lab, "marked");
    lab.clock.advance_ms(20 * HOUR_MS);
    let waiting = prune(&lab, &options());
    assert_eq!(waiting.deleted.packs, 0, "{waiting:?}");
    lab.clock.advance_ms(5 * HOUR_MS);
    let done = prune(&lab, &options());
    assert_eq!(done.deleted.packs, marked.condemned.packs, "{done:?}");
    assert!(pack_bytes(&lab) < before);
    assert_eq!(names(&lab, "gc/mark-").len(), 1, "a listing may not show the drop list yet");
    assert_left(&lab, "dropped");
    lab.clock.advance_ms(3 * HOUR_MS);
    prune(&lab, &options());
    assert!(names(&lab, "gc/").is_empty(), "{:?}", names(&lab, "gc/"));
    lab.clock.advance_ms(8 * DAY_MS);
    prune(&lab, &options());
    let repository = lab.open();
    assert!(repository.load_drop_lists().expect("loads").is_empty(), "the index forgot them");
    assert_left(&lab, "tidied up");
}

/// A session that is open keeps a prune without grace away, and says who it is.
#[test]
fn nothing_is_done_at_once_while_somebody_writes() {
    let lab = versions(403, 2);
    forget(&lab, |number| number == 1);
    let repository = lab.open();
    let (session, _) =
        repository.begin_session("snapshot", "laptop", &lab.runtime()).expect("begins");
    let refused = try_prune(&lab, &at_once()).expect_err("is refused");
    assert_eq!(refused.exit_code(), 11);
    assert!(refused.to_string().contains("snapshot on laptop"), "{refused}");
    assert!(names(&lab, "gc/").is_empty());
    session.end().expect("ends");
    assert!(prune(&lab, &at_once()).deleted.packs > 0);
    // One that died is fenced after half a day, and does not stand in the way for ever.
    lab.backup_edited();
    forget(&lab, |number| number == 1);
    let (session, _) =
        repository.begin_session("snapshot", "laptop", &lab.runtime()).expect("begins");
    lab.clock.advance_ms(13 * HOUR_MS);
    prune(&lab, &at_once());
    assert!(names(&lab, "gc/fence-").len() <= 1);
    drop(session);
    assert_left(&lab, "pruned");
}
