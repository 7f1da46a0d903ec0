//! From snapshots and remembered runs to [`Backup`] records.

use jiff::Timestamp;

use crate::manager::history::Run;
use crate::model::{Backup, BackupStatus, Encryption};
use crate::repository::Snapshot;
use crate::tree::shown_roots;

/// The time of a record. What is outside of all calendars becomes their first or last moment.
pub(super) fn timestamp(ms: i64) -> Timestamp {
    let end = if ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(ms).unwrap_or(end)
}

/// A completed backup: all of it is in the snapshot.
pub(super) fn of_snapshot(snapshot: &Snapshot, encryption: Encryption) -> Backup {
    let body = &snapshot.body;
    Backup {
        backup_id: snapshot.id,
        timestamp: timestamp(body.start_ms),
        backup_type: snapshot.strategy(),
        template_count: body.files,
        total_size: body.bytes,
        compressed_size: body.added_stored,
        encryption,
        checksum: Some(snapshot.record),
        parent_backup_id: body.parent.as_ref().map(|parent| parent.id),
        status: BackupStatus::Completed,
        error: None,
        finished: Some(timestamp(body.end_ms)),
        object_name: Some(snapshot.object_name.clone()),
        host: snapshot.host.clone(),
        sources: shown_roots(snapshot),
        tags: body.tags.clone(),
        description: body.description.clone(),
        errors: body.error_count,
        pinned: snapshot.pinned,
    }
}

/// A run without a snapshot: all that is known of it is what this machine remembers.
pub(super) fn of_run(run: Run, encryption: Encryption) -> Backup {
    let stats = run.stats.unwrap_or_default();
    Backup {
        backup_id: run.backup_id,
        timestamp: timestamp(run.started_ms),
        backup_type: run.strategy,
        template_count: stats.files,
        total_size: stats.bytes,
        compressed_size: stats.bytes_stored,
        encryption,
        checksum: None,
        parent_backup_id: None,
        status: run.status,
        error: run.error,
        finished: run.finished_ms.map(timestamp),
        object_name: stats.object_name,
        host: run.host,
        sources: run.sources,
        tags: run.tags,
        description: run.description,
        errors: stats.errors,
        pinned: false,
    }
}
