//! Restores a snapshot, or a part of one, into a folder.
//!
//! ```text
//! planner (manifest in order, folders) -> windows of work -> threads (segments -> files)
//!                                      <- hard links and metadata of folders, window by window
//! ```
//! Within a window every segment is read and decoded once, whatever files its chunks belong to,
//! and every chunk is checked against its id before it is written. Nothing is written outside the
//! target, whatever the manifest says and whatever is in the target: everything is reached through
//! open folders, and symbolic links are never followed.
//!
//! One bad chunk, page or file never stops the rest: what fails is in the report. Only what makes
//! going on useless ends a restore: a full or read-only disk, storage out of reach, cancellation.
//! A restore that was interrupted is finished by running it again: what is right stays.
//!
//! Not here: choosing the snapshot (`tree`), checking a repository (`verify`).

mod arbiter;
mod attributes;
mod beside;
mod check;
mod conflict;
mod context;
mod delete;
mod dirs;
mod entries;
mod existing;
mod fetch;
mod files;
mod finish;
mod hardlinks;
mod ledger;
mod levels;
mod links;
mod needed;
mod nodes;
mod options;
mod plan;
mod protected;
mod read;
mod rehearse;
mod renamed;
mod report;
mod room;
mod selected;
mod selection;
mod target;
pub mod transaction;
mod verify;
mod window;
mod worker;
mod write;

pub use conflict::{Asker, Conflict, ConflictSide, Resolution};
pub use needed::{NeededPack, all_packs, needed_packs};
pub use options::{Overwrite, OwnerPolicy, RestoreOptions, SparsePolicy};
pub use rehearse::{VerifyBefore, rehearse};
pub use report::{FAILURES_KEPT, RestoreFailure, RestoreReport, UnappliedSummary};
pub use room::{Room, room_for};

use std::thread;

use crossbeam_channel::unbounded;

use arbiter::Arbiter;
use context::{Context, is_loss};
use plan::Planner;
use rehearse::Rehearsal;
use room::open_existing;
use selection::Selection;
use target::Target;
use worker::Worker;

use crate::error::{Error, Result};
use crate::fsmeta::{self, OpenDir};
use crate::model::FileKind;
use crate::repository::{Repository, Snapshot};
use crate::runtime::{Issue, IssueKind, Phase, Runtime};
use crate::tree::{Manifest, path_missing};

/// Threads at most: more would only cost memory.
const THREADS_MAX: usize = 16;

/// Restores `snapshot` as `options` say.
///
/// What could not be restored, or not wholly, is in the report, and the program ends with exit
/// code 3 then ([`RestoreReport::is_complete`]).
///
/// # Errors
/// [`Error::Usage`] for options that make no sense, [`Error::NotFound`] for a subtree that the
/// snapshot does not have, [`Error::Busy`] where an in-place restore is not at its end, [`Error::Local`] if the target cannot be used or its disk is full,
/// [`Error::Cancelled`], and what storage says when it is out of reach.
pub fn restore(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    runtime: &Runtime,
) -> Result<RestoreReport> {
    start(repository, snapshot, options, None, runtime)
}

fn start(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    rehearsal: Option<Rehearsal>,
    runtime: &Runtime,
) -> Result<RestoreReport> {
    runtime.cancel.check()?;
    runtime.progress.phase(Phase::Planning);
    let mut selection = Selection::new(options)?;
    let arbiter = Arbiter::new(repository, snapshot, options, &runtime.cancel)?;
    for error in repository.load_index()? {
        let (path, message) = (Vec::new(), format!("part of the index is lost: {error}"));
        runtime.progress.issue(&Issue { kind: IssueKind::Warning, path, message });
    }
    let from = selection.subtree().to_vec();
    for path in selection.paths() {
        find_path(repository, snapshot, path)?;
    }
    if find_path(repository, snapshot, &from)? != FileKind::Dir {
        selection.widen_to_parent();
    }
    if selection.is_everything() {
        runtime.progress.expect(snapshot.body.entries, snapshot.body.bytes);
    }
    let target = match rehearsal {
        Some(_) => Target::nowhere(),
        None => open_target(repository, snapshot, options, &selection, &from, runtime)?,
    };
    let ctx = Context::new((repository, snapshot, options, runtime), selection, target, arbiter);
    restore_to(Context { rehearsal, ..ctx }, snapshot, &from)
}

/// Restores what is selected, from the entry `from` down, into an open target.
fn restore_to(ctx: Context<'_>, snapshot: &Snapshot, from: &[u8]) -> Result<RestoreReport> {
    run(&ctx, snapshot, from)?;
    Ok(ctx.ledger.into_report())
}

/// Opens the target, if it may be and has room.
fn open_target(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    selection: &Selection,
    from: &[u8],
    runtime: &Runtime,
) -> Result<Target> {
    protected::refuse_within(repository, &options.target, open_existing(&options.target))?;
    transaction::refuse_unfinished(&options.target)?;
    if !options.ignore_room && !options.dry_run {
        room::check(repository, snapshot, options, selection, from, &runtime.cancel)?;
    }
    let target = Target::open(&options.target, options.dry_run)?;
    if let Ok(fd) = target.fd() {
        // A way that leads up again from folders that were not there.
        let open = fsmeta::open_dir_at(fd, b".", OpenDir::Path);
        protected::refuse_within(repository, &options.target, open)?;
    }
    Ok(target)
}

/// What is at a path of the snapshot. A folder, if that cannot be said because its page is lost.
fn find_path(repository: &Repository, snapshot: &Snapshot, path: &[u8]) -> Result<FileKind> {
    if path.is_empty() {
        return Ok(FileKind::Dir);
    }
    match Manifest::of(snapshot).find(repository, path) {
        Ok(Some(entry)) => Ok(entry.kind),
        Ok(None) => Err(path_missing(snapshot, path)),
        Err(error) if is_loss(&error) => Ok(FileKind::Dir),
        Err(error) => Err(error),
    }
}

fn run(ctx: &Context<'_>, snapshot: &Snapshot, from: &[u8]) -> Result<()> {
    let cpus = thread::available_parallelism().map_or(2, usize::from);
    let threads = ctx.options.threads.map_or_else(
        || cpus.max(ctx.repository.storage().concurrency()),
        std::num::NonZeroUsize::get,
    );
    let phase = ctx.rehearsal.as_ref().map_or(Phase::Restoring, Rehearsal::phase);
    ctx.runtime.progress.phase(phase);
    thread::scope(|scope| {
        let (sender, jobs) = unbounded();
        let workers: Vec<_> = (0..threads.clamp(1, THREADS_MAX))
            .map(|_| {
                let jobs = jobs.clone();
                scope.spawn(move || Worker::new(ctx).work(&jobs))
            })
            .collect();
        // The threads' own ends must be the only ones: a job that nobody takes must not wait.
        drop(jobs);
        let mut result = Planner::new(ctx, snapshot, sender.clone()).run(from);
        if result.is_ok() && ctx.options.verify && !ctx.options.dry_run {
            ctx.runtime.progress.phase(Phase::CheckingData);
            result = verify::verify(ctx, snapshot, from, &sender);
        }
        if result.is_err() {
            ctx.stop.halt();
        }
        drop(sender);
        let panicked = workers.into_iter().filter_map(|worker| worker.join().err()).count();
        if panicked > 0 {
            return Err(Error::Internal { what: "a thread that restores files panicked".into() });
        }
        result
    })
}
