//! The guard: what an attack leaves is noticed, and nothing of before it is forgotten until a
//! person says so.

use larder::crypto::Suite;
use larder::manager::alerts::{Alert, AlertKind, Alerts};
use larder::manager::schedule::{forget_old, schedule_tag};
use larder::manager::{BackupManager, NewSchedule, guard};
use larder::model::{Age, BackupSchedule, BackupStrategy};
use larder::retention::RetentionPolicy;
use larder::runtime::Runtime;

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
