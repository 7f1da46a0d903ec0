//! Jobs as schedules and people start them: hooks, turns, rotating checks, restore tests, places.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::tz::TimeZone;
use larder::error::Error;
use larder::manager::board::{Board, EventBus, JobQuery, JobStatus, JobView};
use larder::manager::fleet::OpenSite;
use larder::manager::history::Database;
use larder::manager::jobs::{JobRequest, Jobs};
use larder::manager::schedule::{
    Assignment, Done, ScheduleEvent, Scheduler, SchedulerOptions, Slots,
};
use larder::manager::{BackupManager, NewSchedule, status};
use larder::model::{
    BackupJob, BackupSchedule, CheckJob, ForgetJob, Hook, Hooks, Job, MirrorSyncJob, Preset,
    RestoreTestJob, ScheduleSpec,
};
use larder::runtime::{CancelToken, TestClock};
use larder::storage::throttle::{Limits, ThrottleHandle};

use super::shop::{Shop, noise};

const HOUR_MS: i64 = 3_600_000;

/// Jobs of a daemon on the repository of a shop.
struct Desk {
    manager: BackupManager,
    jobs: Jobs,
    board: Board,
    throttle: ThrottleHandle,
}

impl Desk {
    fn new(shop: &Shop) -> Self {
        Self::of(shop, shop.manager())
    }

    /// On a machine of its own, by its state.
    fn elsewhere(shop: &Shop, name: &str) -> Self {
        Self::of(shop, shop.manager_with(|options| options.state_dir = Some(shop.path(name))))
    }

    fn of(shop: &Shop, manager: BackupManager) -> Self {
        Self::paced(shop, manager, ThrottleHandle::new(Limits::default()))
    }

    fn paced(shop: &Shop, manager: BackupManager, throttle: ThrottleHandle) -> Self {
        let runtime = shop.runtime();
        // That of its machine, as with a daemon.
        let state_dir = manager.options().state_dir.clone();
        let database = Arc::new(Database::new(state_dir, Arc::clone(&runtime.clock)));
        let board = Board::new(database, EventBus::new(Arc::clone(&runtime.clock)), runtime);
        let open = OpenSite {
            manager: manager.clone(),
            throttle: throttle.clone(),
            requests: Arc::default(),
        };
        let jobs = Jobs::new("shop", Arc::new(open), board.clone());
        Self { manager, jobs, board, throttle }
    }

    fn run(&self, request: &JobRequest) -> Result<serde_json::Value, Error> {
        Ok(self.jobs.run(request, &CancelToken::default())?.result)
    }

    #[track_caller]
    fn done(&self, job: Job) -> serde_json::Value {
        self.run(&JobRequest::new(job, "ann")).expect("is done")
    }

    fn last(&self) -> JobView {
        let query = JobQuery { limit: 1, ..JobQuery::default() };
        self.board.list(&query).expect("is read").jobs.remove(0)
    }

    fn log(&self) -> String {
        let lines = self.board.log(&self.last().job_id).expect("is read");
        lines.into_iter().map(|line| line.message + "\n").collect()
    }

    fn schedule(&self, new: NewSchedule) -> BackupSchedule {
        self.manager.schedule_backup_with(&new).expect("is made")
    }

    fn work(&self, schedule: &BackupSchedule) -> Result<Done, Error> {
        let cancel = CancelToken::default();
        self.jobs.work()(&Assignment { schedule: schedule.clone(), attempt: 1, cancel })
    }
}

fn packs_of_data(shop: &Shop) -> Vec<PathBuf> {
    let names = shop.stored().into_keys().filter(|name| name.starts_with("data"));
    names.map(|name| shop.repository_folder().join(name)).collect()
}

/// Turns around one byte in the middle of a file.
fn damage(path: &PathBuf) {
    let mut bytes = std::fs::read(path).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mut permissions = std::fs::metadata(path).expect("is there").permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a test's own file")]
    permissions.set_readonly(false);
    std::fs::set_permissions(path, permissions).expect("is set");
    std::fs::write(path, bytes).expect("writes");
}

/// Nothing of a restore test is left.
#[track_caller]
fn assert_no_scratch(shop: &Shop) {
    let left = std::fs::read_dir(shop.state_dir().join("restore-tests"));
    assert_eq!(left.map(Iterator::count).unwrap_or_default(), 0);
}

#[test]
fn each_kind_of_job_is_done_and_shown() {
    let shop = Shop::new();
    let desk = Desk::new(&shop);
    let begin = desk.board.bus().newest_id();
    let backup = BackupJob {
        sources: vec![shop.source().display().to_string()],
        excludes: vec!["*.jpg".into()],
        tags: vec!["by hand".into()],
        ..BackupJob::default()
    };
    let made = desk.done(Job::Backup(backup));
    assert_eq!(made["files"], 2, "{made}");
    let view = desk.last();
    assert_eq!((view.status, view.wanted_by.as_str()), (JobStatus::Succeeded, "ann"));
    let made = desk.manager.backup(view.backup_id.expect("a backup")).expect("is there");
    assert_eq!(made.tags, ["by hand"]);
    desk.done(Job::default());
    assert_eq!(desk.done(Job::Check(CheckJob::default()))["is_clean"], true);
    let all = desk.done(Job::Check(CheckJob { period_days: Some(0) }));
    assert!(all["packs_read"].as_u64() > Some(0), "{all}");
    let keep = Preset::Hourly.keep();
    let forgotten = desk.done(Job::Forget(ForgetJob { keep, prune: true }));
    assert_eq!((&forgotten["forgotten"], &forgotten["kept"]), (&0.into(), &2.into()));
    assert!(forgotten["prune"]["deleted_packs"].is_u64());
    desk.done(Job::Prune);
    desk.done(Job::MirrorSync(MirrorSyncJob::default()));
    desk.done(Job::Heal);
    let tested = desk.done(Job::RestoreTest(RestoreTestJob::default()));
    // Two snapshots of one series: the newest, with all of its files.
    assert_eq!((&tested["series"], &tested["files"]), (&1.into(), &4.into()), "{tested}");
    assert_eq!(tested["failed"], 0);
    assert_no_scratch(&shop);
    let happened = desk.board.bus().since(begin).expect("are kept");
    let changed = happened.iter().filter(|e| e.happening.name() == "snapshots_changed").count();
    assert!(changed >= 2, "{changed}");

    let nothing = desk.run(&JobRequest::new(Job::Forget(ForgetJob::default()), "ann"));
    assert!(matches!(nothing, Err(Error::Usage { .. })));
    assert!(desk.jobs.start(&JobRequest::new(Job::Forget(ForgetJob::default()), "a")).is_err());
}

/// One byte of the stored data is wrong: the test says so, and cleans up all the same.
#[test]
fn a_restore_test_finds_a_damaged_byte() {
    let shop = Shop::new();
    let desk = Desk::new(&shop);
    desk.done(Job::default());
    packs_of_data(&shop).iter().for_each(damage);
    let desk = Desk::new(&shop);
    let job = Job::RestoreTest(RestoreTestJob { budget_bytes: 10 << 20, files: 50 });
    let error = desk.run(&JobRequest::new(job, "ann")).expect_err("it is damaged");
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    let view = desk.last();
    assert_eq!(view.status, JobStatus::Failed);
    assert!(view.result["failed"].as_u64() > Some(0), "{}", view.result);
    assert!(
        view.result["failures"][0]["path"].as_str().is_some_and(|path| path.contains("source"))
    );
    assert_no_scratch(&shop);
}

/// Sources that did not change are compared, too; the budget bounds what is drawn.
#[test]
fn a_restore_test_keeps_to_its_budget() {
    let shop = Shop::new();
    for number in 0..30 {
        shop.write(&format!("many/{number}"), noise(number, 10_000));
    }
    let own = shop.manager_with(|options| options.backup.host = None);
    let desk = Desk::of(&shop, own);
    desk.done(Job::default());
    let job = RestoreTestJob { budget_bytes: 100_000, files: 50 };
    let tested = desk.done(Job::RestoreTest(job));
    assert!(tested["restored_bytes"].as_u64() <= Some(100_000), "{tested}");
    assert!(tested["files"].as_u64() >= Some(9), "{tested}");
    assert_eq!(tested["too_large"], 1, "the picture of the sea");
    assert_eq!(tested["compared_with_source"], tested["files"]);
    shop.write("letter.txt", "Dear writer,\n");
    let tested = desk.done(Job::RestoreTest(RestoreTestJob::default()));
    let (files, compared) = (&tested["files"], &tested["compared_with_source"]);
    assert_eq!(files.as_u64(), compared.as_u64().map(|compared| compared + 1), "{tested}");
}

/// Each run reads another part; before the period is over a damaged byte is found, wherever it is.
#[test]
fn a_rotating_check_covers_the_repository() {
    let (shop, clock) = Shop::with_clock();
    for number in 0..24 {
        shop.write(&format!("photos/{number}.jpg"), noise(100 + number, 200_000));
        if number % 3 == 0 {
            Desk::new(&shop).done(Job::default());
        }
    }
    let desk = Desk::new(&shop);
    desk.done(Job::default());
    let job = Job::Check(CheckJob { period_days: Some(7) });
    let schedule = desk.schedule(NewSchedule { job, ..NewSchedule::new("TZ=UTC @daily") });
    let all = desk.done(Job::Check(CheckJob { period_days: Some(0) }));
    let packs = all["packs_read"].as_u64().expect("a number");
    assert!(packs >= 8, "{all}");
    let mut read = 0;
    for day in 1..=7 {
        // Another program each day: what was read is remembered.
        let desk = Desk::new(&shop);
        desk.work(&schedule).expect("is whole");
        let result = desk.last().result;
        read += result["packs_read"].as_u64().expect("a number");
        assert_eq!((&result["parts_read"], &result["parts"]), (&day.into(), &7.into()));
        clock.advance_ms(24 * HOUR_MS);
    }
    assert_eq!(read, packs, "each once");
    damage(packs_of_data(&shop).last().expect("some"));
    let found: Vec<bool> = (1..=7)
        .map(|_| {
            clock.advance_ms(24 * HOUR_MS);
            Desk::new(&shop).work(&schedule).is_err()
        })
        .collect();
    assert_eq!(found.iter().filter(|found| **found).count(), 1, "{found:?}");
}

fn hooked(hooks: Hooks) -> JobRequest {
    JobRequest { hooks, ..JobRequest::new(Job::default(), "ann") }
}

#[test]
fn hooks_surround_a_job() {
    let shop = Shop::new();
    let desk = Desk::new(&shop);
    let seen = shop.path("seen");
    let note = |what: &str| {
        let line = format!("echo {what} $LARDER_HOOK $LARDER_JOB_KIND $LARDER_STATUS");
        Some(Hook::shell(format!("{line} $LARDER_JOB_REPOSITORY >> {}", seen.display())))
    };
    let seen_now = || {
        let text = std::fs::read_to_string(&seen).unwrap_or_default();
        let _ = std::fs::remove_file(&seen);
        text
    };
    let hooks = Hooks { before: note("1"), after: note("2"), on_failure: note("3") };
    desk.run(&hooked(hooks.clone())).expect("is done");
    assert_eq!(seen_now(), "1 before backup running shop\n2 after backup success shop\n");

    // One that fails before it keeps the job from being done, and the others run.
    let failing = Hooks { before: Some(Hook::shell("echo no disk; exit 3")), ..hooks.clone() };
    let error = desk.run(&hooked(failing)).expect_err("is not done");
    assert!(error.in_full().contains("hook `before`"), "{error}");
    assert_eq!(seen_now(), "3 on_failure backup failure shop\n2 after backup failure shop\n");
    assert_eq!(desk.last().backup_id, None);
    assert!(desk.log().contains("before: no disk"), "{}", desk.log());

    // One that fails afterwards is told of, and the backup is made.
    let late = Hooks { after: Some(Hook::shell("exit 1")), ..Hooks::default() };
    desk.run(&hooked(late)).expect("is made");
    assert_eq!((desk.last().status, desk.last().warnings), (JobStatus::Succeeded, 1));

    let missing = Hooks {
        before: Some(Hook {
            command: larder::model::HookCommand::Words(vec!["/no/such program".into()]),
            timeout_s: 5,
        }),
        ..Hooks::default()
    };
    assert!(desk.run(&hooked(missing)).is_err());
}

/// A command that hangs is ended with all that it started, and one whose job is cancelled, too.
#[test]
fn hooks_end_in_time() {
    let shop = Shop::new();
    let desk = Desk::new(&shop);
    let lives = shop.path("lives");
    let line = format!("(sleep 300; touch {}) & sleep 300", lives.display());
    let hang =
        Hooks { before: Some(Hook { timeout_s: 1, ..Hook::shell(line) }), ..Hooks::default() };
    let error = desk.run(&hooked(hang)).expect_err("takes too long");
    assert!(error.in_full().contains("more than 1 seconds"), "{error}");

    let after = shop.path("after");
    let hooks = Hooks {
        before: Some(Hook::shell("sleep 300")),
        after: Some(Hook::shell(format!("echo $LARDER_STATUS > {}", after.display()))),
        ..Hooks::default()
    };
    let cancel = CancelToken::default();
    let soon = cancel.clone();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        soon.cancel();
    });
    let error = desk.jobs.run(&hooked(hooks), &cancel).expect_err("is cancelled");
    canceller.join().expect("ends");
    assert!(matches!(error, Error::Cancelled { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(after).expect("it ran"), "cancelled\n");
    assert_eq!(desk.last().status, JobStatus::Cancelled);
}

/// Several machines want the same at the same time: one does it, and the others say who.
#[test]
fn maintenance_is_done_once_by_several_machines() {
    let (shop, clock) = Shop::with_clock();
    let first = Desk::new(&shop);
    let second = Desk::elsewhere(&shop, "other-state");
    first.done(Job::default());
    let job = Job::Check(CheckJob::default());
    let new = NewSchedule { job, ..NewSchedule::new("TZ=UTC @daily") };
    let (one, other) = (first.schedule(new.clone()), second.schedule(new));
    first.work(&one).expect("is done");
    assert!(first.last().result["left_to"].is_null());
    second.work(&other).expect("is left");
    let left = second.last().result["left_to"].to_string();
    assert!(left.contains("did it"), "{left}");
    // Another thing is another turn, and a person is not told to wait.
    let keep = Preset::Daily.keep();
    let forget = Job::Forget(ForgetJob { keep, prune: false });
    let forget = NewSchedule { job: forget, ..NewSchedule::new("TZ=UTC @daily") };
    let forget = second.schedule(forget);
    second.work(&forget).expect("is done");
    assert!(second.last().result["left_to"].is_null());
    second.done(Job::Check(CheckJob::default()));

    // Both at once: each is done by one at least, and no harm comes of it.
    clock.advance_ms(24 * HOUR_MS);
    for path in shop.stored().into_keys().filter(|name| name.starts_with("gc")) {
        let _ = std::fs::remove_file(shop.repository_folder().join(path));
    }
    std::thread::scope(|scope| {
        let both = [scope.spawn(|| first.work(&one)), scope.spawn(|| second.work(&other))];
        for run in both {
            run.join().expect("ends").expect("no harm");
        }
    });
    let done = [&first, &second].iter().filter(|d| d.last().result["left_to"].is_null()).count();
    assert!(done >= 1, "somebody did it");
}

/// Places are shared by the schedulers of all repositories.
#[test]
fn only_so_many_runs_at_once_over_all_repositories() {
    let shops = [Shop::new(), Shop::new(), Shop::new()];
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (ended, all_ended) = crossbeam_channel::unbounded();
    let slots = Slots::new(1);
    let schedulers: Vec<Scheduler> = shops
        .iter()
        .map(|shop| {
            let manager = shop.manager();
            let id = manager.schedule_backup(6, 0).expect("is made");
            let ended = ended.clone();
            let options = SchedulerOptions {
                slots: Some(slots.clone()),
                on_event: Some(Arc::new(move |event: &ScheduleEvent| {
                    if let ScheduleEvent::Succeeded { schedule_id, .. } = event {
                        let _ = ended.send(schedule_id.clone());
                    }
                })),
                ..SchedulerOptions::default()
            };
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            let work = Arc::new(move |_: &Assignment| {
                let at_once = now.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(at_once, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(50));
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(Done::default())
            });
            let scheduler = Scheduler::start_with(&manager, options, work).expect("starts");
            manager.run_schedule(&id).expect("is wanted");
            scheduler
        })
        .collect();
    schedulers.iter().for_each(Scheduler::wake);
    let ids: HashSet<String> = (0..3)
        .map(|_| all_ended.recv_timeout(Duration::from_secs(60)).expect("each has its turn"))
        .collect();
    assert_eq!((ids.len(), most.load(Ordering::SeqCst)), (3, 1));
    schedulers.into_iter().for_each(Scheduler::finish);
    assert_eq!(slots.used(), 0);
}

/// The limits of a job hold while it goes on.
#[test]
fn a_job_has_its_own_bandwidth() {
    let shop = Shop::new();
    let desk = Desk::new(&shop);
    assert!(!desk.throttle.is_in_use());
    let request = JobRequest {
        bandwidth: Some("up 900M down 800M".into()),
        ..JobRequest::new(Job::default(), "ann")
    };
    desk.run(&request).expect("is done");
    assert!(desk.throttle.is_in_use() && desk.throttle.limits().is_unlimited());
    let one = desk.throttle.limit_also("else 5M".parse().expect("a plan"));
    let other = desk.throttle.limit_also("else up 1M down 9M".parse().expect("a plan"));
    assert_eq!(desk.throttle.limits().to_string(), "up 1M down 5M");
    drop(one);
    assert_eq!(desk.throttle.limits().to_string(), "up 1M down 9M");
    drop(other);
    assert!(desk.throttle.limits().is_unlimited());
}

/// The limits of a job follow the clock while it goes on, and hold for all that goes on with its
/// repository meanwhile.
#[test]
fn the_bandwidth_of_a_job_follows_the_clock() {
    let (shop, clock) = (Shop::new(), Arc::new(TestClock::at_ms(0)));
    let wait = |_| {};
    let throttle =
        ThrottleHandle::with_clock(Limits::default(), clock.clone(), TimeZone::UTC, wait);
    let desk = Desk::paced(&shop, shop.manager(), throttle);
    let (begun, go) = (shop.path("begun"), shop.path("go"));
    let waiting = format!(
        "touch '{}'; while [ ! -e '{}' ]; do sleep 0.02; done",
        begun.display(),
        go.display()
    );
    let request = JobRequest {
        bandwidth: Some("08:00-18:00 up 2M down 3M, 18:00-22:00 5M, else unlimited".into()),
        hooks: Hooks { before: Some(Hook::shell(&waiting)), ..Hooks::default() },
        ..JobRequest::new(Job::Backup(BackupJob::default()), "ann")
    };
    let id = desk.jobs.start(&request).expect("starts");
    while !begun.exists() {
        assert_eq!(desk.board.get(&id).expect("is there").status, JobStatus::Running);
        std::thread::sleep(Duration::from_millis(10));
    }
    for (hours, limits) in [
        (0, "unlimited"),
        (9, "up 2M down 3M"),
        (8, "up 2M down 3M"),
        (2, "5M"),
        (4, "unlimited"),
        (9, "up 2M down 3M"),
    ] {
        clock.advance_ms(hours * HOUR_MS);
        assert_eq!(desk.throttle.limits().to_string(), limits, "{hours} h later");
    }
    std::fs::write(&go, "").expect("is written");
    while desk.board.get(&id).expect("is there").status == JobStatus::Running {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(desk.last().status, JobStatus::Succeeded);
    assert!(desk.throttle.limits().is_unlimited(), "the job is over");
}

/// What a profile says is what runs; its schedules keep their ids, and pauses of people.
#[test]
fn schedules_of_a_profile_follow_it() {
    let (shop, _) = Shop::with_clock();
    let manager = shop.manager();
    let own = manager.schedule_backup(6, 0).expect("is made");
    let spec = |name: &str, when: &str| ScheduleSpec {
        name: Some(name.into()),
        when: Some(when.into()),
        ..ScheduleSpec::default()
    };
    let file = "/etc/larder/home.toml";
    let sync = |specs: &[ScheduleSpec]| manager.sync_profile_schedules(file, specs);
    let changes = sync(&[spec("a", "@daily"), spec("b", "6h")]).expect("are made");
    assert_eq!(changes.added, ["a", "b"]);
    let a = manager.schedule("a").expect("by its name");
    assert_eq!(a.origin.as_deref(), Some(file));
    manager.pause_schedule("a").expect("may be paused");
    assert_eq!(
        sync(&[spec("a", "@daily"), spec("b", "6h")]).expect("as before"),
        Default::default()
    );
    let changes = sync(&[spec("a", "@weekly"), spec("c", "6h")]).expect("are changed");
    assert_eq!(
        (changes.added, changes.changed, changes.removed),
        (vec!["c".to_owned()], vec!["a".to_owned()], vec!["b".to_owned()],)
    );
    let again = manager.schedule("a").expect("is there");
    assert_eq!((&again.schedule_id, again.enabled), (&a.schedule_id, false));
    assert_eq!(again.cron.as_deref(), Some("@weekly"));

    for refused in [
        manager.cancel_schedule("a"),
        manager.update_schedule(&BackupSchedule { max_retries: 9, ..again.clone() }),
    ] {
        let error = refused.expect_err("the file says what it is");
        assert!(error.in_full().contains(file) || error.hint().is_some(), "{error}");
    }
    manager.resume_schedule("a").expect("may be resumed");
    for wrong in [
        vec![ScheduleSpec { name: None, ..spec("x", "@daily") }],
        vec![spec("a", "@daily"), spec("a", "6h")],
        vec![spec("d", "soon")],
        vec![ScheduleSpec { cron: Some("@daily".into()), ..spec("d", "6h") }],
    ] {
        assert!(sync(&wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(sync(&[]).expect("all go").removed.len(), 2);
    assert_eq!(manager.schedules().expect("are there")[0].schedule_id, own);
}

/// A preset says when, how late at most, and what is kept.
#[test]
fn presets_are_whole_schedules() {
    let (shop, clock) = Shop::with_clock();
    let desk = Desk::new(&shop);
    let spec = ScheduleSpec { preset: Some(Preset::Hourly), ..ScheduleSpec::default() };
    let schedule = desk.manager.schedule_spec(&spec).expect("is made");
    assert_eq!((schedule.cron.as_deref(), schedule.rpo_hours), (Some("@hourly"), Some(3)));
    assert_eq!(schedule.keep, Preset::Hourly.keep());
    let runs = desk.manager.next_runs(3).expect("are known");
    let late: HashSet<i64> =
        runs.iter().map(|run| run.time.as_millisecond().rem_euclid(HOUR_MS)).collect();
    assert!(late.len() == 1 && late.iter().all(|ms| *ms < 10 * 60_000), "always as late: {late:?}");
    clock.advance_ms(HOUR_MS);
    let done = desk.work(&schedule).expect("is made");
    assert!(done.backup_id.is_some() && done.forgotten.is_empty());
}

/// A daemon calls the repository by its profile, `larder status` by where it is.
#[test]
fn what_a_daemon_checked_is_seen_by_whoever_looks_at_the_repository() {
    let shop = Shop::new();
    let desk = Desk::new(&shop);
    shop.write("a.txt", noise(1, 10_000));
    desk.done(Job::Backup(BackupJob::default()));
    let look = |manager: &BackupManager| {
        let (list, runtime) = (manager.repository().snapshots().expect("is read"), shop.runtime());
        let there = shop.repository_folder().display().to_string();
        let watch = &manager.options().watch;
        status::report(manager, &there, &there, &list, watch, &runtime).expect("is looked at")
    };
    let before = look(&shop.manager());
    assert_eq!((before.last_check, before.last_restore_test), (None, None));
    desk.done(Job::Check(CheckJob::default()));
    desk.done(Job::RestoreTest(RestoreTestJob::default()));
    let after = look(&shop.manager());
    assert!(after.last_check.is_some() && after.last_restore_test.is_some(), "{after:?}");
}
