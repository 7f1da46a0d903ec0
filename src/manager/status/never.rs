//! Schedules that have never made a backup: of them there is no series that could be too old.

use std::collections::HashSet;

use jiff::Timestamp;

use super::series::LEARNED_LEAST_HOURS;
use crate::error::Result;
use crate::manager::alerts::{AlertKind, Alerts, NewAlert, Place};
use crate::manager::schedule::schedule_tag;
use crate::model::{BackupSchedule, Job};
use crate::repository::SnapshotList;

const HOUR_MS: i64 = 3_600_000;

/// Ids of schedules are so long; those of series, which alerts are about too, are longer.
const SCHEDULE_ID_LEN: usize = 16;

/// A schedule that should have made a backup by now.
pub(super) struct Never {
    pub(super) schedule_id: String,
    pub(super) title: String,
    pub(super) since: Timestamp,
}

impl Never {
    pub(super) fn message(&self) -> String {
        format!("schedule `{}` has made no backup since it was made, {}", self.title, self.since)
    }
}

/// The schedules that run, of which no snapshot is there after as long as one may take.
pub(super) fn all(
    list: &SnapshotList,
    schedules: &[BackupSchedule],
    rpo_hours: Option<u32>,
    now_ms: i64,
) -> Vec<Never> {
    let tags: HashSet<&str> =
        list.snapshots.iter().flat_map(|one| &one.body.tags).map(String::as_str).collect();
    let is_never = |one: &&BackupSchedule| {
        let hours = one.rpo_hours.or(rpo_hours).map_or(LEARNED_LEAST_HOURS, i64::from);
        let age_ms = now_ms.saturating_sub(one.created_at.as_millisecond());
        one.enabled
            && matches!(one.job, Job::Backup(_))
            && age_ms > hours.saturating_mul(HOUR_MS)
            && !tags.contains(schedule_tag(&one.schedule_id).as_str())
    };
    let never = |one: &BackupSchedule| Never {
        schedule_id: one.schedule_id.clone(),
        title: one.title(),
        since: one.created_at,
    };
    schedules.iter().filter(is_never).map(never).collect()
}

/// Raises an alert for each, and clears those that are over.
pub(super) fn tell(alerts: &Alerts<'_>, place: &Place, all: &[Never]) -> Result<()> {
    for one in all {
        let last = alerts.last_about(&place.repo_id, AlertKind::Missing, &one.schedule_id)?;
        // Cleared by a person, who need not hear it again.
        if last.is_some_and(|last| last.cleared.is_some() && last.raised > one.since) {
            continue;
        }
        let new = NewAlert {
            kind: AlertKind::Missing,
            subject: one.schedule_id.clone(),
            message: one.message(),
            advice:
                "look at its runs and what made them fail (`larder schedule list`), and run it \
                     now (`larder schedule run`)"
                    .into(),
        };
        alerts.raise(place, &new)?;
    }
    let is_over = |subject: &str| {
        subject.len() == SCHEDULE_ID_LEN && all.iter().all(|one| one.schedule_id != subject)
    };
    for alert in alerts.open()? {
        let is_own = alert.repo_id == place.repo_id && alert.kind == AlertKind::Missing;
        if is_own && is_over(&alert.subject) {
            alerts.pass(&place.repo_id, AlertKind::Missing, &alert.subject)?;
        }
    }
    Ok(())
}
