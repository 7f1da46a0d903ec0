//! Schedules in the database of what this machine remembers, and a copy of them beside it.
//!
//! The database is a cache elsewhere; schedules are more than that: nobody else knows them. So
//! their definitions are also in a small file of their own, from which they come back when the
//! database was lost or damaged.

use rusqlite::{Connection, Row, params};

use super::alive::is_alive;
use super::decide::{LastRun, Running, ScheduleState, Start};
use crate::error::{Error, Result};
use crate::manager::history::{Beside, Database};
use crate::model::{BackupSchedule, RepoId};

/// The schedules of one repository on this machine.
pub(crate) struct Store<'d> {
    database: &'d Database,
    repo_id: String,
    mirror: Beside,
}

/// How an attempt ended, for the next decision.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    /// It succeeded.
    Succeeded,
    /// It failed; try again at this time, milliseconds since 1970, or not before the next regular
    /// run.
    Failed { error: String, retry_ms: Option<i64> },
    /// It was stopped together with the scheduler; the next scheduler makes it again.
    Stopped,
}

const COLUMNS: &str = "definition, settled_ms, failed_attempts, retry_ms, running, \
                       started_ms, ended_ms, succeeded_ms, error, changes, seen_ms";

impl<'d> Store<'d> {
    pub(crate) fn new(database: &'d Database, repository: RepoId) -> Self {
        let mirror = Beside::new("schedules", database.path(), repository);
        Self { database, repo_id: repository.to_string(), mirror }
    }

    /// All schedules, oldest first.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub(crate) fn all(&self, now_ms: i64) -> Result<Vec<ScheduleState>> {
        let states = self.read(now_ms)?;
        if !states.is_empty() {
            return Ok(states);
        }
        let kept = self.mirror.load(|warning| self.database.warn(warning));
        if kept.is_empty() {
            return Ok(states);
        }
        self.database.transaction(|connection| {
            // Another process may have been faster.
            let is_empty = !connection
                .prepare("SELECT 1 FROM schedules WHERE repo_id = ?1")?
                .exists([&self.repo_id])?;
            match is_empty {
                true => kept.iter().try_for_each(|one| self.insert(connection, one, now_ms)),
                false => Ok(()),
            }
        })?;
        self.read(now_ms)
    }

    fn read(&self, now_ms: i64) -> Result<Vec<ScheduleState>> {
        self.database.with(|connection| self.read_from(connection, now_ms))
    }

    fn read_from(
        &self,
        connection: &Connection,
        now_ms: i64,
    ) -> rusqlite::Result<Vec<ScheduleState>> {
        let mut statement = connection.prepare(&format!(
            "SELECT {COLUMNS} FROM schedules WHERE repo_id = ?1 ORDER BY created_ms, schedule_id"
        ))?;
        let states = statement.query_map([&self.repo_id], |row| read_state(row, now_ms))?;
        // What no version of this program wrote is no schedule.
        states.filter_map(Result::transpose).collect()
    }

    /// Adds a schedule. Its runs count from `settled_ms`.
    ///
    /// # Errors
    /// As [`Store::check_lasting`], and as [`Database::with`].
    pub(crate) fn add(&self, schedule: &BackupSchedule, settled_ms: i64) -> Result<()> {
        self.check_lasting()?;
        self.all(settled_ms)?;
        self.database.with(|connection| self.insert(connection, schedule, settled_ms))?;
        self.refresh_mirror(settled_ms)
    }

    fn insert(
        &self,
        connection: &Connection,
        schedule: &BackupSchedule,
        settled_ms: i64,
    ) -> rusqlite::Result<()> {
        let created_ms = schedule.created_at.as_millisecond();
        // An interval goes on from when the schedule was made, at the earliest.
        let settled_ms = if schedule.interval_hours > 0 { created_ms } else { settled_ms };
        connection
            .execute(
                "INSERT INTO schedules (repo_id, schedule_id, created_ms, definition, settled_ms, \
                 failed_attempts, changes) VALUES (?1, ?2, ?3, ?4, ?5, 0, 0)",
                params![
                    self.repo_id,
                    schedule.schedule_id,
                    created_ms,
                    to_json(schedule),
                    settled_ms
                ],
            )
            .map(|_| ())
    }

    /// Changes the definition of a schedule; `settled_ms` if its runs are to count from a new time.
    /// What failed before is not repeated. Whether there is such a schedule.
    ///
    /// # Errors
    /// As [`Store::check_lasting`], and as [`Database::with`].
    pub(crate) fn update(
        &self,
        schedule: &BackupSchedule,
        settled_ms: Option<i64>,
        now_ms: i64,
    ) -> Result<bool> {
        self.check_lasting()?;
        let changed = self.database.with(|connection| {
            connection.execute(
                "UPDATE schedules SET definition = ?3, settled_ms = COALESCE(?4, settled_ms), \
                 changes = changes + 1, failed_attempts = 0, retry_ms = NULL WHERE repo_id = ?1 AND schedule_id = ?2",
                params![self.repo_id, schedule.schedule_id, to_json(schedule), settled_ms],
            )
        })?;
        self.refresh_mirror(now_ms)?;
        Ok(changed > 0)
    }

    /// Removes one schedule, or all. How many there were.
    ///
    /// # Errors
    /// As [`Store::check_lasting`], [`Error::Local`] if the copy cannot be changed, and as
    /// [`Database::with`].
    pub(crate) fn remove(&self, schedule_id: Option<&str>, now_ms: i64) -> Result<usize> {
        self.check_lasting()?;
        // The copy first: what is removed must not come back out of it.
        let mut left = self.definitions(now_ms)?;
        left.retain(|one| schedule_id.is_some_and(|id| one.schedule_id != id));
        match left.is_empty() {
            true => self.mirror.remove()?,
            false => self.mirror.save(&left)?,
        }
        self.database.with(|connection| {
            connection.execute(
                "DELETE FROM schedules WHERE repo_id = ?1 AND (?2 IS NULL OR schedule_id = ?2)",
                params![self.repo_id, schedule_id],
            )
        })
    }

    /// Wants a run now, beside the regular ones. Whether there is such a schedule.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub(crate) fn run_now(&self, schedule_id: &str, now_ms: i64) -> Result<bool> {
        let changed = self.database.with(|connection| {
            connection.execute(
                "UPDATE schedules SET failed_attempts = 0, retry_ms = ?3 \
                 WHERE repo_id = ?1 AND schedule_id = ?2",
                params![self.repo_id, schedule_id, now_ms],
            )
        })?;
        Ok(changed > 0)
    }

    /// Takes a run that is due for the scheduler of `mark`. False if somebody else was faster, or
    /// changed the schedule meanwhile.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub(super) fn claim(
        &self,
        state: &ScheduleState,
        start: &Start,
        mark: &str,
        now_ms: i64,
    ) -> Result<bool> {
        let settled_ms = if start.is_regular { now_ms } else { state.settled_ms };
        let changed = self.database.with(|connection| {
            connection.execute(
                "UPDATE schedules SET running = ?3, settled_ms = ?4, failed_attempts = ?5, \
                 retry_ms = NULL, started_ms = ?6, seen_ms = ?6 WHERE repo_id = ?1 AND schedule_id = ?2 \
                 AND running IS NULL AND settled_ms = ?7 AND failed_attempts = ?8 \
                 AND retry_ms IS ?9 AND changes = ?10",
                params![
                    self.repo_id,
                    start.schedule_id,
                    mark,
                    settled_ms,
                    start.attempt.saturating_sub(1),
                    now_ms,
                    state.settled_ms,
                    state.failed_attempts,
                    state.retry_ms,
                    state.changes,
                ],
            )
        })?;
        Ok(changed > 0)
    }

    /// Says that the scheduler of `mark` is there, for those that cannot see it.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub(super) fn renew(&self, mark: &str, now_ms: i64) -> Result<()> {
        self.database.with(|connection| {
            connection
                .execute(
                    "UPDATE schedules SET seen_ms = ?3 WHERE repo_id = ?1 AND running = ?2",
                    params![self.repo_id, mark, now_ms],
                )
                .map(|_| ())
        })
    }

    /// Says how attempt number `attempt` ended, if it is still that of `mark`: of a run that was
    /// broken off several may say so, and the first of them may have started the next one.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub(super) fn end(
        &self,
        schedule_id: &str,
        attempt: u32,
        mark: &str,
        ended: &Ended,
        now_ms: i64,
    ) -> Result<()> {
        let (failed, retry_ms, error, is_success) = match ended {
            Ended::Succeeded => (0, None, None, true),
            Ended::Failed { error, retry_ms: None } => (0, None, Some(error.as_str()), false),
            Ended::Failed { error, retry_ms } => (attempt, *retry_ms, Some(error.as_str()), false),
            Ended::Stopped => (attempt.saturating_sub(1), Some(now_ms), Some("stopped"), false),
        };
        // Somebody may have asked for another run meanwhile: that stays.
        self.database.with(|connection| {
            connection
                .execute(
                    "UPDATE schedules SET running = NULL, \
                     failed_attempts = CASE WHEN retry_ms IS NULL THEN ?3 ELSE 0 END, \
                     retry_ms = COALESCE(retry_ms, ?4), ended_ms = ?5, error = ?6, \
                     succeeded_ms = CASE WHEN ?7 THEN ?5 ELSE succeeded_ms END \
                     WHERE repo_id = ?1 AND schedule_id = ?2 AND running = ?8",
                    params![
                        self.repo_id,
                        schedule_id,
                        failed,
                        retry_ms,
                        now_ms,
                        error,
                        is_success,
                        mark,
                    ],
                )
                .map(|_| ())
        })
    }

    /// Takes the time of a clock that was set back.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub(super) fn settle(&self, schedule_id: &str, settled_ms: i64) -> Result<()> {
        self.database.with(|connection| {
            connection
                .execute(
                    "UPDATE schedules SET settled_ms = ?3, \
                     retry_ms = CASE WHEN retry_ms IS NULL THEN NULL ELSE ?3 END \
                     WHERE repo_id = ?1 AND schedule_id = ?2",
                    params![self.repo_id, schedule_id, settled_ms],
                )
                .map(|_| ())
        })
    }

    /// Brings the copy up to date; or the database, if it was lost.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub(super) fn refresh_mirror(&self, now_ms: i64) -> Result<()> {
        self.all(now_ms)?;
        // What is in memory is what the copy said, and less true than what the file may say.
        if !self.database.is_lasting()? {
            return Ok(());
        }
        // Whoever reads and writes meanwhile waits, so that the last list is the one that stays.
        let saved = self.database.transaction(|connection| {
            let states = self.read_from(connection, now_ms)?;
            let schedules: Vec<_> = states.into_iter().map(|state| state.schedule).collect();
            Ok(self.mirror.save(&schedules))
        })?;
        if let Err(error) = saved {
            // Without the copy, schedules live as long as the database: no reason to fail.
            let error = error.in_full();
            self.database.warn(format!("the copy of the schedules is not up to date: {error}"));
        }
        Ok(())
    }

    fn definitions(&self, now_ms: i64) -> Result<Vec<BackupSchedule>> {
        Ok(self.all(now_ms)?.into_iter().map(|state| state.schedule).collect())
    }

    /// Changes are refused while the database is done without: they would be gone with the process.
    /// Where it was to be in memory, that is known.
    ///
    /// # Errors
    /// [`Error::Local`].
    fn check_lasting(&self) -> Result<()> {
        match self.database.path() {
            Some(path) if !self.database.is_lasting()? => {
                let what = "it cannot be used at present, so no schedule can be changed";
                Err(Error::local("write", path, std::io::Error::other(what)))
            }
            _ => Ok(()),
        }
    }
}

fn read_state(row: &Row<'_>, now_ms: i64) -> rusqlite::Result<Option<ScheduleState>> {
    let definition: String = row.get(0)?;
    let Ok(schedule) = serde_json::from_str(&definition) else { return Ok(None) };
    let started_ms: Option<i64> = row.get(5)?;
    let running: Option<String> = row.get(4)?;
    let since_ms = started_ms.unwrap_or_default();
    let seen_ms: Option<i64> = row.get(10)?;
    let silent_ms = now_ms.abs_diff(seen_ms.unwrap_or(since_ms));
    let running = running.map(|mark| Running {
        since_ms,
        is_alive: serde_json::from_str(&mark).is_ok_and(|mark| is_alive(&mark, silent_ms)),
        mark,
    });
    Ok(Some(ScheduleState {
        schedule,
        settled_ms: row.get(1)?,
        failed_attempts: row.get(2)?,
        retry_ms: row.get(3)?,
        running,
        last: LastRun {
            started_ms,
            ended_ms: row.get(6)?,
            succeeded_ms: row.get(7)?,
            error: row.get(8)?,
        },
        changes: row.get(9)?,
    }))
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain data")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::manager::schedule::alive::Life;
    use crate::manager::schedule::decide::{due, timestamp};
    use crate::model::BackupStrategy;
    use crate::runtime::TestClock;

    /// Two schedulers find the same run due, or the same one broken off: one of them is heard.
    #[test]
    fn a_run_belongs_to_one_scheduler() {
        let database = Database::new(None, Arc::new(TestClock::at_ms(0)));
        let store = Store::new(&database, RepoId([1; 32]));
        let schedule = BackupSchedule {
            schedule_id: "a".into(),
            enabled: true,
            interval_hours: 1,
            backup_type: BackupStrategy::Incremental,
            retention_days: 0,
            max_retries: 1,
            encryption_enabled: false,
            created_at: timestamp(0),
            cron: None,
            time_zone: None,
            ..BackupSchedule::default()
        };
        store.add(&schedule, 0).expect("is added");
        let now_ms = 3_600_000;
        let states = store.all(now_ms).expect("is there");
        let decision = due(&states, now_ms);
        let (first, second) = (Life::new(), Life::new());
        let claim = |life: &Life| {
            store.claim(&states[0], &decision.start[0], life.mark(), now_ms).expect("asks")
        };
        assert_eq!([claim(&first), claim(&second), claim(&first)], [true, false, false]);
        let running = || store.all(now_ms).expect("is there")[0].running.clone();
        assert!(running().is_some_and(|run| run.is_alive && run.since_ms == now_ms));

        let ended = Ended::Failed { error: "broken off".into(), retry_ms: None };
        store.end("a", 1, second.mark(), &ended, now_ms).expect("is no error");
        assert!(running().is_some(), "it is not its run");
        drop(first);
        assert!(running().is_some_and(|run| !run.is_alive));
        let mark = running().expect("is there").mark;
        store.end("a", 1, &mark, &ended, now_ms).expect("ends it");
        assert_eq!(running(), None);
        let other = Store::new(&database, RepoId([2; 32]));
        assert_eq!(other.all(0).expect("has none"), []);
    }
}
