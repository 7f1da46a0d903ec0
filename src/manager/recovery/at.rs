//! Finding the recovery point of a time.

use jiff::Timestamp;

use super::points::{is_trusted, time_of};
use super::{Point, RecoveryManager};
use crate::error::{Error, Result};
use crate::model::RecoveryPoint;
use crate::repository::Snapshot;
use crate::tree::SnapshotFilter;

impl RecoveryManager {
    /// The newest recovery point of `time` or before, of the series that `filter` chooses. Points
    /// in quarantine, and suspect ones, are passed over: of those only one that is named is taken.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the oldest point there is if none is so old, or that lists the
    /// series if several have one; the storage's.
    pub fn point_at(&self, time: Timestamp, filter: &SnapshotFilter) -> Result<RecoveryPoint> {
        let snapshot = self.snapshot_at(Some(time), filter)?;
        self.load_index()?;
        Ok(self.point_of(&snapshot))
    }

    /// The snapshot that a request means.
    ///
    /// # Errors
    /// As [`RecoveryManager::point_at`], and [`Error::NotFound`] for an id.
    pub(super) fn choose(&self, point: &Point) -> Result<Snapshot> {
        match point {
            Point::Backup(id) => self.manager.snapshot(*id),
            Point::At { time, filter } => self.snapshot_at(Some(*time), filter),
            Point::Newest { filter } => self.snapshot_at(None, filter),
        }
    }

    fn snapshot_at(&self, time: Option<Timestamp>, filter: &SnapshotFilter) -> Result<Snapshot> {
        let until_ms = match (time.map(Timestamp::as_millisecond), filter.until_ms) {
            (Some(time_ms), Some(until_ms)) => Some(time_ms.min(until_ms)),
            (time_ms, until_ms) => time_ms.or(until_ms),
        };
        let filter = SnapshotFilter { until_ms, ..filter.clone() };
        let mut list = self.manager.repository().snapshots()?;
        let fitted = filter.fitting(&list).count();
        list.snapshots.retain(is_trusted);
        match filter.newest(&list) {
            Ok(found) => Ok(found.clone()),
            Err(Error::NotFound { .. }) if fitted > 0 => Err(Error::usage_hint(
                format!("all {fitted} snapshots of that time are in quarantine or suspect"),
                "look at them with `larder snapshots`, check them with `larder check`, and name one \
                 by its id",
            )),
            Err(Error::NotFound { .. }) => Err(none_so_old(time, &filter, &list.snapshots)),
            Err(error) => Err(error),
        }
    }
}

/// Says that no point is so old, and which is the oldest.
fn none_so_old(time: Option<Timestamp>, filter: &SnapshotFilter, all: &[Snapshot]) -> Error {
    let any_time = SnapshotFilter { until_ms: None, ..filter.clone() };
    let oldest = all.iter().filter(|snapshot| any_time.fits(snapshot)).min_by_key(|s| s.time_ms());
    let Some(oldest) = oldest else {
        return Error::usage_hint(
            "there is no snapshot that fits",
            "`larder snapshots` lists all; check host, tag and path",
        );
    };
    let (id, shown) = (oldest.id.short(), time_of(oldest));
    let message = match time {
        Some(time) => {
            format!("no snapshot is from {time:.0} or before; the oldest is {id} of {shown:.0}")
        }
        None => format!("no snapshot fits; the oldest is {id} of {shown:.0}"),
    };
    Error::usage_hint(
        message,
        format!("restore that one with `larder restore {id}`, or name a later time"),
    )
}
