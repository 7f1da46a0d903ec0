//! `larder repair index`: makes the index name every pack again.

use clap::Args;

use super::{print_flaws, print_list};
use crate::cli::Finish;
use crate::cli::author::author;
use crate::cli::context::Context;
use crate::cli::output::progress::{Display, Job};
use crate::cli::output::{Style, plural};
use crate::error::Result;
use crate::model::format_bytes;
use crate::repair::{IndexRepair, IndexRepairOptions, repair_index};

const EXAMPLES: &str = "\
Examples:
  larder repair index                        takes in packs that the index does not name
  larder repair index --dry-run              says what it would do
  larder repair index --read-packs           compares every pack's own directory with the index too
  larder repair index --without-missing      gives up packs that are missing, so that prune can go on

Exit codes: 0 the index is whole; 1 packs are missing or cannot be read.";

/// Make the index name every pack that is there, from the packs themselves
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct IndexArgs {
    /// Only say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Compare the directory of every pack with the index, and correct it
    #[arg(long)]
    read_packs: bool,

    /// Leave packs out of the index that are missing in storage, and lost for good
    #[arg(long)]
    without_missing: bool,
}

pub(super) fn run(args: &IndexArgs, context: &Context) -> Result<Finish> {
    let repository = context.open()?;
    let options = IndexRepairOptions {
        dry_run: args.dry_run,
        read_packs: args.read_packs,
        without_missing: args.without_missing,
    };
    let display = Display::start(&context.out, Job::Repair);
    let runtime = context.runtime(&display);
    let report = repair_index(&repository, &options, &author(), &runtime);
    display.finish();
    let report = report?;
    if context.out.json {
        context.out.message("summary", &report)?;
    } else {
        print(&report, context)?;
    }
    Ok(if report.is_whole() { Finish::Done } else { Finish::Damaged })
}

fn print(report: &IndexRepair, context: &Context) -> Result<()> {
    let out = &context.out;
    print_flaws(out, "objects that cannot be read, and are not needed:", &report.bad_objects)?;
    print_flaws(
        out,
        "packs that no index object names, and that cannot be read themselves:",
        &report.unreadable,
    )?;
    print_list(out, "packs that are missing in storage:", &report.missing, Clone::clone)?;
    print_flaws(out, "packs that are damaged:", &report.damaged)?;
    print_list(
        out,
        if report.dry_run {
            "packs of which the index says something else than they say themselves:"
        } else {
            "packs of which the index said something else than they say themselves, corrected:"
        },
        &report.corrected,
        Clone::clone,
    )?;
    let verb = if report.dry_run { "would be taken" } else { "taken" };
    match report.added_packs {
        0 => out.note("the index names every readable pack already")?,
        number => out.line(format!(
            "{} ({}) {verb} into the index",
            plural(number, "pack"),
            format_bytes(report.added_bytes)
        ))?,
    }
    out.note(format!("{} in the index", plural(report.packs, "pack")))?;
    let hint = |text: &str| out.line(format!("{} {text}", out.paint(Style::Hint, "hint:")));
    if !report.missing.is_empty() {
        hint(
            "put the missing packs back if you have a copy of the repository; else `larder check` \
             names the files they cost, and the next backup stores again what the sources still have",
        )?;
    }
    if !report.damaged.is_empty() {
        hint("`larder repair packs` saves what can be read of damaged packs")?;
    }
    Ok(())
}
