//! `larder forget`: writes tombstones. Nothing is deleted; `undelete` takes it back until a prune.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::forget_shown::{show, show_named};
use super::policy::PolicyArgs;
use super::prune::{PruneHow, prune_shown};
use super::shared::{FilterArgs, resolve};
use crate::cli::Finish;
use crate::cli::author::author;
use crate::cli::context::Context;
use crate::cli::output::plural;
use crate::cli::select::warn_of_bad;
use crate::error::{Error, Result};
use crate::manager::{BackupManager, DeleteOptions, check_deletable, check_history, guard};
use crate::model::{Age, format_duration};
use crate::repository::{Repository, Snapshot, SnapshotList};
use crate::retention::{Candidate, GroupBy, MIN_AGE, Setting, plan};
use crate::tree::SnapshotFilter;

const EXAMPLES: &str = "\
Examples:
  larder forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --dry-run
  larder forget --keep-last 3 --keep-within 30d --keep-tag release
  larder forget --keep-within-daily 1m --keep-yearly unlimited --host web
  larder forget --keep-daily 7 --prune           and prune what earlier runs let go
  larder forget 4f1c 9b20                        these snapshots
  larder undelete 4f1c                           take it back, until a prune

Rules apply to each group by itself, by default each host with its set of sources. Days, weeks and
months are those of the local clock. In lengths of time, m is a month and min a minute.

Kept, whatever the rules say: pinned, quarantined and suspect snapshots; those that storage has
shown for less than `--min-age`; and those whose time is not what storage saw, because somebody may
have forged it. Such are shown, and `larder quarantine --clear ID` says that one is right.

Forgetting deletes nothing. `larder prune`, or `--prune`, does: it marks what is not needed, and a
run some days later deletes it.";

/// How far the clocks of this machine and of storage may be apart without a word, milliseconds.
const CLOCKS_APART_MS: u64 = 10 * 60 * 1000;

/// Forget snapshots, by rules or by name
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ForgetArgs {
    /// Snapshots to forget: ids or their first digits, `latest`, `latest~2`
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<OsString>,

    #[command(flatten)]
    policy: PolicyArgs,

    #[command(flatten)]
    which: WhichArgs,

    /// What a group is: host, paths, tags, or none [default: host,paths]
    #[arg(short, long, value_name = "WHAT")]
    group_by: Option<GroupBy>,

    /// Rules forget nothing that storage has shown for less than this [default: 24h]
    #[arg(long, value_name = "DURATION")]
    min_age: Option<Age>,

    /// A group may lose all its good snapshots
    #[arg(long)]
    allow_empty: bool,

    /// Only say what would be forgotten
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Prune afterwards, as `larder prune` does
    #[arg(long)]
    prune: bool,

    #[command(flatten)]
    how: PruneHow,
}

/// Which snapshots the rules are about; all others stay, and do not count.
#[derive(Args, Debug)]
#[command(next_help_heading = "Which snapshots")]
struct WhichArgs {
    /// Only snapshots of this host (may be repeated)
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,

    /// Only snapshots with this tag; `a,b` means both (may be repeated: any of them)
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,

    /// Only snapshots of this source, an absolute path (may be repeated: all of them)
    #[arg(long, value_name = "PATH")]
    path: Vec<PathBuf>,
}

impl WhichArgs {
    fn filter(&self) -> Result<SnapshotFilter> {
        let Self { host, tag, path } = self;
        FilterArgs { host: host.clone(), tag: tag.clone(), path: path.clone(), at: None }.filter()
    }
}

pub(super) fn run(args: &ForgetArgs, context: &Context) -> Result<Finish> {
    if !args.snapshots.is_empty() {
        args.policy.refuse_beside("names of snapshots")?;
        if args.group_by.is_some() || args.min_age.is_some() {
            return Err(Error::usage_hint(
                "`--group-by` and `--min-age` say nothing beside names of snapshots",
                "either name snapshots or give rules",
            ));
        }
    }
    if !args.prune && args.how.is_given() {
        return Err(Error::usage_hint(
            "options that say how to prune say nothing without `--prune`",
            "add `--prune`, or leave them out",
        ));
    }
    let filter = args.which.filter()?;
    let manager = context.manager(context.open()?)?;
    let repository = manager.repository();
    let list = repository.snapshots()?;
    warn_of_bad(&list, &context.out);
    check_history(&list, args.how.accept_history)?;
    let list = match list.rollback.is_empty() || args.dry_run {
        true => list,
        // What is missing is written off, for all clients to see.
        false => repository.trusted_snapshots(true, &author(), &context.quiet_runtime())?,
    };
    if args.snapshots.is_empty() {
        by_policy(args, &filter, &manager, &list, context)?;
    } else {
        by_name(args, &filter, &manager, &list, context)?;
    }
    if args.prune && args.dry_run {
        context.out.note("`larder prune --dry-run` says what a prune would do now")?;
    } else if args.prune {
        prune_shown(repository, &args.how.options(context), context)?;
    }
    Ok(Finish::Done)
}

fn by_policy(
    args: &ForgetArgs,
    filter: &SnapshotFilter,
    manager: &BackupManager,
    list: &SnapshotList,
    context: &Context,
) -> Result<()> {
    let policy = args.policy.policy(list, filter)?;
    let setting = Setting {
        now_ms: now_ms(manager.repository(), list, args.dry_run, context)?,
        time_zone: TimeZone::system(),
        min_age: args.min_age.unwrap_or(MIN_AGE),
        group_by: args.group_by.unwrap_or_default(),
        allow_empty: args.allow_empty,
    };
    let paused = guard::paused(manager, list, &context.quiet_runtime())?;
    if !paused.is_empty() {
        context.out.warn(&guard::why_paused(paused.len()));
    }
    let (snapshots, candidates): (Vec<&Snapshot>, Vec<Candidate>) = list
        .snapshots
        .iter()
        .zip(Candidate::all_of(list))
        .filter(|(snapshot, _)| filter.fits(snapshot) && !paused.contains(&snapshot.body.series))
        .unzip();
    let plan = plan(&candidates, &policy, &setting)?;
    show(&plan, &snapshots, &context.out)?;
    warn_of_uncounted(&candidates, context);
    let forgotten: Vec<&Snapshot> = plan.forgotten().map(|gone| snapshots[gone.at]).collect();
    let kept = snapshots.len() - forgotten.len();
    finish(args, &forgotten, Some(kept), &policy.to_string(), manager, list, context)
}

fn by_name(
    args: &ForgetArgs,
    filter: &SnapshotFilter,
    manager: &BackupManager,
    list: &SnapshotList,
    context: &Context,
) -> Result<()> {
    let named = resolve(&args.snapshots, list.snapshots.iter(), filter)?;
    check_deletable(&named, list, args.allow_empty)?;
    show_named(&named, &context.out)?;
    finish(args, &named, None, "by name", manager, list, context)
}

/// The time by storage's clock. A dry run writes nothing, so it asks this machine's, and what
/// storage has shown before.
fn now_ms(
    repository: &Repository,
    list: &SnapshotList,
    dry_run: bool,
    context: &Context,
) -> Result<i64> {
    let client_ms = || Timestamp::now().as_millisecond();
    if dry_run {
        // A warning that the clocks are apart takes a look at that of storage, and that a write.
        context
            .out
            .note("a dry run takes the time from this machine's clock, a run from storage")?;
        let seen = list.snapshots.iter().filter_map(|snapshot| snapshot.first_seen_ms);
        return Ok(seen.fold(client_ms(), i64::max));
    }
    let host = author().host;
    let storage_ms = repository.storage_now_ms(&host, "forget", &context.quiet_runtime())?;
    let Some(storage_ms) = storage_ms else {
        context.out.warn("storage does not tell the time: that of this machine is taken");
        return Ok(client_ms());
    };
    let apart_ms = client_ms().abs_diff(storage_ms);
    if apart_ms > CLOCKS_APART_MS {
        let apart = format_duration(std::time::Duration::from_millis(apart_ms));
        context.out.warn(&format!(
            "the clocks of this machine and of storage are {apart} apart; storage's counts. \
             Backups made so get wrong times: set the clock"
        ));
    }
    Ok(storage_ms)
}

/// Says which snapshots the rules did not count.
fn warn_of_uncounted(candidates: &[Candidate], context: &Context) {
    let out_of_time = candidates.iter().filter(|one| one.retention_ms().is_none()).count();
    if out_of_time > 0 {
        context.out.warn(&format!(
            "{} out of time: not what storage saw. Kept, and not counted; look at them with \
             `larder snapshots`, and say that one is right with `larder quarantine --clear ID`",
            are(out_of_time),
        ));
    }
    let in_doubt = candidates.iter().filter(|one| one.suspect || one.quarantine.is_some()).count();
    if in_doubt > 0 {
        context
            .out
            .warn(&format!("{} quarantined or suspect: kept, and not counted", are(in_doubt)));
    }
}

fn are(count: usize) -> String {
    let verb = if count == 1 { "is" } else { "are" };
    format!("{} {verb}", plural(count as u64, "snapshot"))
}

#[derive(Serialize)]
struct Summary {
    dry_run: bool,
    forgotten: Vec<String>,
    kept: Option<usize>,
}

fn finish(
    args: &ForgetArgs,
    forgotten: &[&Snapshot],
    kept: Option<usize>,
    reason: &str,
    manager: &BackupManager,
    list: &SnapshotList,
    context: &Context,
) -> Result<()> {
    let out = &context.out;
    if !args.dry_run {
        let options = DeleteOptions { reason: reason.into(), ..DeleteOptions::default() };
        manager.delete_snapshots(forgotten, list, &options)?;
    }
    if out.json {
        let forgotten = forgotten.iter().map(|snapshot| snapshot.id.to_string()).collect();
        return out.message("summary", &Summary { dry_run: args.dry_run, forgotten, kept });
    }
    let count = plural(forgotten.len() as u64, "snapshot");
    let kept = kept.map(|kept| format!(", {kept} kept")).unwrap_or_default();
    if args.dry_run {
        out.note(format!("{count} would be forgotten{kept}: this was a dry run"))?;
    } else {
        out.note(format!("{count} forgotten{kept}"))?;
        if !forgotten.is_empty() {
            out.note("  undo it with `larder undelete ID`, until `larder prune` removes the data")?;
        }
    }
    Ok(())
}
