//! Random trees and random edits: what is backed up comes back, whatever was stopped in between,
//! and what a snapshot says depends on the tree alone.

use larder::crypto::Suite;
use larder::model::BackupStrategy;
use proptest::prelude::*;

use crate::rounds;
use crate::support::{Lab, LabOptions, LabTime};

/// What happens to a tree and its repository between two looks.
#[derive(Clone, Debug)]
struct Step {
    edits: u64,
    /// A run that is stopped after so many writes, before the one that counts.
    stopped_after: Option<u64>,
    strategy: BackupStrategy,
}

fn strategy() -> impl Strategy<Value = BackupStrategy> {
    prop_oneof![
        1 => Just(BackupStrategy::Full),
        3 => Just(BackupStrategy::Incremental),
        1 => Just(BackupStrategy::Differential),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    (0..12_u64, prop::option::of(0..8_u64), strategy())
        .prop_map(|(edits, stopped_after, strategy)| Step { edits, stopped_after, strategy })
}

fn options() -> impl Strategy<Value = LabOptions> {
    let suite = prop_oneof![Just(Suite::None), Just(Suite::Aes256)];
    let time = prop_oneof![3 => Just(LabTime::Later), 1 => Just(LabTime::Now)];
    (suite, time, 0..40_u64).prop_map(|(suite, time, entries)| LabOptions {
        suite,
        time,
        entries,
        ..LabOptions::default()
    })
}

fn config(short: u64, long: u64) -> ProptestConfig {
    ProptestConfig {
        cases: rounds(short, long) as u32,
        max_shrink_iters: 30,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(8, 200))]

    /// After every edit a backup of a random strategy, sometimes after one that was stopped: each
    /// snapshot restores to the tree as it was then, to the last attribute, and nothing is damaged.
    #[test]
    fn every_snapshot_restores_to_the_tree_of_its_time(
        seed in any::<u64>(),
        options in options(),
        steps in prop::collection::vec(step(), 1..5),
    ) {
        let mut lab = Lab::with(seed, options);
        for (number, step) in steps.iter().enumerate() {
            lab.tree().edit(step.edits);
            if let Some(writes) = step.stopped_after {
                lab.storage.fail_after_writes(writes);
                let _ = lab.try_backup();
                lab.storage.heal();
            }
            let report = lab.backup_as(step.strategy);
            lab.remember(&number.to_string(), &report);
        }
        for number in 0..steps.len() {
            lab.assert_restores_identical(&number.to_string());
        }
        let report = lab.try_check().expect("checks");
        prop_assert!(report.is_clean(), "{:?}", report.findings);
    }

    /// Full, incremental and differential runs of one state have the same root, and the later ones
    /// store nothing.
    #[test]
    fn equal_states_have_equal_roots_whatever_the_strategy(
        seed in any::<u64>(),
        options in options(),
        edits in prop::collection::vec(0..8_u64, 1..3),
        order in Just(vec![
            BackupStrategy::Full,
            BackupStrategy::Incremental,
            BackupStrategy::Differential,
        ]).prop_shuffle(),
    ) {
        let lab = Lab::with(seed, options);
        lab.backup();
        for edits in edits {
            lab.tree().edit(edits);
            let mut first = None;
            for strategy in &order {
                lab.record.clear();
                let report = lab.backup_as(*strategy);
                prop_assert_eq!(report.strategy, *strategy);
                let snapshot = report.snapshot.expect("a snapshot");
                let manifest = lab.manifest(&lab.open(), &snapshot);
                match &first {
                    None => first = Some(manifest),
                    Some(first) => {
                        first.assert_same(&manifest, strategy.as_str());
                        let put = larder::storage::record::Operation::Put;
                        prop_assert_eq!(lab.record.count(put, "data/"), 0);
                    }
                }
            }
        }
    }
}
