//! Whether one is safe: what a repository and the database of this machine tell, without a daemon.

mod never;
mod series;
mod watch;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::manager::alerts::{Alert, AlertKind, Alerts, PASSED};
use crate::manager::board::{JobKind, JobStatus, JobView, last_ended, last_success};
use crate::manager::guard::GuardLimits;
use crate::manager::history::RunQuery;
use crate::manager::{BackupManager, guard};
use crate::repository::SnapshotList;
use crate::runtime::Runtime;

pub use series::{RpoSource, SeriesStatus};
pub use watch::{free_bytes, look};

/// Jobs that prove that backups are good.
const PROOFS: [JobKind; 4] = [JobKind::Check, JobKind::RestoreTest, JobKind::Verify, JobKind::Heal];

/// Among so many of the newest runs one that completed is looked for.
const RUNS_LOOKED_AT: usize = 100;

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WatchOptions {
    /// How old the newest good snapshot of a series may be, hours, if its schedule does not say;
    /// else it is learned from the series.
    pub rpo_hours: Option<u32>,
    /// Less room than this is little, bytes; else it is what three of the largest backups of late
    /// would take, one GiB at least.
    pub least_free_bytes: Option<u64>,
    /// When a snapshot is unlike all before it.
    pub guard: GuardLimits,
}

/// How things stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub enum Verdict {
    /// Everything is as it should be.
    Safe,
    /// Backups are there, and something should be looked at.
    Attention,
    /// What is there may not be what is needed.
    Danger,
}

/// Why things do not stand better.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct Reason {
    /// How bad it is.
    pub verdict: Verdict,
    /// What, in one line.
    pub message: String,
}

/// How a repository stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct StatusReport {
    /// The repository, by the name that was given.
    pub repository: String,
    /// Its id.
    pub repo_id: String,
    /// How things stand: the worst of the reasons.
    pub verdict: Verdict,
    /// Why they do not stand better, the worst first.
    pub reasons: Vec<Reason>,
    /// The series of snapshots, of all hosts.
    pub series: Vec<SeriesStatus>,
    /// What needs a person.
    pub alerts: Vec<Alert>,
    /// The next run of a schedule of this machine.
    pub next_run: Option<Timestamp>,
    /// The last check that a daemon of this machine made and that went well.
    pub last_check: Option<Timestamp>,
    /// The last restore test of a daemon of this machine that went well.
    pub last_restore_test: Option<Timestamp>,
    /// Mirrors that missed the last backup of this machine.
    pub mirrors_missed: Vec<String>,
    /// The room that is left where the repository is; `None` for a service.
    pub free_bytes: Option<u64>,
}

/// How a repository stands. `name` is what jobs and people call it, `location` where it is.
///
/// # Errors
/// The storage's; [`Error::Local`](crate::error::Error::Local) if the database cannot be read.
pub fn report(
    manager: &BackupManager,
    name: &str,
    location: &str,
    list: &SnapshotList,
    options: &WatchOptions,
    runtime: &Runtime,
) -> Result<StatusReport> {
    let database = manager.database();
    let repo_id = manager.repository().id().to_string();
    // Also without a daemon an attack is seen when somebody looks.
    guard::look(manager, name, list, runtime)?;
    let alerts = Alerts::new(database, runtime);
    let mut open = alerts.open()?;
    open.retain(|alert| {
        alert.repo_id == repo_id || (alert.repo_id.is_empty() && alert.repository == name)
    });
    let schedules = manager.schedules()?;
    let now_ms = runtime.clock.now_ms();
    let mut series = series::all(list, &schedules, options.rpo_hours, now_ms);
    for one in &mut series {
        one.retention_is_paused = open
            .iter()
            .any(|alert| alert.kind == AlertKind::Anomaly && alert.subject == one.series);
        let last = alerts.last_about(&repo_id, AlertKind::Missing, &one.series)?;
        one.is_accepted = one.is_overdue && last.is_some_and(|alert| is_accepted(&alert, one));
    }
    // One that goes on, or that failed, says nothing of mirrors.
    let runs = RunQuery { limit: Some(RUNS_LOOKED_AT), ..RunQuery::default() };
    let runs = manager.run_history().list(&runs, now_ms)?;
    let last_stats = runs.into_iter().find_map(|run| run.stats);
    let id = manager.repository().id();
    let last = |kind| last_success(database, id, name, kind);
    let mut report = StatusReport {
        repository: name.to_owned(),
        repo_id,
        verdict: Verdict::Safe,
        reasons: Vec::new(),
        series,
        alerts: open,
        next_run: manager.next_runs(1)?.first().map(|run| run.time),
        last_check: last(JobKind::Check)?,
        last_restore_test: last(JobKind::RestoreTest)?,
        mirrors_missed: last_stats.unwrap_or_default().mirrors_missed,
        free_bytes: free_bytes(location),
    };
    report.reasons = reasons(&report, list);
    let never = never::all(list, &schedules, options.rpo_hours, now_ms);
    report.reasons.extend(
        never.iter().map(|one| Reason { verdict: Verdict::Danger, message: one.message() }),
    );
    for kind in PROOFS {
        let last = last_ended(database, id, name, kind)?;
        report.reasons.extend(last.and_then(|job| failed_proof(&job, &report.alerts)));
    }
    report.reasons.sort_by_key(|reason| std::cmp::Reverse(reason.verdict));
    report.verdict = report.reasons.first().map_or(Verdict::Safe, |reason| reason.verdict);
    Ok(report)
}

/// Whether a person cleared the alert that snapshots are missing since the newest one came.
fn is_accepted(alert: &Alert, series: &SeriesStatus) -> bool {
    let by_person = alert.cleared_by.as_deref().is_some_and(|by| by != PASSED);
    by_person && series.newest.is_none_or(|newest| newest < alert.raised)
}

fn reasons(report: &StatusReport, list: &SnapshotList) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut add = |verdict, message: String| reasons.push(Reason { verdict, message });
    if report.series.is_empty() {
        add(Verdict::Danger, "there is no backup".into());
    }
    if !list.rollback.is_empty() {
        let what = "records of the repository are missing or contradict each other: `larder check`";
        add(Verdict::Danger, what.into());
    }
    if !list.bad.is_empty() {
        let what = format!("{} records cannot be read: `larder check`", list.bad.len());
        add(Verdict::Danger, what);
    }
    for one in &report.series {
        let of = format!("{} of {}", one.sources.join(", "), one.host);
        match (one.newest, one.rpo_hours) {
            _ if one.is_accepted => {}
            (None, _) => add(Verdict::Danger, format!("no good backup of {of}")),
            (Some(_), Some(hours))
                if one.is_overdue && one.rpo_source == Some(RpoSource::Assumed) =>
            {
                add(
                    Verdict::Attention,
                    format!(
                        "the newest backup of {of} is more than {hours} h old, and nothing says how \
                         old it may be: say it with `--rpo-hours`, or in a schedule or profile"
                    ),
                );
            }
            (Some(_), Some(hours)) if one.is_overdue => {
                add(
                    Verdict::Danger,
                    format!("the newest backup of {of} is more than {hours} h old"),
                );
            }
            _ => {}
        }
        if one.is_partial {
            add(Verdict::Attention, format!("files are missing from the newest backup of {of}"));
        }
    }
    for alert in &report.alerts {
        let verdict = match alert.kind {
            AlertKind::Anomaly | AlertKind::Damage => Verdict::Danger,
            // The series says so itself.
            AlertKind::Missing => continue,
            AlertKind::LowSpace | AlertKind::Away => Verdict::Attention,
        };
        add(verdict, format!("{} (alert {})", alert.message, alert.alert_id));
    }
    if !report.mirrors_missed.is_empty() {
        let names = report.mirrors_missed.join(", ");
        add(Verdict::Attention, format!("mirrors missed the last backup: {names}"));
    }
    reasons
}

/// What the last job that was to prove something found, unless an alert says it.
fn failed_proof(job: &JobView, alerts: &[Alert]) -> Option<Reason> {
    let is_said = |alert: &Alert| alert.message.contains(job.job_id.as_str());
    if job.status != JobStatus::Failed || alerts.iter().any(is_said) {
        return None;
    }
    let found = ["problems", "failed"].iter().filter_map(|figure| job.result[*figure].as_u64());
    let verdict = match found.sum::<u64>() {
        0 => Verdict::Attention,
        _ => Verdict::Danger,
    };
    let why = job.error.as_deref().unwrap_or("nobody knows why");
    let what = job.kind.as_str().replace('_', " ");
    Some(Reason { verdict, message: format!("the last {what} failed: {why} (job {})", job.job_id) })
}
