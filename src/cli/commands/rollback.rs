//! `larder rollback`: brings in-place restores that did not come to their end to one.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::plural;
use crate::error::Result;
use crate::restore::transaction::{
    InPlaceState, RollbackOptions, RollbackReport, Undecided, Unfinished, rollback,
};

const EXAMPLES: &str = "\
Examples:
  larder rollback                  all that this user began and did not end
  larder rollback --dry-run        what is unfinished
  larder rollback /srv/web         what has to do with this folder

An in-place restore (`larder restore --in-place`) that was killed is undone: everything is as it
was before it. One that had all exchanged already is only cleaned up after. A rollback may be
interrupted and repeated. Without a state folder, name the folder that has `.larder-in-place-...`.

If the tree is mounted somewhere else now, as on a rescue system, name that folder; all file systems
that took part have to be there, at the same paths below it. What is missing is named, and nothing
is touched before it is there (exit code 1).";

/// Undo in-place restores that did not come to their end
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RollbackArgs {
    /// Only what has to do with this folder
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Say what is unfinished, but change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// The `summary` of a rollback in JSON.
#[derive(Serialize)]
struct Summary<'a> {
    dry_run: bool,
    #[serde(flatten)]
    report: &'a RollbackReport,
}

pub(super) fn run(args: &RollbackArgs, context: &Context) -> Result<Finish> {
    let out = &context.out;
    let state_dir = context.open_options().state_dir;
    let options = RollbackOptions { state_dir, dry_run: args.dry_run, ..Default::default() };
    let report = rollback(args.dir.as_deref(), &options)?;
    if out.json {
        out.message("summary", &Summary { dry_run: args.dry_run, report: &report })?;
    } else {
        print(&report, args.dry_run, context)?;
    }
    for conflict in &report.conflicts {
        let kept_at = match &conflict.kept_at {
            Some(kept_at) => format!("what it was is at `{}`", kept_at.display()),
            None => "what it was is gone".into(),
        };
        out.warn(&format!(
            "something else took the place of `{}` meanwhile; {kept_at}",
            conflict.path.display()
        ));
    }
    let mut undecided = report.undecided;
    undecided.extend(report.left_alone.into_iter().map(|folder| Undecided {
        id: String::new(),
        what: format!("`{}` is not yours, or open to others: it is left alone", folder.display()),
        folder: folder.parent().unwrap_or(&folder).to_path_buf(),
    }));
    if let Some(last) = undecided.pop() {
        undecided.iter().for_each(|one| out.warn(&one.what));
        return Err(last.into());
    }
    Ok(Finish::with_failed(report.conflicts.len() as u64))
}

fn print(report: &RollbackReport, dry_run: bool, context: &Context) -> Result<()> {
    let out = &context.out;
    let is_clear = report.undecided.is_empty() && report.left_alone.is_empty();
    if report.unfinished.is_empty() && !is_clear {
        return Ok(());
    }
    if report.unfinished.is_empty() {
        return out.note("no in-place restore is unfinished");
    }
    for one in &report.unfinished {
        let has_conflicts = !report.conflicts.is_empty();
        let said = said(one, dry_run, has_conflicts);
        out.note(format!("{} in `{}`: {said}", one.id, folder(one)))?;
    }
    if dry_run {
        return Ok(());
    }
    out.note(format!("{} brought back", plural(report.undone, "entry")))?;
    match report.conflicts.len() as u64 {
        0 => Ok(()),
        left => out.note(format!(
            "{} not: the staging folders stay; move away what took their places, then run \
             `larder rollback` again",
            plural(left, "entry")
        )),
    }
}

/// The folder that the first staging folder is in.
fn folder(one: &Unfinished) -> String {
    let folder = one.folders.first().and_then(|folder| folder.parent());
    folder.unwrap_or(&one.target).display().to_string()
}

fn said(one: &Unfinished, dry_run: bool, has_conflicts: bool) -> &'static str {
    match (one.state, dry_run) {
        _ if one.is_running => "it is at work, and left alone",
        (InPlaceState::Staging, true) => "nothing was exchanged yet; its files would be removed",
        (InPlaceState::Staging, false) => "nothing was exchanged yet; its files were removed",
        (InPlaceState::Switching, true) => "it would be rolled back",
        (InPlaceState::Switching, false) if has_conflicts => {
            "it was rolled back but for what is named here"
        }
        (InPlaceState::Switching, false) => "it was rolled back",
        (InPlaceState::Committed, true) => "all is restored; what was set aside would be removed",
        (InPlaceState::Committed, false) => "all is restored; what was set aside was removed",
    }
}
