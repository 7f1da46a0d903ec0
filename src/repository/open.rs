//! Making and opening repositories.

use std::path::PathBuf;
use std::sync::Arc;

use super::index::Index;
use super::inspect::REPO_LEN_MAX;
use super::keys::Keys;
use super::object::{
    OBJECT_LEN_MAX, check_hash, check_header, hash_in_name, make_object, open_record, seal_kind,
};
use super::reader::SegmentCache;
use super::slots::{KdfCost, make_slot, put_slot};
use super::state::{LocalState, StateFolder};
use super::unlock::{Unlock, load_slots, unlock_slots};
use super::{LAYOUT, Repository};
use crate::chunker::{Chunkers, SizeClass, default_size_classes};
use crate::crypto::{Class, ClassKey, RootKey, Secret, Suite};
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::config::{
    CHUNKER_GEAR, ChunkerRecord, ClassRecord, Config, PageRecord, SegmentRecord,
};
use crate::format::header::{HEADER_LEN, ObjectType};
use crate::format::keyring::{EpochRecord, Keyring, SecretBytes};
use crate::format::record::encode;
use crate::format::repo::RepoRecord;
use crate::model::{EpochId, RepoId, SlotId};
use crate::runtime::Runtime;
use crate::storage::{PutMode, SharedStorage, Storage, list_sorted};

/// How a new repository is made.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Whether it is encrypted.
    pub suite: Suite,
    /// What a password guess costs.
    pub kdf: KdfCost,
    /// Chunk sizes; part of the format of this repository for ever.
    pub classes: Vec<SizeClass>,
    /// Bytes of a pack.
    pub pack_target: u64,
}

impl Default for InitOptions {
    fn default() -> Self {
        Self {
            suite: Suite::Aes256,
            kdf: KdfCost::Standard,
            classes: default_size_classes(),
            pack_target: 16 << 20,
        }
    }
}

/// Where an open repository keeps what belongs to this machine.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Folder for the local index; `None` keeps it in memory and loads it anew each time.
    pub cache_dir: Option<PathBuf>,
    /// Folder for what this machine remembers; `None` remembers nothing.
    pub state_dir: Option<PathBuf>,
}

impl Repository {
    /// Makes a repository in empty storage, opened by every one of `unlocks`.
    ///
    /// # Errors
    /// [`Error::RepositoryExists`], [`Error::LocationNotEmpty`], [`Error::Usage`] for secrets that
    /// do not fit the suite, and the storage's.
    pub fn init(
        storage: SharedStorage,
        unlocks: &[Unlock],
        init: &InitOptions,
        options: &OpenOptions,
        runtime: &Runtime,
    ) -> Result<Self> {
        check_secrets(unlocks, init.suite)?;
        clear_unfinished_init(&*storage)?;
        let random = &runtime.random;
        let repo_id = RepoId(random.bytes());
        let now_ms = runtime.clock.now_ms();
        let root = RootKey(Secret::random(random));

        let mut slot_id = SlotId([0; 16]);
        for unlock in unlocks {
            slot_id = SlotId(random.bytes());
            let slot = make_slot(repo_id, &root, unlock, slot_id, "", init.kdf, runtime)?;
            put_slot(&*storage, &slot)?;
        }

        let epoch = EpochId(random.bytes());
        let master = SecretBytes(Secret::random(random));
        let keyring = Keyring {
            repo_id,
            suite: init.suite.number(),
            generation: 1,
            constant: SecretBytes(Secret::random(random)),
            epochs: vec![EpochRecord { epoch, master, created_ms: now_ms }],
            current: epoch,
        };
        let keys = Keys::derive(root.clone(), repo_id, &keyring)?;
        let root_key = root.class_key(repo_id, init.suite);
        let put = |folder: &str, object_type, key: &ClassKey, record: &[u8]| {
            let (hash, object) = make_object(object_type, init.suite, repo_id, key, random, record);
            let name = format!("{folder}/00000001-{hash}");
            storage.put(&name, &[&object], PutMode::Content)
        };
        let keyring_record = zeroize::Zeroizing::new(encode(&keyring));
        put("keyring", ObjectType::Keyring, &root_key, &keyring_record)?;

        let config = new_config(repo_id, now_ms, init);
        let config_record = encode(&config);
        Config::decode(&config_record, "new configuration")
            .map_err(|e| Error::usage(e.to_string()))?;
        put("config", ObjectType::Config, keys.current(Class::Meta), &config_record)?;

        // Last of all: before it is there, this is no repository.
        let record = RepoRecord::new(repo_id, now_ms, init.suite.number());
        storage.put("repo", &[&record.encode()], PutMode::CreateOnce).map_err(|e| {
            match e.kind {
                StorageErrorKind::Exists => {
                    Error::RepositoryExists { location: storage.location().into() }
                }
                _ => e.into(),
            }
        })?;
        Self::assemble(storage, keys, config, keyring.generation, slot_id, options, runtime)
    }

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
        let (slots, _) = load_slots(&*storage, repo.repo_id)?;
        let last_used = remembered.as_ref().and_then(|s| s.slot_id);
        // An unencrypted repository opens whatever was given, an encrypted one never by itself.
        let nothing = Unlock::Nothing;
        let unlock = if repo.suite == 0 { &nothing } else { unlock };
        if repo.suite != 0 && matches!(unlock, Unlock::Nothing) {
            return Err(Error::KeyNeeded { location: storage.location().into() });
        }
        let opened = unlock_slots(&slots, unlock, last_used, storage.location())?;
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

    fn assemble(
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
        let old = state.load(id);
        let mut local =
            old.clone().unwrap_or_else(|| LocalState::fresh(id, keys.suite, &runtime.random));
        local.suite = keys.suite.number();
        local.config_generation = config.generation;
        local.keyring_generation = keyring_generation;
        local.slot_id = Some(slot_id);
        if old.as_ref() != Some(&local) {
            state.save(&local)?;
        }
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
        })
    }
}

fn check_secrets(unlocks: &[Unlock], suite: Suite) -> Result<()> {
    let plain = unlocks.iter().filter(|u| matches!(u, Unlock::Nothing)).count();
    match suite {
        Suite::None if plain != 1 || unlocks.len() != 1 => Err(Error::usage_hint(
            "a repository without encryption takes no password or key file",
            "leave out `--encryption none`, or the password",
        )),
        Suite::Aes256 if unlocks.is_empty() || plain > 0 => Err(Error::usage_hint(
            "an encrypted repository needs a password or a key file",
            "give one, or make an unencrypted repository with `--encryption none`",
        )),
        _ if unlocks.iter().any(|u| matches!(u, Unlock::Password(p) if p.is_empty())) => {
            Err(Error::usage("an empty password protects nothing"))
        }
        _ => Ok(()),
    }
}

/// Removes what a crash during `init` left, if that is all there is.
fn clear_unfinished_init(storage: &dyn Storage) -> Result<()> {
    let location = || storage.location().to_string();
    match storage.head("repo") {
        Ok(_) => return Err(Error::RepositoryExists { location: location() }),
        Err(error) if error.kind == StorageErrorKind::Missing => {}
        Err(error) => return Err(error.into()),
    }
    let leftovers = list_sorted(storage, "")?;
    let from_init =
        |name: &str| ["keys/", "keyring/", "config/"].iter().any(|folder| name.starts_with(folder));
    if let Some(other) = leftovers.iter().find(|meta| !from_init(&meta.name)) {
        let is_ours = LAYOUT.iter().any(|folder| other.name.starts_with(&format!("{folder}/")));
        return Err(if is_ours {
            Error::damaged("repo", "it is missing, but there are backups here; nothing was changed")
        } else {
            Error::LocationNotEmpty { location: location() }
        });
    }
    for meta in leftovers {
        storage.delete(&meta.name)?;
    }
    Ok(())
}

fn load_repo(storage: &dyn Storage) -> Result<RepoRecord> {
    let bytes = storage.get("repo", REPO_LEN_MAX).map_err(|error| match error.kind {
        StorageErrorKind::Missing => {
            Error::RepositoryMissing { location: storage.location().into() }
        }
        _ => error.into(),
    })?;
    RepoRecord::decode(&bytes, storage.location())
}

/// Reads every generation of `folder` and hands those that open to `use_it`. Fails only if none
/// does: one bad object must not lock the others out.
fn load_generations(
    storage: &dyn Storage,
    folder: &str,
    what: &'static str,
    mut use_it: impl FnMut(&str, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut first_error = None;
    let mut found = false;
    for meta in list_sorted(storage, &format!("{folder}/"))? {
        let used =
            storage.get(&meta.name, OBJECT_LEN_MAX).map_err(Error::from).and_then(|object| {
                let hash = hash_in_name(&meta.name)
                    .ok_or_else(|| Error::damaged(&meta.name, "foreign name"))?;
                check_hash(&object, hash, &meta.name)?;
                use_it(&meta.name, &object)
            });
        match used {
            Ok(()) => found = true,
            Err(error) if error.is_damage() => _ = first_error.get_or_insert(error),
            Err(error) => return Err(error),
        }
    }
    match first_error {
        _ if found => Ok(()),
        Some(error) => Err(error),
        None => Err(Error::NotFound { what, name: folder.into() }),
    }
}

pub(super) fn generation_in_name(name: &str) -> Option<u32> {
    let (_, file) = name.rsplit_once('/')?;
    u32::from_str_radix(file.split_once('-')?.0, 16).ok()
}

/// The union of all keyrings that open; what is current is decided by those of the newest root.
fn load_keyring(
    storage: &dyn Storage,
    roots: &[RootKey],
    repo_id: RepoId,
    suite: Suite,
) -> Result<Keyring> {
    let mut found: Vec<(bool, Keyring)> = Vec::new();
    load_generations(storage, "keyring", "keyring", |name, object| {
        check_header(object, name, repo_id, suite)?;
        let (header, sealed) = object.split_at(HEADER_LEN);
        // Newest root first: it opens nearly always.
        let opened = roots.iter().enumerate().rev().find_map(|(number, root)| {
            let key = root.class_key(repo_id, suite);
            let kind = seal_kind(ObjectType::Keyring);
            let record = open_record(&key, header, kind, sealed, name).ok()?;
            Some((number + 1 == roots.len(), zeroize::Zeroizing::new(record)))
        });
        let (is_newest, record) =
            opened.ok_or_else(|| Error::damaged(name, "its seal does not open"))?;
        let keyring = Keyring::decode(&record, name)?;
        if keyring.repo_id != repo_id
            || keyring.suite != suite.number()
            || generation_in_name(name) != Some(keyring.generation)
        {
            return Err(Error::damaged(name, "it is not what its name says"));
        }
        found.push((is_newest, keyring));
        Ok(())
    })?;
    let newest = found.iter().filter(|(is_newest, _)| *is_newest).map(|(_, k)| k);
    let mut merged = newest
        .max_by_key(|k| k.generation)
        .cloned()
        .ok_or_else(|| Error::damaged("keyring", "none opens with the newest root key"))?;
    for (_, other) in &found {
        if other.constant != merged.constant {
            return Err(Error::damaged("keyring", "two keyrings contradict each other"));
        }
        for epoch in &other.epochs {
            if !merged.epochs.iter().any(|e| e.epoch == epoch.epoch) {
                merged.epochs.push(epoch.clone());
            }
        }
    }
    Ok(merged)
}

fn load_config(storage: &dyn Storage, keys: &Keys, repo_id: RepoId) -> Result<Config> {
    let mut best: Option<Config> = None;
    let mut features: Vec<String> = Vec::new();
    load_generations(storage, "config", "configuration", |name, object| {
        let header = check_header(object, name, repo_id, keys.suite)?;
        let (header_bytes, sealed) = object.split_at(HEADER_LEN);
        let key = keys.of_epoch(Class::Meta, header.epoch, name)?;
        let record = open_record(key, header_bytes, seal_kind(ObjectType::Config), sealed, name)?;
        let config = Config::decode(&record, name)?;
        if config.repo_id != repo_id || generation_in_name(name) != Some(config.generation) {
            return Err(Error::damaged(name, "it is not what its name says"));
        }
        features.extend(config.features_read.iter().cloned());
        // Names are sorted, so among equals the larger hash comes last and wins.
        if best.as_ref().is_none_or(|b| config.generation >= b.generation) {
            best = Some(config);
        }
        Ok(())
    })?;
    if let Some(feature) = features.first() {
        return Err(Error::UnsupportedFormat {
            location: storage.location().into(),
            found: format!("1 with feature {feature}"),
            supported: "1 without it".into(),
        });
    }
    best.ok_or_else(|| Error::NotFound { what: "configuration", name: "config".into() })
}

fn new_config(repo_id: RepoId, now_ms: i64, init: &InitOptions) -> Config {
    let classes = init
        .classes
        .iter()
        .map(|class| ClassRecord {
            below: class.below,
            min: class.params.min,
            avg: class.params.avg,
            max: class.params.max,
            mask_s: class.params.mask_s,
            mask_l: class.params.mask_l,
        })
        .collect();
    Config {
        repo_id,
        generation: 1,
        created_ms: now_ms,
        features_read: Vec::new(),
        features_write: Vec::new(),
        features_info: Vec::new(),
        chunker: ChunkerRecord {
            chunker: CHUNKER_GEAR,
            slice_len: 256 << 20,
            hole_align: 64 << 10,
            classes,
        },
        segments: SegmentRecord::standard(),
        pages: PageRecord::standard(),
        pack_target: init.pack_target,
    }
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
