//! Lengths of time as retention takes them: `7d`, `1y6m`, `24h`.

use std::fmt;
use std::str::FromStr;

use jiff::{Span, Timestamp, Zoned};
use serde::{Deserialize, Serialize};

/// No count of a unit is larger, so that every calendar can hold it.
const COUNT_MAX: u32 = 19_000;

/// More days than calendars have.
const DAYS_MAX: u32 = 7_000_000;

/// A length of time in calendar units: a month is as long as the calendar says, a day has the 23
/// to 25 hours that the local clock gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Age {
    years: u32,
    months: u32,
    weeks: u32,
    days: u32,
    hours: u32,
    minutes: u32,
    seconds: u32,
}

impl Age {
    /// So many days; more than calendars have are as many as they have.
    pub const fn days(days: u32) -> Self {
        Self { days: if days < DAYS_MAX { days } else { DAYS_MAX }, ..Self::zero() }
    }

    /// So many hours.
    pub const fn hours(hours: u32) -> Self {
        Self { hours: if hours < DAYS_MAX { hours } else { DAYS_MAX }, ..Self::zero() }
    }

    /// No time at all.
    pub const fn zero() -> Self {
        Self { years: 0, months: 0, weeks: 0, days: 0, hours: 0, minutes: 0, seconds: 0 }
    }

    /// Whether it is no time at all.
    pub fn is_zero(&self) -> bool {
        *self == Self::zero()
    }

    /// The moment this long before `now`, on the local clock of `now`; the first moment there is
    /// if that lies before all time.
    pub fn before(&self, now: &Zoned) -> Timestamp {
        let span = Span::new()
            .years(self.years)
            .months(self.months)
            .weeks(self.weeks)
            .days(self.days)
            .hours(self.hours)
            .minutes(self.minutes)
            .seconds(self.seconds);
        now.checked_sub(span).map_or(Timestamp::MIN, |then| then.timestamp())
    }

    fn parts(&self) -> [(u32, &'static str); 7] {
        [
            (self.years, "y"),
            (self.months, "mo"),
            (self.weeks, "w"),
            (self.days, "d"),
            (self.hours, "h"),
            (self.minutes, "min"),
            (self.seconds, "s"),
        ]
    }
}

/// `1y6mo`, `24h`; what [`FromStr`] reads.
impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: String = self
            .parts()
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, unit)| format!("{count}{unit}"))
            .collect();
        f.pad(if parts.is_empty() { "0d" } else { &parts })
    }
}

impl FromStr for Age {
    type Err = String;

    /// Reads `7d`, `1y6m`, `2 weeks`. `m` means months, as in other tools; minutes are `min`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a length of time; such are `24h`, `7d`, `2w`, `1y6m` \
                 (m: months, min: minutes)"
            )
        };
        let mut age = Self::zero();
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(age);
        }
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let count: u32 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = rest[digits..].trim_start();
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let unit = rest[..letters].to_ascii_lowercase();
            rest = rest[letters..].trim_start_matches([' ', ',']);
            let field = match unit.as_str() {
                "y" | "yr" | "year" | "years" => &mut age.years,
                "m" | "mo" | "month" | "months" => &mut age.months,
                "w" | "week" | "weeks" => &mut age.weeks,
                "d" | "day" | "days" => &mut age.days,
                "h" | "hr" | "hour" | "hours" => &mut age.hours,
                "min" | "minute" | "minutes" => &mut age.minutes,
                "s" | "sec" | "second" | "seconds" => &mut age.seconds,
                _ => return Err(wrong()),
            };
            if *field != 0 || count > COUNT_MAX {
                return Err(wrong());
            }
            *field = count;
        }
        Ok(age)
    }
}

impl TryFrom<String> for Age {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Age> for String {
    fn from(age: Age) -> Self {
        age.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn before(text: &str, now: &str, zone: &str) -> String {
        let zone = TimeZone::get(zone).expect("a zone");
        let now = now.parse::<Timestamp>().expect("a time").to_zoned(zone);
        text.parse::<Age>().expect(text).before(&now).to_string()
    }

    #[test]
    fn lengths_are_read_and_written() {
        for (text, shown) in [
            ("7d", "7d"),
            ("1y6m", "1y6mo"),
            ("2 weeks", "2w"),
            ("1 year, 2 months 3h", "1y2mo3h"),
            ("90min", "90min"),
            ("0", "0d"),
            ("0d", "0d"),
        ] {
            assert_eq!(text.parse::<Age>().expect(text).to_string(), shown);
        }
        for text in ["", "d", "7", "7x", "-1d", "1d1d", "1.5d", "99999999999d", "19001y", "ß"] {
            assert!(text.parse::<Age>().is_err(), "{text}");
        }
    }

    #[test]
    fn days_and_months_follow_the_local_calendar() {
        // Clocks went back on 2026-10-25: the day had 25 hours.
        let now = "2026-10-25T11:00:00Z";
        assert_eq!(before("1d", now, "Europe/Berlin"), "2026-10-24T10:00:00Z");
        assert_eq!(before("24h", now, "Europe/Berlin"), "2026-10-24T11:00:00Z");
        assert_eq!(before("1m", "2026-03-31T12:00:00Z", "UTC"), "2026-02-28T12:00:00Z");
        assert_eq!(before("9000y", now, "UTC"), "-006974-10-25T11:00:00Z");
        assert_eq!(before("9000y9000m", now, "UTC"), "-007724-10-25T11:00:00Z");
        let end = now.parse::<Timestamp>().expect("a time").to_zoned(TimeZone::UTC);
        assert_eq!(Age::days(u32::MAX).before(&end), Timestamp::MIN);
        assert_eq!(before("19000y", now, "UTC"), Timestamp::MIN.to_string());
    }
}
