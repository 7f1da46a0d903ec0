//! One mirror: reached when it is first needed, and left alone for the rest of a run once it
//! failed.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use parking_lot::Mutex;

use super::kind::Level;
use crate::error::{Error, StorageError, StorageErrorKind};
use crate::storage::{Connector, SharedStorage, Storage};

/// Tells by the object `repo` whether a place holds this repository.
pub(super) type IsOurs = dyn Fn(&[u8]) -> bool + Send + Sync;

/// No `repo` object is longer.
const REPO_LEN_MAX: u64 = 64 << 10;

pub(super) struct Link {
    /// What people call it.
    pub(super) name: String,
    pub(super) location: String,
    storage: OnceLock<SharedStorage>,
    /// Why it could not be reached in this run.
    failure: Mutex<Option<String>>,
    pub(super) state: Mutex<LinkState>,
}

/// What became of a mirror in this run.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkState {
    /// Why it is left alone.
    pub(super) left: Option<String>,
    /// Whether a synchronisation after the run is all that it needs.
    pub(super) is_behind: bool,
    /// Whether it has snapshots that the primary knows nothing of.
    pub(super) is_newer: bool,
    /// As far as this it was as the primary.
    pub(super) complete: Option<Level>,
    /// What others put at the primary since it was compared.
    pub(super) unsure: BTreeSet<String>,
    /// Whether anything was, or should have been, written to it.
    pub(super) is_used: bool,
    /// Objects that were copied to it because it lacked them.
    pub(super) caught_up: u64,
    /// Deletes that did not reach it.
    pub(super) missed: Vec<String>,
}

impl Link {
    pub(super) fn new(name: &str, location: &str) -> Self {
        Self {
            name: name.into(),
            location: location.into(),
            storage: OnceLock::new(),
            failure: Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// Its storage, if it can be reached and holds this repository.
    pub(super) fn connect(
        &self,
        connector: &Connector,
        is_ours: &IsOurs,
    ) -> Result<&SharedStorage, String> {
        if let Some(storage) = self.storage.get() {
            return Ok(storage);
        }
        // Held while it is tried: others wait for the outcome.
        let mut failure = self.failure.lock();
        if let Some(why) = &*failure {
            return Err(why.clone());
        }
        if let Some(storage) = self.storage.get() {
            return Ok(storage);
        }
        match self.reach(connector, is_ours) {
            Ok(storage) => Ok(self.storage.get_or_init(|| storage)),
            Err(why) => Err(failure.insert(why).clone()),
        }
    }

    fn reach(&self, connector: &Connector, is_ours: &IsOurs) -> Result<SharedStorage, String> {
        let storage = match connector.connect(&self.location) {
            Some(opened) => opened.map_err(|error| match error {
                Error::RepositoryMissing { .. } => self.away(),
                error => error.in_full(),
            })?,
            None => return Err("mirrors are not used in this run".into()),
        };
        match storage.get("repo", REPO_LEN_MAX) {
            Ok(bytes) if is_ours(&bytes) => Ok(storage),
            Ok(_) => Err("another repository is there".into()),
            Err(error) if error.kind == StorageErrorKind::Missing => {
                Err(self.without_repo(&*storage))
            }
            Err(error) => Err(in_full(error)),
        }
    }

    /// It may be reached again.
    pub(super) fn forget_failure(&self) {
        *self.failure.lock() = None;
    }

    fn away(&self) -> String {
        let (name, location) = (self.name.clone(), self.location.clone());
        Error::MirrorAway { name, location }.to_string()
    }

    /// Why there is no `repo`: copies begin with keys and configurations, so without either
    /// nothing was ever copied there, or it is the folder below a disk that is not mounted.
    fn without_repo(&self, storage: &dyn Storage) -> String {
        match is_begun(storage) {
            Ok(true) => "it has never been complete".into(),
            Ok(false) => self.away(),
            Err(error) => in_full(error),
        }
    }

    /// Its storage, if it is connected already.
    pub(super) fn connected(&self) -> Option<&SharedStorage> {
        self.storage.get()
    }

    pub(super) fn is_left(&self) -> bool {
        self.state.lock().left.is_some()
    }

    /// Leaves it alone from now on, so that it never gets anything that rests on what it lacks.
    pub(super) fn leave(&self, why: String) {
        let mut state = self.state.lock();
        state.is_used = true;
        if state.left.is_none() {
            tracing::warn!("the mirror `{}` is left alone: {why}", self.name);
            state.left = Some(why);
        }
    }
}

/// Whether anything of a repository was ever copied to this place.
///
/// # Errors
/// The storage's.
pub fn is_begun(storage: &dyn Storage) -> Result<bool, StorageError> {
    match storage.head("repo") {
        Ok(_) => return Ok(true),
        Err(error) if error.kind == StorageErrorKind::Missing => {}
        Err(error) => return Err(error),
    }
    let mut found = false;
    for folder in ["config/", "keys/", "keyring/"] {
        storage.list(folder, &mut |_| found = true)?;
        if found {
            break;
        }
    }
    Ok(found)
}

/// An error of storage with its reasons on one line.
pub(super) fn in_full(error: StorageError) -> String {
    Error::from(error).in_full()
}
