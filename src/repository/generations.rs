//! Objects of which the newest generation counts, and the configuration, which is one of them
//! (SPEC.md, section 7). The other one, the keyring, is in `ring`.

use std::collections::HashSet;

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

pub(super) fn load_config(storage: &dyn Storage, keys: &Keys, repo_id: RepoId) -> Result<Config> {
    let mut best: Option<Config> = None;
    let mut features: Vec<String> = Vec::new();
    let mut features_write: Vec<String> = Vec::new();
    load_generations(storage, "config", "configuration", &mut HashSet::new(), |name, object| {
        let header = check_header(object, name, repo_id, keys.suite)?;
        let (header_bytes, sealed) = object.split_at(HEADER_LEN);
        let key = keys.of_epoch(Class::Meta, header.epoch, name)?;
        let record = open_record(key, header_bytes, seal_kind(ObjectType::Config), sealed, name)?;
        let config = Config::decode(&record, name)?;
        if config.repo_id != repo_id || generation_in_name(name) != Some(config.generation) {
            return Err(Error::damaged(name, "it is not what its name says"));
        }
        features.extend(config.features_read.iter().cloned());
        features_write.extend(config.features_write.iter().cloned());
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
    if let Some(best) = &mut best {
        best.features_write = features_write;
    }
    best.ok_or_else(|| Error::NotFound { what: "configuration", name: "config".into() })
}
