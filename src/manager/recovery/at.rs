//! Finding the recovery point of a time.

use jiff::Timestamp;

use super::points::{is_trusted, time_of};
use super::{Point, RecoveryManager};
use crate::error::{Error, Result};
use crate::model::RecoveryPoint;
use crate::repository::Snapshot;
use crate::runtime::{Issue, IssueKind, Runtime};
use crate::tree::SnapshotFilter;

impl RecoveryManager {
    /// The newest recovery point of `time` or before, of the series that `filter` chooses. Points
    /// in quarantine, and suspect ones, are passed over: of those only one that is named is taken.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the oldest point there is if none is so old, or that lists the
    /// series if several have one; the storage's.
    pub fn point_at(&self, time: Timestamp, filter: &SnapshotFilter) -> Result<RecoveryPoint> {
        let found = self.snapshot_at(Some(time), filter)?;
        self.load_index()?;
        Ok(self.point_of(&found.snapshot))
    }

    /// The snapshot that is meant, and what was passed over to get to it.
    ///
    /// # Errors
    /// As [`RecoveryManager::point_at`], and [`Error::NotFound`] for an id.
    pub fn find_point(&self, point: &Point) -> Result<FoundPoint> {
        let named = |snapshot| FoundPoint { snapshot, passed_over: 0 };
        match point {
            Point::Backup(id) => self.manager.snapshot(*id).map(named),
            Point::Snapshot(snapshot) => Ok(named((**snapshot).clone())),
            Point::At { time, filter } => self.snapshot_at(Some(*time), filter),
            Point::Newest { filter } => self.snapshot_at(None, filter),
        }
    }

    /// The snapshot that a request means. Tells the progress what was passed over.
    pub(super) fn choose(&self, point: &Point, runtime: &Runtime) -> Result<Snapshot> {
        let found = self.find_point(point)?;
        if let Some(message) = found.warning() {
            let kind = IssueKind::Warning;
            runtime.progress.issue(&Issue { kind, path: Vec::new(), message });
        }
        Ok(found.snapshot)
    }

    fn snapshot_at(&self, time: Option<Timestamp>, filter: &SnapshotFilter) -> Result<FoundPoint> {
        let until_ms = match (time.map(Timestamp::as_millisecond), filter.until_ms) {
            (Some(time_ms), Some(until_ms)) => Some(time_ms.min(until_ms)),
            (time_ms, until_ms) => time_ms.or(until_ms),
        };
        let filter = SnapshotFilter { until_ms, ..filter.clone() };
        let mut list = self.manager.repository().snapshots()?;
        let fitting: Vec<Snapshot> = filter.fitting(&list).cloned().collect();
        list.snapshots.retain(is_trusted);
        match filter.newest(&list) {
            Ok(snapshot) => {
                let is_newer = |other: &&Snapshot| {
                    other.body.series == snapshot.body.series
                        && !is_trusted(other)
                        && other.time_ms() > snapshot.time_ms()
                };
                let passed_over = fitting.iter().filter(is_newer).count();
                Ok(FoundPoint { snapshot: snapshot.clone(), passed_over })
            }
            Err(Error::NotFound { .. }) if !fitting.is_empty() => {
                let count = fitting.len();
                Err(Error::usage_hint(
                    format!("all {count} snapshots of that time are in quarantine or suspect"),
                    "look at them with `larder snapshots`, check them with `larder check`, and name \
                     one by its id",
                ))
            }
            Err(Error::NotFound { .. }) => Err(none_so_old(until_ms, &filter, &list.snapshots)),
            Err(error) => Err(error),
        }
    }
}

/// A snapshot that was looked for.
#[derive(Clone, Debug)]
pub struct FoundPoint {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Later ones of its series that would have been meant and are in quarantine or suspect.
    pub passed_over: usize,
}

impl FoundPoint {
    /// What people should know of the choice.
    pub fn warning(&self) -> Option<String> {
        let (count, id) = (self.passed_over, self.snapshot.id.short());
        (count > 0).then(|| {
            format!(
                "{count} later snapshots in quarantine or suspect were passed over; {id} is taken"
            )
        })
    }
}

/// Says that no point is so old, and which is the oldest.
fn none_so_old(until_ms: Option<i64>, filter: &SnapshotFilter, all: &[Snapshot]) -> Error {
    let any_time = SnapshotFilter { until_ms: None, ..filter.clone() };
    let oldest = all.iter().filter(|snapshot| any_time.fits(snapshot)).min_by_key(|s| s.time_ms());
    let until = until_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let (Some(oldest), Some(until)) = (oldest, until) else {
        return Error::usage_hint(
            "there is no snapshot that fits",
            "`larder snapshots` lists all; check host, tag and path",
        );
    };
    let (id, shown) = (oldest.id.short(), time_of(oldest));
    Error::usage_hint(
        format!("no snapshot is from {until:.0} or before; the oldest is {id} of {shown:.0}"),
        format!("restore that one with `larder restore {id}`, or name a later time"),
    )
}
