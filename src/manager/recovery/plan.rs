//! What a recovery would do.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::points::time_of;
use super::{RecoveryManager, RecoveryRequest};
use crate::error::Result;
use crate::model::BackupId;
use crate::restore::{RestoreOptions, RestoreReport, restore, room_for};

/// What a recovery would do, as the target is now. Entries are files, folders, links and all else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct RecoveryPlan {
    /// The backup that files would come from.
    pub backup_id: BackupId,
    /// Its time.
    pub timestamp: Timestamp,
    /// Entries that are not there and would be made.
    pub create: u64,
    /// Entries that are there and would become what the snapshot has.
    pub replace: u64,
    /// Entries that are there with the right content.
    pub unchanged: u64,
    /// Entries that would stay as they are because of the overwrite mode.
    pub skip: u64,
    /// Entries that would be restored beside what is there.
    pub keep_both: u64,
    /// Entries that somebody would be asked about.
    pub ask: u64,
    /// Entries that would be removed.
    pub delete: u64,
    /// Entries that cannot be restored, as far as that is seen without reading their content.
    pub fail: u64,
    /// Regular files that would be as in the snapshot then.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that would be written.
    pub bytes_to_write: u64,
    /// Bytes that the target would take up more than now, at most.
    pub room_needed: u64,
    /// Bytes that its file system has for this user.
    pub room_available: u64,
    /// The same as a report, with what cannot be restored by name.
    #[serde(skip)]
    pub report: RestoreReport,
}

impl RecoveryPlan {
    /// Whether the target has room for it.
    pub fn has_room(&self) -> bool {
        self.room_needed <= self.room_available
    }
}

impl RecoveryManager {
    /// What [`RecoveryManager::restore`] would do, without doing it. Each entry is told to the
    /// progress as a detail.
    ///
    /// # Errors
    /// As [`RecoveryManager::restore`], but that the lack of room is part of the plan.
    pub fn plan(&self, request: &RecoveryRequest) -> Result<RecoveryPlan> {
        let runtime = self.runtime_of(request);
        let snapshot = self.choose(&request.point, &runtime)?;
        let options = RestoreOptions { dry_run: true, ..self.options_of(request)? };
        let repository = self.manager.repository();
        let report = restore(repository, &snapshot, &options, &runtime)?;
        let room = room_for(repository, &snapshot, &options, &runtime.cancel)?;
        Ok(RecoveryPlan {
            backup_id: snapshot.id,
            timestamp: time_of(&snapshot),
            create: report.created,
            replace: report.replaced,
            unchanged: report.unchanged,
            skip: report.skipped,
            keep_both: report.kept_both,
            ask: report.undecided,
            delete: report.deleted,
            fail: report.failed,
            files: report.files,
            bytes: report.bytes,
            bytes_to_write: report.bytes_written,
            room_needed: room.needed,
            room_available: room.available,
            report,
        })
    }
}
