//! A schedule as people write it: in a profile, on the command line, to a program.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{BackupStrategy, Hooks, Job, RetentionPolicy};

/// A schedule that is wanted. Names of fields may be written with `-` or `_`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleSpec {
    /// What people call it; no two of a repository have the same. One in a profile has to have it.
    pub name: Option<String>,
    /// What is not said is as in this preset.
    pub preset: Option<Preset>,
    /// When it runs: `6h`, `@daily`, `30 2 * * *`, `TZ=Europe/Berlin 0 22 * * 5`.
    pub when: Option<String>,
    /// In place of `when`: a cron expression.
    pub cron: Option<String>,
    /// In place of `when`: hours between two runs; 0 as if it were not said.
    #[serde(alias = "interval-hours")]
    pub interval_hours: Option<u32>,
    /// The IANA name of the time zone that a cron expression is meant in.
    #[serde(alias = "time-zone")]
    pub time_zone: Option<String>,
    /// Whether it runs; otherwise it is made paused.
    pub enabled: bool,
    /// What it does: a backup, if nothing is said.
    pub job: Job,
    /// Which kind of backup it makes.
    #[serde(alias = "backup-type", alias = "strategy")]
    pub backup_type: BackupStrategy,
    /// Days for which each of its backups is kept, beside whatever else keeps it.
    #[serde(alias = "retention-days")]
    pub retention_days: u32,
    /// What is kept of its own backups.
    #[cfg_attr(feature = "serve", schema(value_type = Option<Object>))]
    pub keep: Option<RetentionPolicy>,
    /// How often a run that failed is tried again.
    #[serde(alias = "max-retries")]
    pub max_retries: u32,
    /// Whether it refuses to run against a repository that is not encrypted. `None`: if this one
    /// is.
    #[serde(alias = "encryption-enabled")]
    pub encryption_enabled: Option<bool>,
    /// Minutes that runs are spread over.
    #[serde(alias = "spread-minutes")]
    pub spread_minutes: Option<u32>,
    /// Limits of transfers while it goes on, of other jobs of the repository too.
    pub bandwidth: Option<String>,
    /// Commands around each attempt.
    pub hooks: Hooks,
    /// Hours after which a backup is missing.
    #[serde(alias = "rpo-hours")]
    pub rpo_hours: Option<u32>,
    /// Of what is due at the same time, the highest is first.
    pub priority: i32,
}

impl Default for ScheduleSpec {
    fn default() -> Self {
        Self {
            name: None,
            preset: None,
            when: None,
            cron: None,
            interval_hours: None,
            time_zone: None,
            enabled: true,
            job: Job::default(),
            backup_type: BackupStrategy::default(),
            retention_days: 0,
            keep: None,
            max_retries: 3,
            encryption_enabled: None,
            spread_minutes: None,
            bandwidth: None,
            hooks: Hooks::default(),
            rpo_hours: None,
            priority: 0,
        }
    }
}

/// Times and keep rules that go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Every hour; all of two days are kept, then one of each hour of a week, each day of a month,
    /// each week of three months and each month of a year: going back to any hour of last week.
    Hourly,
    /// Every night at some time between 1:00 and 3:00; two weeks of days, two months of weeks and
    /// a year of months are kept.
    Daily,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Hourly, Self::Daily];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
        }
    }

    /// When it runs.
    pub fn when(self) -> &'static str {
        match self {
            Self::Hourly => "@hourly",
            Self::Daily => "0 1 * * *",
        }
    }

    /// Minutes that runs are spread over.
    pub fn spread_minutes(self) -> u32 {
        match self {
            Self::Hourly => 10,
            Self::Daily => 120,
        }
    }

    /// Hours after which a backup is missing.
    pub fn rpo_hours(self) -> u32 {
        match self {
            Self::Hourly => 3,
            Self::Daily => 50,
        }
    }

    /// What is kept.
    pub fn keep(self) -> RetentionPolicy {
        let age = |text: &str| text.parse().ok();
        match self {
            Self::Hourly => RetentionPolicy {
                keep_within: age("2d"),
                keep_within_hourly: age("7d"),
                keep_within_daily: age("1m"),
                keep_within_weekly: age("3m"),
                keep_within_monthly: age("1y"),
                ..RetentionPolicy::default()
            },
            Self::Daily => RetentionPolicy {
                keep_within_daily: age("14d"),
                keep_within_weekly: age("2m"),
                keep_within_monthly: age("1y"),
                ..RetentionPolicy::default()
            },
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|preset| preset.as_str() == text);
        named.ok_or_else(|| format!("`{text}` is no preset: there are `hourly` and `daily`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CheckJob;

    #[test]
    fn schedules_are_read_as_people_write_them() {
        let toml = "name = 'look'\nwhen = '@weekly'\nmax-retries = 1\nspread_minutes = 30\n\
                    job = { kind = 'check', period-days = 30 }\n\
                    keep = { keep-daily = 7 }\n[hooks]\nbefore = { command = 'true' }\n";
        let spec: ScheduleSpec = toml::from_str(toml).expect("a schedule");
        assert_eq!((spec.name.as_deref(), spec.max_retries), (Some("look"), 1));
        assert_eq!(spec.job, Job::Check(CheckJob { period_days: Some(30) }));
        assert!(spec.enabled && spec.keep.is_some_and(|keep| keep.keep_daily.is_some()));
        assert_eq!(spec.spread_minutes, Some(30));
        let error = toml::from_str::<ScheduleSpec>("wen = '@daily'").expect_err("no such field");
        assert!(error.to_string().contains("wen"), "{error}");
    }

    #[test]
    fn presets_keep_something() {
        for preset in Preset::ALL {
            assert_eq!(preset.as_str().parse(), Ok(preset));
            preset.keep().check().expect("rules that make sense");
            assert!(preset.keep().withins().count() >= 3);
        }
    }
}
