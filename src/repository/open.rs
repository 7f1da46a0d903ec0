//! Opening repositories.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::generations::load_config;
use super::index::Index;
use super::inspect::REPO_LEN_MAX;
use super::keys::{Keys, unless_changed};
use super::segments::SegmentCache;
use super::state::{KeyMemory, LocalState, StateFolder};
use super::unlock::{Unlock, load_slots, unlock_slots};
use super::{Repository, data_place, mirrors};
use crate::chunker::{Chunkers, SizeClass};
use crate::crypto::Suite;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::config::{ClassRecord, Config};
use crate::format::repo::RepoRecord;
use crate::model::{MirrorPolicy, RepoId, SlotId};
use crate::runtime::{Random, Runtime};
use crate::storage::{Connector, SharedStorage, Storage};

/// Where an open repository keeps what belongs to this machine.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Folder for the local index; `None` keeps it in memory and loads it anew each time.
    pub cache_dir: Option<PathBuf>,
    /// Folder for what this machine remembers; `None` remembers nothing.
    pub state_dir: Option<PathBuf>,
    /// How its mirrors are reached.
    pub places: Connector,
    /// What commits ask of mirrors; `None` asks what the repository says.
    pub mirror_policy: Option<MirrorPolicy>,
    /// Where its packs of data are, if that is not where the repository says: for whoever has moved
    /// them and is about to say so.
    pub data_location: Option<String>,
    /// Leaves its mirrors alone: for whoever compares them with the repository's own place.
    pub without_mirrors: bool,
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
        let location = storage.location().to_owned();
        Self::open_storage(storage, unlock, options, runtime)
            .map_err(|error| Self::name_mirrors(error, options, &location))
    }

    fn open_storage(
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
        let suite = Suite::from_number(repo.suite)
            .ok_or_else(|| Error::damaged("repo", "its suite is unknown"))?;
        let last_used = remembered.as_ref().and_then(|s| s.slot_id);
        let memory = state.load_keys(repo.repo_id);
        let (keys, config) = unless_changed(&*storage, |seen| {
            read_keys(&storage, seen, unlock, (repo.repo_id, suite), last_used, memory.as_ref())
        })?;
        if let Some(seen) = &remembered
            && (keys.keyring().generation < seen.keyring_generation
                || config.generation < seen.config_generation)
        {
            return Err(Error::Downgraded {
                location: storage.location().into(),
                what: "its keys or configuration are older than when it was last used here".into(),
            });
        }
        let (storage, split) = data_place::attach(storage, &config, options)?;
        let mut opened = Self::assemble(storage, keys, config, options, runtime)?;
        opened.split = split;
        Ok(opened)
    }

    pub(super) fn assemble(
        storage: SharedStorage,
        mut keys: Keys,
        config: Config,
        options: &OpenOptions,
        runtime: &Runtime,
    ) -> Result<Self> {
        let state = StateFolder::new(options.state_dir.clone());
        let id = config.repo_id;
        let slot_id = keys.opened().slot_id;
        match remember(&state, &*storage, &keys, &config, &runtime.random) {
            Ok(()) => {}
            // Whoever reads can do without. Whoever writes needs it, and is refused then.
            Err(error @ Error::Local { .. }) => {
                tracing::warn!("what was seen of the repository is not remembered: {error}");
            }
            Err(error) => return Err(error),
        }
        let classes: Vec<SizeClass> = config.chunker.classes.iter().map(size_class).collect();
        let chunkers = Chunkers::new(keys.constants.chunker_secret(), &classes)
            .map_err(|e| Error::damaged("config", e))?;
        let (storage, mirrors) = mirrors::attach(storage, &config, options);
        keys.read_from(&storage);
        let keys = Arc::new(keys);
        let index = Index::new(id, Arc::clone(&keys), options.cache_dir.clone());
        Ok(Self {
            id,
            storage,
            split: None,
            mirrors,
            is_apart: false,
            keys,
            places: Mutex::new(config.places()),
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

/// Brings what this machine remembers of the repository up to date.
///
/// # Errors
/// [`Error::Local`] if the folder cannot be written.
fn remember(
    state: &StateFolder,
    storage: &dyn Storage,
    keys: &Keys,
    config: &Config,
    random: &Random,
) -> Result<()> {
    let id = config.repo_id;
    if state.load(id).is_none() {
        state.locked(id, || match state.load(id) {
            Some(_) => Ok(()),
            None => state.save(&LocalState::fresh(id, keys.suite, random)),
        })?;
    }
    // Whoever holds the lock opened it just before, and remembers the same.
    state.try_update(id, |local: &mut LocalState| {
        local.suite = keys.suite.number();
        local.config_generation = config.generation;
        local.keyring_generation = keys.keyring().generation;
        local.slot_id = Some(keys.opened().slot_id);
    })?;
    state.remember(storage.location(), id, keys.suite)?;
    state.save_places(id, config)?;
    let tested = state.load_keys(id).and_then(|memory| memory.recovery_tested);
    match KeyMemory::of(keys.keyring(), tested) {
        Some(memory) => state.save_keys(&memory),
        None => Ok(()),
    }
}

/// From what the user has to all keys, and the configuration, which they open.
fn read_keys(
    storage: &SharedStorage,
    seen: &dyn Storage,
    unlock: &Unlock,
    (repo_id, suite): (RepoId, Suite),
    last_used: Option<SlotId>,
    memory: Option<&KeyMemory>,
) -> Result<(Keys, Config)> {
    let (slots, bad_slots) = load_slots(seen, repo_id)?;
    let opened = unlock_slots(&slots, unlock, last_used, storage.location()).map_err(|error| {
        match (error, bad_slots.into_iter().next()) {
            // Nothing could be tried: that says nothing about the password.
            (Error::WrongKey { tried: 0, .. }, Some(bad)) => bad,
            (Error::WrongKey { tried: 0, .. }, None) if slots.is_empty() => {
                Error::NotFound { what: "key slot", name: "keys/".into() }
            }
            (error, _) => error,
        }
    })?;
    let keys = Keys::load(storage, seen, opened, repo_id, suite, memory)?;
    let config = load_config(seen, &keys, repo_id)?;
    Ok((keys, config))
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
