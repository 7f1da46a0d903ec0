//! One series: which of its snapshots are judged now, against what, and what is said.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::compare::Comparer;
use super::judge::{Case, Changes, Figures, Step};
use super::memory::{Known, Memory};
use crate::error::Result;
use crate::manager::BackupManager;
use crate::manager::alerts::{Alert, AlertKind, Alerts, NewAlert, Place};
use crate::model::{BackupId, ObjectHash};
use crate::repository::Snapshot;
use crate::tree::shown_roots;

/// Of many snapshots that are judged at once (at first sight of a repository, or after the database
/// was lost) so many of the newest are compared file by file, the others by their records.
const COMPARED_AT_ONCE: usize = 30;

/// What is usual is learned from the steps of so long, milliseconds, or from so many if there are
/// fewer in that time.
const LEARNED_MS: i64 = 100 * 24 * 3_600_000;
const LEARNED_LEAST: usize = 12;

/// A snapshot, and the time at which it counts.
pub(super) type Timed<'s> = (i64, &'s Snapshot);

/// The snapshots of a series, oldest first, and what is remembered of it.
pub(super) struct Series<'s> {
    manager: &'s BackupManager,
    snapshots: &'s [Timed<'s>],
    memory: Memory<'s>,
    remembered: HashMap<BackupId, Known>,
    /// All steps by their time, those of the records where none is remembered.
    steps: BTreeMap<(i64, BackupId), Step>,
}

impl<'s> Series<'s> {
    pub(super) fn of(
        manager: &'s BackupManager,
        series: ObjectHash,
        snapshots: &'s [Timed<'s>],
    ) -> Result<Self> {
        let repository = manager.repository().id();
        let memory = Memory::of(manager.database(), repository, series.to_string());
        let remembered = memory.steps()?;
        let mut steps: BTreeMap<(i64, BackupId), Step> =
            snapshots.windows(2).map(by_records).collect();
        for (id, known) in &remembered {
            steps.insert((known.time_ms, *id), known.step);
        }
        Ok(Self { manager, snapshots, memory, remembered, steps })
    }

    /// Judges the snapshots that it has not judged yet, and remembers them. Returns the alert that
    /// was raised, if it is new. The first snapshot has nothing to be compared with.
    pub(super) fn judge_new(
        &mut self,
        name: &str,
        comparer: &Comparer<'_>,
    ) -> Result<Option<Alert>> {
        let is_new = |at: &usize| !self.remembered.contains_key(&self.snapshots[*at].1.id);
        let new: Vec<usize> = (1..self.snapshots.len()).filter(is_new).collect();
        let compared_from = new.len().saturating_sub(COMPARED_AT_ONCE);
        let (mut judged, mut raised) = (Vec::new(), None);
        for (number, at) in new.iter().copied().enumerate() {
            let comparer = (number >= compared_from).then_some(comparer);
            let (known, signs) = self.judge(at, comparer)?;
            judged.push((self.snapshots[at].1.id, known));
            if let Some(alert) = signs {
                raised = Some(alert);
            }
        }
        if judged.is_empty() {
            return Ok(None);
        }
        let mut is_new = None;
        if let Some(new) = raised {
            let place = Place::of(self.manager.repository().id(), name);
            let alerts = Alerts::new(self.manager.database(), comparer.runtime());
            let (alert, was_raised) = alerts.raise(&place, &new)?;
            is_new = was_raised.then_some(alert);
        }
        let there: HashSet<BackupId> = self.snapshots.iter().map(|(_, one)| one.id).collect();
        let gone = self.remembered.iter().filter(|(id, _)| !there.contains(*id));
        // After the alert: whoever is interrupted between judges once more.
        self.memory.add(&judged, gone.map(|(id, known)| (*id, *known)).collect())?;
        Ok(is_new)
    }

    /// Judges one snapshot; without a comparer by its record alone.
    fn judge(
        &mut self,
        at: usize,
        comparer: Option<&Comparer<'_>>,
    ) -> Result<(Known, Option<NewAlert>)> {
        let ((_, before), (time_ms, after)) = (self.snapshots[at - 1], self.snapshots[at]);
        let figures = (Figures::of(&before.body), Figures::of(&after.body));
        let changes = match comparer {
            Some(comparer) => comparer.changes(before, after)?,
            None => Changes::at_least(&figures.0, &figures.1),
        };
        let history = &self.learned(time_ms);
        let case = Case { history, before: figures.0, after: figures.1, changes };
        let signs = case.judge(&self.manager.options().watch.guard);
        let step = case.step();
        self.steps.insert((time_ms, after.id), step);
        let alert =
            (!signs.is_empty()).then(|| anomaly(before, after, self.memory.series(), &signs));
        Ok((Known { time_ms, step }, alert))
    }

    /// The steps before this time that tell what is usual.
    fn learned(&self, until_ms: i64) -> Vec<Step> {
        let from_ms = until_ms.saturating_sub(LEARNED_MS);
        let before = self.steps.iter().rev().skip_while(|((time_ms, _), _)| *time_ms >= until_ms);
        let of_late = before
            .enumerate()
            .take_while(|(at, ((time_ms, _), _))| *time_ms >= from_ms || *at < LEARNED_LEAST);
        of_late.map(|(_, (_, step))| *step).collect()
    }
}

fn by_records(pair: &[Timed<'_>]) -> ((i64, BackupId), Step) {
    let (before, after) = (Figures::of(&pair[0].1.body), Figures::of(&pair[1].1.body));
    let changes = Changes::at_least(&before, &after);
    ((pair[1].0, pair[1].1.id), Step::between(&before, &after, &changes))
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
