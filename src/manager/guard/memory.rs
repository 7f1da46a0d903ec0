//! What the guard remembers: how far a series was judged, and the steps of it, also of snapshots
//! that were forgotten since.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};

use super::judge::Step;
use crate::error::Result;
use crate::manager::history::Database;
use crate::model::RepoId;

/// Steps of a series that are remembered; the oldest go first.
const STEPS_KEPT: u32 = 1_000;

/// One series, in hex.
pub(super) struct Memory<'d> {
    database: &'d Database,
    repo_id: String,
    series: String,
}

impl<'d> Memory<'d> {
    pub(super) fn of(database: &'d Database, repository: RepoId, series: String) -> Self {
        Self { database, repo_id: repository.to_string(), series }
    }

    pub(super) fn series(&self) -> &str {
        &self.series
    }

    /// When the run of the last snapshot that was judged began.
    pub(super) fn judged_until(&self) -> Result<Option<i64>> {
        self.database.with(|connection| {
            connection
                .query_row(
                    "SELECT start_ms FROM judged WHERE repo_id = ?1 AND series = ?2",
                    [&self.repo_id, &self.series],
                    |row| row.get(0),
                )
                .optional()
        })
    }

    pub(super) fn note_judged(&self, start_ms: i64) -> Result<()> {
        self.database.with(|connection| {
            connection
                .execute(
                    "INSERT INTO judged (repo_id, series, start_ms) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (repo_id, series) DO UPDATE SET start_ms = ?3",
                    params![self.repo_id, self.series, start_ms],
                )
                .map(|_| ())
        })
    }

    /// The steps by when the run of their later snapshot began.
    pub(super) fn steps(&self) -> Result<BTreeMap<i64, Step>> {
        self.database.with(|connection| {
            let mut statement = connection.prepare(
                "SELECT start_ms, gone, changed, new, dense FROM judged_steps \
                 WHERE repo_id = ?1 AND series = ?2",
            )?;
            let steps = statement.query_map([&self.repo_id, &self.series], |row| {
                let step = Step {
                    gone: row.get(1)?,
                    changed: row.get(2)?,
                    new: row.get(3)?,
                    dense: row.get(4)?,
                };
                Ok((row.get(0)?, step))
            })?;
            steps.collect()
        })
    }

    pub(super) fn add_step(&self, start_ms: i64, step: &Step) -> Result<()> {
        self.database.transaction(|connection| {
            connection.execute(
                "INSERT OR REPLACE INTO judged_steps \
                 (repo_id, series, start_ms, gone, changed, new, dense) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    self.repo_id,
                    self.series,
                    start_ms,
                    step.gone,
                    step.changed,
                    step.new,
                    step.dense
                ],
            )?;
            connection
                .execute(
                    "DELETE FROM judged_steps WHERE repo_id = ?1 AND series = ?2 AND start_ms <= \
                     (SELECT start_ms FROM judged_steps WHERE repo_id = ?1 AND series = ?2 \
                      ORDER BY start_ms DESC LIMIT 1 OFFSET ?3)",
                    params![self.repo_id, self.series, STEPS_KEPT],
                )
                .map(|_| ())
        })
    }
}
