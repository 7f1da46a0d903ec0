//! What a place holds, by one listing: names and lengths, in little memory.

use std::collections::{BTreeMap, HashSet};

use super::object::{Flaw, Kind, prove};
use super::report::Count;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::key_slot::KeySlot;
use crate::format::repo::RepoRecord;
use crate::model::{ObjectHash, RepoId};
use crate::repository::{ListedPacks, check_hash, hash_in_name, pack_name};
use crate::storage::{Heads, ObjectMeta, Storage};

/// No `repo` object is longer.
pub(super) const REPO_LEN_MAX: u64 = 64 << 10;

/// Folders of what opens a repository.
pub(super) const KEY_FOLDERS: [&str; 3] = ["keys/", "keyring/", "config/"];

/// Objects that are looked at to find out whose they are.
const LOOKS: usize = 3;

/// Foreign names that are kept for a message.
const FOREIGN_SHOWN: usize = 20;

/// What a listing of a whole place shows.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) packs: ListedPacks,
    /// All other objects that are named by their hash, and `repo`.
    pub(super) others: BTreeMap<String, ObjectMeta>,
    pub(super) sum: Count,
    pub(super) foreign: Count,
    /// Names of the first of them.
    pub(super) foreign_names: Vec<String>,
}

impl Contents {
    /// Lists a place once.
    pub(super) fn list(storage: &dyn Storage) -> Result<Self> {
        let mut found = Self::default();
        let mut packs = Vec::new();
        storage.list("", &mut |meta| match Kind::of(&meta.name) {
            Kind::Pack(pack_type, hash) => {
                found.sum.add(meta.len);
                packs.push((hash, (meta.len, pack_type)));
            }
            Kind::Passing => {}
            Kind::Foreign => {
                found.foreign.add(meta.len);
                if found.foreign_names.len() < FOREIGN_SHOWN {
                    found.foreign_names.push(meta.name);
                }
            }
            kind => {
                if kind.is_named_by_hash() {
                    found.sum.add(meta.len);
                }
                found.others.insert(meta.name.clone(), meta);
            }
        })?;
        found.packs = packs.into_iter().collect();
        Ok(found)
    }

    /// Lists key slots, keyrings and configurations alone.
    pub(super) fn list_keys(storage: &dyn Storage) -> Result<Self> {
        let mut found = Self::default();
        for folder in KEY_FOLDERS {
            storage.list(folder, &mut |meta| {
                found.sum.add(meta.len);
                found.others.insert(meta.name.clone(), meta);
            })?;
        }
        Ok(found)
    }

    /// Whether a repository is there, whole or not.
    pub(super) fn has_repo(&self) -> bool {
        self.others.contains_key("repo")
    }

    /// The length of an object, if it is there.
    pub(super) fn len_of(&self, name: &str) -> Option<u64> {
        match Kind::of(name) {
            Kind::Pack(pack_type, hash) => {
                self.packs.get(&hash).filter(|(_, t)| *t == pack_type).map(|(len, _)| len)
            }
            _ => self.others.get(name).map(|meta| meta.len),
        }
    }

    /// Whether it has log records that a place knows nothing of, which has `records` by name, and
    /// in them is told of `heads`.
    pub(super) fn is_newer_than<'n>(
        &self,
        records: impl Iterator<Item = &'n str>,
        heads: &[String],
    ) -> bool {
        let listed: HashSet<&str> = records.collect();
        let mut known = Heads::default();
        known.extend(&listed);
        known.extend(heads);
        self.others.keys().any(|name| !listed.contains(name.as_str()) && known.is_newer(name))
    }

    /// Names of objects that are named by their hash, of all kinds.
    pub(super) fn names(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let others = self.others.values().filter(|meta| meta.name != "repo");
        let others = others.map(|meta| (meta.name.clone(), meta.len));
        let packs = self.packs.iter();
        others.chain(packs.map(|(hash, (len, pack_type))| (pack_name(pack_type, hash), len)))
    }
}

/// Reads which repository is at a place.
///
/// # Errors
/// [`Error::RepositoryMissing`], [`Error::UnsupportedFormat`], [`Error::Damaged`], the storage's.
pub fn repository_at(storage: &dyn Storage) -> Result<RepoId> {
    let bytes = storage.get("repo", REPO_LEN_MAX).map_err(|error| match error.kind {
        StorageErrorKind::Missing => {
            Error::RepositoryMissing { location: storage.location().to_owned() }
        }
        _ => error.into(),
    })?;
    Ok(RepoRecord::decode(&bytes, storage.location())?.repo_id)
}

/// Which repository a place holds: what a whole key slot says, which proves itself by its name,
/// else what `repo` says. `None` if neither can be read.
///
/// # Errors
/// The storage's, if it could not be asked.
pub(super) fn identity(storage: &dyn Storage, contents: &Contents) -> Result<Option<RepoId>> {
    let slots = contents.others.values().filter(|meta| Kind::of(&meta.name) == Kind::Key);
    for meta in slots.take(LOOKS) {
        let id = storage.get(&meta.name, meta.len).map_err(Error::from).and_then(|bytes| {
            let hash = hash_in_name(&meta.name).unwrap_or(ObjectHash([0; 32]));
            check_hash(&bytes, hash, &meta.name)?;
            Ok(KeySlot::decode(&bytes, &meta.name)?.repo_id)
        });
        match id {
            Ok(id) => return Ok(Some(id)),
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    match repository_at(storage) {
        Ok(id) => Ok(Some(id)),
        Err(Error::RepositoryMissing { .. }) => Ok(None),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Refuses a place that holds anything but this repository, whole or begun.
///
/// # Errors
/// [`Error::Usage`] if it is another repository, [`Error::LocationNotEmpty`] for foreign files.
pub(super) fn check_is_of(
    storage: &dyn Storage,
    contents: &Contents,
    repo_id: RepoId,
    source: &dyn Storage,
) -> Result<()> {
    let location = storage.location();
    let refused = |what: &str| {
        Err(Error::usage_hint(
            format!("`{location}` {what}"),
            "a mirror is a folder, bucket or share of its own, empty or a mirror of this repository",
        ))
    };
    match identity(storage, contents)? {
        Some(found) if found == repo_id => return Ok(()),
        Some(_) => return refused("holds another repository"),
        // Its objects say whose they are.
        None => {}
    }
    let looked: Vec<(String, u64)> = contents.names().take(LOOKS).collect();
    for (name, len) in &looked {
        let proof = match storage.get(name, *len).map_err(Error::from) {
            Ok(bytes) => prove(name, &bytes, repo_id),
            Err(error) if error.is_damage() => Err(error.into()),
            Err(error) => return Err(error),
        };
        match proof {
            Ok(()) => return Ok(()),
            Err(Flaw::Foreign) => return refused("holds objects of another repository"),
            // Half of an object, whose name no other repository has.
            Err(Flaw::Damaged(_)) if source.head(name).is_ok() => return Ok(()),
            Err(Flaw::Damaged(_)) => {}
        }
    }
    if !looked.is_empty() {
        return refused("holds objects, and none of those that were read is whole");
    }
    match contents.foreign.objects {
        0 => Ok(()),
        _ => Err(Error::LocationNotEmpty { location: location.to_owned() }),
    }
}
