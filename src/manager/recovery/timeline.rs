//! Recovery points by the hour.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::points::{describe, time_of};
use super::{PointQuery, RecoveryManager};
use crate::error::Result;
use crate::model::RecoveryPoint;
use crate::repository::Snapshot;
use crate::tree::SnapshotFilter;

/// An hour in which there are recovery points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct Hour {
    /// Its first moment: hours begin where those of UTC do.
    pub start: Timestamp,
    /// How many points it has.
    pub count: u64,
    /// The newest of them that is available as far as its record tells, or else the newest. Its
    /// template ids are not listed.
    pub newest: RecoveryPoint,
}

const HOUR_MS: i64 = 3_600_000;

impl RecoveryManager {
    /// The hours from `from` until `until` that have recovery points, newest first. Reads the list
    /// of snapshots and nothing else, so `is_available` says what their records say.
    ///
    /// # Errors
    /// The storage's.
    pub fn timeline(
        &self,
        from: Option<Timestamp>,
        until: Option<Timestamp>,
        filter: &SnapshotFilter,
    ) -> Result<Vec<Hour>> {
        let query = PointQuery { filter: filter.clone(), from, ..PointQuery::default() };
        let snapshots = self.manager.snapshots(&query.filter)?;
        let is_meant = |snapshot: &&Snapshot| {
            let time = time_of(snapshot);
            from.is_none_or(|from| from <= time) && until.is_none_or(|until| time <= until)
        };
        Ok(hours(snapshots.iter().filter(is_meant).map(describe)))
    }
}

fn hours(points: impl Iterator<Item = RecoveryPoint>) -> Vec<Hour> {
    let mut hours: BTreeMap<i64, Hour> = BTreeMap::new();
    for point in points {
        let start_ms = point.timestamp.as_millisecond().div_euclid(HOUR_MS).saturating_mul(HOUR_MS);
        let start = Timestamp::from_millisecond(start_ms).unwrap_or(Timestamp::MIN);
        match hours.get_mut(&start_ms) {
            None => _ = hours.insert(start_ms, Hour { start, count: 1, newest: point }),
            Some(hour) => {
                hour.count += 1;
                let rank = |point: &RecoveryPoint| (point.is_available, point.timestamp);
                if rank(&point) >= rank(&hour.newest) {
                    hour.newest = point;
                }
            }
        }
    }
    hours.into_values().rev().collect()
}
