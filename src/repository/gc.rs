//! What prunes and writers tell each other through storage: marks, fences and leases
//! (SPEC.md, section 13). This module writes and reads them; what follows from them is decided in
//! `commit` (writers) and `prune`.

use std::collections::HashSet;

use super::Repository;
use super::damaged::is_damage_list;
use super::object::{
    OBJECT_LEN_MAX, check_hash, check_header, hash_in_name, make_object, open_record, seal_kind,
};
use crate::crypto::Class;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::gc::{Fence, Lease, Mark};
use crate::format::header::{HEADER_LEN, ObjectType};
use crate::format::record::{Bin, decode, encode, names32};
use crate::model::{BackupId, ObjectHash, SessionId};
use crate::storage::{ObjectMeta, PutMode, in_parallel, list_sorted};

/// A mark: what one collection is about to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenMark {
    /// Its object.
    pub name: String,
    /// Storage's time of it, milliseconds since 1970.
    pub modified_ms: Option<i64>,
    /// The collection.
    pub gc_id: BackupId,
    /// When it was made, by the clock of who made it.
    pub time_ms: i64,
    /// The condemned packs, sorted.
    pub packs: Vec<ObjectHash>,
    /// The snapshot records that go with them, sorted.
    pub records: Vec<ObjectHash>,
}

/// A fence: tells a session that it may not rely on what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFence {
    /// Its object.
    pub name: String,
    /// Storage's time of it, milliseconds since 1970.
    pub modified_ms: Option<i64>,
    /// The collection.
    pub gc_id: BackupId,
    /// The session.
    pub session_id: SessionId,
    /// When it was made, by the clock of who made it.
    pub time_ms: i64,
}

/// A lease: a collection at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenLease {
    /// Its object.
    pub name: String,
    /// Storage's time of it, milliseconds since 1970.
    pub modified_ms: Option<i64>,
    /// What it says.
    pub lease: Lease,
}

/// All that lies in `gc/`.
#[derive(Debug, Default)]
pub struct GcState {
    /// Marks.
    pub marks: Vec<SeenMark>,
    /// Fences.
    pub fences: Vec<SeenFence>,
    /// Leases.
    pub leases: Vec<SeenLease>,
    /// Objects that could not be read: nobody may act on them.
    pub bad: Vec<Error>,
    /// The sessions that fences are named after, whatever can be read of these.
    pub fenced: HashSet<SessionId>,
    /// Marks that could not be read, in two attempts.
    pub unread_marks: Vec<UnreadMark>,
    /// The names of damage lists, which are read apart.
    pub(super) damage_lists: Vec<String>,
}

/// A mark that could not be read: nobody here knows what it condemns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadMark {
    /// Its object.
    pub name: String,
    /// Whether its bytes are those that were put: then somebody with other keys may act on it.
    pub is_whole: bool,
}

impl GcState {
    /// All packs that some mark condemns.
    pub fn condemned(&self) -> HashSet<ObjectHash> {
        self.marks.iter().flat_map(|mark| mark.packs.iter().copied()).collect()
    }

    /// Whether a session is fenced.
    pub fn is_fenced(&self, session_id: SessionId) -> bool {
        self.fenced.contains(&session_id)
    }

    /// Fails if somebody else may know of packs that are condemned, and this process does not. For
    /// writers: a mark that is damaged itself can be read by nobody.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn check_marks_for_writing(&self) -> Result<()> {
        match self.unread_marks.iter().find(|mark| mark.is_whole) {
            Some(mark) => Err(mark.refused("nobody may rely on packs")),
            None => Ok(()),
        }
    }

    /// Fails if a mark cannot be read, for whatever reason. For whoever removes packs.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub fn check_marks(&self) -> Result<()> {
        match self.unread_marks.first() {
            Some(mark) => Err(mark.refused("nothing can be removed")),
            None => Ok(()),
        }
    }

    /// Whether a mark says that this record goes.
    pub fn takes_record(&self, record: ObjectHash) -> bool {
        self.marks.iter().any(|mark| mark.records.binary_search(&record).is_ok())
    }
}

impl UnreadMark {
    fn refused(&self, so: &str) -> Error {
        let name = &self.name;
        Error::Refused {
            what: format!("the mark `{name}` of a prune cannot be read, so {so}"),
            hint: format!(
                "try again; if it stays so, make sure that no prune is at work, and delete \
                 `{name}` from the storage: a later prune marks again what is not needed"
            ),
        }
    }
}

enum GcObject {
    Mark(SeenMark),
    Fence(SeenFence),
    Lease(SeenLease),
    Gone,
}

impl Repository {
    /// Lists and reads marks, fences and leases.
    ///
    /// # Errors
    /// The storage's. Damaged objects are in [`GcState::bad`].
    pub fn load_gc(&self) -> Result<GcState> {
        let listed = list_sorted(&*self.storage, "gc/")?;
        let fenced = listed.iter().filter_map(|meta| fenced_session(&meta.name)).collect();
        let names = listed.iter().map(|meta| meta.name.clone());
        let damage_lists = names.filter(|name| is_damage_list(name)).collect();
        let mut state = GcState { fenced, damage_lists, ..GcState::default() };
        let read = in_parallel(&*self.storage, &listed, |meta| match self.load_gc_object(meta) {
            // It may have been a bad moment.
            Err(error) if error.is_damage() => self.load_gc_object(meta),
            read => read,
        });
        for (meta, object) in listed.iter().zip(read) {
            match object {
                Err(error) if error.is_damage() && meta.name.starts_with("gc/mark-") => {
                    let name = meta.name.clone();
                    state.unread_marks.push(UnreadMark { is_whole: self.is_whole(&name)?, name });
                    state.bad.push(error);
                }
                Ok(GcObject::Mark(mark)) => state.marks.push(mark),
                Ok(GcObject::Fence(fence)) => state.fences.push(fence),
                Ok(GcObject::Lease(lease)) => state.leases.push(lease),
                Ok(GcObject::Gone) => {}
                Err(error) if error.is_damage() => state.bad.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(state)
    }

    /// Whether the bytes of an object are those that it was named after.
    fn is_whole(&self, name: &str) -> Result<bool> {
        let Some(hash) = hash_in_name(name) else { return Ok(false) };
        match self.storage.get(name, OBJECT_LEN_MAX) {
            Ok(object) => Ok(check_hash(&object, hash, name).is_ok()),
            Err(error) if error.kind == StorageErrorKind::Missing => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn load_gc_object(&self, meta: &ObjectMeta) -> Result<GcObject> {
        let name = &meta.name;
        let modified_ms = meta.modified_ms;
        let file = name.trim_start_matches("gc/");
        let misnamed = || Error::damaged(name, "its content and its name differ");
        let read = match file.split('-').next() {
            Some("mark") => self.load_control::<Mark>(name, ObjectType::Mark).and_then(|mark| {
                let hash = hash_in_name(name).ok_or_else(misnamed)?;
                if format!("mark-{}-{hash}", mark.gc_id) != file {
                    return Err(misnamed());
                }
                let list = |bin: &Bin| {
                    let mut names = names32(&bin.0, ObjectHash)?;
                    names.sort_unstable();
                    Some(names)
                };
                let malformed = || Error::damaged(name, "it has a malformed list of objects");
                Ok(GcObject::Mark(SeenMark {
                    name: name.clone(),
                    modified_ms,
                    gc_id: mark.gc_id,
                    time_ms: mark.time_ms,
                    packs: list(&mark.packs).ok_or_else(malformed)?,
                    records: list(&mark.records).ok_or_else(malformed)?,
                }))
            }),
            Some("fence") => {
                self.load_control::<Fence>(name, ObjectType::Fence).and_then(|fence| {
                    if format!("fence-{}-{}", fence.session_id, fence.gc_id) != file {
                        return Err(misnamed());
                    }
                    Ok(GcObject::Fence(SeenFence {
                        name: name.clone(),
                        modified_ms,
                        gc_id: fence.gc_id,
                        session_id: fence.session_id,
                        time_ms: fence.time_ms,
                    }))
                })
            }
            Some("lease") => {
                self.load_control::<Lease>(name, ObjectType::Lease).and_then(|lease| {
                    if format!("lease-{}-{:08x}", lease.gc_id, lease.number) != file {
                        return Err(misnamed());
                    }
                    Ok(GcObject::Lease(SeenLease { name: name.clone(), modified_ms, lease }))
                })
            }
            _ => return Ok(GcObject::Gone),
        };
        match read {
            Err(Error::Storage(e)) if e.kind == StorageErrorKind::Missing => Ok(GcObject::Gone),
            read => read,
        }
    }

    /// Reads an object of class *ctl*.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming it, and the storage's.
    pub(super) fn load_control<R: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        object_type: ObjectType,
    ) -> Result<R> {
        let object = self.storage.get(name, OBJECT_LEN_MAX)?;
        if let Some(hash) = hash_in_name(name) {
            check_hash(&object, hash, name)?;
        }
        let header = check_header(&object, name, self.id, self.keys.suite)?;
        if header.object_type != object_type {
            return Err(Error::damaged(name, "it is something else than its name says"));
        }
        let (head, sealed) = object.split_at(HEADER_LEN);
        let key = self.keys.of_epoch(Class::Control, header.epoch, name)?;
        decode(&open_record(key, head, seal_kind(object_type), sealed, name)?, name)
    }

    /// Leaves packs out of deduplication until the next session begins: they were condemned.
    pub fn distrust(&self, packs: impl IntoIterator<Item = ObjectHash>) {
        let packs: Vec<ObjectHash> = packs.into_iter().collect();
        self.index.add_ghosts(&packs);
    }

    /// Condemns packs and snapshot records. Returns the mark's name.
    ///
    /// # Errors
    /// The storage's.
    pub fn put_mark(
        &self,
        gc_id: BackupId,
        packs: &[ObjectHash],
        records: &[ObjectHash],
        time_ms: i64,
    ) -> Result<String> {
        let mark = Mark { gc_id, time_ms, packs: concat(packs), records: concat(records) };
        let (hash, object) = self.control_object(ObjectType::Mark, &encode(&mark));
        let name = format!("gc/mark-{gc_id}-{hash}");
        self.storage.put(&name, &[&object], PutMode::Content)?;
        Ok(name)
    }

    /// Tells a session that it may not rely on what it found.
    ///
    /// # Errors
    /// The storage's.
    pub fn put_fence(&self, gc_id: BackupId, session_id: SessionId, time_ms: i64) -> Result<()> {
        let fence = Fence { gc_id, session_id, time_ms };
        let (_, object) = self.control_object(ObjectType::Fence, &encode(&fence));
        let name = format!("gc/fence-{session_id}-{gc_id}");
        Ok(self.storage.put(&name, &[&object], PutMode::Content)?)
    }

    /// Says that a collection is at work. Returns storage's time of the object, where storage has
    /// times: this is how late it is for storage.
    ///
    /// # Errors
    /// The storage's.
    pub fn put_lease(&self, lease: &Lease) -> Result<(String, Option<i64>)> {
        let (_, object) = self.control_object(ObjectType::Lease, &encode(lease));
        let name = format!("gc/lease-{}-{:08x}", lease.gc_id, lease.number);
        self.storage.put(&name, &[&object], PutMode::Content)?;
        let modified_ms = self.storage.head(&name)?.modified_ms;
        Ok((name, modified_ms))
    }

    pub(super) fn control_object(
        &self,
        object_type: ObjectType,
        record: &[u8],
    ) -> (ObjectHash, Vec<u8>) {
        let key = self.keys.current(Class::Control);
        make_object(object_type, self.keys.suite, self.id, key, &self.random, record)
    }
}

/// The session that a fence is named after.
pub(super) fn fenced_session(name: &str) -> Option<SessionId> {
    let file = name.strip_prefix("gc/fence-")?;
    SessionId::from_hex(file.split('-').next()?)
}

pub(super) fn concat(names: &[ObjectHash]) -> Bin {
    Bin(names.iter().flat_map(|name| name.0).collect())
}
