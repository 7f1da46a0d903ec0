//! `larder restore --in-place`: wholly or not at all.

use std::time::Instant;

use serde::Serialize;

use super::shown::print_unapplied;
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::progress::Display;
use crate::cli::output::{count, plural};
use crate::cli::signals;
use crate::error::Result;
use crate::manager::{RecoveryManager, RecoveryRequest};
use crate::model::{format_bytes, format_duration};
use crate::restore::transaction::InPlaceReport;

/// The `summary` of an in-place restore in JSON.
#[derive(Serialize)]
struct Summary<'a> {
    snapshot_id: String,
    in_place: bool,
    dry_run: bool,
    verified_before: u64,
    seconds: f64,
    #[serde(flatten)]
    report: &'a InPlaceReport,
}

/// Restores in place what `request` asks for, shown on `display`.
pub(super) fn run(
    manager: &RecoveryManager,
    request: &RecoveryRequest,
    display: Display,
    context: &Context,
) -> Result<Finish> {
    let out = &context.out;
    let start = Instant::now();
    let done = signals::while_undoable(|| manager.restore_in_place(request));
    display.finish();
    let done = done?;
    let summary = Summary {
        snapshot_id: done.backup_id.to_string(),
        in_place: true,
        dry_run: request.restore.dry_run,
        verified_before: done.verified_before,
        seconds: start.elapsed().as_secs_f64(),
        report: &done.restored,
    };
    if out.json {
        out.message("summary", &summary)?;
    } else {
        print(&summary, request.restore.verify, context)?;
    }
    Ok(Finish::Done)
}

fn print(summary: &Summary<'_>, verify: bool, context: &Context) -> Result<()> {
    let out = &context.out;
    let report = summary.report;
    let counts = report.counts;
    let time = format_duration(std::time::Duration::from_secs_f64(summary.seconds));
    let files = format!("{} ({})", plural(counts.files, "file"), format_bytes(counts.bytes));
    out.note(if summary.dry_run {
        format!("would exchange or make {files}: this was a dry run")
    } else if counts.is_nothing() {
        format!("everything is as in the snapshot already, found in {time}")
    } else {
        format!("exchanged or made {files} in {time}")
    })?;
    let parts: Vec<String> = [
        (counts.created, "created"),
        (counts.replaced, "replaced"),
        (counts.described, "with other metadata"),
        (counts.unchanged, "unchanged"),
        (counts.deleted, "deleted"),
        (counts.skipped, "skipped"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| format!("{} {what}", count(number)))
    .collect();
    out.note(format!("  entries  {}", parts.join(", ")))?;
    if !summary.dry_run {
        out.note(format!("  written  {}", format_bytes(report.bytes_written)))?;
    }
    if summary.verified_before > 0 {
        out.note(format!("  verified {} entries first", count(summary.verified_before)))?;
    }
    if verify && !summary.dry_run {
        out.note(format!("  verified {} entries", count(report.verified)))?;
    }
    print_unapplied(&report.unapplied, out);
    for folder in &report.left_behind {
        out.warn(&format!(
            "all is restored, but `{}` could not be removed; `larder rollback` tries again",
            folder.display()
        ));
    }
    Ok(())
}
