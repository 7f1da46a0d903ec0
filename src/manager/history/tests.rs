use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::model::{BackupId, BackupStatus, BackupStrategy, RepoId};
use crate::runtime::TestClock;

const REPO: RepoId = RepoId([7; 32]);

fn database(folder: &Path) -> Database {
    Database::new(Some(folder.to_path_buf()), Arc::new(TestClock::at_ms(5_000)))
}

fn new_run(number: u8) -> NewRun {
    NewRun {
        backup_id: BackupId([number; 16]),
        schedule_id: number.is_multiple_of(2).then(|| "even".into()),
        attempt: 1,
        strategy: BackupStrategy::Full,
        status: BackupStatus::Pending,
        started_ms: i64::from(number) * 1000,
        host: "shop".into(),
        sources: vec!["/home".into()],
        tags: vec!["a".into()],
        description: "first".into(),
    }
}

fn ids(runs: &[Run]) -> Vec<u8> {
    runs.iter().map(|run| run.backup_id.0[0]).collect()
}

#[test]
fn runs_are_remembered_by_repository_and_survive_a_restart() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("state");
    {
        let database = database(&folder);
        let history = RunHistory::new(&database, REPO);
        for number in 1..=4 {
            history.begin(&new_run(number)).expect("begins");
        }
        history.started(BackupId([2; 16]), 2_500).expect("starts");
        let stats = RunStats { files: 3, bytes: 10, ..RunStats::default() };
        history.finish(BackupId([3; 16]), 3_900, &RunEnd::Completed(stats)).expect("ends");
        history.finish(BackupId([4; 16]), 4_900, &RunEnd::Failed("no room".into())).expect("ends");
        assert!(database.is_lasting().expect("is there"));
    }
    let mode = |name: &str| {
        folder.join(name).metadata().map(|meta| meta.permissions().mode() & 0o777).ok()
    };
    assert_eq!(mode("history.sqlite"), Some(0o600));
    assert!(mode("history.sqlite-wal").is_none_or(|mode| mode == 0o600));
    let database = database(&folder);
    let history = RunHistory::new(&database, REPO);
    let all = history.list(&RunQuery::default(), 6_000).expect("lists");
    assert_eq!(ids(&all), [4, 3, 2, 1]);
    let states: Vec<_> = all.iter().map(|run| run.status.as_str()).collect();
    assert_eq!(states, ["failed", "completed", "in_progress", "pending"]);
    assert_eq!(all[0].error.as_deref(), Some("no room"));
    assert_eq!(all[1].stats.as_ref().map(|stats| stats.files), Some(3));
    assert_eq!(all[2].started_ms, 2_500);
    assert_eq!(all[3].sources, ["/home"]);
    let even = RunQuery { schedule_id: Some("even".into()), ..RunQuery::default() };
    assert_eq!(ids(&history.list(&even, 0).expect("lists")), [4, 2]);
    let some =
        RunQuery { from_ms: Some(2_000), until_ms: Some(3_000), limit: Some(1), ..even.clone() };
    assert_eq!(ids(&history.list(&some, 0).expect("lists")), [2]);
    assert_eq!(history.get(BackupId([9; 16]), 0).expect("looks"), None);
    let other = RunHistory::new(&database, RepoId([8; 32]));
    assert!(other.list(&RunQuery::default(), 0).expect("lists").is_empty());
    assert!(database.take_warnings().is_empty());
}

#[test]
fn a_run_whose_process_is_gone_was_interrupted() {
    let home = tempfile::tempdir().expect("a folder");
    let database = database(home.path());
    let history = RunHistory::new(&database, REPO);
    history.begin(&new_run(1)).expect("begins");
    let mark = ProcessMark::own();
    let mark = ProcessMark { start: mark.start + 1, ..mark };
    let mark = serde_json::to_string(&mark).expect("plain");
    database
        .with(|connection| connection.execute("UPDATE runs SET process = ?1", [&mark]))
        .expect("changes");
    let run = history.get(BackupId([1; 16]), 2_000).expect("looks").expect("is there");
    assert_eq!((run.status, run.error.as_deref()), (BackupStatus::Failed, Some(INTERRUPTED)));
}

#[test]
fn a_damaged_file_is_set_aside_and_made_anew() {
    for damage in ["all", "page"] {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("history.sqlite");
        let database_before = database(home.path());
        let history = RunHistory::new(&database_before, REPO);
        history.begin(&new_run(1)).expect("begins");
        let flush = |c: &rusqlite::Connection| {
            c.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        };
        database_before.with(flush).expect("flushes");
        drop(database_before);
        let mut bytes = std::fs::read(&path).expect("reads");
        let from = if damage == "all" { 0 } else { 4096 };
        bytes[from..].fill(0x5a);
        std::fs::write(&path, bytes).expect("writes");

        let database = database(home.path());
        let history = RunHistory::new(&database, REPO);
        history.begin(&new_run(2)).expect("begins");
        let runs = history.list(&RunQuery::default(), 0).expect("lists");
        assert_eq!(ids(&runs), [2], "{damage}");
        assert!(database.is_lasting().expect("is there"));
        let warnings = database.take_warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("history.sqlite.damaged-5"), "{warnings:?}");
        assert!(home.path().join("history.sqlite.damaged-5").is_file());
        assert!(database.take_warnings().is_empty(), "told once");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_done_without() {
    let home = tempfile::tempdir().expect("a folder");
    // In the place of the folder there is a file; even root cannot use that.
    let folder = home.path().join("state");
    std::fs::write(&folder, "").expect("writes");
    let database_without = database(&folder);
    let history = RunHistory::new(&database_without, REPO);
    history.begin(&new_run(1)).expect("begins");
    assert_eq!(ids(&history.list(&RunQuery::default(), 0).expect("lists")), [1]);
    assert!(!database_without.is_lasting().expect("in memory"));
    let warnings = database_without.take_warnings();
    assert_eq!(warnings.len(), 1);
    assert!(!warnings[0].contains("not affected"), "a folder is needed for more: {warnings:?}");

    // A newer program's tables are left alone.
    let newer = home.path().join("newer");
    database(&newer).with(|c| c.pragma_update(None, "user_version", 1_000)).expect("changes");
    let database = database(&newer);
    let history = RunHistory::new(&database, REPO);
    history.begin(&new_run(1)).expect("begins");
    assert!(!database.is_lasting().expect("in memory"));
    let names: Vec<_> = std::fs::read_dir(&newer).expect("lists").flatten().collect();
    assert!(names.iter().all(|name| !name.file_name().to_string_lossy().contains("damaged")));
}

#[test]
fn many_threads_and_connections_write_at_once() {
    let home = tempfile::tempdir().expect("a folder");
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let folder = home.path();
            scope.spawn(move || {
                for run in 0..5 {
                    let database = database(folder);
                    let history = RunHistory::new(&database, REPO);
                    let number = thread * 5 + run;
                    history.begin(&new_run(number)).expect("begins");
                    history
                        .finish(BackupId([number; 16]), 9, &RunEnd::Failed("x".into()))
                        .expect("ends");
                    assert!(
                        database.is_lasting().expect("a file"),
                        "{:?}",
                        database.take_warnings()
                    );
                }
            });
        }
    });
    let database = database(home.path());
    let runs = RunHistory::new(&database, REPO).list(&RunQuery::default(), 0).expect("lists");
    assert_eq!(runs.len(), 40);
    assert!(runs.iter().all(|run| run.status == BackupStatus::Failed));
}

#[test]
fn a_transaction_that_fails_changes_nothing() {
    let database = Database::new(None, Arc::new(TestClock::at_ms(0)));
    let failed: crate::error::Result<()> = database.transaction(|connection| {
        connection.execute("DELETE FROM runs", [])?;
        connection.execute("DELETE FROM nowhere", []).map(|_| ())
    });
    let error = failed.expect_err("no such table");
    assert!(error.to_string().contains("history"), "{error}");
    database.transaction(|_| Ok(())).expect("the next one works");
}

/// One row that nobody can read hides no other.
#[test]
fn a_row_that_cannot_be_read_is_no_run() {
    let database = Database::new(None, Arc::new(TestClock::at_ms(0)));
    let history = RunHistory::new(&database, REPO);
    for number in 1..=5 {
        history.begin(&new_run(number)).expect("begins");
    }
    for (number, column) in [(1, "tags"), (2, "sources"), (3, "process"), (4, "status")] {
        let sql = format!("UPDATE runs SET {column} = 'x' WHERE number = {number}");
        database.with(|connection| connection.execute(&sql, [])).expect("changes");
        assert_eq!(history.get(BackupId([number; 16]), 0).expect("looks"), None, "{column}");
    }
    assert_eq!(ids(&history.list(&RunQuery::default(), 0).expect("lists")), [5]);
}

/// Whoever holds the lock and does not let go of it ends nothing.
#[test]
fn a_lock_that_is_held_is_not_waited_for_for_ever() {
    let home = tempfile::tempdir().expect("a folder");
    let lock = std::fs::File::create(home.path().join("history.lock")).expect("a file");
    lock.lock().expect("is free");
    let folder = home.path().to_path_buf();
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let database = database(&folder);
        let begun = RunHistory::new(&database, REPO).begin(&new_run(1)).is_ok();
        done.send((begun, database.is_lasting().expect("asks"), database.take_warnings()))
    });
    let told = is_done.recv_timeout(std::time::Duration::from_secs(30)).expect("ends");
    assert_eq!((told.0, told.1, told.2.len()), (true, false, 1), "{:?}", told.2);
    assert!(told.2[0].contains("history.lock"), "{:?}", told.2);
}

/// A file that somebody else keeps to himself may be whole.
#[test]
fn a_file_that_is_in_use_is_not_set_aside() {
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("history.sqlite");
    let other = rusqlite::Connection::open(&path).expect("opens");
    let sql = "CREATE TABLE t (a); PRAGMA locking_mode = exclusive; BEGIN EXCLUSIVE";
    other.execute_batch(sql).expect("is free");
    let error = super::setup::set_aside(home.path(), 5_000).expect_err("cannot be told");
    assert!(error.in_full().contains("history.sqlite"), "{error}");
    assert!(path.is_file());
    drop(other);
    std::fs::remove_file(&path).expect("removes");
    // Somebody else set it aside meanwhile.
    assert_eq!(super::setup::set_aside(home.path(), 5_000).expect("nothing to do"), None);
}
