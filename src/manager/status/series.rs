//! How old the newest good snapshot of each series is, and how old it may be.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::manager::schedule::schedule_tag;
use crate::model::{BackupId, BackupSchedule, ObjectHash};
use crate::repository::{Snapshot, SnapshotList};
use crate::retention::Candidate;
use crate::tree::shown_roots;

const HOUR_MS: i64 = 3_600_000;

/// The rhythm of a series is learned from so many snapshots at least, and so many at most.
const LEARNED_FROM: usize = 5;
const LEARNED_MOST: usize = 15;

/// A series may miss so many of its usual times before that is said, and so many hours at least.
const USUAL_TIMES: i64 = 3;
pub(super) const LEARNED_LEAST_HOURS: i64 = 48;

/// Where it comes from how old the newest snapshot of a series may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub enum RpoSource {
    /// Its schedule on this machine says so.
    Schedule,
    /// The settings say so.
    Settings,
    /// Three times its usual distance, two days at least.
    Learned,
    /// Nothing says it: two days.
    Assumed,
}

/// The snapshots of one host and its sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct SeriesStatus {
    /// The series, in hex.
    pub series: String,
    /// The host.
    pub host: String,
    /// The sources.
    pub sources: Vec<String>,
    /// How many snapshots it has.
    pub snapshots: u64,
    /// The newest good one: neither quarantined, suspect nor out of time.
    pub newest: Option<Timestamp>,
    /// Its id.
    pub newest_id: Option<BackupId>,
    /// Whether files are missing from it that could not be read.
    pub is_partial: bool,
    /// How old it may be, hours; `None` if that is not known.
    pub rpo_hours: Option<u64>,
    /// Where that comes from.
    pub rpo_source: Option<RpoSource>,
    /// Whether it is older.
    pub is_overdue: bool,
    /// Whether a person knows that it is, and wants to hear no more of it.
    pub is_accepted: bool,
    /// Whether nothing of it is forgotten until a person has looked at an alert.
    pub retention_is_paused: bool,
}

/// All series of a repository, by host and sources.
pub(super) fn all(
    list: &SnapshotList,
    schedules: &[BackupSchedule],
    rpo_hours: Option<u32>,
    now_ms: i64,
) -> Vec<SeriesStatus> {
    let mut series: BTreeMap<ObjectHash, Vec<(&Snapshot, bool)>> = BTreeMap::new();
    for (snapshot, candidate) in list.snapshots.iter().zip(Candidate::all_of(list)) {
        series.entry(snapshot.body.series).or_default().push((snapshot, candidate.counts()));
    }
    let mut all: Vec<SeriesStatus> = series
        .into_iter()
        .filter_map(|(id, snapshots)| one(id, &snapshots, schedules, rpo_hours, now_ms))
        .collect();
    all.sort_by(|a, b| (&a.host, &a.sources).cmp(&(&b.host, &b.sources)));
    all
}

fn one(
    id: ObjectHash,
    snapshots: &[(&Snapshot, bool)],
    schedules: &[BackupSchedule],
    rpo_hours: Option<u32>,
    now_ms: i64,
) -> Option<SeriesStatus> {
    let (any, _) = snapshots.last()?;
    let good = snapshots.iter().filter(|(_, is_good)| *is_good).map(|(snapshot, _)| *snapshot);
    let mut good: Vec<&Snapshot> = good.collect();
    good.sort_by_key(|snapshot| snapshot.body.end_ms);
    let newest = good.last().copied();
    let rpo = newest.map(|_| rpo(&good, schedules, rpo_hours));
    let age_ms = newest.map(|newest| now_ms.saturating_sub(newest.body.end_ms));
    let is_overdue = match (age_ms, rpo) {
        (None, _) => true,
        (Some(age_ms), Some((hours, _))) => age_ms > hours.saturating_mul(HOUR_MS),
        (Some(_), None) => false,
    };
    Some(SeriesStatus {
        series: id.to_string(),
        host: any.host.clone(),
        sources: shown_roots(any),
        snapshots: snapshots.len() as u64,
        newest: newest.and_then(|one| Timestamp::from_millisecond(one.body.end_ms).ok()),
        newest_id: newest.map(|one| one.id),
        is_partial: newest.is_some_and(|one| one.body.partial || one.body.error_count > 0),
        rpo_hours: rpo.and_then(|(hours, _)| u64::try_from(hours).ok()),
        rpo_source: rpo.map(|(_, source)| source),
        is_overdue,
        is_accepted: false,
        retention_is_paused: false,
    })
}

/// How old the newest of the good ones may be, in hours.
fn rpo(
    good: &[&Snapshot],
    schedules: &[BackupSchedule],
    rpo_hours: Option<u32>,
) -> (i64, RpoSource) {
    let is_of = |schedule: &&BackupSchedule| {
        let tag = schedule_tag(&schedule.schedule_id);
        good.iter().any(|snapshot| snapshot.body.tags.contains(&tag))
    };
    // One that a person made by hand in between changes nothing about it.
    let of_schedule =
        schedules.iter().filter(is_of).filter_map(|schedule| schedule.rpo_hours).min();
    if let Some(hours) = of_schedule {
        return (hours.into(), RpoSource::Schedule);
    }
    if let Some(hours) = rpo_hours {
        return (hours.into(), RpoSource::Settings);
    }
    let times: Vec<i64> = good.iter().map(|snapshot| snapshot.body.end_ms).collect();
    match learned_hours(&times) {
        Some(hours) => (hours, RpoSource::Learned),
        None => (LEARNED_LEAST_HOURS, RpoSource::Assumed),
    }
}

/// What the distances of snapshots say, oldest first.
fn learned_hours(times_ms: &[i64]) -> Option<i64> {
    if times_ms.len() < LEARNED_FROM {
        return None;
    }
    let newest = &times_ms[times_ms.len().saturating_sub(LEARNED_MOST)..];
    let mut gaps: Vec<i64> = newest.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_unstable();
    let usual_ms = gaps[gaps.len() / 2];
    let hours = usual_ms.saturating_mul(USUAL_TIMES).div_euclid(HOUR_MS) + 1;
    Some(hours.max(LEARNED_LEAST_HOURS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_of_which_nothing_is_known_may_be_two_days_old() {
        assert_eq!(rpo(&[], &[], None), (48, RpoSource::Assumed));
        assert_eq!(rpo(&[], &[], Some(30)), (30, RpoSource::Settings));
    }

    #[test]
    fn the_rhythm_of_a_series_is_learned() {
        let daily: Vec<i64> = (0..10).map(|day| day * 24 * HOUR_MS).collect();
        assert_eq!(learned_hours(&daily), Some(73));
        let hourly: Vec<i64> = (0..100).map(|hour| hour * HOUR_MS).collect();
        assert_eq!(learned_hours(&hourly), Some(48), "two days at least");
        assert_eq!(learned_hours(&daily[..4]), None);
        let weekly: Vec<i64> = (0..10).map(|week| week * 7 * 24 * HOUR_MS).collect();
        assert_eq!(learned_hours(&weekly), Some(505));
    }
}
