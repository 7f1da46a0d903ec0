//! What to keep, as people say it.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::bucket::Period;
use crate::error::{Error, Result};
use crate::model::{Age, BackupId};

/// How many to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CountText", into = "CountText")]
pub enum Count {
    /// So many.
    Some(NonZeroU32),
    /// All.
    Unlimited,
}

impl Count {
    pub(super) fn allows(self, number: usize) -> bool {
        match self {
            Self::Some(count) => number <= count.get() as usize,
            Self::Unlimited => true,
        }
    }
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
    pub keep_last: Option<Count>,
    /// The newest of each of the newest so many hours that have one; so of the next four.
    pub keep_hourly: Option<Count>,
    #[allow(missing_docs)]
    pub keep_daily: Option<Count>,
    #[allow(missing_docs)]
    pub keep_weekly: Option<Count>,
    #[allow(missing_docs)]
    pub keep_monthly: Option<Count>,
    #[allow(missing_docs)]
    pub keep_yearly: Option<Count>,
    /// All that are so much older than the newest of the group, or less. Counted from the newest,
    /// not from now: what a machine stored last does not go because the machine is gone.
    pub keep_within: Option<Age>,
    /// The newest of each hour within that time; so of the next four.
    pub keep_within_hourly: Option<Age>,
    #[allow(missing_docs)]
    pub keep_within_daily: Option<Age>,
    #[allow(missing_docs)]
    pub keep_within_weekly: Option<Age>,
    #[allow(missing_docs)]
    pub keep_within_monthly: Option<Age>,
    #[allow(missing_docs)]
    pub keep_within_yearly: Option<Age>,
    /// Those that have all tags of any of these sets.
    pub keep_tags: Vec<Vec<String>>,
    /// These.
    pub keep_ids: Vec<BackupId>,
    /// All of the last so many days, counted from now, and the newest of each series however old.
    /// Older ones go unless another rule keeps them.
    pub retention_days: Option<NonZeroU32>,
}

impl RetentionPolicy {
    /// How many of each period.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Period, Count)> {
        let counts = [
            self.keep_hourly,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_yearly,
        ];
        Period::ALL.into_iter().zip(counts).filter_map(|(period, count)| Some((period, count?)))
    }

    /// Within which time one of each period.
    pub(super) fn withins(&self) -> impl Iterator<Item = (Period, Age)> {
        let ages = [
            self.keep_within_hourly,
            self.keep_within_daily,
            self.keep_within_weekly,
            self.keep_within_monthly,
            self.keep_within_yearly,
        ];
        Period::ALL.into_iter().zip(ages).filter_map(|(period, age)| Some((period, age?)))
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses what nobody can mean.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the options: none at all, one that keeps nothing, one beside
    /// which the others say nothing.
    pub fn check(&self) -> Result<()> {
        if self.is_empty() {
            return Err(Error::usage_hint(
                "no rule says what to keep",
                "give at least one `--keep-...` option, or name the snapshots to forget",
            ));
        }
        if self.keep_within.is_some_and(|age| age.is_zero()) {
            return Err(keeps_nothing("--keep-within"));
        }
        if let Some((period, _)) = self.withins().find(|(_, age)| age.is_zero()) {
            return Err(keeps_nothing(&format!("--keep-within-{period}")));
        }
        if self.keep_tags.iter().any(|tags| tags.is_empty() || tags.iter().any(String::is_empty)) {
            return Err(Error::usage_hint(
                "`--keep-tag` names an empty tag",
                "give the tags as `a` or `a,b`",
            ));
        }
        let others = Self { keep_last: None, ..self.clone() };
        if self.keep_last == Some(Count::Unlimited) && !others.is_empty() {
            return Err(Error::usage_hint(
                "`--keep-last unlimited` keeps everything, so the other rules contradict it",
                "leave out one or the other",
            ));
        }
        Ok(())
    }
}

/// As options of the command line: `--keep-last 3 --keep-within-daily 30d`.
impl fmt::Display for RetentionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options: Vec<String> = Vec::new();
        options.extend(self.keep_last.map(|count| format!("--keep-last {count}")));
        options.extend(self.counts().map(|(period, count)| format!("--keep-{period} {count}")));
        options.extend(self.keep_within.map(|age| format!("--keep-within {age}")));
        options.extend(self.withins().map(|(period, age)| format!("--keep-within-{period} {age}")));
        options.extend(self.keep_tags.iter().map(|tags| format!("--keep-tag {}", tags.join(","))));
        options.extend(self.keep_ids.iter().map(|id| format!("--keep-id {}", id.short())));
        options.extend(self.retention_days.map(|days| format!("--retention-days {days}")));
        f.write_str(&options.join(" "))
    }
}

fn keeps_nothing(option: &str) -> Error {
    Error::usage_hint(format!("`{option} 0` keeps nothing"), "leave the option out")
}
