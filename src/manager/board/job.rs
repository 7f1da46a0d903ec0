//! A job as it is shown.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::manager::progress::ProgressEvent;
use crate::model::BackupId;
use crate::runtime::Random;

/// Names a job: 16 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "serve", schema(pattern = "^[0-9a-f]{16}$", example = "8a1f0c22d9e4b7a3"))]
pub struct JobId(String);

impl JobId {
    pub(super) fn new(random: &Random) -> Self {
        Self(format!("{:016x}", random.next_u64()))
    }

    /// As it was written.
    ///
    /// # Errors
    /// [`Error::NotFound`] for what no id looks like.
    pub fn parse(text: &str) -> Result<Self> {
        let is_id = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        match is_id {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(Error::NotFound { what: "job", name: text.chars().take(40).collect() }),
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Makes a backup.
    Backup,
    /// Forgets what a policy does not keep, and gives the space back.
    Forget,
    /// Gives back space.
    Prune,
    /// Looks for damage.
    Check,
    /// Brings mirrors up to date.
    MirrorSync,
    /// Puts damage right from mirrors and parity.
    Heal,
    /// Proves with a sample that files can be brought back.
    RestoreTest,
    /// Brings files back.
    Restore,
    /// Compares the stored bytes of one backup with their hashes.
    Verify,
}

impl JobKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Backup,
        Self::Forget,
        Self::Prune,
        Self::Check,
        Self::MirrorSync,
        Self::Heal,
        Self::RestoreTest,
        Self::Restore,
        Self::Verify,
    ];

    /// Its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Forget => "forget",
            Self::Prune => "prune",
            Self::Check => "check",
            Self::MirrorSync => "mirror_sync",
            Self::Heal => "heal",
            Self::RestoreTest => "restore_test",
            Self::Restore => "restore",
            Self::Verify => "verify",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// It goes on.
    Running,
    /// It did what it was to do; there may be warnings.
    Succeeded,
    /// It did not.
    Failed,
    /// A person stopped it, or its program was asked to end.
    Cancelled,
    /// Its process ended before it did.
    Interrupted,
}

impl JobStatus {
    const ALL: [Self; 5] =
        [Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Interrupted];

    /// Its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct JobView {
    /// Its id.
    pub job_id: JobId,
    /// The repository it is about, by the name that the fleet gives it.
    pub repository: String,
    /// What it does.
    pub kind: JobKind,
    /// In a few words: the name of the schedule, the paths.
    pub title: String,
    /// The schedule that wanted it.
    pub schedule_id: Option<String>,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Who wanted it: `schedule`, or the name of a user.
    pub wanted_by: String,
    /// How far it is.
    pub status: JobStatus,
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How far it is, while it runs.
    pub progress: Option<ProgressEvent>,
    /// The backup that it made.
    pub backup_id: Option<BackupId>,
    /// Why it failed.
    pub error: Option<String>,
    /// What to try.
    pub hint: Option<String>,
    /// How many warnings its log has.
    pub warnings: u32,
    /// What it did: figures that depend on its kind.
    pub result: serde_json::Value,
}

/// What a job that succeeded did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobOutcome {
    /// The backup that it made.
    pub backup_id: Option<BackupId>,
    /// Figures that depend on its kind.
    pub result: serde_json::Value,
}

/// How much a line of a log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// What was done.
    Info,
    /// A person should know of it.
    Warning,
    /// Something was not done.
    Error,
}

/// A line of the log of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct LogLine {
    /// When.
    pub time: Timestamp,
    /// How much it matters.
    pub level: LogLevel,
    /// What.
    pub message: String,
}

/// Which jobs are meant. `Default` is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Of this repository.
    pub repository: Option<String>,
    /// Of this kind.
    pub kind: Option<JobKind>,
    /// With this status.
    pub status: Option<JobStatus>,
    /// Of this schedule.
    pub schedule_id: Option<String>,
    /// Older than the one that this page token of [`JobPage::next`] names.
    pub before: Option<u64>,
    /// So many at most.
    pub limit: usize,
}

/// Some jobs, newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<JobView>,
    /// For the next page; `None` on the last.
    pub next: Option<u64>,
}
