//! Forgetting what a policy does not keep, over all series.

use jiff::tz::TimeZone;
use serde_json::json;

use super::maintain;
use super::run::Task;
use crate::error::Result;
use crate::fsmeta::host_name;
use crate::manager::board::JobOutcome;
use crate::manager::guard;
use crate::manager::schedule::Done;
use crate::manager::{DeleteOptions, check_history};
use crate::model::ForgetJob;
use crate::repository::Snapshot;
use crate::retention::{Candidate, GroupBy, MIN_AGE, Setting, plan};

pub(super) fn run(task: &Task<'_>, job: &ForgetJob, done: &mut Done) -> Result<JobOutcome> {
    let (manager, runtime) = (&task.site.open.manager, task.handle.runtime());
    let repository = manager.repository();
    let list = repository.snapshots()?;
    check_history(&list, false)?;
    let storage_ms = repository.storage_now_ms(&host_name(), "forget", runtime)?;
    let setting = Setting {
        now_ms: storage_ms.unwrap_or_else(|| runtime.clock.now_ms()),
        time_zone: TimeZone::system(),
        min_age: MIN_AGE,
        group_by: GroupBy::default(),
        allow_empty: false,
    };
    // Judged first: what an attack left must not push out what was before it.
    let paused = guard::paused(manager, &list, runtime)?;
    if !paused.is_empty() {
        task.warn(guard::why_paused(paused.len()));
    }
    let (snapshots, candidates): (Vec<&Snapshot>, Vec<Candidate>) = list
        .snapshots
        .iter()
        .zip(Candidate::all_of(&list))
        .filter(|(snapshot, _)| !paused.contains(&snapshot.body.series))
        .unzip();
    let plan = plan(&candidates, &job.keep, &setting)?;
    let gone: Vec<&Snapshot> = plan.forgotten().map(|one| snapshots[one.at]).collect();
    if !gone.is_empty() {
        let options = DeleteOptions { reason: job.keep.to_string(), ..DeleteOptions::default() };
        manager.delete_snapshots(&gone, &list, &options)?;
        task.snapshots_changed(None);
    }
    let kept = list.snapshots.len() - gone.len();
    task.log(format!("{} snapshots forgotten, {kept} kept", gone.len()));
    done.forgotten = gone.iter().map(|snapshot| snapshot.id).collect();
    let mut result = json!({ "forgotten": gone.len(), "kept": kept });
    if job.prune {
        result["prune"] = maintain::prune(task)?.result;
    }
    Ok(JobOutcome { backup_id: None, result })
}
