//! `larder restore`: brings files back.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::shared::FilterArgs;
use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::progress::{Display, Job};
use crate::cli::output::{count, plural};
use crate::cli::select::{roots, shown_path};
use crate::error::Result;
use crate::model::entry::is_within;
use crate::model::{format_bytes, format_duration};
use crate::repository::Snapshot;
use crate::restore::{
    Overwrite, OwnerPolicy, RestoreOptions, RestoreReport, SparsePolicy, restore,
};

const EXAMPLES: &str = "\
Examples:
  larder restore latest --target /tmp/back              everything, with full paths below it
  larder restore latest:home/ann/work --target ~/work   the contents of one folder
  larder restore 4f1c --target . --include '*.txt'
  larder restore --at 2026-11-01 --host web --target /tmp/back
  larder restore latest:etc --target /etc --overwrite if-changed --dry-run -v
  larder restore latest:srv --target /srv --delete --verify

With `SNAPSHOT:PATH` the contents of PATH are put straight into the target; without `:PATH` the
full source paths are made again below it. Files that cannot be restored are named, all others
are restored, and the exit code is 3.";

/// Bring files back from a snapshot
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RestoreArgs {
    /// Snapshot: an id or its first digits, `latest`, `latest~2`, `ID:path/in/it`
    #[arg(value_name = "SNAPSHOT[:PATH]", required_unless_present = "at")]
    snapshot: Option<OsString>,

    /// Folder to restore into; made if it is not there
    #[arg(short, long, value_name = "DIR")]
    target: PathBuf,

    /// Restore only what fits the pattern (may be repeated)
    #[arg(short, long, value_name = "PATTERN")]
    include: Vec<String>,

    /// The same, upper and lower case being equal
    #[arg(long, value_name = "PATTERN")]
    iinclude: Vec<String>,

    /// Leave out what fits the pattern (may be repeated)
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// The same, upper and lower case being equal
    #[arg(long, value_name = "PATTERN")]
    iexclude: Vec<String>,

    /// What to do with files that are there already
    #[arg(long, value_name = "WHEN", default_value = "always")]
    overwrite: OverwriteArg,

    /// Delete what is in the target's restored folders but not in the snapshot
    #[arg(long)]
    delete: bool,

    /// Say what would be done, but change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Read the restored files again and compare them with the snapshot
    #[arg(long)]
    verify: bool,

    /// Whose the restored files are
    #[arg(long, value_name = "WHOSE", default_value = "by-name")]
    owner: OwnerArg,

    /// What becomes of long runs of zeros
    #[arg(long, value_name = "HOW", default_value = "as-recorded")]
    sparse: SparseArg,

    #[command(flatten)]
    filter: FilterArgs,
}

/// When an existing file is written over.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OverwriteArg {
    /// Make it as it is in the snapshot; content that is right already stays
    Always,
    /// The same, but take a file of the same size and time for right, unread
    IfChanged,
    /// Only if the snapshot's was modified later
    IfNewer,
    /// Keep what is there
    Never,
}

impl From<OverwriteArg> for Overwrite {
    fn from(arg: OverwriteArg) -> Self {
        match arg {
            OverwriteArg::Always => Self::Always,
            OverwriteArg::IfChanged => Self::IfChanged,
            OverwriteArg::IfNewer => Self::IfNewer,
            OverwriteArg::Never => Self::Never,
        }
    }
}

/// Whose restored files are.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OwnerArg {
    /// The user and group of the recorded names, or numbers where a name is unknown
    ByName,
    /// The recorded numbers
    Numeric,
    /// Yours
    Skip,
}

impl From<OwnerArg> for OwnerPolicy {
    fn from(arg: OwnerArg) -> Self {
        match arg {
            OwnerArg::ByName => Self::ByName,
            OwnerArg::Numeric => Self::Numeric,
            OwnerArg::Skip => Self::Skip,
        }
    }
}

/// What becomes of zeros.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SparseArg {
    /// Holes where there were holes
    AsRecorded,
    /// Holes wherever there are zeros
    Always,
    /// No holes
    Never,
}

impl From<SparseArg> for SparsePolicy {
    fn from(arg: SparseArg) -> Self {
        match arg {
            SparseArg::AsRecorded => Self::AsRecorded,
            SparseArg::Always => Self::Always,
            SparseArg::Never => Self::Never,
        }
    }
}

pub(super) fn run(args: RestoreArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let repository = context.open()?;
    let chosen = args.filter.choose(args.snapshot.as_deref(), &repository, out)?;
    let dry_run = args.dry_run;
    let options = RestoreOptions {
        target: args.target,
        subtree: chosen.path,
        include: args.include,
        iinclude: args.iinclude,
        exclude: args.exclude,
        iexclude: args.iexclude,
        overwrite: args.overwrite.into(),
        delete: args.delete,
        dry_run,
        verify: args.verify,
        sparse: args.sparse.into(),
        owner: args.owner.into(),
        threads: None,
    };
    let start = Instant::now();
    let display = Display::start(out, Job::Restore);
    if let Some((entries, bytes)) = expected(&chosen.snapshot, &options) {
        display.progress().estimate(entries, bytes);
    }
    let report = restore(&repository, &chosen.snapshot, &options, &context.runtime(&display));
    display.finish();
    let report = report?;
    let summary = Summary {
        snapshot_id: chosen.snapshot.id.to_string(),
        target: options.target.display().to_string(),
        dry_run,
        seconds: start.elapsed().as_secs_f64(),
        report: &report,
    };
    if out.json {
        out.message("summary", &summary)?;
    } else {
        print(&summary, args.verify, context)?;
    }
    Ok(Finish::with_failed(report.failed))
}

/// What a restore of all sources will take, where only the folders above them are left out.
fn expected(snapshot: &Snapshot, options: &RestoreOptions) -> Option<(u64, u64)> {
    let folder = options.subtree.as_deref()?;
    let patterns = [&options.include, &options.iinclude, &options.exclude, &options.iexclude];
    let is_all = patterns.iter().all(|patterns| patterns.is_empty())
        && roots(snapshot).iter().all(|root| is_within(root, folder));
    is_all.then_some((snapshot.body.entries, snapshot.body.bytes))
}

/// The `summary` of a restore in JSON.
#[derive(Serialize)]
struct Summary<'a> {
    snapshot_id: String,
    target: String,
    dry_run: bool,
    seconds: f64,
    #[serde(flatten)]
    report: &'a RestoreReport,
}

fn print(summary: &Summary<'_>, verify: bool, context: &Context) -> Result<()> {
    let out = &context.out;
    let report = summary.report;
    let time = format_duration(std::time::Duration::from_secs_f64(summary.seconds));
    let files = format!("{} ({})", plural(report.files, "file"), format_bytes(report.bytes));
    out.note(if summary.dry_run {
        format!("would restore {files} to `{}`: this was a dry run", summary.target)
    } else {
        format!("restored {files} to `{}` in {time}", summary.target)
    })?;
    let parts: Vec<String> = [
        (report.created, "created"),
        (report.replaced, "replaced"),
        (report.unchanged, "unchanged"),
        (report.deleted, "deleted"),
        (report.skipped, "skipped"),
        (report.failed, "failed"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| format!("{} {what}", count(number)))
    .collect();
    out.note(format!("  entries  {}", parts.join(", ")))?;
    if !summary.dry_run {
        out.note(format!("  written  {}", format_bytes(report.bytes_written)))?;
    }
    if verify && !summary.dry_run {
        out.note(format!("  verified {} entries", count(report.verified)))?;
    }
    for unapplied in &report.unapplied {
        out.warn(&format!(
            "the system did not take {} of {}, such as `{}`: {}",
            unapplied.aspect,
            plural(unapplied.count, "entry"),
            shown_path(&unapplied.example),
            unapplied.reason,
        ));
    }
    if report.failed > 0 {
        out.warn(&format!(
            "{} could not be restored wholly, see above",
            plural(report.failed, "entry")
        ));
    }
    Ok(())
}
