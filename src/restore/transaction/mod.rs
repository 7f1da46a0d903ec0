//! Restores in place, wholly or not at all: whatever happens meanwhile, the tree is afterwards as
//! in the snapshot or exactly as it was before.
//!
//! ```text
//! plan     the manifest and the live tree, side by side: what differs       nothing is touched
//! stage    what is new goes into hidden folders on the same file systems    nothing is touched
//! switch   a journal first; originals are set aside, staged entries renamed into their places
//! commit   the journal says so; what was set aside is removed
//! ```
//! An error, a cancellation or a full disk during the switch is answered by undoing everything at
//! once; after a crash [`rollback`] does, or the next [`restore_in_place`] there. Undoing takes no
//! room: entries are renamed back (they keep their inode numbers), metadata comes from the journal,
//! whose space was set aside before. "As it was" means content, names, kinds, modes, owners, times
//! of files and folders, attributes, ACLs, flags and hard links; only change times differ.
//!
//! What of two names for one file belongs together is the snapshot's to say: a file that stays gets
//! further names by `link`, in the staging folder, before anything is exchanged. Thus all that the
//! switch does is renaming and describing.
//!
//! A folder's times change when a staging folder is made in it or removed; they are set back at
//! once. A process killed between those two calls leaves them to the next start, which knows them
//! from the state folder. Without a state folder they would be lost in that moment.
//!
//! Not here: writing files (the engine of [`restore`](crate::restore::restore()) does, with a
//! selection of exactly what is staged).

mod action;
mod clean;
mod decide;
mod described;
mod draft;
mod extras;
mod journal;
mod locks;
mod named;
mod options;
mod registry;
mod report;
mod settle;
mod stage;
mod staging;
mod switch;
mod undo;
mod unfinished;
mod walk;

pub use draft::InPlacePlan;
pub use options::{Hook, InPlaceOptions, RollbackOptions};
pub use report::{
    Change, InPlaceAction, InPlaceCounts, InPlaceReport, InPlaceState, RollbackConflict,
    RollbackReport, Undecided, Unfinished,
};

use std::path::Path;

use locks::Locks;
use options::Steps;
use stage::{Staged, stage};
use staging::Stagings;
use switch::Switch;
use unfinished::Remains;
pub(super) use unfinished::refuse_unfinished;
use walk::Walk;

use super::arbiter::Arbiter;
use super::context::Context;
use super::find_path;
use super::options::RestoreOptions;
use super::protected::refuse_within;
use super::selection::{Selection, trim};
use super::target::Target;
use crate::error::{Error, Result};
use crate::fsmeta::{self, OpenDir};
use crate::repository::{Repository, Snapshot};
use crate::runtime::{Issue, IssueKind, Phase, Runtime};

/// Says what [`restore_in_place`] would do. Touches nothing.
///
/// # Errors
/// [`Error::Untouched`] for what stands in the way of all or nothing, [`Error::Usage`] for options
/// that make no sense, and what cannot be read.
pub fn plan(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &InPlaceOptions,
    runtime: &Runtime,
) -> Result<InPlacePlan> {
    let plain = plain_options(options);
    let ctx = context(repository, snapshot, &plain, options, runtime)?;
    make_plan(&ctx, snapshot, options)
}

/// Makes the live tree as the snapshot has it, wholly or not at all.
///
/// Unfinished in-place restores in the same tree are brought to their end first.
///
/// # Errors
/// As [`plan`]; [`Error::Busy`] if another one is at work there; [`Error::RolledBack`] with the
/// reason if something failed after the first change, and [`Error::RollbackFailed`] if not even
/// the tree of before could be brought back yet.
pub fn restore_in_place(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &InPlaceOptions,
    runtime: &Runtime,
) -> Result<InPlaceReport> {
    let steps = Steps::new(options.hook.as_ref());
    let plain = plain_options(options);
    let ctx = context(repository, snapshot, &plain, options, runtime)?;
    let mut report = InPlaceReport::default();
    let mut locks = None;
    if !options.dry_run {
        let paths = tops(snapshot, options);
        locks = Some(Locks::take(&ctx.target, &paths)?);
        report.rolled_back = settle::before(&ctx, options, &paths, &steps)?;
    }
    let mut plan = make_plan(&ctx, snapshot, options)?;
    report.counts = plan.counts();
    if options.dry_run {
        for action in plan.actions() {
            let action = action?;
            runtime.progress.detail(action.change.as_str(), &action.path);
        }
        return Ok(report);
    }
    if plan.actions.len() == 0 {
        return Ok(report);
    }
    if !options.ignore_room {
        plan.check_room(&ctx.target)?;
    }
    let given = (repository, snapshot);
    let surroundings = (options, runtime, &steps);
    let bytes = plan.journal_bytes;
    let mut stagings =
        Stagings::make(&ctx.target, &plan.places, bytes, given, surroundings).map_err(unstaged)?;
    let entry = stagings.entry.clone();
    let staged = match stage(&ctx.target, &mut plan, &stagings, given, surroundings) {
        Ok(staged) => staged,
        Err(error) => {
            // Nothing was exchanged: that error is what counts, and the next start cleans up too.
            drop(stagings);
            let cleaned = settle::take_back(options, entry, &steps, None);
            return Err(if cleaned.is_ok() { unstaged(error) } else { error });
        }
    };
    runtime.progress.phase(Phase::Finishing);
    let switched = Switch::new(&ctx, &plan, &mut stagings, &steps).run();
    drop(stagings);
    report.left_behind = settle::end(&ctx, options, entry, &steps, switched)?;
    drop(locks);
    let Staged { bytes_written, verified, unapplied } = staged;
    report.bytes_written = bytes_written;
    report.verified = verified;
    report.unapplied = unapplied;
    for own in ctx.ledger.into_report().unapplied {
        match report.unapplied.iter_mut().find(|known| known.aspect == own.aspect) {
            Some(known) => known.count += own.count,
            None => report.unapplied.push(own),
        }
    }
    Ok(report)
}

/// The error of a restore that ended before anything was exchanged, with its staging folders gone:
/// what the system refused says nothing about the tree by itself.
fn unstaged(error: Error) -> Error {
    match error {
        Error::Local { .. } => Error::RolledBack { source: Box::new(error) },
        error => error,
    }
}

/// In-place restores that did not come to their end: those that have to do with `dir`, or all
/// that the state folder knows of.
///
/// # Errors
/// [`Error::Local`] for what cannot be read.
pub fn unfinished(dir: Option<&Path>, state_dir: Option<&Path>) -> Result<Vec<Unfinished>> {
    let found = Remains::find(dir, state_dir)?;
    Ok(found.remains.iter().map(|remains| remains.shown.clone()).collect())
}

/// Brings in-place restores that did not come to their end to one: back to the tree of before, or
/// after their commit to that of the snapshot. Those that have to do with `dir`, or all that the
/// state folder knows of. May be interrupted and repeated. Restores that are at work are left alone,
/// and so is what cannot be decided: the report names that, and somebody has to see to it.
///
/// # Errors
/// [`Error::RollbackFailed`]; [`Error::Busy`] if one is at work in `dir`.
pub fn rollback(dir: Option<&Path>, options: &RollbackOptions) -> Result<RollbackReport> {
    let steps = Steps::new(options.hook.as_ref());
    let mut report = RollbackReport::default();
    let finds = Remains::find(dir, options.state_dir.as_deref())?;
    report.left_alone = finds.left_alone;
    report.undecided = finds.undecided;
    for remains in finds.remains {
        report.unfinished.push(remains.shown.clone());
        if options.dry_run || (remains.shown.is_running && dir.is_none()) {
            continue;
        }
        let undone = remains.settle(&steps)?;
        report.undone += undone.count;
        report.conflicts.extend(undone.conflicts);
    }
    Ok(report)
}

/// The options for the parts that this shares with the ordinary restore.
fn plain_options(options: &InPlaceOptions) -> RestoreOptions {
    RestoreOptions {
        target: options.target.clone(),
        include: options.include.clone(),
        iinclude: options.iinclude.clone(),
        exclude: options.exclude.clone(),
        iexclude: options.iexclude.clone(),
        paths: options.paths.clone(),
        overwrite: options.overwrite,
        ask: options.ask.clone(),
        delete: options.delete,
        sparse: options.sparse,
        owner: options.owner,
        threads: options.threads,
        dry_run: options.dry_run,
        ..RestoreOptions::default()
    }
}

fn context<'c>(
    repository: &'c Repository,
    snapshot: &Snapshot,
    plain: &'c RestoreOptions,
    options: &InPlaceOptions,
    runtime: &'c Runtime,
) -> Result<Context<'c>> {
    runtime.cancel.check()?;
    runtime.progress.phase(Phase::Planning);
    let selection = Selection::new(plain)?;
    for error in repository.load_index()? {
        let (path, message) = (Vec::new(), format!("part of the index is lost: {error}"));
        runtime.progress.issue(&Issue { kind: IssueKind::Warning, path, message });
    }
    let local = |error| Error::local("open", &options.target, error);
    let target = std::fs::canonicalize(&options.target).map_err(local)?;
    let target = Target::open(&target, true)?;
    let open = fsmeta::open_dir_at(target.fd().map_err(local)?, b".", OpenDir::Path);
    refuse_within(repository, &options.target, open)?;
    let arbiter = Arbiter::new(repository, snapshot, plain, &runtime.cancel)?;
    Ok(Context::new((repository, snapshot, plain, runtime), selection, target, arbiter))
}

fn make_plan(
    ctx: &Context<'_>,
    snapshot: &Snapshot,
    options: &InPlaceOptions,
) -> Result<InPlacePlan> {
    let subtree = trim(options.subtree.as_deref().unwrap_or_default())?;
    for path in ctx.selection.paths().chain([subtree]) {
        find_path(ctx.repository, snapshot, path)?;
    }
    Walk::new(ctx, snapshot, subtree)?.run()
}

/// The topmost paths that are restored.
fn tops(snapshot: &Snapshot, options: &InPlaceOptions) -> Vec<Vec<u8>> {
    let plain = |path: &[u8]| path.strip_prefix(b"/").unwrap_or(path).to_vec();
    match options.subtree.as_deref().map(trim) {
        Some(Ok(subtree)) if !subtree.is_empty() => vec![subtree.to_vec()],
        _ => snapshot.body.roots.iter().map(|root| plain(&root.0)).collect(),
    }
}
