//! The runs of one repository's backups.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Database;
use super::process::{INTERRUPTED, ProcessMark};
use crate::error::Result;
use crate::model::{BackupId, BackupStatus, BackupStrategy, RepoId};

/// Runs of a repository that are remembered at most; the oldest go first.
const RUNS_KEPT: i64 = 10_000;

/// So many runs are added before the oldest are looked for.
const CLEAN_EVERY: i64 = 100;

/// A run that is about to start, or that waits for its turn.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The id that its snapshot will have.
    pub backup_id: BackupId,
    /// The schedule that wants it.
    pub schedule_id: Option<String>,
    /// 1 for the first try, 2 for the first repetition of one that failed.
    pub attempt: u32,
    /// What kind of backup it is to become.
    pub strategy: BackupStrategy,
    /// [`BackupStatus::Pending`] or [`BackupStatus::InProgress`].
    pub status: BackupStatus,
    /// When it started or began to wait, milliseconds since 1970.
    pub started_ms: i64,
    /// The host that the snapshot will name.
    pub host: String,
    /// What is backed up, escaped where it is no text.
    pub sources: Vec<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// A text.
    pub description: String,
}

/// Counts of a run that completed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunStats {
    /// Files in its snapshot.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Bytes that it added to storage.
    pub bytes_stored: u64,
    /// What could not be read.
    pub errors: u64,
    /// The stored record of its snapshot, so that it can be told from one that was deleted if it
    /// cannot be read any more.
    pub object_name: Option<String>,
    /// Names of the mirrors that did not have the snapshot when the run ended.
    pub mirrors_missed: Vec<String>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// Its snapshot is committed.
    Completed(RunStats),
    /// Without a snapshot, and why.
    Failed(String),
}

/// A run as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its id, and that of its snapshot if it has one.
    pub backup_id: BackupId,
    /// The schedule that wanted it.
    pub schedule_id: Option<String>,
    /// 1 for the first try.
    pub attempt: u32,
    /// What kind of backup it was to become.
    pub strategy: BackupStrategy,
    /// How far it is. One that nobody works on any more is failed.
    pub status: BackupStatus,
    /// When it started, milliseconds since 1970.
    pub started_ms: i64,
    /// When it ended; `None` if it goes on, or if its process ended first.
    pub finished_ms: Option<i64>,
    /// Why it failed.
    pub error: Option<String>,
    /// The host that its snapshot was to name.
    pub host: String,
    /// What was backed up.
    pub sources: Vec<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// A text.
    pub description: String,
    /// Counts, if it completed.
    pub stats: Option<RunStats>,
}

/// Which runs are meant. `Default` is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunQuery {
    /// Those of this schedule.
    pub schedule_id: Option<String>,
    /// Started at this time or later, milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Started at this time or before.
    pub until_ms: Option<i64>,
    /// So many at most, the newest.
    pub limit: Option<usize>,
}

/// The runs of one repository, in a [`Database`].
pub struct RunHistory<'d> {
    database: &'d Database,
    repo_id: String,
}

const COLUMNS: &str = "backup_id, schedule_id, attempt, strategy, status, started_ms, finished_ms, \
                       error, host, sources, tags, description, stats, process";

impl<'d> RunHistory<'d> {
    /// The runs of `repository`.
    pub fn new(database: &'d Database, repository: RepoId) -> Self {
        Self { database, repo_id: repository.to_string() }
    }

    /// Remembers a run of this process.
    ///
    /// # Errors
    /// As [`Database::with`]; there is a run of this id already.
    pub fn begin(&self, run: &NewRun) -> Result<()> {
        let process = ProcessMark::own().to_text();
        let (sources, tags) = (to_json(&run.sources), to_json(&run.tags));
        self.database.with(|connection| {
            connection.execute(
                "INSERT INTO runs (repo_id, backup_id, schedule_id, attempt, strategy, status, \
                 started_ms, host, sources, tags, description, process) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                params![
                    self.repo_id,
                    run.backup_id.to_string(),
                    run.schedule_id,
                    run.attempt,
                    run.strategy.as_str(),
                    run.status.as_str(),
                    run.started_ms,
                    run.host,
                    sources,
                    tags,
                    run.description,
                    process,
                ],
            )?;
            if connection.last_insert_rowid() % CLEAN_EVERY == 0 {
                self.clean(connection)?;
            }
            Ok(())
        })
    }

    /// Remembers that a run which waited has started now.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub fn started(&self, id: BackupId, now_ms: i64) -> Result<()> {
        self.database.with(|connection| {
            connection
                .execute(
                    "UPDATE runs SET status = 'in_progress', started_ms = ?3 \
                     WHERE repo_id = ?1 AND backup_id = ?2",
                    params![self.repo_id, id.to_string(), now_ms],
                )
                .map(|_| ())
        })
    }

    /// Remembers how a run ended.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub fn finish(&self, id: BackupId, now_ms: i64, end: &RunEnd) -> Result<()> {
        let (status, error, stats) = match end {
            RunEnd::Completed(stats) => (BackupStatus::Completed, None, Some(to_json(stats))),
            RunEnd::Failed(error) => (BackupStatus::Failed, Some(error), None),
        };
        self.database.with(|connection| {
            connection
                .execute(
                    "UPDATE runs SET status = ?3, finished_ms = ?4, error = ?5, stats = ?6 \
                     WHERE repo_id = ?1 AND backup_id = ?2",
                    params![self.repo_id, id.to_string(), status.as_str(), now_ms, error, stats],
                )
                .map(|_| ())
        })
    }

    /// The run of this id.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub fn get(&self, id: BackupId, now_ms: i64) -> Result<Option<Run>> {
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE repo_id = ?1 AND backup_id = ?2");
        let row = self.database.with(|connection| {
            connection
                .query_row(&sql, params![self.repo_id, id.to_string()], |row| read(row, now_ms))
                .optional()
        })?;
        Ok(row.flatten())
    }

    /// The runs that are meant, newest first, whatever became of their snapshots.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub fn list(&self, query: &RunQuery, now_ms: i64) -> Result<Vec<Run>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM runs WHERE repo_id = ?1 AND (?2 IS NULL OR schedule_id = ?2) \
             AND (?3 IS NULL OR started_ms >= ?3) AND (?4 IS NULL OR started_ms <= ?4) \
             ORDER BY started_ms DESC, number DESC LIMIT ?5"
        );
        let limit = query.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        let RunQuery { schedule_id, from_ms, until_ms, .. } = query;
        self.database.with(|connection| {
            let mut statement = connection.prepare(&sql)?;
            let values = params![self.repo_id, schedule_id, from_ms, until_ms, limit];
            let runs = statement.query_map(values, |row| read(row, now_ms))?;
            // What somebody else put there and cannot be read is no run.
            runs.filter_map(Result::transpose).collect()
        })
    }

    /// Forgets a run.
    ///
    /// # Errors
    /// As [`Database::with`].
    pub fn remove(&self, id: BackupId) -> Result<()> {
        let sql = "DELETE FROM runs WHERE repo_id = ?1 AND backup_id = ?2";
        self.database.with(|connection| {
            connection.execute(sql, params![self.repo_id, id.to_string()]).map(|_| ())
        })
    }

    fn clean(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .execute(
                "DELETE FROM runs WHERE repo_id = ?1 AND started_ms < (SELECT started_ms \
                 FROM runs WHERE repo_id = ?1 ORDER BY started_ms DESC LIMIT 1 OFFSET ?2)",
                params![self.repo_id, RUNS_KEPT],
            )
            .map(|_| ())
    }
}

/// A row in the order of [`COLUMNS`]; `None` if it holds what no version wrote.
fn read(row: &Row<'_>, now_ms: i64) -> rusqlite::Result<Option<Run>> {
    let (id, strategy): (String, String) = (row.get(0)?, row.get(3)?);
    let Some(backup_id) = BackupId::from_hex(&id) else { return Ok(None) };
    let Ok(strategy) = strategy.parse() else { return Ok(None) };
    let status: String = row.get(4)?;
    let Ok(status) = status.parse() else { return Ok(None) };
    let Some(process) = ProcessMark::of_row(row, 13)? else { return Ok(None) };
    let (Some(sources), Some(tags)) = (json(row, 9)?, json(row, 10)?) else { return Ok(None) };
    let mut run = Run {
        backup_id,
        schedule_id: row.get(1)?,
        attempt: row.get(2)?,
        strategy,
        status,
        started_ms: row.get(5)?,
        finished_ms: row.get(6)?,
        error: row.get(7)?,
        host: row.get(8)?,
        sources,
        tags,
        description: row.get(11)?,
        stats: row.get::<_, Option<String>>(12)?.and_then(|text| serde_json::from_str(&text).ok()),
    };
    let is_open = matches!(run.status, BackupStatus::Pending | BackupStatus::InProgress);
    if is_open && process.is_broken_off(run.started_ms, now_ms) {
        run.status = BackupStatus::Failed;
        run.error = Some(INTERRUPTED.into());
    }
    Ok(Some(run))
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data")
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    let text: String = row.get(column)?;
    Ok(serde_json::from_str(&text).ok())
}
