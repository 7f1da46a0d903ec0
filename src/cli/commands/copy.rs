//! `larder copy`: snapshots into another repository.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::shared::{FilterArgs, resolve};
use crate::cli::Finish;
use crate::cli::args::{SecretArgs, parse_location};
use crate::cli::author::author;
use crate::cli::context::Context;
use crate::cli::output::progress::{Display, Job};
use crate::cli::output::{Output, plural};
use crate::cli::secrets::SecretSource;
use crate::cli::select::warn_of_bad;
use crate::codec::Compression;
use crate::error::{Error, Result};
use crate::manager::{Copied, CopyOptions, CopyOutcome, CopyReport, check_history, copy};
use crate::model::format_bytes;
use crate::repository::{Repository, Snapshot};

const EXAMPLES: &str = "\
Examples:
  larder copy --all --to /mnt/second/backup
  larder copy latest --host web --to /mnt/second/backup --to-key-file second.key
  LARDER_TO_PASSWORD_FILE=pw larder copy 4f1c 9b20 --to /mnt/second/backup
  larder copy --all --to /mnt/second/backup --dry-run

The destination is a repository of its own, with keys of its own, made before with `repo init`.
What was copied is not copied again, and a copy that was broken off is just repeated. Snapshots
keep their times, tags and hosts, and get new ids; those that were forgotten in the destination
are not copied again while their data is still there (`larder undelete`).";

/// Copy snapshots into another repository
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CopyArgs {
    /// Snapshots: ids or their first digits, `latest`, `latest~2`
    #[arg(value_name = "SNAPSHOT", required_unless_present = "all")]
    snapshots: Vec<OsString>,

    /// All snapshots that fit the filters
    #[arg(long, conflicts_with = "snapshots")]
    all: bool,

    #[command(flatten)]
    filter: FilterArgs,

    #[command(flatten)]
    to: ToArgs,

    /// How hard to compress: fast, default, max, none or a zstd level from 1 to 22
    #[arg(long, value_name = "HOW", default_value_t)]
    compression: Compression,

    /// Go on although snapshots of the destination are hidden, lost or unreadable, after a look
    #[arg(long)]
    accept_history: bool,

    /// Only say what would be copied
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// The destination, and what opens it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Where to")]
struct ToArgs {
    /// The other repository: a path or URL [env: LARDER_TO_REPOSITORY]
    #[arg(long, value_name = "LOCATION")]
    to: Option<OsString>,

    /// File whose first line is its password [env: LARDER_TO_PASSWORD_FILE, or LARDER_TO_PASSWORD]
    #[arg(long, value_name = "FILE")]
    to_password_file: Option<PathBuf>,

    /// Shell command that prints its password [env: LARDER_TO_PASSWORD_COMMAND]
    #[arg(long, value_name = "COMMAND", conflicts_with = "to_password_file")]
    to_password_command: Option<String>,

    /// Its key file [env: LARDER_TO_KEY_FILE]
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["to_password_file", "to_password_command"])]
    to_key_file: Option<PathBuf>,
}

impl ToArgs {
    fn open(&self, context: &Context) -> Result<Repository> {
        let environment = || std::env::var_os("LARDER_TO_REPOSITORY").filter(|v| !v.is_empty());
        let location = self.to.clone().or_else(environment).ok_or_else(|| {
            Error::usage_hint("nothing says where to copy to", "give `--to LOCATION`")
        })?;
        let secret = SecretArgs {
            password_file: self.to_password_file.clone(),
            password_command: self.to_password_command.clone(),
            key_file: self.to_key_file.clone(),
        };
        let source = SecretSource::choose_for(&secret, "LARDER_TO_");
        context.open_at(&parse_location(&location)?, &source)
    }
}

pub(super) fn run(args: &CopyArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let filter = args.filter.filter()?;
    let from = context.open_indexed()?;
    let to = args.to.open(context)?;
    for error in to.load_index()? {
        out.warn(&format!("a part of the destination's index cannot be used: {error}"));
    }
    let there = to.snapshots()?;
    if !(there.rollback.is_empty() && there.bad.is_empty() && there.notices.is_empty()) {
        out.warn("the log of the destination is not as it should be:");
        warn_of_bad(&there, out);
    }
    // What is hidden or cannot be read may be a copy, or say that one was forgotten.
    check_history(&there, args.accept_history)?;
    let list = from.snapshots()?;
    warn_of_bad(&list, out);
    let chosen: Vec<&Snapshot> = if args.all {
        filter.fitting(&list).collect()
    } else {
        resolve(&args.snapshots, list.snapshots.iter(), &filter)?
    };
    let options = CopyOptions {
        compression: args.compression,
        readers: None,
        dry_run: args.dry_run,
        author: author(),
    };
    let display = Display::start(out, Job::Backup);
    let report = copy(&from, &to, &chosen, &options, &context.runtime(&display));
    display.finish();
    let report = report?;
    tell(&report, args.dry_run, context)?;
    Ok(Finish::with_failed(report.snapshots.iter().filter(|one| is_left(one)).count() as u64))
}

/// Whether it should be there now and is not.
pub(super) fn is_left(one: &Copied) -> bool {
    matches!(one.outcome, CopyOutcome::Damaged(_) | CopyOutcome::InDoubt)
}

#[derive(Serialize)]
pub(super) struct CopiedJson {
    original_id: String,
    /// `copied`, `would_copy`, `already_there`, `forgotten_there`, `in_doubt`, `damaged`.
    outcome: &'static str,
    /// Its id in the destination, if it is there.
    snapshot_id: Option<String>,
    /// What is damaged.
    error: Option<String>,
}

#[derive(Serialize)]
struct Summary {
    dry_run: bool,
    copied: usize,
    skipped: usize,
    failed: usize,
    same_ids: bool,
    added_bytes: u64,
    added_stored_bytes: u64,
}

impl CopiedJson {
    pub(super) fn new(one: &Copied) -> Self {
        let (outcome, id, error) = match &one.outcome {
            CopyOutcome::Copied(copy) => ("copied", Some(copy.id), None),
            CopyOutcome::WouldCopy => ("would_copy", None, None),
            CopyOutcome::AlreadyThere(id) => ("already_there", Some(*id), None),
            CopyOutcome::ForgottenThere(id) => ("forgotten_there", Some(*id), None),
            CopyOutcome::InDoubt => ("in_doubt", None, None),
            CopyOutcome::Damaged(error) => ("damaged", None, Some(error.to_string())),
        };
        Self {
            original_id: one.original.id.to_string(),
            outcome,
            snapshot_id: id.map(|id| id.to_string()),
            error,
        }
    }
}

fn tell(report: &CopyReport, dry_run: bool, context: &Context) -> Result<()> {
    let out = &context.out;
    let count = |is: fn(&CopyOutcome) -> bool| {
        report.snapshots.iter().filter(|one| is(&one.outcome)).count()
    };
    let copied = count(|o| matches!(o, CopyOutcome::Copied(_) | CopyOutcome::WouldCopy));
    let failed = count(|o| matches!(o, CopyOutcome::Damaged(_) | CopyOutcome::InDoubt));
    let skipped = report.snapshots.len() - copied - failed;
    if out.json {
        for one in &report.snapshots {
            out.message("copied", &CopiedJson::new(one))?;
        }
        return out.message(
            "summary",
            &Summary {
                dry_run,
                copied,
                skipped,
                failed,
                same_ids: report.same_ids,
                added_bytes: report.added.plain_bytes,
                added_stored_bytes: report.added.stored_bytes,
            },
        );
    }
    report.snapshots.iter().try_for_each(|one| tell_outcome(one, out))?;
    let count = plural(copied as u64, "snapshot");
    let before = if skipped == 0 { String::new() } else { format!(", {skipped} there already") };
    if dry_run {
        return out.note(format!("{count} would be copied{before}: this was a dry run"));
    }
    out.note(format!("{count} copied{before}"))?;
    if copied > 0 {
        let added = &report.added;
        out.note(format!(
            "  added    {}, stored as {}",
            format_bytes(added.plain_bytes),
            format_bytes(added.stored_bytes)
        ))?;
    }
    Ok(())
}

/// Says what became of a snapshot, unless it was there before.
pub(super) fn tell_outcome(one: &Copied, out: &Output) -> Result<()> {
    let id = one.original.id.short();
    match &one.outcome {
        CopyOutcome::Copied(copy) => {
            out.note(format!("snapshot {id} copied as {}", copy.id.short()))?;
        }
        CopyOutcome::WouldCopy => out.note(format!("snapshot {id} would be copied"))?,
        CopyOutcome::AlreadyThere(_) => {}
        CopyOutcome::ForgottenThere(there) => out.note(format!(
            "snapshot {id} was copied as {}, which is forgotten there",
            there.short()
        ))?,
        CopyOutcome::InDoubt => {
            out.warn(&format!("snapshot {id} is quarantined or suspect, and was not copied"));
        }
        CopyOutcome::Damaged(error) => {
            out.warn(&format!("snapshot {id} was not copied: {error}"));
        }
    }
    Ok(())
}
