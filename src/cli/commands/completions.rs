//! `larder completions`: lets a shell complete commands, options and paths.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Finish;
use crate::cli::args::Cli;
use crate::cli::context::Context;
use crate::error::Result;

const EXAMPLES: &str = "\
Examples:
  larder completions bash > ~/.local/share/bash-completion/completions/larder
  larder completions zsh > ~/.zfunc/_larder
  larder completions fish > ~/.config/fish/completions/larder.fish
  larder completions powershell >> $PROFILE";

/// Print the completion script of a shell
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// Shell to complete in
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: CompletionsArgs, context: &Context) -> Result<Finish> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "larder", &mut script);
    context.out.bytes(&script)?;
    Ok(Finish::Done)
}
