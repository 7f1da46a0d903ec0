//! Why a snapshot is kept, in words.

use std::fmt;

use super::bucket::Period;
use super::candidate::TimeStanding;
use crate::model::Count;
use crate::model::{Age, BackupId, format_duration};

/// One reason to keep a snapshot. Its text is what tables and JSON show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A rule of the policy keeps it.
    Rule(Rule),
    /// A rule keeps it as long as the young ones are not counted.
    WithoutYoung(Rule),
    /// It is pinned.
    Pinned,
    /// It is in quarantine, and why.
    Quarantined(String),
    /// Its session was given up by a prune, and no check has cleared it.
    Suspect,
    /// Its time cannot be believed.
    OutOfTime(TimeStanding),
    /// Storage has shown it for less than the minimum age.
    Young(Age),
    /// It was made from this one, which is kept.
    MadeFrom(BackupId),
}

/// A rule of a policy, and which place the snapshot has in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Rule {
    Last {
        number: usize,
        of: Count,
    },
    Period {
        period: Period,
        number: usize,
        of: Count,
    },
    /// There are fewer periods with a snapshot than asked for: the oldest stays until there are.
    Oldest {
        period: Period,
        found: usize,
        of: Count,
    },
    Within(Age),
    PeriodWithin {
        period: Period,
        within: Age,
    },
    Tags(Vec<String>),
    Id,
    RetentionDays(u32),
    NewestOfSeries,
}

impl Rule {
    /// Whether both come from the same option.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Period { period: a, .. }, Self::Period { period: b, .. })
            | (Self::Oldest { period: a, .. }, Self::Oldest { period: b, .. })
            | (Self::PeriodWithin { period: a, .. }, Self::PeriodWithin { period: b, .. }) => {
                a == b
            }
            (Self::Tags(a), Self::Tags(b)) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last { number, of } => write!(f, "last {}", of_count(*number, *of)),
            Self::Period { period, number, of } => {
                write!(f, "{period} {}", of_count(*number, *of))
            }
            Self::Oldest { period, found, of: Count::Some(of) } => {
                write!(f, "oldest, {period} has {found} of {of}")
            }
            Self::Oldest { period, .. } => write!(f, "oldest, {period} is unlimited"),
            Self::Within(age) => write!(f, "within {age}"),
            Self::PeriodWithin { period, within } => write!(f, "{period} within {within}"),
            Self::Tags(tags) => write!(f, "tag {}", tags.join(",")),
            Self::Id => f.write_str("named"),
            Self::RetentionDays(1) => f.write_str("of the last day"),
            Self::RetentionDays(days) => write!(f, "of the last {days} days"),
            Self::NewestOfSeries => f.write_str("newest of its series"),
        }
    }
}

fn of_count(number: usize, of: Count) -> String {
    match of {
        Count::Some(of) => format!("{number} of {of}"),
        Count::Unlimited => number.to_string(),
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => rule.fmt(f),
            Self::WithoutYoung(rule) => write!(f, "{rule}, not counting the young"),
            Self::Pinned => f.write_str("pinned"),
            Self::Quarantined(reason) if reason.is_empty() => f.write_str("quarantined"),
            Self::Quarantined(reason) => write!(f, "quarantined: {reason}"),
            Self::Suspect => f.write_str("suspect: its chunks need a check"),
            Self::OutOfTime(standing) => write!(f, "out of time: {standing}"),
            Self::Young(age) => write!(f, "younger than the minimum age ({age})"),
            Self::MadeFrom(id) => write!(f, "made from {}, which is kept", id.short()),
        }
    }
}

impl fmt::Display for TimeStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |ms: &i64| {
            format_duration(std::time::Duration::from_millis(u64::try_from(*ms).unwrap_or(0)))
        };
        match self {
            Self::InTime => f.write_str("in time"),
            Self::BackDated(ms) => {
                write!(f, "it claims to be {} older than storage knows it", shown(ms))
            }
            Self::PostDated(ms) => write!(f, "it claims to be from {} ahead of storage", shown(ms)),
            Self::Unknown => f.write_str("storage does not tell when it appeared"),
        }
    }
}
