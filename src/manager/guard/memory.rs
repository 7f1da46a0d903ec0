//! What the guard remembers: which snapshots of a series it has judged, and how much each differed
//! from the one before it, also those that were forgotten since.

use std::collections::HashMap;

use rusqlite::params;

use super::judge::Step;
use crate::error::Result;
use crate::manager::history::Database;
use crate::model::{BackupId, RepoId};

/// Steps of a series that are remembered beside those of snapshots that are there; the oldest go
/// first.
const STEPS_KEPT: usize = 1_000;

/// A step of a series, by its later snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) time_ms: i64,
    pub(super) step: Step,
}

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

    /// The steps that were judged.
    pub(super) fn steps(&self) -> Result<HashMap<BackupId, Known>> {
        self.database.with(|connection| {
            let mut statement = connection.prepare(
                "SELECT backup_id, time_ms, gone, changed, new, dense FROM judged_steps \
                 WHERE repo_id = ?1 AND series = ?2",
            )?;
            let steps = statement.query_map([&self.repo_id, &self.series], |row| {
                let step = Step {
                    gone: row.get(2)?,
                    changed: row.get(3)?,
                    new: row.get(4)?,
                    dense: row.get(5)?,
                };
                let id = BackupId::from_hex(&row.get::<_, String>(0)?);
                Ok(id.map(|id| Ok((id, Known { time_ms: row.get(1)?, step }))).transpose())
            })?;
            // What no version of this program wrote is no step.
            steps.filter_map(|one| one.and_then(|found| found).transpose()).collect()
        })
    }

    /// Remembers steps. Of those before, `gone` are of snapshots that are not there any more.
    pub(super) fn add(
        &self,
        steps: &[(BackupId, Known)],
        mut gone: Vec<(BackupId, Known)>,
    ) -> Result<()> {
        gone.sort_by_key(|(_, known)| std::cmp::Reverse(known.time_ms));
        let too_old = gone.get(STEPS_KEPT..).unwrap_or_default();
        self.database.transaction(|connection| {
            let mut add = connection.prepare(
                "INSERT OR REPLACE INTO judged_steps \
                 (repo_id, series, backup_id, time_ms, gone, changed, new, dense) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            for (id, Known { time_ms, step }) in steps {
                let Step { gone, changed, new, dense } = step;
                let id = id.to_string();
                let key = (&self.repo_id, &self.series, &id);
                add.execute(params![key.0, key.1, key.2, time_ms, gone, changed, new, dense])?;
            }
            let mut remove = connection.prepare(
                "DELETE FROM judged_steps WHERE repo_id = ?1 AND series = ?2 AND backup_id = ?3",
            )?;
            too_old.iter().try_for_each(|(id, _)| {
                remove.execute([&self.repo_id, &self.series, &id.to_string()]).map(|_| ())
            })
        })
    }
}
