//! `larder ls`: lists what is in a snapshot.

use std::ffi::OsString;

use clap::Args;

use super::shared::FilterArgs;
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::entry::EntryStyle;
use crate::cli::select::{find_entry, roots};
use crate::error::Result;
use crate::model::FileKind;
use crate::tree::Manifest;

const EXAMPLES: &str = "\
Examples:
  larder ls latest                           what is in the sources
  larder ls latest:home/ann -l
  larder ls 4f1c:etc --recursive
  larder ls --at 2026-11-01 --host web";

/// List the files and folders in a snapshot
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LsArgs {
    /// Snapshot: an id or its first digits, `latest`, `latest~2`, `ID:path/in/it`
    #[arg(value_name = "SNAPSHOT[:PATH]", required_unless_present = "at")]
    snapshot: Option<OsString>,

    /// Print mode, owner, size and time too
    #[arg(short, long)]
    long: bool,

    /// List what is in folders too
    #[arg(short = 'R', long)]
    recursive: bool,

    #[command(flatten)]
    filter: FilterArgs,
}

pub(super) fn run(args: &LsArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let style = EntryStyle { long: args.long };
    let repository = context.open_indexed()?;
    let chosen = args.filter.choose(args.snapshot.as_deref(), &repository, out)?;
    let manifest = Manifest::of(&chosen.snapshot);
    // Without a path, what is in the sources: the folders above them say nothing.
    let folders = match chosen.path {
        Some(path) => vec![path],
        None => roots(&chosen.snapshot),
    };
    let mut failed = 0;
    for folder in folders {
        let entry = find_entry(&repository, &chosen.snapshot, &folder)?;
        if entry.kind != FileKind::Dir {
            style.print(&entry, out)?;
            continue;
        }
        if !args.recursive {
            for entry in manifest.list(&repository, &entry.path)? {
                style.print(&entry, out)?;
            }
            continue;
        }
        for entry in manifest.entries_within(&repository, &entry.path) {
            context.cancel.check()?;
            match entry {
                // The folder itself.
                Ok(entry) if entry.path == folder => {}
                Ok(entry) => style.print(&entry, out)?,
                // The pages after a damaged one may be good.
                Err(error) if error.is_damage() => {
                    failed += 1;
                    out.warn(&format!("some entries are missing from the list: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Finish::with_failed(failed))
}
