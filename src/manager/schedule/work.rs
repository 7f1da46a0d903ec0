//! What a run of a schedule does: a backup, and then what the schedule keeps.

use std::sync::Arc;

use super::keep::{forget_old, schedule_tag};
use crate::error::{Error, Result};
use crate::manager::BackupManager;
use crate::model::{Age, BackupId, BackupSchedule, Encryption};
use crate::retention::RetentionPolicy;
use crate::runtime::{CancelToken, Runtime};

/// Does what a schedule wants done. A scheduler that is to do more than backups is given one of its
/// own ([`Scheduler::start_with`](super::Scheduler::start_with)).
pub type Work = Arc<dyn Fn(&Assignment) -> Result<Done> + Send + Sync>;

/// One attempt.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Of this schedule.
    pub schedule: BackupSchedule,
    /// 1 for the first.
    pub attempt: u32,
    /// Set when it is to end.
    pub cancel: CancelToken,
}

/// What an attempt that succeeded did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The backup that it made.
    pub backup_id: Option<BackupId>,
    /// Older backups of the schedule that were forgotten.
    pub forgotten: Vec<BackupId>,
    /// What a person should know of.
    pub warnings: Vec<String>,
}

/// A backup of the manager's sources with the tag of the schedule; then what is older than the
/// schedule keeps is forgotten.
pub(super) fn backup_work(manager: &BackupManager, keep: &RetentionPolicy, min_age: Age) -> Work {
    let (manager, keep) = (manager.clone(), keep.clone());
    Arc::new(move |assignment| {
        let schedule = &assignment.schedule;
        let mut request = manager.request(schedule.backup_type);
        request.options.tags.push(schedule_tag(&schedule.schedule_id));
        request.schedule_id = Some(schedule.schedule_id.clone());
        request.retries = assignment.attempt.saturating_sub(1);
        request.runtime.cancel = assignment.cancel.clone();
        if let Err(error) = check_encryption(&manager, schedule) {
            manager.list_refused(&request, &error);
            return Err(error);
        }
        let report = manager.create_backup_with(&request)?;
        let backup_id = report.snapshot.map(|snapshot| snapshot.id);
        let mut done = Done { backup_id, ..Done::default() };
        if report.stats.errors > 0 {
            done.warnings.push(format!("{} files could not be read", report.stats.errors));
        }
        // The backup is made: what else goes wrong is for people to look at.
        let runtime = Runtime { cancel: assignment.cancel.clone(), ..request.runtime };
        match forget_old(&manager, schedule, &keep, min_age, &runtime) {
            Ok(forgotten) => done.forgotten = forgotten,
            Err(error) => {
                done.warnings.push(format!("no older backup was forgotten: {}", error.in_full()));
            }
        }
        Ok(done)
    })
}

/// Refuses a schedule that wants encryption on a repository without.
///
/// # Errors
/// [`Error::Usage`].
pub(crate) fn check_encryption(manager: &BackupManager, schedule: &BackupSchedule) -> Result<()> {
    if schedule.encryption_enabled && manager.encryption() == Encryption::None {
        return Err(Error::usage_hint(
            "the schedule wants encryption, and the repository is not encrypted",
            "make an encrypted repository, or turn off `encryption_enabled`",
        ));
    }
    Ok(())
}
