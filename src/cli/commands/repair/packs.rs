//! `larder repair packs`: saves what can be read of damaged packs.

use clap::Args;
use serde::Serialize;

use super::{LISTED_MAX, print_list};
use crate::cli::Finish;
use crate::cli::author::author;
use crate::cli::commands::check::{check_shown, print_finding, print_hit};
use crate::cli::context::Context;
use crate::cli::output::progress::{Display, Job};
use crate::cli::output::{Style, count, plural};
use crate::error::{Error, Result};
use crate::model::{ObjectHash, format_bytes};
use crate::repair::{PackRepair, PackRepairOptions, PackState, RepairedPack, repair_packs};
use crate::repository::Repository;
use crate::verify::{CheckOptions, CheckReport, Finding, Hits, ReadData, Severity, hits};

const EXAMPLES: &str = "\
Examples:
  larder repair packs                        reads all stored data and repairs what is damaged
  larder repair packs data/3f/3f9c81...      only these packs, as `larder check` named them
  larder repair packs 3f9c81 --dry-run       says what could be saved

Damaged packs stay where they are. Backups do not rely on them from then on: the next one stores
again what could not be saved, if the files are still there, and old snapshots are whole again.

Exit codes: 0 nothing is lost; 3 what could be saved is saved, and files that lack something are
named; 1 nobody can tell what was in a pack, or the check found damage that this does not repair.";

/// Save what can be read of damaged packs
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PacksArgs {
    /// Packs, by name or the first digits of their hash; all that a check finds if none is given
    #[arg(value_name = "PACK")]
    packs: Vec<String>,

    /// Only say what could be saved
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(super) fn run(args: &PacksArgs, context: &Context) -> Result<Finish> {
    let repository = context.open()?;
    let found = match args.packs.is_empty() {
        true => Some(check_with(&repository, ReadData::All, context)?),
        false => None,
    };
    let packs = match &found {
        Some(found) => to_repair(found, &repository)?,
        None => args.chosen(&repository, context)?,
    };
    let options = PackRepairOptions { dry_run: args.dry_run };
    let display = Display::start(&context.out, Job::Repair);
    let runtime = context.runtime(&display);
    let repaired = repair_packs(&repository, &packs, &options, &author(), &runtime);
    let lost = repaired.and_then(|report| {
        let mut snapshots = repository.snapshots()?.snapshots;
        snapshots.reverse();
        let max = CheckOptions::default().files_max;
        let hits = match report.lost_chunks {
            0 => Hits::default(),
            _ => hits(&repository, &snapshots, &report.damage, max, &runtime)?,
        };
        Ok(Summary { report, hits, check: None })
    });
    display.finish();
    let mut summary = lost?;
    if let Some(found) = found.filter(|found| !found.is_clean()) {
        // Only another look tells what is left: pages, and what hangs on them, may be back.
        let left = match args.dry_run {
            true => found,
            false => check_with(&repository, ReadData::None, context)?,
        };
        summary.hits = left.hits.clone();
        summary.check = Some(left);
    }
    if context.out.json {
        context.out.message("summary", &summary)?;
    } else {
        print(&summary, context)?;
    }
    let rest = summary.rest();
    let is_stuck = summary.report.unreadable().next().is_some()
        || rest.iter().any(|finding| !is_of_content(finding));
    Ok(if is_stuck {
        Finish::Damaged
    } else if summary.hits.snapshots.is_empty() && rest.is_empty() {
        Finish::Done
    } else {
        Finish::Incomplete
    })
}

#[derive(Serialize)]
struct Summary {
    #[serde(flatten)]
    report: PackRepair,
    /// The snapshots and files that lack something now.
    hits: Hits,
    /// If no packs were named and something is damaged: how the repository is after the repair, or
    /// how it is now in a dry run.
    check: Option<CheckReport>,
}

impl Summary {
    /// Damage that a repair of packs does nothing about.
    fn rest(&self) -> Vec<&Finding> {
        let Some(check) = &self.check else { return Vec::new() };
        let is_in_bad_pack = |finding: &Finding| {
            check.bad_packs.contains(&finding.object)
                || check.is_distrusted(&finding.object)
                // Before a repair nobody knows what of it can be saved.
                || (self.report.dry_run && !check.bad_packs.is_empty() && is_named_in_hits(finding))
        };
        let is_rest = |f: &&Finding| f.severity == Severity::Damage && !is_in_bad_pack(f);
        check.findings.iter().filter(is_rest).collect()
    }
}

/// Whether a finding is about a page or chunk: if it is lost, the files that it costs are named.
fn is_named_in_hits(finding: &Finding) -> bool {
    ["page ", "chunk "].iter().any(|kind| finding.object.starts_with(kind))
}

/// Whether a finding costs content, which is named file by file, and nothing else.
fn is_of_content(finding: &Finding) -> bool {
    is_named_in_hits(finding)
        || ["data/", "meta/"].iter().any(|folder| finding.object.starts_with(folder))
}

fn check_with(
    repository: &Repository,
    read_data: ReadData,
    context: &Context,
) -> Result<CheckReport> {
    check_shown(repository, &CheckOptions { read_data, ..CheckOptions::default() }, context)
}

/// The packs that a check found to be bad, and those that nobody relies on although they are there:
/// they may have been put back from a copy.
fn to_repair(found: &CheckReport, repository: &Repository) -> Result<Vec<ObjectHash>> {
    let listed = repository.list_packs()?;
    let damage = &found.damage;
    let returned = damage.distrusted_packs.iter().filter(|pack| listed.get(pack).is_some());
    let mut packs: Vec<ObjectHash> = damage.bad_packs.keys().chain(returned).copied().collect();
    packs.sort_unstable();
    packs.dedup();
    Ok(packs)
}

impl PacksArgs {
    fn chosen(&self, repository: &Repository, context: &Context) -> Result<Vec<ObjectHash>> {
        for error in repository.load_index()? {
            context.out.warn(&format!("a part of the index cannot be used: {error}"));
        }
        let listed = repository.list_packs()?;
        let mut known: Vec<ObjectHash> = listed.iter().map(|(hash, _)| hash).collect();
        known.extend(repository.index().packs().into_iter().map(|(_, info)| info.hash));
        known.sort_unstable();
        known.dedup();
        let mut chosen = Vec::new();
        for name in &self.packs {
            chosen.push(find(name, &known)?);
        }
        chosen.sort_unstable();
        chosen.dedup();
        Ok(chosen)
    }
}

/// A pack by its object's name, its hash, or the first digits of it.
fn find(name: &str, known: &[ObjectHash]) -> Result<ObjectHash> {
    let digits = name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let mut found = known.iter().filter(|hash| hash.to_string().starts_with(&digits));
    match (found.next().filter(|_| !digits.is_empty()), found.next()) {
        (Some(hash), None) => Ok(*hash),
        (Some(_), Some(_)) => {
            let text = format!("several packs begin with `{digits}`");
            Err(Error::usage_hint(text, "give more digits"))
        }
        (None, _) => Err(Error::NotFound { what: "pack", name: name.to_owned() }),
    }
}

fn print(summary: &Summary, context: &Context) -> Result<()> {
    let (out, report) = (&context.out, &summary.report);
    let of_state = |state: PackState| -> Vec<&RepairedPack> {
        report.packs.iter().filter(|pack| pack.state == state).collect()
    };
    let contents = |pack: &&RepairedPack| {
        let verb = if report.dry_run { "can be saved" } else { "saved" };
        format!(
            "{}: {} {verb}, {} safe elsewhere, {} lost",
            pack.name,
            plural(pack.salvaged_chunks, "chunk"),
            pack.safe_chunks,
            pack.lost_chunks
        )
    };
    print_list(out, "damaged packs:", &of_state(PackState::Damaged), contents)?;
    let returned = "packs that are whole again, and that no backup relies on:";
    print_list(out, returned, &of_state(PackState::Returned), contents)?;
    print_list(out, "missing packs:", &of_state(PackState::Missing), contents)?;
    print_list(
        out,
        "packs of which nobody can tell what was in them:",
        &of_state(PackState::Unreadable),
        |pack| pack.name.clone(),
    )?;
    print_list(out, "packs that are whole:", &of_state(PackState::Whole), |pack| {
        pack.name.clone()
    })?;
    summary.hits.snapshots.iter().try_for_each(|hit| print_hit(hit, context))?;
    if summary.hits.left_out > 0 {
        out.line(format!("... and {} more", plural(summary.hits.left_out, "file")))?;
    }
    let damaged = report.packs.iter().filter(|pack| pack.state != PackState::Whole).count() as u64;
    let rest = summary.rest();
    if !rest.is_empty() {
        out.line("damage that a repair of packs does nothing about:")?;
        rest.iter().take(LISTED_MAX).try_for_each(|finding| print_finding(finding, context))?;
        if let more @ 1.. = rest.len().saturating_sub(LISTED_MAX) as u64 {
            out.line(format!("... and {} more (all with --json)", count(more)))?;
        }
        if damaged == 0 {
            return out.line("no damaged packs");
        }
    }
    if damaged == 0 {
        return out.note("no damaged packs: nothing to do");
    }
    out.line(format!(
        "{}{} ({}) of {} {}",
        if report.dry_run { "dry run: " } else { "" },
        plural(report.salvaged_chunks, "chunk"),
        format_bytes(report.salvaged_bytes),
        plural(damaged, "pack"),
        if report.dry_run { "would be saved" } else { "saved in new packs" },
    ))?;
    let hint = |text: &str| out.line(format!("{} {text}", out.paint(Style::Hint, "hint:")));
    match (summary.hits.snapshots.len() as u64, report.lost_chunks) {
        (_, 0) => out.note("nothing is lost"),
        (0, lost) => {
            out.line(format!("{} lost, and no snapshot needs them", plural(lost, "chunk")))
        }
        (hit, lost) => {
            out.line(format!("{} lost, {} hit", plural(lost, "chunk"), plural(hit, "snapshot")))?;
            hint(
                "back up again while the files still exist: what is lost is stored anew, and these \
                 snapshots are whole again",
            )?;
            hint("if they are gone, `larder repair snapshots` keeps what is left")
        }
    }
}
