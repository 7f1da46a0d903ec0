//! The merge of index objects, stopped and watched at every moment.

use larder::chunker::{ChunkerParams, SizeClass};
use larder::crypto::Suite;
use larder::repository::{OpenOptions, Repository};
use larder::storage::record::apply;

use crate::support::{Lab, LabOptions, crash_states};

/// Stop a merge of index objects after every write and delete in turn, once over deltas alone and
/// once over deltas and an older run.
#[test]
fn interrupted_index_merge_loses_nothing() {
    let mut lab =
        Lab::with(4, LabOptions { entries: 5, suite: Suite::None, ..LabOptions::default() });
    for generation in 0..2 {
        for n in 0..4 {
            lab.tree().edit(3);
            lab.backup_named(&format!("{generation}-{n}"));
        }
        let merging = lab.fork();
        merge(&merging);
        let writes = merging.record.writes();
        assert!(writes.iter().any(|write| write.bytes.is_none()), "something is replaced");
        for state in crash_states(&writes) {
            let what = state.describe(&writes);
            let storage = lab.memory.fork();
            state.apply(&writes, &storage);
            let after = lab.on(storage);
            let bad = after.assert_whole_beside_bad(&what);
            assert!(bad.is_empty() || state.torn.is_some(), "{what}: {bad:?}");
            after.try_backup().unwrap_or_else(|error| panic!("{what}: {error}"));
            merge(&after);
            after.assert_whole_beside_bad(&what);
        }
        lab = lab.on(merging.memory.fork());
        lab.assert_all_whole("merged");
        assert!(generation == 0 || lab.open().index().stats().records > 0);
    }
}

fn merge(lab: &Lab) {
    lab.record.clear();
    let repository = lab.try_open().expect("opens");
    repository.load_index().expect("loads the index");
    repository.compact_index_beyond(1, &lab.runtime()).expect("merges");
}

/// Other clients look in at every moment of a merge: one that stays open, and one that comes and
/// goes with an index file of its own. Pack tables were once taken for done although their run was
/// not there yet, and nobody looked at them again: when the merge was over, the client that had
/// stayed open had lost the whole index. Only large indexes are kept in several levels, where this
/// showed.
#[test]
fn clients_that_look_in_during_a_merge_miss_nothing() {
    let params = ChunkerParams::for_average(256).expect("parameters");
    let classes = Some(vec![SizeClass { below: u64::MAX, params }]);
    let mut lab = Lab::with(
        5,
        LabOptions { entries: 0, suite: Suite::None, classes, ..LabOptions::default() },
    );
    lab.tree().add_noise("many chunks", 10 << 20);
    lab.backup_named("first");
    lab.tree().add_noise("more", 1 << 20);
    lab.backup_named("second");
    let merging = lab.fork();
    merge(&merging);

    let watched = lab.fork();
    let staying = watched.open();
    let records = staying.index().stats().records;
    assert!(records > 33_000, "{records} records");
    let cache_dir = Some(lab.scratch("cache"));
    let options = OpenOptions { cache_dir, state_dir: None, ..OpenOptions::default() };
    let come = || {
        let storage = watched.memory.clone();
        Repository::open(storage, &lab.unlock(), &options, &lab.runtime()).expect("opens")
    };
    let look = |repository: &Repository, what: &str| {
        let bad = repository.load_index().expect("loads the index");
        assert!(bad.is_empty(), "{what}: {bad:?}");
        for name in ["first", "second"] {
            let (snapshot, copy) = lab.remembered(repository, name);
            let read = lab.read(repository, &snapshot);
            let read = read.unwrap_or_else(|error| panic!("{what}: {error}"));
            copy.assert_same(&read, what);
        }
    };
    look(&come(), "before");
    for write in merging.record.writes() {
        apply(&write, &watched.memory);
        look(&come(), &write.name);
        look(&staying, &write.name);
    }
}
