//! Making repositories.

use super::keys::Keys;
use super::like::{self, Likeness};
use super::object::make_object;
use super::open::load_repo;
use super::slots::{KdfCost, make_slot, put_slot};
use super::unlock::{Opened, Unlock};
use super::{LAYOUT, OpenOptions, Repository, data_place};
use crate::chunker::{SizeClass, default_size_classes};
use crate::crypto::{Class, ClassKey, RootKey, Secret, Suite};
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::config::{
    CHUNKER_GEAR, ChunkerRecord, ClassRecord, Config, PageRecord, SegmentRecord,
};
use crate::format::header::ObjectType;
use crate::format::keyring::{EpochRecord, Keyring, SecretBytes};
use crate::format::record::encode;
use crate::format::repo::RepoRecord;
use crate::model::{EpochId, Place, RepoId, SlotId};
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
    /// Another repository that this one is like: its chunk sizes count then, and not `classes`.
    pub like: Option<Likeness>,
    /// Where its packs of data go, if not into the repository itself: a place of the role `Data`.
    pub data: Option<Place>,
}

impl Default for InitOptions {
    fn default() -> Self {
        Self {
            suite: Suite::Aes256,
            kdf: KdfCost::Standard,
            classes: default_size_classes(),
            pack_target: 16 << 20,
            like: None,
            data: None,
        }
    }
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
        like::check(init)?;
        let (storage, split) = match &init.data {
            Some(place) => data_place::begin(storage, place, options)?,
            None => (storage, None),
        };
        let leftovers = unfinished_init(&*storage)?;
        let random = &runtime.random;
        let repo_id = RepoId(random.bytes());
        let now_ms = runtime.clock.now_ms();
        let root = RootKey(Secret::random(random));

        let mut ours = Vec::new();
        let mut opened = None;
        for unlock in unlocks {
            let slot_id = SlotId(random.bytes());
            let (slot, kek) = make_slot(repo_id, &root, unlock, slot_id, "", init.kdf, runtime)?;
            ours.push(put_slot(&*storage, &slot)?);
            opened = Some(Opened { slot_id, kek, chains: vec![vec![root.clone()]] });
        }
        let opened = opened.ok_or_else(|| Error::usage("nothing would open the repository"))?;

        let epoch = EpochId(random.bytes());
        let master = SecretBytes(Secret::random(random));
        let keyring = Keyring {
            repo_id,
            suite: init.suite.number(),
            generation: 1,
            constant: match &init.like {
                Some(like) => like.constant.clone(),
                None => SecretBytes(Secret::random(random)),
            },
            epochs: vec![EpochRecord { epoch, master, created_ms: now_ms }],
            current: epoch,
            rekeying: false,
        };
        let root_key = root.class_key(repo_id, init.suite);
        let put = |folder: &str, object_type, key: &ClassKey, record: &[u8]| {
            let (hash, object) = make_object(object_type, init.suite, repo_id, key, random, record);
            let name = format!("{folder}/00000001-{hash}");
            storage.put(&name, &[&object], PutMode::Content).map(|()| name)
        };
        let keyring_record = zeroize::Zeroizing::new(encode(&keyring));
        ours.push(put("keyring", ObjectType::Keyring, &root_key, &keyring_record)?);

        let keys = Keys::load(&storage, &*storage, opened, repo_id, init.suite, None)?;
        let mut config = new_config(repo_id, now_ms, init);
        let mut places = config.places();
        init.data.iter().try_for_each(|place| places.add(place.clone()))?;
        config.set_places(&places);
        let config_record = encode(&config);
        Config::decode(&config_record, "new configuration")
            .map_err(|e| Error::usage(e.to_string()))?;
        ours.push(put("config", ObjectType::Config, keys.current(Class::Meta), &config_record)?);

        // Last of all: before it is there, this is no repository.
        let record = RepoRecord::new(repo_id, now_ms, init.suite.number());
        if !put_signpost(&*storage, &record)? {
            delete_all(&*storage, &ours);
            return Err(Error::RepositoryExists { location: storage.location().into() });
        }
        // Not before: it may be another `init` at work, and only one of the two gets here.
        delete_all(&*storage, &leftovers);
        let mut made = Self::assemble(storage, keys, config, options, runtime)?;
        made.split = split;
        Ok(made)
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

/// Says whether the repository is ours now, or that of somebody who was faster.
fn put_signpost(storage: &dyn Storage, record: &RepoRecord) -> Result<bool> {
    match storage.put("repo", &[&record.encode()], PutMode::CreateOnce) {
        Ok(()) => Ok(true),
        // It may be ours all the same, if only the answer got lost.
        Err(error) => match load_repo(storage) {
            Ok(there) => Ok(there.repo_id == record.repo_id),
            Err(_) => Err(error.into()),
        },
    }
}

/// Deletes what only takes up space. What stays after a failure belongs to no repository, and is
/// passed over.
fn delete_all(storage: &dyn Storage, names: &[String]) {
    for name in names {
        if let Err(error) = storage.delete(name) {
            tracing::warn!("a leftover stays: {error}");
        }
    }
}

/// What a crash during `init` left. Fails if there is anything else.
fn unfinished_init(storage: &dyn Storage) -> Result<Vec<String>> {
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
    Ok(leftovers.into_iter().map(|meta| meta.name).collect())
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
    let own = ChunkerRecord {
        chunker: CHUNKER_GEAR,
        slice_len: 256 << 20,
        hole_align: 64 << 10,
        classes,
    };
    let like = init.like.as_ref();
    Config {
        repo_id,
        generation: 1,
        created_ms: now_ms,
        features_read: Vec::new(),
        features_write: Vec::new(),
        features_info: Vec::new(),
        chunker: like.map_or(own, |like| like.chunker.clone()),
        segments: SegmentRecord::standard(),
        pages: like.map_or_else(PageRecord::standard, |like| like.pages.clone()),
        pack_target: init.pack_target,
        places: Vec::new(),
        mirror_policy: 0,
    }
}
