//! `larder status`: what is not safe is not called so.

use std::sync::Arc;

use larder::crypto::Suite;
use larder::error::Error;
use larder::manager::alerts::{AlertKind, Alerts};
use larder::manager::board::{Board, EventBus, JobKind, JobOutcome, NewJob};
use larder::manager::history::Database;
use larder::manager::schedule::schedule_tag;
use larder::manager::status::{RpoSource, StatusReport, Verdict, WatchOptions, look, report};
use larder::manager::{BackupManager, NewSchedule};
use larder::model::BackupStrategy;
use larder::runtime::{CancelToken, Clock, Runtime, SystemClock, TestClock};

use super::shop::{Shop, ShopOptions};

const HOUR_MS: i64 = 3_600_000;

fn shop() -> Shop {
    Shop::with(ShopOptions { suite: Suite::None, clock: None })
}

/// How things stand so many hours from now.
fn in_hours(manager: &BackupManager, hours: i64) -> StatusReport {
    let runtime = later(hours);
    let list = manager.repository().snapshots().expect("are read");
    let options = WatchOptions::default();
    look(manager, "shop", "", &list, &options, &runtime).expect("is looked at");
    report(manager, "shop", "", &list, &options, &runtime).expect("is told")
}

fn later(hours: i64) -> Runtime {
    let now_ms = SystemClock.now_ms() + hours * HOUR_MS;
    Runtime { clock: Arc::new(TestClock::at_ms(now_ms)), ..Runtime::default() }
}

fn reasons(report: &StatusReport) -> String {
    report.reasons.iter().map(|reason| format!("{}\n", reason.message)).collect()
}

#[test]
fn an_old_backup_of_which_nothing_is_known_should_be_looked_at() {
    let shop = shop();
    let manager = shop.manager();
    manager.create_backup(BackupStrategy::Full).expect("makes a backup");
    assert_eq!(in_hours(&manager, 40).verdict, Verdict::Safe);
    let old = in_hours(&manager, 50);
    assert_eq!(old.verdict, Verdict::Attention, "{}", reasons(&old));
    assert_eq!(old.series[0].rpo_source, Some(RpoSource::Assumed));
    assert!(reasons(&old).contains("--rpo-hours"), "{}", reasons(&old));
    assert_eq!(old.alerts, [], "nobody is called for a guess");
}

#[test]
fn a_schedule_that_never_made_a_backup_is_told() {
    let shop = shop();
    let manager = shop.manager();
    manager.create_backup(BackupStrategy::Full).expect("makes one of another kind");
    let new = NewSchedule {
        rpo_hours: Some(26),
        name: Some("nightly".into()),
        ..NewSchedule::new("@daily")
    };
    let schedule = manager.schedule_backup_with(&new).expect("is made");
    assert_eq!(in_hours(&manager, 25).verdict, Verdict::Safe);
    let never = in_hours(&manager, 27);
    assert_eq!(never.verdict, Verdict::Danger);
    assert!(reasons(&never).contains("schedule `nightly` has made no backup"), "{never:?}");
    let [alert] = &never.alerts[..] else { panic!("{:?}", never.alerts) };
    assert_eq!((alert.kind, &alert.subject), (AlertKind::Missing, &schedule.schedule_id));

    let mut request = manager.request(BackupStrategy::Incremental);
    request.options.tags.push(schedule_tag(&schedule.schedule_id));
    manager.create_backup_with(&request).expect("makes a backup");
    assert_eq!(in_hours(&manager, 20).verdict, Verdict::Safe);
    assert!(Alerts::new(manager.database(), &later(0)).open().expect("are read").is_empty());
    // One that a person makes in between does not change how old the newest may be.
    manager.create_backup(BackupStrategy::Incremental).expect("makes a backup");
    let old = in_hours(&manager, 27);
    assert_eq!(old.series[0].rpo_source, Some(RpoSource::Schedule));
    assert_eq!(old.verdict, Verdict::Danger);
}

#[test]
fn a_proof_that_failed_last_is_told() {
    let shop = shop();
    let manager = shop.manager();
    manager.create_backup(BackupStrategy::Full).expect("makes a backup");
    let runtime = shop.runtime();
    let database = Arc::new(Database::new(Some(shop.state_dir()), Arc::clone(&runtime.clock)));
    let board = Board::new(database, EventBus::new(Arc::clone(&runtime.clock)), runtime);
    let run = |failed: Option<u64>| {
        let new = NewJob {
            repository: "by another name".into(),
            repo_id: manager.repository().id(),
            kind: JobKind::RestoreTest,
            title: "a test".into(),
            schedule_id: None,
            attempt: 1,
            wanted_by: "ann".into(),
        };
        _ = board.run(new, &CancelToken::default(), |handle| match failed {
            None => Ok(JobOutcome::default()),
            Some(failed) => {
                handle.note_result(serde_json::json!({ "failed": failed }));
                Err(Error::damaged("/a", "other bytes"))
            }
        });
        in_hours(&manager, 1)
    };
    assert_eq!(run(None).verdict, Verdict::Safe);
    assert_eq!(run(Some(0)).verdict, Verdict::Attention);
    let damaged = run(Some(3));
    assert_eq!(damaged.verdict, Verdict::Danger);
    assert!(reasons(&damaged).contains("the last restore test failed"), "{}", reasons(&damaged));
    assert_eq!(run(None).verdict, Verdict::Safe, "it is put right");
}
