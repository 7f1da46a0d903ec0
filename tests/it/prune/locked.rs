//! Storage that keeps what it is told to delete: what is needed gets more time, what is not needed
//! is reported, and goes when its time is over.

use std::sync::Arc;

use larder::error::Error;
use larder::prune::{PruneOptions, RetainOptions, RetainReport, retain, run};
use larder::repository::Repository;
use larder::runtime::Clock;
use larder::storage::{LockMode, ObjectLock, SharedStorage};

use super::{DAY_MS, assert_left, at_once, forget, names, pack_bytes, versions};
use crate::support::{Lab, Vault};

fn vault(lab: &Lab, days: u32) -> Vault {
    Vault::new(lab.storage.clone(), lab.clock.clone(), days)
}

fn open(lab: &Lab, vault: &Arc<Vault>) -> Repository {
    let storage: SharedStorage = vault.clone();
    let runtime = lab.runtime();
    let opened = Repository::open(storage, &lab.unlock(), &lab.open_options(), &runtime);
    opened.expect("opens")
}

fn for_days(lab: &Lab, days: i64) -> RetainOptions {
    let until_ms = lab.clock.now_ms() + days * DAY_MS;
    RetainOptions { until_ms, enough_ms: until_ms, mode: None, dry_run: false }
}

fn kept(lab: &Lab, vault: &Arc<Vault>, how: &RetainOptions) -> RetainReport {
    retain(&open(lab, vault), how, &at_once(), &lab.runtime()).expect("retains")
}

fn until(vault: &Vault, name: &str) -> i64 {
    vault.retention(name).expect("tells").expect("kept").until_ms
}

#[test]
fn what_is_needed_is_kept_for_longer_and_garbage_is_not() {
    let lab = versions(481, 3);
    forget(&lab, |number| number == 2);
    let vault = Arc::new(vault(&lab, 10));
    lab.clock.advance_ms(5 * DAY_MS);
    let how = for_days(&lab, 30);
    let tried = kept(&lab, &vault, &RetainOptions { dry_run: true, ..how });
    assert_eq!(vault.take_log(), [""; 0], "a dry run changes nothing");
    let report = kept(&lab, &vault, &how);
    assert_eq!(report, tried);
    assert_eq!(vault.take_log().len() as u64, report.extended);
    assert!(report.extended_packs.packs > 0 && report.left.packs > 0, "{report:?}");
    for folder in ["keys/", "keyring/", "config/", "index/", "snapshots/"] {
        for name in names(&lab, folder) {
            assert_eq!(until(&vault, &name), how.until_ms, "{name}");
        }
    }
    assert_eq!(until(&vault, "repo"), how.until_ms);
    let packs = [names(&lab, "data/"), names(&lab, "meta/")].concat();
    let (long, short): (Vec<_>, Vec<_>) =
        packs.into_iter().partition(|name| until(&vault, name) == how.until_ms);
    assert_eq!(long.len() as u64, report.extended_packs.packs);
    assert_eq!(short.len() as u64, report.left.packs);
    // Exactly those that a prune keeps.
    let pruned = lab.fork();
    let all = PruneOptions { max_repack: Some(0), ..at_once() };
    run(&pruned.open(), &all, &pruned.runtime()).expect("prunes");
    let left = [names(&pruned, "data/"), names(&pruned, "meta/")].concat();
    assert_eq!(left, long);

    let again = kept(&lab, &vault, &how);
    assert_eq!((again.extended, again.enough), (0, report.extended), "{again:?}");
    // Less than what they have changes nothing; a little more is not worth a request.
    kept(&lab, &vault, &for_days(&lab, 20));
    let more = for_days(&lab, 31);
    let enough_ms = lab.clock.now_ms() + 25 * DAY_MS;
    kept(&lab, &vault, &RetainOptions { enough_ms, ..more });
    assert_eq!(vault.take_log(), [""; 0]);
    let strict = RetainOptions { mode: Some(LockMode::Compliance), ..more };
    assert_eq!(kept(&lab, &vault, &strict).extended, report.extended);
    // What is kept for long enough is made strict, and for no shorter time.
    let lab_2 = lab.fork();
    let vault_2 = Arc::new(self::vault(&lab_2, 50));
    let strict = RetainOptions { mode: Some(LockMode::Compliance), ..for_days(&lab_2, 20) };
    let before_ms = until(&vault_2, "repo");
    assert!(before_ms > strict.until_ms);
    assert_eq!(kept(&lab_2, &vault_2, &strict).enough, 0);
    let repo = vault_2.retention("repo").expect("tells").expect("kept");
    assert_eq!((repo.mode, repo.until_ms), (LockMode::Compliance, before_ms));
    assert_eq!(kept(&lab_2, &vault_2, &strict).extended, 0);
    // What is strict stays strict.
    let loose = RetainOptions { mode: Some(LockMode::Governance), ..for_days(&lab, 40) };
    kept(&lab, &vault, &loose);
    assert_eq!(vault.retention("repo").expect("tells").expect("kept").mode, LockMode::Compliance);
}

#[test]
fn a_retain_that_was_stopped_goes_on() {
    let lab = versions(482, 2);
    let vault = Arc::new(vault(&lab, 10));
    let how = for_days(&lab, 30);
    *vault.budget.lock() = 7;
    let refused = retain(&open(&lab, &vault), &how, &at_once(), &lab.runtime());
    let error = refused.expect_err("the key may not");
    assert!(matches!(error, Error::Storage(_)) && error.exit_code() == 1, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("PutObjectRetention")), "{error:?}");
    *vault.budget.lock() = u32::MAX;
    let report = kept(&lab, &vault, &how);
    assert_eq!(report.enough, 7);
    assert_eq!(vault.take_log().len() as u64, report.extended + 7);
}

#[test]
fn storage_without_locks_says_so() {
    let lab = versions(483, 1);
    let retained = retain(&lab.open(), &for_days(&lab, 9), &at_once(), &lab.runtime());
    let error = retained.expect_err("memory has no locks");
    assert_eq!(error.exit_code(), 2, "{error}");
    let versioned = Arc::new(Vault { has_versions: true, ..vault(&lab, 0) });
    let repository = open(&lab, &versioned);
    let retained = retain(&repository, &for_days(&lab, 9), &at_once(), &lab.runtime());
    assert!(retained.expect_err("no locks").to_string().contains("no object lock"));
}

/// Nothing is deleted half: what is kept is named, and gone at the first prune after its time.
#[test]
fn what_is_kept_goes_when_its_time_is_over() {
    let lab = versions(484, 3);
    forget(&lab, |number| number == 2);
    let before = pack_bytes(&lab);
    let vault = Arc::new(vault(&lab, 10));
    let whole = PruneOptions { max_repack: Some(0), ignore_lease: true, ..at_once() };
    let prune = || run(&open(&lab, &vault), &whole, &lab.runtime()).expect("prunes");
    let report = prune();
    assert!(report.retained.packs > 0 && report.deleted.packs == 0, "{report:?}");
    assert!(report.retained_others > 0, "{report:?}");
    let times = report.retained_until.expect("storage tells until when");
    let latest_ms = lab.clock.now_ms() + 10 * DAY_MS;
    assert!(times.first_ms <= times.last_ms && times.last_ms <= latest_ms, "{times:?}");
    assert_eq!(pack_bytes(&lab), before);
    assert_left(&lab, "retained");
    lab.clock.advance_ms(times.last_ms + 1 - lab.clock.now_ms());
    let report = prune();
    assert!(report.deleted.packs > 0 && report.retained.packs == 0, "{report:?}");
    assert!(pack_bytes(&lab) < before && !report.keeps_versions);
    assert_left(&lab, "gone");
}

/// A bucket with versions takes deletes and keeps the bytes: people should know.
#[test]
fn old_versions_are_mentioned() {
    let lab = versions(485, 3);
    forget(&lab, |number| number == 2);
    let vault = Arc::new(Vault { has_versions: true, ..vault(&lab, 10) });
    let report = run(&open(&lab, &vault), &at_once(), &lab.runtime()).expect("prunes");
    assert!(report.deleted.packs > 0 && report.keeps_versions, "{report:?}");
    assert_left(&lab, "hidden");
}

/// A time that storage gives to an object cannot be taken back by the wrapper that tells of it.
#[test]
fn the_hooks_reach_through_every_wrapper() {
    use larder::storage::{
        CountStorage, FaultStorage, RecordStorage, RetryPolicy, RetryStorage, SizeCheckStorage,
        SplitStorage, ThrottleHandle, throttle,
    };
    let lab = versions(486, 1);
    let vault: SharedStorage = Arc::new(Vault { is_cold: true, ..vault(&lab, 10) });
    let pace = || {
        let handle = ThrottleHandle::new(throttle::Limits::default());
        throttle::Pace::new(handle, larder::runtime::CancelToken::default())
    };
    let wrapped: Vec<SharedStorage> = vec![
        Arc::new(CountStorage::new(vault.clone(), Arc::default())),
        Arc::new(FaultStorage::new(vault.clone())),
        Arc::new(RecordStorage::new(vault.clone())),
        Arc::new(RetryStorage::new(vault.clone(), RetryPolicy::default(), Default::default())),
        Arc::new(SizeCheckStorage::new(vault.clone())),
        Arc::new(SplitStorage::new(lab.storage.clone(), vault.clone())),
        throttle::throttled(vault.clone(), pace()),
    ];
    for (number, storage) in wrapped.iter().enumerate() {
        let lock = storage.object_lock().unwrap_or_else(|| panic!("{number} hides locks"));
        let name = &names(&lab, "data/")[0];
        assert!(lock.retention(name).expect("tells").is_some(), "{number}");
        assert!(storage.archive().is_some_and(|archive| archive.is_cold()), "{number}");
    }
}
