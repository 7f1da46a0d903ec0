//! Schedules that are made, run, fail, change and end. No test sleeps for a schedule: clocks are
//! moved by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use larder::archive::BackupOptions;
use larder::crypto::Suite;
use larder::error::{Error, Result};
use larder::manager::history::RunQuery;
use larder::manager::schedule::{
    Assignment, Done, RetryDelays, ScheduleEvent, Scheduler, SchedulerOptions, Timing, Work,
    schedule_tag,
};
use larder::manager::{BackupManager, BackupQuery, NewSchedule};
use larder::model::{Age, Backup, BackupId, BackupSchedule, BackupStatus, BackupStrategy};
use larder::runtime::{Clock, SystemClock, TestClock};
use parking_lot::{Condvar, Mutex};

use super::shop::{Shop, ShopOptions};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// What a scheduler told, and a way to wait for more.
#[derive(Default)]
struct Told {
    events: Mutex<Vec<ScheduleEvent>>,
    more: Condvar,
}

impl Told {
    fn options(self: &Arc<Self>) -> SchedulerOptions {
        let told = Arc::clone(self);
        SchedulerOptions {
            on_event: Some(Arc::new(move |event| {
                told.events.lock().push(event.clone());
                told.more.notify_all();
            })),
            ..SchedulerOptions::default()
        }
    }

    /// Waits until `count` events are as `is` says, and returns all.
    #[track_caller]
    fn wait(&self, count: usize, is: impl Fn(&ScheduleEvent) -> bool) -> Vec<ScheduleEvent> {
        let mut events = self.events.lock();
        while events.iter().filter(|event| is(event)).count() < count {
            let timed_out = self.more.wait_for(&mut events, Duration::from_secs(60)).timed_out();
            assert!(!timed_out, "{events:?}");
        }
        events.clone()
    }

    #[track_caller]
    fn wait_ended(&self, count: usize) -> Vec<ScheduleEvent> {
        self.wait(count, |event| {
            !matches!(event, ScheduleEvent::Started { .. } | ScheduleEvent::Warning { .. })
        })
    }

    fn started(&self) -> usize {
        let is_start = |event: &&ScheduleEvent| matches!(event, ScheduleEvent::Started { .. });
        self.events.lock().iter().filter(is_start).count()
    }
}

#[track_caller]
fn start(manager: &BackupManager, told: &Arc<Told>) -> Scheduler {
    Scheduler::start(manager, told.options()).expect("starts")
}

fn backups(manager: &BackupManager, status: BackupStatus) -> Vec<Backup> {
    let query = BackupQuery { status: vec![status], ..BackupQuery::default() };
    manager.list_backups_with(&query).expect("lists").backups
}

fn completed(manager: &BackupManager) -> Vec<Backup> {
    backups(manager, BackupStatus::Completed)
}

/// Work that does what `f` says, which knows how many there were before.
fn work(f: impl Fn(u32, &Assignment) -> Result<Done> + Send + Sync + 'static) -> Work {
    let runs = AtomicU32::new(0);
    Arc::new(move |assignment| f(runs.fetch_add(1, Ordering::SeqCst), assignment))
}

fn plain_with_clock() -> (Shop, Arc<TestClock>) {
    let clock = Arc::new(TestClock::at_ms(SystemClock.now_ms() + HOUR_MS));
    let options = ShopOptions { suite: Suite::None, clock: Some(Arc::clone(&clock)) };
    (Shop::with(options), clock)
}

/// A schedule has what it was made with, an id of its own, and outlives the manager.
#[test]
fn schedule_backup() {
    let (shop, clock) = Shop::with_clock();
    let manager = shop.manager();
    let hourly = manager.schedule_backup(6, 2).expect("is made");
    let nightly = manager.schedule_backup("TZ=Europe/Berlin 30 2 * * *", 5).expect("is made");
    let weekly = NewSchedule {
        backup_type: BackupStrategy::Full,
        retention_days: 90,
        enabled: false,
        ..NewSchedule::new("@weekly")
    };
    let weekly = manager.schedule_backup_with(&weekly).expect("is made");

    let other = shop.manager();
    let all = other.schedules().expect("are there");
    let made = jiff::Timestamp::from_millisecond(clock.now_ms()).expect("a time");
    let want = |id: &str| BackupSchedule {
        schedule_id: id.into(),
        enabled: true,
        interval_hours: 0,
        backup_type: BackupStrategy::Incremental,
        retention_days: 0,
        max_retries: 3,
        encryption_enabled: true,
        created_at: made,
        ..BackupSchedule::default()
    };
    let of = |id: &str| all.iter().find(|one| one.schedule_id == id).expect("is there").clone();
    assert_eq!(all.len(), 3);
    assert_eq!(of(&hourly), BackupSchedule { interval_hours: 6, max_retries: 2, ..want(&hourly) });
    let cron = Some("30 2 * * *".into());
    let time_zone = Some("Europe/Berlin".into());
    assert_eq!(of(&nightly), BackupSchedule { cron, time_zone, max_retries: 5, ..want(&nightly) });
    assert_eq!((of(&weekly.schedule_id), weekly.enabled), (weekly.clone(), false));
    assert_eq!(other.schedule(&hourly[..12]).expect("by its first digits"), of(&hourly));

    let next = manager.next_runs(4).expect("are known");
    assert!(next.windows(2).all(|pair| pair[0].time <= pair[1].time));
    assert!(next.iter().any(|run| run.schedule_id == hourly));
    assert!(next.iter().all(|run| run.schedule_id != weekly.schedule_id), "it is paused");

    for wrong in ["0 0 30 2 *", "every day", "TZ=Mars/Olympus @daily"] {
        let error = manager.schedule_backup(wrong, 1).expect_err(wrong);
        assert!(matches!(error, Error::Usage { .. }), "{error}");
    }
    assert!(manager.schedule_backup(0, 1).is_err());
    assert_eq!(manager.schedules().expect("are there").len(), 3);
}

/// Nothing before its time, then one backup at each; runs that were missed are made up for once.
#[test]
fn automatic_execution() {
    let (shop, clock) = Shop::with_clock();
    let manager = shop.manager();
    let id = manager.schedule_backup(6, 0).expect("is made");
    let told = Arc::new(Told::default());
    let scheduler = start(&manager, &told);
    clock.advance_ms(6 * HOUR_MS - 1);
    scheduler.wake();
    assert_eq!(completed(&manager).len(), 0);

    clock.advance_ms(1);
    scheduler.wake();
    told.wait_ended(1);
    let made = completed(&manager);
    assert_eq!((made.len(), &made[0].tags), (1, &vec![schedule_tag(&id)]));
    shop.live_copy().assert_same(&shop.restored(&manager, made[0].backup_id), "the first");
    let query = RunQuery { schedule_id: Some(id.clone()), ..RunQuery::default() };
    let runs = manager.run_history().list(&query, clock.now_ms()).expect("are remembered");
    assert_eq!((runs.len(), runs[0].attempt), (1, 1));

    // The machine sleeps for a week: 28 runs are missed, one makes up for them.
    shop.write("letter.txt", "Dear reader, it has been a while,\n");
    clock.advance_ms(7 * DAY_MS);
    scheduler.wake();
    told.wait_ended(2);
    scheduler.wake();
    clock.advance_ms(6 * HOUR_MS - 1);
    scheduler.wake();
    scheduler.finish();
    assert_eq!((completed(&manager).len(), told.started()), (2, 2));
    let newest = completed(&manager)[0].clone();
    assert_eq!(newest.backup_type, BackupStrategy::Incremental);
    shop.live_copy().assert_same(&shop.restored(&manager, newest.backup_id), "the second");
}

/// A new program goes on where the last one stopped, and makes up for what was missed meanwhile.
#[test]
fn schedules_survive_restarts() {
    let (shop, clock) = plain_with_clock();
    let manager = shop.manager();
    let id = manager.schedule_backup(Timing::cron_in("0 2 * * *", "UTC"), 0).expect("is made");
    let told = Arc::new(Told::default());
    start(&manager, &told).stop();
    drop(manager);
    clock.advance_ms(3 * DAY_MS);

    let manager = shop.manager();
    let next = manager.next_runs(2).expect("are known");
    let now = jiff::Timestamp::from_millisecond(clock.now_ms()).expect("a time");
    assert_eq!((next[0].time, &next[0].schedule_id), (now, &id), "the missed one");
    let scheduler = start(&manager, &told);
    told.wait_ended(1);
    scheduler.stop();
    let told = Arc::new(Told::default());
    let scheduler = start(&manager, &told);
    scheduler.wake();
    scheduler.finish();
    assert_eq!((told.started(), completed(&manager).len()), (0, 1));
}

/// The database is lost, and later not to be used: the schedules are still there, and run. What was
/// cancelled does not come back.
#[test]
fn schedules_outlive_the_database() {
    let (shop, clock) = plain_with_clock();
    let lose = || {
        for suffix in ["", "-wal", "-shm"] {
            let path = shop.state_dir().join(format!("history.sqlite{suffix}"));
            let removed = std::fs::remove_file(path);
            assert!(removed.is_ok() || !suffix.is_empty());
        }
    };
    let ids = |manager: &BackupManager| -> Vec<String> {
        let schedules = manager.schedules().expect("are there");
        schedules.into_iter().map(|schedule| schedule.schedule_id).collect()
    };
    let manager = shop.manager();
    let id = manager.schedule_backup(6, 0).expect("is made");
    let other = manager.schedule_backup("@daily", 0).expect("is made");
    drop(manager);
    lose();
    let manager = shop.manager();
    let told = Arc::new(Told::default());
    let scheduler = start(&manager, &told);
    clock.advance_ms(6 * HOUR_MS);
    scheduler.wake();
    told.wait_ended(1);
    scheduler.stop();
    let mut both = vec![id.clone(), other.clone()];
    let sorted = |manager: &BackupManager| {
        let mut ids = ids(manager);
        ids.sort();
        ids
    };
    both.sort();
    assert_eq!(sorted(&manager), both);
    drop(manager);

    // A folder is in the place of the file: what is known is run, and not changed.
    lose();
    let path = shop.state_dir().join("history.sqlite");
    std::fs::create_dir(&path).expect("something in its place");
    let manager = shop.manager();
    start(&manager, &Arc::new(Told::default())).finish();
    assert_eq!(sorted(&manager), both);
    for error in [
        manager.schedule_backup(1, 0).expect_err("is not stored"),
        manager.pause_schedule(&id).expect_err("is not stored"),
        manager.cancel_schedule(&id).expect_err("is not stored"),
        manager.cancel_scheduled_backup().expect_err("is not stored"),
    ] {
        assert!(error.in_full().contains("no schedule can be changed"), "{error}");
    }
    assert_eq!(sorted(&manager), both);
    drop(manager);
    std::fs::remove_dir(&path).expect("it is gone again");

    let manager = shop.manager();
    manager.cancel_schedule(&id).expect("is cancelled");
    drop(manager);
    lose();
    let manager = shop.manager();
    start(&manager, &Arc::new(Told::default())).stop();
    assert_eq!(ids(&manager), [other]);
    assert_eq!(manager.cancel_scheduled_backup().expect("are cancelled"), 1);
    drop(manager);
    lose();
    assert_eq!(ids(&shop.manager()), [""; 0]);
}

/// A copy of the schedules that is damaged is set aside and told of; it is its owner's alone.
#[test]
fn a_damaged_copy_of_the_schedules_is_told_of() {
    use std::os::unix::fs::PermissionsExt;
    let (shop, _) = plain_with_clock();
    let manager = shop.manager();
    manager.schedule_backup(6, 0).expect("is made");
    let path = shop.state_dir().join(format!("schedules-{}.json", manager.repository().id()));
    let mode = path.metadata().expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(manager);
    std::fs::write(&path, "[{").expect("writes");
    std::fs::remove_file(shop.state_dir().join("history.sqlite")).expect("removes");
    let _ = std::fs::remove_file(shop.state_dir().join("history.sqlite-wal"));
    let manager = shop.manager();
    assert_eq!(manager.schedules().expect("reads"), []);
    let warnings = manager.database().take_warnings();
    assert!(warnings[0].contains("was damaged"), "{warnings:?}");
    assert!(path.with_extension("json.damaged").is_file() && !path.exists());
}

/// The newest of a schedule's own backups, and those of the last days, stay; so does whatever it
/// did not make.
#[test]
fn retention_policy() {
    let now_ms = SystemClock.now_ms();
    let clock = Arc::new(TestClock::at_ms(now_ms - 50 * DAY_MS));
    let options = ShopOptions { suite: Suite::None, clock: Some(Arc::clone(&clock)) };
    let shop = Shop::with(options);
    let manager = shop.manager();
    let new = NewSchedule::new(24);
    let schedule = manager.schedule_backup_with(&new).expect("is made");
    let other = manager.schedule_backup_with(&new).expect("is made");
    let pause = |id: &str| manager.pause_schedule(id).expect("pauses");
    pause(&schedule.schedule_id);
    pause(&other.schedule_id);
    // Storage says when it saw a snapshot: make it say the times of the test.
    let date_new_ones = |seen: &mut Vec<std::path::PathBuf>| {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(clock.now_ms() as u64);
        for name in shop.stored().into_keys().filter(|name| name.starts_with("snapshots")) {
            if !seen.contains(&name) {
                let path = shop.repository_folder().join(&name);
                let file = std::fs::File::options().write(true).open(path).expect("opens");
                file.set_modified(time).expect("dates it");
                seen.push(name);
            }
        }
    };
    let mut seen = Vec::new();
    let run = |id: &str, seen: &mut Vec<_>| -> BackupId {
        let told = Arc::new(Told::default());
        manager.resume_schedule(id).expect("resumes");
        let scheduler = start(&manager, &told);
        manager.run_schedule(id).expect("is wanted");
        scheduler.wake();
        let events = told.wait_ended(1);
        scheduler.finish();
        pause(id);
        date_new_ones(seen);
        match events.last() {
            Some(ScheduleEvent::Succeeded { backup_id: Some(id), .. }) => *id,
            other => panic!("{other:?}"),
        }
    };
    let by_hand = manager.create_backup(BackupStrategy::Full).expect("backs up");
    date_new_ones(&mut seen);
    let of_other = run(&other.schedule_id, &mut seen);
    let mut own = Vec::new();
    for days in [1, 9, 10, 29] {
        clock.advance_ms(days * DAY_MS);
        own.push(run(&schedule.schedule_id, &mut seen));
    }
    clock.advance_ms(DAY_MS);
    assert_eq!(completed(&manager).len(), 6, "nothing is forgotten yet");
    // The first two are 49 and 40 days old now, then one of 30 and one of a day.
    let keep = |days| BackupSchedule { retention_days: days, ..schedule.clone() };
    manager.update_schedule(&keep(35)).expect("changes");
    own.push(run(&schedule.schedule_id, &mut seen));
    let left: Vec<BackupId> = completed(&manager).iter().map(|backup| backup.backup_id).collect();
    for id in [by_hand, of_other, own[2], own[3], own[4]] {
        assert!(left.contains(&id), "{id} of {own:?} is gone: {left:?}");
    }
    assert_eq!(left.len(), 5, "{own:?}: {left:?}");
    // It can be had back until it is pruned.
    manager.undelete_backup(own[0]).expect("comes back");
}

/// With a single old backup there is nothing to forget, whatever the days say; and other rules
/// keep what they keep.
#[test]
fn the_newest_good_backup_is_never_forgotten() {
    let (shop, clock) = plain_with_clock();
    let manager = shop.manager();
    let new = NewSchedule { retention_days: 1, ..NewSchedule::new(1) };
    manager.schedule_backup_with(&new).expect("is made");
    let told = Arc::new(Told::default());
    let options = SchedulerOptions { min_age: Age::hours(0), ..told.options() };
    let scheduler = Scheduler::start(&manager, options).expect("starts");
    for round in 1..=3 {
        clock.advance_ms(HOUR_MS);
        scheduler.wake();
        told.wait_ended(round);
    }
    scheduler.finish();
    assert_eq!(completed(&manager).len(), 3, "none is a day old");
}

/// A run that fails is tried again after a while, longer each time, and the history has every
/// attempt. When the source is back, the run succeeds.
#[test]
fn failed_backup_retry() {
    let (shop, clock) = Shop::with_clock();
    let manager = shop.manager();
    let id = manager.schedule_backup(24, 3).expect("is made");
    let away = shop.path("away");
    std::fs::rename(shop.source(), &away).expect("the disk is pulled out");
    let told = Arc::new(Told::default());
    let scheduler = start(&manager, &told);
    clock.advance_ms(DAY_MS);
    scheduler.wake();
    for attempt in 1..=2 {
        let events = told.wait_ended(attempt);
        let Some(ScheduleEvent::Failed { attempt: number, error, retry_ms, .. }) = events.last()
        else {
            panic!("{events:?}");
        };
        assert_eq!(*number as usize, attempt);
        assert!(error.contains("sources"), "{error}");
        let wait_ms = retry_ms.expect("is tried again") - clock.now_ms();
        let doubled_ms = MINUTE_MS << (attempt - 1);
        assert!((doubled_ms * 3 / 4..=doubled_ms * 5 / 4).contains(&wait_ms), "{wait_ms}");
        clock.advance_ms(wait_ms - 1);
        scheduler.wake();
        assert_eq!(told.started(), attempt, "not before its time");
        if attempt == 2 {
            std::fs::rename(&away, shop.source()).expect("and back again");
        }
        clock.advance_ms(1);
        scheduler.wake();
    }
    let events = told.wait_ended(3);
    assert!(matches!(events.last(), Some(ScheduleEvent::Succeeded { .. })), "{events:?}");
    scheduler.finish();
    let query = RunQuery { schedule_id: Some(id), ..RunQuery::default() };
    let runs = manager.run_history().list(&query, clock.now_ms()).expect("are remembered");
    let attempts: Vec<_> = runs.iter().map(|run| (run.attempt, run.status)).collect();
    let failed = BackupStatus::Failed;
    assert_eq!(attempts, [(3, BackupStatus::Completed), (2, failed), (1, failed)]);
    assert_eq!((completed(&manager).len(), backups(&manager, failed).len()), (1, 2));
    let state = &manager.schedule_states().expect("are there")[0];
    assert_eq!((state.failed_attempts, state.retry_ms, &state.last.error), (0, None, &None));
}

/// What only a person can change is not tried again, and after the last attempt there is no other:
/// until the next regular run.
#[test]
fn attempts_end() {
    let (shop, clock) = plain_with_clock();
    let manager = shop.manager_with(|options| options.backup = BackupOptions::default());
    manager.schedule_backup(24, 3).expect("is made");
    let told = Arc::new(Told::default());
    let scheduler = start(&manager, &told);
    clock.advance_ms(DAY_MS);
    scheduler.wake();
    let events = told.wait_ended(1);
    let is_given_up = |event: Option<&ScheduleEvent>| {
        matches!(event, Some(ScheduleEvent::Failed { retry_ms: None, .. }))
    };
    assert!(is_given_up(events.last()), "no sources: {events:?}");
    clock.advance_ms(DAY_MS);
    scheduler.wake();
    assert_eq!(told.wait_ended(2).len(), 4, "the next regular run is made");
    scheduler.stop();

    let told = Arc::new(Told::default());
    let busy = work(|_, _| Err(Error::Busy { what: "somebody else is at it".into() }));
    let options = SchedulerOptions {
        retry: RetryDelays { first: Duration::ZERO, max: Duration::ZERO },
        ..told.options()
    };
    let scheduler = Scheduler::start_with(&manager, options, busy).expect("starts");
    clock.advance_ms(DAY_MS);
    scheduler.wake();
    let events = told.wait_ended(4);
    scheduler.wake();
    scheduler.finish();
    assert_eq!((told.started(), is_given_up(events.last())), (4, true));
}

/// One schedule is cancelled, then all; none of them runs again, and their backups stay.
#[test]
fn schedule_cancellation() {
    let (shop, clock) = plain_with_clock();
    let manager = shop.manager();
    let ids: Vec<String> =
        (0..4).map(|_| manager.schedule_backup(1, 0).expect("is made")).collect();
    let told = Arc::new(Told::default());
    let scheduler = start(&manager, &told);
    clock.advance_ms(HOUR_MS);
    scheduler.wake();
    told.wait_ended(4);
    assert_eq!(completed(&manager).len(), 4);

    manager.cancel_schedule(&ids[1]).expect("is cancelled");
    let missing =
        |result: Result<()>| matches!(result, Err(Error::NotFound { what: "schedule", .. }));
    assert!(missing(manager.cancel_schedule(&ids[1])) && missing(manager.pause_schedule("xyz")));
    assert!(missing(manager.run_schedule("")));
    clock.advance_ms(HOUR_MS);
    scheduler.wake();
    told.wait_ended(7);
    assert_eq!(manager.cancel_scheduled_backup().expect("are cancelled"), 3);
    assert_eq!(manager.cancel_scheduled_backup().expect("none is left"), 0);
    clock.advance_ms(DAY_MS);
    scheduler.wake();
    scheduler.finish();
    assert_eq!((told.started(), completed(&manager).len()), (7, 7));
    assert_eq!(shop.manager().schedules().expect("none"), []);
    assert_eq!(manager.next_runs(5).expect("none"), []);
}

/// Times, kinds and pauses change while the scheduler runs.
#[test]
fn schedule_modification() {
    let (shop, clock) = plain_with_clock();
    let manager = shop.manager();
    let id = manager.schedule_backup(1, 0).expect("is made");
    let told = Arc::new(Told::default());
    let scheduler = start(&manager, &told);
    manager.pause_schedule(&id).expect("pauses");
    clock.advance_ms(5 * HOUR_MS);
    scheduler.wake();
    assert_eq!(manager.next_runs(1).expect("none"), []);
    assert!(manager.run_schedule(&id).is_err(), "it is paused");

    // Another time, and another kind; what passed while it was paused was not missed.
    let schedule = BackupSchedule {
        enabled: true,
        interval_hours: 0,
        cron: Some("0 0 * * *".into()),
        time_zone: Some("UTC".into()),
        backup_type: BackupStrategy::Full,
        ..manager.schedule(&id).expect("is there")
    };
    manager.update_schedule(&schedule).expect("changes");
    scheduler.wake();
    let next = manager.next_runs(1).expect("is known")[0].time;
    let until_ms = next.as_millisecond() - clock.now_ms();
    assert!((1..=DAY_MS).contains(&until_ms) && next.as_millisecond() % DAY_MS == 0, "{next}");
    clock.advance_ms(until_ms - 1);
    scheduler.wake();
    assert_eq!(told.started(), 0);
    clock.advance_ms(1);
    scheduler.wake();
    told.wait_ended(1);
    assert_eq!(completed(&manager)[0].backup_type, BackupStrategy::Full);

    // A run beside the regular ones.
    manager.run_schedule(&id).expect("is wanted");
    scheduler.wake();
    told.wait_ended(2);
    scheduler.finish();

    for wrong in [
        BackupSchedule { interval_hours: 3, ..schedule.clone() },
        BackupSchedule { cron: Some("nonsense".into()), ..schedule.clone() },
        BackupSchedule { encryption_enabled: true, ..schedule.clone() },
        BackupSchedule { schedule_id: "other".into(), ..schedule.clone() },
    ] {
        assert!(manager.update_schedule(&wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(manager.schedules().expect("is as it was"), [schedule]);
}

/// A schedule that wants encryption is not made for a repository without, and does not run there.
#[test]
fn encryption_that_is_wanted_is_not_left_out() {
    let (shop, clock) = plain_with_clock();
    let manager = shop.manager();
    let wanted = NewSchedule { encryption_enabled: Some(true), ..NewSchedule::new(1) };
    assert!(matches!(manager.schedule_backup_with(&wanted), Err(Error::Usage { .. })));
    let id = manager.schedule_backup(1, 3).expect("is made");
    manager
        .database()
        .with(|database| {
            let sql = "UPDATE schedules SET definition = replace(definition, \
                       '\"encryption_enabled\":false', '\"encryption_enabled\":true')";
            database.execute(sql, [])
        })
        .expect("somebody changes it behind our back");
    assert!(manager.schedule(&id).expect("is there").encryption_enabled);
    let told = Arc::new(Told::default());
    let scheduler = start(&manager, &told);
    clock.advance_ms(HOUR_MS);
    scheduler.wake();
    let events = told.wait_ended(1);
    scheduler.finish();
    assert!(
        matches!(events.last(), Some(ScheduleEvent::Failed { retry_ms: None, error, .. })
            if error.contains("not encrypted")),
        "{events:?}"
    );
    assert_eq!(completed(&manager).len(), 0);
    let refused = backups(&manager, BackupStatus::Failed);
    assert!(refused[0].error.as_ref().is_some_and(|error| error.contains("encrypted")));
}

/// Runs of one schedule wait for each other; of several, so many go on at once as are allowed.
#[test]
fn runs_do_not_overlap() {
    let (shop, clock) = plain_with_clock();
    let manager = shop.manager();
    let ids: Vec<String> =
        (0..3).map(|_| manager.schedule_backup(1, 0).expect("is made")).collect();
    let gate = Arc::new((Mutex::new(0_u32), Condvar::new()));
    let most = Arc::new(AtomicU32::new(0));
    let (inside, seen) = (Arc::clone(&gate), Arc::clone(&most));
    let slow = work(move |_, _| {
        let mut count = inside.0.lock();
        *count += 1;
        seen.fetch_max(*count, Ordering::SeqCst);
        inside.1.wait_for(&mut count, Duration::from_secs(60));
        *count -= 1;
        Ok(Done::default())
    });
    let told = Arc::new(Told::default());
    let scheduler = Scheduler::start_with(&manager, told.options(), slow).expect("starts");
    clock.advance_ms(HOUR_MS);
    scheduler.wake();
    told.wait(2, |event| matches!(event, ScheduleEvent::Started { .. }));
    clock.advance_ms(5 * HOUR_MS);
    scheduler.wake();
    while told.events.lock().len() < 10 {
        // Everybody ends, and is due again at once.
        scheduler.wake();
        gate.1.notify_all();
        std::thread::yield_now();
    }
    let finisher = std::thread::spawn(move || scheduler.finish());
    while !finisher.is_finished() {
        gate.1.notify_all();
        std::thread::yield_now();
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
    let mut running: Vec<String> = Vec::new();
    for event in told.events.lock().iter() {
        match event {
            ScheduleEvent::Started { schedule_id, .. } => {
                assert!(!running.contains(schedule_id), "one at a time");
                running.push(schedule_id.clone());
            }
            ScheduleEvent::Succeeded { schedule_id, .. } => running.retain(|id| id != schedule_id),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((ids.len(), running.len()), (3, 0));
}

/// Work that goes on until it is cancelled.
fn endless() -> Work {
    work(|_, assignment| {
        while !assignment.cancel.is_cancelled() {
            std::thread::yield_now();
        }
        assignment.cancel.check().map(|()| Done::default())
    })
}

/// Stopping ends at once: the backup that goes on is cancelled, shown as failed, and made again by
/// the next scheduler.
#[test]
fn stopping_cancels_what_goes_on() {
    let (shop, clock) = plain_with_clock();
    let manager = shop.manager();
    manager.schedule_backup(1, 0).expect("is made");
    let told = Arc::new(Told::default());
    let scheduler = Scheduler::start_with(&manager, told.options(), endless()).expect("starts");
    clock.advance_ms(HOUR_MS);
    scheduler.wake();
    told.wait(1, |event| matches!(event, ScheduleEvent::Started { .. }));
    scheduler.stop();
    assert!(matches!(told.wait_ended(1).last(), Some(ScheduleEvent::Stopped { .. })));
    let told = Arc::new(Told::default());
    let scheduler = start(&manager, &told);
    told.wait_ended(1);
    drop(scheduler);
    assert_eq!(completed(&manager).len(), 1);
}

/// A run that is asked to end counts as failed, and is not tried again.
#[test]
fn a_single_run_is_cancelled() {
    let (shop, clock) = plain_with_clock();
    let manager = shop.manager();
    let id = manager.schedule_backup(1, 3).expect("is made");
    let told = Arc::new(Told::default());
    let scheduler = Scheduler::start_with(&manager, told.options(), endless()).expect("starts");
    clock.advance_ms(HOUR_MS);
    scheduler.wake();
    told.wait(1, |event| matches!(event, ScheduleEvent::Started { .. }));
    scheduler.cancel_run(&id);
    let events = told.wait_ended(1);
    assert!(matches!(events.last(), Some(ScheduleEvent::Failed { retry_ms: None, .. })));
    scheduler.finish();
}

/// Work that panics is a run that failed; the scheduler goes on.
#[test]
fn the_scheduler_survives_everything() {
    let (shop, clock) = plain_with_clock();
    let manager = shop.manager();
    manager.schedule_backup(1, 5).expect("is made");
    let told = Arc::new(Told::default());
    let bad = work(|run, _| match run {
        0 => panic!("a mistake in the work"),
        1 => Err(Error::damaged("a pack", "it is damaged")),
        _ => Ok(Done::default()),
    });
    let scheduler = Scheduler::start_with(&manager, told.options(), bad).expect("starts");
    for round in 1..=3 {
        clock.advance_ms(HOUR_MS);
        scheduler.wake();
        told.wait_ended(round);
    }
    // The database goes away under it, and comes back empty.
    let path = manager.database().path().expect("a file");
    scheduler.stop();
    drop(manager);
    std::fs::write(&path, b"no database any more").expect("damages it");
    let manager = shop.manager();
    let told = Arc::new(Told::default());
    let scheduler = start(&manager, &told);
    clock.advance_ms(2 * HOUR_MS);
    scheduler.wake();
    told.wait_ended(1);
    scheduler.finish();
    assert_eq!(manager.schedules().expect("are there").len(), 1, "the copy has it");
    assert_eq!(completed(&manager).len(), 1);
    assert_eq!(manager.cancel_scheduled_backup().expect("goes"), 1);
    drop(manager);
    std::fs::remove_file(path).expect("loses it");
    assert_eq!(shop.manager().schedules().expect("none comes back"), []);
}

/// A process that was killed in the middle of a run: the next one makes it again.
#[test]
fn runs_that_were_broken_off_are_made_again() {
    let (shop, clock) = plain_with_clock();
    let manager = shop.manager();
    manager.schedule_backup(24, 0).expect("is made");
    let mark = larder::manager::history::ProcessMark::own();
    let gone = larder::manager::history::ProcessMark { start: mark.start + 1, ..mark };
    let mark = serde_json::json!({ "process": gone, "number": 1 }).to_string();
    clock.advance_ms(DAY_MS);
    let now_ms = clock.now_ms();
    manager
        .database()
        .with(|database| {
            let sql = "UPDATE schedules SET running = ?1, started_ms = ?2, settled_ms = ?2";
            database.execute(sql, (&mark, now_ms))
        })
        .expect("as the other process left it");
    let told = Arc::new(Told::default());
    let scheduler = start(&manager, &told);
    let events = told.wait_ended(2);
    scheduler.finish();
    assert!(
        matches!(
            &events[..],
            [
                ScheduleEvent::Failed { attempt: 1, retry_ms: Some(_), .. },
                ScheduleEvent::Started { attempt: 2, .. },
                ScheduleEvent::Succeeded { .. },
            ]
        ),
        "{events:?}"
    );
}

/// A run of another container or machine, whose process cannot be seen, counts as long as it says
/// that it goes on.
#[test]
fn runs_out_of_sight_end_with_their_signs_of_life() {
    let (shop, clock) = plain_with_clock();
    let manager = shop.manager();
    manager.schedule_backup(24, 0).expect("is made");
    let own = larder::manager::history::ProcessMark::own();
    let away = larder::manager::history::ProcessMark { host: "another".into(), ..own };
    let mark = serde_json::json!({ "process": away, "number": 1 }).to_string();
    clock.advance_ms(DAY_MS);
    let set = |sql: &str| {
        let sql = sql.replace("NOW", &clock.now_ms().to_string());
        manager.database().with(|database| database.execute_batch(&sql)).expect("changes");
    };
    set(&format!("UPDATE schedules SET running = '{mark}', started_ms = NOW, settled_ms = NOW"));
    let told = Arc::new(Told::default());
    let look = |minutes: i64| {
        clock.advance_ms(minutes * MINUTE_MS);
        start(&manager, &told).finish();
        told.started()
    };
    assert_eq!(look(9), 0, "it is heard of");
    set("UPDATE schedules SET seen_ms = NOW");
    assert_eq!(look(9), 0, "and again");
    clock.advance_ms(2 * MINUTE_MS);
    let scheduler = start(&manager, &told);
    told.wait_ended(2);
    scheduler.finish();
    assert_eq!((told.started(), completed(&manager).len()), (1, 1));
}

/// What goes on for long says so.
#[test]
fn long_runs_show_that_they_go_on() {
    let (shop, clock) = plain_with_clock();
    let manager = shop.manager();
    let id = manager.schedule_backup(24, 0).expect("is made");
    let told = Arc::new(Told::default());
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let ends = Mutex::new(ends);
    let waits = work(move |_, _| {
        // That nobody sends any more is an end, too.
        let _ = ends.lock().recv_timeout(Duration::from_secs(60));
        Ok(Done::default())
    });
    let scheduler = Scheduler::start_with(&manager, told.options(), waits).expect("starts");
    manager.run_schedule(&id).expect("is wanted");
    scheduler.wake();
    told.wait(1, |event| matches!(event, ScheduleEvent::Started { .. }));
    for _ in 0..2 {
        clock.advance_ms(5 * MINUTE_MS);
        scheduler.wake();
        let seen = || {
            let sql = "SELECT seen_ms FROM schedules";
            let seen =
                manager.database().with(|d| d.query_row(sql, [], |row| row.get::<_, i64>(0)));
            seen.expect("is there")
        };
        let until = std::time::Instant::now() + Duration::from_secs(60);
        while seen() != clock.now_ms() {
            assert!(std::time::Instant::now() < until, "{}", seen());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    drop(end);
    told.wait_ended(1);
    scheduler.finish();
}

/// Several schedulers of one repository, as in several programs: each run is made once.
#[test]
fn several_schedulers_make_each_run_once() {
    let (shop, clock) = plain_with_clock();
    let managers: Vec<BackupManager> = (0..3).map(|_| shop.manager()).collect();
    for _ in 0..4 {
        managers[0].schedule_backup(1, 0).expect("is made");
    }
    let told = Arc::new(Told::default());
    let runs = Arc::new(AtomicU32::new(0));
    let schedulers: Vec<Scheduler> = managers
        .iter()
        .map(|manager| {
            let runs = Arc::clone(&runs);
            let count = work(move |_, _| {
                runs.fetch_add(1, Ordering::SeqCst);
                Ok(Done::default())
            });
            Scheduler::start_with(manager, told.options(), count).expect("starts")
        })
        .collect();
    for round in 1..=5 {
        clock.advance_ms(HOUR_MS);
        schedulers.iter().for_each(Scheduler::wake);
        told.wait_ended(4 * round);
    }
    schedulers.into_iter().for_each(Scheduler::finish);
    assert_eq!(runs.load(Ordering::SeqCst), 20);
}

/// The clock was wrong by a year when the last run was made, and is set right.
#[test]
fn a_clock_that_is_set_back_does_not_stop_schedules() {
    let (shop, clock) = plain_with_clock();
    let manager = shop.manager();
    manager.schedule_backup("@hourly", 0).expect("is made");
    let told = Arc::new(Told::default());
    let scheduler =
        Scheduler::start_with(&manager, told.options(), work(|_, _| Ok(Done::default())))
            .expect("starts");
    clock.advance_ms(365 * DAY_MS);
    scheduler.wake();
    told.wait_ended(1);
    clock.advance_ms(-365 * DAY_MS);
    scheduler.wake();
    told.wait(1, |event| matches!(event, ScheduleEvent::Warning { .. }));
    clock.advance_ms(HOUR_MS);
    scheduler.wake();
    told.wait_ended(2);
    scheduler.finish();
}
