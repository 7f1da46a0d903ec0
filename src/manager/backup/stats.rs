//! Statistics over all backups.

use std::sync::Arc;

use super::BackupManager;
use super::record::timestamp;
use crate::error::Result;
use crate::model::{BackupStats, BackupStatus};
use crate::repository::{Snapshot, SnapshotList};

impl BackupManager {
    /// How many backups there are, how large they are, how long they took and how often they failed.
    ///
    /// # Errors
    /// The storage's.
    pub fn get_backup_stats(&self) -> Result<BackupStats> {
        Ok(self.stats_with_log()?.0)
    }

    /// As [`BackupManager::get_backup_stats`], with the log that they were made from: it tells what
    /// may be missing.
    ///
    /// # Errors
    /// As [`BackupManager::get_backup_stats`].
    pub fn stats_with_log(&self) -> Result<(BackupStats, Arc<SnapshotList>)> {
        let known = self.known()?;
        self.load_index()?;
        let index = self.repository().index().stats();
        let snapshots = &known.list.snapshots;
        let failed = known.runs.iter().filter(|run| run.status == BackupStatus::Failed).count();
        let (completed, failed) = (snapshots.len() as u64 + known.deleted, failed as u64);
        let ended = completed + failed;
        let times = || snapshots.iter().map(Snapshot::time_ms);
        let stats = BackupStats {
            total_backups: snapshots.len() as u64,
            total_size: snapshots.iter().map(|snapshot| snapshot.body.bytes).sum(),
            oldest_backup: times().min().map(timestamp),
            newest_backup: times().max().map(timestamp),
            avg_backup_duration_ms: average_ms(snapshots),
            success_rate: if ended == 0 { 1.0 } else { completed as f64 / ended as f64 },
            failed_backups: failed,
            stored_size: index.data_bytes + index.meta_bytes,
        };
        Ok((stats, known.list))
    }
}

/// How long runs took on average, as far as their records tell.
fn average_ms(snapshots: &[Snapshot]) -> u64 {
    let took = |snapshot: &Snapshot| {
        u64::try_from(snapshot.body.end_ms.saturating_sub(snapshot.body.start_ms)).ok()
    };
    let all: Vec<u64> = snapshots.iter().filter_map(took).collect();
    let sum: u128 = all.iter().map(|ms| u128::from(*ms)).sum();
    u64::try_from(sum / all.len().max(1) as u128).unwrap_or(u64::MAX)
}
