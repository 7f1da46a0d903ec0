//! The commands, one file each.

mod completions;
mod key;
mod man;
mod repo;
mod shared;
mod snapshots;

use clap::Subcommand;

use super::Finish;
use super::context::Context;
use crate::error::Result;

/// All commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Repo(repo::RepoArgs),
    Key(key::KeyArgs),
    Snapshots(snapshots::SnapshotsArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

impl Command {
    /// Does what the command says.
    pub(crate) fn run(self, context: &Context) -> Result<Finish> {
        match self {
            Self::Repo(args) => repo::run(args, context),
            Self::Key(args) => key::run(args, context),
            Self::Snapshots(args) => snapshots::run(&args, context),
            Self::Completions(args) => completions::run(args, context),
            Self::Man(args) => man::run(&args, context),
        }
    }
}
