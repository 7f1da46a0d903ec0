//! The mirrors of an open repository: how they are attached, and what is written down of what they
//! missed (SPEC.md, section 21).

use std::sync::Arc;

use super::object::{
    OBJECT_LEN_MAX, check_hash, check_header, hash_in_name, make_object, open_record, seal_kind,
};
use super::place::is_same_place;
use super::{OpenOptions, Repository};
use crate::crypto::Class;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::config::Config;
use crate::format::debt::{DebtRecord, NAMES_MAX};
use crate::format::header::{HEADER_LEN, ObjectType};
use crate::format::record::encode;
use crate::format::repo::RepoRecord;
use crate::model::BackupId;
use crate::storage::{
    MirrorReport, MirrorState, MirrorStorage, PutMode, SharedStorage, list_sorted,
};

const PREFIX: &str = "mirrors/debt-";

/// What a mirror missed, as somebody who has the keys wrote it down at the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debt {
    /// The object that says so. To be deleted when the mirror has caught up.
    pub object: String,
    /// The name of the mirror.
    pub mirror: String,
    /// When the run was, milliseconds since 1970.
    pub time_ms: i64,
    /// Why the mirror missed it.
    pub why: String,
    /// The snapshot that it does not have, if the run made one.
    pub snapshot: Option<BackupId>,
    /// What was deleted from the primary and not from the mirror, in order. To be deleted there
    /// once the mirror has everything else, unless the primary lists it.
    pub deletes: Vec<String>,
}

/// The storage of a repository with this configuration: with its mirrors, if it has any and they
/// are to be used.
pub(super) fn attach(
    primary: SharedStorage,
    config: &Config,
    options: &OpenOptions,
) -> (SharedStorage, Option<Arc<MirrorStorage>>) {
    let mut places = config.places();
    // A mirror that is used alone names itself.
    places.all.retain(|place| !is_same_place(&place.location, primary.location()));
    let is_used = options.places.is_some() && !options.without_mirrors;
    if !is_used || places.mirrors().next().is_none() {
        return (primary, None);
    }
    let repo_id = config.repo_id;
    let is_ours =
        move |bytes: &[u8]| RepoRecord::decode(bytes, "").is_ok_and(|repo| repo.repo_id == repo_id);
    let policy = options.mirror_policy.unwrap_or(places.policy);
    let mirrors = MirrorStorage::new(primary, &places, policy, options.places.beside(), is_ours);
    let mirrors = Arc::new(mirrors);
    (Arc::clone(&mirrors) as SharedStorage, Some(mirrors))
}

impl Repository {
    /// Its mirrors, if it has any and was opened with them.
    pub fn mirrors(&self) -> Option<&MirrorStorage> {
        self.mirrors.as_deref()
    }

    /// As [`Repository::mirrors`], for somebody who outlives it.
    pub fn shared_mirrors(&self) -> Option<Arc<MirrorStorage>> {
        self.mirrors.clone()
    }

    /// Its own place, without the mirrors.
    pub fn own_storage(&self) -> &SharedStorage {
        self.mirrors().map_or(&self.storage, MirrorStorage::primary)
    }

    /// The same repository with its own place alone: mirrors get nothing of what is written by it.
    pub fn without_mirrors(&self) -> Self {
        let mut alone = self.apart();
        if let Some(mirrors) = alone.mirrors.take() {
            alone.storage = Arc::clone(mirrors.primary());
        }
        alone
    }

    /// To be called when a run has ended: writes down what mirrors missed, and strikes out what
    /// they have made up for. Returns what became of them; the next run tries all of them again.
    ///
    /// What cannot be written down is left out with a warning in the log: a mirror then keeps
    /// objects that nobody needs, and a comparison shows what it lacks.
    pub fn settle_mirrors(&self, snapshot: Option<BackupId>, now_ms: i64) -> MirrorReport {
        let Some(mirrors) = self.mirrors() else { return MirrorReport::default() };
        let report = mirrors.report();
        let known = self.debts_named(&mirrors.debts_before());
        for mirror in &report.mirrors {
            let known = known.iter().filter(|debt| debt.mirror == mirror.name);
            let settled = if mirror.left.is_none() && mirror.missed_deletes.is_empty() {
                if mirror.is_complete { self.strike_out(known) } else { Ok(()) }
            } else {
                self.write_down(mirror, known.count(), snapshot, now_ms)
            };
            if let Err(error) = settled {
                tracing::warn!("debts of the mirror `{}`: {}", mirror.name, error.in_full());
            }
        }
        mirrors.end_run();
        report
    }

    /// Deletes what a mirror that is complete now has too much, and then the debts. What it refuses
    /// to delete stays there.
    fn strike_out<'d>(&self, debts: impl Iterator<Item = &'d Debt>) -> Result<()> {
        let Some(mirrors) = self.mirrors() else { return Ok(()) };
        for debt in debts {
            for name in debt.deletes.iter().filter(|name| !mirrors.is_listed(name)) {
                match mirrors.delete_on(&debt.mirror, name) {
                    Err(error) if error.kind == StorageErrorKind::Denied => {}
                    deleted => deleted?,
                }
            }
            self.storage.delete(&debt.object)?;
        }
        Ok(())
    }

    fn write_down(
        &self,
        mirror: &MirrorState,
        known: usize,
        snapshot: Option<BackupId>,
        now_ms: i64,
    ) -> Result<()> {
        let deletes = &mirror.missed_deletes;
        // That it is behind is known already.
        if known > 0 && deletes.is_empty() {
            return Ok(());
        }
        let why = mirror.left.clone().unwrap_or_else(|| "it does not delete".into());
        let chunks = deletes.chunks(NAMES_MAX).map(<[String]>::to_vec);
        let chunks = if deletes.is_empty() { vec![Vec::new()] } else { chunks.collect() };
        for deletes in chunks {
            let (mirror, why) = (mirror.name.clone(), why.clone());
            self.put_debt(&DebtRecord { time_ms: now_ms, mirror, why, snapshot, deletes })?;
        }
        Ok(())
    }

    fn put_debt(&self, debt: &DebtRecord) -> Result<()> {
        let (hash, object) = make_object(
            ObjectType::Debt,
            self.keys.suite,
            self.id,
            self.keys.current(Class::Control),
            &self.random,
            &encode(debt),
        );
        Ok(self.storage.put(&format!("{PREFIX}{hash}"), &[&object], PutMode::Content)?)
    }

    /// All that mirrors missed, oldest first. What cannot be read is left out, with a warning in
    /// the log.
    ///
    /// # Errors
    /// The storage's.
    pub fn debts(&self) -> Result<Vec<Debt>> {
        let listed = list_sorted(&*self.storage, "mirrors/")?;
        let names: Vec<String> = listed.into_iter().map(|meta| meta.name).collect();
        Ok(self.debts_named(&names))
    }

    fn debts_named(&self, names: &[String]) -> Vec<Debt> {
        let mut debts = Vec::new();
        for name in names.iter().filter(|name| name.starts_with(PREFIX)) {
            match self.load_debt(name) {
                Ok(debt) => debts.push(debt),
                Err(Error::Storage(e)) if e.kind == StorageErrorKind::Missing => {}
                Err(error) => tracing::warn!("a debt cannot be read: {}", error.in_full()),
            }
        }
        debts.sort_by(|a, b| (a.time_ms, &a.object).cmp(&(b.time_ms, &b.object)));
        debts
    }

    pub(super) fn load_debt(&self, name: &str) -> Result<Debt> {
        let object = self.storage.get(name, OBJECT_LEN_MAX)?;
        let hash = hash_in_name(name).ok_or_else(|| Error::damaged(name, "foreign name"))?;
        check_hash(&object, hash, name)?;
        let header = check_header(&object, name, self.id, self.keys.suite)?;
        if header.object_type != ObjectType::Debt {
            return Err(Error::damaged(name, "it is something else than its name says"));
        }
        let (head, sealed) = object.split_at(HEADER_LEN);
        let key = self.keys.of_epoch(Class::Control, header.epoch, name)?;
        let record = open_record(key, head, seal_kind(ObjectType::Debt), sealed, name)?;
        let DebtRecord { time_ms, mirror, why, snapshot, deletes } =
            DebtRecord::decode(&record, name)?;
        Ok(Debt { object: name.into(), mirror, time_ms, why, snapshot, deletes })
    }
}

/// Whoever forgot to settle.
impl Drop for Repository {
    fn drop(&mut self) {
        let missed = |mirrors: &MirrorStorage| {
            let report = mirrors.report();
            report.mirrors.iter().any(|mirror| mirror.left.is_some() || mirror.is_complete)
        };
        let is_last = !self.is_apart && !std::thread::panicking();
        if is_last && self.mirrors().is_some_and(missed) {
            self.settle_mirrors(None, crate::runtime::Clock::now_ms(&crate::runtime::SystemClock));
        }
    }
}
