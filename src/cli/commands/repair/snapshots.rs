//! `larder repair snapshots`: keeps what is left of damaged snapshots.

use std::ffi::OsString;

use clap::Args;

use crate::cli::Finish;
use crate::cli::author::author;
use crate::cli::commands::check::check_shown;
use crate::cli::commands::shared::snapshot_name;
use crate::cli::context::Context;
use crate::cli::output::progress::{Display, Job};
use crate::cli::output::{Style, count, local_ms, plural};
use crate::cli::select::warn_of_bad;
use crate::error::Result;
use crate::model::{BackupId, ObjectHash, escape_bytes, format_bytes};
use crate::repair::{
    LostPart, LostPath, LostRange, PackRepairOptions, RepairOutcome, RepairedSnapshot,
    SnapshotRepair, SnapshotRepairOptions, repair_packs, repair_snapshots,
};
use crate::repository::{Repository, Snapshot, SnapshotList};
use crate::retention::Sights;
use crate::tree::SnapshotFilter;
use crate::verify::{CheckOptions, CheckReport, ReadData};

const EXAMPLES: &str = "\
Examples:
  larder repair snapshots --dry-run          what is lost in which snapshot
  larder repair snapshots                    keeps the rest of all damaged snapshots
  larder repair snapshots 1f8b --keep-partial   files that lack something too, with zeros in the gaps

First run `larder repair packs` and back up again: that may heal everything. What is lost for good
is listed, path by path. The damaged snapshots stay, in quarantine: no rule removes them. When you
have all that you need of them, `larder forget` them by their ids.

Exit codes: 0 no snapshot lacks anything; 3 what is left is kept, now or by an earlier repair, and
what is lost is listed by the repair that kept it; 1 nothing of a snapshot is left.";

/// Files of one snapshot that are listed for people; JSON has all.
const LISTED_MAX: usize = 50;

/// Keep what is left of damaged snapshots under new ones
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SnapshotsArgs {
    /// Snapshots to repair; all that are damaged if none is given
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<OsString>,

    /// Only say what would be kept and what is lost
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Keep files that lack content too, with zeros in place of what is lost
    #[arg(long)]
    keep_partial: bool,

    /// Read all stored data to find what is damaged, not only what is missing
    #[arg(long)]
    read_data: bool,
}

pub(super) fn run(args: &SnapshotsArgs, context: &Context) -> Result<Finish> {
    let repository = context.open()?;
    let list = repository.snapshots()?;
    warn_of_bad(&list, &context.out);
    let options = CheckOptions {
        read_data: if args.read_data { ReadData::All } else { ReadData::None },
        snapshots: args.chosen(&list)?,
        ..CheckOptions::default()
    };
    let found = check_shown(&repository, &options, context)?;
    if found.bad_packs.iter().any(|name| !found.is_distrusted(name))
        || (!found.is_clean() && is_any_returned(&found, &repository, context)?)
    {
        context.out.warn(
            "some packs are damaged, or were and are not any more: run `larder repair packs` and \
             back up again first, which may heal what is lost here",
        );
    }
    let is_hit = |s: &&Snapshot| found.hits.snapshots.iter().any(|hit| hit.id == s.id);
    let hit: Vec<Snapshot> = list.snapshots.iter().filter(is_hit).cloned().collect();
    let sights = Sights::of(&list);
    let is_in_time = |one: &Snapshot| sights.candidate(one).retention_ms().is_some();
    let report = repair(args, &repository, &hit, &found.damage, &is_in_time, context)?;
    if context.out.json {
        context.out.message("summary", &report)?;
    } else {
        print(&report, args.keep_partial, context)?;
    }
    let is_gone = |s: &RepairedSnapshot| s.outcome == RepairOutcome::NothingLeft;
    let is_open = |s: &RepairedSnapshot| {
        matches!(s.outcome, RepairOutcome::Repaired | RepairOutcome::AlreadyRepaired)
    };
    Ok(if report.snapshots.iter().any(is_gone) {
        Finish::Damaged
    } else if report.snapshots.iter().any(is_open) {
        Finish::Incomplete
    } else {
        Finish::Done
    })
}

/// Whether something is in packs on damage lists that can be saved: they were put back from a copy,
/// for all that could be saved was saved before they came on the lists.
fn is_any_returned(
    found: &CheckReport,
    repository: &Repository,
    context: &Context,
) -> Result<bool> {
    let listed = repository.list_packs()?;
    let distrusted = found.damage.distrusted_packs.iter();
    let packs: Vec<ObjectHash> =
        distrusted.filter(|pack| listed.get(pack).is_some()).copied().collect();
    if packs.is_empty() {
        return Ok(false);
    }
    let display = Display::start(&context.out, Job::Repair);
    let runtime = context.runtime(&display);
    let options = PackRepairOptions { dry_run: true };
    let report = repair_packs(repository, &packs, &options, &author(), &runtime);
    display.finish();
    Ok(report?.salvaged_chunks > 0)
}

fn repair(
    args: &SnapshotsArgs,
    repository: &Repository,
    hit: &[Snapshot],
    damage: &crate::verify::Damage,
    is_in_time: &dyn Fn(&Snapshot) -> bool,
    context: &Context,
) -> Result<SnapshotRepair> {
    if hit.is_empty() {
        return Ok(SnapshotRepair { dry_run: args.dry_run, ..SnapshotRepair::default() });
    }
    let options = SnapshotRepairOptions {
        dry_run: args.dry_run,
        keep_partial: args.keep_partial,
        ..SnapshotRepairOptions::default()
    };
    let display = Display::start(&context.out, Job::Repair);
    let runtime = context.runtime(&display);
    let report =
        repair_snapshots(repository, hit, damage, is_in_time, &options, &author(), &runtime);
    display.finish();
    report
}

impl SnapshotsArgs {
    fn chosen(&self, list: &SnapshotList) -> Result<Option<Vec<BackupId>>> {
        if self.snapshots.is_empty() {
            return Ok(None);
        }
        let all = SnapshotFilter::default();
        let ids = self.snapshots.iter().map(|name| Ok(snapshot_name(name)?.find(list, &all)?.id));
        ids.collect::<Result<_>>().map(Some)
    }
}

fn print(report: &SnapshotRepair, keep_partial: bool, context: &Context) -> Result<()> {
    let out = &context.out;
    if report.snapshots.is_empty() {
        return out.note("no snapshot lacks anything: nothing to do");
    }
    report
        .snapshots
        .iter()
        .try_for_each(|snapshot| print_one(snapshot, report.dry_run, context))?;
    let hint = |text: &str| out.line(format!("{} {text}", out.paint(Style::Hint, "hint:")));
    let is_old = |s: &RepairedSnapshot| s.outcome == RepairOutcome::AlreadyRepaired;
    if keep_partial && report.snapshots.iter().any(is_old) {
        hint(
            "`--keep-partial` changes nothing in what was repaired before: `larder forget` the \
             repaired snapshot by its id, and its original is repaired anew",
        )?;
    }
    if report.dry_run {
        return hint("`larder repair packs` and a new backup may still heal this; do these first");
    }
    hint(
        "the damaged snapshots are in quarantine and stay until you `larder forget` them by their \
         ids; what is left of a lost file can still be had from them",
    )
}

fn print_one(snapshot: &RepairedSnapshot, dry_run: bool, context: &Context) -> Result<()> {
    let out = &context.out;
    let name = format!(
        "snapshot {} of host {}, {}",
        snapshot.original.short(),
        escape_bytes(snapshot.host.as_bytes()),
        local_ms(snapshot.time_ms)
    );
    let repaired = snapshot.repaired.map(|id| id.short()).unwrap_or_default();
    let lost = format!(
        "{} lost or incomplete ({})",
        plural(snapshot.lost_count, "file"),
        format_bytes(snapshot.lost_bytes)
    );
    let kept = plural(snapshot.entries, "entry");
    out.line(match snapshot.outcome {
        RepairOutcome::Repaired if dry_run => format!("{name}: {kept} can be kept, {lost}"),
        RepairOutcome::Repaired => format!("{name}: {kept} kept as {repaired}, {lost}"),
        RepairOutcome::AlreadyRepaired => format!("{name}: was repaired before, as {repaired}"),
        RepairOutcome::NothingLeft => format!("{name}: nothing of its tree can be read"),
        RepairOutcome::Whole => format!("{name}: lacks nothing"),
    })?;
    for lost in snapshot.lost.iter().take(LISTED_MAX) {
        out.line(format!("  {}", lost_text(lost)))?;
    }
    let listed = snapshot.lost.len().min(LISTED_MAX) as u64;
    if snapshot.lost_count > listed {
        let more = count(snapshot.lost_count - listed);
        out.line(format!("  ... and {more} more (all with --json)"))?;
    }
    snapshot.ranges.iter().try_for_each(|range| out.line(format!("  {}", range_text(range))))
}

fn lost_text(lost: &LostPath) -> String {
    let bytes = format_bytes(lost.lost_bytes);
    match (lost.part, lost.kept) {
        (LostPart::Content, false) => format!("lost: {} ({bytes} of it)", lost.path),
        (LostPart::Content, true) => format!("zeros for {bytes}: {}", lost.path),
        (LostPart::Attributes, _) => format!("without its extended attributes: {}", lost.path),
        (LostPart::Link, _) => format!("lost with its other name: {}", lost.path),
    }
}

fn range_text(range: &LostRange) -> String {
    let entries = range.entries.map_or("all".to_owned(), |number| plural(number, "entry"));
    match (&range.after, &range.last) {
        (Some(after), Some(last)) => format!("lost: {entries} after {after} up to {last}"),
        (Some(after), None) => format!("lost: {entries} after {after}"),
        (None, Some(last)) => format!("lost: {entries} up to {last}"),
        (None, None) => "lost: all of its tree".to_owned(),
    }
}
