//! A check that reads another part of the stored bytes each time.

use serde_json::{Value, json};

use super::rotation::{self, Round};
use super::run::Task;
use crate::error::{Error, Result};
use crate::manager::board::JobOutcome;
use crate::manager::refuse_cold;
use crate::model::{CheckJob, Subset};
use crate::restore::all_packs;
use crate::verify::{CheckOptions, CheckReport, Checked, ReadData, Severity, check};

/// Findings that go into the log at most.
const LOGGED_MAX: usize = 50;

/// # Errors
/// [`Error::Damaged`] if there is damage, and as [`check`].
pub(super) fn run(task: &Task<'_>, job: &CheckJob) -> Result<JobOutcome> {
    let Some(period_days) = job.period_days else {
        let report = check_once(task, ReadData::None)?;
        return judge(task, &report, figures(&report.checked));
    };
    let repository = task.site.open.manager.repository();
    let what = "`larder warm-up --all --wait`";
    refuse_cold(repository, || all_packs(repository), what, task.handle.runtime())?;
    if period_days == 0 {
        let report = check_once(task, ReadData::All)?;
        return judge(task, &report, figures(&report.checked));
    }
    rotating(task, period_days)
}

fn rotating(task: &Task<'_>, period_days: u32) -> Result<JobOutcome> {
    let manager = &task.site.open.manager;
    let repo_id = manager.repository().id().to_string();
    let schedule = task.request.schedule.as_ref();
    let key = match schedule {
        Some(schedule) => schedule.schedule_id.clone(),
        None => format!("{period_days} days"),
    };
    let now_ms = task.handle.runtime().clock.now_ms();
    // What is not remembered is read once more.
    let known = rotation::load(manager.database(), &repo_id, &key);
    let mut round: Round = known.unwrap_or_default();
    let parts = rotation::parts(schedule, period_days, now_ms);
    let due = round.due(parts, period_days, now_ms);
    let (mut checked, mut last) = (Checked::default(), None);
    for number in due {
        let parts = round.parts;
        task.log(format!("reading part {number} of {parts} of the stored bytes"));
        let report = check_once(task, ReadData::Subset(Subset::Part { number, parts }))?;
        round.note(number);
        if let Err(error) = rotation::save(manager.database(), &repo_id, &key, &round) {
            task.warn(format!("it is not remembered that this was read: {}", error.in_full()));
        }
        add(&mut checked, &report.checked);
        let is_clean = report.is_clean();
        last = Some(report);
        if !is_clean {
            break;
        }
    }
    let Some(report) = last else { return Ok(JobOutcome::default()) };
    let mut figures = figures(&checked);
    figures["parts_read"] = json!(round.read());
    figures["parts"] = json!(round.parts);
    judge(task, &report, figures)
}

fn check_once(task: &Task<'_>, read_data: ReadData) -> Result<CheckReport> {
    let options = CheckOptions { read_data, ..CheckOptions::default() };
    // Backups of this process that run meanwhile load and merge the index that they share.
    check(&task.site.open.manager.repository().apart(), &options, task.handle.runtime())
}

fn add(sum: &mut Checked, more: &Checked) {
    sum.packs_read += more.packs_read;
    sum.bytes_read += more.bytes_read;
    sum.chunks_read += more.chunks_read;
    sum.plain_bytes += more.plain_bytes;
    (sum.packs, sum.snapshots, sum.entries) = (more.packs, more.snapshots, more.entries);
}

fn figures(checked: &Checked) -> Value {
    json!({
        "snapshots": checked.snapshots,
        "entries": checked.entries,
        "packs": checked.packs,
        "packs_read": checked.packs_read,
        "read_bytes": checked.bytes_read,
    })
}

/// Damage makes the job fail: somebody has to look at it.
fn judge(task: &Task<'_>, report: &CheckReport, mut result: Value) -> Result<JobOutcome> {
    for finding in report.findings.iter().take(LOGGED_MAX) {
        match finding.severity {
            Severity::Note => task.log(finding.to_string()),
            Severity::Warning | Severity::Damage => task.warn(finding.to_string()),
        }
    }
    result["is_clean"] = json!(report.is_clean());
    result["damaged"] = json!(report.damaged);
    result["problems"] = json!(report.damaged.max(report.hits.snapshots.len() as u64));
    result["warnings"] = json!(report.warnings);
    result["snapshots_hit"] = json!(report.hits.snapshots.len());
    if report.is_clean() {
        return Ok(JobOutcome { backup_id: None, result });
    }
    task.handle.note_result(result);
    let is_damage = |finding: &&crate::verify::Finding| finding.severity == Severity::Damage;
    let first = report.findings.iter().find(is_damage);
    let (object, what) = match first {
        Some(first) => (first.object.clone(), first.what.clone()),
        None => ("repository".to_owned(), "files of snapshots are lost".to_owned()),
    };
    let hit = report.hits.snapshots.len();
    Err(Error::damaged(
        object,
        format!("{what} (findings: {}; snapshots hit: {hit})", report.damaged),
    ))
}
