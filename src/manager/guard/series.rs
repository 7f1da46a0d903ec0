//! One series: which of its snapshots are judged now, against what, and what is said.

use std::collections::BTreeMap;

use super::compare::Comparer;
use super::judge::{Case, Changes, Figures, Step};
use super::memory::Memory;
use crate::error::Result;
use crate::manager::BackupManager;
use crate::manager::alerts::{Alert, AlertKind, Alerts, NewAlert, Place};
use crate::model::ObjectHash;
use crate::repository::Snapshot;
use crate::tree::shown_roots;

/// Snapshots of a series that are judged if it is not known which were: after the database was
/// lost, or at first sight of the repository.
const JUDGED_AT_FIRST: usize = 3;

/// What is usual is learned from the steps of so long, milliseconds, or from so many if there are
/// fewer in that time.
const LEARNED_MS: i64 = 100 * 24 * 3_600_000;
const LEARNED_LEAST: usize = 12;

/// The snapshots of a series, oldest first, and what is remembered of it.
pub(super) struct Series<'s> {
    manager: &'s BackupManager,
    snapshots: &'s [&'s Snapshot],
    memory: Memory<'s>,
    known_ms: Option<i64>,
}

impl<'s> Series<'s> {
    pub(super) fn of(
        manager: &'s BackupManager,
        series: ObjectHash,
        snapshots: &'s [&'s Snapshot],
    ) -> Result<Self> {
        let repository = manager.repository().id();
        let memory = Memory::of(manager.database(), repository, series.to_string());
        let known_ms = memory.judged_until()?;
        Ok(Self { manager, snapshots, memory, known_ms })
    }

    /// Which snapshots are judged now. The first has nothing to be compared with.
    pub(super) fn to_judge(&self) -> std::ops::Range<usize> {
        let from = match self.known_ms {
            Some(known_ms) => self.snapshots.partition_point(|one| one.time_ms() <= known_ms),
            None => self.snapshots.len().saturating_sub(JUDGED_AT_FIRST),
        };
        from.max(1)..self.snapshots.len()
    }

    /// Judges one snapshot, and remembers it. Returns the alert that was raised, if it is new.
    pub(super) fn judge(
        &self,
        at: usize,
        name: &str,
        comparer: &Comparer<'_>,
    ) -> Result<Option<Alert>> {
        let (before, after) = (self.snapshots[at - 1], self.snapshots[at]);
        let case = Case {
            history: &self.learned(after.time_ms())?,
            before: Figures::of(&before.body),
            after: Figures::of(&after.body),
            changes: comparer.changes(before, after)?,
        };
        let signs = case.judge(&self.manager.options().watch.guard);
        let mut raised = None;
        if !signs.is_empty() {
            let place = Place::of(self.manager.repository().id(), name);
            let alerts = Alerts::new(self.manager.database(), comparer.runtime());
            let new = anomaly(before, after, self.memory.series(), &signs);
            let (alert, is_new) = alerts.raise(&place, &new)?;
            raised = is_new.then_some(alert);
        }
        // After the alert: whoever is interrupted between judges once more.
        self.memory.add_step(after.time_ms(), &case.step())?;
        Ok(raised)
    }

    pub(super) fn note_judged(&self) -> Result<()> {
        match self.snapshots.last().map(|newest| newest.time_ms()) {
            Some(newest_ms) if Some(newest_ms) != self.known_ms => {
                self.memory.note_judged(newest_ms)
            }
            _ => Ok(()),
        }
    }

    /// The steps before this time that tell what is usual: as far as the records of the snapshots
    /// tell, and those that were judged.
    fn learned(&self, until_ms: i64) -> Result<Vec<Step>> {
        let mut steps: BTreeMap<i64, Step> = self.snapshots.windows(2).map(by_records).collect();
        steps.extend(self.memory.steps()?);
        let from_ms = until_ms.saturating_sub(LEARNED_MS);
        let of_late = steps.range(..until_ms).rev().enumerate();
        let of_late = of_late
            .take_while(|(at, (time_ms, _))| **time_ms >= from_ms || *at < LEARNED_LEAST)
            .map(|(_, (_, step))| *step);
        Ok(of_late.collect())
    }
}

fn by_records(pair: &[&Snapshot]) -> (i64, Step) {
    let (before, after) = (Figures::of(&pair[0].body), Figures::of(&pair[1].body));
    let changes = Changes::at_least(&before, &after);
    (pair[1].time_ms(), Step::between(&before, &after, &changes))
}

fn anomaly(before: &Snapshot, after: &Snapshot, series: &str, signs: &[String]) -> NewAlert {
    let what = format!("{} of {}", shown_roots(after).join(", "), after.host);
    let (good, odd) = (before.id.short(), after.id.short());
    NewAlert {
        kind: AlertKind::Anomaly,
        subject: series.to_owned(),
        message: format!("snapshot {odd} ({what}) is unlike all before it: {}", signs.join(", ")),
        advice: format!(
            "nothing of this series is forgotten until you clear this. Look whether the files are \
             as they should be: `larder diff {good} {odd}`. If they are, `larder alert clear`, and \
             as much counts as usual from now on; if not, `larder runbook ransomware`"
        ),
    }
}
