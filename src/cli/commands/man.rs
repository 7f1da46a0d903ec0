//! `larder man`: the manual pages, made from the same text as the help.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::cli::Finish;
use crate::cli::args::Cli;
use crate::cli::context::Context;
use crate::cli::help::{TOPICS, Topic, roff};
use crate::error::{Error, Result};

const EXAMPLES: &str = "\
Examples:
  larder man | man -l -                      read the main page
  larder man snapshot | man -l -             read the page of a command
  larder man runbook lost-machine | man -l -   read a runbook
  larder man --output ~/.local/share/man/man1  install all pages";

/// Print a manual page, or write them all to a folder
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ManArgs {
    /// Command whose page to print, such as `snapshot` or `repo init`; without it, the main page
    #[arg(value_name = "COMMAND", conflicts_with = "output")]
    command: Vec<String>,

    /// Folder to write all pages to, as `larder-COMMAND.1` and `larder-runbook-TOPIC.7`; made if it is
    /// not there
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: &ManArgs, context: &Context) -> Result<Finish> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    if let Some(folder) = &args.output {
        fs::create_dir_all(folder).map_err(|error| Error::local("create", folder, error))?;
        clap_mangen::generate_to(Cli::command(), folder)
            .map_err(|error| Error::local("write to", folder, error))?;
        for topic in TOPICS {
            let page = folder.join(format!("larder-runbook-{}.7", topic.name));
            fs::write(&page, roff(topic)).map_err(|error| Error::local("write", &page, error))?;
        }
        return Ok(Finish::Done);
    }
    if let [first, topic] = &args.command[..]
        && first == "runbook"
        && let Some(topic) = Topic::find(topic)
    {
        context.out.bytes(roff(topic).as_bytes())?;
        return Ok(Finish::Done);
    }
    let mut command = &root;
    for name in &args.command {
        command = command.find_subcommand(name).ok_or_else(|| {
            Error::usage_hint(format!("no command `{name}`"), "see `larder help`")
        })?;
    }
    let page = page(command.clone()).map_err(|error| Error::local("write", "the page", error))?;
    context.out.bytes(&page)?;
    Ok(Finish::Done)
}

fn page(command: clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}
