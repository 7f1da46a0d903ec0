//! From a schedule and a time to the next run. Pure: no clock, no storage.
//!
//! A cron expression that names its hours and minutes means a time of the wall clock, and runs once
//! for each time it names. Where a clock that is put forward leaves that time out, the run is at
//! the first moment after the gap; where a clock that is put back has it twice, the run is at the
//! first of both. An expression with `*` in its hours or minutes means a distance: it runs as often
//! as the clock on the wall shows such a time.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};

use super::spread::{late_ms, own_machine};
use super::timing::{INTERVAL_HOURS_MAX, TEXT_LEN_MAX, Timing, interval_out_of_range};
use crate::error::{Error, Result};
use crate::model::BackupSchedule;

/// Times that an expression names and that are no next run, looked at one after the other: those of
/// a repeated hour, above all.
const LOOKED_AT_MAX: usize = 100_000;

/// When something runs.
#[derive(Clone, Debug)]
pub struct Calendar {
    when: When,
    /// How late each run is; for expressions only.
    late: SignedDuration,
}

#[derive(Clone, Debug)]
enum When {
    Every { hours: u32 },
    Cron { cron: Box<Cron>, time_zone: TimeZone, is_distance: bool },
}

impl Calendar {
    /// The calendar of a timing.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no interval, expression or time zone, and for times that never
    /// come (30 February).
    pub fn new(timing: &Timing) -> Result<Self> {
        match timing {
            Timing::EveryHours(hours) => match (1..=INTERVAL_HOURS_MAX).contains(hours) {
                true => Ok(Self::on_time(When::Every { hours: *hours })),
                false => Err(interval_out_of_range(hours)),
            },
            Timing::Cron { expression, time_zone } => {
                let cron = parse(expression)?;
                let time_zone = match time_zone.as_deref() {
                    Some(name) => zone(name)?,
                    None => TimeZone::system(),
                };
                let is_distance =
                    cron.pattern.hours.from_wildcard || cron.pattern.minutes.from_wildcard;
                let cron = Box::new(cron);
                let calendar = Self::on_time(When::Cron { cron, time_zone, is_distance });
                // Whatever comes at all comes within 8 years (29 February around 2100).
                if calendar.next_after(EXAMPLE, EXAMPLE).is_none() {
                    return Err(Error::usage_hint(
                        format!("`{expression}` names a time that never comes"),
                        "look at its day and month",
                    ));
                }
                Ok(calendar)
            }
        }
    }

    fn on_time(when: When) -> Self {
        Self { when, late: SignedDuration::ZERO }
    }

    /// The same, but that each run of an expression is so much later.
    #[must_use]
    pub fn late_by_ms(self, late_ms: i64) -> Self {
        Self { late: SignedDuration::from_millis(late_ms), ..self }
    }

    /// The calendar of a schedule, as late as its spread makes it on this machine.
    ///
    /// # Errors
    /// As [`Calendar::new`]; [`Error::Usage`] also for a schedule with both an interval and an
    /// expression, or none.
    pub fn of(schedule: &BackupSchedule) -> Result<Self> {
        let late_ms = late_ms(schedule, own_machine());
        Ok(Self::new(&timing_of(schedule)?)?.late_by_ms(late_ms))
    }

    /// The first run after `time`. `last` is when the last one started, or when the schedule was
    /// made: intervals count from it. `None` if none comes before the end of the calendar.
    ///
    /// A run that was missed is given too: the result of an interval may lie before `time`.
    pub fn next_after(&self, time: Timestamp, last: Timestamp) -> Option<Timestamp> {
        if let When::Every { hours } = &self.when {
            return last.checked_add(i64::from(*hours).hours()).ok();
        }
        let on_time = self.next_on_time(time.checked_sub(self.late).ok()?)?;
        on_time.checked_add(self.late).ok()
    }

    /// The first time after `time` that the expression names.
    fn next_on_time(&self, time: Timestamp) -> Option<Timestamp> {
        match &self.when {
            When::Every { .. } => None,
            When::Cron { cron, time_zone, is_distance: true } => {
                let zoned = time.to_zoned(time_zone.clone());
                cron.find_next_occurrence(&zoned, false).ok().map(|next| next.timestamp())
            }
            When::Cron { cron, time_zone, is_distance: false } => {
                let mut civil = time.to_zoned(time_zone.clone()).datetime();
                for _ in 0..LOOKED_AT_MAX {
                    civil = cron.find_next_occurrence(&civil, false).ok()?;
                    let next = instant(civil, time_zone)?;
                    if next > time {
                        return Some(next);
                    }
                }
                None
            }
        }
    }

    /// Runs one after the other, each taken to start on time, from `time` on.
    pub fn runs_after(
        &self,
        time: Timestamp,
        last: Timestamp,
    ) -> impl Iterator<Item = Timestamp> + use<'_> {
        let first = self.next_after(time, last).map(|next| next.max(time));
        std::iter::successors(first, |before| self.next_after(*before, *before))
    }
}

/// Any day; what is looked for from here is whether there are such times at all.
const EXAMPLE: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// When a schedule runs.
///
/// # Errors
/// [`Error::Usage`] if it has both an interval and an expression, or none.
pub fn timing_of(schedule: &BackupSchedule) -> Result<Timing> {
    match (schedule.interval_hours, &schedule.cron) {
        (0, Some(expression)) => Ok(Timing::Cron {
            expression: expression.clone(),
            time_zone: schedule.time_zone.clone(),
        }),
        (hours, None) => Ok(Timing::EveryHours(hours)),
        (_, Some(_)) => Err(Error::usage_hint(
            "a schedule has either an interval or a cron expression",
            "set `interval_hours` to 0, or `cron` to nothing",
        )),
    }
}

fn parse(expression: &str) -> Result<Cron> {
    let wrong = |why: &str| {
        Error::usage_hint(
            format!("`{expression}` is no cron expression: {why}"),
            "it has minute, hour, day of month, month and day of week: `30 2 * * 1-5` is 2:30 from \
             Monday to Friday; or it is `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`",
        )
    };
    if expression.len() > TEXT_LEN_MAX {
        return Err(wrong("it is too long"));
    }
    if expression.contains('@') && expression.split_whitespace().count() != 1 {
        return Err(wrong("a name like `@daily` stands alone"));
    }
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    parser.parse(expression).map_err(|error| wrong(&error.to_string()))
}

fn zone(name: &str) -> Result<TimeZone> {
    let found = (name.len() <= TEXT_LEN_MAX).then(|| TimeZone::get(name).ok()).flatten();
    found.ok_or_else(|| {
        Error::usage_hint(
            format!("there is no time zone `{name}`"),
            "give its IANA name, such as `Europe/Berlin` or `UTC`",
        )
    })
}

/// The first moment at which the clock on the wall shows this time; if it never does, the first
/// after the gap.
fn instant(civil: DateTime, time_zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = time_zone.to_ambiguous_timestamp(civil);
    match ambiguous.offset() {
        AmbiguousOffset::Gap { before, .. } => {
            // By the clock of before the gap it is this late: the gap lies just behind.
            let late = before.to_timestamp(civil).ok()?;
            let gap = time_zone.preceding(late.checked_add(1.nanosecond()).ok()?).next()?;
            Some(gap.timestamp())
        }
        _ => ambiguous.earlier().ok(),
    }
}

#[cfg(test)]
mod tests;
