//! Several writers in one repository at once, on one machine or several.

use std::thread;

use larder::crypto::Suite;

use crate::support::{Lab, LabOptions};

/// Four clients back up four trees three times each, all at the same time. Every snapshot is whole,
/// and what the trees have in common is not stored four times over and over.
#[test]
fn clients_that_write_at_once_do_not_disturb_each_other() {
    let suite = Suite::None;
    let lab = Lab::with(70, LabOptions { suite, entries: 10, ..LabOptions::default() });
    lab.backup();
    let mut clients: Vec<Lab> = (0..4).map(|n| lab.beside(71 + n)).collect();
    for round in 0..3 {
        thread::scope(|scope| {
            for client in &mut clients {
                scope.spawn(move || {
                    client.tree().edit(5);
                    client.backup_named(&format!("{round}"));
                });
            }
        });
    }
    for client in &clients {
        client.assert_all_whole("written at once");
        for round in 0..3 {
            client.assert_restores_identical(&round.to_string());
        }
    }
    let list = lab.open().snapshots().expect("lists snapshots");
    assert_eq!(list.snapshots.len(), 13);
    let mut chains: Vec<_> = list.snapshots.iter().map(|s| (s.client_id, s.client_seq)).collect();
    chains.sort();
    chains.dedup();
    assert_eq!(chains.len(), 13, "no two records have the same number of one client");
    let report = lab.try_check().expect("checks");
    assert!(report.is_clean(), "{:?}", report.findings);
}

/// Two runs of one client at once: its chain of records has no gap and no fork.
#[test]
fn runs_of_one_client_at_once_number_their_records_one_after_the_other() {
    let suite = Suite::None;
    let lab = Lab::with(80, LabOptions { suite, samples: false, ..LabOptions::default() });
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| lab.backup());
        }
    });
    lab.assert_all_whole("written at once");
    let list = lab.open().snapshots().expect("lists snapshots");
    let mut numbers: Vec<u64> = list.snapshots.iter().map(|s| s.client_seq).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert!(lab.try_check().expect("checks").is_clean());
}

/// One merges the index over and over while others write and read.
#[test]
fn merging_the_index_disturbs_no_writer() {
    let suite = Suite::None;
    let options = LabOptions { suite, samples: false, entries: 10, ..LabOptions::default() };
    let mut lab = Lab::with(90, options);
    lab.backup_named("before");
    let mut clients: Vec<Lab> = (0..2).map(|n| lab.beside(91 + n)).collect();
    thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(move || {
                for round in 0..5 {
                    client.tree().edit(3);
                    client.backup_named(&format!("{round}"));
                    client.assert_all_whole("while the index is merged");
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..15 {
                let repository = lab.open();
                repository.compact_index_beyond(1, &lab.runtime()).expect("merges");
            }
        });
    });
    for client in &clients {
        client.assert_all_whole("at the end");
    }
    assert!(lab.try_check().expect("checks").is_clean());
}
