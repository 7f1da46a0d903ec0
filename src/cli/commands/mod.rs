//! The commands, one file each.

mod completions;
mod man;

use clap::Subcommand;

use super::Finish;
use super::context::Context;
use crate::error::Result;

/// All commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

impl Command {
    /// Does what the command says.
    pub(crate) fn run(self, context: &Context) -> Result<Finish> {
        match self {
            Self::Completions(args) => completions::run(args, context),
            Self::Man(args) => man::run(&args, context),
        }
    }
}
