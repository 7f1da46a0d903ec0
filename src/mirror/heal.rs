//! Puts right what is damaged or missing at one place, from any place that has it whole.
//!
//! Every object of every place is read and compared with its name (or, in a quick run, only those
//! whose lengths differ). What is bad is replaced by bytes that proved themselves, and read back and
//! proved once more. A replacement takes the place of the old bytes in one step, so whatever ends it,
//! nothing that could be read before cannot be read after.
//!
//! What the primary lacks comes back only if it is known to be needed: packs that the index names,
//! index objects that name packs which its own index does not, records that others name (once the
//! roots of their snapshots are there), and whole folders of which nothing at all is left (there is always a
//! key slot, a keyring, a configuration, a record). Anything else that a mirror has too much may
//! have been deleted on purpose. Mirrors are then made complete by [`sync()`](super::sync()).

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use serde::Serialize;

use super::contents::{Contents, REPO_LEN_MAX, check_is_of, identity, repository_at};
use super::examine::examine;
use super::fetch::{Read, read};
use super::needed::Needed;
use super::object::Kind;
use super::report::{BadObject, Count};
use super::scrub::repo_flaw;
use super::sync::{SyncOptions, SyncReport, sync};
use super::work::{Budget, for_each, threads};
use crate::error::{Error, Result};
use crate::model::RepoId;
use crate::runtime::{Phase, Runtime};
use crate::storage::{PutMode, SharedStorage};

/// Folders that are never empty in a repository, or not while there is a pack.
const NEVER_EMPTY: [&str; 5] = ["keys/", "keyring/", "config/", "index/", "snapshots/"];

/// How a heal behaves.
#[derive(Clone, Debug, Default)]
pub struct HealOptions {
    /// Only says what would be done.
    pub dry_run: bool,
    /// Reads only objects whose lengths differ between the places.
    pub quick: bool,
    /// What must be there, for who has a key.
    pub needed: Needed,
}

/// An object that was put right, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Healed {
    /// Its name.
    pub name: String,
    /// Where it was bad.
    pub location: String,
    /// What was wrong with it.
    pub what: String,
    /// The location that had it whole.
    pub from: String,
}

/// What a heal found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HealReport {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// What was read to be compared with its name, at all places.
    pub read: Count,
    /// Objects that were put right, each read back and proved.
    pub healed: Vec<Healed>,
    /// Objects that are still bad, and why.
    pub left: Vec<BadObject>,
    /// How the mirrors were made complete.
    pub synced: Vec<SyncReport>,
    /// Places that could not be asked: location and reason.
    pub unreachable: Vec<(String, String)>,
}

impl HealReport {
    /// Whether every place that was asked is whole now.
    pub fn is_whole(&self) -> bool {
        self.left.is_empty()
            && self.unreachable.is_empty()
            && (!self.dry_run || self.healed.is_empty())
            && self.synced.iter().all(SyncReport::is_complete)
    }
}

/// Heals the repository at the first of `places` and its mirrors at the others. Needs no key.
///
/// # Errors
/// [`Error::Usage`] if a place holds another repository, the storage's of the first place, and
/// [`Error::Cancelled`]. Damage that is left is no error: it is in the report.
pub fn heal(
    places: &[SharedStorage],
    options: &HealOptions,
    runtime: &Runtime,
) -> Result<HealReport> {
    let mut report = HealReport { dry_run: options.dry_run, ..HealReport::default() };
    runtime.progress.phase(Phase::Comparing);
    let mut reached = Vec::new();
    for (number, storage) in places.iter().enumerate() {
        match Contents::list(&**storage) {
            Ok(contents) => reached.push(Reached { storage: storage.clone(), contents }),
            Err(error) if number == 0 => return Err(error),
            Err(error) => {
                report.unreachable.push((storage.location().to_owned(), error.in_full()));
            }
        }
    }
    let repo_id = id_of(&reached)?;
    for place in &reached {
        check_is_of(&*place.storage, &place.contents, repo_id, &*reached[0].storage)?;
    }
    let mut healer = Healer { places: reached, repo_id, options, runtime, bad: BTreeMap::new() };
    healer.find_bad(&mut report)?;
    healer.find_missing(&mut report)?;
    healer.put_right(&mut report)?;
    healer.complete(&mut report)?;
    report.left.sort_unstable();
    Ok(report)
}

/// Which repository this is: what the first place says that can.
fn id_of(places: &[Reached]) -> Result<RepoId> {
    for place in places {
        if let Some(id) = identity(&*place.storage, &place.contents)? {
            return Ok(id);
        }
    }
    let location = places.first().map(|place| place.storage.location().to_owned());
    Err(Error::RepositoryMissing { location: location.unwrap_or_default() })
}

struct Reached {
    storage: SharedStorage,
    contents: Contents,
}

/// The places where an object is bad, and what is wrong there.
type BadAt = BTreeMap<usize, String>;

struct Healer<'a> {
    places: Vec<Reached>,
    repo_id: RepoId,
    options: &'a HealOptions,
    runtime: &'a Runtime,
    /// By name.
    bad: BTreeMap<String, BadAt>,
}

impl Healer<'_> {
    fn find_bad(&mut self, report: &mut HealReport) -> Result<()> {
        let all: Vec<Vec<(String, u64)>> =
            (0..self.places.len()).map(|number| self.suspects(number)).collect();
        self.runtime.progress.phase(Phase::CheckingData);
        let objects = || all.iter().flatten();
        let bytes = objects().map(|(_, len)| len).sum();
        self.runtime.progress.expect(objects().count() as u64, bytes);
        self.runtime.progress.expect_no_more();
        for (number, suspects) in all.into_iter().enumerate() {
            let storage = self.places[number].storage.clone();
            let examined = examine(&*storage, &suspects, self.repo_id, self.runtime)?;
            report.read.objects += examined.read.objects;
            report.read.bytes += examined.read.bytes;
            for bad in examined.bad {
                self.note(bad.name, number, bad.what);
            }
            // A mirror without one was never complete: it is the last that a sync puts there.
            let has_one = number == 0 || self.places[number].contents.has_repo();
            let flaw = if has_one { repo_flaw(&*storage, self.repo_id)? } else { None };
            if let Some(what) = flaw {
                self.note("repo".into(), number, what);
            }
        }
        Ok(())
    }

    fn note(&mut self, name: String, place: usize, what: String) {
        self.bad.entry(name).or_default().entry(place).or_insert(what);
    }

    /// What is to be read of a place.
    fn suspects(&self, number: usize) -> Vec<(String, u64)> {
        let own = &self.places[number].contents;
        let differs = |name: &str, len: u64| {
            let needed = match Kind::of(name) {
                Kind::Pack(pack_type, hash) => self.options.needed.len_of(pack_type, &hash),
                _ => None,
            };
            let others = self.places.iter().filter_map(|place| place.contents.len_of(name));
            others.chain(needed).any(|other| other != len)
        };
        own.names().filter(|(name, len)| !self.options.quick || differs(name, *len)).collect()
    }

    /// What the first place lacks although it must be there.
    fn find_missing(&mut self, report: &mut HealReport) -> Result<()> {
        let primary = &self.places[0].contents;
        let mut missing = BTreeSet::new();
        for (name, _) in self.options.needed.packs() {
            if primary.len_of(&name).is_none() {
                missing.insert(name);
            }
        }
        let is_empty = |folder: &str| !primary.others.keys().any(|name| name.starts_with(folder));
        let empty: Vec<&str> = NEVER_EMPTY.into_iter().filter(|folder| is_empty(folder)).collect();
        for place in &self.places[1..] {
            for name in place.contents.others.keys() {
                let comes_back = empty.iter().any(|folder| name.starts_with(folder))
                    || self.options.needed.has_record(name)
                    || self.options.needed.has_index_object(name);
                let is_held = self.options.needed.holds(name);
                if comes_back && !is_held && primary.len_of(name).is_none() {
                    missing.insert(name.clone());
                }
            }
        }
        for name in missing {
            if self.places.iter().skip(1).any(|place| place.contents.len_of(&name).is_some()) {
                self.note(name, 0, "it is missing".into());
            } else {
                let location = self.places[0].storage.location();
                report.left.push(BadObject::new(&name, location, "it is missing everywhere"));
            }
        }
        Ok(())
    }

    /// Replaces what is bad, in an order that is safe for what was missing: records last.
    fn put_right(&mut self, report: &mut HealReport) -> Result<()> {
        self.runtime.progress.phase(Phase::Healing);
        let bytes = self.bad.keys().filter_map(|name| self.places[0].contents.len_of(name)).sum();
        self.runtime.progress.expect(self.bad.len() as u64, bytes);
        let mut steps: BTreeMap<u8, Vec<(String, BadAt)>> = BTreeMap::new();
        for (name, at) in std::mem::take(&mut self.bad) {
            steps.entry(step_of(Kind::of(&name))).or_default().push((name, at));
        }
        let budget = Budget::default();
        let done = Mutex::new((Vec::new(), Vec::new()));
        let all = threads(self.places.iter().map(|place| &*place.storage));
        for bad in steps.into_values() {
            for_each(&bad, all, &self.runtime.cancel, |(name, at)| {
                let mut one = self.put_right_one(name, at, &budget)?;
                let mut done = done.lock();
                done.0.append(&mut one.0);
                done.1.append(&mut one.1);
                self.runtime.progress.done(1, 0);
                Ok(())
            })?;
        }
        let (mut healed, left) = done.into_inner();
        healed.sort_unstable_by(|a, b| (&a.name, &a.location).cmp(&(&b.name, &b.location)));
        report.healed = healed;
        report.left.extend(left);
        Ok(())
    }

    /// Puts one object right wherever it is bad.
    fn put_right_one(
        &self,
        name: &str,
        bad_at: &BadAt,
        budget: &Budget,
    ) -> Result<(Vec<Healed>, Vec<BadObject>)> {
        let (mut healed, mut left) = (Vec::new(), Vec::new());
        let located = |number: usize| self.places[number].storage.location();
        let Some((from, bytes)) = self.whole_copy(name, bad_at, budget) else {
            let left = bad_at.iter().map(|(number, what)| {
                let what = format!("{what}, and no place has it whole");
                BadObject::new(name, located(*number), what)
            });
            return Ok((healed, left.collect()));
        };
        for (number, what) in bad_at {
            match self.replace(name, &bytes, *number) {
                Ok(()) => healed.push(Healed {
                    name: name.to_owned(),
                    location: located(*number).to_owned(),
                    what: what.clone(),
                    from: located(from).to_owned(),
                }),
                Err(error @ Error::Cancelled { .. }) => return Err(error),
                Err(error) => {
                    let what = format!("{what}, and it could not be replaced: {}", error.in_full());
                    left.push(BadObject::new(name, located(*number), what));
                }
            }
        }
        Ok((healed, left))
    }

    /// The bytes of an object from a place that is not known to have it bad.
    fn whole_copy(&self, name: &str, bad_at: &BadAt, budget: &Budget) -> Option<(usize, Vec<u8>)> {
        let others =
            self.places.iter().enumerate().filter(|(number, _)| !bad_at.contains_key(number));
        for (number, place) in others {
            let listed = place.contents.len_of(name);
            let Some(len) = listed.map(|len| if name == "repo" { REPO_LEN_MAX } else { len })
            else {
                continue;
            };
            let _held = budget.take(len);
            match read(&*place.storage, name, len, self.repo_id) {
                Ok(Read::Whole(bytes)) => return Some((number, bytes)),
                Ok(_) => {}
                Err(error) => tracing::warn!(name, "a copy could not be asked: {error}"),
            }
        }
        None
    }

    /// Puts bytes that proved themselves in the place of bad ones, and proves what is there then.
    fn replace(&self, name: &str, bytes: &[u8], number: usize) -> Result<()> {
        if self.options.dry_run {
            return Ok(());
        }
        self.runtime.cancel.check()?;
        let storage = &*self.places[number].storage;
        storage.put(name, &[bytes], PutMode::Replace)?;
        match read(storage, name, bytes.len() as u64, self.repo_id)? {
            Read::Whole(_) => {}
            Read::Missing => return Err(Error::damaged(name, "it is not there after the write")),
            Read::Bad(what) => return Err(Error::damaged(name, what)),
        }
        self.runtime.progress.transferred(bytes.len() as u64);
        self.runtime.progress.detail("healed", name.as_bytes());
        Ok(())
    }

    /// Copies to the mirrors what they lack.
    fn complete(&self, report: &mut HealReport) -> Result<()> {
        // Without a signpost nothing is copied from the first place.
        if self.options.dry_run && repository_at(&*self.places[0].storage).is_err() {
            return Ok(());
        }
        for (number, place) in self.places.iter().enumerate().skip(1) {
            let is_other = |other: &usize| *other != 0 && *other != number;
            let others = (0..self.places.len()).filter(is_other);
            let options = SyncOptions {
                dry_run: self.options.dry_run,
                others: others.map(|other| self.places[other].storage.clone()).collect(),
                ..SyncOptions::default()
            };
            match sync(&*self.places[0].storage, &*place.storage, &options, self.runtime) {
                Ok(synced) => report.synced.push(synced),
                Err(error @ Error::Cancelled { .. }) => return Err(error),
                Err(error) => {
                    let location = place.storage.location().to_owned();
                    report.unreachable.push((location, error.in_full()));
                }
            }
        }
        Ok(())
    }
}

/// When an object comes back, if it was missing: what names others comes after them.
fn step_of(kind: Kind) -> u8 {
    match kind {
        Kind::Key | Kind::Keyring | Kind::Config => 0,
        Kind::Pack(..) => 1,
        Kind::Index => 2,
        Kind::Record => 3,
        Kind::Repo | Kind::Passing | Kind::Foreign => 4,
    }
}
