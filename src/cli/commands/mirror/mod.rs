//! `larder mirror`: further copies of the repository at other places.

mod shown;

use std::ffi::OsString;

use clap::{Args, Subcommand};
use serde_json::json;

use self::shown::{tell_added, tell_list, tell_scrub, tell_sync, tell_synced};
use crate::cli::Finish;
use crate::cli::args::parse_location;
use crate::cli::context::Context;
use crate::cli::output::progress::{Display, Job};
use crate::error::{Error, Result};
use crate::manager::{Mirrors, NewMirror, SeenMirror};
use crate::mirror::{Needed, ScrubOptions, SyncOptions, scrub, sync};
use crate::model::{MirrorPolicy, Subset};
use crate::repository::LAYOUT;

pub(super) use self::shown::{counted, tell_bad};

const EXAMPLES: &str = "\
Examples:
  larder mirror add attic /mnt/attic/backup
  larder mirror add offsite s3://bucket/backup
  larder mirror list
  larder mirror sync
  larder mirror sync --from /mnt/disk/backup --to /mnt/attic/backup     needs no password
  larder mirror scrub offsite --subset 1/7
  larder mirror remove attic

A mirror holds the same objects as the repository and is one itself: `larder -r MIRROR restore`
works when nothing else is left. The password, key file or recovery code of the repository opens it.";

const ADD_EXAMPLES: &str = "\
Examples:
  larder mirror add attic /mnt/attic/backup
  larder mirror add offsite \"s3://bucket/backup?region=eu-central-1&credentials=offsite\"
  larder mirror add offsite sftp://me@host/srv/backup --no-sync

The place is tried, filled, and written down in the repository, sealed like everything else. Its
secrets come from the environment or the profile, as those of the repository do.";

const LIST_EXAMPLES: &str = "\
Examples:
  larder mirror list
  larder mirror list --json

Exit code 3: a mirror cannot be reached, or lacks something.";

const SYNC_EXAMPLES: &str = "\
Examples:
  larder mirror sync                         all mirrors
  larder mirror sync attic --dry-run
  larder mirror sync attic --anew            it lost everything, or is on a new disk
  larder mirror sync --from /mnt/disk/backup --to /mnt/attic/backup

Only what is missing is copied, each object compared with its name on the way. Broken off, it goes
on where it was. With --from and --to no password is needed, and nothing is ever deleted.";

const SCRUB_EXAMPLES: &str = "\
Examples:
  larder mirror scrub attic                  every byte of one mirror
  larder mirror scrub attic --subset 1/7     the first of seven parts, for Mondays
  larder mirror scrub /mnt/attic/backup      a place, without a password
  larder mirror scrub                        the repository's own place, without a password";

const REMOVE_EXAMPLES: &str = "\
Examples:
  larder mirror remove attic";

const POLICY_EXAMPLES: &str = "\
Examples:
  larder mirror policy            which one it is
  larder mirror policy all        every mirror, in the run; one that fails makes the commit degraded
  larder mirror policy quorum     a commit counts only if more than half of all copies have it
  larder mirror policy async      the repository first, mirrors after the commit";

/// Keep further copies of the repository at other places
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct MirrorArgs {
    #[command(subcommand)]
    command: MirrorCommand,
}

#[derive(Debug, Subcommand)]
enum MirrorCommand {
    Add(AddArgs),
    List(ListArgs),
    Sync(SyncArgs),
    Scrub(ScrubArgs),
    Remove(RemoveArgs),
    Policy(PolicyArgs),
}

/// Add a mirror, and fill it
#[derive(Args, Debug)]
#[command(after_help = ADD_EXAMPLES)]
struct AddArgs {
    /// What to call it: `a-z`, `0-9`, `_`, `-`
    name: String,

    /// Where it is: a path or URL, empty or a copy of this repository
    location: OsString,

    /// Leave the copying to the next backup or `mirror sync`
    #[arg(long)]
    no_sync: bool,
}

/// List the mirrors: whether they can be reached, and what they lack
#[derive(Args, Debug)]
#[command(after_help = LIST_EXAMPLES)]
struct ListArgs {}

/// Copy to mirrors what they lack
#[derive(Args, Debug)]
#[command(after_help = SYNC_EXAMPLES)]
struct SyncArgs {
    /// Mirrors by name, instead of all
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Copy from this place, without a password
    #[arg(long, value_name = "LOCATION", requires = "to", conflicts_with = "names")]
    from: Option<OsString>,

    /// Copy to this place, without a password
    #[arg(long, value_name = "LOCATION", requires = "from")]
    to: Option<OsString>,

    /// Fill a mirror at whose place nothing is; else it is refused, as its disk may not be mounted
    #[arg(long, conflicts_with = "to")]
    anew: bool,

    /// Only say what would be copied
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// Read what a mirror holds, and compare each object with its name
#[derive(Args, Debug)]
#[command(after_help = SCRUB_EXAMPLES)]
struct ScrubArgs {
    /// A mirror by name, or a place; without it, the repository's own
    #[arg(value_name = "NAME|LOCATION")]
    place: Option<OsString>,

    /// Only a part: `5%` at random, `1/7` the first of seven, `10G` at random
    #[arg(long, value_name = "PART")]
    subset: Option<Subset>,
}

/// Take a mirror out of the list; what is there stays
#[derive(Args, Debug)]
#[command(after_help = REMOVE_EXAMPLES)]
struct RemoveArgs {
    /// Which
    name: String,
}

/// Say what a backup asks of its mirrors, or show it
#[derive(Args, Debug)]
#[command(after_help = POLICY_EXAMPLES)]
struct PolicyArgs {
    /// all, quorum or async; without it, the policy is printed
    policy: Option<MirrorPolicy>,
}

pub(super) fn run(args: MirrorArgs, context: &Context) -> Result<Finish> {
    match args.command {
        MirrorCommand::Add(args) => add(args, context),
        MirrorCommand::List(_) => list(context),
        MirrorCommand::Sync(args) => run_sync(&args, context),
        MirrorCommand::Scrub(args) => run_scrub(&args, context),
        MirrorCommand::Remove(args) => remove(&args, context),
        MirrorCommand::Policy(args) => policy(args.policy, context),
    }
}

fn add(args: AddArgs, context: &Context) -> Result<Finish> {
    let location = parse_location(&args.location)?.to_string();
    let repository = context.open_alone()?;
    let mirrors = Mirrors::of(&repository, context.wire.connector());
    let new = NewMirror { name: args.name, location, no_sync: args.no_sync };
    let added = shown(context, |runtime| mirrors.add(&new, runtime))?;
    tell_added(&added, args.no_sync, context)?;
    Ok(if added.sync.bad.is_empty() { Finish::Done } else { Finish::Damaged })
}

fn list(context: &Context) -> Result<Finish> {
    let repository = context.open_alone()?;
    let mirrors = Mirrors::of(&repository, context.wire.status_connector());
    let seen = shown(context, |runtime| mirrors.list(runtime))?;
    tell_list(&seen, repository.places().policy, context)?;
    let is_complete =
        |mirror: &SeenMirror| mirror.standing.is_some_and(|standing| standing.is_complete());
    Ok(Finish::with_failed(seen.iter().filter(|mirror| !is_complete(mirror)).count() as u64))
}

fn run_sync(args: &SyncArgs, context: &Context) -> Result<Finish> {
    if let (Some(from), Some(to)) = (&args.from, &args.to) {
        return sync_places(from, to, args.dry_run, context);
    }
    let repository = context.open_alone()?;
    let mirrors = Mirrors::of(&repository, context.wire.connector()).filling_empty(args.anew);
    let synced = shown(context, |runtime| mirrors.sync(&args.names, args.dry_run, runtime))?;
    tell_synced(&synced, context)?;
    let failed = synced.iter().filter(|one| one.outcome.is_err()).count();
    let damaged = |one: &crate::manager::SyncedMirror| {
        one.outcome.as_ref().is_ok_and(|report| !report.bad.is_empty())
    };
    if synced.iter().any(damaged) {
        return Ok(Finish::Damaged);
    }
    if failed < synced.len() || failed == 0 {
        return Ok(Finish::with_failed(failed as u64));
    }
    // Nothing was done at all.
    synced.into_iter().find_map(|one| one.outcome.err()).map_or(Ok(Finish::Done), Err)
}

/// From one place to another, without a key.
fn sync_places(from: &OsString, to: &OsString, dry_run: bool, context: &Context) -> Result<Finish> {
    let (from, to) = (parse_location(from)?, parse_location(to)?);
    if from == to {
        return Err(Error::usage("both places are the same"));
    }
    let source = context.wire.open(&from)?;
    crate::mirror::repository_at(&*source)?;
    let target = context.wire.create(&to, LAYOUT)?;
    let options = SyncOptions { dry_run, ..SyncOptions::default() };
    let report = shown(context, |runtime| sync(&*source, &*target, &options, runtime))?;
    if context.out.json {
        context.out.message("summary", &report)?;
    } else {
        tell_sync(&report, context)?;
    }
    Ok(if report.bad.is_empty() { Finish::Done } else { Finish::Damaged })
}

fn run_scrub(args: &ScrubArgs, context: &Context) -> Result<Finish> {
    let mut options = ScrubOptions { subset: args.subset, needed: None };
    let by_name = args.place.as_ref().and_then(|place| place.to_str()).filter(|p| !is_place(p));
    let report = match (by_name, &args.place) {
        (Some(name), _) => {
            let repository = context.open_alone()?;
            for error in repository.load_index()? {
                context.out.warn(&format!("a part of the index cannot be used: {error}"));
            }
            options.needed = Some(Needed::of(&repository)?);
            let mirrors = Mirrors::of(&repository, context.wire.connector());
            shown(context, |runtime| mirrors.scrub(name, &options, runtime))?
        }
        (None, place) => {
            let location = match place {
                Some(place) => parse_location(place)?,
                None => context.location()?,
            };
            let storage = context.wire.open(&location)?;
            shown(context, |runtime| scrub(&*storage, &options, runtime))?
        }
    };
    tell_scrub(&report, context)?;
    Ok(if report.is_whole() { Finish::Done } else { Finish::Damaged })
}

fn remove(args: &RemoveArgs, context: &Context) -> Result<Finish> {
    let repository = context.open_alone()?;
    let mirrors = Mirrors::of(&repository, context.wire.connector());
    let place = mirrors.remove(&args.name, &context.quiet_runtime())?;
    let out = &context.out;
    if out.json {
        out.message("removed", &json!({ "name": place.name, "location": place.location }))?;
    } else {
        out.note(format!("`{}` is no mirror any more", place.name))?;
        out.note(format!(
            "what is at {} stays, and every key of the repository opens it: delete it by hand if \
             it is to go",
            place.location
        ))?;
    }
    Ok(Finish::Done)
}

fn policy(policy: Option<MirrorPolicy>, context: &Context) -> Result<Finish> {
    let repository = context.open_alone()?;
    let Some(policy) = policy else {
        let policy = repository.places().policy;
        match context.out.json {
            true => context.out.message("policy", &json!({ "policy": policy }))?,
            false => context.out.line(policy.as_str())?,
        }
        return Ok(Finish::Done);
    };
    let mirrors = Mirrors::of(&repository, context.wire.connector());
    mirrors.set_policy(policy, &context.quiet_runtime())?;
    if context.out.json {
        context.out.message("policy", &json!({ "policy": policy }))?;
    } else {
        context.out.note(format!("mirrors are written by the policy `{policy}` from now on"))?;
    }
    Ok(Finish::Done)
}

/// Whether people mean a place, and not the name of a mirror.
pub(super) fn is_place(text: &str) -> bool {
    text.contains(['/', ':', '.'])
}

/// Does something with progress on the screen.
pub(super) fn shown<T>(
    context: &Context,
    work: impl FnOnce(&crate::runtime::Runtime) -> Result<T>,
) -> Result<T> {
    let display = Display::start(&context.out, Job::Mirror);
    let done = work(&context.runtime(&display));
    display.finish();
    done
}
