//! When something repeats, as people say it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The longest interval, in hours: ten years.
pub const INTERVAL_HOURS_MAX: u32 = 10 * 366 * 24;

/// Cron expressions and names of time zones are no longer.
pub(super) const TEXT_LEN_MAX: usize = 200;

/// When a schedule runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timing {
    /// So many hours after the start of the last run; the first time after the schedule was made.
    EveryHours(u32),
    /// When a cron expression says.
    Cron {
        /// Minute, hour, day of month, month, day of week; a field of seconds may stand before
        /// them. Or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
        expression: String,
        /// The IANA name of the time zone in which it is meant; `None` is the machine's.
        time_zone: Option<String>,
    },
}

impl Timing {
    /// A cron expression in the time zone of the machine.
    pub fn cron(expression: impl Into<String>) -> Self {
        Self::Cron { expression: expression.into(), time_zone: None }
    }

    /// A cron expression in the time zone of this IANA name.
    pub fn cron_in(expression: impl Into<String>, time_zone: impl Into<String>) -> Self {
        Self::Cron { expression: expression.into(), time_zone: Some(time_zone.into()) }
    }
}

/// That many hours.
impl From<u32> for Timing {
    fn from(hours: u32) -> Self {
        Self::EveryHours(hours)
    }
}

/// Reads what [`FromStr`] reads, and leaves what it cannot read to the one who takes it: there it
/// is refused as a cron expression.
impl From<&str> for Timing {
    fn from(text: &str) -> Self {
        text.parse().unwrap_or_else(|_| Self::cron(text))
    }
}

impl FromStr for Timing {
    type Err = Error;

    /// Reads `6h`, `2d` or a number of hours; else a cron expression, in front of which
    /// `TZ=Europe/Berlin` may stand. Whether there is such a time is not looked at here.
    fn from_str(text: &str) -> Result<Self> {
        let text = text.trim();
        let (number, hours_each) = match text.strip_suffix(['h', 'd']) {
            Some(number) if text.ends_with('d') => (number, 24),
            Some(number) => (number, 1),
            None => (text, 1),
        };
        if let Ok(number) = number.trim().parse::<u32>() {
            let hours = number.checked_mul(hours_each).filter(|hours| *hours > 0);
            let hours = hours.filter(|hours| *hours <= INTERVAL_HOURS_MAX);
            return hours.map(Self::EveryHours).ok_or_else(|| interval_out_of_range(text));
        }
        if let Some(rest) = text.strip_prefix("TZ=") {
            let (zone, expression) =
                rest.split_once(char::is_whitespace).ok_or_else(|| no_timing(text))?;
            return Ok(Self::cron_in(expression.trim(), zone));
        }
        match text.starts_with('@') || text.split_whitespace().count() > 1 {
            true => Ok(Self::cron(text)),
            false => Err(no_timing(text)),
        }
    }
}

/// As [`FromStr`] reads it.
impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EveryHours(hours) => write!(f, "{hours}h"),
            Self::Cron { expression, time_zone: None } => f.write_str(expression),
            Self::Cron { expression, time_zone: Some(zone) } => write!(f, "TZ={zone} {expression}"),
        }
    }
}

pub(super) fn interval_out_of_range(what: impl fmt::Display) -> Error {
    Error::usage_hint(
        format!("`{what}` is no interval"),
        format!("give 1 to {INTERVAL_HOURS_MAX} hours"),
    )
}

fn no_timing(text: &str) -> Error {
    Error::usage_hint(
        format!("`{text}` does not say when"),
        "times look like `6h`, `@daily`, `30 2 * * *` (2:30 every day), `TZ=Europe/Berlin 0 22 * * 5`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, want) in [
            ("6h", Timing::EveryHours(6)),
            ("24", Timing::EveryHours(24)),
            ("2d", Timing::EveryHours(48)),
            ("@daily", Timing::cron("@daily")),
            ("30 2 * * *", Timing::cron("30 2 * * *")),
            ("TZ=Europe/Berlin 0 22 * * 5", Timing::cron_in("0 22 * * 5", "Europe/Berlin")),
        ] {
            let timing: Timing = text.parse().expect("a time");
            assert_eq!(timing, want);
            assert_eq!(timing.to_string().parse::<Timing>().expect("a time"), want);
        }
        for wrong in ["", "0h", "0", "soon", "TZ=UTC", "999999999h", "4000000000d", "-3"] {
            assert!(wrong.parse::<Timing>().is_err(), "{wrong}");
        }
        assert_eq!(Timing::from(7), Timing::EveryHours(7));
    }
}
