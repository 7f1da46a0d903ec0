//! Drop lists: packs that do not count any more, and what the index still says of them
//! (SPEC.md, sections 10 and 13).

use std::collections::HashSet;

use super::Repository;
use super::gc::concat;
use super::object::{
    OBJECT_LEN_MAX, check_hash, check_header, hash_in_name, make_object, open_record, seal_kind,
};
use crate::crypto::Class;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::header::{HEADER_LEN, ObjectType};
use crate::format::index::DropList;
use crate::format::pack::PackType;
use crate::format::record::{decode, encode, names32};
use crate::model::{BackupId, ObjectHash};
use crate::storage::{ObjectMeta, PutMode, in_parallel, list_sorted};

/// A drop list: packs that do not count any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenDropList {
    /// Its object.
    pub object: ObjectHash,
    /// Storage's time of it, milliseconds since 1970.
    pub modified_ms: Option<i64>,
    /// The collection.
    pub gc_id: BackupId,
    /// When it was made, by the clock of who made it.
    pub time_ms: i64,
    /// The packs.
    pub packs: Vec<ObjectHash>,
}

impl Repository {
    /// The packs that were dropped since the session began or the index was loaded.
    ///
    /// # Errors
    /// The storage's.
    pub fn dropped_since(&self) -> Result<Vec<ObjectHash>> {
        self.index.dropped_since(&self.storage)
    }

    /// Says that packs do not count any more, whatever other index objects say. Returns its hash.
    ///
    /// # Errors
    /// The storage's.
    pub fn put_drop_list(
        &self,
        gc_id: BackupId,
        packs: &[ObjectHash],
        time_ms: i64,
    ) -> Result<ObjectHash> {
        let list = DropList { gc_id, time_ms, packs: concat(packs) };
        let key = self.keys.current(Class::Index);
        let (hash, object) = make_object(
            ObjectType::DropList,
            self.keys.suite,
            self.id,
            key,
            &self.random,
            &encode(&list),
        );
        self.storage.put(&format!("index/{hash}"), &[&object], PutMode::Content)?;
        Ok(hash)
    }

    /// The drop lists that the loaded index counts.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the list, and the storage's.
    pub fn load_drop_lists(&self) -> Result<Vec<SeenDropList>> {
        let covered = self.index.covered();
        let mut lists: Vec<ObjectHash> = covered
            .iter()
            .filter(|covered| covered.object_type == ObjectType::DropList)
            .map(|covered| covered.object)
            .collect();
        lists.sort_unstable();
        lists.dedup();
        if lists.is_empty() {
            return Ok(Vec::new());
        }
        let listed = list_sorted(&*self.storage, "index/")?;
        let wanted: Vec<&ObjectMeta> = listed
            .iter()
            .filter(|meta| {
                hash_in_name(&meta.name).is_some_and(|hash| lists.binary_search(&hash).is_ok())
            })
            .collect();
        let read = in_parallel(&*self.storage, &wanted, |meta| self.load_drop_list(meta));
        read.into_iter().filter_map(Result::transpose).collect()
    }

    /// `None` if it was removed since it was listed.
    fn load_drop_list(&self, meta: &ObjectMeta) -> Result<Option<SeenDropList>> {
        let name = &meta.name;
        let object = match self.storage.get(name, OBJECT_LEN_MAX) {
            Ok(object) => object,
            Err(error) if error.kind == StorageErrorKind::Missing => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let hash = hash_in_name(name).ok_or_else(|| Error::damaged(name, "foreign name"))?;
        check_hash(&object, hash, name)?;
        let header = check_header(&object, name, self.id, self.keys.suite)?;
        if header.object_type != ObjectType::DropList {
            return Err(Error::damaged(name, "it is no drop list"));
        }
        let (head, sealed) = object.split_at(HEADER_LEN);
        let key = self.keys.of_epoch(Class::Index, header.epoch, name)?;
        let kind = seal_kind(ObjectType::DropList);
        let list: DropList = decode(&open_record(key, head, kind, sealed, name)?, name)?;
        let packs = names32(&list.packs.0, ObjectHash)
            .ok_or_else(|| Error::damaged(name, "it has a malformed list of objects"))?;
        Ok(Some(SeenDropList {
            object: hash,
            modified_ms: meta.modified_ms,
            gc_id: list.gc_id,
            time_ms: list.time_ms,
            packs,
        }))
    }

    /// Which of these packs some delta or run still names.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the object, and the storage's.
    pub fn named_by_index(&self, packs: &HashSet<ObjectHash>) -> Result<HashSet<ObjectHash>> {
        let mut named = HashSet::new();
        for covered in self.index.covered() {
            if matches!(covered.object_type, ObjectType::IndexDelta | ObjectType::PackTable) {
                let names = self.index.packs_named(&*self.storage, covered.object)?;
                named.extend(names.into_iter().filter(|pack| packs.contains(pack)));
            }
        }
        Ok(named)
    }

    /// Takes packs that no index object names into the index of this process, for reading. Returns
    /// those whose directory cannot be read.
    ///
    /// # Errors
    /// The storage's.
    pub fn read_orphans(
        &self,
        orphans: &[(ObjectHash, (u64, PackType))],
    ) -> Result<Vec<(ObjectHash, Error)>> {
        self.index.forget_recovered();
        let directories = in_parallel(&*self.storage, orphans, |(hash, (len, pack_type))| {
            self.pack_directory(*hash, *len, *pack_type)
        });
        let mut builder = self.index.builder();
        let (mut bad, mut read) = (Vec::new(), 0);
        for ((hash, (len, _)), directory) in orphans.iter().zip(directories) {
            match directory.and_then(|found| builder.add_directory(*hash, *len, &found)) {
                Ok(()) => read += 1,
                Err(error) if error.is_damage() => bad.push((*hash, error)),
                Err(error) => return Err(error),
            }
        }
        if read > 0 {
            self.index.add_in_memory(builder)?;
        }
        Ok(bad)
    }
}
