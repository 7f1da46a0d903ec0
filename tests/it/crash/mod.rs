//! The machine stops at any write: what is left is replayed onto fresh storage and used.

mod merge;

use larder::chunker::{ChunkerParams, SizeClass};
use larder::crypto::Suite;
use larder::error::Error;
use larder::storage::MemoryStorage;
use larder::storage::record::Write;

use crate::rounds;
use crate::support::{CrashState, Lab, LabOptions, ManifestCopy, TreeCopy, crash_states};

/// Stop `init` after every write in turn: there is a repository or there is none, and the next
/// `init` completes.
#[test]
fn interrupted_init_can_be_repeated() {
    let options = LabOptions { entries: 0, ..LabOptions::default() };
    let lab = Lab::empty(1, options.clone());
    lab.try_init().expect("makes a repository");
    let writes = lab.record.writes();
    assert_eq!(writes.last().map(|write| write.name.as_str()), Some("repo"), "it comes last");
    for state in crash_states(&writes) {
        let what = state.describe(&writes);
        let storage = MemoryStorage::new();
        state.apply(&writes, &storage);
        let lab = lab.on(storage);
        let whole = state.done.len() == writes.len();
        match lab.try_open() {
            Ok(_) => assert!(whole && state.torn.is_none(), "{what}"),
            Err(Error::RepositoryMissing { .. }) => assert!(!whole, "{what}"),
            // A service that tears the last object: no repository, but nothing is overwritten.
            Err(error) => assert!(whole && state.torn.is_some(), "{what}: {error}"),
        }
        match lab.try_init() {
            Ok(_) => assert!(!whole, "{what}"),
            Err(Error::RepositoryExists { .. }) if whole => {}
            Err(error) => panic!("{what}: {error}"),
        }
        if !whole {
            lab.backup();
            lab.assert_all_whole(&what);
        }
    }
}

/// Stop a backup after every write in turn: older snapshots stay whole and the next run completes.
#[test]
fn interrupted_backup_never_harms_older_snapshots() {
    let mut lab =
        Lab::with(2, LabOptions { entries: 15, suite: Suite::None, ..LabOptions::default() });
    lab.backup_named("before");
    lab.tree().edit(10);
    for n in 0..5 {
        lab.tree().add_noise(&format!("noise{n}"), 1_500_000);
    }
    let run = record_backup(&lab);
    let packs = run.writes.iter().filter(|w| w.name.starts_with("data/")).count();
    assert!(packs >= 5, "{packs} packs");
    for state in crash_states(&run.writes) {
        assert_recovers(&lab, &state, &run);
    }
}

/// The same with so many packs that the run names them in two index deltas, and a stop between the
/// two.
#[test]
fn interruption_between_two_deltas_of_a_run_keeps_what_the_first_names() {
    // Files of exactly one chunk that is a segment and, with such small packs, a pack of its own.
    let chunk = 1 << 20;
    let params = ChunkerParams::for_average(2 << 20).expect("parameters");
    let classes = Some(vec![SizeClass { below: u64::MAX, params }]);
    let mut lab = Lab::with(
        3,
        LabOptions {
            entries: 5,
            suite: Suite::None,
            pack_target: 1,
            classes,
            ..LabOptions::default()
        },
    );
    lab.backup_named("before");
    for n in 0..66_u64 {
        let path = lab.tree().path(format!("file{n}"));
        std::fs::write(path, n.to_le_bytes().repeat(chunk / 8)).expect("writes");
    }
    let run = record_backup(&lab);
    let is_pack = |n: usize| ["data/", "meta/"].iter().any(|f| run.writes[n].name.starts_with(f));
    let deltas = run.writes.iter().filter(|write| write.name.starts_with("index/")).count();
    assert!(deltas >= 2, "{deltas} deltas");
    for (number, state) in crash_states(&run.writes).iter().enumerate() {
        // Of the many states with one pack more or less a few do.
        let is_border = state.done.last().is_none_or(|last| !is_pack(*last));
        if (is_border && state.torn.is_none()) || (number as u64).is_multiple_of(rounds(97, 5)) {
            assert_recovers(&lab, state, &run);
        }
    }
}

/// A run that nothing stopped.
struct WholeRun {
    writes: Vec<Write>,
    tree: TreeCopy,
    manifest: ManifestCopy,
}

/// Runs a backup on a copy of the lab whose puts take their time, so that several are under way
/// at once.
fn record_backup(lab: &Lab) -> WholeRun {
    let lab = lab.fork();
    lab.slow_puts();
    let snapshot = lab.backup().snapshot.expect("a snapshot");
    let (writes, tree) = (lab.record.writes(), lab.live_copy());
    WholeRun { writes, tree, manifest: lab.manifest(&lab.open(), &snapshot) }
}

/// A crash left `state`: everything that was there before is whole, what is there now too, and the
/// next run gives what it would have given without the crash.
fn assert_recovers(before: &Lab, state: &CrashState, run: &WholeRun) {
    let what = state.describe(&run.writes);
    let storage = before.memory.fork();
    state.apply(&run.writes, &storage);
    let mut lab = before.on(storage);
    let bad = lab.assert_whole_beside_bad(&what);
    assert!(bad.is_empty() || state.torn.is_some(), "{what}: {bad:?}");
    let report = lab.try_backup().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(report.is_complete(), "{what}: {:?}", report.stats);
    lab.remember("after", &report);
    lab.assert_whole_beside_bad(&what);
    let repository = lab.try_open().expect("opens");
    repository.load_index().expect("loads the index");
    let (snapshot, tree) = lab.remembered(&repository, "after");
    run.tree.assert_same(tree, &what);
    run.manifest.assert_same(&lab.manifest(&repository, &snapshot), &what);
}
