//! What all threads of a restore share.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::arbiter::Arbiter;
use super::attributes::Owners;
use super::ledger::Ledger;
use super::links::Leaders;
use super::options::RestoreOptions;
use super::protected::Protected;
use super::rehearse::Rehearsal;
use super::renamed::Renamed;
use super::selection::Selection;
use super::target::Target;
use crate::error::{Error, Result, StorageErrorKind};
use crate::fsmeta;
use crate::repository::{Repository, Snapshot};
use crate::runtime::Runtime;

pub(super) struct Context<'r> {
    pub(super) repository: &'r Repository,
    pub(super) options: &'r RestoreOptions,
    pub(super) runtime: &'r Runtime,
    pub(super) selection: Selection,
    pub(super) target: Target,
    pub(super) protected: Protected,
    pub(super) arbiter: Arbiter<'r>,
    pub(super) renamed: Renamed,
    pub(super) ledger: Ledger,
    pub(super) owners: Owners,
    pub(super) leaders: Leaders,
    /// Nothing is made: it is only tried what could be.
    pub(super) rehearsal: Option<Rehearsal>,
    pub(super) is_root: bool,
    pub(super) stop: Stop,
}

/// Ends all threads because of the first error that makes going on useless.
#[derive(Default)]
pub(super) struct Stop {
    stopped: AtomicBool,
    error: Mutex<Option<Error>>,
}

impl Stop {
    /// Asks all threads to end.
    pub(super) fn set(&self, error: Error) {
        self.error.lock().get_or_insert(error);
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Asks all threads to end, for a reason that is known elsewhere.
    pub(super) fn halt(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Takes the error out.
    pub(super) fn take(&self) -> Option<Error> {
        self.error.lock().take()
    }
}

/// Repository, snapshot, options and surroundings of a restore.
pub(super) type Given<'r, 's> = (&'r Repository, &'s Snapshot, &'r RestoreOptions, &'r Runtime);

impl<'r> Context<'r> {
    /// For a restore of what is selected into an open target.
    pub(super) fn new(
        (repository, snapshot, options, runtime): Given<'r, '_>,
        selection: Selection,
        target: Target,
        arbiter: Arbiter<'r>,
    ) -> Self {
        let ledger = Ledger::new(runtime.progress.clone(), selection.subtree(), options.verify);
        let protected = Protected::new(repository, snapshot, options, &ledger);
        Self {
            repository,
            options,
            runtime,
            selection,
            target,
            protected,
            arbiter,
            renamed: Renamed::new(options.verify),
            ledger,
            owners: Owners::new(options.owner),
            leaders: Leaders::default(),
            rehearsal: None,
            is_root: fsmeta::is_root(),
            stop: Stop::default(),
        }
    }
}

impl Context<'_> {
    /// Whether threads shall end: something is hopeless, or a person asked for it.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.stopped.load(Ordering::Relaxed) || self.runtime.cancel.is_cancelled()
    }

    /// Fails if threads shall end.
    pub(super) fn check(&self) -> Result<()> {
        if !self.is_stopped() {
            return Ok(());
        }
        if let Some(error) = self.stop.take() {
            return Err(error);
        }
        self.runtime.cancel.check()?;
        Err(Error::Cancelled { signal: None })
    }

    /// Takes note of an error about one entry of the target. A full or read-only disk ends
    /// everything: what would follow is thousands of equal errors.
    pub(super) fn local_failure(&self, action: &'static str, path: &[u8], error: io::Error) {
        if is_hopeless(&error) {
            self.stop.set(Error::local(action, self.target.join(path), error));
        } else {
            self.ledger.fail(path, format!("could not {action} it: {error}"));
        }
    }
}

fn is_hopeless(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
}

/// Whether storage as a whole is out of reach, as opposed to one object that is bad.
pub(super) fn is_out_of_reach(error: &Error) -> bool {
    matches!(error, Error::Storage(error) if error.kind == StorageErrorKind::Temporary)
}

/// Whether something that is stored is lost, so that the rest is worth going on for.
pub(super) fn is_loss(error: &Error) -> bool {
    error.is_damage() || (matches!(error, Error::Storage(_)) && !is_out_of_reach(error))
}
