//! What to keep, as people say it. What follows from it is decided in `retention`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Age, BackupId};

/// How many to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CountText", into = "CountText")]
pub enum Count {
    /// So many.
    Some(NonZeroU32),
    /// All.
    Unlimited,
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        match text.parse::<u32>().map(NonZeroU32::new) {
            Ok(Some(count)) => Ok(Self::Some(count)),
            Ok(None) => Err("0 keeps nothing: leave the option out".into()),
            Err(_) => Err(format!("`{text}` is not a number of snapshots or `unlimited`")),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Some(count) => fmt::Display::fmt(count, f),
            Self::Unlimited => f.pad("unlimited"),
        }
    }
}

/// A count in configuration files: a number or a word.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum CountText {
    Number(u32),
    Word(String),
}

impl TryFrom<CountText> for Count {
    type Error = String;

    fn try_from(text: CountText) -> Result<Self, String> {
        match text {
            CountText::Number(number) => number.to_string().parse(),
            CountText::Word(word) => word.parse(),
        }
    }
}

impl From<Count> for CountText {
    fn from(count: Count) -> Self {
        match count {
            Count::Some(count) => Self::Number(count.get()),
            Count::Unlimited => Self::Word("unlimited".into()),
        }
    }
}

/// What to keep of each group; what any rule keeps is kept. `Default` has no rule, and is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionPolicy {
    /// The newest so many.
    #[serde(alias = "keep-last", skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<Count>,
    /// The newest of each of the newest so many hours that have one; so of the next four.
    #[serde(alias = "keep-hourly", skip_serializing_if = "Option::is_none")]
    pub keep_hourly: Option<Count>,
    #[allow(missing_docs)]
    #[serde(alias = "keep-daily", skip_serializing_if = "Option::is_none")]
    pub keep_daily: Option<Count>,
    #[allow(missing_docs)]
    #[serde(alias = "keep-weekly", skip_serializing_if = "Option::is_none")]
    pub keep_weekly: Option<Count>,
    #[allow(missing_docs)]
    #[serde(alias = "keep-monthly", skip_serializing_if = "Option::is_none")]
    pub keep_monthly: Option<Count>,
    #[allow(missing_docs)]
    #[serde(alias = "keep-yearly", skip_serializing_if = "Option::is_none")]
    pub keep_yearly: Option<Count>,
    /// All that are so much older than the newest of the group, or less. Counted from the newest,
    /// not from now: what a machine stored last does not go because the machine is gone.
    #[serde(alias = "keep-within", skip_serializing_if = "Option::is_none")]
    pub keep_within: Option<Age>,
    /// The newest of each hour within that time; so of the next four.
    #[serde(alias = "keep-within-hourly", skip_serializing_if = "Option::is_none")]
    pub keep_within_hourly: Option<Age>,
    #[allow(missing_docs)]
    #[serde(alias = "keep-within-daily", skip_serializing_if = "Option::is_none")]
    pub keep_within_daily: Option<Age>,
    #[allow(missing_docs)]
    #[serde(alias = "keep-within-weekly", skip_serializing_if = "Option::is_none")]
    pub keep_within_weekly: Option<Age>,
    #[allow(missing_docs)]
    #[serde(alias = "keep-within-monthly", skip_serializing_if = "Option::is_none")]
    pub keep_within_monthly: Option<Age>,
    #[allow(missing_docs)]
    #[serde(alias = "keep-within-yearly", skip_serializing_if = "Option::is_none")]
    pub keep_within_yearly: Option<Age>,
    /// Those that have all tags of any of these sets.
    #[serde(alias = "keep-tags", skip_serializing_if = "Vec::is_empty")]
    pub keep_tags: Vec<Vec<String>>,
    /// These.
    #[serde(alias = "keep-ids", skip_serializing_if = "Vec::is_empty")]
    pub keep_ids: Vec<BackupId>,
    /// All of the last so many days, counted from now, and the newest of each series however old.
    /// Older ones go unless another rule keeps them.
    #[serde(alias = "retention-days", skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<NonZeroU32>,
}
