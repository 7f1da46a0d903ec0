//! Many managers and many threads over one repository folder, all at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use larder::error::Error;
use larder::manager::{BackupManager, BackupQuery};
use larder::model::{BackupId, BackupStatus, BackupStrategy};
use parking_lot::Mutex;

use super::shop::{Shop, noise};
use super::support::{Dice, TreeCopy};

/// How much is done.
struct Size {
    managers: u64,
    threads_each: u64,
    steps: u64,
}

fn size() -> Size {
    if std::env::var_os("LARDER_TEST_LONG").is_some() {
        Size { managers: 6, threads_each: 4, steps: 40 }
    } else {
        Size { managers: 3, threads_each: 2, steps: 6 }
    }
}

/// What the threads did, as far as it has to hold in the end.
#[derive(Default)]
struct Done {
    created: Mutex<Vec<BackupId>>,
    deleted: Mutex<Vec<BackupId>>,
    failed: AtomicU64,
}

/// Every step succeeds or fails for a reason that the step before explains; in the end every backup
/// that was made and not deleted is there, whole and equal to the source, and the history agrees.
#[test]
fn many_managers_and_threads_over_one_repository() {
    let shop = Shop::new();
    for number in 0..20 {
        shop.write(&format!("many/{number}.bin"), noise(500 + number, 5_000));
    }
    let live = shop.live_copy();
    let seed = 7;
    let size = size();
    let done = Done::default();
    std::thread::scope(|scope| {
        for manager_no in 0..size.managers {
            let manager = shop.manager();
            for thread_no in 0..size.threads_each {
                let (shop, done, manager) = (&shop, &done, manager.clone());
                let dice = Dice::seeded(seed * 1000 + manager_no * 100 + thread_no);
                scope.spawn(move || work(shop, &manager, dice, size.steps, done));
            }
        }
    });
    let (mut created, deleted) = (done.created.into_inner(), done.deleted.into_inner());
    assert!(!created.is_empty(), "seed {seed}");
    created.retain(|id| !deleted.contains(id));
    created.sort();
    for manager in [shop.manager(), shop.manager()] {
        let query = BackupQuery { limit: Some(usize::MAX), ..BackupQuery::default() };
        let all = manager.list_backups_with(&query).expect("lists").backups;
        let of = |status| all.iter().filter(move |backup| backup.status == status);
        let mut completed: Vec<BackupId> =
            of(BackupStatus::Completed).map(|backup| backup.backup_id).collect();
        completed.sort();
        assert_eq!(completed, created, "seed {seed}");
        let failed = of(BackupStatus::Failed).count() as u64;
        assert_eq!(failed, done.failed.load(Ordering::SeqCst), "seed {seed}");
        assert_eq!(all.len() as u64, completed.len() as u64 + failed, "nothing goes on");
        assert!(manager.database().take_warnings().is_empty());
    }
    let manager = shop.manager();
    let mut seen: BTreeMap<_, BackupId> = BTreeMap::new();
    for id in &created {
        let restored = shop.restored(&manager, *id);
        live.assert_same(&restored, format!("seed {seed}: {id}"));
        let checksum = manager.backup(*id).expect("is there").checksum;
        assert_eq!(seen.insert(checksum, *id), None, "no two have one record");
    }
    for id in created.iter().take(3) {
        assert!(manager.verify_backup_integrity(*id).expect("looks").0, "seed {seed}: {id}");
    }
}

fn work(shop: &Shop, manager: &BackupManager, dice: Dice, steps: u64, done: &Done) {
    let some = |dice: &Dice, ids: &Mutex<Vec<BackupId>>| {
        let ids = ids.lock();
        (!ids.is_empty()).then(|| *dice.pick(&ids))
    };
    let strategies =
        [BackupStrategy::Full, BackupStrategy::Incremental, BackupStrategy::Differential];
    for step in 0..steps {
        match if step == 0 { 0 } else { dice.below(8) } {
            0..=2 => {
                let strategy = *dice.pick(&strategies);
                let id = manager.create_backup(strategy).expect("backs up");
                done.created.lock().push(id);
            }
            3 => {
                let request = manager.request(BackupStrategy::Full);
                request.runtime.cancel.cancel();
                let running = manager.start_backup(&request).expect("starts");
                assert!(matches!(running.wait(), Err(Error::Cancelled { .. })));
                done.failed.fetch_add(1, Ordering::SeqCst);
            }
            4 => {
                let Some(id) = some(&dice, &done.created) else { continue };
                match manager.delete_backup(id) {
                    Ok(()) => done.deleted.lock().push(id),
                    Err(Error::NotFound { what: "backup", .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            5 => {
                let Some(id) = some(&dice, &done.created) else { continue };
                match manager.verify_backup_integrity(id) {
                    Ok((is_valid, details)) => assert!(is_valid, "{details:?}"),
                    Err(Error::NotFound { what: "snapshot", .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            6 => {
                let Some(id) = some(&dice, &done.created) else { continue };
                let target = shop.path(&format!("restored-{id}-{}", dice.below(u64::MAX)));
                match manager.restore_backup(id, &target) {
                    Ok(report) => assert!(report.is_complete(), "{:?}", report.failures),
                    Err(Error::NotFound { what: "snapshot", .. }) => continue,
                    Err(error) => panic!("{error:?}"),
                }
                let restored = TreeCopy::of_folder(&shop.source_below(&target));
                shop.live_copy().assert_same(&restored, "restored meanwhile");
            }
            _ => {
                let backups = manager.list_backups(Some(10)).expect("lists");
                let sorted = backups.windows(2).all(|pair| pair[0].timestamp >= pair[1].timestamp);
                assert!(sorted && backups.len() <= 10);
                let stats = manager.get_backup_stats().expect("counts");
                assert!((0.0..=1.0).contains(&stats.success_rate), "{stats:?}");
            }
        }
    }
}
