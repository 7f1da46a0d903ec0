//! Giving back space, and keeping mirrors whole.

use serde_json::json;

use super::run::Task;
use crate::error::{Error, Result};
use crate::fsmeta::{host_name, user_name};
use crate::manager::HealingOptions;
use crate::manager::board::JobOutcome;
use crate::model::{MirrorSyncJob, format_bytes};
use crate::prune::{self, PruneOptions};
use crate::repository::Author;

fn done(result: serde_json::Value) -> JobOutcome {
    JobOutcome { backup_id: None, result }
}

/// # Errors
/// As [`prune::run`].
pub(super) fn prune(task: &Task<'_>) -> Result<JobOutcome> {
    let options = PruneOptions::new(Author { host: host_name(), user: user_name() });
    let repository = task.site.open.manager.repository();
    let report = prune::run(repository, &options, task.handle.runtime())?;
    task.snapshots_changed(None);
    let deleted = report.deleted;
    task.log(format!("{} packs removed: {}", deleted.packs, format_bytes(deleted.bytes)));
    Ok(done(json!({
        "deleted_packs": deleted.packs,
        "deleted_bytes": deleted.bytes,
        "written_bytes": report.written.bytes,
        "condemned_packs": report.condemned.packs,
        "condemned_bytes": report.condemned.bytes,
    })))
}

/// # Errors
/// The first of the mirrors that failed, when all were tried.
pub(super) fn sync(task: &Task<'_>, job: &MirrorSyncJob) -> Result<JobOutcome> {
    let mirrors = task.site.open.manager.mirrors();
    let synced = mirrors.sync(&job.names, false, task.handle.runtime())?;
    let (mut figures, mut failed) = (Vec::new(), None);
    for one in synced {
        match one.outcome {
            Ok(report) => {
                let copied = report.copied;
                if !report.is_complete() {
                    task.warn(format!(
                        "mirror `{}`: what it lacks is damaged in the repository; `larder check`",
                        one.name
                    ));
                }
                figures.push(json!({
                    "name": one.name,
                    "copied_objects": copied.objects,
                    "copied_bytes": copied.bytes,
                    "is_complete": report.is_complete(),
                }));
            }
            Err(error) => {
                task.warn(format!("mirror `{}`: {}", one.name, error.in_full()));
                figures.push(json!({ "name": one.name, "error": error.in_full() }));
                failed.get_or_insert(error);
            }
        }
    }
    let result = json!({ "mirrors": figures });
    match failed {
        None => Ok(done(result)),
        Some(error) => {
            task.handle.note_result(result);
            Err(error)
        }
    }
}

/// # Errors
/// [`Error::Damaged`] if damage is left, and as [`Mirrors::heal`](crate::manager::Mirrors::heal).
pub(super) fn heal(task: &Task<'_>) -> Result<JobOutcome> {
    let mirrors = task.site.open.manager.mirrors();
    let healing = mirrors.heal(&HealingOptions::default(), task.handle.runtime())?;
    let report = &healing.report;
    for (location, reason) in &report.unreachable {
        task.warn(format!("{location}: {reason}"));
    }
    for left in &report.left {
        task.warn(format!("{} at {}: {}", left.name, left.location, left.what));
    }
    let result = json!({
        "read_objects": report.read.objects,
        "read_bytes": report.read.bytes,
        "healed": report.healed.len(),
        "left_damaged": report.left.len(),
        "unreachable": report.unreachable.len(),
        "trusted_again": healing.trusted_again,
    });
    match report.left.first() {
        None => Ok(done(result)),
        Some(first) => {
            task.handle.note_result(result);
            let others = report.left.len() - 1;
            let what = format!("no place has it whole ({others} more like it)");
            Err(Error::damaged(&first.name, what))
        }
    }
}
