//! The keys of an unlocked repository: class keys by epoch, and the constant keys.
//!
//! Keys can change while a repository is open, because somebody else runs a rekey. What is new is
//! added behind what was there; nothing is ever taken away, so a run goes on with the keys that it
//! began with, and only a new session writes with new ones.

use std::collections::HashSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::first_listings::FirstListings;
use super::ring::Ring;
use super::state::KeyMemory;
use super::unlock::{Chain, Opened, load_slots};
use crate::crypto::{Class, ClassKey, ConstantKeys, RootKey, Suite};
use crate::error::{Error, Result};
use crate::format::keyring::{Keyring, SecretBytes};
use crate::model::{EpochId, RepoId};
use crate::storage::{SharedStorage, Storage, list_sorted};

/// The four class keys of one epoch.
pub(crate) struct EpochKeys {
    epoch: EpochId,
    data: ClassKey,
    meta: ClassKey,
    index: ClassKey,
    control: ClassKey,
}

impl EpochKeys {
    /// The key of a class.
    pub(crate) fn of(&self, class: Class) -> &ClassKey {
        match class {
            Class::Data => &self.data,
            Class::Meta => &self.meta,
            Class::Index => &self.index,
            Class::Control => &self.control,
        }
    }
}

/// All keys of an open repository.
pub(crate) struct Keys {
    pub(crate) constants: ConstantKeys,
    pub(crate) suite: Suite,
    repo_id: RepoId,
    storage: SharedStorage,
    /// What opened the repository.
    opened: Opened,
    first: Generation,
    /// Number of the generation that is written with.
    writing: AtomicUsize,
    /// Epochs that were looked for and not found: not every damaged object is worth a listing.
    unknown: Mutex<HashSet<EpochId>>,
    /// Held while a generation is added.
    growing: Mutex<()>,
}

/// Keys as they were read at one time. References into it stay good for as long as the repository
/// is open.
struct Generation {
    ring: Ring,
    epochs: Vec<EpochKeys>,
    current: usize,
    next: OnceLock<Box<Self>>,
}

/// More unknown epochs than any history of a repository has.
const UNKNOWN_MAX: usize = 64;

impl Generation {
    fn derive(ring: Ring, repo_id: RepoId, suite: Suite) -> Result<Self> {
        let epochs: Vec<EpochKeys> = ring
            .keyring
            .epochs
            .iter()
            .map(|e| {
                let key = |class| ClassKey::derive(class, &e.master.0, repo_id, e.epoch, suite);
                EpochKeys {
                    epoch: e.epoch,
                    data: key(Class::Data),
                    meta: key(Class::Meta),
                    index: key(Class::Index),
                    control: key(Class::Control),
                }
            })
            .collect();
        let current = epochs
            .iter()
            .position(|e| e.epoch == ring.keyring.current)
            .ok_or_else(|| Error::damaged("keyring", "its current epoch is not in it"))?;
        Ok(Self { ring, epochs, current, next: OnceLock::new() })
    }
}

/// How often keys are read again because somebody changed them meanwhile.
const RACES_MAX: usize = 5;

/// The folders that a rekey changes.
const FOLDERS: [&str; 3] = ["keys/", "keyring/", "config/"];

/// Reads slots, keyrings or the configuration, through what is handed to `read`. A rekey may
/// replace them meanwhile: what fails then is tried again.
pub(super) fn unless_changed<T>(
    storage: &dyn Storage,
    mut read: impl FnMut(&dyn Storage) -> Result<T>,
) -> Result<T> {
    let mut tries = 0;
    loop {
        let before = FirstListings::new(storage, &FOLDERS)?;
        match read(&before) {
            Ok(read) => return Ok(read),
            Err(_)
                if tries < RACES_MAX
                    && FirstListings::new(storage, &FOLDERS)?.names() != before.names() =>
            {
                tries += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

impl Keys {
    /// Reads the keyrings that an opened slot leads to from `seen`, and derives all keys. Later ones
    /// are read from `storage`.
    ///
    /// # Errors
    /// Those of [`Ring::load`].
    pub(super) fn load(
        storage: &SharedStorage,
        seen: &dyn Storage,
        opened: Opened,
        repo_id: RepoId,
        suite: Suite,
        memory: Option<&KeyMemory>,
    ) -> Result<Self> {
        let ring = Ring::load(seen, opened.chains.clone(), repo_id, suite, memory)?;
        let first = Generation::derive(ring, repo_id, suite)?;
        let constants = ConstantKeys::derive(&first.ring.keyring.constant.0);
        Ok(Self {
            constants,
            suite,
            repo_id,
            storage: SharedStorage::clone(storage),
            opened,
            first,
            writing: AtomicUsize::new(0),
            unknown: Mutex::default(),
            growing: Mutex::default(),
        })
    }

    /// Later keyrings are read from there.
    pub(super) fn read_from(&mut self, storage: &SharedStorage) {
        self.storage = SharedStorage::clone(storage);
    }

    /// What the constant keys are derived from; no rekey changes it.
    pub(crate) fn constant(&self) -> SecretBytes {
        self.first.ring.keyring.constant.clone()
    }

    /// The key that new units of `class` are sealed with.
    pub(crate) fn current(&self, class: Class) -> &ClassKey {
        self.writing().of(class)
    }

    /// The keys of the current epoch, for units of several classes that belong together.
    pub(crate) fn writing(&self) -> &EpochKeys {
        let number = self.writing.load(Ordering::Acquire);
        let generation = self.generations().nth(number).unwrap_or(&self.first);
        &generation.epochs[generation.current]
    }

    /// The key of an epoch that a stored unit names. An epoch that is not known may be a new one:
    /// then the keyring is read again.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the object, if the epoch is unknown all the same.
    pub(crate) fn of_epoch(&self, class: Class, epoch: EpochId, name: &str) -> Result<&ClassKey> {
        let find = || {
            self.generations()
                .find_map(|generation| generation.epochs.iter().find(|keys| keys.epoch == epoch))
        };
        if find().is_none() {
            let mut unknown = self.unknown.lock();
            if unknown.len() < UNKNOWN_MAX && unknown.insert(epoch) {
                drop(unknown);
                match self.reload() {
                    Ok(()) => {}
                    Err(error) => {
                        // Nothing is known of it: the next object that names it is worth a look.
                        self.unknown.lock().remove(&epoch);
                        tracing::warn!("the keyring cannot be read again: {error}");
                    }
                }
            }
        }
        find()
            .map(|keys| keys.of(class))
            .ok_or_else(|| Error::damaged(name, "it is sealed with a key that is not known"))
    }

    fn generations(&self) -> impl Iterator<Item = &Generation> {
        std::iter::successors(Some(&self.first), |generation| generation.next.get().map(|g| &**g))
    }

    /// What the keyrings said when they were read last.
    pub(super) fn ring(&self) -> &Ring {
        &self.generations().last().unwrap_or(&self.first).ring
    }

    /// What opened the repository.
    pub(super) fn opened(&self) -> &Opened {
        &self.opened
    }

    /// The root key that new slots lead to.
    pub(crate) fn root(&self) -> &RootKey {
        &self.ring().root
    }

    /// Reads the keyrings again if there are others than last time. New epochs can be read with
    /// from now on; [`Keys::write_with_newest`] makes the newest the one to write with.
    ///
    /// # Errors
    /// [`Error::KeyRemoved`] if the slot that opened the repository is gone and the keys were
    /// changed; those of [`Ring::load`].
    pub(super) fn reload(&self) -> Result<()> {
        let _growing = self.growing.lock();
        let names: HashSet<String> =
            list_sorted(&*self.storage, "keyring/")?.into_iter().map(|meta| meta.name).collect();
        if names == self.ring().names {
            return Ok(());
        }
        self.grow(Vec::new())
    }

    /// As [`Keys::reload`], with root keys that this process made itself.
    pub(super) fn learn(&self, chains: Vec<Chain>) -> Result<()> {
        let _growing = self.growing.lock();
        self.grow(chains)
    }

    fn grow(&self, more: Vec<Chain>) -> Result<()> {
        unless_changed(&*self.storage, |seen| self.grow_once(seen, more.clone()))
    }

    fn grow_once(&self, storage: &dyn Storage, mut more: Vec<Chain>) -> Result<()> {
        let (slots, _) = load_slots(storage, self.repo_id)?;
        more.extend(self.opened.chains_in(&slots));
        let is_gone = more.is_empty();
        let mut chains = self.ring().chains.clone();
        for chain in more {
            if !chains.contains(&chain) {
                chains.push(chain);
            }
        }
        let seen = KeyMemory::of(&self.ring().keyring, None);
        let location = || self.storage.location().to_owned();
        let ring = match Ring::load(storage, chains, self.repo_id, self.suite, seen.as_ref()) {
            Ok(ring) => ring,
            // What opened before does not any more.
            Err(error) if error.is_damage() && is_gone => {
                return Err(Error::KeyRemoved { location: location() });
            }
            Err(error) => return Err(error),
        };
        let newer = |name: &String| {
            super::generations::generation_in_name(name)
                .is_some_and(|generation| generation > ring.keyring.generation)
        };
        if is_gone && ring.closed.iter().any(newer) {
            return Err(Error::KeyRemoved { location: location() });
        }
        let next = Generation::derive(ring, self.repo_id, self.suite)?;
        let last = self.generations().last().unwrap_or(&self.first);
        let _ = last.next.set(Box::new(next));
        Ok(())
    }

    /// From now on new units are sealed with the newest epoch that is known.
    pub(super) fn write_with_newest(&self) {
        self.writing.store(self.generations().count() - 1, Ordering::Release);
        self.unknown.lock().clear();
    }

    /// The keyring with all epochs.
    pub(super) fn keyring(&self) -> &Keyring {
        &self.ring().keyring
    }
}
