use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::error::Error;
use crate::manager::history::Database;
use crate::model::RepoId;
use crate::runtime::{CancelToken, Issue, IssueKind, Phase, Runtime, TestClock};

fn board() -> (Board, Arc<TestClock>) {
    let clock = Arc::new(TestClock::at_ms(1_000_000));
    let runtime = Runtime { clock: clock.clone(), ..Runtime::default() };
    let database = Arc::new(Database::new(None, clock.clone()));
    (Board::new(database, EventBus::new(clock.clone()), runtime), clock)
}

fn job(title: &str) -> NewJob {
    NewJob {
        repository: "home".into(),
        repo_id: RepoId([7; RepoId::LEN]),
        kind: JobKind::Backup,
        title: title.into(),
        schedule_id: None,
        attempt: 1,
        wanted_by: "ann".into(),
    }
}

#[test]
fn a_job_is_shown_while_it_runs_and_afterwards() {
    let (board, clock) = board();
    let begin = board.bus().newest_id();
    let outcome = board.run(job("documents"), &CancelToken::default(), |handle| {
        let progress = &handle.runtime().progress;
        progress.phase(Phase::BackingUp);
        let issue =
            Issue { kind: IssueKind::Failed, path: b"a/b".to_vec(), message: "gone".into() };
        progress.issue(&issue);
        handle.log(LogLevel::Info, "half of it");
        let live = board.live();
        assert_eq!(live.len(), 1);
        assert_eq!(live[0].progress.as_ref().map(|p| p.errors), Some(1));
        assert_eq!(board.get(handle.id())?.status, JobStatus::Running);
        clock.advance_ms(5_000);
        Ok(JobOutcome { result: serde_json::json!({ "files": 3 }), ..JobOutcome::default() })
    });
    assert_eq!(outcome.expect("succeeds").result["files"], 3);
    assert!(board.live().is_empty());
    let query = JobQuery { limit: 10, ..JobQuery::default() };
    let page = board.list(&query).expect("is read");
    let [done] = &page.jobs[..] else { panic!("{page:?}") };
    assert_eq!((done.status, done.warnings), (JobStatus::Succeeded, 1));
    assert_eq!(done.ended.map(|t| t.as_millisecond()), Some(1_005_000));
    assert_eq!(done.result["files"], 3);
    let log = board.log(&done.job_id).expect("is read");
    let lines: Vec<_> = log.iter().map(|line| (line.level, line.message.as_str())).collect();
    assert_eq!(lines, [(LogLevel::Error, "a/b: gone"), (LogLevel::Info, "half of it")]);
    let names: Vec<_> = board.bus().since(begin).expect("are kept");
    let names: Vec<_> = names.iter().map(|event| event.happening.name()).collect();
    assert_eq!((names[0], names[names.len() - 1]), ("job_started", "job_ended"));
    assert!(names.contains(&"job_progress"));
}

#[test]
fn failures_panics_and_cancelling_are_told_apart() {
    let (board, _) = board();
    let run = |work: &dyn Fn(&JobHandle) -> crate::error::Result<JobOutcome>| {
        _ = board.run(job("x"), &CancelToken::default(), work);
        let query = JobQuery { limit: 1, ..JobQuery::default() };
        board.list(&query).expect("is read").jobs.remove(0)
    };
    let failed = run(&|_| Err(Error::usage_hint("no", "try yes")));
    assert_eq!((failed.status, failed.hint.as_deref()), (JobStatus::Failed, Some("try yes")));
    assert_eq!(run(&|_| panic!("oh")).status, JobStatus::Failed);
    let cancelled = run(&|handle| {
        assert!(board.cancel(handle.id()));
        handle.runtime().cancel.check().map(|()| JobOutcome::default())
    });
    assert_eq!(cancelled.status, JobStatus::Cancelled);
    assert!(!board.cancel(&cancelled.job_id), "it has ended");
    assert!(board.settle().expect("is read").is_empty(), "nothing was broken off");
    let next = board.list(&JobQuery { limit: 2, ..JobQuery::default() }).expect("is read").next;
    let rest = JobQuery { limit: 2, before: next, ..JobQuery::default() };
    let rest = board.list(&rest).expect("is read");
    assert_eq!((rest.jobs.len(), rest.next), (1, None));
}

#[test]
fn listeners_go_on_where_they_stopped_or_begin_anew() {
    let (board, clock) = board();
    let bus = board.bus();
    let begin = bus.newest_id();
    assert!(!bus.wait(begin, Duration::ZERO));
    for number in 0..10 {
        bus.tell(None, Happening::Warning { message: number.to_string() });
    }
    assert!(bus.wait(begin, Duration::ZERO));
    let all = bus.since(begin).expect("all are kept");
    assert_eq!(all.len(), 10);
    assert_eq!(bus.since(all[3].id).expect("are kept").len(), 6);
    for _ in 0..5_000 {
        bus.tell(None, Happening::SettingsChanged);
    }
    assert_eq!(bus.since(begin), Err(Missed { newest_id: bus.newest_id() }));
    assert!(bus.since(bus.newest_id() + 1).is_err(), "a number of no event of this bus");
    clock.advance_ms(10_000);
    let later = EventBus::new(clock);
    assert!(later.newest_id() > bus.newest_id(), "numbers of a later process are greater");
}

/// A log is bounded without being counted again at each line: what is gone from it is not filled up.
#[test]
fn a_log_is_bounded_by_what_was_said() {
    let (board, _) = board();
    let mut kept = None;
    board
        .run(job("chatty"), &CancelToken::default(), |handle| {
            for number in 0..=store::LINES_MAX {
                handle.log(LogLevel::Info, number.to_string());
            }
            let lines = board.log(handle.id())?;
            assert_eq!(lines.len(), store::LINES_MAX as usize + 1);
            assert!(lines.last().is_some_and(|line| line.message.contains("too many lines")));
            board.database().with(|connection| connection.execute("DELETE FROM job_lines", []))?;
            handle.log(LogLevel::Info, "one more");
            kept = Some(handle.clone());
            Ok(JobOutcome::default())
        })
        .expect("succeeds");
    let late = kept.expect("was kept");
    assert!(board.log(late.id()).expect("is read").is_empty(), "it was counted");
    // What comes after its end is bounded, too.
    for number in 0..store::LINES_MAX + 9 {
        late.log(LogLevel::Info, number.to_string());
    }
    let lines = board.log(late.id()).expect("is read");
    assert_eq!(lines.len(), store::LINES_MAX as usize + 1);
}

#[test]
fn the_last_success_is_found_by_the_id_of_the_repository() {
    let (board, clock) = board();
    let check = || NewJob { kind: JobKind::Check, ..job("check") };
    let run = |new: NewJob, is_good: bool| {
        _ = board.run(new, &CancelToken::default(), |_| match is_good {
            true => Ok(JobOutcome::default()),
            false => Err(Error::usage("no")),
        });
        clock.advance_ms(1_000);
    };
    run(check(), true);
    run(check(), false);
    run(job("a backup"), true);
    run(NewJob { repo_id: RepoId([8; RepoId::LEN]), ..check() }, true);
    // What another machine did was not done here.
    let left = serde_json::json!({ "left_to": "another machine" });
    let left = JobOutcome { result: left, ..JobOutcome::default() };
    board.run(check(), &CancelToken::default(), |_| Ok(left)).expect("is left");
    let last = last_ended(board.database(), RepoId([7; RepoId::LEN]), "home", JobKind::Check);
    let last = last.expect("is read").expect("there was one");
    assert_eq!((last.status, last.started.as_millisecond()), (JobStatus::Failed, 1_001_000));
    let ended_ms = |id, name| {
        let id = RepoId([id; RepoId::LEN]);
        let found = last_success(board.database(), id, name, JobKind::Check).expect("is read");
        found.map(|time| time.as_millisecond())
    };
    assert_eq!(ended_ms(7, "another name"), Some(1_000_000));
    assert_eq!(ended_ms(8, "home"), Some(1_003_000));
    assert_eq!(ended_ms(9, "home"), None, "of that name, and not it");
    let forget_id = "UPDATE jobs SET repo_id = ''";
    board.database().with(|connection| connection.execute(forget_id, [])).expect("as of old");
    assert_eq!((ended_ms(9, "home"), ended_ms(7, "another name")), (Some(1_003_000), None));
}
