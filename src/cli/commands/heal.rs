//! `larder heal`: replaces what is damaged or missing from copies that have it whole.

use std::ffi::OsString;

use clap::Args;

use super::mirror::{counted, is_place, shown, tell_bad};
use crate::cli::Finish;
use crate::cli::args::parse_location;
use crate::cli::context::Context;
use crate::cli::output::{Style, plural};
use crate::error::{Error, Result};
use crate::manager::{Healing, HealingOptions, Mirrors};
use crate::mirror::{HealOptions, Needed, heal};

const EXAMPLES: &str = "\
Examples:
  larder heal --dry-run                      what is damaged, and who has it whole
  larder heal                                the repository and all its mirrors, from each other
  larder heal --from attic                   with one mirror alone
  larder heal --quick                        only what is missing or has a wrong length
  larder heal --from /mnt/attic/backup       with a copy at that place; needs no password

Every object is read and compared with its name. What is damaged is replaced by bytes that proved
themselves, and read back. Without a password only the holder's knowledge is lacking: packs that are
missing altogether come back when the password is given. Exit code 0: all is whole, 1: damage is left.";

/// Objects that are named to people; JSON has all.
const LISTED: usize = 50;

/// Replace what is damaged or missing, here and at the mirrors
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HealArgs {
    /// Only with these mirrors; a place instead of a name needs no password
    #[arg(long, value_name = "NAME|LOCATION")]
    from: Vec<OsString>,

    /// Do not read what has the right length
    #[arg(long)]
    quick: bool,

    /// Only say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(super) fn run(args: &HealArgs, context: &Context) -> Result<Finish> {
    let names: Option<Vec<String>> = args
        .from
        .iter()
        .map(|from| from.to_str().filter(|text| !is_place(text)).map(str::to_owned))
        .collect();
    let healing = match names {
        Some(from) => with_key(from, args, context)?,
        None => without_key(args, context)?,
    };
    tell(&healing, args, context)?;
    Ok(if healing.report.is_whole() { Finish::Done } else { Finish::Damaged })
}

fn with_key(from: Vec<String>, args: &HealArgs, context: &Context) -> Result<Healing> {
    let repository = context.open_alone()?;
    if repository.other_mirrors().is_empty() {
        return Err(Error::usage_hint(
            "this repository has no mirrors to heal it from",
            "give a copy with `--from LOCATION`, or save what can be read: `larder repair packs`",
        ));
    }
    let mirrors = Mirrors::of(&repository, context.wire.connector());
    let options = HealingOptions { from, dry_run: args.dry_run, quick: args.quick };
    shown(context, |runtime| mirrors.heal(&options, runtime))
}

/// With places alone: what is damaged proves itself without a key.
fn without_key(args: &HealArgs, context: &Context) -> Result<Healing> {
    let mut places = vec![context.wire.open(&context.location()?)?];
    for from in &args.from {
        places.push(context.wire.open(&parse_location(from)?)?);
    }
    let (dry_run, quick) = (args.dry_run, args.quick);
    let options = HealOptions { dry_run, quick, needed: Needed::default() };
    let report = shown(context, |runtime| heal(&places, &options, runtime))?;
    Ok(Healing { report, ..Healing::default() })
}

fn tell(healing: &Healing, args: &HealArgs, context: &Context) -> Result<()> {
    let (out, report) = (&context.out, &healing.report);
    if out.json {
        return out.message("summary", healing);
    }
    let verb = if args.dry_run { "would heal" } else { "healed" };
    for one in report.healed.iter().take(LISTED) {
        out.line(format!(
            "{verb} {} at {} from {}: {}",
            one.name, one.location, one.from, one.what
        ))?;
    }
    if let more @ 1.. = report.healed.len().saturating_sub(LISTED) as u64 {
        out.line(format!("... and {} (all with --json)", plural(more, "more object")))?;
    }
    tell_bad(&report.left, context)?;
    for (location, error) in &report.unreachable {
        out.warn(&format!("{location}: {error}"));
    }
    for synced in report.synced.iter().filter(|synced| synced.missing.objects > 0) {
        let verb = if args.dry_run { "would be copied" } else { "copied" };
        out.note(format!("{} {verb} to {}", counted(synced.missing), synced.to))?;
    }
    if healing.trusted_again > 0 {
        let packs = plural(healing.trusted_again, "pack");
        out.note(format!("{packs} known as damaged: relied on again"))?;
    }
    let read = format!("{} read", counted(report.read));
    if report.left.is_empty() && !args.dry_run {
        let healed = plural(report.healed.len() as u64, "object");
        out.note(format!("{healed} healed, and no damage is left: {read}"))?;
    } else {
        let verb = if args.dry_run { "would be healed" } else { "healed" };
        let healed = plural(report.healed.len() as u64, "object");
        let left = plural(report.left.len() as u64, "object");
        out.line(format!("{healed} {verb}, {left} left damaged ({read})"))?;
    }
    let hint = out.paint(Style::Hint, "hint:");
    if !report.left.is_empty() {
        out.line(format!("{hint} `larder check` names the snapshots and files that it costs"))?;
    }
    if !healing.quarantined.is_empty() && !args.dry_run {
        let ids: Vec<String> = healing.quarantined.iter().map(|id| id.short()).collect();
        out.line(format!(
            "{hint} in quarantine: {}; if `larder check` finds one whole, `larder quarantine --clear` \
             lifts it",
            ids.join(" ")
        ))?;
    }
    Ok(())
}
