//! What `larder restore` says at the end.

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::output::{Output, count, plural};
use crate::cli::select::shown_path;
use crate::error::Result;
use crate::manager::RecoveryRequest;
use crate::model::{format_bytes, format_duration};
use crate::restore::{RestoreReport, UnappliedSummary, VerifyBefore};

/// The `summary` of a restore in JSON.
#[derive(Serialize)]
pub(super) struct Summary<'a> {
    pub(super) target: String,
    pub(super) dry_run: bool,
    pub(super) seconds: f64,
    #[serde(flatten)]
    pub(super) done: &'a Done,
}

/// What was done, or would be.
#[derive(Serialize)]
pub(super) struct Done {
    pub(super) snapshot_id: String,
    /// Entries that were verified before anything was touched.
    pub(super) verified_before: u64,
    /// Of a dry run: the bytes that are needed, and those that are free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) room: Option<Room>,
    #[serde(flatten)]
    pub(super) report: RestoreReport,
}

/// Space in the target.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Room {
    pub(super) needed: u64,
    pub(super) available: u64,
}

pub(super) fn print(
    summary: &Summary<'_>,
    request: &RecoveryRequest,
    context: &Context,
) -> Result<()> {
    let out = &context.out;
    let report = &summary.done.report;
    let verify = request.restore.verify;
    let time = format_duration(std::time::Duration::from_secs_f64(summary.seconds));
    let files = format!("{} ({})", plural(report.files, "file"), format_bytes(report.bytes));
    out.note(if summary.dry_run {
        format!("would restore {files} to `{}`: this was a dry run", summary.target)
    } else {
        format!("restored {files} to `{}` in {time}", summary.target)
    })?;
    let parts: Vec<String> = [
        (report.created, "created"),
        (report.replaced, "replaced"),
        (report.kept_both, "restored beside"),
        (report.unchanged, "unchanged"),
        (report.deleted, "deleted"),
        (report.skipped, "skipped"),
        (report.undecided, "to be asked about"),
        (report.failed, "failed"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| format!("{} {what}", count(number)))
    .collect();
    out.note(format!("  entries  {}", parts.join(", ")))?;
    if let Some(Room { needed, available }) = summary.done.room {
        let (needed, available) = (format_bytes(needed), format_bytes(available));
        out.note(format!("  room     {needed} needed, {available} free"))?;
    }
    if request.verify_before != VerifyBefore::None {
        out.note(format!("  verified {} entries first", count(summary.done.verified_before)))?;
    }
    if !summary.dry_run {
        out.note(format!("  written  {}", format_bytes(report.bytes_written)))?;
    }
    if verify && !summary.dry_run {
        out.note(format!("  verified {} entries", count(report.verified)))?;
    }
    print_unapplied(&report.unapplied, out);
    if report.failed > 0 {
        out.warn(&format!(
            "{} could not be restored wholly, see above",
            plural(report.failed, "entry")
        ));
    }
    Ok(())
}

/// Warns of what the system did not take.
pub(super) fn print_unapplied(unapplied: &[UnappliedSummary], out: &Output) {
    for unapplied in unapplied {
        out.warn(&format!(
            "the system did not take {} of {}, such as `{}`: {}",
            unapplied.aspect,
            plural(unapplied.count, "entry"),
            shown_path(&unapplied.example),
            unapplied.reason,
        ));
    }
}
