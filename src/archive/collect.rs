//! Puts finished entries back in order and writes them to the manifest.

use std::collections::{BTreeMap, HashSet};

use crossbeam_channel::Receiver;

use super::control::Control;
use super::job::Done;
use super::report::BackupStats;
use crate::error::Result;
use crate::format::log::{ERRORS_KEPT, SourceError};
use crate::format::record::Bin;
use crate::runtime::{Issue, IssueKind, Progress};
use crate::tree::{ManifestRoot, ManifestWriter};

/// What the collector ends with.
#[derive(Debug)]
pub(super) struct Collected {
    pub(super) root: ManifestRoot,
    pub(super) stats: BackupStats,
    pub(super) errors: Vec<SourceError>,
}

/// Collects until all workers are gone. Fails if the run was stopped: a manifest with gaps must
/// never be taken for a whole one.
pub(super) fn collect(
    done: &Receiver<Done>,
    mut manifest: ManifestWriter<'_>,
    control: &Control,
    progress: &dyn Progress,
) -> Result<Collected> {
    let mut waiting: BTreeMap<u64, Done> = BTreeMap::new();
    let mut next = 0;
    let mut stats = BackupStats::default();
    let mut errors = Vec::new();
    // First names of files that could not be read: their other names have nothing to point to.
    let mut failed: HashSet<Vec<u8>> = HashSet::new();
    for job in done {
        waiting.insert(job.seq, job);
        while let Some(job) = waiting.remove(&next) {
            next += 1;
            control.collected(next);
            stats.add(&job.stats);
            for issue in job.issues {
                failed.insert(issue.path.clone());
                keep_error(&mut errors, issue);
            }
            for entry in job.entries {
                if let Some(first) = &entry.link_to
                    && failed.contains(first)
                {
                    let message = "its other name could not be read".to_string();
                    let issue =
                        Issue { kind: IssueKind::Failed, path: entry.path.clone(), message };
                    progress.issue(&issue);
                    stats.errors += 1;
                    keep_error(&mut errors, issue);
                    continue;
                }
                failed.remove(&entry.path);
                if let Err(error) = manifest.push(entry) {
                    control.stop(error);
                }
            }
        }
    }
    control.check()?;
    if let Some(seq) = waiting.keys().next() {
        let what = format!("job {seq} came back, but {next} did not");
        return Err(crate::error::Error::Internal { what });
    }
    let root = manifest.finish()?;
    Ok(Collected { root, stats, errors })
}

fn keep_error(errors: &mut Vec<SourceError>, issue: Issue) {
    if issue.kind == IssueKind::Failed && errors.len() < ERRORS_KEPT {
        errors.push(SourceError { path: Bin(issue.path), message: issue.message });
    }
}
