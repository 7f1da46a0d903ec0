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
use crate::error::{Error, Result};
use crate::format::log::LogKind;
use crate::repository::Snapshot;

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
    let forgotten = list.forgotten.iter().map(|gone| &gone.snapshot);
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
    if !chosen.is_empty() {
        let runtime = context.quiet_runtime();
        repository.append_about(LogKind::Undelete, &chosen, "", &author(), &list, &runtime)?;
    }
    if context.out.json {
        let undeleted = chosen.iter().map(|snapshot| snapshot.id.to_string()).collect();
        context.out.message("summary", &Summary { undeleted })?;
    } else {
        let ids: Vec<String> = chosen.iter().map(|snapshot| snapshot.id.short()).collect();
        let count = plural(chosen.len() as u64, "snapshot");
        context.out.note(format!("{count} there again: {}", ids.join(", ")))?;
    }
    Ok(Finish::Done)
}
