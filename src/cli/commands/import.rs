//! `larder import`: snapshots out of a file.

use std::path::PathBuf;

use clap::Args;

use super::bundle::{self, FromArgs};
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::error::Result;

const EXAMPLES: &str = "\
Examples:
  larder import carry.larder --from-password-file its-password
  larder import carry.larder --snapshot latest --dry-run
  LARDER_FROM_KEY_FILE=carry.key larder import carry.larder

Snapshots of a bundle keep their times, tags and hosts, and get new ids. What is there already is not
imported again, by whatever way it came: from another bundle, as a copy, or because the bundle was
made here. Snapshots that were forgotten here stay forgotten (`larder undelete`).

A damaged bundle gives what is whole: damaged snapshots are named, the others imported, and the exit
code is 3.";

/// Bring the snapshots of a bundle into the repository
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ImportArgs {
    /// The file: a bundle, as made by `larder export --format larder`
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Only say what would be imported
    #[arg(short = 'n', long)]
    dry_run: bool,

    #[command(flatten)]
    from: FromArgs,
}

pub(super) fn run(args: &ImportArgs, context: &Context) -> Result<Finish> {
    bundle::import(&args.file, &args.from, args.dry_run, context)
}
