//! What to back up when.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::BackupStrategy;

/// A backup that repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSchedule {
    /// Its id.
    pub schedule_id: String,
    /// Whether it runs.
    pub enabled: bool,
    /// Hours between two runs; 0 if [`BackupSchedule::cron`] says when.
    pub interval_hours: u32,
    /// Which kind of backup it makes.
    pub backup_type: BackupStrategy,
    /// Days for which each of its backups is kept, beside whatever else keeps it; 0 forgets none.
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
}
