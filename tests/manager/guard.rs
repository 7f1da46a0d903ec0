//! The guard: what an attack leaves is noticed, and nothing of before it is forgotten until a
//! person says so.

use std::sync::Arc;

use larder::crypto::Suite;
use larder::error::Error;
use larder::manager::alerts::{Alert, AlertKind, Alerts};
use larder::manager::schedule::{forget_old, schedule_tag};
use larder::manager::{BackupManager, NewSchedule, guard};
use larder::model::{Age, BackupSchedule, BackupStrategy};
use larder::retention::RetentionPolicy;
use larder::runtime::{Runtime, TestClock};

use super::shop::{Shop, ShopOptions, noise};

const FILES: u64 = 25;

fn text(number: u64) -> String {
    (0..4_000).map(|line| format!("line {line} of the report {number}\n")).collect()
}

fn back_up(manager: &BackupManager, schedule: &BackupSchedule) {
    let mut request = manager.request(BackupStrategy::Incremental);
    request.options.tags.push(schedule_tag(&schedule.schedule_id));
    manager.create_backup_with(&request).expect("makes a backup");
}

fn forgets(manager: &BackupManager, schedule: &BackupSchedule) -> usize {
    let none = RetentionPolicy::default();
    let zero: Age = "0h".parse().expect("an age");
    let runtime = Runtime::default();
    forget_old(manager, schedule, &none, zero, &runtime).expect("forgets").len()
}

#[test]
fn an_attack_pauses_retention_until_a_person_clears_it() {
    let shop = Shop::with(ShopOptions { suite: Suite::None, clock: None });
    let manager = shop.manager();
    let mut schedule = manager.schedule_backup_with(&NewSchedule::new("@daily")).expect("is made");
    schedule.keep.keep_last = Some("3".parse().expect("a count"));
    for number in 0..FILES {
        shop.write(&format!("reports/{number}.txt"), text(number));
    }
    for day in 0..5 {
        shop.write("diary.txt", format!("day {day}"));
        back_up(&manager, &schedule);
    }
    assert_eq!(forgets(&manager, &schedule), 2, "all is as usual");
    for day in 5..8 {
        shop.write("diary.txt", format!("day {day}"));
        back_up(&manager, &schedule);
    }

    for number in 0..FILES {
        shop.write(&format!("reports/{number}.txt"), noise(number + 10, 120_000));
    }
    back_up(&manager, &schedule);
    assert_eq!(forgets(&manager, &schedule), 0, "the good ones stay");
    let runtime = Runtime::default();
    let alerts = Alerts::new(manager.database(), &runtime);
    let open = alerts.open().expect("are read");
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0].kind, AlertKind::Anomaly);
    assert!(open[0].message.contains("encrypted"), "{}", open[0].message);

    // Another process, and the next backup, change nothing about it.
    let other = shop.manager();
    back_up(&other, &schedule);
    assert_eq!(forgets(&other, &schedule), 0);
    let id = other.repository().id();
    let is_paused = |series: &str| {
        guard::retention_is_paused(other.database(), id, series, &runtime).expect("is read")
    };
    assert!(is_paused(&open[0].subject) && !is_paused("00"));

    alerts.clear(&open[0].alert_id, "ann").expect("is cleared");
    assert!(!is_paused(&open[0].subject));
    assert!(forgets(&other, &schedule) > 0, "retention goes on");
    assert!(alerts.open().expect("are read").is_empty(), "it is not raised again");
}

/// What is raised by the newest backup after some that were as usual.
fn raised_after(odd: impl FnOnce(&Shop)) -> Vec<Alert> {
    let shop = Shop::with(ShopOptions { suite: Suite::None, clock: None });
    let manager = shop.manager();
    for number in 0..FILES {
        shop.write(&format!("reports/{number}.txt"), text(number));
    }
    let look = || {
        let list = manager.repository().snapshots().expect("are read");
        guard::look(&manager, "shop", &list, &Runtime::default()).expect("looks")
    };
    for day in 0..5 {
        shop.write("diary.txt", format!("day {day}"));
        manager.create_backup(BackupStrategy::Incremental).expect("makes a backup");
        assert_eq!(look(), []);
    }
    odd(&shop);
    manager.create_backup(BackupStrategy::Incremental).expect("makes a backup");
    look()
}

/// As many files come as go, so that the count stays what it was.
#[test]
fn files_that_are_removed_while_others_come_raise_an_alert() {
    let raised = raised_after(|shop| {
        for number in 0..FILES - 5 {
            std::fs::remove_file(shop.source().join(format!("reports/{number}.txt")))
                .expect("goes");
            shop.write(&format!("leaflets/{number}.txt"), format!("a leaflet, number {number}"));
        }
    });
    let [alert] = &raised[..] else { panic!("{raised:?}") };
    let message = &alert.message;
    assert!(message.contains("20 of 30 files are gone (none before)"), "{message}");
    assert!(alert.advice.contains("larder diff"), "{}", alert.advice);
    assert!(alert.advice.contains("larder alert clear"), "{}", alert.advice);
}

#[test]
fn files_that_are_only_moved_raise_none() {
    let raised = raised_after(|shop| {
        let folder = |name: &str| shop.source().join(name);
        std::fs::rename(folder("reports"), folder("archive")).expect("is moved");
    });
    assert_eq!(raised, []);
}

/// A series with an attack in it, and its schedule, which keeps the newest alone.
fn attacked(shop: &Shop, manager: &BackupManager) -> BackupSchedule {
    let mut schedule = manager.schedule_backup_with(&NewSchedule::new("@daily")).expect("is made");
    schedule.keep.keep_last = Some("1".parse().expect("a count"));
    for number in 0..FILES {
        shop.write(&format!("reports/{number}.txt"), text(number));
    }
    for day in 0..5 {
        shop.write("diary.txt", format!("day {day}"));
        back_up(manager, &schedule);
    }
    for number in 0..FILES {
        shop.write(&format!("reports/{number}.txt"), noise(number + 10, 120_000));
    }
    back_up(manager, &schedule);
    assert_eq!(forgets(manager, &schedule), 0, "the good ones stay");
    schedule
}

fn lose_database(shop: &Shop) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(shop.state_dir().join(format!("history.sqlite{suffix}")));
    }
}

fn open_anomalies(manager: &BackupManager) -> Vec<Alert> {
    Alerts::new(manager.database(), &Runtime::default()).open().expect("are read")
}

/// What keeps the good snapshots outlives the database, and is not taken for gone while that
/// cannot be used.
#[test]
fn a_lost_database_forgets_no_good_snapshot() {
    let shop = Shop::with(ShopOptions { suite: Suite::None, clock: None });
    let manager = shop.manager_with(|options| options.name = "shop".into());
    let schedule = attacked(&shop, &manager);
    let [alert] = &open_anomalies(&manager)[..] else { panic!("one alert") };
    assert_eq!(alert.repository, "shop", "retention gives the name, too");
    // As usual since then, more often than is judged at once.
    (0..4).for_each(|_| back_up(&manager, &schedule));
    let copy = shop.state_dir().join(format!("anomalies-{}.json", manager.repository().id()));
    assert!(copy.is_file());
    drop(manager);

    for with_copy in [true, false] {
        lose_database(&shop);
        if !with_copy {
            std::fs::remove_file(&copy).expect("was there");
        }
        let manager = shop.manager();
        assert_eq!(forgets(&manager, &schedule), 0, "copy: {with_copy}");
        assert_eq!(open_anomalies(&manager).len(), 1, "copy: {with_copy}");
    }

    lose_database(&shop);
    let path = shop.state_dir().join("history.sqlite");
    std::fs::create_dir(&path).expect("something in its place");
    let manager = shop.manager();
    let zero: Age = "0h".parse().expect("an age");
    let keep = RetentionPolicy::default();
    let refused = forget_old(&manager, &schedule, &keep, zero, &Runtime::default());
    let error = refused.expect_err("nobody knows whether they are good");
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(error.in_full().contains("history.sqlite"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("larder forget ID")));
    drop(manager);
    std::fs::remove_dir(&path).expect("it is gone again");

    let manager = shop.manager();
    assert_eq!(forgets(&manager, &schedule), 0);
    let runtime = Runtime::default();
    for alert in open_anomalies(&manager) {
        Alerts::new(manager.database(), &runtime)
            .clear(&alert.alert_id, "ann")
            .expect("is cleared");
    }
    assert!(forgets(&manager, &schedule) > 0, "a person has looked");
    assert!(!copy.exists());
}

/// One snapshot that claims to be of the future does not hide those that come after it.
#[test]
fn a_snapshot_of_the_future_switches_nothing_off() {
    let shop = Shop::with(ShopOptions { suite: Suite::None, clock: None });
    let now_ms = Runtime::default().clock.now_ms();
    let later = shop.manager_with(|options| {
        let clock = Arc::new(TestClock::at_ms(now_ms + 10 * 365 * 24 * 3_600_000));
        options.runtime = Runtime { clock, ..Runtime::default() };
    });
    shop.write("diary.txt", "to come");
    later.create_backup(BackupStrategy::Incremental).expect("makes a backup");
    let manager = shop.manager();
    forgets(&manager, &later.schedule_backup_with(&NewSchedule::new("@daily")).expect("is made"));
    attacked(&shop, &manager);
    assert_eq!(open_anomalies(&manager).len(), 1);
}
