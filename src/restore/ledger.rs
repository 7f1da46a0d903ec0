//! Takes down what all threads do, and tells the progress.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::report::{FAILURES_KEPT, RestoreFailure, RestoreReport, UnappliedSummary};
use crate::fsmeta::{Aspect, Unapplied};
use crate::model::{escape_bytes, format_bytes};
use crate::runtime::{Issue, IssueKind, Progress};

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Created,
    Replaced,
    Unchanged,
    Deleted,
    Skipped,
    /// Made beside what was there.
    KeptBoth,
    /// In conflict, in a dry run, where nobody can be asked.
    Undecided,
}

impl Outcome {
    fn verb(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Replaced => "replaced",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
            Self::Skipped => "skipped",
            Self::KeptBoth => "restored beside",
            Self::Undecided => "in conflict",
        }
    }
}

pub(super) struct Ledger {
    progress: Arc<dyn Progress>,
    /// What goes before paths in the target to make paths in the snapshot: ends in `/`.
    prefix: Vec<u8>,
    counts: [AtomicU64; 7],
    failed: AtomicU64,
    files: AtomicU64,
    bytes: AtomicU64,
    written: AtomicU64,
    verified: AtomicU64,
    failures: Mutex<Vec<RestoreFailure>>,
    unapplied: Mutex<BTreeMap<Aspect, UnappliedSummary>>,
    /// Entries that are not as in the snapshot, and known to be; `None` if nobody will ask.
    exceptions: Option<Mutex<HashMap<[u8; 16], Exception>>>,
}

/// Why an entry is not as in the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exception {
    Failed,
    Skipped,
}

/// Kinds of unapplied metadata that are told apart: names of attributes come from the snapshot.
const ASPECTS_KEPT: usize = 200;
/// Ranges that are named in a message.
const RANGES_SHOWN: usize = 4;

impl Ledger {
    /// `subtree` is the folder of the snapshot that becomes the target.
    pub(super) fn new(progress: Arc<dyn Progress>, subtree: &[u8], verify: bool) -> Self {
        let mut prefix = vec![b'/'];
        if !subtree.is_empty() {
            prefix.extend_from_slice(subtree);
            prefix.push(b'/');
        }
        Self {
            progress,
            prefix,
            counts: Default::default(),
            failed: AtomicU64::new(0),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            written: AtomicU64::new(0),
            verified: AtomicU64::new(0),
            failures: Mutex::default(),
            unapplied: Mutex::default(),
            exceptions: verify.then(Mutex::default),
        }
    }

    /// Why an entry is not as in the snapshot, if it is known not to be.
    pub(super) fn exception(&self, path: &[u8]) -> Option<Exception> {
        self.exceptions.as_ref()?.lock().get(&key(path)).copied()
    }

    fn except(&self, path: &[u8], exception: Exception) {
        if let Some(exceptions) = &self.exceptions {
            exceptions.lock().insert(key(path), exception);
        }
    }

    /// A path in the snapshot, as shown, for one in the target.
    pub(super) fn shown(&self, path: &[u8]) -> Vec<u8> {
        let mut shown = [&self.prefix[..], path].concat();
        // The target itself.
        if path.is_empty() && shown.len() > 1 {
            shown.pop();
        }
        shown
    }

    /// An entry that is no regular file is done.
    pub(super) fn entry(&self, outcome: Outcome, path: &[u8]) {
        self.counts[outcome as usize].fetch_add(1, Ordering::Relaxed);
        if matches!(outcome, Outcome::Skipped | Outcome::Undecided) {
            self.except(path, Exception::Skipped);
        }
        self.progress.detail(outcome.verb(), &self.shown(path));
        if outcome != Outcome::Deleted {
            self.progress.done(1, 0);
        }
    }

    /// A regular file is done. Its bytes were told by [`Ledger::bytes_done`].
    pub(super) fn file(&self, outcome: Outcome, path: &[u8], size: u64) {
        if !matches!(outcome, Outcome::Skipped | Outcome::Undecided) {
            self.files.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(size, Ordering::Relaxed);
        }
        self.entry(outcome, path);
    }

    /// So much of files needs no more work.
    pub(super) fn bytes_done(&self, bytes: u64) {
        self.progress.done(0, bytes);
    }

    /// So much was written to files.
    pub(super) fn bytes_written(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So much came from storage.
    pub(super) fn transferred(&self, bytes: u64) {
        self.progress.transferred(bytes);
    }

    /// A file is worked on.
    pub(super) fn current(&self, path: &[u8]) {
        use std::os::unix::ffi::OsStrExt;
        self.progress.current(Path::new(std::ffi::OsStr::from_bytes(&self.shown(path))));
    }

    /// An entry was read again.
    pub(super) fn verified(&self) {
        self.verified.fetch_add(1, Ordering::Relaxed);
    }

    /// An entry failed.
    pub(super) fn fail(&self, path: &[u8], message: impl ToString) {
        self.except(path, Exception::Failed);
        self.fail_shown(self.shown(path), message.to_string(), Vec::new());
    }

    /// Parts of a file are lost.
    pub(super) fn fail_parts(&self, path: &[u8], message: &str, lost: Vec<Range<u64>>) {
        self.except(path, Exception::Failed);
        let lost = merge(lost);
        let text = format!("{message}: {}", describe(&lost));
        self.fail_shown(self.shown(path), text, lost);
    }

    fn fail_shown(&self, path: Vec<u8>, message: String, lost: Vec<Range<u64>>) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.progress.done(1, 0);
        let issue = Issue { kind: IssueKind::Failed, path, message };
        self.progress.issue(&issue);
        let mut failures = self.failures.lock();
        if failures.len() < FAILURES_KEPT {
            failures.push(RestoreFailure { path: issue.path, message: issue.message, lost });
        }
    }

    /// Not what was hoped for, but nothing is missing.
    pub(super) fn warn(&self, path: &[u8], message: impl ToString) {
        let (path, message) = (self.shown(path), message.to_string());
        self.progress.issue(&Issue { kind: IssueKind::Warning, path, message });
    }

    /// The system did not take some metadata of an entry.
    pub(super) fn unapplied(&self, path: &[u8], list: Vec<Unapplied>) {
        if list.is_empty() {
            return;
        }
        let mut all = self.unapplied.lock();
        for Unapplied { aspect, error } in list {
            if all.len() >= ASPECTS_KEPT && !all.contains_key(&aspect) {
                continue;
            }
            let text = escape_bytes(aspect.to_string().as_bytes()).into_owned();
            let summary = all.entry(aspect).or_insert_with(|| UnappliedSummary {
                aspect: text,
                count: 0,
                example: self.shown(path),
                reason: error.to_string(),
            });
            summary.count += 1;
        }
    }

    /// All of it.
    pub(super) fn into_report(self) -> RestoreReport {
        let [created, replaced, unchanged, deleted, skipped, kept_both, undecided] =
            self.counts.map(AtomicU64::into_inner);
        RestoreReport {
            created,
            replaced,
            unchanged,
            deleted,
            skipped,
            kept_both,
            undecided,
            failed: self.failed.into_inner(),
            files: self.files.into_inner(),
            bytes: self.bytes.into_inner(),
            bytes_written: self.written.into_inner(),
            verified: self.verified.into_inner(),
            failures: self.failures.into_inner(),
            unapplied: self.unapplied.into_inner().into_values().collect(),
        }
    }
}

fn key(path: &[u8]) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(&blake3::hash(path).as_bytes()[..16]);
    key
}

/// Sorted ranges, those that touch as one.
fn merge(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.end >= range.start => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

fn describe(lost: &[Range<u64>]) -> String {
    let bytes: u64 = lost.iter().map(|range| range.end - range.start).sum();
    let mut shown: Vec<String> =
        lost.iter().take(RANGES_SHOWN).map(|r| format!("{}..{}", r.start, r.end)).collect();
    if lost.len() > RANGES_SHOWN {
        shown.push("...".into());
    }
    format!("{} (bytes {})", format_bytes(bytes), shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_ranges_are_merged_and_named() {
        let lost = merge(vec![20..30, 0..5, 5..9, 28..40]);
        assert_eq!(lost, [0..9, 20..40]);
        assert_eq!(describe(&lost), "29 B (bytes 0..9, 20..40)");
    }
}
