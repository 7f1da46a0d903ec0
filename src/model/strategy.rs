//! The three kinds of backup.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which earlier snapshot tells what may be skipped while reading. Every backup is a complete
/// snapshot, whatever its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum BackupStrategy {
    /// None: every file is read.
    Full,
    /// The newest completed snapshot of the series.
    #[default]
    Incremental,
    /// The newest completed full snapshot of the series.
    Differential,
}

impl BackupStrategy {
    /// The name used on the command line, in JSON and in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
            Self::Differential => "differential",
        }
    }
}

impl fmt::Display for BackupStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for BackupStrategy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "full" => Ok(Self::Full),
            "incremental" => Ok(Self::Incremental),
            "differential" => Ok(Self::Differential),
            _ => Err(format!("`{text}` is not full, incremental or differential")),
        }
    }
}
