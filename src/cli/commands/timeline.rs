//! `larder timeline`: the hours to which files can be brought back.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::shared::FilterArgs;
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::{Align, Table, count, iso_ms, local_ms, plural};
use crate::error::Result;
use crate::manager::{BackupManager, Hour, ManagerOptions, RecoveryManager};
use crate::model::format_bytes;

const EXAMPLES: &str = "\
Examples:
  larder timeline
  larder timeline --hours 24 --host web
  larder timeline --hours 0 --path /home/ann --at 2026-11-01

Each line is an hour in which snapshots were made, with the newest of them. Any time between two
lines has the state of the older one: `larder restore --at TIME` takes the newest snapshot that is
not later than the time.";

/// Show the hours to which files can be brought back
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TimelineArgs {
    /// So many hours back from now, or from `--at`; 0 goes back to the first snapshot
    #[arg(long, value_name = "N", default_value_t = 168)]
    hours: u32,

    #[command(flatten)]
    filter: FilterArgs,
}

pub(super) fn run(args: &TimelineArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let runtime = context.quiet_runtime();
    let until_ms = args.filter.at.unwrap_or_else(|| runtime.clock.now_ms());
    let back_ms = i64::from(args.hours) * 3_600_000;
    let from_ms = (args.hours > 0).then(|| until_ms.saturating_sub(back_ms));
    let from = from_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let filter = args.filter.filter()?;
    let options = ManagerOptions { runtime, ..ManagerOptions::default() };
    let manager = RecoveryManager::new(BackupManager::open(context.open()?, options)?);
    let hours = manager.timeline(from, None, &filter)?;
    if out.json {
        return print_json(&hours, context);
    }
    let mut table = Table::new(&[
        ("Hour", Align::Left),
        ("Snapshots", Align::Right),
        ("Newest", Align::Left),
        ("At", Align::Left),
        ("Size", Align::Right),
        ("Host", Align::Left),
        ("What", Align::Left),
    ]);
    for hour in &hours {
        let newest = &hour.newest;
        let state = if newest.is_available { "" } else { " (quarantined or suspect)" };
        table.row(vec![
            local_ms(hour.start.as_millisecond()),
            count(hour.count),
            newest.backup_id.short(),
            local_ms(newest.timestamp.as_millisecond()),
            format_bytes(newest.total_size),
            newest.host.clone(),
            format!("{}{state}", newest.description),
        ]);
    }
    for line in table.lines() {
        out.line(line)?;
    }
    let snapshots = hours.iter().map(|hour| hour.count).sum();
    out.note(format!(
        "{} in {}",
        plural(snapshots, "snapshot"),
        plural(hours.len() as u64, "hour")
    ))?;
    Ok(Finish::Done)
}

/// An hour in JSON.
#[derive(Serialize)]
struct HourJson<'a> {
    start: Option<String>,
    count: u64,
    snapshot_id: String,
    time: Option<String>,
    is_available: bool,
    host: &'a str,
    sources: &'a [String],
    tags: &'a [String],
    files: u64,
    bytes: u64,
}

fn print_json(hours: &[Hour], context: &Context) -> Result<Finish> {
    for Hour { start, count, newest } in hours {
        context.out.message(
            "hour",
            &HourJson {
                start: iso_ms(start.as_millisecond()),
                count: *count,
                snapshot_id: newest.backup_id.to_string(),
                time: iso_ms(newest.timestamp.as_millisecond()),
                is_available: newest.is_available,
                host: &newest.host,
                sources: &newest.sources,
                tags: &newest.tags,
                files: newest.template_count,
                bytes: newest.total_size,
            },
        )?;
    }
    Ok(Finish::Done)
}
