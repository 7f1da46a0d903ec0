//! What this machine remembers of a repository: its own chain of records, what it saw last, and
//! what it must never accept again. Losing it costs the detection of rollbacks, nothing else.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::crypto::{Suite, derive};
use crate::error::{Error, Result};
use crate::format::config::{Config, PlaceRecord, places_of};
use crate::format::keyring::{EpochRecord, Keyring};
use crate::format::log::Head;
use crate::format::record::{decode, encode, record};
use crate::model::{ClientId, EpochId, ObjectHash, Places, RepoId, SlotId};
use crate::runtime::Random;

record! {
    /// The state file of one repository.
    LocalState, schema 2 {
        /// Which repository.
        repo_id: RepoId,
        /// This client, as others see it.
        client_id: ClientId,
        /// Number of its last record, 0 before the first.
        seq: u64,
        /// Object hash of its last record.
        last: ObjectHash,
        /// A record that was being written: after a crash it is there or not.
        pending: Option<Head>,
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

record! {
    /// What this machine remembers of the keys of a repository.
    KeyMemory, schema 1 {
        /// Which repository.
        repo_id: RepoId,
        /// The epoch that was current last: whatever follows must hold it.
        epoch: EpochId,
        /// Tells its master from another one and cannot be turned back into it.
        check: ObjectHash,
        /// The recovery slot that was opened here to test its code.
        recovery_tested: Option<SlotId>,
    }
}

record! {
    /// What this machine remembers of the further locations of a repository.
    PlacesMemory, schema 1 {
        /// Which repository.
        repo_id: RepoId,
        /// The locations.
        places: Vec<PlaceRecord>,
    }
}

impl KeyMemory {
    /// A memory of the current epoch of a keyring.
    pub(crate) fn of(keyring: &Keyring, recovery_tested: Option<SlotId>) -> Option<Self> {
        let current = keyring.epochs.iter().find(|e| e.epoch == keyring.current)?;
        let check = epoch_check(current);
        Some(Self { repo_id: keyring.repo_id, epoch: current.epoch, check, recovery_tested })
    }

    /// Whether a keyring holds what is remembered: whoever has only older keys cannot make one.
    pub(crate) fn is_in(&self, keyring: &Keyring) -> bool {
        let mut epochs = keyring.epochs.iter().filter(|e| e.epoch == self.epoch);
        epochs.any(|e| epoch_check(e) == self.check)
    }
}

fn epoch_check(epoch: &EpochRecord) -> ObjectHash {
    ObjectHash(*derive("larder v1 epoch seen", &[epoch.master.0.bytes()]).bytes())
}

impl LocalState {
    /// The state of a client that meets the repository for the first time.
    pub(crate) fn fresh(repo_id: RepoId, suite: Suite, random: &Random) -> Self {
        Self {
            repo_id,
            client_id: ClientId(random.bytes()),
            seq: 0,
            last: ObjectHash([0; 32]),
            pending: None,
            heads: Vec::new(),
            suite: suite.number(),
            config_generation: 0,
            keyring_generation: 0,
            slot_id: None,
        }
    }

    /// Whether this record was being written when the state was last saved.
    pub(crate) fn is_pending(&self, seq: u64, record: ObjectHash) -> bool {
        self.pending.as_ref().is_some_and(|head| (head.seq, head.record) == (seq, record))
    }

    /// Starts a chain of its own. The records of the old one become another client's.
    pub(crate) fn become_new_client(&mut self, random: &Random) {
        if self.seq > 0 && !self.heads.iter().any(|head| head.client_id == self.client_id) {
            let (client_id, seq, record) = (self.client_id, self.seq, self.last);
            self.heads.push(Head { client_id, seq, record });
        }
        self.client_id = ClientId(random.bytes());
        (self.seq, self.last, self.pending) = (0, ObjectHash([0; 32]), None);
    }
}

/// The folder of this machine's state; without one it lasts as long as the repository is open.
#[derive(Clone, Debug)]
pub(crate) struct StateFolder {
    folder: Option<PathBuf>,
    memory: Arc<InMemory>,
}

#[derive(Debug, Default)]
struct InMemory {
    lock: Mutex<()>,
    state: Mutex<Option<LocalState>>,
}

impl StateFolder {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, memory: Arc::default() }
    }

    /// Reads the state of a repository. A damaged file counts as none: it is only a memory.
    pub(crate) fn load(&self, repo_id: RepoId) -> Option<LocalState> {
        let state = match &self.folder {
            None => self.memory.state.lock().clone()?,
            Some(folder) => {
                let path = folder.join(format!("{repo_id}.state"));
                decode(&std::fs::read(path).ok()?, "state file").ok()?
            }
        };
        (state.repo_id == repo_id).then_some(state)
    }

    /// Writes it. To be called in [`StateFolder::locked`].
    ///
    /// # Errors
    /// [`Error::Local`] if the folder cannot be written.
    pub(crate) fn save(&self, state: &LocalState) -> Result<()> {
        match &self.folder {
            None => *self.memory.state.lock() = Some(state.clone()),
            Some(folder) => {
                write_private(folder, &format!("{}.state", state.repo_id), &encode(state))?;
            }
        }
        Ok(())
    }

    /// What this machine remembers of a repository's keys. A damaged file counts as none.
    pub(crate) fn load_keys(&self, repo_id: RepoId) -> Option<KeyMemory> {
        let path = self.folder.as_ref()?.join(format!("{repo_id}.keys"));
        let memory: KeyMemory = decode(&std::fs::read(path).ok()?, "state file").ok()?;
        (memory.repo_id == repo_id).then_some(memory)
    }

    /// Writes it, if it is new.
    ///
    /// # Errors
    /// [`Error::Local`] if the folder cannot be written.
    pub(crate) fn save_keys(&self, memory: &KeyMemory) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        if self.load_keys(memory.repo_id).as_ref() == Some(memory) {
            return Ok(());
        }
        write_private(folder, &format!("{}.keys", memory.repo_id), &encode(memory))
    }

    /// What this machine remembers of a repository's further locations. A damaged file counts as
    /// none.
    pub(crate) fn load_places(&self, repo_id: RepoId) -> Option<Places> {
        let path = self.folder.as_ref()?.join(format!("{repo_id}.places"));
        let memory: PlacesMemory = decode(&std::fs::read(path).ok()?, "state file").ok()?;
        (memory.repo_id == repo_id).then(|| places_of(&memory.places, 0))
    }

    /// Writes them, if they are new.
    ///
    /// # Errors
    /// [`Error::Local`] if the folder cannot be written.
    pub(crate) fn save_places(&self, repo_id: RepoId, config: &Config) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let known = self.load_places(repo_id).unwrap_or_default();
        if known.all == config.places().all {
            return Ok(());
        }
        let memory = PlacesMemory { repo_id, places: config.places.clone() };
        write_private(folder, &format!("{repo_id}.places"), &encode(&memory))
    }

    /// What this machine saw at a location before.
    pub(crate) fn seen(&self, location: &str) -> Option<SeenLocation> {
        let path = self.folder.as_ref()?.join(seen_name(location));
        decode(&std::fs::read(path).ok()?, "state file").ok()
    }

    /// Remembers what is at a location.
    ///
    /// # Errors
    /// [`Error::Local`] if the folder cannot be written.
    pub(crate) fn remember(&self, location: &str, repo_id: RepoId, suite: Suite) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let seen = SeenLocation { repo_id, suite: suite.number() };
        if self.seen(location).as_ref() == Some(&seen) {
            return Ok(());
        }
        write_private(folder, &seen_name(location), &encode(&seen))
    }

    /// Does something while no other process of this machine changes the state: two runs of this
    /// client must not use one record number.
    ///
    /// # Errors
    /// Those of `work`, and [`Error::Local`] if the folder cannot be written.
    pub(crate) fn locked<R>(&self, repo_id: RepoId, work: impl FnOnce() -> Result<R>) -> Result<R> {
        let Some(folder) = &self.folder else {
            let _lock = self.memory.lock.lock();
            return work();
        };
        let (path, file) = lock_file(folder, repo_id)?;
        file.lock().map_err(|e| Error::local("lock", &path, e))?;
        work()
    }

    /// Changes the state, if there is one and nobody holds the lock. A folder that can only be
    /// read is no error as long as nothing changes.
    ///
    /// # Errors
    /// [`Error::Local`] if the folder cannot be written.
    pub(crate) fn try_update(
        &self,
        repo_id: RepoId,
        change: impl Fn(&mut LocalState),
    ) -> Result<()> {
        let changed = || {
            let old = self.load(repo_id)?;
            let mut new = old.clone();
            change(&mut new);
            (new != old).then_some(new)
        };
        if changed().is_none() {
            return Ok(());
        }
        let update = || changed().map_or(Ok(()), |new| self.save(&new));
        let Some(folder) = &self.folder else {
            return self.memory.lock.try_lock().map_or(Ok(()), |_lock| update());
        };
        let (path, file) = lock_file(folder, repo_id)?;
        match file.try_lock() {
            Ok(()) => update(),
            Err(std::fs::TryLockError::WouldBlock) => Ok(()),
            Err(std::fs::TryLockError::Error(e)) => Err(Error::local("lock", &path, e)),
        }
    }
}

fn lock_file(folder: &Path, repo_id: RepoId) -> Result<(PathBuf, std::fs::File)> {
    make_private_folder(folder)?;
    let path = folder.join(format!("{repo_id}.lock"));
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|e| Error::local("create", &path, e))?;
    Ok((path, file))
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
    // Several open repositories of one process may write at the same time.
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let new = folder.join(format!("{name}.{}-{number}.new", std::process::id()));
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
