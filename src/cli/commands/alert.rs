//! `larder alert`: what needs a person.

use clap::{Args, Subcommand};

use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::{local_ms, plural, visible};
use crate::error::Result;
use crate::fsmeta::user_name;
use crate::manager::alerts::{Alert, Alerts};
use crate::manager::history::Database;

const EXAMPLES: &str = "\
Examples:
  larder alert list
  larder alert list --all --json
  larder alert clear 3f9a

Alerts are those that this machine remembers, of all repositories. While one of kind `anomaly` is
open, nothing of its series is forgotten by rules: look at the snapshot first, then clear it.";

/// Show and clear what needs a person: unusual snapshots, damage, missing backups, little room
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AlertArgs {
    #[command(subcommand)]
    command: AlertCommand,
}

#[derive(Debug, Subcommand)]
enum AlertCommand {
    /// List open alerts
    #[command(after_help = "Examples:\n  larder alert list --all")]
    List {
        /// Cleared ones too, newest first
        #[arg(long)]
        all: bool,
    },
    /// Say that alerts were looked at and are done with
    #[command(after_help = "Examples:\n  larder alert clear 3f9a")]
    Clear {
        /// Ids, or their first digits
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
}

/// Alerts that are listed at most.
const SHOWN_MAX: usize = 200;

pub(super) fn run(args: &AlertArgs, context: &Context) -> Result<Finish> {
    let runtime = context.quiet_runtime();
    let folder = context.open_options().state_dir;
    let database = Database::new(folder, runtime.clock.clone());
    let alerts = Alerts::new(&database, &runtime);
    match &args.command {
        AlertCommand::List { all } => {
            let found = if *all { alerts.newest(SHOWN_MAX)? } else { alerts.open()? };
            found.iter().try_for_each(|alert| show(alert, context))?;
            if found.is_empty() {
                context.out.note("no alerts")?;
            }
        }
        AlertCommand::Clear { ids } => {
            let found: Vec<Alert> = ids.iter().map(|id| alerts.get(id)).collect::<Result<_>>()?;
            for alert in &found {
                let cleared = alerts.clear(&alert.alert_id, &user_name())?;
                if context.out.json {
                    context.out.object(&cleared)?;
                }
            }
            context.out.note(format!("{} cleared", plural(found.len() as u64, "alert")))?;
        }
    }
    for warning in database.take_warnings() {
        context.out.warn(&warning);
    }
    Ok(Finish::Done)
}

fn show(alert: &Alert, context: &Context) -> Result<()> {
    let out = &context.out;
    if out.json {
        return out.object(alert);
    }
    let state = match (alert.cleared, &alert.cleared_by) {
        (Some(time), Some(by)) => {
            format!("  cleared {} by {}", local_ms(time.as_millisecond()), visible(by.as_bytes()))
        }
        _ => String::new(),
    };
    let raised = local_ms(alert.raised.as_millisecond());
    out.line(format!("{}  {}  {raised}{state}", alert.alert_id, alert.kind))?;
    if !alert.repository.is_empty() {
        out.line(format!("  repository: {}", visible(alert.repository.as_bytes())))?;
    }
    out.line(format!("  {}", visible(alert.message.as_bytes())))?;
    if alert.cleared.is_none() {
        out.line(format!("  what to do: {}", visible(alert.advice.as_bytes())))?;
    }
    Ok(())
}
