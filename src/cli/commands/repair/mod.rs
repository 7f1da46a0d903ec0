//! `larder repair`: puts right what damage left.

mod index;
mod packs;
mod snapshots;

use clap::{Args, Subcommand};

use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::{Output, count};
use crate::error::Result;
use crate::repair::Flaw;

const EXAMPLES: &str = "\
Examples:
  larder check --read-data                   first: what is damaged, and what it hits
  larder repair index                        packs that the index does not name are named again
  larder repair packs                        what can be read of damaged packs gets a good copy
  larder snapshot PATH                       stores again what is lost and still in the source
  larder repair snapshots                    for the rest: keeps what is left of damaged snapshots

Nothing is deleted, and no snapshot is changed: repairs write new objects. Try them with `--dry-run`.

Exit codes: 0 nothing to do, or all is well again; 1 damage is left that this cannot repair;
3 what could be kept is kept, and what is lost is named.";

/// Put right what damage left, without deleting anything
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct RepairArgs {
    #[command(subcommand)]
    command: RepairCommand,
}

#[derive(Debug, Subcommand)]
enum RepairCommand {
    Index(index::IndexArgs),
    Packs(packs::PacksArgs),
    Snapshots(snapshots::SnapshotsArgs),
}

pub(super) fn run(args: RepairArgs, context: &Context) -> Result<Finish> {
    match args.command {
        RepairCommand::Index(args) => index::run(&args, context),
        RepairCommand::Packs(args) => packs::run(&args, context),
        RepairCommand::Snapshots(args) => snapshots::run(&args, context),
    }
}

/// How many objects of a kind are listed for people; JSON has all.
const LISTED_MAX: usize = 20;

/// Prints a heading and the objects under it.
fn print_flaws(out: &Output, heading: &str, flaws: &[Flaw]) -> Result<()> {
    print_list(out, heading, flaws, |flaw| match flaw.object.as_str() {
        "" => flaw.what.clone(),
        object => format!("{object}: {}", flaw.what),
    })
}

fn print_list<T>(
    out: &Output,
    heading: &str,
    items: &[T],
    text: impl Fn(&T) -> String,
) -> Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    out.line(heading)?;
    items.iter().take(LISTED_MAX).try_for_each(|item| out.line(format!("  {}", text(item))))?;
    match items.len().saturating_sub(LISTED_MAX) {
        0 => Ok(()),
        more => out.line(format!("  ... and {} more (all with --json)", count(more as u64))),
    }
}
