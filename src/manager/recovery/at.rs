//! Finding the recovery point of a time.

use jiff::Timestamp;

use super::points::is_trusted;
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
    /// series if several have one; [`Error::NotFound`] if none fits at all; the storage's.
    pub fn point_at(&self, time: Timestamp, filter: &SnapshotFilter) -> Result<RecoveryPoint> {
        let found = self.snapshot_at(Some(time), filter)?;
        self.manager.load_index()?;
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
        if !fitting.is_empty() && filter.fitting(&list).next().is_none() {
            return Err(Error::usage_hint(
                format!(
                    "all {} snapshots of that time are in quarantine or suspect",
                    fitting.len()
                ),
                "look at them with `larder snapshots`, check them with `larder check`, and name one \
                 by its id",
            ));
        }
        let snapshot = filter.newest(&list)?;
        let is_newer = |other: &&Snapshot| {
            other.body.series == snapshot.body.series
                && !is_trusted(other)
                && other.time_ms() > snapshot.time_ms()
        };
        let passed_over = fitting.iter().filter(is_newer).count();
        Ok(FoundPoint { snapshot: snapshot.clone(), passed_over })
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
