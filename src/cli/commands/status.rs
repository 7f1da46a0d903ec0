//! `larder status`: am I safe?

use clap::Args;
use jiff::Timestamp;

use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::{Align, Output, Table, local_ms, visible};
use crate::cli::select::warn_of_bad;
use crate::error::Result;
use crate::manager::status::{
    RpoSource, SeriesStatus, StatusReport, Verdict, WatchOptions, report,
};
use crate::model::format_bytes;

const EXAMPLES: &str = "\
Examples:
  larder status
  larder status --rpo-hours 26
  larder status --json

Works without a daemon, from the repository and what this machine remembers. How old the newest
backup of a series may be is said by its schedule (`rpo_hours`), by `--rpo-hours`, or learned: three
times the usual distance, two days at least. Of a series with too few backups to learn from, one
that is older than two days should be looked at.

Ends with 0 if all is well, 3 if something should be looked at, 1 if backups are in danger: none,
too old, or with an alert of damage or of an unusual snapshot.";

/// Show on one screen whether the backups are safe
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    /// The newest backup of a series may be so old, where its schedule does not say
    #[arg(long, value_name = "HOURS")]
    rpo_hours: Option<u32>,
}

pub(super) fn run(args: &StatusArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let location = context.location()?.to_string();
    let manager = context.manager(context.open()?)?;
    let list = manager.repository().snapshots()?;
    warn_of_bad(&list, out);
    let watch = manager.options().watch.clone();
    let options = WatchOptions { rpo_hours: args.rpo_hours.or(watch.rpo_hours), ..watch };
    let runtime = context.quiet_runtime();
    let report = report(&manager, &location, &location, &list, &options, &runtime)?;
    context.warn_of_history(&manager);
    if out.json {
        out.object(&report)?;
    } else {
        print(&report, out)?;
    }
    Ok(match report.verdict {
        Verdict::Safe => Finish::Done,
        Verdict::Attention => Finish::Incomplete,
        Verdict::Danger => Finish::Damaged,
    })
}

fn print(report: &StatusReport, out: &Output) -> Result<()> {
    out.line(match report.verdict {
        Verdict::Safe => "SAFE: all backups are there and new enough",
        Verdict::Attention => "ATTENTION: backups are there, and something should be looked at",
        Verdict::Danger => "DANGER: the backups may not be what you need",
    })?;
    for reason in &report.reasons {
        let mark = if reason.verdict == Verdict::Danger { "!!" } else { " !" };
        out.line(format!("  {mark} {}", visible(reason.message.as_bytes())))?;
    }
    out.line("")?;
    print_series(&report.series, out)?;
    out.line("")?;
    out.line(format!("repository    {}", visible(report.repository.as_bytes())))?;
    if let Some(free) = report.free_bytes {
        out.line(format!("room left     {}", format_bytes(free)))?;
    }
    out.line(format!("next run      {}", time_or(report.next_run, "no schedule here")))?;
    out.line(format!("last check    {}", time_or(report.last_check, "none by a daemon here")))?;
    let tested = time_or(report.last_restore_test, "none by a daemon here");
    out.line(format!("restore test  {tested}"))?;
    for alert in &report.alerts {
        out.line("")?;
        out.line(format!("alert {} ({})", alert.alert_id, alert.kind))?;
        out.line(format!("  {}", visible(alert.message.as_bytes())))?;
        out.line(format!("  what to do: {}", visible(alert.advice.as_bytes())))?;
    }
    Ok(())
}

fn print_series(series: &[SeriesStatus], out: &Output) -> Result<()> {
    let mut table = Table::new(&[
        ("Host", Align::Left),
        ("Sources", Align::Left),
        ("Snapshots", Align::Right),
        ("Newest good", Align::Left),
        ("May be", Align::Right),
        ("State", Align::Left),
    ]);
    for one in series {
        let state = match one {
            one if one.is_accepted => "too old, accepted",
            one if one.newest.is_none() => "NONE IS GOOD",
            one if one.is_overdue && one.rpo_source == Some(RpoSource::Assumed) => "old?",
            one if one.is_overdue => "TOO OLD",
            one if one.retention_is_paused => "unusual: nothing is forgotten",
            one if one.is_partial => "files are missing",
            _ => "good",
        };
        table.row(vec![
            visible(one.host.as_bytes()),
            one.sources.join(", "),
            one.snapshots.to_string(),
            time_or(one.newest, "-"),
            one.rpo_hours.map_or_else(|| "?".into(), |hours| format!("{hours} h")),
            state.into(),
        ]);
    }
    table.print(out)
}

fn time_or(time: Option<Timestamp>, none: &str) -> String {
    time.map_or_else(|| none.to_owned(), |time| local_ms(time.as_millisecond()))
}
