//! `larder undelete`: takes back a forget.

use std::ffi::OsString;

use clap::Args;
use serde::Serialize;

use super::shared::{FilterArgs, resolve};
use crate::cli::Finish;
use crate::cli::author::author;
use crate::cli::context::Context;
use crate::cli::output::plural;
use crate::cli::select::warn_of_bad;
use crate::commit::undelete;
use crate::error::{Error, Result};
use crate::repository::{Forgotten, Snapshot};
use crate::retention::Sights;

const EXAMPLES: &str = "\
Examples:
  larder snapshots --forgotten              what can be had back
  larder undelete 4f1c 9b20
  larder undelete --all --host web

A forgotten snapshot can be had back until a prune has removed its data.";

/// Take back that snapshots were forgotten
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UndeleteArgs {
    /// Forgotten snapshots: ids or their first digits; `latest` is the newest forgotten one
    #[arg(value_name = "SNAPSHOT", required_unless_present = "all")]
    snapshots: Vec<OsString>,

    /// All forgotten ones that fit the filters
    #[arg(long, conflicts_with = "snapshots")]
    all: bool,

    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Serialize)]
struct Summary {
    undeleted: Vec<String>,
}

pub(super) fn run(args: &UndeleteArgs, context: &Context) -> Result<Finish> {
    let filter = args.filter.filter()?;
    let repository = context.open()?;
    let list = repository.snapshots()?;
    warn_of_bad(&list, &context.out);
    let undeletable = list.undeletable();
    let forgotten = undeletable.iter().map(|gone| &gone.snapshot);
    let chosen: Vec<&Snapshot> = if args.all {
        forgotten.filter(|snapshot| filter.fits(snapshot)).collect()
    } else {
        resolve(&args.snapshots, forgotten, &filter).map_err(|error| match error {
            Error::NotFound { what: "snapshot", name } => Error::usage_hint(
                format!("no forgotten snapshot is called `{name}`; nothing was changed"),
                "`larder snapshots --forgotten` lists them",
            ),
            other => other,
        })?
    };
    let is_chosen = |gone: &&Forgotten| chosen.iter().any(|one| one.record == gone.snapshot.record);
    let chosen: Vec<&Forgotten> = undeletable.iter().copied().filter(is_chosen).collect();
    let undeleted = if chosen.is_empty() {
        Vec::new()
    } else {
        let sights = Sights::of(&list);
        let is_in_time = |one: &Snapshot| sights.candidate(one).retention_ms().is_some();
        undelete(&repository, &chosen, &is_in_time, &author(), &list, &context.quiet_runtime())?
    };
    tell(&undeleted, context)?;
    Ok(Finish::Done)
}

fn tell(undeleted: &[Snapshot], context: &Context) -> Result<()> {
    let out = &context.out;
    if out.json {
        let undeleted = undeleted.iter().map(|snapshot| snapshot.id.to_string()).collect();
        return out.message("summary", &Summary { undeleted });
    }
    let count = plural(undeleted.len() as u64, "snapshot");
    let ids: Vec<String> = undeleted.iter().map(|snapshot| snapshot.id.short()).collect();
    out.note(format!("{count} there again: {}", ids.join(", ")))
}
