//! The commands, one file each.

mod check;
mod completions;
mod key;
mod ls;
mod man;
mod repo;
mod restore;
mod shared;
mod snapshot;
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
    #[command(visible_alias = "backup")]
    Snapshot(Box<snapshot::SnapshotArgs>),
    Snapshots(snapshots::SnapshotsArgs),
    Ls(ls::LsArgs),
    Restore(Box<restore::RestoreArgs>),
    Check(check::CheckArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

impl Command {
    /// Does what the command says.
    pub(crate) fn run(self, context: &Context) -> Result<Finish> {
        match self {
            Self::Repo(args) => repo::run(args, context),
            Self::Key(args) => key::run(args, context),
            Self::Snapshot(args) => snapshot::run(*args, context),
            Self::Snapshots(args) => snapshots::run(&args, context),
            Self::Ls(args) => ls::run(&args, context),
            Self::Restore(args) => restore::run(*args, context),
            Self::Check(args) => check::run(&args, context),
            Self::Completions(args) => completions::run(args, context),
            Self::Man(args) => man::run(&args, context),
        }
    }
}
