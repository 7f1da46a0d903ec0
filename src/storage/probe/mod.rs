//! Tries what a place really does, as opposed to what its kind promises: servers that speak a
//! protocol differ in what they obey.
//!
//! Only objects of its own below `probe/` are written, and they are removed again. A place that
//! refuses deletes keeps a few of at most 64 KiB in all.

mod checks;
#[cfg(test)]
mod tests;

use serde::Serialize;

use self::checks::Prober;
use super::Storage;
use crate::error::StorageError;
use crate::runtime::{CancelToken, Clock, Random};

/// The folder of what a probe writes.
pub const PROBE_FOLDER: &str = "probe";

/// How good one finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Worth knowing; the engine copes with it.
    Note,
    /// The engine copes with it, but something is lost by it.
    Warning,
    /// A repository must not be kept here.
    Fails,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was tried, in a word or two: `create once`, `ranges`.
    pub check: &'static str,
    /// How good it is.
    pub verdict: Verdict,
    /// What it did, in a sentence.
    pub text: String,
}

/// What a place does.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Probe {
    /// One for each check, in the order in which they were made.
    pub findings: Vec<Finding>,
    /// How far the clock of storage is ahead of this machine's, in milliseconds, where it tells
    /// times. As exact as storage tells them: to the second at some services.
    pub clock_ahead_ms: Option<i64>,
    /// The time of one small request, in milliseconds: the median of several reads.
    pub request_ms: f64,
    /// Objects of the probe that could not be removed.
    pub left: Vec<String>,
}

impl Probe {
    /// The worst finding.
    pub fn verdict(&self) -> Verdict {
        self.findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Good)
    }
}

/// Tries everything.
///
/// # Errors
/// What keeps it from being tried at all: the place cannot be reached, or nothing can be written
/// or read there.
pub fn probe(
    storage: &dyn Storage,
    clock: &dyn Clock,
    random: &Random,
    cancel: &CancelToken,
) -> Result<Probe, StorageError> {
    let run = format!("{PROBE_FOLDER}/{:016x}", random.next_u64());
    Prober::new(storage, clock, cancel, run).run()
}
