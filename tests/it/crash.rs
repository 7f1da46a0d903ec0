//! The machine stops at any write: what is left is replayed onto fresh storage and used.

use std::collections::BTreeSet;

use larder::error::Error;
use larder::storage::MemoryStorage;
use larder::storage::record::{Write, apply};

use crate::support::{Lab, LabOptions, ManifestCopy, TreeCopy};

/// One state that a crash can leave: which writes are there, and how many bytes of the last.
struct CrashState {
    done: Vec<usize>,
    torn: Option<(usize, usize)>,
}

/// Every state that a crash can leave: for each moment all writes that had ended, and any of those
/// that were under way, the last of them whole or torn.
fn crash_states(writes: &[Write]) -> Vec<CrashState> {
    let moments: BTreeSet<u64> =
        writes.iter().flat_map(|w| [w.started, w.finished]).flat_map(|t| [t, t + 1]).collect();
    let mut seen = BTreeSet::new();
    for moment in moments {
        let numbers = 0..writes.len();
        let ended: Vec<usize> =
            numbers.clone().filter(|n| writes[*n].finished < moment).collect();
        let under_way: Vec<usize> = numbers
            .filter(|n| writes[*n].started < moment && writes[*n].finished >= moment)
            .collect();
        for subset in 0..1u32 << under_way.len() {
            let mut done = ended.clone();
            let chosen = under_way.iter().enumerate().filter(|(bit, _)| subset & (1 << bit) != 0);
            done.extend(chosen.map(|(_, n)| *n));
            done.sort_unstable();
            seen.insert(done);
        }
    }
    let mut states = Vec::new();
    for done in seen {
        if let Some(last) = done.last().copied()
            && let Some(bytes) = &writes[last].bytes
        {
            for keep in [0, 1, bytes.len() / 2, bytes.len() - 1] {
                states.push(CrashState { done: done.clone(), torn: Some((last, keep)) });
            }
        }
        states.push(CrashState { done, torn: None });
    }
    states
}

impl CrashState {
    fn apply(&self, writes: &[Write], storage: &MemoryStorage) {
        for n in &self.done {
            apply(&writes[*n], storage);
            if let Some((torn, keep)) = self.torn
                && torn == *n
            {
                storage.damage(&writes[*n].name, |bytes| bytes.truncate(keep));
            }
        }
    }

    fn describe(&self, writes: &[Write]) -> String {
        let names: Vec<_> = self.done.iter().map(|n| writes[*n].name.as_str()).collect();
        format!("after {names:?}, torn {:?}", self.torn.map(|(_, keep)| keep))
    }
}

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
    let mut lab = Lab::with(2, LabOptions { entries: 15, ..LabOptions::default() });
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
