//! Opening repositories.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Repository;
use super::generations::{load_config, load_keyring};
use super::index::Index;
use super::inspect::REPO_LEN_MAX;
use super::keys::Keys;
use super::reader::SegmentCache;
use super::state::{LocalState, StateFolder};
use super::unlock::{Unlock, load_slots, unlock_slots};
use crate::chunker::{Chunkers, SizeClass};
use crate::crypto::Suite;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::config::{ClassRecord, Config};
use crate::format::repo::RepoRecord;
use crate::model::SlotId;
use crate::runtime::Runtime;
use crate::storage::{SharedStorage, Storage};

/// Where an open repository keeps what belongs to this machine.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Folder for the local index; `None` keeps it in memory and loads it anew each time.
    pub cache_dir: Option<PathBuf>,
    /// Folder for what this machine remembers; `None` remembers nothing.
    pub state_dir: Option<PathBuf>,
}

impl Repository {
    /// Opens a repository.
    ///
    /// # Errors
    /// [`Error::RepositoryMissing`], [`Error::WrongKey`], [`Error::KeyNeeded`],
    /// [`Error::UnsupportedFormat`], [`Error::Downgraded`], [`Error::Damaged`], and the storage's.
    pub fn open(
        storage: SharedStorage,
        unlock: &Unlock,
        options: &OpenOptions,
        runtime: &Runtime,
    ) -> Result<Self> {
        let repo = load_repo(&*storage)?;
        let state = StateFolder::new(options.state_dir.clone());
        let remembered = state.load(repo.repo_id);
        let was_encrypted = remembered.as_ref().is_some_and(|s| s.suite != 0)
            || state.seen(storage.location()).is_some_and(|seen| seen.suite != 0);
        if was_encrypted && repo.suite == 0 {
            return Err(Error::Downgraded {
                location: storage.location().into(),
                what: "it was encrypted and is not any more".into(),
            });
        }
        let (slots, bad_slots) = load_slots(&*storage, repo.repo_id)?;
        let last_used = remembered.as_ref().and_then(|s| s.slot_id);
        // Whoever gives a secret expects encryption: somebody may have put another repository here.
        if repo.suite == 0 && !matches!(unlock, Unlock::Nothing) {
            return Err(Error::usage_hint(
                format!(
                    "`{}` is not encrypted, but a {} was given",
                    storage.location(),
                    unlock.what()
                ),
                "leave it out if this is the repository you mean; all in it can be read by anyone",
            ));
        }
        if repo.suite != 0 && matches!(unlock, Unlock::Nothing) {
            return Err(Error::KeyNeeded { location: storage.location().into() });
        }
        let opened = unlock_slots(&slots, unlock, last_used, storage.location()).map_err(
            |error| match (error, bad_slots.into_iter().next()) {
                // Nothing could be tried: that says nothing about the password.
                (Error::WrongKey { tried: 0, .. }, Some(bad)) => bad,
                (Error::WrongKey { tried: 0, .. }, None) if slots.is_empty() => {
                    Error::NotFound { what: "key slot", name: "keys/".into() }
                }
                (error, _) => error,
            },
        )?;
        let suite = Suite::from_number(repo.suite)
            .ok_or_else(|| Error::damaged("repo", "its suite is unknown"))?;
        let keyring = load_keyring(&*storage, &opened.roots, repo.repo_id, suite)?;
        let keys = Keys::derive(opened.newest().clone(), repo.repo_id, &keyring)?;
        let config = load_config(&*storage, &keys, repo.repo_id)?;
        if let Some(seen) = &remembered
            && (keyring.generation < seen.keyring_generation
                || config.generation < seen.config_generation)
        {
            return Err(Error::Downgraded {
                location: storage.location().into(),
                what: "its keys or configuration are older than when it was last used here".into(),
            });
        }
        Self::assemble(storage, keys, config, keyring.generation, opened.slot_id, options, runtime)
    }

    pub(super) fn assemble(
        storage: SharedStorage,
        keys: Keys,
        config: Config,
        keyring_generation: u32,
        slot_id: SlotId,
        options: &OpenOptions,
        runtime: &Runtime,
    ) -> Result<Self> {
        let state = StateFolder::new(options.state_dir.clone());
        let id = config.repo_id;
        let remember = |local: &mut LocalState| {
            local.suite = keys.suite.number();
            local.config_generation = config.generation;
            local.keyring_generation = keyring_generation;
            local.slot_id = Some(slot_id);
        };
        if state.load(id).is_none() {
            state.locked(id, || match state.load(id) {
                Some(_) => Ok(()),
                None => state.save(&LocalState::fresh(id, keys.suite, &runtime.random)),
            })?;
        }
        // Whoever holds the lock opened it just before, and remembers the same.
        state.try_update(id, remember)?;
        state.remember(storage.location(), id, keys.suite)?;
        let classes: Vec<SizeClass> = config.chunker.classes.iter().map(size_class).collect();
        let chunkers = Chunkers::new(keys.constants.chunker_secret(), &classes)
            .map_err(|e| Error::damaged("config", e))?;
        let keys = Arc::new(keys);
        let index = Index::new(id, Arc::clone(&keys), options.cache_dir.clone());
        Ok(Self {
            id,
            storage,
            keys,
            config,
            chunkers,
            index: Arc::new(index),
            segments: SegmentCache::new(),
            state,
            slot_id,
            random: runtime.random.clone(),
            recovery: Mutex::default(),
        })
    }
}

pub(super) fn load_repo(storage: &dyn Storage) -> Result<RepoRecord> {
    let bytes = storage.get("repo", REPO_LEN_MAX).map_err(|error| match error.kind {
        StorageErrorKind::Missing => {
            Error::RepositoryMissing { location: storage.location().into() }
        }
        _ => error.into(),
    })?;
    RepoRecord::decode(&bytes, storage.location())
}

fn size_class(class: &ClassRecord) -> SizeClass {
    SizeClass {
        below: class.below,
        params: crate::chunker::ChunkerParams {
            min: class.min,
            avg: class.avg,
            max: class.max,
            mask_s: class.mask_s,
            mask_l: class.mask_l,
        },
    }
}
