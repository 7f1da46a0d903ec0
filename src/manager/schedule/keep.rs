//! What a schedule forgets after a run that succeeded: backups of its own that are older than it
//! keeps them, and nothing else.

use std::num::NonZeroU32;

use jiff::tz::TimeZone;

use crate::error::Result;
use crate::format::log::LogKind;
use crate::fsmeta::{host_name, user_name};
use crate::manager::{BackupManager, check_history, guard};
use crate::model::{Age, BackupId, BackupSchedule};
use crate::repository::{Author, Snapshot};
use crate::retention::{Candidate, GroupBy, RetentionPolicy, Setting, plan};
use crate::runtime::Runtime;

/// Snapshots that one record names at most.
const NAMED_MAX: usize = 10_000;

/// The tag of the backups of a schedule.
pub fn schedule_tag(schedule_id: &str) -> String {
    format!("schedule:{schedule_id}")
}

/// Forgets the backups of `schedule` that neither its `retention_days` nor its keep rules keep; of
/// one without rules, `keep` counts beside the days. The newest good one of each series stays however old it is, and what
/// storage has shown for less than `min_age`, is pinned or in doubt stays, too, and so do series
/// that the [`guard`] keeps. Returns what was forgotten.
///
/// # Errors
/// [`Error::History`](crate::error::Error::History) if records of the repository are missing or cannot be read: nothing is
/// forgotten on the word of the others. The storage's.
pub fn forget_old(
    manager: &BackupManager,
    schedule: &BackupSchedule,
    keep: &RetentionPolicy,
    min_age: Age,
    runtime: &Runtime,
) -> Result<Vec<BackupId>> {
    let own = if schedule.keep.is_empty() { keep } else { &schedule.keep };
    let days = NonZeroU32::new(schedule.retention_days);
    if days.is_none() && schedule.keep.is_empty() {
        return Ok(Vec::new());
    }
    let policy = RetentionPolicy { retention_days: days.or(own.retention_days), ..own.clone() };
    let repository = manager.repository();
    let list = repository.snapshots()?;
    check_history(&list, false)?;
    let tag = schedule_tag(&schedule.schedule_id);
    // Judged first: what an attack left must not push out what was before it.
    let paused = guard::paused(manager, &list, runtime)?;
    if !paused.is_empty() {
        tracing::warn!("{}", guard::why_paused(paused.len()));
    }
    let is_own = |snapshot: &Snapshot| {
        snapshot.body.tags.contains(&tag) && !paused.contains(&snapshot.body.series)
    };
    let candidates = Candidate::all_of(&list);
    let own = list.snapshots.iter().zip(candidates).filter(|(snapshot, _)| is_own(snapshot));
    let (snapshots, candidates): (Vec<&Snapshot>, Vec<Candidate>) = own.unzip();
    if snapshots.len() < 2 {
        return Ok(Vec::new());
    }
    let host = host_name();
    let now_ms = match repository.storage_now_ms(&host, "forget", runtime)? {
        Some(now_ms) => now_ms,
        None => runtime.clock.now_ms(),
    };
    let setting = Setting {
        now_ms,
        time_zone: TimeZone::system(),
        min_age,
        group_by: GroupBy::default(),
        allow_empty: false,
    };
    let plan = plan(&candidates, &policy, &setting)?;
    let old: Vec<&Snapshot> = plan.forgotten().map(|gone| snapshots[gone.at]).collect();
    let author = Author { host, user: user_name() };
    let reason = format!("{tag}: {policy}");
    for part in old.chunks(NAMED_MAX) {
        repository.append_about(LogKind::Forget, part, &reason, &author, &list, runtime)?;
    }
    Ok(old.iter().map(|snapshot| snapshot.id).collect())
}
