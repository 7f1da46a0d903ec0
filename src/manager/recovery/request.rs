//! What a recovery takes, and what it says in the end.

use jiff::Timestamp;
use serde::Serialize;

use crate::model::BackupId;
use crate::repository::Snapshot;
use crate::restore::{RestoreOptions, RestoreReport, VerifyBefore};
use crate::runtime::Runtime;
use crate::tree::SnapshotFilter;

/// Which state files are brought back to.
#[derive(Clone, Debug)]
pub enum Point {
    /// That of this backup.
    Backup(BackupId),
    /// That of this snapshot, which is at hand.
    Snapshot(Box<Snapshot>),
    /// That of this time: the newest recovery point that is not later.
    At {
        /// The time.
        time: Timestamp,
        /// Chooses the series.
        filter: SnapshotFilter,
    },
    /// The newest.
    Newest {
        /// Chooses the series.
        filter: SnapshotFilter,
    },
}

/// What is to be brought back, from when, to where, and how.
#[derive(Clone)]
pub struct RecoveryRequest {
    /// From when.
    pub point: Point,
    /// Only these templates, by the ids that [`RecoveryPoint::template_ids`] gives: files, or
    /// folders with all that is in them. With none, and no patterns in
    /// [`RecoveryRequest::restore`]: everything.
    ///
    /// [`RecoveryPoint::template_ids`]: crate::model::RecoveryPoint::template_ids
    pub template_ids: Vec<String>,
    /// Target, subtree, patterns, conflicts, dry run and all else.
    pub restore: RestoreOptions,
    /// What is found out before anything in the target is touched. If something that is asked for
    /// could not be restored wholly, nothing is.
    pub verify_before: VerifyBefore,
    /// Clock, progress, cancel token; `None` takes those of the manager.
    pub runtime: Option<Runtime>,
}

impl RecoveryRequest {
    /// Everything of `point` as `restore` says.
    pub fn new(point: Point, restore: RestoreOptions) -> Self {
        Self {
            point,
            template_ids: Vec::new(),
            restore,
            verify_before: VerifyBefore::None,
            runtime: None,
        }
    }
}

/// What a recovery did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecoveryReport {
    /// The backup that files came from.
    pub backup_id: BackupId,
    /// Its time.
    pub timestamp: Timestamp,
    /// Entries that were verified before anything was touched, if that was asked for.
    pub verified_before: u64,
    /// Bytes of their files.
    pub verified_before_bytes: u64,
    /// What was restored. What an earlier, interrupted run had restored already counts as
    /// unchanged.
    #[serde(flatten)]
    pub restored: RestoreReport,
}
