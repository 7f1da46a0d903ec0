//! What a check found, as plain data.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use super::Hits;
use crate::error::{Error, StorageErrorKind};
use crate::model::ObjectHash;
use crate::repository::Damage;

/// The result of a check.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CheckReport {
    /// How much was looked at.
    pub checked: Checked,
    /// What was found, worst first, up to the limit that was asked for.
    pub findings: Vec<Finding>,
    /// How many findings are damage, listed or not.
    pub damaged: u64,
    /// How many are warnings.
    pub warnings: u64,
    /// How many findings are counted and not listed.
    pub left_out: u64,
    /// Which snapshots and files the damage hits.
    pub hits: Hits,
    /// Names of packs that are there and hold other bytes than they should, whether that costs
    /// anything or not.
    pub bad_packs: Vec<String>,
    /// Those of them that the snapshots which were asked for are stored in; empty if all were.
    #[serde(skip)]
    pub bad_used_packs: Vec<String>,
    /// The damage itself, for whoever repairs it.
    #[serde(skip)]
    pub damage: Damage,
}

impl CheckReport {
    /// Whether this pack is on a damage list: what can be read of it was saved.
    pub fn is_distrusted(&self, pack: &str) -> bool {
        let hash = pack.rsplit('/').next().and_then(ObjectHash::from_hex);
        hash.is_some_and(|hash| self.damage.distrusted_packs.contains(&hash))
    }

    /// Whether nothing is damaged. Otherwise the program exits with code 1.
    pub fn is_clean(&self) -> bool {
        self.damaged == 0 && self.hits.snapshots.is_empty()
    }
}

/// How much a check looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Key slots, keyrings, configurations, index objects, log records, sessions, marks.
    pub records: u64,
    /// Packs that the index names.
    pub packs: u64,
    /// Snapshots whose manifest was walked.
    pub snapshots: u64,
    /// Different pages of their manifests and file lists.
    pub pages: u64,
    /// Entries in these pages.
    pub entries: u64,
    /// Chunks that these entries name, each as often as it is named.
    pub chunks: u64,
    /// Packs that were read whole.
    pub packs_read: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// Chunks and pages in them that were compared with their ids.
    pub chunks_read: u64,
    /// The bytes of these.
    pub plain_bytes: u64,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something is lost or unreadable.
    Damage,
    /// Nothing is lost, but somebody should look at it.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// The word for it in messages and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Damage => "damage",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The object in storage, or the page, chunk or snapshot; empty if it is about several.
    pub object: String,
    /// What is wrong with it, lower case, without the object's name.
    pub what: String,
    /// What to try, where that is known.
    pub hint: Option<String>,
}

/// `damage: data/ab/ab12...: it is missing`, without the hint.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.severity.as_str())?;
        if !self.object.is_empty() {
            write!(f, "{}: ", self.object)?;
        }
        f.write_str(&self.what)
    }
}

/// Gathers findings and counts from all threads.
pub(super) struct Collector {
    findings_max: usize,
    state: Mutex<State>,
    pub(super) counts: Counts,
}

#[derive(Default)]
struct State {
    findings: HashSet<Finding>,
    damaged: u64,
    warnings: u64,
    left_out: u64,
}

/// [`Checked`] while it is being counted.
#[derive(Default)]
#[allow(missing_docs)]
pub(super) struct Counts {
    pub(super) records: AtomicU64,
    pub(super) packs: AtomicU64,
    pub(super) snapshots: AtomicU64,
    pub(super) pages: AtomicU64,
    pub(super) entries: AtomicU64,
    pub(super) chunks: AtomicU64,
    pub(super) packs_read: AtomicU64,
    pub(super) bytes_read: AtomicU64,
    pub(super) chunks_read: AtomicU64,
    pub(super) plain_bytes: AtomicU64,
}

/// Adds to one of the [`Counts`].
pub(super) fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

impl Collector {
    pub(super) fn new(findings_max: usize) -> Self {
        Self { findings_max, state: Mutex::default(), counts: Counts::default() }
    }

    /// Takes a finding; the same one twice counts once while it is listed.
    pub(super) fn put(
        &self,
        severity: Severity,
        object: impl ToString,
        what: impl ToString,
        hint: Option<&str>,
    ) {
        let finding = Finding {
            severity,
            object: object.to_string(),
            what: what.to_string(),
            hint: hint.map(str::to_string),
        };
        let mut state = self.state.lock();
        if state.findings.contains(&finding) {
            return;
        }
        match severity {
            Severity::Damage => state.damaged += 1,
            Severity::Warning => state.warnings += 1,
            Severity::Note => {}
        }
        if state.findings.len() < self.findings_max {
            state.findings.insert(finding);
        } else {
            state.left_out += 1;
        }
    }

    /// Calls damage to some objects a warning: it turned out to cost nothing. The hint of each
    /// becomes `hint`.
    pub(super) fn soften(&self, is_harmless: impl Fn(&Finding) -> bool, hint: &str) {
        let mut state = self.state.lock();
        let is_meant = |f: &Finding| f.severity == Severity::Damage && is_harmless(f);
        let softened: Vec<Finding> =
            state.findings.iter().filter(|f| is_meant(f)).cloned().collect();
        for finding in softened {
            state.findings.remove(&finding);
            state.damaged -= 1;
            state.warnings += 1;
            let hint = Some(hint.to_string());
            state.findings.insert(Finding { severity: Severity::Warning, hint, ..finding });
        }
    }

    /// Takes an error that says that something is damaged.
    ///
    /// # Errors
    /// Gives the error back if it says something else: storage could not be asked.
    pub(super) fn damage(&self, error: Error) -> Result<(), Error> {
        if !error.is_damage() {
            return Err(error);
        }
        match error {
            Error::Damaged { object, what } => self.put(Severity::Damage, object, what, None),
            Error::NotFound { what, name } => {
                self.put(Severity::Damage, format!("{what} {name}"), "the index lacks it", None);
            }
            Error::Storage(error) if error.kind == StorageErrorKind::Missing => {
                self.put(Severity::Damage, &error.object, "it is missing", None);
            }
            Error::Storage(error) => {
                let what = format!("it cannot be read: {}", error.source);
                self.put(Severity::Damage, &error.object, what, None);
            }
            other => self.put(Severity::Damage, "", other, None),
        }
        Ok(())
    }

    pub(super) fn into_report(self, hits: Hits) -> CheckReport {
        let counts = self.counts;
        let checked = Checked {
            records: counts.records.into_inner(),
            packs: counts.packs.into_inner(),
            snapshots: counts.snapshots.into_inner(),
            pages: counts.pages.into_inner(),
            entries: counts.entries.into_inner(),
            chunks: counts.chunks.into_inner(),
            packs_read: counts.packs_read.into_inner(),
            bytes_read: counts.bytes_read.into_inner(),
            chunks_read: counts.chunks_read.into_inner(),
            plain_bytes: counts.plain_bytes.into_inner(),
        };
        let state = self.state.into_inner();
        let mut findings: Vec<Finding> = state.findings.into_iter().collect();
        findings.sort();
        CheckReport {
            checked,
            findings,
            damaged: state.damaged,
            warnings: state.warnings,
            left_out: state.left_out,
            hits,
            bad_used_packs: Vec::new(),
            bad_packs: Vec::new(),
            damage: Damage::default(),
        }
    }
}
