//! The mirrors of a repository: adding, comparing, synchronising, healing (SPEC.md, section 21).

mod add;
mod data;
mod heal;
mod times;

use std::sync::Arc;

use serde::Serialize;

pub use add::{AddedMirror, NewMirror};
pub use data::MovedData;
pub use heal::{Healing, HealingOptions};

use super::BackupManager;
use crate::error::{Error, Result};
use crate::mirror::{
    ScrubOptions, ScrubReport, Standing, SyncOptions, SyncReport, compare, scrub, side_by_side,
    sync, sync_keys,
};
use crate::model::{MirrorPolicy, Place, Places};
use crate::repository::{Debt, Repository};
use crate::runtime::Runtime;
use crate::storage::{Connector, SharedStorage, is_begun};

/// The mirrors of an open repository.
pub struct Mirrors<'a> {
    repository: &'a Repository,
    /// The repository's own place: mirrors are compared with it and with nothing else.
    primary: SharedStorage,
    connector: Connector,
    fills_empty: bool,
}

/// A mirror, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenMirror {
    /// What people call it.
    pub name: String,
    /// Where it is.
    pub location: String,
    /// How it stands; `None` if it cannot be asked.
    #[serde(flatten)]
    pub standing: Option<Standing>,
    /// Why it cannot be asked.
    pub error: Option<String>,
    /// Runs that it missed, and that wrote that down.
    pub debts: u64,
    /// Objects that it is to let go of.
    pub deletes: u64,
}

/// What came of synchronising a mirror.
#[derive(Debug)]
pub struct SyncedMirror {
    /// What people call it.
    pub name: String,
    /// What was copied, or why nothing could be.
    pub outcome: Result<SyncReport>,
}

impl BackupManager {
    /// The mirrors of the repository.
    pub fn mirrors(&self) -> Mirrors<'_> {
        Mirrors::of(self.repository(), self.options().places.clone())
    }
}

impl<'a> Mirrors<'a> {
    /// Those of `repository`, reached by `connector`.
    pub fn of(repository: &'a Repository, connector: Connector) -> Self {
        let primary = Arc::clone(repository.own_storage());
        Self { repository, primary, connector, fills_empty: false }
    }

    /// Fills mirrors at whose places nothing is. Else they are refused: it may be the folder below
    /// a disk that is not mounted.
    #[must_use]
    pub fn filling_empty(mut self, fills_empty: bool) -> Self {
        self.fills_empty = fills_empty;
        self
    }

    /// Every mirror, compared with the repository by names and lengths.
    ///
    /// # Errors
    /// The storage's, of the repository itself, and [`Error::Cancelled`].
    pub fn list(&self, runtime: &Runtime) -> Result<Vec<SeenMirror>> {
        let places = self.all();
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let storages = side_by_side(places.iter().collect(), |place| self.connect(place));
        let known = self.repository.debts()?;
        let heads = self.repository.head_names()?;
        let standings = compare(&*self.primary, storages, &heads, runtime)?;
        let seen = places.into_iter().zip(standings).map(|(place, standing)| {
            let (standing, error) = match standing {
                Ok(standing) => (Some(standing), None),
                Err(error) => (None, Some(error.in_full())),
            };
            let Place { name, location, .. } = place;
            let own = known.iter().filter(|debt| debt.mirror == name);
            let debts = own.clone().count() as u64;
            let deletes = own.map(|debt| debt.deletes.len() as u64).sum();
            SeenMirror { name, location, standing, error, debts, deletes }
        });
        Ok(seen.collect())
    }

    /// Copies to mirrors what they lack; to all of them if none is named. One that fails does not
    /// keep the others from theirs.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that no mirror has, and [`Error::Cancelled`]. In its outcome,
    /// [`Error::MirrorAway`] for a mirror at whose place nothing is.
    pub fn sync(
        &self,
        names: &[String],
        dry_run: bool,
        runtime: &Runtime,
    ) -> Result<Vec<SyncedMirror>> {
        let chosen = self.chosen(names)?;
        // Before anything is compared: what is noted later may be about later runs.
        let debts = self.repository.debts()?;
        let targets: Vec<_> = chosen.iter().map(|place| self.connect_to_write(place)).collect();
        if !dry_run {
            let reached: Vec<_> =
                targets.iter().filter_map(|target| target.as_ref().ok()).collect();
            self.keep_times(&reached, runtime);
        }
        let heads = self.repository.head_names()?;
        let mut synced = Vec::new();
        for (place, target) in chosen.into_iter().zip(targets) {
            let others = self.all().into_iter().filter(|other| other.name != place.name);
            let others = others.filter_map(|other| self.connect(&other).ok()).collect();
            let own: Vec<&Debt> = debts.iter().filter(|debt| debt.mirror == place.name).collect();
            let deletes = own.iter().flat_map(|debt| debt.deletes.iter().cloned()).collect();
            let options = SyncOptions { dry_run, others, deletes, heads: heads.clone() };
            let outcome =
                target.and_then(|target| sync(&*self.primary, &*target, &options, runtime));
            match &outcome {
                Err(Error::Cancelled { .. }) => return outcome.map(|_| synced),
                Ok(report) if !dry_run && report.is_complete() => {
                    for debt in own {
                        self.primary.delete(&debt.object)?;
                    }
                }
                _ => {}
            }
            synced.push(SyncedMirror { name: place.name, outcome });
        }
        Ok(synced)
    }

    /// Reads the objects of a mirror, or a part of them, and compares each with its name.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that no mirror has, the mirror's, and [`Error::Cancelled`].
    pub fn scrub(
        &self,
        name: &str,
        options: &ScrubOptions,
        runtime: &Runtime,
    ) -> Result<ScrubReport> {
        let place = self.find(name)?;
        scrub(&*self.connect_begun(&place)?, options, runtime)
    }

    /// Takes a mirror out of the list. What is there stays as it is, and is a full repository.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that no mirror has, and those of [`Repository::set_places`].
    pub fn remove(&self, name: &str, runtime: &Runtime) -> Result<Place> {
        let place = self.find(name)?;
        self.repository.remove_place(name, runtime)?;
        self.spread_keys(runtime);
        Ok(place)
    }

    /// Says what commits ask of mirrors, if a run says nothing else.
    ///
    /// # Errors
    /// Those of [`Repository::set_places`].
    pub fn set_policy(&self, policy: MirrorPolicy, runtime: &Runtime) -> Result<()> {
        let mut change = |places: &mut Places| {
            places.policy = policy;
            Ok(())
        };
        self.repository.set_places(&mut change, runtime)?;
        self.spread_keys(runtime);
        Ok(())
    }

    /// The configuration has changed: mirrors get the new one at once. One that cannot be reached
    /// gets it with its next synchronisation.
    fn spread_keys(&self, runtime: &Runtime) {
        for place in self.all() {
            let spread = self
                .connect_to_write(&place)
                .and_then(|target| sync_keys(&*self.primary, &*target, runtime));
            if let Err(error) = spread {
                tracing::warn!(mirror = place.name, "the configuration is not there yet: {error}");
            }
        }
    }

    /// All but the place where the repository is open.
    fn all(&self) -> Vec<Place> {
        self.repository.other_mirrors()
    }

    fn find(&self, name: &str) -> Result<Place> {
        let places = self.repository.places();
        places.mirrors().find(|place| place.name == name).cloned().ok_or_else(|| {
            let names: Vec<&str> = places.mirrors().map(|place| place.name.as_str()).collect();
            let hint = match names.is_empty() {
                true => "there are none: `larder mirror add NAME LOCATION`".to_owned(),
                false => format!("there are: {}", names.join(", ")),
            };
            Error::usage_hint(format!("no mirror is called `{name}`"), hint)
        })
    }

    /// One that is not the place where the repository is open.
    fn find_other(&self, name: &str) -> Result<Place> {
        let place = self.find(name)?;
        match self.all().contains(&place) {
            true => Ok(place),
            false => Err(Error::usage_hint(
                format!("`{name}` is the place where the repository is open"),
                "say where the repository itself is with `--repo`, or, if it is lost and this \
                 place is the repository from now on, take it out: `larder mirror remove`",
            )),
        }
    }

    /// The mirrors with these names, or all.
    fn chosen(&self, names: &[String]) -> Result<Vec<Place>> {
        if names.is_empty() {
            return Ok(self.all());
        }
        names.iter().map(|name| self.find_other(name)).collect()
    }

    fn connect(&self, place: &Place) -> Result<SharedStorage> {
        let connected = self.connector.connect(&place.location).unwrap_or_else(|| {
            Err(Error::usage(format!("`{}` cannot be reached without a connector", place.name)))
        });
        connected.map_err(|error| match error {
            Error::RepositoryMissing { .. } => away(place),
            error => error,
        })
    }

    /// Refuses a place where nothing is.
    fn connect_begun(&self, place: &Place) -> Result<SharedStorage> {
        let storage = self.connect(place)?;
        match is_begun(&*storage)? {
            true => Ok(storage),
            false => Err(away(place)),
        }
    }

    /// As [`Self::connect_begun`], unless empty places are to be filled.
    fn connect_to_write(&self, place: &Place) -> Result<SharedStorage> {
        if self.fills_empty { self.connect(place) } else { self.connect_begun(place) }
    }
}

fn away(place: &Place) -> Error {
    Error::MirrorAway { name: place.name.clone(), location: place.location.clone() }
}
