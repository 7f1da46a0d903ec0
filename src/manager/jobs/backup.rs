//! A backup, and then what its schedule keeps.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use serde_json::json;

use super::run::Task;
use crate::archive::BackupOptions;
use crate::error::Result;
use crate::manager::board::JobOutcome;
use crate::manager::schedule::{Done, check_encryption, forget_old, schedule_tag};
use crate::model::{BackupJob, BackupSchedule, unescape};
use crate::retention::{MIN_AGE, RetentionPolicy};
use crate::source::SourcePath;

pub(super) fn run(task: &Task<'_>, job: &BackupJob, done: &mut Done) -> Result<JobOutcome> {
    let manager = &task.site.open.manager;
    let mut request = manager.request(task.request.strategy);
    request.runtime = task.handle.runtime().clone();
    request.retries = task.request.attempt.saturating_sub(1);
    apply(job, &mut request.options)?;
    let schedule = task.request.schedule.as_ref();
    if let Some(schedule) = schedule {
        request.options.tags.push(schedule_tag(&schedule.schedule_id));
        request.schedule_id = Some(schedule.schedule_id.clone());
        if let Err(error) = check_encryption(manager, schedule) {
            manager.list_refused(&request, &error);
            return Err(error);
        }
    }
    let report = manager.create_backup_with(&request)?;
    let backup_id = report.snapshot.as_ref().map(|snapshot| snapshot.id);
    task.snapshots_changed(backup_id);
    let stats = report.stats;
    if stats.errors > 0 {
        done.warnings.push(format!("{} files could not be read", stats.errors));
    }
    for missed in report.mirrors.missed() {
        task.warn(format!("mirror `{}` missed this backup", missed.name));
    }
    if let Some(schedule) = schedule {
        forget(task, schedule, done);
    }
    let result = json!({
        "strategy": report.strategy,
        "files": report.snapshot.as_ref().map(|snapshot| snapshot.body.files),
        "total_bytes": stats.bytes_total,
        "read_bytes": stats.bytes_read,
        "stored_bytes": stats.bytes_stored,
        "files_new": stats.files_new,
        "files_changed": stats.files_changed,
        "files_unmodified": stats.files_unmodified,
        "errors": stats.errors,
        "duration_s": report.duration.as_secs_f64(),
        "forgotten": done.forgotten.len(),
    });
    Ok(JobOutcome { backup_id, result })
}

/// The backup is made: what else goes wrong is for people to look at.
fn forget(task: &Task<'_>, schedule: &BackupSchedule, done: &mut Done) {
    let (manager, runtime) = (&task.site.open.manager, task.handle.runtime());
    match forget_old(manager, schedule, &RetentionPolicy::default(), MIN_AGE, runtime) {
        Ok(forgotten) if forgotten.is_empty() => {}
        Ok(forgotten) => {
            task.log(format!("{} older backups of this schedule were forgotten", forgotten.len()));
            task.snapshots_changed(None);
            done.forgotten = forgotten;
        }
        Err(error) => {
            let message = format!("no older backup was forgotten: {}", error.in_full());
            task.warn(&message);
            done.warnings.push(message);
        }
    }
}

/// What the job says goes before what the manager has.
fn apply(job: &BackupJob, options: &mut BackupOptions) -> Result<()> {
    let path = |text: &String| PathBuf::from(OsString::from_vec(unescape(text)));
    if !job.sources.is_empty() {
        let sources = job.sources.iter().map(|text| SourcePath::new(&path(text)));
        options.sources = sources.collect::<Result<_>>()?;
        options.stdin = None;
    }
    let walk = &mut options.walk;
    if !job.excludes.is_empty() {
        walk.exclude.clone_from(&job.excludes);
    }
    if !job.exclude_files.is_empty() {
        walk.exclude_file = job.exclude_files.iter().map(path).collect();
    }
    walk.exclude_caches |= job.exclude_caches;
    walk.one_file_system |= job.one_file_system;
    options.tags.extend(job.tags.iter().cloned());
    if let Some(description) = &job.description {
        options.description.clone_from(description);
    }
    Ok(())
}
