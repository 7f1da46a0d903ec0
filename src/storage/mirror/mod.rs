//! A repository and its mirrors as one storage (SPEC.md, section 21).
//!
//! Every write goes to the primary and to all mirrors, in an order that leaves each mirror at any
//! moment as a crash could have left a repository: packs at the same time everywhere; whatever
//! rests on others first to the primary and then to the mirrors, and only to those that have all
//! it rests on. A mirror that fails is left alone for the rest of the run.
//!
//! What there is, is a question to the primary alone, and so is what writers tell each other
//! (`sessions/`, `gc/`). Reads fall back on mirrors, object by object.
//!
//! * `gate`: whether a mirror is complete, before something is written that rests on other things.
//! * `heads`: whether a mirror has records that the primary knows nothing of.
//! * `read`: reading from wherever the bytes are good.
//! * `seen`: what the primary has; `link`: one mirror; `kind`: what depends on what.
//!
//! Not here: bringing a mirror up to date that is far behind, and repairing copies (`mirror`).

mod gate;
mod heads;
mod kind;
mod link;
mod read;
mod report;
mod seen;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub use heads::Heads;
pub use link::is_begun;
pub use report::{MirrorReport, MirrorState, ReadElsewhere};

use self::kind::{Kind, Level};
use self::link::{IsOurs, Link, in_full};
use self::read::Elsewhere;
use self::seen::Seen;
use super::failure::failure;
use super::hand_on::hand_on;
use super::{Connector, ObjectMeta, PutMode, SharedStorage, Storage};
use crate::error::{Explained, StorageError, StorageErrorKind};
use crate::model::{MirrorPolicy, Places};

/// Why a mirror is left alone under the policy that leaves it for later.
pub(crate) const AFTER_RUN: &str = "it is written after the run";

/// A mirror that lacks more bytes than this is left to a synchronisation: no commit waits for it.
const CATCH_UP_BYTES: u64 = 256 << 20;
/// The same in objects.
const CATCH_UP_OBJECTS: usize = 10_000;

/// A primary and its mirrors.
pub struct MirrorStorage {
    primary: SharedStorage,
    links: Vec<Link>,
    policy: MirrorPolicy,
    connector: Connector,
    is_ours: Box<IsOurs>,
    seen: Mutex<Seen>,
    /// Records that the primary's records know.
    heads: Mutex<Heads>,
    /// Held while mirrors are compared.
    gating: Mutex<()>,
    elsewhere: Mutex<Elsewhere>,
    missed_runs: Mutex<Vec<MirrorState>>,
    /// Until when the primary is not asked first, because it did not answer.
    away_until: Mutex<Option<Instant>>,
    catch_up_bytes: u64,
}

impl MirrorStorage {
    /// `primary` and the mirrors among `places`, which are reached by `connector` when they are
    /// first needed. `is_ours` tells by the bytes of the object `repo` whether a place holds this
    /// repository.
    pub fn new(
        primary: SharedStorage,
        places: &Places,
        policy: MirrorPolicy,
        connector: Connector,
        is_ours: impl Fn(&[u8]) -> bool + Send + Sync + 'static,
    ) -> Self {
        let links = places.mirrors().map(|place| Link::new(&place.name, &place.location)).collect();
        Self {
            primary,
            links,
            policy,
            connector,
            is_ours: Box::new(is_ours),
            seen: Mutex::default(),
            heads: Mutex::default(),
            gating: Mutex::default(),
            elsewhere: Mutex::default(),
            missed_runs: Mutex::default(),
            away_until: Mutex::default(),
            catch_up_bytes: CATCH_UP_BYTES,
        }
    }

    /// The primary alone.
    pub fn primary(&self) -> &SharedStorage {
        &self.primary
    }

    /// What commits ask of mirrors.
    pub fn policy(&self) -> MirrorPolicy {
        self.policy
    }

    /// What became of the mirrors since the last run ended.
    pub fn report(&self) -> MirrorReport {
        let mirrors = self.links.iter().map(|link| {
            let state = link.state.lock();
            MirrorState {
                name: link.name.clone(),
                location: link.location.clone(),
                left: state.left.clone(),
                is_behind: state.left.is_some() && state.is_behind,
                is_newer: state.is_newer,
                is_complete: state.complete == Some(Level::All)
                    && state.unsure.is_empty()
                    && state.left.is_none(),
                caught_up: state.caught_up,
                missed_deletes: state.missed.clone(),
            }
        });
        let elsewhere = self.elsewhere.lock();
        MirrorReport {
            policy: self.policy,
            mirrors: mirrors.collect(),
            elsewhere: elsewhere.first.clone(),
            elsewhere_count: elsewhere.count(),
        }
    }

    /// Debts (SPEC.md, section 21) that the primary had when this run began to write: of a mirror
    /// that is complete at its end, they are paid.
    pub fn debts_before(&self) -> Vec<String> {
        self.seen.lock().debts.clone()
    }

    /// Whether the primary had this object when it was listed last in this run, or got it since.
    pub fn is_listed(&self, name: &str) -> bool {
        self.seen.lock().has(name)
    }

    /// The name of a mirror that has one of these objects, which the primary lacks.
    pub fn mirror_with(&self, names: impl Iterator<Item = String>) -> Option<String> {
        let names: Vec<String> = names.collect();
        let has = |link: &&Link| {
            let reached = link.connect(&self.connector, &self.is_ours);
            reached.is_ok_and(|storage| names.iter().any(|name| storage.head(name).is_ok()))
        };
        self.links.iter().filter(|_| !names.is_empty()).find(has).map(|link| link.name.clone())
    }

    /// Deletes an object from one mirror that is complete, and from nowhere else.
    ///
    /// # Errors
    /// The mirror's.
    pub fn delete_on(&self, mirror: &str, name: &str) -> Result<(), StorageError> {
        let link = self.links.iter().find(|link| link.name == mirror && !link.is_left());
        match link.and_then(Link::connected) {
            Some(storage) => storage.delete(name),
            None => Ok(()),
        }
    }

    /// Notes names of records that the primary's records know. A mirror with a record that came
    /// after them gets nothing: what it alone needs would be deleted there.
    pub fn note_heads(&self, names: &[String]) {
        self.heads.lock().extend(names);
    }

    /// The mirrors that missed a run which is over, each once.
    pub fn missed_runs(&self) -> Vec<MirrorState> {
        self.missed_runs.lock().clone()
    }

    /// A mirror that had missed a run was synchronised since, or that was tried.
    pub fn synchronised(&self, mirror: &MirrorState) {
        let mut all = self.missed_runs.lock();
        all.retain(|other| other.name != mirror.name);
        if mirror.left.is_some() {
            all.push(mirror.clone());
        }
    }

    /// A run is over: the next one tries all mirrors again, and trusts no listing of this one.
    pub fn end_run(&self) {
        let _gate = self.gating.lock();
        {
            let mut all = self.missed_runs.lock();
            for missed in self.report().missed() {
                all.retain(|other| other.name != missed.name);
                all.push(missed.clone());
            }
        }
        *self.seen.lock() = Seen::default();
        for link in &self.links {
            *link.state.lock() = Default::default();
            link.forget_failure();
        }
    }

    /// What is listed from now on is what mirrors are compared with.
    fn begin_writing(&self) {
        {
            let mut seen = self.seen.lock();
            if std::mem::replace(&mut seen.has_begun, true) {
                return;
            }
            seen.is_writing = self.policy != MirrorPolicy::Async;
        }
        let mut debts = Vec::new();
        match self.primary.list("mirrors/", &mut |meta| debts.push(meta.name)) {
            Ok(()) => self.seen.lock().debts = debts,
            Err(error) => tracing::warn!("debts of mirrors cannot be listed: {error}"),
        }
    }

    /// The mirrors that this run still writes to.
    fn usable(&self) -> impl Iterator<Item = &Link> {
        if self.policy == MirrorPolicy::Async {
            for link in &self.links {
                let mut state = link.state.lock();
                state.is_used = true;
                if state.left.is_none() {
                    state.is_behind = true;
                    state.left = Some(AFTER_RUN.into());
                }
            }
        }
        self.links.iter().filter(|link| !link.is_left())
    }

    /// Does the same on every mirror that is still written to, at the same time. One that fails is
    /// left alone.
    fn on_mirrors(&self, work: impl Fn(&Link, &dyn Storage) -> Result<(), StorageError> + Sync) {
        let links: Vec<&Link> = self.usable().collect();
        let on_link = |link: &Link| {
            link.state.lock().is_used = true;
            match link.connect(&self.connector, &self.is_ours) {
                Ok(storage) => {
                    work(link, &**storage).unwrap_or_else(|error| link.leave(in_full(error)))
                }
                Err(why) => link.leave(why),
            }
        };
        std::thread::scope(|scope| {
            let on_link = &on_link;
            for link in links.iter().skip(1) {
                scope.spawn(move || on_link(link));
            }
            if let Some(link) = links.first() {
                on_link(link);
            }
        });
    }

    /// The primary and all mirrors at the same time: for what nothing relies on yet.
    fn put_everywhere(
        &self,
        name: &str,
        parts: &[&[u8]],
        mode: PutMode,
    ) -> Result<(), StorageError> {
        std::thread::scope(|scope| {
            let mirrors =
                scope.spawn(|| self.on_mirrors(|_, storage| storage.put(name, parts, mode)));
            let put = self.primary.put(name, parts, mode);
            if let Err(panic) = mirrors.join() {
                std::panic::resume_unwind(panic);
            }
            put
        })
    }

    /// Under the policy that asks for it, fails unless more than half of all copies can take part
    /// in a commit.
    fn check_quorum(&self, name: &str) -> Result<(), StorageError> {
        let copies = self.links.len() + 1;
        let (usable, needed) = (self.usable().count() + 1, copies / 2 + 1);
        if self.policy != MirrorPolicy::Quorum || usable >= needed {
            return Ok(());
        }
        let missed = Explained {
            text: format!("only {usable} of {copies} copies can take it, {needed} are asked for"),
            hint: Some(
                "`larder mirror list` says what is wrong with the mirrors, `larder mirror sync` \
                 brings them up to date; `--mirror-policy all` commits without them"
                    .into(),
            ),
        };
        Err(failure(self.location(), "write", name, StorageErrorKind::Permanent, missed))
    }
}

impl Storage for MirrorStorage {
    hand_on!(primary: location, head, concurrency, warning, object_lock, archive);

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        self.begin_writing();
        let kind = Kind::of(name);
        if kind == Kind::Primary {
            return self.primary.put(name, parts, mode);
        }
        match Level::of(kind) {
            None => self.put_everywhere(name, parts, mode)?,
            Some(level) => {
                self.gate(level);
                if kind == Kind::Records {
                    self.check_quorum(name)?;
                }
                self.primary.put(name, parts, mode)?;
                self.on_mirrors(|_, storage| storage.put(name, parts, mode));
            }
        }
        let len = parts.iter().map(|part| part.len() as u64).sum();
        self.seen.lock().add(&ObjectMeta { name: name.into(), len, modified_ms: None });
        Ok(())
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        self.get_somewhere(name, len_max)
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        self.get_range_somewhere(name, offset, buf)
    }

    fn copies(&self) -> usize {
        self.links.len() + 1
    }

    fn get_range_of(
        &self,
        copy: usize,
        name: &str,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), StorageError> {
        self.get_range_at(copy, name, offset, buf)
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        self.list_primary(prefix, found)
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.begin_writing();
        let kind = Kind::of(name);
        if kind == Kind::Primary {
            return self.primary.delete(name);
        }
        // What rests on this object must be gone from the mirror, as it is from the primary.
        self.gate(if kind == Kind::Keys { Level::Keys } else { Level::All });
        self.primary.delete(name)?;
        self.seen.lock().remove(name);
        for link in &self.links {
            link.state.lock().unsure.remove(name);
        }
        self.on_mirrors(|link, storage| match storage.delete(name) {
            // A mirror that keeps everything is not one that failed.
            Err(error) if error.kind == StorageErrorKind::Denied => {
                link.state.lock().missed.push(name.into());
                Ok(())
            }
            result => result,
        });
        for link in self.links.iter().filter(|link| link.is_left()) {
            link.state.lock().missed.push(name.into());
        }
        Ok(())
    }

    fn clean_unfinished(&self, age: Duration) -> Result<u64, StorageError> {
        let mut cleaned = self.primary.clean_unfinished(age)?;
        for storage in self.links.iter().filter_map(Link::connected) {
            cleaned += storage.clean_unfinished(age).unwrap_or(0);
        }
        Ok(cleaned)
    }
}
