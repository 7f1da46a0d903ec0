//! `larder warm-up`: asks for packs in cold storage, so that a restore can read them.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Zoned;
use serde::Serialize;

use super::shared::FilterArgs;
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::progress::{Display, Job};
use crate::cli::output::{local_ms, plural};
use crate::cli::select::find_entry;
use crate::error::{Error, Result};
use crate::manager::{ColdPacks, WarmUpBy, WarmUpCommand, WarmUpReport, WarmUpWait, look, warm_up};
use crate::model::{Age, format_bytes};
use crate::prune::Tally;
use crate::repository::{Repository, Snapshot};
use crate::restore::{NeededPack, RestoreOptions, all_packs, needed_packs};
use crate::storage::{WarmUpRequest, WarmUpTier};

const EXAMPLES: &str = "\
Examples:
  larder warm-up latest --dry-run                    how many packs would be asked for
  larder warm-up latest:home/ann/work --wait         only what this folder needs; until it is there
  larder warm-up latest --tier standard --days 3
  larder warm-up --all --wait                        everything, for `check --read-data`
  larder warm-up latest --warm-up-command 'ask-for backups/{name}' --warm-up-wait 12h

Run it again at any time: what was asked for is not asked for twice. Then restore as usual, or let
`larder restore --warm-up` do both. Services charge for each request and byte, more for `standard`
and most for `expedited`; how long it takes depends on the storage class.";

/// The least that a look at cold storage is worth: objects take minutes at least.
const POLL: &str = "60s";

/// How packs in cold storage are asked for.
#[derive(Args, Debug)]
#[command(next_help_heading = "Cold storage")]
pub(super) struct HowArgs {
    /// For how many days they can be read then
    #[arg(long, value_name = "DAYS", default_value = "7", value_parser = clap::value_parser!(u32).range(1..=365))]
    days: u32,

    /// How soon they are wanted: sooner costs more
    #[arg(long, value_name = "TIER", default_value = "bulk")]
    tier: TierArg,

    /// Shell command that asks for them: `{name}` is an object, or `{file}` a list of all
    #[arg(long, value_name = "COMMAND")]
    warm_up_command: Option<String>,

    /// Wait at most this long; where storage cannot say what is there, exactly this long
    #[arg(long, value_name = "DURATION")]
    warm_up_wait: Option<Age>,

    /// How often to look whether they are there
    #[arg(long, value_name = "DURATION", default_value = POLL)]
    poll: Age,
}

/// How soon objects are wanted.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum TierArg {
    /// In 5 to 48 hours
    Bulk,
    /// In 3 to 12 hours
    Standard,
    /// In minutes; not for every class
    Expedited,
}

impl From<TierArg> for WarmUpTier {
    fn from(arg: TierArg) -> Self {
        match arg {
            TierArg::Bulk => Self::Bulk,
            TierArg::Standard => Self::Standard,
            TierArg::Expedited => Self::Expedited,
        }
    }
}

/// Ask for what a restore needs from cold storage
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WarmUpArgs {
    /// What shall be restored: an id or its first digits, `latest`, `latest~2`, `ID:path/in/it`
    #[arg(value_name = "SNAPSHOT[:PATH]", required_unless_present_any = ["at", "all"])]
    snapshot: Option<OsString>,

    /// Everything that is stored
    #[arg(long, conflicts_with_all = ["snapshot", "at"])]
    all: bool,

    /// Wait until all is there
    #[arg(long)]
    wait: bool,

    /// Only say what would be asked for
    #[arg(short = 'n', long)]
    dry_run: bool,

    #[command(flatten)]
    how: HowArgs,

    #[command(flatten)]
    filter: FilterArgs,
}

pub(super) fn run(args: &WarmUpArgs, context: &Context) -> Result<Finish> {
    let by = args.how.by()?;
    let repository = context.open_indexed()?;
    let packs = args.packs(&repository, context)?;
    let is_waited_for = args.wait || args.how.warm_up_wait.is_some();
    let wait = is_waited_for.then(|| args.how.wait(&repository)).transpose()?;
    let report = ask(&repository, &packs, &by, wait, args.dry_run, context)?;
    let is_missing = is_waited_for && report.is_some_and(|report| report.missing.packs > 0);
    Ok(if is_missing { Finish::Incomplete } else { Finish::Done })
}

impl WarmUpArgs {
    fn packs(&self, repository: &Repository, context: &Context) -> Result<Vec<NeededPack>> {
        if self.all {
            return all_packs(repository);
        }
        let chosen = self.filter.choose(self.snapshot.as_deref(), repository, &context.out)?;
        packs_of(repository, &chosen.snapshot, chosen.path.unwrap_or_default(), context)
    }
}

/// The packs that one file or folder of a snapshot needs.
pub(super) fn packs_of(
    repository: &Repository,
    snapshot: &Snapshot,
    path: Vec<u8>,
    context: &Context,
) -> Result<Vec<NeededPack>> {
    find_entry(repository, snapshot, &path)?;
    let options = RestoreOptions { subtree: Some(path), ..RestoreOptions::default() };
    let display = Display::start(&context.out, Job::Check);
    let packs = needed_packs(repository, snapshot, &options, &context.runtime(&display));
    display.finish();
    packs
}

impl HowArgs {
    /// How to ask.
    ///
    /// # Errors
    /// [`Error::Usage`] for a command that names nothing.
    pub(super) fn by(&self) -> Result<WarmUpBy> {
        Ok(match &self.warm_up_command {
            Some(command) => WarmUpBy::Command(WarmUpCommand::new(command)?),
            None => WarmUpBy::Request(WarmUpRequest { days: self.days, tier: self.tier.into() }),
        })
    }

    /// How to wait.
    ///
    /// # Errors
    /// [`Error::Usage`] if storage cannot say what is there and no time was given.
    pub(super) fn wait(&self, repository: &Repository) -> Result<WarmUpWait> {
        let now = Zoned::now();
        let length = |age: &Age| {
            let past = now.timestamp().as_millisecond() - age.before(&now).as_millisecond();
            Duration::from_millis(u64::try_from(past).unwrap_or(0))
        };
        let limit = self.warm_up_wait.as_ref().map(length);
        if limit.is_none() && repository.storage().archive().is_none() {
            return Err(Error::usage_hint(
                format!("`{}` cannot say whether objects are there", repository.location()),
                "say how long to wait with `--warm-up-wait`",
            ));
        }
        Ok(WarmUpWait { poll: length(&self.poll).max(Duration::from_millis(10)), limit })
    }
}

/// The object that it prints.
#[derive(Serialize)]
struct Summary<'a> {
    dry_run: bool,
    packs: &'a ColdPacks,
    #[serde(flatten)]
    report: Option<&'a WarmUpReport>,
}

/// Says what is cold, asks for it, and waits. `None` if nothing was asked for.
pub(super) fn ask(
    repository: &Repository,
    packs: &[NeededPack],
    by: &WarmUpBy,
    wait: Option<WarmUpWait>,
    dry_run: bool,
    context: &Context,
) -> Result<Option<WarmUpReport>> {
    let out = &context.out;
    let found = look(repository, packs, &context.quiet_runtime())?;
    if !out.json {
        tell_found(&found, context)?;
    }
    let is_needed = found.unreadable().packs > 0;
    let mut report = None;
    if is_needed && !dry_run {
        let display = Display::start(out, Job::Check);
        let asked = warm_up(repository, &found, by, wait, &context.runtime(&display));
        display.finish();
        report = Some(asked?);
    }
    if out.json {
        out.message("warm_up", &Summary { dry_run, packs: &found, report: report.as_ref() })?;
    } else if let Some(report) = &report {
        tell_report(report, wait.is_some(), context)?;
    }
    Ok(report)
}

fn tell_found(found: &ColdPacks, context: &Context) -> Result<()> {
    let out = &context.out;
    out.line(format!("needed   {}", shown(&found.needed)))?;
    if !found.is_known {
        return out.line("         storage does not say which of them can be read at once");
    }
    for (what, tally) in [("cold", &found.cold), ("coming", &found.coming), ("warm", &found.warm)] {
        if tally.packs > 0 {
            out.line(format!("{what:<8} {}", shown(tally)))?;
        }
    }
    if let Some(until_ms) = found.until_ms {
        out.line(format!("         they can be read until {}", local_ms(until_ms)))?;
    }
    match found.unreadable().packs {
        0 => out.line("all of it can be read now"),
        _ => Ok(()),
    }
}

fn tell_report(report: &WarmUpReport, waited: bool, context: &Context) -> Result<()> {
    let out = &context.out;
    out.line(format!("asked    for {}", shown(&report.asked)))?;
    match (waited, report.missing.packs) {
        (_, 0) => out.line("all of it can be read now"),
        (true, _) => out.line(format!(
            "{} still not there: run this again, or restore later",
            shown(&report.missing)
        )),
        (false, _) => out.line("run this again with `--wait` to see when it is there"),
    }
}

fn shown(tally: &Tally) -> String {
    format!("{} ({})", plural(tally.packs, "pack"), format_bytes(tally.bytes))
}
