//! The further locations of a repository, and changes of the configuration, in which they stand
//! (SPEC.md, section 7).
//!
//! They are sealed: whoever has no key cannot send writers elsewhere. A change is a new generation
//! of the configuration. Two at the same time may take one generation, so everybody looks again
//! after the put, and makes the change once more on top of what somebody else made.

use std::collections::HashSet;

use super::generations::{StoredConfig, generation_in_name, newest_config, read_configs};
use super::keys::unless_changed;
use super::object::make_object;
use super::state::StateFolder;
use super::unlock::load_slots;
use super::{OpenOptions, Repository};
use crate::crypto::Class;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::config::Config;
use crate::format::header::ObjectType;
use crate::format::record::encode;
use crate::model::{Place, Places};
use crate::runtime::Runtime;
use crate::storage::{Location, PutMode, list_sorted};

/// How often a change is made again because somebody else made one at the same time.
const RACES_MAX: usize = 5;

impl Repository {
    /// The further locations, as they were when the repository was opened or last changed here.
    pub fn places(&self) -> Places {
        self.places.lock().clone()
    }

    /// Changes the further locations. `change` is called again if somebody else changed them at
    /// the same time, with what the other one made of them.
    ///
    /// # Errors
    /// Those of `change`; [`Error::Usage`] for a location that is none or holds a secret;
    /// [`Error::Busy`] if others keep changing them; the storage's.
    pub fn set_places(
        &self,
        change: &mut dyn FnMut(&mut Places) -> Result<()>,
        runtime: &Runtime,
    ) -> Result<Places> {
        self.renew_keys()?;
        self.check_writable()?;
        let (_, bad_slots) = load_slots(&*self.storage, self.id)?;
        let mut with_places = |config: &mut Config| {
            let before = config.places();
            let mut places = before.clone();
            change(&mut places)?;
            for place in places.all.iter().filter(|place| !before.all.contains(place)) {
                Location::parse(&place.location)?;
            }
            config.set_places(&places);
            Ok(())
        };
        let mut write = ConfigChange { repository: self, runtime, change: &mut with_places };
        let config = write.make(Reseal::No, bad_slots.is_empty())?;
        let places = config.places();
        self.places.lock().clone_from(&places);
        self.state.save_places(self.id, &config)?;
        self.state.try_update(self.id, |local| {
            local.config_generation = local.config_generation.max(config.generation);
        })?;
        Ok(places)
    }

    /// Adds a further location.
    ///
    /// # Errors
    /// Those of [`Places::add`] and [`Repository::set_places`].
    pub fn add_place(&self, place: &Place, runtime: &Runtime) -> Result<Places> {
        let mut add = |places: &mut Places| {
            // A second attempt may find what the first one put.
            if places.find(&place.name) == Some(place) { Ok(()) } else { places.add(place.clone()) }
        };
        self.set_places(&mut add, runtime)
    }

    /// Takes a further location out. What is there stays as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`], and those of [`Repository::set_places`].
    pub fn remove_place(&self, name: &str, runtime: &Runtime) -> Result<Places> {
        let mut was_there = false;
        let mut remove = |places: &mut Places| match places.remove(name) {
            Err(error) if !was_there => Err(error),
            _ => {
                was_there = true;
                Ok(())
            }
        };
        self.set_places(&mut remove, runtime)
    }

    /// If the repository at `location` is not to be reached, and this machine knows mirrors of it,
    /// the error names them.
    pub fn name_mirrors(error: Error, options: &OpenOptions, location: &str) -> Error {
        let is_lost = matches!(&error, Error::RepositoryMissing { .. } | Error::Storage(_));
        if !is_lost && !error.is_damage() {
            return error;
        }
        let places = Self::known_places(options, location);
        let mirrors: Vec<String> = places.mirrors().map(|place| place.location.clone()).collect();
        match mirrors.is_empty() {
            true => error,
            false => Error::MirrorsLeft { source: Box::new(error), mirrors },
        }
    }

    /// The further locations of the repository that this machine last saw at `location`: for the
    /// time when the repository itself is not to be reached.
    pub fn known_places(options: &OpenOptions, location: &str) -> Places {
        let state = StateFolder::new(options.state_dir.clone());
        let seen = state.seen(location);
        seen.and_then(|seen| state.load_places(seen.repo_id)).unwrap_or_default()
    }
}

/// Whether the configuration is written even if nothing in it changes, for the sake of its seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reseal {
    Yes,
    No,
}

/// A change of the configuration.
pub(super) struct ConfigChange<'a> {
    pub(super) repository: &'a Repository,
    pub(super) runtime: &'a Runtime,
    pub(super) change: &'a mut dyn FnMut(&mut Config) -> Result<()>,
}

impl ConfigChange<'_> {
    /// Stores the changed configuration, and deletes those before it if `delete_older`. Returns
    /// what counts then.
    pub(super) fn make(&mut self, reseal: Reseal, delete_older: bool) -> Result<Config> {
        let mut ours: HashSet<String> = HashSet::new();
        let mut has_to_put = reseal == Reseal::Yes;
        for _ in 0..RACES_MAX {
            let base = self.newest_of_others(&ours)?;
            let mut config = base.config.clone();
            (self.change)(&mut config)?;
            if config == base.config && !has_to_put {
                return Ok(config);
            }
            let highest = ours.iter().filter_map(|name| generation_in_name(name)).max();
            let generation = config.generation.max(highest.unwrap_or(0)).checked_add(1);
            config.generation = generation.ok_or_else(|| Error::Refused {
                what: "the configuration was changed more often than can be counted".into(),
                hint: "make a new repository and copy the snapshots into it".into(),
            })?;
            let name = self.put(&config)?;
            ours.insert(name.clone());
            let listed = list_sorted(&*self.repository.storage, "config/")?;
            // What somebody else put meanwhile does not have this change, or this not theirs.
            let is_newer = |other: &str| generation_in_name(other) >= Some(config.generation);
            if listed.iter().any(|meta| is_newer(&meta.name) && !ours.contains(&meta.name)) {
                has_to_put = reseal == Reseal::Yes;
                continue;
            }
            if delete_older {
                for meta in listed.iter().filter(|meta| meta.name < name) {
                    self.delete(&meta.name)?;
                }
            }
            return Ok(config);
        }
        Err(Error::Busy { what: "somebody else keeps changing the configuration".into() })
    }

    /// What counts of all that this change did not put itself; of its own, if nothing else is left.
    fn newest_of_others(&self, ours: &HashSet<String>) -> Result<StoredConfig> {
        let repository = self.repository;
        unless_changed(&*repository.storage, |storage| {
            let all = read_configs(storage, &repository.keys, repository.id)?;
            let others: Vec<StoredConfig> =
                all.iter().filter(|stored| !ours.contains(&stored.name)).cloned().collect();
            newest_config(if others.is_empty() { all } else { others }, storage.location())
        })
    }

    fn put(&self, config: &Config) -> Result<String> {
        let repository = self.repository;
        let (hash, object) = make_object(
            ObjectType::Config,
            repository.keys.suite,
            repository.id,
            repository.keys.current(Class::Meta),
            &self.runtime.random,
            &encode(config),
        );
        let name = format!("config/{:08x}-{hash}", config.generation);
        repository.storage.put(&name, &[&object], PutMode::Content)?;
        Ok(name)
    }

    /// Storage that deletes nothing keeps it: the highest generation counts.
    fn delete(&self, name: &str) -> Result<()> {
        match self.repository.storage.delete(name) {
            Err(error) if error.kind != StorageErrorKind::Denied => Err(error.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
