//! Repositories whose packs of data are at another location (SPEC.md, section 22).

use std::collections::HashMap;
use std::sync::Arc;

use super::generations::load_config;
use super::keys::unless_changed;
use super::object::hash_in_name;
use super::place::is_same_place;
use super::{OpenOptions, Repository};
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::config::Config;
use crate::format::pack::PackType;
use crate::model::{ObjectHash, Place};
use crate::storage::{Completed, SharedStorage, SplitStorage, Storage};

/// Storage, and the same as what it is if its data is elsewhere.
type Attached = (SharedStorage, Option<Arc<SplitStorage>>);

/// The storage of a repository with this configuration: with the place of its data, if that is
/// another one.
///
/// # Errors
/// [`Error::OutOfReach`] with the place, if it cannot be reached.
pub(super) fn attach(
    storage: SharedStorage,
    config: &Config,
    options: &OpenOptions,
) -> Result<Attached> {
    let places = config.places();
    let Some(place) = places.data() else { return Ok((storage, None)) };
    let location = options.data_location.clone().unwrap_or_else(|| place.location.clone());
    let place = &Place { location, ..place.clone() };
    let is_here = |place: &Place| is_same_place(&place.location, storage.location());
    // The place of the data was opened, perhaps as the other one is lost, or a mirror: each holds
    // all of it, and is used alone.
    if is_here(place) || places.mirrors().any(is_here) || has_data(&storage)? {
        return Ok((storage, None));
    }
    join(storage, place, options)
}

/// Whether a place has packs of data of its own. The one that people write to never has, as they
/// are elsewhere: then this is a mirror, or the place of the data, under another name.
fn has_data(storage: &SharedStorage) -> Result<bool> {
    let mut has_any = false;
    storage.list("data/", &mut |_| has_any = true)?;
    Ok(has_any)
}

/// Puts the place of a new repository's data beside its storage.
///
/// # Errors
/// [`Error::RepositoryExists`] if there is a repository at that place, otherwise as [`attach`].
pub(super) fn begin(
    storage: SharedStorage,
    place: &Place,
    options: &OpenOptions,
) -> Result<Attached> {
    if is_same_place(&place.location, storage.location()) {
        return Err(Error::usage_hint(
            "the place of the data is that of the repository",
            "give another location, or leave out `--data`",
        ));
    }
    let (storage, split) = join(storage, place, options)?;
    if let Some(split) = &split {
        match split.cold().head("repo") {
            Err(error) if error.kind == StorageErrorKind::Missing => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Err(Error::RepositoryExists { location: place.location.clone() }),
        }
    }
    Ok((storage, split))
}

fn join(storage: SharedStorage, place: &Place, options: &OpenOptions) -> Result<Attached> {
    let data = match options.places.connect(&place.location) {
        Some(Ok(data)) => data,
        Some(Err(error)) => {
            return Err(Error::OutOfReach {
                what: format!(
                    "the data of this repository is at `{}`, which cannot be reached: {}",
                    place.location,
                    error.in_full()
                ),
                hint: "check that place, and try again; if its packs are at another one now: \
                       `larder repo data-place LOCATION --no-copy`"
                    .into(),
            });
        }
        None => {
            return Err(Error::OutOfReach {
                what: format!("the data of this repository is at `{}`", place.location),
                hint: "this works only on repositories that have their data with them; that place \
                       is a full repository by itself"
                    .into(),
            });
        }
    };
    let split = Arc::new(SplitStorage::new(storage, data));
    Ok((Arc::clone(&split) as SharedStorage, Some(split)))
}

impl Repository {
    /// Both its places, if its data is at another location.
    pub fn split(&self) -> Option<&SplitStorage> {
        self.split.as_deref()
    }

    /// Looks whether its packs of data are still where they were when it was opened. Whoever writes
    /// announces itself first, and looks again before it commits: whoever moves them changes the
    /// configuration first, and then looks who has announced itself.
    ///
    /// # Errors
    /// [`Error::Busy`] if they were moved; the storage's.
    pub fn check_data_place(&self) -> Result<()> {
        if self.split.is_none() {
            return Ok(());
        }
        let config = unless_changed(&*self.storage, |seen| load_config(seen, &self.keys, self.id))?;
        let (known, now) = (self.places(), config.places());
        match now.data() {
            Some(now) if known.data() != Some(now) => Err(Error::Busy {
                what: format!("the data of this repository was moved to `{}`", now.location),
            }),
            _ => Ok(()),
        }
    }

    /// Packs of data that the index names and this place does not have whole: how many, and one of
    /// them. The index must be loaded.
    ///
    /// # Errors
    /// The storage's.
    pub fn data_lacking_at(&self, place: &dyn Storage) -> Result<Option<(u64, String)>> {
        let mut there: HashMap<ObjectHash, u64> = HashMap::new();
        place.list("data/", &mut |meta| {
            if let Some(hash) = hash_in_name(&meta.name) {
                there.insert(hash, meta.len);
            }
        })?;
        // A prune may be deleting them.
        let condemned = self.load_gc()?.condemned();
        let packs = self.index.packs().into_iter().map(|(_, info)| info);
        let named = packs
            .filter(|info| info.pack_type == PackType::Data && !condemned.contains(&info.hash));
        let lacking: Vec<_> =
            named.filter(|info| there.get(&info.hash) != Some(&info.len)).collect();
        Ok(lacking.first().map(|first| (lacking.len() as u64, first.object_name())))
    }

    /// Copies to the place of its data what a crash kept from it, so that it is a full repository
    /// by itself. Says what its own location has lost.
    ///
    /// # Errors
    /// The storage's.
    pub fn complete_split(&self) -> Result<Completed> {
        self.split().map_or_else(|| Ok(Completed::default()), |split| Ok(split.complete()?))
    }
}
