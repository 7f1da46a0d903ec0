//! What a restore asks of storage.

use std::sync::Arc;

use larder::error::{Error, StorageErrorKind};
use larder::restore::{RestoreOptions, restore};
use larder::storage::fault::{Fault, On, Rule};
use larder::storage::record::Operation;
use larder::storage::{FaultStorage, RecordStorage, SharedStorage};

use crate::support::{Lab, noise};

fn lab() -> (Lab, larder::repository::Snapshot) {
    let lab = Lab::new();
    for n in 0..100 {
        lab.write(&format!("{}/{n}", n % 7), noise(30_000 + n * 10, n as u64));
    }
    lab.write("large", noise(9 << 20, 1_000));
    let snapshot = lab.backup();
    (lab, snapshot)
}

#[test]
fn each_pack_is_read_once() {
    let (lab, snapshot) = lab();
    let recorded = Arc::new(RecordStorage::new(Arc::clone(&lab.storage) as SharedStorage));
    let repository = lab.open(Arc::clone(&recorded) as SharedStorage);
    let report = restore(&repository, &snapshot, &lab.options(), &lab.runtime).expect("restores");
    assert!(report.is_complete());
    let packs = lab.storage.names().into_iter().filter(|name| name.starts_with("data/"));
    let sizes: Vec<_> =
        packs.map(|name| lab.storage.bytes(&name).expect("is there").len() as u64).collect();
    let read = recorded.bytes(Operation::GetRange, "data/");
    assert!(read <= sizes.iter().sum(), "{read} bytes of {sizes:?}");
    let calls = recorded.count(Operation::GetRange, "data/");
    assert!(calls <= sizes.len() * 6, "{calls} calls for {} packs", sizes.len());
}

#[test]
fn one_file_costs_little() {
    let (lab, snapshot) = lab();
    let recorded = Arc::new(RecordStorage::new(Arc::clone(&lab.storage) as SharedStorage));
    let repository = lab.open(Arc::clone(&recorded) as SharedStorage);
    let options = RestoreOptions { include: vec!["/**/3/3".into()], ..lab.options() };
    let report = restore(&repository, &snapshot, &options, &lab.runtime).expect("restores");
    assert_eq!((report.files, report.failed), (1, 0));
    assert!(recorded.bytes(Operation::GetRange, "data/") < 3 << 20);
}

fn failing(lab: &Lab, times: u64, kind: StorageErrorKind) -> larder::repository::Repository {
    let faulty = Arc::new(FaultStorage::new(Arc::clone(&lab.storage) as SharedStorage));
    let repository = lab.open(Arc::clone(&faulty) as SharedStorage);
    faulty.inject(Rule {
        on: On::Get,
        prefix: "data/".into(),
        nth: 2,
        times,
        fault: Fault::Fail(kind),
    });
    repository
}

/// Thousands of equal errors help nobody.
#[test]
fn storage_out_of_reach_ends_the_restore() {
    let (lab, snapshot) = lab();
    let repository = failing(&lab, u64::MAX, StorageErrorKind::Temporary);
    let failed = restore(&repository, &snapshot, &lab.options(), &lab.runtime);
    let is_storage = matches!(&failed, Err(Error::Storage(error)) if error.is_temporary());
    assert!(is_storage, "{failed:?}");
    lab.restore_well(&snapshot, &lab.options());
    lab.assert_identical();
}

/// As a disk with a bad sector fails.
#[test]
fn a_read_that_fails_is_tried_in_smaller_parts() {
    let (lab, snapshot) = lab();
    let repository = failing(&lab, 2, StorageErrorKind::Permanent);
    let report = restore(&repository, &snapshot, &lab.options(), &lab.runtime).expect("restores");
    assert!(report.is_complete(), "{:?}", report.failures);
    lab.assert_identical();
}
