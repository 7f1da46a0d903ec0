//! The guard: notices snapshots as an attack makes them, and keeps the ones before them.
//!
//! Whoever encrypts or removes the files of a machine leaves them to the next backup, and after
//! that to retention, which would forget the good snapshots one by one. So each new snapshot is
//! compared with the one before it, and how much differs with the history of its series: files
//! that are gone or have other content, bytes that are new, and how well these could be compressed.
//! One that leaves all before it far behind raises an alert ([`AlertKind::Anomaly`]), and until a
//! person clears it nothing of the series is forgotten by rules. Nothing else changes: backups go
//! on, and a person may forget by name.

mod compare;
mod judge;
mod kept;
mod limits;
mod memory;
mod series;

use std::collections::{BTreeMap, HashSet};

use crate::error::{Error, Result};
use crate::manager::BackupManager;
use crate::manager::alerts::{Alert, AlertKind, Alerts};
use crate::manager::history::Database;
use crate::model::{ObjectHash, RepoId};
use crate::repository::{Snapshot, SnapshotList};
use crate::retention::{Candidate, TimeStanding};
use crate::runtime::Runtime;

pub use limits::{GuardLimits, Percent, Within};

use compare::Comparer;
use kept::Kept;
use series::{Series, Timed};

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
    let comparer = Comparer::new(manager, runtime);
    let kept = Kept::of(manager, runtime);
    kept.bring_back()?;
    let mut raised = Vec::new();
    for (series, snapshots) in by_series(list) {
        raised.extend(Series::of(manager, series, &snapshots)?.judge_new(name, &comparer)?);
    }
    kept.save()?;
    Ok(raised)
}

/// The series of which nothing may be forgotten by rules until a person has cleared an alert. Looks
/// at new snapshots first, so that none takes the place of the good ones before it was judged.
///
/// # Errors
/// [`Error::Refused`] if what the guard remembers cannot be used now: nothing may be forgotten by
/// rules then. As [`Database::with`].
pub fn paused(
    manager: &BackupManager,
    list: &SnapshotList,
    runtime: &Runtime,
) -> Result<HashSet<ObjectHash>> {
    let database = manager.database();
    if let Some(path) = database.path()
        && !database.is_lasting()?
    {
        return Err(Error::Refused {
            what: format!(
                "`{}` cannot be used, so it is not known whether a snapshot is unusual: nothing is \
                 forgotten by rules",
                path.display()
            ),
            hint: "mend or remove that file; `larder forget ID` forgets snapshots that you name"
                .into(),
        });
    }
    look(manager, &manager.options().name, list, runtime)?;
    let alerts = open_alerts(manager.database(), manager.repository().id(), runtime)?;
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
    Ok(open_alerts(database, repository, runtime)?.iter().any(|alert| alert.subject == series))
}

/// What is said of series that retention leaves alone.
pub fn why_paused(count: usize) -> String {
    let what = if count == 1 { "one series".to_owned() } else { format!("{count} series") };
    format!(
        "nothing of {what} was forgotten: a snapshot of it is unusual; look at `larder alert list`"
    )
}

/// Anomalies that no person has looked at yet.
///
/// # Errors
/// As [`Database::with`].
pub(super) fn open_alerts(
    database: &Database,
    repository: RepoId,
    runtime: &Runtime,
) -> Result<Vec<Alert>> {
    let mut alerts = Alerts::new(database, runtime).open()?;
    let repo_id = repository.to_string();
    alerts.retain(|alert| alert.kind == AlertKind::Anomaly && alert.repo_id == repo_id);
    Ok(alerts)
}

/// The snapshots of each series that its own machine made, oldest first, by the time at which they
/// count: one whose time cannot be believed stands for nothing, and neither does one in doubt.
fn by_series(list: &SnapshotList) -> BTreeMap<ObjectHash, Vec<Timed<'_>>> {
    let mut series: BTreeMap<ObjectHash, Vec<Timed<'_>>> = BTreeMap::new();
    for (snapshot, candidate) in list.snapshots.iter().zip(Candidate::all_of(list)) {
        let time_ms = match candidate.time_standing() {
            TimeStanding::InTime => candidate.retention_ms(),
            TimeStanding::Unknown => Some(candidate.start_ms),
            TimeStanding::BackDated(_) | TimeStanding::PostDated(_) => None,
        };
        let is_in_doubt = candidate.suspect || candidate.quarantine.is_some();
        // One that was made of another (by rewrite or repair) says nothing of the files of a machine.
        let is_copy = snapshot.body.original.is_some();
        if let Some(time_ms) = time_ms.filter(|_| !is_in_doubt && !is_copy) {
            series.entry(snapshot.body.series).or_default().push((time_ms, snapshot));
        }
    }
    for snapshots in series.values_mut() {
        snapshots.sort_by_key(|(time_ms, snapshot)| (*time_ms, snapshot.id));
    }
    series
}
