//! Limits that depend on the hour and the day of the week.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::limits::Limits;

const DAY_MINUTES: u16 = 24 * 60;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// When which limits hold: `08:00-18:00 2M, 18:00-23:00 10M, else unlimited`.
///
/// Windows are in the order in which they were written, and the first that fits counts. One may
/// begin with days (`mon-fri`, `sat+sun`), have a time of the day or not, and run past midnight: it
/// belongs to the day it begins on. What no window covers has the limits after `else`, or none.
///
/// Times are those on a clock on the wall: where clocks are put forward or back, a window is an
/// hour shorter or longer that day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BandwidthPlan {
    windows: Vec<Window>,
    otherwise: Option<Limits>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Window {
    /// By the day, Monday first.
    days: [bool; 7],
    /// Minutes since midnight: from, and up to but not including. An end at or before the start
    /// is on the next day.
    from: u16,
    until: u16,
    limits: Limits,
}

impl BandwidthPlan {
    /// The limits at this time on the clocks of `zone`.
    pub fn at(&self, time: Timestamp, zone: &TimeZone) -> Limits {
        let local = zone.to_datetime(time);
        let minute = local.hour() as u16 * 60 + local.minute() as u16;
        let window = self.windows.iter().find(|window| window.holds(local.weekday(), minute));
        window.map(|window| window.limits).or(self.otherwise).unwrap_or_default()
    }
}

impl Window {
    fn holds(&self, day: Weekday, minute: u16) -> bool {
        let today = usize::from(day.to_monday_zero_offset().unsigned_abs());
        let yesterday = (today + 6) % 7;
        if self.from < self.until {
            self.days[today] && (self.from..self.until).contains(&minute)
        } else {
            (self.days[today] && minute >= self.from)
                || (self.days[yesterday] && minute < self.until)
        }
    }
}

/// Windows are separated by `,` or `;`.
impl FromStr for BandwidthPlan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut plan = Self::default();
        for part in text.split([',', ';']).map(str::trim).filter(|part| !part.is_empty()) {
            if plan.otherwise.is_some() {
                return Err(format!("`{part}` comes after `else`, which must be the last"));
            }
            match part.strip_prefix("else ") {
                Some(limits) => plan.otherwise = Some(limits.parse()?),
                None => plan.windows.push(parse_window(part)?),
            }
        }
        if plan.windows.is_empty() && plan.otherwise.is_none() {
            return Err(format!("the plan is empty; {EXAMPLE}"));
        }
        Ok(plan)
    }
}

const EXAMPLE: &str = "plans look like `mon-fri 08:00-18:00 2M, else unlimited`";

fn parse_window(text: &str) -> Result<Window, String> {
    let next = |text: &'_ str| -> (String, String) {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        (word.to_ascii_lowercase(), rest.trim_start().to_owned())
    };
    let (mut word, mut rest) = next(text);
    let days = parse_days(&word);
    if days.is_some() {
        (word, rest) = next(&rest);
    }
    let times = match word.contains(':') {
        true => Some(parse_times(&word)?),
        false => None,
    };
    if days.is_none() && times.is_none() {
        return Err(format!("`{text}` begins with no day or time; {EXAMPLE}"));
    }
    let limits = if times.is_some() { rest } else { format!("{word} {rest}") };
    let (from, until) = times.unwrap_or((0, DAY_MINUTES));
    Ok(Window { days: days.unwrap_or([true; 7]), from, until, limits: limits.parse()? })
}

/// Reads `mon`, `mon-fri` or several of these with `+` between them.
fn parse_days(text: &str) -> Option<[bool; 7]> {
    let number = |name: &str| DAYS.iter().position(|day| *day == name);
    let mut days = [false; 7];
    for part in text.split('+') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (number(first)?, number(last)?);
        days[day] = true;
        while day != last {
            day = (day + 1) % 7;
            days[day] = true;
        }
    }
    Some(days)
}

/// Reads `08:00-18:00` as minutes.
fn parse_times(text: &str) -> Result<(u16, u16), String> {
    let wrong = || format!("`{text}` is not a time of the day; write it like `08:00-18:00`");
    let minutes = |text: &str| -> Option<u16> {
        let (hour, minute) = text.split_once(':')?;
        let plain = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        if !plain(hour) || !plain(minute) {
            return None;
        }
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        let at = hour * 60 + minute;
        (minute < 60 && at <= DAY_MINUTES).then_some(at)
    };
    let (from, until) = text.split_once('-').ok_or_else(wrong)?;
    let (from, until) = (minutes(from).ok_or_else(wrong)?, minutes(until).ok_or_else(wrong)?);
    match from {
        DAY_MINUTES => Err(wrong()),
        _ if from == until => Err(format!("`{text}` is no time at all")),
        _ => Ok((from, until)),
    }
}

/// As it can be read again.
impl fmt::Display for BandwidthPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, window) in self.windows.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { ", " })?;
            if window.days != [true; 7] {
                let days = DAYS.iter().zip(window.days).filter(|(_, on)| *on);
                let days: Vec<&str> = days.map(|(name, _)| *name).collect();
                write!(f, "{} ", days.join("+"))?;
            }
            let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
            write!(f, "{}-{} {}", clock(window.from), clock(window.until), window.limits)?;
        }
        match self.otherwise {
            Some(limits) if self.windows.is_empty() => write!(f, "else {limits}"),
            Some(limits) => write!(f, ", else {limits}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for BandwidthPlan {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<BandwidthPlan> for String {
    fn from(plan: BandwidthPlan) -> Self {
        plan.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> BandwidthPlan {
        text.parse().expect("a plan")
    }

    /// The limits at a time as `2026-11-23T12:00:00Z` in a zone.
    fn at(plan: &BandwidthPlan, time: &str, zone: &str) -> String {
        let zone = TimeZone::get(zone).expect("a zone");
        plan.at(time.parse().expect("a time"), &zone).to_string()
    }

    #[test]
    fn windows_hold_from_their_first_minute_to_before_their_last() {
        let plan = plan("08:00-18:00 2M, 18:00-23:00 10M, else unlimited");
        for (time, limits) in [
            ("07:59:59", "unlimited"),
            ("08:00:00", "2M"),
            ("17:59:59", "2M"),
            ("18:00:00", "10M"),
            ("22:59:59", "10M"),
            ("23:00:00", "unlimited"),
        ] {
            assert_eq!(at(&plan, &format!("2026-11-23T{time}Z"), "UTC"), limits, "{time}");
        }
        assert_eq!(at(&plan, "2026-11-23T13:00:00Z", "America/New_York"), "2M");
        assert_eq!(at(&plan, "2026-11-23T12:59:59Z", "America/New_York"), "unlimited");
    }

    /// 23 November 2026 is a Monday.
    #[test]
    fn a_window_past_midnight_belongs_to_the_day_it_begins_on() {
        let plan = plan("fri 22:00-06:00 up 1M; sat+sun 3M; mon-fri 08:00-18:00 2M");
        for (time, limits) in [
            ("2026-11-27T21:59:00Z", "unlimited"),
            ("2026-11-27T22:00:00Z", "up 1M down unlimited"),
            ("2026-11-28T05:59:00Z", "up 1M down unlimited"),
            ("2026-11-28T06:00:00Z", "3M"),
            ("2026-11-29T02:00:00Z", "3M"),
            ("2026-11-30T00:00:00Z", "unlimited"),
            ("2026-11-30T12:00:00Z", "2M"),
            // Friday before six is not after a Thursday of that window.
            ("2026-11-27T02:00:00Z", "unlimited"),
        ] {
            assert_eq!(at(&plan, time, "UTC"), limits, "{time}");
        }
    }

    /// Berlin: forward at 01:00 UTC on 29 March 2026, back at 01:00 UTC on 25 October.
    #[test]
    fn clocks_that_are_changed_change_the_window() {
        let plan = plan("01:30-02:30 2M");
        let berlin = |time: &str| at(&plan, time, "Europe/Berlin") == "2M";
        // 01:30 to 02:00; 02:00 to 03:00 never comes.
        assert!(!berlin("2026-03-29T00:29:59Z") && berlin("2026-03-29T00:30:00Z"));
        assert!(berlin("2026-03-29T00:59:59Z") && !berlin("2026-03-29T01:00:00Z"));
        // 02:00 to 03:00 comes twice, and so does its first half.
        assert!(berlin("2026-10-24T23:30:00Z") && berlin("2026-10-25T00:29:59Z"));
        assert!(!berlin("2026-10-25T00:30:00Z") && berlin("2026-10-25T01:00:00Z"));
        assert!(berlin("2026-10-25T01:29:59Z") && !berlin("2026-10-25T01:30:00Z"));
    }

    #[test]
    fn plans_are_read_back_as_written() {
        for (text, shown) in [
            ("08:00-18:00 2M,else 10M", "08:00-18:00 2M, else 10M"),
            ("Sat-Mon 1M", "mon+sat+sun 00:00-24:00 1M"),
            ("else 1M", "else 1M"),
            ("22:00-06:00 up 1M down 2M", "22:00-06:00 up 1M down 2M"),
        ] {
            let read = plan(text);
            assert_eq!(read.to_string(), shown);
            assert_eq!(plan(shown), read);
            let json = serde_json::to_string(&read).expect("JSON");
            assert_eq!(serde_json::from_str::<BandwidthPlan>(&json).expect("a plan"), read);
        }
    }

    #[test]
    fn what_is_no_plan_is_refused_in_words() {
        for (wrong, word) in [
            ("", "empty"),
            (" , ", "empty"),
            ("2M", "begins with no day or time"),
            ("08:00 2M", "08:00-18:00"),
            ("8:00-18:00 2M", "08:00-18:00"),
            ("08:00-25:00 2M", "08:00-18:00"),
            ("08:00-08:00 2M", "no time at all"),
            ("24:00-08:00 2M", "08:00-18:00"),
            ("08:00-18:00", "a limit is missing"),
            ("mon", "a limit is missing"),
            ("mon-fry 2M", "begins with no day or time"),
            ("08:00-18:00 fast", "not a rate"),
            ("else 2M, 08:00-18:00 1M", "the last"),
        ] {
            let error = wrong.parse::<BandwidthPlan>().expect_err(wrong);
            assert!(error.contains(word), "{wrong}: {error}");
        }
    }
}
