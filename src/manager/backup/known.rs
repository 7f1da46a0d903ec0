//! All backups that there are: the repository's snapshots, and the runs without one.

use std::sync::Arc;

use super::BackupManager;
use super::record::{of_run, of_snapshot};
use crate::error::{Error, Result};
use crate::manager::history::{Run, RunQuery};
use crate::model::{Backup, BackupId, BackupStatus};
use crate::repository::{Snapshot, SnapshotList};
use crate::tree::SnapshotFilter;

/// Snapshots, and the runs of this machine that have none.
pub(super) struct Known {
    pub(super) list: Arc<SnapshotList>,
    /// Newest first. Neither those whose snapshot is there nor those whose snapshot was deleted.
    pub(super) runs: Vec<Run>,
    /// Runs that completed and whose snapshot was deleted since.
    pub(super) deleted: u64,
}

impl BackupManager {
    /// Snapshots and runs. A history that cannot be read counts as empty, with a warning.
    pub(super) fn known(&self) -> Result<Known> {
        // In this order: a run that ends meanwhile has its snapshot in the list.
        let runs = self.remembered_runs();
        let list = self.snapshot_list()?;
        let (mut known, mut deleted) = (Vec::new(), 0);
        let there: std::collections::HashSet<BackupId> =
            list.snapshots.iter().map(|snapshot| snapshot.id).collect();
        let forgotten: std::collections::HashSet<BackupId> =
            list.forgotten.iter().map(|gone| gone.snapshot.id).collect();
        for mut run in runs {
            if there.contains(&run.backup_id) {
                continue;
            }
            if forgotten.contains(&run.backup_id) {
                deleted += 1;
                continue;
            }
            if run.status == BackupStatus::Completed {
                let Some(error) = lost_record(&run, &list) else {
                    deleted += 1;
                    continue;
                };
                run.status = BackupStatus::Failed;
                run.error = Some(format!("its snapshot cannot be read any more: {error}"));
            }
            known.push(run);
        }
        Ok(Known { list, runs: known, deleted })
    }

    fn remembered_runs(&self) -> Vec<Run> {
        let now_ms = self.options().runtime.clock.now_ms();
        self.run_history().list(&RunQuery::default(), now_ms).unwrap_or_else(|error| {
            self.database().warn(format!("failed runs are not listed: {}", error.in_full()));
            Vec::new()
        })
    }

    /// The record of a backup.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no backup of this id, or no more; the storage's.
    pub fn backup(&self, id: BackupId) -> Result<Backup> {
        let known = self.known()?;
        let encryption = self.encryption();
        if let Some(snapshot) = known.list.snapshots.iter().find(|snapshot| snapshot.id == id) {
            return Ok(of_snapshot(snapshot, encryption));
        }
        let run = known.runs.into_iter().find(|run| run.backup_id == id);
        run.map(|run| of_run(run, encryption)).ok_or_else(|| no_backup(id))
    }

    /// The snapshot of a completed backup.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none of this id, or no more; the storage's.
    pub fn snapshot(&self, id: BackupId) -> Result<Snapshot> {
        let list = self.snapshot_list()?;
        let found = list.snapshots.iter().find(|snapshot| snapshot.id == id);
        found.cloned().ok_or_else(|| no_snapshot(id))
    }

    /// The snapshots that are meant, oldest first.
    ///
    /// # Errors
    /// The storage's.
    pub fn snapshots(&self, filter: &SnapshotFilter) -> Result<Vec<Snapshot>> {
        let list = self.snapshot_list()?;
        let fitting = list.snapshots.iter().filter(|snapshot| filter.fits(snapshot));
        Ok(fitting.cloned().collect())
    }
}

/// Why the record of a run's snapshot cannot be read, if it is there at all.
pub(super) fn lost_record<'l>(run: &Run, list: &'l SnapshotList) -> Option<&'l Error> {
    let name = run.stats.as_ref()?.object_name.as_deref()?;
    list.bad.iter().find(|error| match error {
        Error::Damaged { object, .. } => object == name,
        Error::Storage(error) => error.object == name,
        _ => false,
    })
}

pub(super) fn no_backup(id: BackupId) -> Error {
    Error::NotFound { what: "backup", name: id.to_string() }
}

pub(super) fn no_snapshot(id: BackupId) -> Error {
    Error::NotFound { what: "snapshot", name: id.to_string() }
}
