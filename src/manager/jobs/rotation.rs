//! Which parts of the stored bytes a check reads, so that all of them are read over a period. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::manager::history::Database;
use crate::manager::schedule::Calendar;
use crate::model::BackupSchedule;

const DAY_MS: i64 = 24 * 3_600_000;
/// Into so many parts the bytes are divided at most.
const PARTS_MAX: u32 = 1_000;

/// How far a round through all parts is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Round {
    pub(super) parts: u32,
    started_ms: i64,
    read: BTreeSet<u32>,
}

impl Round {
    /// The parts that are due at `now_ms`, 1 at least: as many as it takes to have read all of them
    /// when the period is over, even where runs were missed. A round that is complete begins anew.
    pub(super) fn due(&mut self, parts: u32, period_days: u32, now_ms: i64) -> Vec<u32> {
        let parts = parts.clamp(1, PARTS_MAX);
        // Months differ; a schedule that was changed is another one.
        let is_other = self.parts.abs_diff(parts) > self.parts / 4;
        let is_whole = self.read.len() >= self.parts as usize;
        if is_other || is_whole || self.started_ms > now_ms {
            *self = Self { parts, started_ms: now_ms, read: BTreeSet::new() };
        }
        let period_ms = i64::from(period_days.max(1)) * DAY_MS;
        let elapsed_ms = now_ms - self.started_ms;
        // A run that comes a moment early is not to read less for it.
        let slack_ms = period_ms / i64::from(self.parts) / 2;
        let gone = (elapsed_ms + slack_ms) as f64 / period_ms as f64;
        let wanted = (gone * f64::from(self.parts)).floor() as usize + 1;
        let count = wanted.saturating_sub(self.read.len()).max(1);
        let unread = (1..=self.parts).filter(|part| !self.read.contains(part));
        unread.take(count).collect()
    }

    /// A part was read.
    pub(super) fn note(&mut self, part: u32) {
        self.read.insert(part);
    }

    /// How many parts were read.
    pub(super) fn read(&self) -> usize {
        self.read.len()
    }
}

/// How often a schedule runs in so many days from `now_ms` on; without one, once a day.
pub(super) fn parts(schedule: Option<&BackupSchedule>, period_days: u32, now_ms: i64) -> u32 {
    let calendar = schedule.and_then(|schedule| Calendar::of(schedule).ok());
    let Some(calendar) = calendar else { return period_days.clamp(1, PARTS_MAX) };
    let now = Timestamp::from_millisecond(now_ms).unwrap_or_default();
    let end_ms = now_ms.saturating_add(i64::from(period_days) * DAY_MS);
    let runs = calendar.runs_after(now, now).take(PARTS_MAX as usize);
    let runs = runs.take_while(|time| time.as_millisecond() <= end_ms).count();
    u32::try_from(runs).unwrap_or(PARTS_MAX).max(1)
}

/// The round that the database remembers; a new one if it does not.
pub(super) fn load(database: &Database, repo_id: &str, key: &str) -> Result<Round> {
    let sql = "SELECT round FROM check_rounds WHERE repo_id = ?1 AND schedule_id = ?2";
    let text: Option<String> = database.with(|connection| {
        connection.query_row(sql, params![repo_id, key], |row| row.get(0)).optional()
    })?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

pub(super) fn save(database: &Database, repo_id: &str, key: &str, round: &Round) -> Result<()> {
    let text = serde_json::to_string(round).expect("plain data");
    database.with(|connection| {
        let sql = "INSERT OR REPLACE INTO check_rounds (repo_id, schedule_id, round) \
                   VALUES (?1, ?2, ?3)";
        connection.execute(sql, params![repo_id, key, text]).map(|_| ())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs at these days; what each reads, and when all was read.
    fn days(round: &mut Round, parts: u32, period: u32, days: &[i64]) -> Vec<Vec<u32>> {
        let read = |day: &i64| {
            let due = round.due(parts, period, 1_000 * DAY_MS + day * DAY_MS);
            due.iter().for_each(|part| round.note(*part));
            due
        };
        days.iter().map(read).collect()
    }

    #[test]
    fn all_parts_are_read_over_a_period() {
        let mut round = Round::default();
        let all: Vec<i64> = (0..30).collect();
        let read = days(&mut round, 30, 30, &all);
        assert!(read.iter().all(|due| due.len() == 1), "one each day: {read:?}");
        assert_eq!(read.concat(), (1..=30).collect::<Vec<u32>>());
        assert_eq!(days(&mut round, 30, 30, &[30]), [[1]], "and again");
    }

    #[test]
    fn what_was_missed_is_caught_up_with() {
        let mut round = Round::default();
        let read = days(&mut round, 30, 30, &[0, 1, 9, 10]);
        assert_eq!(read.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 8, 1]);
        let rest = days(&mut round, 30, 30, &[90]);
        assert_eq!(rest[0].len(), 19, "all that is left of the round");
        assert_eq!(days(&mut round, 30, 30, &[91])[0], [1]);
    }

    #[test]
    fn a_schedule_that_changes_begins_anew_and_a_longer_month_does_not() {
        let mut round = Round::default();
        days(&mut round, 30, 30, &[0, 1, 2]);
        assert_eq!(days(&mut round, 31, 30, &[3]), [[4]]);
        assert_eq!(days(&mut round, 4, 30, &[4]), [[1]]);
        assert_eq!(days(&mut round, 4, 30, &[-5]), [[1]], "a clock that was set back");
    }

    #[test]
    fn parts_are_runs_of_the_period() {
        let of = |cron: &str, days| {
            let schedule = BackupSchedule {
                cron: Some(cron.into()),
                time_zone: Some("UTC".into()),
                ..BackupSchedule::default()
            };
            parts(Some(&schedule), days, 1_803_859_200_000)
        };
        assert_eq!((of("@daily", 30), of("@weekly", 28), of("@monthly", 7)), (30, 4, 1));
        assert_eq!(of("* * * * *", 30), PARTS_MAX);
        assert_eq!((parts(None, 14, 0), parts(None, 0, 0)), (14, 1));
    }
}
