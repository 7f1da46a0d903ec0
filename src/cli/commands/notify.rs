//! `larder notify`: who is told what happens, and whether messages arrive.

use clap::{Args, Subcommand};

use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::{Align, Table, visible};
use crate::error::{Error, Result};
use crate::manager::notify::NoticeEvent;

const EXAMPLES: &str = "\
Examples:
  larder -P home notify list
  larder -P home notify test
  larder -P home notify test ops

Channels stand in a profile, as tables `[[notify]]` (README, \"Who is told\"). `larder serve` sends
messages; `test` sends one at once, to see whether it arrives.";

/// List who is told what happens, and try whether messages arrive
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct NotifyArgs {
    #[command(subcommand)]
    command: NotifyCommand,
}

#[derive(Debug, Subcommand)]
enum NotifyCommand {
    /// List the channels of the profile
    #[command(after_help = "Examples:\n  larder -P home notify list")]
    List,
    /// Send a message to a channel, or to all of them
    #[command(after_help = "Examples:\n  larder -P home notify test phone")]
    Test {
        /// The name of a channel
        channel: Option<String>,
    },
}

pub(super) fn run(args: &NotifyArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let settings = context.profile.notify_settings();
    settings.check()?;
    if settings.channels.is_empty() {
        return Err(Error::usage_hint(
            "the profile names nobody who is told",
            "add a table `[[notify]]` to it and name the profile with `-P`",
        ));
    }
    match &args.command {
        NotifyCommand::List => {
            let mut table = Table::new(&[
                ("Channel", Align::Left),
                ("Kind", Align::Left),
                ("Leads to", Align::Left),
                ("Tells of", Align::Left),
            ]);
            for view in settings.channels.iter().map(|channel| channel.view()) {
                if out.json {
                    out.object(&view)?;
                }
                let events: Vec<&str> =
                    view.on.iter().map(|event| NoticeEvent::as_str(*event)).collect();
                table.row(vec![
                    visible(view.name.as_bytes()),
                    view.kind,
                    visible(view.target.as_bytes()),
                    events.join(", "),
                ]);
            }
            if !out.json {
                table.print(out)?;
            }
            Ok(Finish::Done)
        }
        NotifyCommand::Test { channel } => {
            if let Some(name) = channel {
                settings.channel(name)?;
            }
            let names = settings.channels.iter().map(|one| &one.name);
            let mut failed = 0;
            for name in names.filter(|name| channel.as_ref().is_none_or(|one| one == *name)) {
                match settings.try_channel(name, &context.quiet_runtime()) {
                    Ok(()) => out.note(format!("{}: it arrived", visible(name.as_bytes())))?,
                    Err(error) => {
                        failed += 1;
                        out.warn(&error.in_full());
                    }
                }
            }
            Ok(Finish::with_failed(failed))
        }
    }
}
