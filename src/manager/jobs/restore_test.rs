//! A restore test: proves with a sample that files can be brought back.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::compare::{WithSource, with_snapshot, with_source};
use super::run::Task;
use super::sample::{Sample, draw};
use super::scratch::Scratch;
use crate::error::{Error, Result};
use crate::fsmeta::{self, host_name};
use crate::manager::board::JobOutcome;
use crate::model::{RestoreTestJob, escape_bytes, format_bytes};
use crate::repository::Snapshot;
use crate::restore::{OwnerPolicy, RestoreOptions, restore};
use crate::tree::shown_roots;

/// Series that one test looks at, at most; others have their turn another time.
const SERIES_MAX: usize = 20;
/// Files that a report names at most.
const NAMED_MAX: usize = 100;

/// What a restore test found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RestoreTestReport {
    /// Series of which the newest snapshot was looked at.
    pub series: u64,
    /// Files that were restored.
    pub files: u64,
    /// Their bytes.
    pub restored_bytes: u64,
    /// Files among them that were compared with their sources too, as these had not changed.
    pub compared_with_source: u64,
    /// Files that were drawn and are larger than the budget.
    pub too_large: u64,
    /// How long restoring took, seconds.
    pub restore_s: f64,
    /// How long all took, seconds.
    pub duration_s: f64,
    /// Files that are not as they should be.
    pub failed: u64,
    /// Some of them.
    pub failures: Vec<FileTrouble>,
}

/// A file that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTrouble {
    /// Its path, with `/` in front.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl RestoreTestReport {
    /// How fast restoring was; `None` if it took no time that could be told.
    #[allow(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "is positive")]
    pub fn bytes_a_second(&self) -> Option<u64> {
        (self.restore_s > 0.0).then(|| (self.restored_bytes as f64 / self.restore_s) as u64)
    }

    fn fail(&mut self, path: &[u8], message: impl Into<String>) {
        self.failed += 1;
        if self.failures.len() < NAMED_MAX {
            let path = format!("/{}", escape_bytes(path));
            self.failures.push(FileTrouble { path, message: message.into() });
        }
    }
}

/// # Errors
/// [`Error::Damaged`] if a file could not be restored as it was; [`Error::Usage`] if there are files
/// and none fits into the budget; [`Error::Local`] without room for the sample; those of
/// [`restore`].
pub(super) fn run(task: &Task<'_>, job: &RestoreTestJob) -> Result<JobOutcome> {
    let runtime = task.handle.runtime();
    let started_ns = runtime.clock.now_ns();
    let manager = &task.site.open.manager;
    // What was read before is not to be taken for what is stored.
    let repository = manager.repository().apart();
    repository.forget_read();
    let list = repository.snapshots()?;
    let mut newest = newest_of_series(&list.snapshots);
    shuffle(&mut newest, &runtime.random);
    newest.truncate(SERIES_MAX);
    let scratch = Scratch::new(&task.site.scratch_folder(), &runtime.random)?;
    let budget_bytes = budget(task, job, &task.site.scratch_folder())?;
    let mut report = RestoreTestReport::default();
    let (count, mut total) = (newest.len(), 0);
    for (number, snapshot) in newest.into_iter().enumerate() {
        // What one series does not use is for the others.
        let left = (count - number) as u64;
        let share = budget_bytes.saturating_sub(report.restored_bytes) / left;
        let files = (u64::from(job.files).saturating_sub(report.files) / left).max(1);
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        total += snapshot.body.files;
        let drawn = draw(&repository, snapshot, share, files, &runtime.random, &runtime.cancel);
        report.series += 1;
        match drawn {
            Ok(sample) => {
                test(task, &repository, snapshot, &sample, &scratch.folder(number), &mut report)?;
            }
            Err(error) if error.is_damage() => {
                report.fail(b"", format!("snapshot {}: {}", snapshot.id.short(), error.in_full()));
            }
            Err(error) => return Err(error),
        }
    }
    report.duration_s = seconds(runtime.clock.now_ns() - started_ns);
    if report.too_large > 0 {
        let (files, budget) = (report.too_large, format_bytes(budget_bytes));
        task.warn(format!("{files} files that were drawn are larger than their part of {budget}"));
    }
    if report.files == 0 && report.failed == 0 && total > 0 {
        task.handle.note_result(serde_json::to_value(&report).expect("plain data"));
        return Err(Error::usage_hint(
            "nothing was restored, so nothing is proven: each file that was drawn is larger than \
             what may be restored",
            "allow more bytes: `budget` of the job, `--budget` of `larder drill`",
        ));
    }
    judge(task, &report)
}

fn judge(task: &Task<'_>, report: &RestoreTestReport) -> Result<JobOutcome> {
    for trouble in &report.failures {
        task.warn(format!("{}: {}", trouble.path, trouble.message));
    }
    task.log(format!(
        "{} files of {} series restored and compared: {}; {} of them compared with their sources",
        report.files,
        report.series,
        format_bytes(report.restored_bytes),
        report.compared_with_source,
    ));
    let result = serde_json::to_value(report).expect("plain data");
    match report.failures.first() {
        None => Ok(JobOutcome { backup_id: None, result }),
        Some(first) => {
            task.handle.note_result(result);
            let what = format!("{} (failed files: {})", first.message, report.failed);
            Err(Error::damaged(&first.path, what))
        }
    }
}

/// The newest good snapshot of each series.
fn newest_of_series(snapshots: &[Snapshot]) -> Vec<&Snapshot> {
    let mut good: Vec<&Snapshot> =
        snapshots.iter().filter(|one| one.quarantine.is_none() && !one.suspect).collect();
    good.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.time_ms()));
    let mut seen = HashSet::new();
    good.retain(|snapshot| seen.insert((&snapshot.host, &snapshot.body.roots)));
    good
}

fn shuffle<T>(items: &mut [T], random: &crate::runtime::Random) {
    for at in (1..items.len()).rev() {
        items.swap(at, (random.next_u64() % (at as u64 + 1)) as usize);
    }
}

/// What the sample may take: no more than half of what is free.
fn budget(task: &Task<'_>, job: &RestoreTestJob, folder: &Path) -> Result<u64> {
    let failed = |error| Error::local("look at", folder, error);
    let space = File::open(folder).and_then(fsmeta::space).map_err(failed)?;
    let most = space.available / 2;
    if most < job.budget_bytes {
        let (most, wanted) = (format_bytes(most), format_bytes(job.budget_bytes));
        task.warn(format!("{most} are tested and not {wanted}: there is little room"));
    }
    Ok(job.budget_bytes.min(most))
}

fn test(
    task: &Task<'_>,
    repository: &crate::repository::Repository,
    snapshot: &Snapshot,
    sample: &Sample,
    target: &Path,
    report: &mut RestoreTestReport,
) -> Result<()> {
    let runtime = task.handle.runtime();
    report.too_large += sample.too_large;
    if sample.entries.is_empty() {
        return Ok(());
    }
    task.log(format!(
        "snapshot {} of {}: {} files, {}",
        snapshot.id.short(),
        shown_roots(snapshot).join(", "),
        sample.entries.len(),
        format_bytes(sample.bytes),
    ));
    let options = RestoreOptions {
        target: target.to_owned(),
        paths: sample.entries.iter().map(|entry| entry.path.clone()).collect(),
        owner: OwnerPolicy::Skip,
        ..RestoreOptions::default()
    };
    let begin_ns = runtime.clock.now_ns();
    let restored = restore(repository, snapshot, &options, runtime)?;
    report.restore_s += seconds(runtime.clock.now_ns() - begin_ns);
    report.files += sample.entries.len() as u64;
    report.restored_bytes += sample.bytes;
    let mut failed = HashSet::new();
    for failure in &restored.failures {
        let path = failure.path.strip_prefix(b"/").unwrap_or(&failure.path);
        failed.insert(path.to_vec());
        report.fail(path, &failure.message);
    }
    let is_own = snapshot.host == host_name();
    for entry in sample.entries.iter().filter(|entry| !failed.contains(&entry.path)) {
        runtime.cancel.check()?;
        let path = target.join(OsStr::from_bytes(&entry.path));
        match with_snapshot(repository, snapshot, entry, &path) {
            Ok(None) => {}
            Ok(Some(differs)) => report.fail(&entry.path, differs),
            Err(error) if error.is_damage() => report.fail(&entry.path, error.in_full()),
            Err(error) => return Err(error),
        }
        match if is_own { with_source(entry, &path) } else { WithSource::NotComparable } {
            WithSource::Same => report.compared_with_source += 1,
            WithSource::Differs(at) => report.fail(
                &entry.path,
                format!("it differs from its source from byte {at} on, which is as it was"),
            ),
            WithSource::NotComparable => {}
        }
    }
    Ok(())
}

fn seconds(nanoseconds: i128) -> f64 {
    nanoseconds.max(0) as f64 / 1e9
}
