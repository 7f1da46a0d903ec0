//! `larder stats`: numbers over all backups.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::{local_ms, plural, ratio};
use crate::cli::select::warn_of_bad;
use crate::error::Result;
use crate::model::{BackupStats, format_bytes, format_duration};

const EXAMPLES: &str = "\
Examples:
  larder stats
  larder stats --json

Failed runs are those that this machine remembers. `larder repo stats` tells what the repository is
made of, and how well it deduplicates and compresses.";

/// Show how many backups there are, how large they are and how often they fail
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatsArgs {}

pub(super) fn run(_args: &StatsArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let manager = context.manager(context.open_indexed()?)?;
    let (stats, list) = manager.stats_with_log()?;
    warn_of_bad(&list, out);
    context.warn_of_history(&manager);
    if out.json {
        out.object(&stats)?;
    } else {
        print(&stats, context)?;
    }
    Ok(if list.bad.is_empty() { Finish::Done } else { Finish::Incomplete })
}

fn print(stats: &BackupStats, context: &Context) -> Result<()> {
    let out = &context.out;
    let time = |time: Option<Timestamp>| {
        time.map_or_else(|| "-".to_owned(), |time| local_ms(time.as_millisecond()))
    };
    out.line(format!("backups       {}", stats.total_backups))?;
    out.line(format!("size          {}", format_bytes(stats.total_size)))?;
    let saved = match (stats.total_size, stats.stored_size) {
        (0, _) | (_, 0) => String::new(),
        (original, stored) => format!("  ({})", ratio(original, stored)),
    };
    out.line(format!("stored as     {}{saved}", format_bytes(stats.stored_size)))?;
    out.line(format!("oldest        {}", time(stats.oldest_backup)))?;
    out.line(format!("newest        {}", time(stats.newest_backup)))?;
    let average = Duration::from_millis(stats.avg_backup_duration_ms);
    out.line(format!("average run   {}", format_duration(average)))?;
    let failed = match stats.failed_backups {
        0 => String::new(),
        failed => format!("  ({} failed: `larder backups --status failed`)", plural(failed, "run")),
    };
    // Rounded down: 100 % means that none failed.
    let percent = (stats.success_rate * 100.0).floor();
    out.line(format!("success rate  {percent:.0} %{failed}"))
}
