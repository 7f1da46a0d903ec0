//! `larder restore --in-place`: wholly or not at all.

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use super::args::RestoreArgs;
use super::shown::print_unapplied;
use crate::cli::Finish;
use crate::cli::commands::shared::Chosen;
use crate::cli::context::Context;
use crate::cli::output::progress::{Display, Job};
use crate::cli::output::{count, plural};
use crate::error::Result;
use crate::model::{format_bytes, format_duration};
use crate::repository::Repository;
use crate::restore::Asker;
use crate::restore::transaction::{InPlaceOptions, InPlaceReport, restore_in_place};

/// The `summary` of an in-place restore in JSON.
#[derive(Serialize)]
struct Summary<'a> {
    snapshot_id: String,
    in_place: bool,
    dry_run: bool,
    seconds: f64,
    #[serde(flatten)]
    report: &'a InPlaceReport,
}

pub(super) fn run(
    args: &RestoreArgs,
    chosen: Chosen,
    ask: Option<Asker>,
    repository: &Repository,
    context: &Context,
) -> Result<Finish> {
    let out = &context.out;
    let options = options(args, chosen.path, ask, context.open_options().state_dir);
    let start = Instant::now();
    let display = Display::start(out, Job::Restore);
    let runtime = context.runtime(&display);
    let report = restore_in_place(repository, &chosen.snapshot, &options, &runtime);
    display.finish();
    let report = report?;
    let summary = Summary {
        snapshot_id: chosen.snapshot.id.to_string(),
        in_place: true,
        dry_run: options.dry_run,
        seconds: start.elapsed().as_secs_f64(),
        report: &report,
    };
    if out.json {
        out.message("summary", &summary)?;
    } else {
        print(&summary, options.verify, context)?;
    }
    Ok(Finish::Done)
}

fn options(
    args: &RestoreArgs,
    subtree: Option<Vec<u8>>,
    ask: Option<Asker>,
    state_dir: Option<PathBuf>,
) -> InPlaceOptions {
    let plain = args.options(subtree, ask);
    InPlaceOptions {
        subtree: plain.subtree,
        include: plain.include,
        iinclude: plain.iinclude,
        exclude: plain.exclude,
        iexclude: plain.iexclude,
        paths: plain.paths,
        overwrite: plain.overwrite,
        ask: plain.ask,
        delete: plain.delete,
        dry_run: plain.dry_run,
        verify: plain.verify,
        ignore_room: plain.ignore_room,
        sparse: plain.sparse,
        owner: plain.owner,
        threads: plain.threads,
        state_dir,
        ..InPlaceOptions::default()
    }
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
