//! One message.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub enum NoticeEvent {
    /// A job has begun. For pings only.
    Start,
    /// A job succeeded.
    Success,
    /// A job failed, or a repository cannot be opened.
    Failure,
    /// What had failed works again, or what an alert was about is over.
    Recovery,
    /// There is no good snapshot that is as new as it should be.
    Missing,
    /// A check found damage.
    Damage,
    /// Little room is left.
    LowSpace,
    /// A snapshot differs from all before it.
    Anomaly,
    /// Somebody tries whether messages arrive.
    Test,
}

impl NoticeEvent {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Start,
        Self::Success,
        Self::Failure,
        Self::Recovery,
        Self::Missing,
        Self::Damage,
        Self::LowSpace,
        Self::Anomaly,
        Self::Test,
    ];

    /// What a channel tells of if nothing else is said.
    pub const USUAL: [Self; 6] =
        [Self::Failure, Self::Recovery, Self::Missing, Self::Damage, Self::LowSpace, Self::Anomaly];

    /// Its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Recovery => "recovery",
            Self::Missing => "missing",
            Self::Damage => "damage",
            Self::LowSpace => "low_space",
            Self::Anomaly => "anomaly",
            Self::Test => "test",
        }
    }
}

/// Its name.
impl fmt::Display for NoticeEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Reads its name.
impl FromStr for NoticeEvent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|event| event.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is nothing that is told of"))
    }
}

/// A message, as web hooks and commands get it in JSON, and templates as their variables. Fields
/// are only ever added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Its id, the same however often it is sent: 16 hex digits.
    pub id: String,
    /// What it is about.
    pub event: NoticeEvent,
    /// When that happened.
    pub time: Timestamp,
    /// The machine that says so.
    pub host: String,
    /// The repository that it is about, by its name; may be empty.
    pub repository: String,
    /// What it is about, in a few words.
    pub title: String,
    /// What happened, in one line.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The schedule that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_id: Option<String>,
    /// The kind of job that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_kind: Option<String>,
    /// The alert that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_id: Option<String>,
    /// The job that it is about, with its figures.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub job: serde_json::Value,
    /// Messages that were held back because there were too many, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_back: Vec<Notice>,
}
