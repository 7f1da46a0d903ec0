//! `larder drill`: a restore test now.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::shared::size;
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::{Output, plural, visible};
use crate::error::Result;
use crate::manager::board::{Board, EventBus, JobQuery, LogLevel, LogLine};
use crate::manager::fleet::OpenSite;
use crate::manager::history::Database;
use crate::manager::jobs::{JobRequest, Jobs, RestoreTestReport};
use crate::model::{Job, RestoreTestJob, format_bytes, format_duration};
use crate::storage::throttle::{Limits, ThrottleHandle};

const EXAMPLES: &str = "\
Examples:
  larder drill                        256 MiB of files at most, of the newest snapshots
  larder drill --budget 2G --files 1000
  larder --json drill                 the figures for programs
  larder schedule add proof --job restore_test --when @weekly      the same each week

Files that are drawn by chance are restored into an empty folder, compared byte for byte with what
the snapshot says and, where it has not changed since, with the source, and removed. Ends with 1 if
one of them is not as it should be.";

/// Prove with a sample that files can be brought back
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DrillArgs {
    /// Bytes of the sample at most
    #[arg(long, value_name = "SIZE", value_parser = size)]
    budget: Option<u64>,

    /// Files in the sample at most
    #[arg(long, value_name = "N")]
    files: Option<u32>,
}

pub(super) fn run(args: &DrillArgs, context: &Context) -> Result<Finish> {
    let manager = context.manager(context.open_indexed()?)?;
    let runtime = context.quiet_runtime();
    let database = Database::new(context.open_options().state_dir, Arc::clone(&runtime.clock));
    let bus = EventBus::new(Arc::clone(&runtime.clock));
    let board = Board::new(Arc::new(database), bus, runtime);
    let open = Arc::new(OpenSite {
        manager: manager.clone(),
        throttle: ThrottleHandle::new(Limits::default()),
        requests: Arc::clone(&context.out.requests),
    });
    let usual = RestoreTestJob::default();
    let job = Job::RestoreTest(RestoreTestJob {
        budget_bytes: args.budget.unwrap_or(usual.budget_bytes),
        files: args.files.unwrap_or(usual.files),
    });
    let name = manager.repository().location().to_owned();
    let jobs = Jobs::new(&name, open, board.clone());
    let done = jobs.run(&JobRequest::new(job, "a person"), &context.cancel);
    context.warn_of_history(&manager);
    // Figures are there if it failed, too.
    let newest = board.list(&JobQuery { limit: 1, ..JobQuery::default() })?.jobs;
    let report = newest.into_iter().next().map(|job| (job.job_id, job.result));
    if let Some((id, figures)) = report {
        match serde_json::from_value::<RestoreTestReport>(figures.clone()) {
            _ if context.out.json => context.out.message("drill", &figures)?,
            Ok(report) => print(&report, &board.log(&id)?, &context.out)?,
            // It ended before there were any.
            Err(_) => {}
        }
    }
    done.map(|_| Finish::Done)
}

fn print(report: &RestoreTestReport, log: &[LogLine], out: &Output) -> Result<()> {
    let seconds = |seconds: f64| format_duration(Duration::from_secs_f64(seconds.max(0.0)));
    let (files, series) = (plural(report.files, "file"), report.series);
    out.line(if report.failed == 0 && report.files > 0 {
        "PROVEN: what was drawn came back as it was"
    } else if report.failed == 0 {
        "NOTHING PROVEN: there was no file to draw"
    } else {
        "FAILED: not all that was drawn came back as it was"
    })?;
    out.line("")?;
    let bytes = format_bytes(report.restored_bytes);
    out.line(format!("restored      {files}, {bytes}, of {series} series"))?;
    let rate = report.bytes_a_second().map(|rate| format!(" ({}/s)", format_bytes(rate)));
    let restore = seconds(report.restore_s);
    out.line(format!("time          {restore} to restore{}", rate.unwrap_or_default()))?;
    out.line(format!("              {} in all", seconds(report.duration_s)))?;
    let compared = report.compared_with_source;
    out.line(format!("compared      all with the snapshot, {compared} with their sources too"))?;
    if report.too_large > 0 {
        let left = plural(report.too_large, "file");
        out.line(format!("left out      {left} larger than the budget (`--budget`)"))?;
    }
    out.line(format!("failed        {}", plural(report.failed, "file")))?;
    for trouble in &report.failures {
        let (path, message) = (&trouble.path, &trouble.message);
        out.line(format!("  {}: {}", visible(path.as_bytes()), visible(message.as_bytes())))?;
    }
    if report.failed > 0 {
        out.line("")?;
        out.line(
            "what to do: `larder check --read-data` says what else is damaged; `larder heal` \
             brings back what mirrors have; `larder runbook damaged-repository` says the rest",
        )?;
    }
    // What is wrong with files is said above.
    let is_said = |line: &&LogLine| {
        report.failures.iter().any(|one| line.message.ends_with(one.message.as_str()))
    };
    for line in log.iter().filter(|line| line.level == LogLevel::Warning && !is_said(line)) {
        out.warn(&line.message);
    }
    Ok(())
}
