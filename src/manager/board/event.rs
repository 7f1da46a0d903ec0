//! What can happen.

use jiff::Timestamp;
use serde::Serialize;

use super::job::{JobId, JobView};
use crate::manager::progress::ProgressEvent;
use crate::model::BackupId;

/// Something that happened. Its number is greater than that of everything before it, in earlier
/// processes too.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct Event {
    /// Its number.
    pub id: u64,
    /// When.
    pub time: Timestamp,
    /// The repository that it is about, by the name that the fleet gives it.
    pub repository: Option<String>,
    /// What.
    #[serde(flatten)]
    pub happening: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Happening {
    /// A job has started.
    JobStarted {
        /// The job.
        job: Box<JobView>,
    },
    /// A job goes on. Not each step is told, and only the newest of each job is kept.
    JobProgress {
        /// Which job.
        job_id: JobId,
        /// How far it is.
        progress: Box<ProgressEvent>,
    },
    /// A job has ended, well or not.
    JobEnded {
        /// The job.
        job: Box<JobView>,
    },
    /// A schedule was made, changed, paused, resumed or removed, or its next run is at another
    /// time.
    ScheduleChanged {
        /// Which schedule.
        schedule_id: String,
    },
    /// Snapshots came, went, or got other tags.
    SnapshotsChanged {
        /// The one that came, if one did.
        backup_id: Option<BackupId>,
    },
    /// A repository could not be opened or asked.
    RepositoryAway {
        /// Why.
        error: String,
    },
    /// A repository that was away answers again.
    RepositoryBack,
    /// Something needs a person.
    AlertRaised {
        /// Names the alert, as long as it lasts.
        alert_id: String,
        /// In one line.
        message: String,
    },
    /// What an alert was about is over, or a person cleared it.
    AlertCleared {
        /// Names the alert.
        alert_id: String,
    },
    /// Settings, users or tokens were changed.
    SettingsChanged,
    /// Something that a person should know of; work goes on.
    Warning {
        /// What.
        message: String,
    },
}

impl Happening {
    /// Its name, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::JobStarted { .. } => "job_started",
            Self::JobProgress { .. } => "job_progress",
            Self::JobEnded { .. } => "job_ended",
            Self::ScheduleChanged { .. } => "schedule_changed",
            Self::SnapshotsChanged { .. } => "snapshots_changed",
            Self::RepositoryAway { .. } => "repository_away",
            Self::RepositoryBack => "repository_back",
            Self::AlertRaised { .. } => "alert_raised",
            Self::AlertCleared { .. } => "alert_cleared",
            Self::SettingsChanged => "settings_changed",
            Self::Warning { .. } => "warning",
        }
    }
}
