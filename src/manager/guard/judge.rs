//! Whether a snapshot leaves the history of its series far behind. A pure function of figures.

use super::limits::{GuardLimits, Percent};
use crate::format::log::SnapshotBody;

/// New content that shrinks by less is taken for such that cannot be compressed: encrypted, or
/// compressed already.
const DENSE_RATIO: f64 = 0.95;

/// What the record of a snapshot says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Bytes that no snapshot before it had.
    pub(super) added: u64,
    /// What they take up, compressed.
    pub(super) stored: u64,
}

impl Figures {
    pub(super) fn of(body: &SnapshotBody) -> Self {
        Self {
            files: body.files,
            bytes: body.bytes,
            added: body.added_bytes,
            stored: body.added_stored,
        }
    }
}

/// What became of the files of the snapshot before, file by file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Those that are gone, and not only moved.
    pub(super) gone: u64,
    /// Those with other content.
    pub(super) changed: u64,
}

impl Changes {
    /// The least that can be said without a comparison: files that came hide others that went.
    pub(super) fn at_least(before: &Figures, after: &Figures) -> Self {
        Self { gone: before.files.saturating_sub(after.files), changed: 0 }
    }
}

/// A step from one snapshot to the next, in shares of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Step {
    pub(super) gone: f64,
    pub(super) changed: f64,
    pub(super) new: f64,
    pub(super) dense: f64,
}

impl Step {
    pub(super) fn between(before: &Figures, after: &Figures, changes: &Changes) -> Self {
        let new = share(after.added, before.bytes.max(after.bytes));
        let is_dense = share(after.stored, after.added) >= DENSE_RATIO;
        Self {
            gone: share(changes.gone, before.files),
            changed: share(changes.changed, before.files),
            new,
            dense: if is_dense { new } else { 0.0 },
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "shares need no more than 52 bits")]
fn share(part: u64, whole: u64) -> f64 {
    (part as f64 / whole.max(1) as f64).min(1.0)
}

/// One snapshot, and what is known of those before it.
pub(super) struct Case<'c> {
    /// The steps before, in any order.
    pub(super) history: &'c [Step],
    pub(super) before: Figures,
    pub(super) after: Figures,
    pub(super) changes: Changes,
}

impl Case<'_> {
    /// How large the step is.
    pub(super) fn step(&self) -> Step {
        Step::between(&self.before, &self.after, &self.changes)
    }

    /// What is unusual, in words: what was seen, and what is usual.
    pub(super) fn judge(&self, limits: &GuardLimits) -> Vec<String> {
        let earlier = u64::try_from(self.history.len()).unwrap_or(u64::MAX).saturating_add(1);
        if earlier < u64::from(limits.least_snapshots.get()) {
            return Vec::new();
        }
        let (before, after, changes) = (&self.before, &self.after, &self.changes);
        let step = self.step();
        let far = |of: fn(&Step) -> f64, least: Percent| self.far(of, of(&step), least, limits);
        let mut signs = Vec::new();
        if before.files >= limits.least_files {
            for (count, what, usual) in [
                (changes.gone, "are gone", far(|step| step.gone, limits.files_gone_percent)),
                (
                    changes.changed,
                    "have other content",
                    far(|step| step.changed, limits.files_changed_percent),
                ),
            ] {
                signs.extend(usual.map(|usual| {
                    format!("{count} of {} files {what} ({usual} before)", before.files)
                }));
            }
        }
        if after.added < limits.least_bytes || before.bytes < limits.least_bytes {
            return signs;
        }
        let percent = step.new * 100.0;
        let dense = far(|step| step.dense, limits.bytes_incompressible_percent);
        let new = far(|step| step.new, limits.bytes_new_percent);
        if let Some(usual) = dense {
            signs.push(format!(
                "{percent:.0} % of the bytes are new and cannot be compressed, as if they were \
                 encrypted ({usual} before)"
            ));
        } else if let Some(usual) = new {
            signs.push(format!("{percent:.0} % of the bytes are new ({usual} before)"));
        }
        signs
    }

    /// What is usual, if this is far from it: several times the most before, or at least more than
    /// halfway from there to everything.
    fn far(
        &self,
        of: fn(&Step) -> f64,
        now: f64,
        least: Percent,
        limits: &GuardLimits,
    ) -> Option<String> {
        let most = self.history.iter().map(of).fold(0.0, f64::max);
        let unusual = (most * limits.times_usual.as_f64()).min(f64::midpoint(most, 1.0));
        let is_far = now >= least.as_f64() / 100.0 && now > unusual;
        is_far.then(|| match most * 100.0 {
            percent if percent < 0.5 => "none".to_owned(),
            percent => format!("{percent:.0} % at most"),
        })
    }
}

#[cfg(test)]
mod tests;
