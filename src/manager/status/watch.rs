//! What should be noticed without anybody asking: backups that stay away, room that gets little.

use std::fs::File;

use super::{RpoSource, SeriesStatus, WatchOptions, never, series};
use crate::error::Result;
use crate::fsmeta;
use crate::manager::alerts::{AlertKind, Alerts, NewAlert, Place};
use crate::manager::{BackupManager, guard};
use crate::model::format_bytes;
use crate::repository::SnapshotList;
use crate::runtime::Runtime;
use crate::storage::Location;

/// Less is little, whatever backups take.
const LEAST_FREE: u64 = 1 << 30;

/// Room for so many of the largest backups among the newest should be left.
const ROOM_FOR: u64 = 3;
const NEWEST: usize = 20;

/// The room that is left where a repository is; `None` for a service.
pub fn free_bytes(location: &str) -> Option<u64> {
    let location = Location::parse(location).ok()?;
    let folder = File::open(location.as_path()?).ok()?;
    fsmeta::space(folder).ok().map(|space| space.available)
}

/// Raises alerts for what is wrong with a repository, and clears those that are over. `name` is
/// what people call it, `location` where it is.
///
/// # Errors
/// [`Error::Local`](crate::error::Error::Local) if the database cannot be used.
pub fn look(
    manager: &BackupManager,
    name: &str,
    location: &str,
    list: &SnapshotList,
    options: &WatchOptions,
    runtime: &Runtime,
) -> Result<()> {
    guard::look(manager, name, list, runtime)?;
    let place = Place::of(manager.repository().id(), name);
    let alerts = Alerts::new(manager.database(), runtime);
    let schedules = manager.schedules()?;
    let now_ms = runtime.clock.now_ms();
    for one in series::all(list, &schedules, options.rpo_hours, now_ms) {
        missing(&alerts, &place, &one)?;
    }
    let never = never::all(list, &schedules, options.rpo_hours, now_ms);
    never::tell(&alerts, &place, &never)?;
    space(&alerts, &place, free_bytes(location), list, options)
}

/// Once for each time that they stay away, also if a person clears it meanwhile.
fn missing(alerts: &Alerts<'_>, place: &Place, one: &SeriesStatus) -> Result<()> {
    // Nobody said how old it may be: `larder status` shows it, and nobody is called for it.
    let is_guess = one.newest.is_some() && one.rpo_source == Some(RpoSource::Assumed);
    if !one.is_overdue || is_guess {
        return alerts.pass(&place.repo_id, AlertKind::Missing, &one.series).map(|_| ());
    }
    let last = alerts.last_about(&place.repo_id, AlertKind::Missing, &one.series)?;
    let is_same = |raised| one.newest.is_none_or(|newest| newest < raised);
    if last.is_some_and(|last| last.cleared.is_some() && is_same(last.raised)) {
        return Ok(());
    }
    let of = format!("{} of {}", one.sources.join(", "), one.host);
    let message = match (one.newest, one.rpo_hours) {
        (Some(newest), Some(hours)) => {
            format!(
                "no backup of {of} since {newest}: there should be one every {hours} h at least"
            )
        }
        _ => format!("there is no good backup of {of}"),
    };
    let advice = format!(
        "look whether {} runs, and its schedule does (`larder schedule list` there). If it is gone \
         for good, `larder alert clear` says so",
        one.host
    );
    let new = NewAlert { kind: AlertKind::Missing, subject: one.series.clone(), message, advice };
    alerts.raise(place, &new).map(|_| ())
}

fn space(
    alerts: &Alerts<'_>,
    place: &Place,
    free: Option<u64>,
    list: &SnapshotList,
    options: &WatchOptions,
) -> Result<()> {
    let Some(free) = free else { return Ok(()) };
    let newest = list.snapshots.iter().rev().take(NEWEST).filter(|one| one.body.parent.is_some());
    let largest = newest.map(|one| one.body.added_stored).max().unwrap_or_default();
    let usual = largest.saturating_mul(ROOM_FOR).max(LEAST_FREE);
    let least = options.least_free_bytes.unwrap_or(usual);
    if free >= least {
        return alerts.pass(&place.repo_id, AlertKind::LowSpace, "").map(|_| ());
    }
    let new = NewAlert {
        kind: AlertKind::LowSpace,
        subject: String::new(),
        message: format!(
            "{} are left where the repository is; {} would be enough",
            format_bytes(free),
            format_bytes(least)
        ),
        advice: "make room there, or forget old backups and `larder prune`".into(),
    };
    alerts.raise(place, &new).map(|_| ())
}
