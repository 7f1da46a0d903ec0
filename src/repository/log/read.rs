//! Fetches the records of the log.

use std::collections::{HashMap, HashSet};

use super::cached::{CachedRecords, StoredRecords};
use super::chains::{Breach, Chains};
use super::list::SnapshotList;
use super::{name_of, record_name, standing};
use crate::crypto::Class;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::header::{HEADER_LEN, ObjectType};
use crate::format::log::{AboutBody, CheckpointBody, Head, LogKind, LogRecord, SnapshotBody};
use crate::format::record::{decode, names32};
use crate::model::{ClientId, ObjectHash, SessionId};
use crate::repository::Repository;
use crate::repository::object::{
    OBJECT_LEN_MAX, check_hash, check_header, hash_in_name, open_record, seal_kind,
};
use crate::storage::{ObjectMeta, Storage, in_parallel, list_sorted};

/// How often records are fetched that only others name: each round finds what those of the round
/// before name.
const ROUNDS_MAX: usize = 64;

/// How often the log is listed because records vanished since they were listed.
const LISTINGS_MAX: usize = 4;

/// For so many missing records in a row, mirrors are asked whether they have them.
const ASKED_MAX: usize = 16;

/// One record of the log.
#[derive(Clone, Debug)]
pub struct Record {
    /// Name of the stored object.
    pub name: String,
    /// Its hash.
    pub hash: ObjectHash,
    /// Its length in bytes, as stored.
    pub len: u64,
    /// Storage's time of it.
    pub storage_ms: Option<i64>,
    /// The outer part; its body is in `says`.
    pub outer: LogRecord,
    /// What it says.
    pub says: Says,
}

/// What a record says.
#[derive(Clone, Debug)]
pub enum Says {
    /// A backup was finished. `None` once the body has moved to the list of snapshots.
    Snapshot(Option<Box<SnapshotBody>>),
    /// Something about snapshots.
    About {
        /// What: forget, undelete, pin, unpin, clear or quarantine.
        kind: LogKind,
        /// The records of those snapshots.
        records: Vec<ObjectHash>,
        /// Why.
        reason: String,
    },
    /// What may be missing, and what must be there.
    Checkpoint(CheckpointBody),
    /// A note, or something of a newer version.
    Other,
}

impl Record {
    /// Who wrote it.
    pub fn client_id(&self) -> ClientId {
        self.outer.client_id
    }

    /// Its number in the client's chain.
    pub fn seq(&self) -> u64 {
        self.outer.client_seq
    }

    /// It as a head.
    pub(super) fn head(&self) -> Head {
        Head { client_id: self.client_id(), seq: self.seq(), record: self.hash }
    }

    /// Whether its author knew record `seq` of a client: by having written a later one, or by
    /// naming it or a later one.
    pub fn knows(&self, client_id: ClientId, seq: u64) -> bool {
        if self.outer.client_id == client_id {
            return seq < self.outer.client_seq;
        }
        self.outer.heads.iter().any(|head| head.client_id == client_id && head.seq >= seq)
    }

    /// Whether its author knew the other record.
    pub fn knows_record(&self, other: &Self) -> bool {
        self.knows(other.client_id(), other.seq())
    }
}

/// A record that is there and cannot be used.
pub(super) struct Unreadable {
    pub(super) meta: ObjectMeta,
    pub(super) hash: ObjectHash,
    pub(super) error: Error,
}

/// All records that were found.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) records: Vec<Record>,
    pub(super) unreadable: Vec<Unreadable>,
    /// Objects below `snapshots/` that have no name of a record.
    pub(super) foreign: Vec<Error>,
    /// What this machine has read before.
    pub(super) cached: CachedRecords,
}

impl Repository {
    /// Reads all log records, and says what holds of each snapshot. What this machine remembers
    /// of the log is compared with it and brought up to date.
    ///
    /// # Errors
    /// The storage's. Damaged records are in [`SnapshotList::bad`].
    pub fn snapshots(&self) -> Result<SnapshotList> {
        Ok(self.snapshots_of(self.cached_records())?.0)
    }

    /// As [`Repository::snapshots`], with nothing from the cache of this machine: for those who
    /// look for damage.
    ///
    /// # Errors
    /// As [`Repository::snapshots`].
    pub fn snapshots_afresh(&self) -> Result<SnapshotList> {
        Ok(self.snapshots_of(CachedRecords::default())?.0)
    }

    /// The names of the newest records of all clients that the listed records know: newer ones are
    /// of a time that this place missed.
    ///
    /// # Errors
    /// The storage's.
    pub fn head_names(&self) -> Result<Vec<String>> {
        let list = self.snapshots()?;
        let listed = list_sorted(&*self.storage, "snapshots/")?;
        let listed: HashSet<_> =
            listed.iter().filter_map(|meta| hash_in_name(&meta.name)).collect();
        Ok(head_names(list.records().iter().filter(|record| listed.contains(&record.hash))))
    }

    /// All that [`Repository::snapshots`] says, and the records that `cached` keeps in memory.
    pub(super) fn snapshots_of(
        &self,
        cached: CachedRecords,
    ) -> Result<(SnapshotList, StoredRecords)> {
        let mut loaded = Loaded { cached, ..Loaded::default() };
        let mut listed = HashSet::new();
        for _ in 0..LISTINGS_MAX {
            let mut names = list_sorted(&*self.storage, "snapshots/")?;
            names.retain(|meta| listed.insert(meta.name.clone()));
            // What is gone since it was listed was let go by a checkpoint that was not there yet.
            if self.load_records(&*self.storage, &names, &mut loaded)? == names.len() {
                break;
            }
        }
        let hashes = listed.iter().filter_map(|name| hash_in_name(name)).collect();
        let kept = std::mem::take(&mut loaded.cached).save(&hashes);
        if let Some(mirrors) = self.mirrors() {
            mirrors.note_heads(&head_names(loaded.records.iter()));
        }
        // After the records: a session is fenced before its snapshot is committed, or in vain.
        let fenced = self.fenced_sessions()?;
        // After the records too: whatever another process of this machine wrote by now is known.
        let memory = self.recall();
        let (own, mut rounds) = (self.own_storage(), 0);
        let (missing, breaches) = loop {
            let chains = Chains::new(&loaded, memory.heads());
            let (missing, breaches) = (chains.missing(), chains.breaches());
            // Named by others and not listed: a listing may be behind, reading by name is not. Not
            // from a mirror, which may be alone in having what such a record rests on.
            let names: Vec<ObjectMeta> = missing.iter().map(unlisted).collect();
            rounds += 1;
            if rounds > ROUNDS_MAX || self.load_records(&**own, &names, &mut loaded)? == 0 {
                break (missing, breaches);
            }
        };
        let breaches = breaches.into_iter().map(|breach| self.found_at(breach, &missing)).collect();
        let mut list = standing::evaluate(loaded, &fenced, memory.client_id());
        (list.missing, list.rollback) = (missing, breaches);
        list.own = memory.own_head();
        self.remember(&memory, &mut list);
        Ok((list, kept))
    }

    /// Names a mirror that has what is missing.
    fn found_at(&self, mut breach: Breach, missing: &[Head]) -> Breach {
        if let (Some(mirrors), Breach::Missing { client_id, first, last, mirror, .. }) =
            (self.mirrors(), &mut breach)
        {
            let is_in =
                |head: &&Head| head.client_id == *client_id && (*first..=*last).contains(&head.seq);
            let names = missing.iter().filter(is_in).map(|head| unlisted(head).name);
            *mirror = mirrors.mirror_with(names.take(ASKED_MAX));
        }
        breach
    }

    /// Adds records to `loaded`; returns how many of them were there.
    pub(super) fn load_records(
        &self,
        storage: &dyn Storage,
        metas: &[ObjectMeta],
        loaded: &mut Loaded,
    ) -> Result<usize> {
        let mut found = 0;
        let cached = &loaded.cached;
        let results = in_parallel(storage, metas, |meta| self.load_record(storage, meta, cached));
        for (meta, result) in metas.iter().zip(results) {
            found += usize::from(!matches!(result, Ok(None)));
            match (result, hash_in_name(&meta.name)) {
                (Ok(None), _) => {}
                (Ok(Some(record)), _) => loaded.records.push(record),
                (Err(error), Some(hash)) if error.is_damage() => {
                    loaded.unreadable.push(Unreadable { meta: meta.clone(), hash, error });
                }
                (Err(error), None) if error.is_damage() => loaded.foreign.push(error),
                (Err(error), _) => return Err(error),
            }
        }
        Ok(found)
    }

    /// `None` if it was removed since it was listed.
    fn load_record(
        &self,
        storage: &dyn Storage,
        meta: &ObjectMeta,
        cached: &CachedRecords,
    ) -> Result<Option<Record>> {
        let name = &meta.name;
        let hash = hash_in_name(name).ok_or_else(|| Error::damaged(name, "foreign name"))?;
        let known = cached.get(&hash, meta.len);
        if let Some(object) = known.filter(|object| check_hash(object, hash, name).is_ok()) {
            return self.open_log_record(meta, hash, object).map(Some);
        }
        let object = match storage.get(name, OBJECT_LEN_MAX) {
            Ok(object) => object,
            Err(error) if error.kind == StorageErrorKind::Missing => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        check_hash(&object, hash, name)?;
        // What was not listed may be about to go.
        if meta.len == object.len() as u64 {
            cached.add(&hash, &object);
        }
        self.open_log_record(meta, hash, &object).map(Some)
    }

    pub(in crate::repository) fn open_log_record(
        &self,
        meta: &ObjectMeta,
        hash: ObjectHash,
        object: &[u8],
    ) -> Result<Record> {
        let name = &meta.name;
        let header = check_header(object, name, self.id, self.keys.suite)?;
        if header.object_type != ObjectType::LogRecord {
            return Err(Error::damaged(name, "it is something else than its name says"));
        }
        let (head, sealed) = object.split_at(HEADER_LEN);
        let key = self.keys.of_epoch(Class::Meta, header.epoch, name)?;
        let bytes = open_record(key, head, seal_kind(ObjectType::LogRecord), sealed, name)?;
        let mut outer: LogRecord = decode(&bytes, name)?;
        if record_name(&outer, hash) != *name || outer.client_seq == 0 {
            return Err(Error::damaged(name, "its content and its name differ"));
        }
        let says = decode_body(&outer, name)?;
        outer.body.0 = Vec::new();
        let storage_ms = match meta.modified_ms {
            None if meta.len == 0 => self.storage.head(name).ok().and_then(|m| m.modified_ms),
            time => time,
        };
        let len = object.len() as u64;
        Ok(Record { name: name.clone(), hash, len, storage_ms, outer, says })
    }

    /// The cache of log records, where reading one costs a request.
    pub(super) fn cached_records(&self) -> CachedRecords {
        match self.index.cache_dir() {
            Some(folder) if self.storage.location().contains("://") => CachedRecords::open(folder),
            _ => CachedRecords::default(),
        }
    }

    /// Sessions that a prune gave up on.
    fn fenced_sessions(&self) -> Result<HashSet<SessionId>> {
        let mut fenced = HashSet::new();
        self.storage.list("gc/", &mut |meta| {
            fenced.extend(crate::repository::gc::fenced_session(&meta.name));
        })?;
        Ok(fenced)
    }
}

/// The names of the newest records of all clients that these records know.
fn head_names<'l>(records: impl Iterator<Item = &'l Record>) -> Vec<String> {
    let heads = super::standing::heads(records);
    heads.iter().map(|head| super::name_of(head.client_id, head.seq, head.record)).collect()
}

/// A record that was not listed, as a listing would have it.
fn unlisted(head: &Head) -> ObjectMeta {
    let name = name_of(head.client_id, head.seq, head.record);
    ObjectMeta { name, len: 0, modified_ms: None }
}

/// Reads what a record says.
///
/// # Errors
/// [`Error::Damaged`], naming the object.
pub(in crate::repository) fn decode_body(outer: &LogRecord, name: &str) -> Result<Says> {
    let body = &outer.body.0;
    let Some(kind) = LogKind::from_number(outer.kind) else { return Ok(Says::Other) };
    Ok(match kind {
        LogKind::Snapshot => Says::Snapshot(Some(Box::new(SnapshotBody::decode(body, name)?))),
        LogKind::Checkpoint => {
            let checkpoint: CheckpointBody = decode(body, name)?;
            let clients = checkpoint.covers.len() as u64;
            if checkpoint.first_seen.iter().any(|seen| seen.client >= clients) {
                return Err(Error::damaged(name, "it keeps records of a client it does not cover"));
            }
            Says::Checkpoint(checkpoint)
        }
        LogKind::Note => {
            decode::<crate::format::log::NoteBody>(body, name)?;
            Says::Other
        }
        kind => {
            let about: AboutBody = decode(body, name)?;
            let records = names32(&about.records.0, ObjectHash)
                .filter(|records| records.len() == about.snapshots.len())
                .ok_or_else(|| Error::damaged(name, "its lists of snapshots do not fit"))?;
            Says::About { kind, records, reason: about.reason }
        }
    })
}

/// The least of all known times at which storage showed a record, by hash.
pub(super) fn first_sights(records: &[Record]) -> HashMap<ObjectHash, i64> {
    let mut sights: HashMap<ObjectHash, i64> = HashMap::new();
    let mut note = |hash: ObjectHash, ms: i64| {
        sights.entry(hash).and_modify(|known| *known = ms.min(*known)).or_insert(ms);
    };
    for record in records {
        if let Some(ms) = record.storage_ms {
            note(record.hash, ms);
        }
        if let Says::Checkpoint(body) = &record.says {
            body.first_seen.iter().for_each(|seen| note(seen.record, seen.storage_ms));
        }
    }
    sights
}
