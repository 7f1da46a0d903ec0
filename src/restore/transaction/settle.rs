//! Ends of an in-place restore: of one that was left unfinished before, and of that of this
//! process.

use std::path::{Path, PathBuf};

use super::options::{InPlaceOptions, Steps};
use super::registry::Entry;
use super::report::{InPlaceState, RollbackConflict};
use super::unfinished::{Remains, folder_of};
use crate::error::{Error, Result};
use crate::restore::context::Context;

/// Brings what an earlier restore left in the same tree to its end. Returns how many there were.
///
/// # Errors
/// As [`Remains::settle`].
pub(super) fn before(
    ctx: &Context<'_>,
    options: &InPlaceOptions,
    paths: &[Vec<u8>],
    steps: &Steps,
) -> Result<u64> {
    let mut count = 0;
    for path in paths {
        let full = ctx.target.join(path);
        // What is there of the way to it.
        let Some(dir) = full.ancestors().find(|dir| dir.is_dir()) else { continue };
        let finds = Remains::find(Some(dir), options.state_dir.as_deref())?;
        for folder in finds.left_alone {
            let text = format!("`{}` is not ours, and left alone", folder.display());
            ctx.ledger.warn(b"", text);
        }
        if let Some(undecided) = finds.undecided.into_iter().next() {
            let folder = undecided.folder.display();
            return Err(Error::Untouched {
                hint: format!("then bring it to its end with `larder rollback {folder}`"),
                what: undecided.what,
            });
        }
        for remains in finds.remains {
            let id = remains.shown.id.clone();
            settle(remains, steps, None)?;
            let text = format!("the unfinished in-place restore {id} was brought to its end first");
            ctx.ledger.warn(b"", text);
            count += 1;
        }
    }
    Ok(count)
}

/// Ends the restore of this process, according to how its switch went. Returns staging folders
/// that could not be removed after the commit.
///
/// # Errors
/// [`Error::RolledBack`] or [`Error::RollbackFailed`] with the error of the switch.
pub(super) fn end(
    ctx: &Context<'_>,
    options: &InPlaceOptions,
    entry: Entry,
    steps: &Steps,
    switched: Result<()>,
) -> Result<Vec<PathBuf>> {
    let error = switched.err();
    let folders: Vec<PathBuf> =
        entry.folders().iter().map(|kept| ctx.target.join(&kept.path)).collect();
    match take_back(options, entry, steps, error) {
        // Whatever went wrong after the commit, the tree is as it was asked for.
        Ok(InPlaceState::Committed) => Ok(Vec::new()),
        Err(Failed { state: InPlaceState::Committed, .. }) => {
            Ok(folders.into_iter().filter(|folder| folder.exists()).collect())
        }
        Ok(_) => Err(Error::Internal { what: "a switch ended without a reason".into() }),
        Err(Failed { error, .. }) => Err(error),
    }
}

/// Why a restore could not be brought to its end, or that it was brought back.
pub(super) struct Failed {
    state: InPlaceState,
    error: Error,
}

/// Brings the restore of this process to its end; `reason` is why it did not come there itself.
pub(super) fn take_back(
    options: &InPlaceOptions,
    entry: Entry,
    steps: &Steps,
    reason: Option<Error>,
) -> std::result::Result<InPlaceState, Failed> {
    let folder = folder_of(&entry);
    let (state, settled) = match Remains::open(entry, options.state_dir.as_deref()) {
        Ok(remains) => (remains.shown.state, settle(remains, steps, None)),
        Err(what) => {
            let folder = folder.clone();
            (InPlaceState::Switching, Err(Error::RollbackFailed { what, folder, source: None }))
        }
    };
    let error = match (settled, reason) {
        (Ok(()), None) => return Ok(state),
        (Ok(()), Some(_)) if state == InPlaceState::Committed => return Ok(state),
        (Ok(()), Some(reason)) => Error::RolledBack { source: Box::new(reason) },
        (Err(Error::RollbackFailed { what, folder, .. }), reason) => {
            Error::RollbackFailed { what, folder, source: reason.map(Box::new) }
        }
        (Err(error), reason) => Error::RollbackFailed {
            what: format!("what was changed could not be undone: {error}"),
            folder,
            source: reason.map(Box::new),
        },
    };
    Err(Failed { state, error })
}

fn settle(remains: Remains, steps: &Steps, source: Option<Box<Error>>) -> Result<()> {
    let folder = remains.folder();
    let undone = remains.settle(steps)?;
    if undone.conflicts.is_empty() {
        return Ok(());
    }
    Err(Error::RollbackFailed { what: describe(&undone.conflicts), folder, source })
}

/// What stands in the way of a rollback.
pub(super) fn describe(conflicts: &[RollbackConflict]) -> String {
    const NAMED: usize = 3;
    let place = |kept_at: &Path| format!(", and what it was is at `{}`", kept_at.display());
    let named = conflicts.iter().take(NAMED).map(|conflict| {
        let kept_at = conflict.kept_at.as_deref().map(place).unwrap_or_default();
        format!("something else took the place of `{}` meanwhile{kept_at}", conflict.path.display())
    });
    let mut text: Vec<String> = named.collect();
    if conflicts.len() > NAMED {
        text.push(format!("and {} more", conflicts.len() - NAMED));
    }
    text.join("; ")
}
