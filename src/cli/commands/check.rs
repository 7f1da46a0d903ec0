//! `larder check`: looks for damage.

use std::collections::HashSet;
use std::ffi::OsString;

use clap::Args;
use serde::Serialize;

use super::shared::snapshot_name;
use crate::cli::Finish;
use crate::cli::author::author;
use crate::cli::context::Context;
use crate::cli::output::progress::{Display, Job};
use crate::cli::output::{Style, local_ms, plural};
use crate::commit;
use crate::error::Result;
use crate::manager::refuse_cold;
use crate::model::{BackupId, escape_bytes, format_bytes};
use crate::repository::{HeadCode, Repository, Snapshot};
use crate::restore::all_packs;
use crate::retention::Candidate;
use crate::tree::SnapshotFilter;
use crate::verify::{
    CheckOptions, CheckReport, Finding, HitPart, HitRange, HitSnapshot, ReadData, Severity, Subset,
    check,
};

const EXAMPLES: &str = "\
Examples:
  larder check                               structure: snapshots, pages, index, packs
  larder check --read-data                   every stored byte too
  larder check --read-data-subset 5%         a twentieth, another one each time
  larder check --read-data-subset 1/7        the first of seven parts, for Mondays
  larder check latest                        only what one snapshot needs
  larder check --expect-head \"camp cube ...\"  is the snapshot there that printed this code?

Damage is named with the snapshots and files that it hits, and the exit code is 1.";

/// Files of one snapshot that are listed for people; JSON has more.
const LISTED_FILES: usize = 50;

/// Packs that are named in a hint at most.
const HINTED_PACKS: usize = 3;

/// Look for damage
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    /// Snapshots to check, instead of the whole repository
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<OsString>,

    /// Read and verify all stored data
    #[arg(long)]
    read_data: bool,

    /// Read and verify a part: `5%` at random, `1/7` the first of seven, `10G` at random
    #[arg(long, value_name = "PART", conflicts_with = "read_data")]
    read_data_subset: Option<Subset>,

    /// The head code of a snapshot, from paper: fail if it or anything older is hidden or gone
    #[arg(long, value_name = "WORDS")]
    expect_head: Option<HeadCode>,
}

pub(super) fn run(args: &CheckArgs, context: &Context) -> Result<Finish> {
    let repository = context.open()?;
    if args.read_data || args.read_data_subset.is_some() {
        let what = "`larder warm-up --all --wait`";
        refuse_cold(&repository, || all_packs(&repository), what, &context.quiet_runtime())?;
    }
    let options = CheckOptions {
        read_data: match args.read_data_subset {
            Some(subset) => ReadData::Subset(subset),
            None if args.read_data => ReadData::All,
            None => ReadData::None,
        },
        snapshots: args.chosen(&repository)?,
        expect_head: args.expect_head,
        ..CheckOptions::default()
    };
    let report = check_shown(&repository, &options, context)?;
    tell(&report, context)?;
    if !report.is_clean() && repository.places().mirrors().next().is_some() && !context.out.json {
        let hint = context.out.paint(Style::Hint, "hint:");
        let what = "takes what is damaged or missing from a mirror that has it whole";
        context.out.line(format!("{hint} `larder heal` {what}"))?;
    }
    if report.is_clean() {
        clear_suspects(&repository, options.snapshots.as_deref(), context)?;
    }
    Ok(if report.is_clean() { Finish::Done } else { Finish::Damaged })
}

#[derive(Serialize)]
struct Cleared {
    /// Snapshots that were suspect and turned out to be whole.
    cleared: Vec<String>,
}

/// Snapshots whose run a prune took for dead are suspect until somebody finds all of them there.
/// One that is out of time or in quarantine stays so: that is for people to judge.
fn clear_suspects(
    repository: &Repository,
    checked: Option<&[BackupId]>,
    context: &Context,
) -> Result<()> {
    let list = repository.snapshots()?;
    let candidates = Candidate::all_of(&list);
    let in_time: HashSet<BackupId> =
        candidates.iter().filter(|one| one.retention_ms().is_some()).map(|one| one.id).collect();
    let suspects: Vec<&Snapshot> = list
        .snapshots
        .iter()
        .filter(|snapshot| in_time.contains(&snapshot.id))
        .filter(|snapshot| snapshot.suspect && snapshot.quarantine.is_none())
        .filter(|snapshot| checked.is_none_or(|checked| checked.contains(&snapshot.id)))
        .collect();
    if suspects.is_empty() {
        return Ok(());
    }
    let display = Display::start(&context.out, Job::Check);
    let runtime = context.runtime(&display);
    let done = commit::clear_suspects(repository, &suspects, &author(), &list, &runtime);
    display.finish();
    let done = match done {
        Ok(done) => done,
        // The check is done, and nothing is wrong with it.
        Err(error) => {
            context.out.warn(&format!("suspect snapshots stay suspect: {error}"));
            return Ok(());
        }
    };
    for (id, error) in &done.incomplete {
        context.out.warn(&format!("snapshot {} stays suspect: {error}", id.short()));
    }
    if context.out.json {
        let cleared = done.cleared.iter().map(ToString::to_string).collect();
        return context.out.message("cleared", &Cleared { cleared });
    }
    for id in &done.cleared {
        context.out.note(format!("snapshot {} is whole, and suspect no more", id.short()))?;
    }
    Ok(())
}

impl CheckArgs {
    fn chosen(&self, repository: &Repository) -> Result<Option<Vec<BackupId>>> {
        if self.snapshots.is_empty() {
            return Ok(None);
        }
        let list = repository.snapshots()?;
        let all = SnapshotFilter::default();
        let ids = self.snapshots.iter().map(|name| Ok(snapshot_name(name)?.find(&list, &all)?.id));
        ids.collect::<Result<_>>().map(Some)
    }
}

/// Checks with progress on the screen.
pub(super) fn check_shown(
    repository: &Repository,
    options: &CheckOptions,
    context: &Context,
) -> Result<CheckReport> {
    let display = Display::start(&context.out, Job::Check);
    let report = check(repository, options, &context.runtime(&display));
    display.finish();
    report
}

/// Says what a check found.
pub(super) fn tell(report: &CheckReport, context: &Context) -> Result<()> {
    if context.out.json { context.out.message("summary", report) } else { print(report, context) }
}

fn print(report: &CheckReport, context: &Context) -> Result<()> {
    let out = &context.out;
    for finding in &report.findings {
        if finding.severity == Severity::Damage || !out.quiet {
            print_finding(finding, context)?;
        }
    }
    if report.left_out > 0 {
        out.line(format!("... and {} more", plural(report.left_out, "finding")))?;
    }
    report.hits.snapshots.iter().try_for_each(|hit| print_hit(hit, context))?;
    // With very many the command line would not take them, and none does as well.
    let mut packs: Vec<&str> = report.bad_packs.iter().map(String::as_str).collect();
    packs.retain(|name| !report.is_distrusted(name));
    if report.hits.left_out > 0 {
        out.line(format!("... and {} more", plural(report.hits.left_out, "file")))?;
    }
    let checked = &report.checked;
    let mut looked_at = format!(
        "{}, {}, {}, {}",
        plural(checked.snapshots, "snapshot"),
        plural(checked.entries, "entry"),
        plural(checked.chunks, "chunk"),
        plural(checked.packs, "pack"),
    );
    if checked.packs_read > 0 {
        let read = format_bytes(checked.bytes_read);
        looked_at.push_str(&format!("; {read} read in {}", plural(checked.packs_read, "pack")));
    }
    if report.is_clean() {
        let warnings = match report.warnings {
            0 => String::new(),
            number => format!(", {}", plural(number, "warning")),
        };
        out.note(format!("no damage found{warnings}: {looked_at}"))?;
        if checked.packs_read == 0 {
            out.note("stored bytes were not read: `larder check --read-data` does that too")?;
        }
        return Ok(());
    }
    let hit = plural(report.hits.snapshots.len() as u64, "snapshot");
    out.line(format!(
        "damage found: {}{hit} hit ({looked_at})",
        match report.damaged {
            0 => String::new(),
            number => format!("{}, ", plural(number, "finding")),
        }
    ))?;
    if !packs.is_empty() {
        let packs = if packs.len() <= HINTED_PACKS { packs.join(" ") } else { String::new() };
        let what = "saves what can be read of damaged packs";
        out.line(format!(
            "{} `{}` {what}",
            out.paint(Style::Hint, "hint:"),
            format!("larder repair packs {packs}").trim_end()
        ))?;
    }
    Ok(())
}

pub(super) fn print_finding(finding: &Finding, context: &Context) -> Result<()> {
    let out = &context.out;
    out.line(finding.to_string())?;
    match &finding.hint {
        Some(hint) => out.line(format!("{} {hint}", out.paint(Style::Hint, "hint:"))),
        None => Ok(()),
    }
}

pub(super) fn print_hit(hit: &HitSnapshot, context: &Context) -> Result<()> {
    let out = &context.out;
    out.line(format!(
        "snapshot {} of host {}, {}: {} hit, {} lost",
        hit.id.short(),
        escape_bytes(hit.host.as_bytes()),
        local_ms(hit.time_ms),
        plural(hit.file_count, "file"),
        format_bytes(hit.lost_bytes),
    ))?;
    for file in hit.files.iter().take(LISTED_FILES) {
        let what = match (file.part, file.lost_bytes) {
            (HitPart::Attributes, _) => "its extended attributes".to_owned(),
            (HitPart::Content, 0) => "its list of contents".to_owned(),
            (HitPart::Content, bytes) => format_bytes(bytes),
        };
        out.line(format!("  {} lacks {what}", file.path))?;
    }
    if let more @ 1.. = hit.files.len().saturating_sub(LISTED_FILES) {
        out.line(format!("  ... and {} (all with --json)", plural(more as u64, "more file")))?;
    }
    hit.ranges.iter().try_for_each(|range| out.line(format!("  {}", range_text(range))))
}

fn range_text(range: &HitRange) -> String {
    let entries = range.entries.map_or("all".to_owned(), |number| plural(number, "entry"));
    match (&range.after, &range.last) {
        (Some(after), Some(last)) => format!("{entries} after {after} up to {last}"),
        (Some(after), None) => format!("{entries} after {after}"),
        (None, Some(last)) => format!("{entries} up to {last}"),
        (None, None) => format!("{entries}: nothing of its tree can be read"),
    }
}
