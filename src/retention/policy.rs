//! What a policy says, rule by rule, and what nobody can mean.

use std::fmt;

use super::bucket::Period;
use crate::error::{Error, Result};
use crate::model::{Age, Count, RetentionPolicy};

impl Count {
    pub(super) fn allows(self, number: usize) -> bool {
        match self {
            Self::Some(count) => number <= count.get() as usize,
            Self::Unlimited => true,
        }
    }
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
    pub(crate) fn withins(&self) -> impl Iterator<Item = (Period, Age)> {
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
