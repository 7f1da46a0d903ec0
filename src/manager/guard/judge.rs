//! Whether a snapshot leaves the history of its series far behind. A pure function of figures.

use crate::format::log::SnapshotBody;

/// What counts as far behind. Shares are those of all files or bytes of the series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limits {
    /// So many snapshots must be there before the first is judged.
    pub(super) least_history: usize,
    /// How far back the history goes.
    pub(super) most_history: usize,
    /// So many times more than ever before.
    pub(super) times: f64,
    /// The least share of files gone, of bytes new, of new bytes that cannot be compressed.
    pub(super) gone: f64,
    pub(super) new: f64,
    pub(super) dense: f64,
    /// Series with fewer files, or with fewer new bytes, do what they like.
    pub(super) least_files: u64,
    pub(super) least_bytes: u64,
}

/// What the guard goes by.
pub(super) const LIMITS: Limits = Limits {
    least_history: 4,
    most_history: 30,
    times: 3.0,
    gone: 0.25,
    new: 0.5,
    dense: 0.15,
    least_files: 20,
    least_bytes: 1 << 20,
};

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

/// A step from one snapshot to the next, in shares of the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Step {
    gone: f64,
    new: f64,
    dense: f64,
}

impl Step {
    fn between(before: &Figures, after: &Figures) -> Self {
        let whole = before.bytes.max(after.bytes).max(1);
        let new = share(after.added, whole);
        let is_dense = share(after.stored, after.added.max(1)) >= DENSE_RATIO;
        Self {
            // Files that came as others went hide those: it is the least that can be said.
            gone: share(before.files.saturating_sub(after.files), before.files.max(1)),
            new,
            dense: if is_dense { new } else { 0.0 },
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "shares need no more than 52 bits")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// What is unusual about the last of the snapshots of one series, oldest first, in words.
pub(super) fn judge(series: &[Figures], limits: &Limits) -> Vec<String> {
    let from = series.len().saturating_sub(limits.most_history + 1);
    let steps: Vec<Step> =
        series[from..].windows(2).map(|pair| Step::between(&pair[0], &pair[1])).collect();
    let Some((last, earlier)) = steps.split_last() else { return Vec::new() };
    if series.len() <= limits.least_history {
        return Vec::new();
    }
    let (before, after) = (&series[series.len() - 2], &series[series.len() - 1]);
    let most = |of: fn(&Step) -> f64| earlier.iter().map(of).fold(0.0, f64::max);
    let is_far =
        |of: fn(&Step) -> f64, least: f64| of(last) >= least && of(last) > limits.times * most(of);
    let mut signs = Vec::new();
    if before.files >= limits.least_files && is_far(|step| step.gone, limits.gone) {
        let gone = before.files - after.files;
        signs.push(format!("{gone} of {} files are gone", before.files));
    }
    let is_large = after.added >= limits.least_bytes && before.bytes >= limits.least_bytes;
    if is_large && is_far(|step| step.dense, limits.dense) {
        let percent = (last.dense * 100.0).min(100.0);
        signs.push(format!(
            "{percent:.0} % of the bytes are new and cannot be compressed, as if they were encrypted"
        ));
    } else if is_large && is_far(|step| step.new, limits.new) {
        let percent = (last.new * 100.0).min(100.0);
        signs.push(format!("{percent:.0} % of the bytes are new"));
    }
    signs
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A series of 1,000 files and 100 MiB, of which 1 MiB changes each day.
    fn usual(days: usize) -> Vec<Figures> {
        let day = |n: usize| Figures {
            files: 1_000,
            bytes: 100 * MIB,
            added: if n == 0 { 100 * MIB } else { MIB },
            stored: if n == 0 { 50 * MIB } else { MIB / 2 },
        };
        (0..days).map(day).collect()
    }

    fn then(next: Figures) -> Vec<String> {
        let mut series = usual(10);
        series.push(next);
        judge(&series, &LIMITS)
    }

    #[test]
    fn what_is_usual_is_no_sign() {
        assert!(judge(&usual(10), &LIMITS).is_empty());
        assert!(judge(&[], &LIMITS).is_empty());
        let last = usual(2)[1];
        assert!(then(Figures { files: 900, ..last }).is_empty(), "a tenth of the files");
        assert!(then(Figures { added: 20 * MIB, stored: 9 * MIB, ..last }).is_empty(), "much new");
        let grown = Figures { bytes: 110 * MIB, added: 10 * MIB, stored: 10 * MIB, ..last };
        assert!(then(grown).is_empty(), "a few films");
    }

    #[test]
    fn an_attack_is_seen() {
        let last = usual(2)[1];
        let encrypted = then(Figures { added: 60 * MIB, stored: 60 * MIB, ..last });
        assert!(encrypted.len() == 1 && encrypted[0].contains("encrypted"), "{encrypted:?}");
        let gone = then(Figures { files: 100, bytes: 10 * MIB, ..last });
        assert_eq!(gone, ["900 of 1000 files are gone"]);
        let other = then(Figures { added: 90 * MIB, stored: 30 * MIB, ..last });
        assert_eq!(other, ["90 % of the bytes are new"]);
        let both = then(Figures { files: 500, added: 60 * MIB, stored: 60 * MIB, ..last });
        assert_eq!(both.len(), 2);
    }

    #[test]
    fn a_series_that_always_does_so_is_left_alone() {
        let day = |n: u64| Figures {
            files: 1_000 - 400 * (n % 2),
            bytes: 100 * MIB,
            added: 80 * MIB,
            stored: 80 * MIB,
        };
        let series: Vec<Figures> = (0..20).map(day).collect();
        for end in 1..=20 {
            assert!(judge(&series[..end], &LIMITS).is_empty(), "{end}");
        }
        // Nor is a series that is new, or tiny.
        let mut young = usual(2);
        young.push(Figures { files: 1, ..young[1] });
        assert!(judge(&young, &LIMITS).is_empty());
        let tiny = Figures { files: 5, bytes: 1_000, added: 1_000, stored: 1_000 };
        let mut series = vec![Figures { added: 0, stored: 0, ..tiny }; 9];
        series.push(tiny);
        assert!(judge(&series, &LIMITS).is_empty());
    }
}
