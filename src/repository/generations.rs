//! Objects of which the newest generation counts, and the configuration, which is one of them
//! (SPEC.md, section 7). The other one, the keyring, is in `ring`.

use std::collections::{BTreeSet, HashSet};

use super::keys::Keys;
use super::object::{
    OBJECT_LEN_MAX, check_hash, check_header, hash_in_name, open_record, seal_kind,
};
use crate::crypto::Class;
use crate::error::{Error, Result};
use crate::format::config::Config;
use crate::format::header::{HEADER_LEN, ObjectType};
use crate::model::RepoId;
use crate::storage::{Storage, list_sorted};

/// Reads every generation of `folder` and hands those that open to `use_it`. Fails only if none
/// does: one bad object must not lock the others out. `names` gets the names of all.
pub(super) fn load_generations(
    storage: &dyn Storage,
    folder: &str,
    what: &'static str,
    names: &mut HashSet<String>,
    mut use_it: impl FnMut(&str, &[u8]) -> Result<()>,
) -> Result<()> {
    let mut first_error = None;
    let mut found = false;
    for meta in list_sorted(storage, &format!("{folder}/"))? {
        names.insert(meta.name.clone());
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

/// A configuration in storage.
#[derive(Clone)]
pub(super) struct StoredConfig {
    pub(super) name: String,
    pub(super) config: Config,
}

/// All configurations that open, by name.
pub(super) fn read_configs(
    storage: &dyn Storage,
    keys: &Keys,
    repo_id: RepoId,
) -> Result<Vec<StoredConfig>> {
    let mut all = Vec::new();
    load_generations(storage, "config", "configuration", &mut HashSet::new(), |name, object| {
        let header = check_header(object, name, repo_id, keys.suite)?;
        let (header_bytes, sealed) = object.split_at(HEADER_LEN);
        let key = keys.of_epoch(Class::Meta, header.epoch, name)?;
        let record = open_record(key, header_bytes, seal_kind(ObjectType::Config), sealed, name)?;
        let config = Config::decode(&record, name)?;
        if config.repo_id != repo_id || generation_in_name(name) != Some(config.generation) {
            return Err(Error::damaged(name, "it is not what its name says"));
        }
        all.push(StoredConfig { name: name.into(), config });
        Ok(())
    })?;
    Ok(all)
}

/// The one of them that counts, with the features of all. `location` is for the error.
pub(super) fn newest_config(all: Vec<StoredConfig>, location: &str) -> Result<StoredConfig> {
    if let Some(feature) = all.iter().flat_map(|stored| &stored.config.features_read).next() {
        return Err(Error::UnsupportedFormat {
            location: location.into(),
            found: format!("1 with feature {feature}"),
            supported: "1 without it".into(),
        });
    }
    let features: BTreeSet<String> =
        all.iter().flat_map(|stored| stored.config.features_write.iter().cloned()).collect();
    // Names are sorted, so among equals the larger hash comes last and wins.
    let best = all.into_iter().max_by_key(|stored| stored.config.generation);
    let mut best =
        best.ok_or_else(|| Error::NotFound { what: "configuration", name: "config".into() })?;
    best.config.features_write = features.into_iter().collect();
    Ok(best)
}

pub(super) fn load_config(storage: &dyn Storage, keys: &Keys, repo_id: RepoId) -> Result<Config> {
    let all = read_configs(storage, keys, repo_id)?;
    Ok(newest_config(all, storage.location())?.config)
}
