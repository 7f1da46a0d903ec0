//! One job, with its hooks, the limits of its transfers, and its turn among several machines.

use serde_json::json;

use super::hooks::{Facts, run_hook};
use super::turn::{Turn, take_turn};
use super::{JobRequest, Shared, backup, check, forget, maintain, restore_test};
use crate::error::Result;
use crate::manager::board::{Happening, JobHandle, JobOutcome, LogLevel};
use crate::manager::schedule::{Done, parse_bandwidth};
use crate::model::Job;

/// What a job has to work with.
pub(super) struct Task<'t> {
    pub(super) site: &'t Shared,
    pub(super) request: &'t JobRequest,
    pub(super) handle: &'t JobHandle,
}

impl Task<'_> {
    pub(super) fn log(&self, message: impl Into<String>) {
        self.handle.log(LogLevel::Info, message);
    }

    pub(super) fn warn(&self, message: impl Into<String>) {
        self.handle.log(LogLevel::Warning, message);
    }

    pub(super) fn snapshots_changed(&self, backup_id: Option<crate::model::BackupId>) {
        let happening = Happening::SnapshotsChanged { backup_id };
        self.site.board.bus().tell(Some(&self.site.name), happening);
    }
}

/// Does a job.
///
/// # Errors
/// What keeps it from being done.
pub(super) fn run(
    site: &Shared,
    request: &JobRequest,
    handle: &JobHandle,
    done: &mut Done,
) -> Result<JobOutcome> {
    let task = Task { site, request, handle };
    let plan = request.bandwidth.as_deref().map(parse_bandwidth).transpose()?;
    let _limit = plan.map(|plan| site.open.throttle.limit_also(plan));
    let hooks = &request.hooks;
    if hooks.is_empty() {
        return in_turn(&task, done);
    }
    let mut facts = Facts::of(&site.name, request, handle);
    let before = hooks
        .before
        .as_ref()
        .map(|hook| run_hook("before", hook, &facts, handle, Some(&handle.runtime().cancel)));
    let ran = before.unwrap_or(Ok(())).and_then(|()| in_turn(&task, done));
    facts.note(&ran);
    let after = [("on_failure", hooks.on_failure.as_ref().filter(|_| ran.is_err()))];
    for (name, hook) in after.into_iter().chain([("after", hooks.after.as_ref())]) {
        // The job is done or not, whatever becomes of these; a job that was cancelled has them too.
        if let Some(Err(error)) = hook.map(|hook| run_hook(name, hook, &facts, handle, None)) {
            task.warn(error.in_full());
        }
    }
    ran
}

/// Maintenance that a schedule wants is left to whoever is at it, or has just done it.
fn in_turn(task: &Task<'_>, done: &mut Done) -> Result<JobOutcome> {
    let Some(schedule) = task.request.schedule.as_ref() else { return execute(task, done) };
    if matches!(task.request.job, Job::Backup(_) | Job::RestoreTest(_)) {
        return execute(task, done);
    }
    let manager = &task.site.open.manager;
    let runtime = task.handle.runtime();
    match take_turn(manager.repository(), schedule, runtime)? {
        Turn::Others(other) => {
            task.log(format!("left to others: {other}"));
            Ok(JobOutcome { backup_id: None, result: json!({ "left_to": other }) })
        }
        Turn::Own(turn) => turn.hold(|| execute(task, done)),
    }
}

fn execute(task: &Task<'_>, done: &mut Done) -> Result<JobOutcome> {
    match &task.request.job {
        Job::Backup(job) => backup::run(task, job, done),
        Job::Forget(job) => forget::run(task, job, done),
        Job::Prune => maintain::prune(task),
        Job::Check(job) => check::run(task, job),
        Job::MirrorSync(job) => maintain::sync(task, job),
        Job::Heal => maintain::heal(task),
        Job::RestoreTest(job) => restore_test::run(task, job),
    }
}
