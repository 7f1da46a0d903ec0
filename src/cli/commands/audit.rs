//! `larder audit`: what the daemon was asked to do.

use clap::{Args, Subcommand};

use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::{Align, Table, local_ms, visible};
use crate::error::{Error, Result};
use crate::server::audit::{AuditHead, newest, verify};

const EXAMPLES: &str = "\
Examples:
  larder audit list
  larder audit verify";

const LIST_EXAMPLES: &str = "\
Examples:
  larder audit list
  larder audit list --count 1000 --json";

const VERIFY_EXAMPLES: &str = "\
Examples:
  larder audit verify
  larder audit verify --head 42:9f3c...      an end that was seen before

Each line has a hash of the one before: a line that was changed, added, removed or moved shows. That
lines are missing at the end shows only against an end that is known from elsewhere: the daemon
writes number and hash to its log when it starts and when it ends.";

/// Show and verify the log of what the daemon was asked to do, and of changes of its users
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    List(ListArgs),
    Verify(VerifyArgs),
}

/// List the newest entries
#[derive(Args, Debug)]
#[command(after_help = LIST_EXAMPLES)]
struct ListArgs {
    /// How many
    #[arg(long, value_name = "N", default_value_t = 50)]
    count: usize,
}

/// Look whether the log was changed
#[derive(Args, Debug)]
#[command(after_help = VERIFY_EXAMPLES)]
struct VerifyArgs {
    /// An end of the log that was seen before; it has to be in it
    #[arg(long, value_name = "NUMBER:HASH")]
    head: Option<String>,
}

pub(super) fn run(args: &AuditArgs, context: &Context) -> Result<Finish> {
    let folder = context
        .open_options()
        .state_dir
        .ok_or_else(|| Error::usage("this user has no home folder, so there is no audit log"))?;
    let out = &context.out;
    match &args.command {
        AuditCommand::List(args) => {
            let columns = ["time", "who", "from", "status", "what"].map(|name| (name, Align::Left));
            let mut table = Table::new(&columns);
            for entry in newest(&folder, args.count, None)?.into_iter().rev() {
                if out.json {
                    out.object(&entry)?;
                    continue;
                }
                let who = entry.who.unwrap_or_else(|| "-".into());
                let status =
                    if entry.status == 0 { String::new() } else { entry.status.to_string() };
                let time = local_ms(entry.time.as_millisecond());
                table.row(vec![time, who, entry.from, status, visible(entry.what.as_bytes())]);
            }
            if !out.json {
                table.print(out)?;
            }
            Ok(Finish::Done)
        }
        AuditCommand::Verify(args) => {
            let expected = args.head.as_deref().map(head).transpose()?;
            let report = verify(&folder, expected.as_ref())?;
            if out.json {
                out.object(&report)?;
            } else if let Some((line, what)) = &report.wrong {
                out.line(format!("line {line}: {what}"))?;
            } else {
                let AuditHead { number, hash } = &report.head;
                out.line(format!(
                    "{number} entries follow from each other; the end is {number}:{hash}"
                ))?;
            }
            Ok(if report.wrong.is_some() { Finish::Damaged } else { Finish::Done })
        }
    }
}

fn head(text: &str) -> Result<AuditHead> {
    let wrong = || Error::usage("`--head` is a number and a hash, as in `42:9f3c...`");
    let (number, hash) = text.split_once(':').ok_or_else(wrong)?;
    let number = number.parse().map_err(|_| wrong())?;
    let hash = blake3::Hash::from_hex(hash).map_err(|_| wrong())?.to_hex().to_string();
    Ok(AuditHead { number, hash })
}
