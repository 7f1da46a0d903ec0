//! What to do when.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BackupStrategy, Hooks, Job, RetentionPolicy};

/// A job that repeats; a backup, if nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct BackupSchedule {
    /// Its id.
    pub schedule_id: String,
    /// Whether it runs.
    pub enabled: bool,
    /// Hours between two runs; 0 if [`BackupSchedule::cron`] says when.
    pub interval_hours: u32,
    /// Which kind of backup it makes.
    pub backup_type: BackupStrategy,
    /// Days for which each of its backups is kept, beside whatever else keeps it; 0 forgets none,
    /// unless [`BackupSchedule::keep`] does.
    pub retention_days: u32,
    /// How often a run that failed is tried again.
    pub max_retries: u32,
    /// Whether it refuses to run against a repository that is not encrypted.
    pub encryption_enabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// A cron expression of five or six fields, or `@daily` and its like; `None` if the interval
    /// counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The IANA name of the time zone that the cron expression is meant in; `None` is the
    /// machine's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// What people call it; no two of a repository have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it does.
    #[serde(default, skip_serializing_if = "Job::is_default")]
    pub job: Job,
    /// Each run of a cron expression is up to so many minutes late. How many is drawn once for
    /// each schedule and machine, so that many machines do not start at the same moment.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub spread_minutes: u32,
    /// Limits of its transfers: `2M`, `up 1M down 4M`, or a plan such as
    /// `08:00-18:00 2M, else unlimited`. The lower of these and the repository's own counts. They
    /// hold while a run goes on, for all that goes on with the repository then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<String>,
    /// Commands around each attempt.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// What is kept of its own backups; without any rule, and without
    /// [`BackupSchedule::retention_days`], all.
    #[serde(default, skip_serializing_if = "is_default_policy")]
    #[cfg_attr(feature = "serve", schema(value_type = Object))]
    pub keep: RetentionPolicy,
    /// A backup that is older than so many hours while no newer good one of its series came is
    /// missing one. `None`: nobody is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_hours: Option<u32>,
    /// Of what is due at the same time, the highest is first.
    #[serde(default, skip_serializing_if = "is_zero_signed")]
    pub priority: i32,
    /// The profile file that it was made from, which says what it is; `None`: made by a person or
    /// a program, who may change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

impl BackupSchedule {
    /// What people call it; else what it does.
    pub fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.job.to_string())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero_signed(value: &i32) -> bool {
    *value == 0
}

fn is_default_policy(keep: &RetentionPolicy) -> bool {
    *keep == RetentionPolicy::default()
}
