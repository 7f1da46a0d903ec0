//! `larder repo data-place`: moves the packs of data to another place.

use std::ffi::OsString;

use clap::Args;

use super::mirror::{counted, shown};
use crate::cli::Finish;
use crate::cli::args::parse_location;
use crate::cli::context::Context;
use crate::error::Result;
use crate::manager::Mirrors;

const EXAMPLES: &str = "\
Examples:
  larder -r /mnt/disk/backup repo data-place s3://new-bucket/backups
  larder -r /mnt/disk/backup repo data-place s3://new-bucket/backups --no-copy

All that is at the old place is copied, and nothing deleted there: it stays a full copy of now.
Nobody may write to the repository meanwhile. With --no-copy the old place is not even looked at:
for a bucket that was moved, renamed or copied by other means.";

/// Move the packs of data of a repository made with `init --data` to another place
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct DataPlaceArgs {
    /// The new place
    location: OsString,

    /// Copy nothing: only look whether all of it is at the new place already
    #[arg(long)]
    no_copy: bool,
}

pub(super) fn run(args: &DataPlaceArgs, context: &Context) -> Result<Finish> {
    let location = parse_location(&args.location)?;
    let repository = match args.no_copy {
        true => context.open_alone_with_data(&location)?,
        false => context.open_alone()?,
    };
    let mirrors = Mirrors::of(&repository, context.wire.connector());
    let moved = shown(context, |runtime| mirrors.move_data(&location, runtime))?;
    let out = &context.out;
    if out.json {
        out.message("summary", &moved)?;
        return Ok(Finish::Done);
    }
    if !args.no_copy {
        out.note(format!("{}: {} copied", moved.to, counted(moved.copied)))?;
    }
    out.note(format!("the data of the repository is at {} from now on", moved.to))?;
    out.note(format!("nothing is written to {} any more, and nothing was deleted", moved.from))?;
    Ok(Finish::Done)
}
