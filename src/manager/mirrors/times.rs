//! Times of snapshots that reach a mirror late (SPEC.md, sections 12 and 21).

use std::collections::HashMap;

use super::Mirrors;
use crate::error::Result;
use crate::fsmeta::{host_name, user_name};
use crate::repository::{Author, Snapshot};
use crate::runtime::Runtime;
use crate::storage::{SharedStorage, list_sorted};

/// Copied later than this, a snapshot might be out of time at the mirror, which is so after a day:
/// its run began before storage got it, and the copying takes a while.
const LATE_MS: i64 = 12 * 3_600_000;

impl Mirrors<'_> {
    /// Sees to it that snapshots which these mirrors get now, or got late, keep their times there: a mirror's own
    /// clock says when they were copied, and a checkpoint says when the repository had them.
    ///
    /// What keeps that from being written is no reason not to copy: nothing is deleted too early
    /// because of it.
    pub(super) fn keep_times(&self, targets: &[&SharedStorage], runtime: &Runtime) {
        if let Err(error) = self.try_keep_times(targets, runtime) {
            tracing::warn!("times of snapshots are not written down: {}", error.in_full());
        }
    }

    fn try_keep_times(&self, targets: &[&SharedStorage], runtime: &Runtime) -> Result<()> {
        let primary = self.repository.without_mirrors();
        let list = primary.snapshots()?;
        let now_ms = runtime.clock.now_ms();
        for target in targets {
            let there = list_sorted(&***target, "snapshots/")?;
            let there: HashMap<String, Option<i64>> =
                there.into_iter().map(|meta| (meta.name, meta.modified_ms)).collect();
            let is_late = |snapshot: &Snapshot, seen_ms: i64| {
                let there_ms = there.get(&snapshot.object_name).copied().unwrap_or(Some(now_ms));
                there_ms.is_some_and(|there_ms| there_ms.saturating_sub(seen_ms) > LATE_MS)
            };
            if list.has_time_to_keep(is_late) {
                let author = Author { host: host_name(), user: user_name() };
                primary.append_checkpoint(&list, &author, runtime)?;
                return Ok(());
            }
        }
        Ok(())
    }
}
