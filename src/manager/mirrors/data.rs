//! Moves the packs of data of a repository to another place (SPEC.md, section 22).
//!
//! A writer that was opened before would still write to the old one. It announces itself, and looks
//! then where the data is; here the configuration is changed, and then announcements are looked
//! for: so one of the two sees the other.

use std::sync::Arc;

use serde::Serialize;

use super::Mirrors;
use super::add::check_elsewhere;
use crate::error::{Error, Result};
use crate::manager::jobs::is_done;
use crate::mirror::{Count, SyncOptions, repository_at, sync, sync_keys};
use crate::model::{Place, PlaceRole, Places, without_data_place};
use crate::repository::{Repository, SeenLease};
use crate::runtime::Runtime;
use crate::storage::{Location, SharedStorage, Storage};

const HOUR_MS: i64 = 3_600_000;
/// A session that gave no sign for so long counts as over, as a prune sees it.
const SILENCE_MS: i64 = 12 * HOUR_MS;
/// A prune that gave no sign for so long is not at work any more.
const LEASE_MS: i64 = HOUR_MS / 2;

/// Data that was moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MovedData {
    /// Where it was, and still is: nothing is deleted there.
    pub from: String,
    /// Where it is from now on.
    pub to: String,
    /// What was copied.
    pub copied: Count,
}

impl Mirrors<'_> {
    /// Copies all that is at the place of the repository's data to another place, and writes down
    /// that the data is there. If the repository was opened with its data at that very place
    /// ([`OpenOptions::data_location`](crate::repository::OpenOptions::data_location)), nothing is
    /// copied and the old place is not looked at: all packs have to be there.
    ///
    /// # Errors
    /// [`Error::Usage`] if the data is with the repository, or the place is one of its own or that
    /// of another repository; [`Error::Busy`] if somebody writes or prunes; [`Error::Refused`] if
    /// the new place does not have all; the storages', and [`Error::Cancelled`]. Nothing has
    /// changed then, unless the error says so.
    pub fn move_data(&self, to: &Location, runtime: &Runtime) -> Result<MovedData> {
        let split = self.repository.split().ok_or_else(without_data_place)?;
        let shown = to.to_string();
        let places = self.repository.places();
        let from = places.data().map(|place| place.location.clone()).unwrap_or_default();
        places.clone().move_data(&shown)?;
        check_elsewhere(self.repository, to)?;
        let is_brought = split.cold().location() == shown;
        let target = match is_brought {
            true => Arc::clone(split.cold()),
            false => {
                let (role, name) = (PlaceRole::Data, "data".into());
                self.open_new(&Place { role, name, location: shown.clone() }, to)?
            }
        };
        check_is_ours(self.repository, &*target)?;
        let mut copied = Count::default();
        let mut copy = || match is_brought {
            true => Ok(()),
            false => self.copy_data(split.cold(), &target, &mut copied, runtime),
        };
        copy()?;
        check_idle(self.repository, runtime)?;
        // What runs wrote while the first copy was made.
        copy()?;
        check_complete(self.repository, &*target)?;

        let mut change = |places: &mut Places| match places.data() {
            // A second attempt may find what the first one put.
            Some(place) if place.location == shown => Ok(()),
            _ => places.move_data(&shown),
        };
        self.repository.set_places(&mut change, runtime)?;
        match is_brought {
            true => self.repository.complete_split().map(drop)?,
            false => sync_keys(&**split.hot(), &*target, runtime)?,
        }
        self.spread_keys(runtime);
        check_idle(self.repository, runtime).map_err(|busy| Error::Refused {
            what: format!("the data is at `{shown}` now, but meanwhile a run began: {busy}"),
            hint: format!(
                "what it writes goes to the old place: when it has ended, \
                 `larder mirror sync --from {from} --to {shown}`"
            ),
        })?;
        copy()?;
        Ok(MovedData { from, to: shown, copied })
    }

    fn copy_data(
        &self,
        from: &SharedStorage,
        to: &SharedStorage,
        copied: &mut Count,
        runtime: &Runtime,
    ) -> Result<()> {
        let others = self.all().into_iter().filter_map(|other| self.connect(&other).ok());
        let options = SyncOptions { others: others.collect(), ..SyncOptions::default() };
        let report = sync(&**from, &**to, &options, runtime)?;
        copied.objects += report.copied.objects;
        copied.bytes += report.copied.bytes;
        match report.bad.first() {
            None => Ok(()),
            Some(first) => Err(Error::Refused {
                what: format!(
                    "{} objects cannot be copied, `{}` among them: {}",
                    report.bad.len(),
                    first.name,
                    first.what
                ),
                hint: "`larder heal` takes them from a mirror, `larder repair` saves what is left"
                    .into(),
            }),
        }
    }
}

fn check_is_ours(repository: &Repository, place: &dyn Storage) -> Result<()> {
    match repository_at(place) {
        Ok(id) if id != repository.id() => Err(Error::usage_hint(
            format!("another repository is at `{}`", place.location()),
            "give an empty place, or one that has the data of this repository",
        )),
        Ok(_) | Err(Error::RepositoryMissing { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Refuses as long as somebody writes to the repository.
fn check_idle(repository: &Repository, runtime: &Runtime) -> Result<()> {
    let now_ms = runtime.clock.now_ms();
    let is_over = |seen_ms: Option<i64>, limit_ms: i64| {
        seen_ms.is_some_and(|seen_ms| now_ms.saturating_sub(seen_ms) > limit_ms)
    };
    let (sessions, bad) = repository.load_sessions()?;
    if let Some(error) = bad.into_iter().next() {
        return Err(error);
    }
    let open = |session: &&_| {
        let session: &crate::repository::SeenSession = session;
        !session.ended && !is_over(session.newest_ms, SILENCE_MS)
    };
    let leases = repository.load_gc()?.leases;
    let is_at_work = |lease: &&SeenLease| {
        !is_done(&lease.lease.purpose) && !is_over(lease.modified_ms, LEASE_MS)
    };
    let prune = leases.iter().find(is_at_work);
    let prune = prune.map(|lease| format!("{} on {}", lease.lease.purpose, lease.lease.host));
    match sessions.iter().find(open).map(|session| session.describe()).or(prune) {
        None => Ok(()),
        Some(who) => Err(Error::Busy {
            what: format!(
                "somebody is at work on the repository: {who} (one that died counts as over 12 \
                 hours after its last sign)"
            ),
        }),
    }
}

/// Refuses a place that does not have all packs of data.
fn check_complete(repository: &Repository, place: &dyn Storage) -> Result<()> {
    if let Some(error) = repository.load_index()?.into_iter().next() {
        return Err(error);
    }
    match repository.data_lacking_at(place)? {
        None => Ok(()),
        Some((count, first)) => Err(Error::Refused {
            what: format!(
                "`{}` lacks {count} packs of data, `{first}` among them; nothing was changed",
                place.location()
            ),
            hint: "copy all that is at the old place, or leave out `--no-copy`".into(),
        }),
    }
}
