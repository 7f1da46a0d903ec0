//! The guard: notices snapshots as an attack makes them, and keeps the ones before them.
//!
//! Whoever encrypts or removes the files of a machine leaves them to the next backup, and after
//! that to retention, which would forget the good snapshots one by one. So each new snapshot is
//! compared with the history of its series, by what its record says: files, bytes, new bytes, and
//! how well these could be compressed. One that leaves all before it far behind raises an alert
//! ([`AlertKind::Anomaly`]), and until a person clears it nothing of the series is forgotten by
//! rules. Nothing else changes: backups go on, and a person may forget by name.

mod judge;

use std::collections::{BTreeMap, HashSet};

use rusqlite::{OptionalExtension, params};

use crate::error::Result;
use crate::manager::BackupManager;
use crate::manager::alerts::{Alert, AlertKind, Alerts, NewAlert, Place};
use crate::manager::history::Database;
use crate::model::{ObjectHash, RepoId};
use crate::repository::{Snapshot, SnapshotList};
use crate::runtime::Runtime;
use crate::tree::shown_roots;

use judge::{Figures, LIMITS, judge};

/// Snapshots of a series that are judged if it is not known which were: after the database was
/// lost, or at first sight of the repository.
const JUDGED_AT_FIRST: usize = 3;

/// Judges the snapshots that came since it did so last, and raises alerts. Returns the new ones.
/// `name` is what people call the repository.
///
/// # Errors
/// As [`Database::with`].
pub fn look(
    manager: &BackupManager,
    name: &str,
    list: &SnapshotList,
    runtime: &Runtime,
) -> Result<Vec<Alert>> {
    let database = manager.database();
    let place = Place::of(manager.repository().id(), name);
    let mut raised = Vec::new();
    for (series, snapshots) in by_series(list) {
        let series = series.to_string();
        let known_ms = judged_until(database, &place.repo_id, &series)?;
        let newest = snapshots.last().map(|snapshot| snapshot.time_ms());
        let Some(newest_ms) = newest.filter(|newest_ms| Some(*newest_ms) != known_ms) else {
            continue;
        };
        let figures: Vec<Figures> =
            snapshots.iter().map(|snapshot| Figures::of(&snapshot.body)).collect();
        for at in to_judge(&snapshots, known_ms) {
            let signs = judge(&figures[..=at], &LIMITS);
            if signs.is_empty() {
                continue;
            }
            let (alert, is_new) = Alerts::new(database, runtime)
                .raise(&place, &anomaly(snapshots[at], &series, &signs))?;
            raised.extend(is_new.then_some(alert));
        }
        // After the alert: whoever is interrupted between judges once more.
        note_judged(database, &place.repo_id, &series, newest_ms)?;
    }
    Ok(raised)
}

/// The series of which nothing may be forgotten by rules until a person has cleared an alert. Looks
/// at new snapshots first, so that none takes the place of the good ones before it was judged.
///
/// # Errors
/// As [`Database::with`].
pub fn paused(
    manager: &BackupManager,
    list: &SnapshotList,
    runtime: &Runtime,
) -> Result<HashSet<ObjectHash>> {
    look(manager, "", list, runtime)?;
    let alerts = alerts_of(manager.database(), manager.repository().id(), runtime)?;
    let is_paused = |snapshot: &&Snapshot| {
        let series = snapshot.body.series.to_string();
        alerts.iter().any(|alert| alert.subject == series)
    };
    Ok(list.snapshots.iter().filter(is_paused).map(|snapshot| snapshot.body.series).collect())
}

/// Whether a series (in hex) is left alone by retention.
///
/// # Errors
/// As [`Database::with`].
pub fn retention_is_paused(
    database: &Database,
    repository: RepoId,
    series: &str,
    runtime: &Runtime,
) -> Result<bool> {
    Ok(alerts_of(database, repository, runtime)?.iter().any(|alert| alert.subject == series))
}

/// What is said of series that retention leaves alone.
pub fn why_paused(count: usize) -> String {
    let what = if count == 1 { "one series".to_owned() } else { format!("{count} series") };
    format!(
        "nothing of {what} was forgotten: a snapshot of it is unusual; look at `larder alert list`"
    )
}

fn alerts_of(database: &Database, repository: RepoId, runtime: &Runtime) -> Result<Vec<Alert>> {
    let mut alerts = Alerts::new(database, runtime).open()?;
    let repo_id = repository.to_string();
    alerts.retain(|alert| alert.kind == AlertKind::Anomaly && alert.repo_id == repo_id);
    Ok(alerts)
}

/// The snapshots of each series that its own machine made, oldest first.
fn by_series(list: &SnapshotList) -> BTreeMap<ObjectHash, Vec<&Snapshot>> {
    let mut series: BTreeMap<ObjectHash, Vec<&Snapshot>> = BTreeMap::new();
    // One that was made of another (by rewrite or repair) says nothing of the files of a machine.
    for snapshot in list.snapshots.iter().filter(|snapshot| snapshot.body.original.is_none()) {
        series.entry(snapshot.body.series).or_default().push(snapshot);
    }
    for snapshots in series.values_mut() {
        snapshots.sort_by_key(|snapshot| snapshot.time_ms());
    }
    series
}

/// Which snapshots are judged now.
fn to_judge(snapshots: &[&Snapshot], known_ms: Option<i64>) -> std::ops::Range<usize> {
    let from = match known_ms {
        Some(known_ms) => snapshots.partition_point(|snapshot| snapshot.time_ms() <= known_ms),
        None => snapshots.len().saturating_sub(JUDGED_AT_FIRST),
    };
    from..snapshots.len()
}

fn anomaly(snapshot: &Snapshot, series: &str, signs: &[String]) -> NewAlert {
    let what = format!("{} of {}", shown_roots(snapshot).join(", "), snapshot.host);
    let id = snapshot.id.short();
    NewAlert {
        kind: AlertKind::Anomaly,
        subject: series.to_owned(),
        message: format!("snapshot {id} ({what}) is unlike all before it: {}", signs.join(", ")),
        advice: format!(
            "nothing of this series is forgotten until you clear this. Look whether the files are \
             as they should be (`larder diff` with the snapshot before {id}, `larder runbook \
             ransomware`); then `larder alert clear`"
        ),
    }
}

fn judged_until(database: &Database, repo_id: &str, series: &str) -> Result<Option<i64>> {
    database.with(|connection| {
        connection
            .query_row(
                "SELECT start_ms FROM judged WHERE repo_id = ?1 AND series = ?2",
                [repo_id, series],
                |row| row.get(0),
            )
            .optional()
    })
}

fn note_judged(database: &Database, repo_id: &str, series: &str, start_ms: i64) -> Result<()> {
    database.with(|connection| {
        connection
            .execute(
                "INSERT INTO judged (repo_id, series, start_ms) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (repo_id, series) DO UPDATE SET start_ms = ?3",
                params![repo_id, series, start_ms],
            )
            .map(|_| ())
    })
}
