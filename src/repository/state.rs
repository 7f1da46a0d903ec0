//! What this machine remembers of a repository: its own chain of records, what it saw last, and
//! what it must never accept again. Losing it costs the detection of rollbacks, nothing else.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::crypto::Suite;
use crate::error::{Error, Result};
use crate::format::log::Head;
use crate::format::record::{decode, encode, record};
use crate::model::{ClientId, ObjectHash, RepoId, SlotId};
use crate::runtime::Random;

record! {
    /// The state file of one repository.
    LocalState, schema 1 {
        /// Which repository.
        repo_id: RepoId,
        /// This client, as others see it.
        client_id: ClientId,
        /// Number of its last record, 0 before the first.
        seq: u64,
        /// Object hash of its last record.
        last: ObjectHash,
        /// Latest known records of others.
        heads: Vec<Head>,
        /// Number of the suite that the repository had.
        suite: u8,
        /// Highest generation of the configuration that was seen.
        config_generation: u32,
        /// Highest generation of the keyring that was seen.
        keyring_generation: u32,
        /// The slot that opened it last.
        slot_id: Option<SlotId>,
    }
}

record! {
    /// Which repository a location had.
    SeenLocation, schema 1 {
        /// The repository.
        repo_id: RepoId,
        /// Number of its suite.
        suite: u8,
    }
}

impl LocalState {
    /// The state of a client that meets the repository for the first time.
    pub(crate) fn fresh(repo_id: RepoId, suite: Suite, random: &Random) -> Self {
        Self {
            repo_id,
            client_id: ClientId(random.bytes()),
            seq: 0,
            last: ObjectHash([0; 32]),
            heads: Vec::new(),
            suite: suite.number(),
            config_generation: 0,
            keyring_generation: 0,
            slot_id: None,
        }
    }
}

/// The folder of this machine's state; `None` keeps none.
#[derive(Clone, Debug)]
pub(crate) struct StateFolder(Option<PathBuf>);

impl StateFolder {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self(folder)
    }

    /// Reads the state of a repository. A damaged file counts as none: it is only a memory.
    pub(crate) fn load(&self, repo_id: RepoId) -> Option<LocalState> {
        let path = self.0.as_ref()?.join(format!("{repo_id}.state"));
        let state: LocalState = decode(&std::fs::read(path).ok()?, "state file").ok()?;
        (state.repo_id == repo_id).then_some(state)
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`Error::Local`] if the folder cannot be written.
    pub(crate) fn save(&self, state: &LocalState) -> Result<()> {
        let Some(folder) = &self.0 else { return Ok(()) };
        write_private(folder, &format!("{}.state", state.repo_id), &encode(state))
    }

    /// What this machine saw at a location before.
    pub(crate) fn seen(&self, location: &str) -> Option<SeenLocation> {
        let path = self.0.as_ref()?.join(seen_name(location));
        decode(&std::fs::read(path).ok()?, "state file").ok()
    }

    /// Remembers what is at a location.
    ///
    /// # Errors
    /// [`Error::Local`] if the folder cannot be written.
    pub(crate) fn remember(&self, location: &str, repo_id: RepoId, suite: Suite) -> Result<()> {
        let Some(folder) = &self.0 else { return Ok(()) };
        let seen = SeenLocation { repo_id, suite: suite.number() };
        if self.seen(location).as_ref() == Some(&seen) {
            return Ok(());
        }
        write_private(folder, &seen_name(location), &encode(&seen))
    }

    /// Takes the lock that keeps two runs of this client from using one record number. Held until
    /// the returned file is dropped.
    ///
    /// # Errors
    /// [`Error::Local`] if the folder cannot be written.
    pub(crate) fn lock(&self, repo_id: RepoId) -> Result<Option<std::fs::File>> {
        let Some(folder) = &self.0 else { return Ok(None) };
        make_private_folder(folder)?;
        let path = folder.join(format!("{repo_id}.lock"));
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| Error::local("create", &path, e))?;
        file.lock().map_err(|e| Error::local("lock", &path, e))?;
        Ok(Some(file))
    }
}

fn seen_name(location: &str) -> String {
    format!("at-{}.state", &blake3::hash(location.as_bytes()).to_hex()[..32])
}

/// Makes a folder that only its owner can read.
///
/// # Errors
/// [`Error::Local`].
pub(crate) fn make_private_folder(folder: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|e| Error::local("create", folder, e))
}

/// Replaces a file as a whole, so that a crash leaves the old or the new one.
fn write_private(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    make_private_folder(folder)?;
    let path = folder.join(name);
    let new = folder.join(format!("{name}.{}.new", std::process::id()));
    let failed = |e| Error::local("write", &path, e);
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&new)
        .map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&new, &path).map_err(failed)
}
