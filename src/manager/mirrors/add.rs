//! A new mirror: looked at, filled, and written down when it is complete.

use serde::Serialize;

use super::Mirrors;
use crate::error::{Error, Result};
use crate::mirror::{SyncOptions, SyncReport, sync, sync_keys};
use crate::model::Place;
use crate::repository::{LAYOUT, Repository};
use crate::runtime::{Runtime, SystemClock};
use crate::storage::probe::{PROBE_FOLDER, Probe, Verdict, probe};
use crate::storage::{self, Location, PutMode, SharedStorage, Storage};

/// A mirror to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMirror {
    /// What people call it: up to 40 of `a-z`, `0-9`, `_` and `-`.
    pub name: String,
    /// Where it is, without secrets.
    pub location: String,
    /// Leaves the copying to a later [`Mirrors::sync`].
    pub no_sync: bool,
}

/// A mirror that was added.
#[derive(Clone, Debug, Serialize)]
pub struct AddedMirror {
    /// What people call it.
    pub name: String,
    /// Where it is.
    pub location: String,
    /// What its storage does.
    pub probe: Probe,
    /// What was copied, or (without a synchronisation) what is to be.
    pub sync: SyncReport,
}

impl Mirrors<'_> {
    /// Adds a mirror: its place is tried, filled, and written down.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name or place that is taken, the repository's own place, and one that
    /// is not fit for a repository or holds another one; [`Error::LocationNotEmpty`] for foreign
    /// files; the storages', and [`Error::Cancelled`].
    pub fn add(&self, new: &NewMirror, runtime: &Runtime) -> Result<AddedMirror> {
        let location = Location::parse(&new.location)?;
        let place = Place::mirror(&new.name, location.to_string());
        self.repository.places().add(place.clone())?;
        check_elsewhere(self.repository, &location)?;
        let target = self.open_new(&place, &location)?;
        // What it holds is looked at before anything is written there.
        let compared = SyncOptions { dry_run: true, ..SyncOptions::default() };
        let planned = sync(&*self.primary, &*target, &compared, runtime)?;
        self.check_apart(&*target, &location, runtime)?;
        let found = probe(&*target, &SystemClock, &runtime.random, &runtime.cancel)?;
        runtime.cancel.check()?;
        if found.verdict() == Verdict::Fails {
            let what = found.findings.iter().find(|finding| finding.verdict == Verdict::Fails);
            let what = what.map(|finding| finding.text.as_str()).unwrap_or_default();
            return Err(Error::usage_hint(
                format!("`{location}` is not fit for a repository: {what}"),
                format!("`larder repo probe {location}` tells more"),
            ));
        }
        let synced = match new.no_sync {
            true => planned,
            false => {
                self.keep_times(&[&target], runtime);
                let others = self.all().into_iter().filter_map(|other| self.connect(&other).ok());
                let options = SyncOptions { others: others.collect(), ..SyncOptions::default() };
                sync(&*self.primary, &*target, &options, runtime)?
            }
        };
        self.repository.add_place(&place, runtime)?;
        // From now on it is told from a place where nothing is, filled or not.
        sync_keys(&*self.primary, &*target, runtime)?;
        // The configuration that names it is to be everywhere.
        self.spread_keys(runtime);
        let Place { name, location, .. } = place;
        Ok(AddedMirror { name, location, probe: found, sync: synced })
    }

    /// Refuses a place that is one of the known ones in another spelling: what is written there
    /// can be read at the other. What cannot be written is the probe's to tell.
    fn check_apart(
        &self,
        target: &dyn Storage,
        location: &Location,
        runtime: &Runtime,
    ) -> Result<()> {
        let name = format!("{PROBE_FOLDER}/{:016x}-apart", runtime.random.next_u64());
        if target.put(&name, &[name.as_bytes()], PutMode::Content).is_err() {
            return Ok(());
        }
        let others = self.all().into_iter().filter_map(|other| self.connect(&other).ok());
        let is_known =
            self.primary.head(&name).is_ok() || others.into_iter().any(|o| o.head(&name).is_ok());
        // A place that refuses deletes keeps it, as it keeps what the probe writes.
        let _ = target.delete(&name);
        if is_known { Err(is_taken(&location.to_string())) } else { Ok(()) }
    }

    /// The storage of a place that may be new.
    pub(super) fn open_new(&self, place: &Place, location: &Location) -> Result<SharedStorage> {
        if location.as_path().is_some() {
            storage::create(location, LAYOUT)?;
        }
        self.connect(place)
    }
}

/// Refuses a place that is the repository's own, in it or around it.
pub(super) fn check_elsewhere(repository: &Repository, location: &Location) -> Result<()> {
    let shown = location.to_string();
    let is_around = |path| repository.contains_path(path) || repository.is_below(path);
    if shown == repository.location() || location.as_path().is_some_and(is_around) {
        return Err(is_taken(&shown));
    }
    Ok(())
}

fn is_taken(shown: &str) -> Error {
    Error::usage_hint(
        format!("`{shown}` is where the repository or a mirror of it is"),
        "a mirror is a place of its own, at best in another building",
    )
}
