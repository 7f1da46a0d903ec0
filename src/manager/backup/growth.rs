//! How a repository grew, day by day.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::BackupManager;
use crate::error::Result;
use crate::manager::history::{RunHistory, RunQuery};
use crate::model::escape_bytes;
use crate::tree::shown_roots;

/// A day that had backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct GrowthPoint {
    /// The day, in the time zone of this machine.
    #[cfg_attr(feature = "serve", schema(value_type = String, format = Date))]
    pub date: Date,
    /// The time of its last backup.
    pub timestamp: Timestamp,
    /// Backups made on it.
    pub backups: u64,
    /// Bytes of the files in the newest backup of every series at the end of the day.
    pub bytes_protected: u64,
    /// Bytes that backups of this machine added to storage on it. Those of others are not known.
    pub bytes_added: u64,
}

/// What a backup says of its day.
struct Made {
    at: Timestamp,
    series: (String, Vec<String>),
    bytes: u64,
    added: u64,
}

impl BackupManager {
    /// The days of the last `days` that had backups, oldest first: backups that there are, and
    /// those of this machine that were forgotten meanwhile, as far as its history reaches.
    ///
    /// # Errors
    /// The storage's.
    pub fn growth(&self, days: u32) -> Result<Vec<GrowthPoint>> {
        let (list, clock) = (self.snapshot_list()?, &self.options().runtime.clock);
        let now_ms = clock.now_ms();
        let history = RunHistory::new(self.database(), self.repository().id());
        let mut known = HashSet::new();
        let mut all: Vec<Made> = Vec::new();
        for run in history.list(&RunQuery::default(), now_ms)? {
            let (Some(stats), Some(at)) = (run.stats, time(run.started_ms)) else { continue };
            known.insert(run.backup_id);
            let series = (run.host, run.sources);
            all.push(Made { at, series, bytes: stats.bytes, added: stats.bytes_stored });
        }
        for snapshot in list.snapshots.iter().filter(|one| !known.contains(&one.id)) {
            let Some(at) = time(snapshot.time_ms()) else { continue };
            let host = escape_bytes(snapshot.host.as_bytes()).into_owned();
            let series = (host, shown_roots(snapshot));
            all.push(Made { at, series, bytes: snapshot.body.bytes, added: 0 });
        }
        all.sort_by_key(|made| made.at);
        let since_ms = now_ms.saturating_sub(i64::from(days).saturating_mul(24 * 3600 * 1000));
        Ok(by_day(&all, since_ms, &TimeZone::system()))
    }
}

fn time(ms: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(ms).ok()
}

/// `all` is sorted by time. Earlier ones count for what later days protect.
fn by_day(all: &[Made], since_ms: i64, zone: &TimeZone) -> Vec<GrowthPoint> {
    let mut newest: HashMap<&(String, Vec<String>), u64> = HashMap::new();
    let mut days: BTreeMap<Date, GrowthPoint> = BTreeMap::new();
    for made in all {
        newest.insert(&made.series, made.bytes);
        if made.at.as_millisecond() < since_ms {
            continue;
        }
        let date = made.at.to_zoned(zone.clone()).date();
        let day = days.entry(date).or_insert_with(|| GrowthPoint {
            date,
            timestamp: made.at,
            backups: 0,
            bytes_protected: 0,
            bytes_added: 0,
        });
        day.timestamp = made.at;
        day.backups += 1;
        day.bytes_added += made.added;
        day.bytes_protected = newest.values().sum();
    }
    days.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_says_what_is_protected_at_its_end() {
        let made = |hours: i64, host: &str, bytes, added| Made {
            at: Timestamp::from_second(hours * 3600).expect("a time"),
            series: (host.to_owned(), vec!["/home".to_owned()]),
            bytes,
            added,
        };
        let all = [
            made(1, "a", 100, 60),
            made(25, "b", 1_000, 500),
            made(26, "a", 110, 5),
            made(80, "a", 90, 1),
        ];
        let points = by_day(&all, 2 * 3600 * 1000, &TimeZone::UTC);
        let told: Vec<_> = points
            .iter()
            .map(|p| (p.date.day(), p.backups, p.bytes_protected, p.bytes_added))
            .collect();
        assert_eq!(told, [(2, 2, 1_110, 505), (4, 1, 1_090, 1)]);
        assert_eq!(points[0].timestamp, all[2].at);
    }
}
