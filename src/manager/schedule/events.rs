//! What a scheduler tells of.

use std::sync::Arc;

use crate::model::BackupId;

/// Is told what a [`Scheduler`](super::Scheduler) does, from its threads: it must be quick.
pub type EventSink = Arc<dyn Fn(&ScheduleEvent) + Send + Sync>;

/// Something that happened. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScheduleEvent {
    /// A run has started.
    Started {
        /// Of which schedule.
        schedule_id: String,
        /// 1 for the first attempt.
        attempt: u32,
        /// When it was due.
        due_ms: i64,
    },
    /// A run succeeded.
    Succeeded {
        /// Of which schedule.
        schedule_id: String,
        /// The backup that it made.
        backup_id: Option<BackupId>,
        /// Older backups of this schedule that it forgot.
        forgotten: Vec<BackupId>,
    },
    /// An attempt failed.
    Failed {
        /// Of which schedule.
        schedule_id: String,
        /// 1 for the first attempt.
        attempt: u32,
        /// Why.
        error: String,
        /// When the next attempt is made; `None` if it is given up until the next regular run.
        retry_ms: Option<i64>,
    },
    /// A run was stopped with the scheduler. The next scheduler makes it again.
    Stopped {
        /// Of which schedule.
        schedule_id: String,
    },
    /// Something that a person should know of; runs go on.
    Warning {
        /// Of which schedule, if of one.
        schedule_id: Option<String>,
        /// What.
        message: String,
    },
}
