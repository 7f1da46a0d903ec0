//! `larder pin`, `unpin` and `quarantine`: what people say about single snapshots.

use std::ffi::OsString;

use clap::Args;
use serde::Serialize;

use super::shared::{FilterArgs, resolve};
use crate::cli::Finish;
use crate::cli::author::author;
use crate::cli::context::Context;
use crate::cli::output::plural;
use crate::cli::select::warn_of_bad;
use crate::error::{Error, Result};
use crate::format::log::LogKind;
use crate::repository::{Snapshot, SnapshotList};
use crate::retention::Candidate;

const PIN_EXAMPLES: &str = "\
Examples:
  larder pin latest --host web
  larder pin 4f1c 9b20 --reason 'before the move'

No rule forgets a pinned snapshot, and naming one to `larder forget` is refused.";

const UNPIN_EXAMPLES: &str = "\
Examples:
  larder unpin 4f1c";

const QUARANTINE_EXAMPLES: &str = "\
Examples:
  larder quarantine 4f1c --reason 'made while the machine was broken into'
  larder quarantine --clear 4f1c            it is right after all

Rules of `larder forget` keep a snapshot in quarantine and do not count it, so it pushes no other
one out. `--clear` also says of one that is out of time that its time is right; that counts on this
machine only, so nobody else can say it for you.";

/// Keep snapshots whatever the rules say
#[derive(Args, Debug)]
#[command(after_help = PIN_EXAMPLES)]
pub(crate) struct PinArgs {
    #[command(flatten)]
    named: NamedArgs,
}

/// Let go of pinned snapshots
#[derive(Args, Debug)]
#[command(after_help = UNPIN_EXAMPLES)]
pub(crate) struct UnpinArgs {
    #[command(flatten)]
    named: NamedArgs,
}

/// Mark snapshots as not to be trusted, or clear them
#[derive(Args, Debug)]
#[command(after_help = QUARANTINE_EXAMPLES)]
pub(crate) struct QuarantineArgs {
    #[command(flatten)]
    named: NamedArgs,

    /// Somebody looked: take them out of quarantine, and believe their times
    #[arg(long)]
    clear: bool,
}

#[derive(Args, Debug)]
struct NamedArgs {
    /// Snapshots: ids or their first digits, `latest`, `latest~2`
    #[arg(value_name = "SNAPSHOT", required = true)]
    snapshots: Vec<OsString>,

    /// Why, for whoever reads it later
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,

    #[command(flatten)]
    filter: FilterArgs,
}

pub(super) fn pin(args: &PinArgs, context: &Context) -> Result<Finish> {
    say(&args.named, LogKind::Pin, context, |snapshot, _| Ok(!snapshot.pinned))
}

pub(super) fn unpin(args: &UnpinArgs, context: &Context) -> Result<Finish> {
    say(&args.named, LogKind::Unpin, context, |snapshot, _| Ok(snapshot.pinned))
}

pub(super) fn quarantine(args: &QuarantineArgs, context: &Context) -> Result<Finish> {
    if !args.clear {
        return say(&args.named, LogKind::Quarantine, context, |snapshot, _| {
            Ok(snapshot.quarantine.is_none())
        });
    }
    say(&args.named, LogKind::Clear, context, |snapshot, candidate| {
        if snapshot.suspect {
            return Err(Error::usage_hint(
                format!(
                    "snapshot {} is suspect: a prune took its session for dead; nothing was changed",
                    snapshot.id.short()
                ),
                "`larder check` tells whether all of it is there",
            ));
        }
        Ok(snapshot.quarantine.is_some() || candidate.retention_ms().is_none())
    })
}

#[derive(Serialize)]
struct Summary {
    action: &'static str,
    /// Of which it was not so before.
    changed: Vec<String>,
    unchanged: Vec<String>,
}

/// Appends a record about those of the named snapshots for which it is news.
fn say(
    args: &NamedArgs,
    kind: LogKind,
    context: &Context,
    is_news: impl Fn(&Snapshot, &Candidate) -> Result<bool>,
) -> Result<Finish> {
    let filter = args.filter.filter()?;
    let repository = context.open()?;
    let list = repository.snapshots()?;
    warn_of_bad(&list, &context.out);
    let named = resolve(&args.snapshots, list.snapshots.iter(), &filter)?;
    let mut news = Vec::new();
    let mut old = Vec::new();
    for snapshot in named {
        let is_news = is_news(snapshot, &candidate(&list, snapshot)?)?;
        if is_news { &mut news } else { &mut old }.push(snapshot);
    }
    if !news.is_empty() {
        let runtime = context.quiet_runtime();
        repository.append_about(kind, &news, &args.reason, &author(), &list, &runtime)?;
    }
    tell(kind, &news, &old, context)?;
    Ok(Finish::Done)
}

fn candidate(list: &SnapshotList, snapshot: &Snapshot) -> Result<Candidate> {
    let at = list.snapshots.iter().position(|other| other.record == snapshot.record);
    at.and_then(|at| Candidate::all_of(list).into_iter().nth(at))
        .ok_or_else(|| Error::Internal { what: "a snapshot of the list is not in the list".into() })
}

fn tell(kind: LogKind, news: &[&Snapshot], old: &[&Snapshot], context: &Context) -> Result<()> {
    let out = &context.out;
    let (action, done) = match kind {
        LogKind::Pin => ("pin", "pinned"),
        LogKind::Unpin => ("unpin", "unpinned"),
        LogKind::Clear => ("clear", "cleared"),
        _ => ("quarantine", "quarantined"),
    };
    if out.json {
        let ids = |all: &[&Snapshot]| all.iter().map(|one| one.id.to_string()).collect();
        return out
            .message("summary", &Summary { action, changed: ids(news), unchanged: ids(old) });
    }
    if !news.is_empty() {
        let ids: Vec<String> = news.iter().map(|snapshot| snapshot.id.short()).collect();
        out.note(format!("{} {done}: {}", plural(news.len() as u64, "snapshot"), ids.join(", ")))?;
    }
    if !old.is_empty() {
        let ids: Vec<String> = old.iter().map(|snapshot| snapshot.id.short()).collect();
        out.note(format!("nothing to {action} about {}", ids.join(", ")))?;
    }
    Ok(())
}
