//! `larder prune`: gives back the space of what no snapshot needs.

use std::str::FromStr;

use clap::Args;
use jiff::Zoned;
use serde::Serialize;

use super::shared::size;
use crate::cli::Finish;
use crate::cli::author::author;
use crate::cli::context::Context;
use crate::cli::output::progress::{Display, Job};
use crate::cli::output::{Align, Table, count, local_ms, plural};
use crate::error::Result;
use crate::model::{Age, format_bytes, parse_bytes};
use crate::prune::{
    MaxUnused, PruneOptions, PrunePlan, PruneReport, Tally, Wait, plan, run as prune,
};
use crate::repository::Repository;

const EXAMPLES: &str = "\
Examples:
  larder prune                        now and then, after `larder forget`
  larder prune --dry-run              what would go, and which files are lost for good then
  larder prune --grace 0              everything at once, while nobody backs up
  larder prune --max-unused 0         give back every byte that can be
  larder prune --max-repack 10G       no more than this is written anew in one run

Backups may go on meanwhile. One run marks what is not needed; a run a day or more later deletes it,
when everybody who might still rely on it is done, so run it regularly. Until then `larder undelete`
brings forgotten snapshots back.";

/// Files named to people; JSON has all.
const LOST_SHOWN: usize = 20;
/// Below this a grace is worth a word.
const GRACE_WARNED_MS: i64 = 24 * 3_600_000;

/// Give back the space of what no snapshot needs
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PruneArgs {
    /// Only say what would be freed, and which files would be lost for good
    #[arg(short = 'n', long)]
    dry_run: bool,

    #[command(flatten)]
    how: PruneHow,
}

/// How to prune: also for `forget --prune`.
#[derive(Args, Debug, Default, PartialEq)]
#[command(next_help_heading = "How to prune")]
pub(crate) struct PruneHow {
    /// Keep the data of snapshots forgotten less than this ago; 0: do all at once [default: 7d]
    #[arg(long, value_name = "DURATION")]
    grace: Option<Age>,

    /// How much of what is stored may be unused: `5%`, `2G` [default: 5%]
    #[arg(long, value_name = "PART")]
    max_unused: Option<Unused>,

    /// Write at most this much anew, but one pack if there is reason to
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_repack: Option<u64>,

    /// Also write anew packs that are in cold storage; they have to be warmed up before
    #[arg(long)]
    repack_cold: bool,

    /// Also write anew what is sealed with keys that are not current any more
    #[arg(long)]
    repack_old_keys: bool,

    /// Go on although records of the repository's history are missing
    #[arg(long)]
    pub(super) accept_history: bool,

    /// Go on although another prune seems to be at work
    #[arg(long)]
    ignore_lease: bool,
}

/// `5%` or a size.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Unused(MaxUnused);

impl FromStr for Unused {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let Some(percent) = text.trim().strip_suffix('%') else {
            let bytes = parse_bytes(text);
            let wrong = |_| format!("`{text}` is neither a part like `5%` nor a size like `2G`");
            return bytes.map(|bytes| Self(MaxUnused::Bytes(bytes))).map_err(wrong);
        };
        match percent.trim().parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => {
                Ok(Self(MaxUnused::Percent(percent)))
            }
            _ => Err(format!("`{text}` is not a part from 0% to 100%")),
        }
    }
}

impl PruneHow {
    /// Whether anything says how to prune, and not only what to accept.
    pub(super) fn is_given(&self) -> bool {
        let other = Self { accept_history: self.accept_history, ..Self::default() };
        *self != other
    }

    /// The same for the library.
    pub(super) fn options(&self, context: &Context) -> PruneOptions {
        let mut options = PruneOptions::new(author());
        if let Some(grace) = &self.grace {
            let now = Zoned::now();
            let then_ms = grace.before(&now).as_millisecond();
            options.grace_ms = now.timestamp().as_millisecond().saturating_sub(then_ms);
            if options.grace_ms > 0 && options.grace_ms < GRACE_WARNED_MS {
                context.out.warn(
                    "with a grace of less than 24 hours, a machine that sleeps may have to back \
                     up twice, and little time is left for `larder undelete`",
                );
            }
        }
        if let Some(Unused(max_unused)) = self.max_unused {
            options.max_unused = max_unused;
        }
        options.max_repack = self.max_repack;
        options.repack_cold = self.repack_cold;
        options.reseal_old_epochs = self.repack_old_keys;
        options.accept_history = self.accept_history;
        options.ignore_lease = self.ignore_lease;
        options
    }
}

pub(super) fn run(args: &PruneArgs, context: &Context) -> Result<Finish> {
    let repository = context.open()?;
    let options = args.how.options(context);
    if args.dry_run {
        let display = Display::start(&context.out, Job::Prune);
        let planned = plan(&repository, &options, &context.runtime(&display));
        display.finish();
        tell_plan(&planned?, &options, context)?;
        return Ok(Finish::Done);
    }
    prune_shown(&repository, &options, context)?;
    Ok(Finish::Done)
}

/// Prunes with progress on the screen, and says what came of it.
pub(super) fn prune_shown(
    repository: &Repository,
    options: &PruneOptions,
    context: &Context,
) -> Result<PruneReport> {
    let display = Display::start(&context.out, Job::Prune);
    let ran = prune(repository, options, &context.runtime(&display));
    display.finish();
    let report = ran?;
    tell_report(&report, context)?;
    Ok(report)
}

#[derive(Serialize)]
struct Planned<'a> {
    dry_run: bool,
    #[serde(flatten)]
    plan: &'a PrunePlan,
}

fn tell_plan(plan: &PrunePlan, options: &PruneOptions, context: &Context) -> Result<()> {
    let out = &context.out;
    if out.json {
        return out.message("summary", &Planned { dry_run: true, plan });
    }
    plan.warnings.iter().for_each(|warning| out.warn(warning));
    table(plan, context)?;
    let about = if plan.exact { "" } else { "about " };
    let when = match options.grace_ms {
        0 => "a run now",
        _ => "runs from now on, when the grace is over,",
    };
    let freed = format_bytes(u64::try_from(plan.freed_bytes).unwrap_or(0));
    out.line(format!("{when} would free {about}{freed}; {}", unused(plan)))?;
    waits(&plan.waits, plan.finish_ms, context)?;
    if !plan.snapshots.is_empty() {
        let snapshots = plural(plan.snapshots.len() as u64, "forgotten snapshot");
        out.line(format!("{snapshots} could not be had back after that"))?;
    }
    let lost = &plan.lost;
    if lost.count > 0 {
        let (files, bytes) = (plural(lost.count, "file"), format_bytes(lost.bytes));
        out.line(format!(
            "{files} with {bytes} would be lost for good: no other snapshot has them"
        ))?;
        for file in lost.files.iter().take(LOST_SHOWN) {
            let size = format_bytes(file.bytes);
            out.line(format!("  {} {} ({size})", file.snapshot.short(), file.path))?;
        }
        let more = lost.count.saturating_sub(LOST_SHOWN as u64);
        if more > 0 {
            out.line(format!("  ... and {} more (`--json` lists them)", count(more)))?;
        }
    }
    out.note("nothing was changed: this was a dry run")
}

fn table(plan: &PrunePlan, context: &Context) -> Result<()> {
    let mut table =
        Table::new(&[("", Align::Left), ("Packs", Align::Right), ("Size", Align::Right)]);
    let mut row = |what: &str, tally: &Tally, always: bool| {
        if always || tally.packs > 0 {
            table.row(vec![what.into(), count(tally.packs), format_bytes(tally.bytes)]);
        }
    };
    row("delete", &plan.delete, true);
    row("pack anew", &plan.repack, plan.repack.packs > 0);
    row("  into", &plan.written, plan.repack.packs > 0);
    row("keep", &plan.keep, true);
    row("keep for now", &plan.young, false);
    row("condemned before", &plan.condemned, false);
    table.print(&context.out)
}

fn unused(plan: &PrunePlan) -> String {
    let kept = plan.keep.bytes + plan.young.bytes + plan.written.bytes;
    let part = 100.0 * plan.unused_bytes as f64 / (kept as f64).max(1.0);
    format!("{} ({part:.1} %) would stay unused", format_bytes(plan.unused_bytes))
}

fn waits(waits: &[Wait], finish_ms: Option<i64>, context: &Context) -> Result<()> {
    let out = &context.out;
    for wait in waits {
        let since = wait.since_ms.map(|ms| format!(", since {}", local_ms(ms)));
        let until = wait.until_ms.map(|ms| format!(", until {} at the latest", local_ms(ms)));
        let (since, until) = (since.unwrap_or_default(), until.unwrap_or_default());
        out.line(format!("waiting for {}{since}{until}", wait.what))?;
    }
    match finish_ms {
        Some(ms) => out.line(format!("a run after {} can finish this", local_ms(ms))),
        None => Ok(()),
    }
}

fn tell_report(report: &PruneReport, context: &Context) -> Result<()> {
    let out = &context.out;
    if out.json {
        return out.message("summary", report);
    }
    let shown =
        |tally: &Tally| format!("{} ({})", plural(tally.packs, "pack"), format_bytes(tally.bytes));
    if report.deleted.packs > 0 {
        out.line(format!("deleted    {}", shown(&report.deleted)))?;
        if report.keeps_versions {
            out.line("           storage keeps them as old versions, until a rule of its own removes those")?;
        }
    }
    if report.plan.repack.packs > 0 {
        let from = shown(&report.plan.repack);
        out.line(format!("repacked   {from} into {}", shown(&report.written)))?;
    }
    if report.condemned.packs > 0 {
        let packs = shown(&report.condemned);
        out.line(format!("condemned  {packs}: a later run deletes them"))?;
    }
    if report.rescued.packs > 0 {
        let packs = shown(&report.rescued);
        out.line(format!("rescued    {packs} that are needed again"))?;
    }
    if report.retained.packs > 0 {
        let packs = shown(&report.retained);
        out.line(format!("retained   {packs} that storage refuses to delete; nothing uses them"))?;
        if let Some(until) = report.retained_until {
            let (first, last) = (local_ms(until.first_ms), local_ms(until.last_ms));
            out.line(format!(
                "           it keeps the first of them until {first}, the last until {last}"
            ))?;
        }
        out.line("           the next prune tries again")?;
    }
    if report.plan.young.packs > 0 {
        let packs = shown(&report.plan.young);
        out.line(format!("kept       {packs} for now, until the grace is over"))?;
    }
    if report.retained_others > 0 && report.retained.packs == 0 {
        out.line("retained   old records: storage refuses to delete them, and nothing uses them")?;
    }
    let done = [&report.deleted, &report.plan.repack, &report.condemned, &report.retained];
    if done.iter().all(|tally| tally.packs == 0) {
        out.line("nothing to do")?;
    }
    waits(&report.plan.waits, report.plan.finish_ms, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_percents_or_sizes() {
        let read = |text: &str| text.parse::<Unused>().map(|unused| unused.0);
        assert_eq!(read("5%"), Ok(MaxUnused::Percent(5.0)));
        assert_eq!(read("0"), Ok(MaxUnused::Bytes(0)));
        assert_eq!(read("2G"), Ok(MaxUnused::Bytes(2 << 30)));
        for wrong in ["101%", "-1%", "x", "%", "NaN%"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
