//! Jobs and their logs in the database of what this machine remembers.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::job::{JobId, JobKind, JobPage, JobQuery, JobStatus, JobView, LogLine};
use crate::error::Result;
use crate::manager::history::{Database, INTERRUPTED, ProcessMark};
use crate::model::{BackupId, RepoId};

/// Jobs that are remembered at most; the oldest go first.
const JOBS_KEPT: i64 = 20_000;
/// So many jobs are added before the oldest are looked for.
const CLEAN_EVERY: i64 = 100;
/// Lines of one log at most. What comes after is left out, and the last line says so.
pub(super) const LINES_MAX: u32 = 1_000;
/// The longest line, in bytes.
const LINE_LEN_MAX: usize = 4_096;

const COLUMNS: &str = "job_id, repository, kind, title, schedule_id, attempt, wanted_by, status, \
                       started_ms, ended_ms, backup_id, error, hint, warnings, result, process, \
                       number";

/// Jobs of kind ?3 on the repository of id ?1, or of name ?2 if they have none, that were not left to
/// another machine.
const OWN: &str = "kind = ?3 AND (repo_id = ?1 OR (repo_id = '' AND repository = ?2)) \
                   AND CASE WHEN json_valid(result) THEN json_extract(result, '$.left_to') END \
                   IS NULL";

pub(super) struct Store<'d> {
    database: &'d Database,
}

impl<'d> Store<'d> {
    pub(super) fn new(database: &'d Database) -> Self {
        Self { database }
    }

    pub(super) fn begin(&self, job: &JobView, repository: RepoId) -> Result<()> {
        let process = ProcessMark::own().to_text();
        self.database.with(|connection| {
            connection.execute(
                "INSERT INTO jobs (job_id, repository, kind, title, schedule_id, attempt, \
                 wanted_by, status, started_ms, warnings, process, repo_id) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?10, ?11)",
                params![
                    job.job_id.as_str(),
                    job.repository,
                    job.kind.as_str(),
                    job.title,
                    job.schedule_id,
                    job.attempt,
                    job.wanted_by,
                    job.status.as_str(),
                    job.started.as_millisecond(),
                    process,
                    repository.to_string(),
                ],
            )?;
            if connection.last_insert_rowid() % CLEAN_EVERY == 0 {
                connection.execute(
                    "DELETE FROM jobs WHERE number <= (SELECT number FROM jobs \
                     ORDER BY number DESC LIMIT 1 OFFSET ?1)",
                    [JOBS_KEPT],
                )?;
                connection.execute(
                    "DELETE FROM job_lines WHERE job_id NOT IN (SELECT job_id FROM jobs)",
                    [],
                )?;
            }
            Ok(())
        })
    }

    pub(super) fn end(&self, job: &JobView) -> Result<()> {
        let result = job.result.to_string();
        self.database.with(|connection| {
            connection
                .execute(
                    "UPDATE jobs SET status = ?2, ended_ms = ?3, backup_id = ?4, error = ?5, \
                     hint = ?6, warnings = ?7, result = ?8 WHERE job_id = ?1",
                    params![
                        job.job_id.as_str(),
                        job.status.as_str(),
                        job.ended.map(Timestamp::as_millisecond),
                        job.backup_id.map(|id| id.to_string()),
                        job.error,
                        job.hint,
                        job.warnings,
                        result,
                    ],
                )
                .map(|_| ())
        })
    }

    /// Adds a line to a log that has `before` lines; they are counted if that is not known any
    /// more.
    pub(super) fn add_line(&self, id: &JobId, line: &LogLine, before: Option<u32>) -> Result<()> {
        if before.is_some_and(|count| count > LINES_MAX) {
            return Ok(());
        }
        let mut message = line.message.clone();
        if message.len() > LINE_LEN_MAX {
            message.truncate(message.floor_char_boundary(LINE_LEN_MAX));
            message.push_str(" ...");
        }
        let level = serde_json::to_string(&line.level).expect("plain data");
        self.database.with(|connection| {
            let count = match before {
                Some(count) => count,
                None => count_lines(connection, id)?,
            };
            if count > LINES_MAX {
                return Ok(());
            }
            let message = match count {
                LINES_MAX => "what follows is left out: there are too many lines",
                _ => &message,
            };
            connection
                .execute(
                    "INSERT INTO job_lines (job_id, time_ms, level, message) \
                     VALUES (?1, ?2, ?3, ?4)",
                    params![id.as_str(), line.time.as_millisecond(), level, message],
                )
                .map(|_| ())
        })
    }

    /// When the newest job of this kind that went well ended, milliseconds since 1970. Jobs that were
    /// remembered without the id of their repository are found by its name.
    pub(super) fn last_success(
        &self,
        repository: RepoId,
        name: &str,
        kind: JobKind,
    ) -> Result<Option<i64>> {
        let newest = self.database.with(|connection| {
            connection.query_row(
                &format!("SELECT MAX(ended_ms) FROM jobs WHERE {OWN} AND status = 'succeeded'"),
                [&repository.to_string(), name, kind.as_str()],
                |row| row.get(0),
            )
        })?;
        Ok(newest)
    }

    /// The newest job of this kind that ended well or badly by itself.
    pub(super) fn last_ended(
        &self,
        repository: RepoId,
        name: &str,
        kind: JobKind,
    ) -> Result<Option<JobView>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM jobs WHERE {OWN} AND status IN ('succeeded', 'failed') \
             ORDER BY number DESC LIMIT 1"
        );
        let values = [&repository.to_string(), name, kind.as_str()];
        let row =
            self.database.with(|connection| connection.query_row(&sql, values, read).optional())?;
        Ok(row.flatten().map(|(job, _)| job))
    }

    pub(super) fn log(&self, id: &JobId) -> Result<Vec<LogLine>> {
        self.database.with(|connection| {
            let mut statement = connection.prepare(
                "SELECT time_ms, level, message FROM job_lines WHERE job_id = ?1 ORDER BY number",
            )?;
            let lines = statement.query_map([id.as_str()], |row| {
                let (time_ms, level): (i64, String) = (row.get(0)?, row.get(1)?);
                let time = Timestamp::from_millisecond(time_ms).ok();
                let level = serde_json::from_str(&level).ok();
                let message: String = row.get(2)?;
                let line = time.zip(level).map(|(time, level)| LogLine { time, level, message });
                Ok(line)
            })?;
            // What no version of this program wrote is no line.
            lines.filter_map(rusqlite::Result::transpose).collect()
        })
    }

    pub(super) fn get(&self, id: &JobId) -> Result<Option<JobView>> {
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE job_id = ?1");
        let row = self
            .database
            .with(|connection| connection.query_row(&sql, [id.as_str()], read).optional())?;
        Ok(row.flatten().map(|(job, _)| job))
    }

    pub(super) fn list(&self, query: &JobQuery) -> Result<JobPage> {
        let sql = format!(
            "SELECT {COLUMNS} FROM jobs WHERE (?1 IS NULL OR repository = ?1) \
             AND (?2 IS NULL OR kind = ?2) AND (?3 IS NULL OR status = ?3) \
             AND (?4 IS NULL OR schedule_id = ?4) AND (?5 IS NULL OR number < ?5) \
             ORDER BY number DESC LIMIT ?6"
        );
        let before = query.before.map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        // One more shows whether there is another page.
        let limit = i64::try_from(query.limit.saturating_add(1)).unwrap_or(i64::MAX);
        let rows: Vec<(JobView, u64)> = self.database.with(|connection| {
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map(
                params![
                    query.repository,
                    query.kind.map(JobKind::as_str),
                    query.status.map(JobStatus::as_str),
                    query.schedule_id,
                    before,
                    limit,
                ],
                read,
            )?;
            rows.filter_map(rusqlite::Result::transpose).collect()
        })?;
        let next = match rows.len() > query.limit {
            true => rows.get(query.limit.saturating_sub(1)).map(|(_, number)| *number),
            false => None,
        };
        let jobs = rows.into_iter().take(query.limit).map(|(job, _)| job).collect();
        Ok(JobPage { jobs, next })
    }

    /// Ends jobs that nobody works on any more.
    pub(super) fn settle(&self, now_ms: i64) -> Result<Vec<JobView>> {
        let sql = format!("SELECT {COLUMNS} FROM jobs WHERE status = 'running' ORDER BY number");
        let running: Vec<(JobView, Option<ProcessMark>)> = self.database.with(|connection| {
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map([], |row| {
                let process = ProcessMark::of_row(row, 15)?;
                Ok(read(row)?.map(|(job, _)| (job, process)))
            })?;
            rows.filter_map(rusqlite::Result::transpose).collect()
        })?;
        let mut settled = Vec::new();
        for (mut job, process) in running {
            let since_ms = job.started.as_millisecond();
            if process.is_none_or(|process| process.is_broken_off(since_ms, now_ms)) {
                job.status = JobStatus::Interrupted;
                job.ended = Timestamp::from_millisecond(now_ms).ok();
                job.error = Some(INTERRUPTED.into());
                self.end(&job)?;
                settled.push(job);
            }
        }
        Ok(settled)
    }
}

fn count_lines(connection: &Connection, id: &JobId) -> rusqlite::Result<u32> {
    let sql = "SELECT COUNT(*) FROM job_lines WHERE job_id = ?1";
    connection.query_row(sql, [id.as_str()], |row| row.get(0))
}

/// A row in the order of [`COLUMNS`], with its number; `None` if it holds what no version wrote.
fn read(row: &Row<'_>) -> rusqlite::Result<Option<(JobView, u64)>> {
    let (id, kind, status): (String, String, String) = (row.get(0)?, row.get(2)?, row.get(7)?);
    let (started_ms, ended_ms): (i64, Option<i64>) = (row.get(8)?, row.get(9)?);
    let backup_id: Option<String> = row.get(10)?;
    let result: Option<String> = row.get(14)?;
    let parsed = JobId::parse(&id).ok().zip(JobKind::from_name(&kind));
    let Some((job_id, kind)) = parsed else { return Ok(None) };
    let Some(status) = JobStatus::from_name(&status) else { return Ok(None) };
    let Ok(started) = Timestamp::from_millisecond(started_ms) else { return Ok(None) };
    let job = JobView {
        job_id,
        repository: row.get(1)?,
        kind,
        title: row.get(3)?,
        schedule_id: row.get(4)?,
        attempt: row.get(5)?,
        wanted_by: row.get(6)?,
        status,
        started,
        ended: ended_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        progress: None,
        backup_id: backup_id.and_then(|id| BackupId::from_hex(&id)),
        error: row.get(11)?,
        hint: row.get(12)?,
        warnings: row.get(13)?,
        result: result.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
    };
    let number: i64 = row.get(16)?;
    Ok(Some((job, u64::try_from(number).unwrap_or_default())))
}
