//! Damage lists: packs that are there and hold wrong bytes (SPEC.md, section 13).

use std::collections::HashSet;

use super::Repository;
use super::object::{
    OBJECT_LEN_MAX, check_hash, check_header, hash_in_name, make_object, open_record, seal_kind,
};
use crate::crypto::Class;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::gc::DamageList;
use crate::format::header::{HEADER_LEN, ObjectType};
use crate::format::record::{Bin, decode, encode, names32};
use crate::model::ObjectHash;
use crate::storage::{PutMode, in_parallel, list_sorted};

const PREFIX: &str = "gc/damaged-";

/// Whether an object is a damage list, by its name.
pub(super) fn is_damage_list(name: &str) -> bool {
    name.starts_with(PREFIX)
}

impl Repository {
    /// The packs that damage lists name. Lists that cannot be read go to `bad`: whatever they
    /// say, a check of the stored data finds it again.
    ///
    /// # Errors
    /// The storage's.
    pub fn damaged_packs(&self, bad: &mut Vec<Error>) -> Result<HashSet<ObjectHash>> {
        let mut names: Vec<String> =
            list_sorted(&*self.storage, "gc/")?.into_iter().map(|meta| meta.name).collect();
        names.retain(|name| is_damage_list(name));
        self.packs_of_damage_lists(&names, bad)
    }

    /// As [`Repository::damaged_packs`], of lists whose names are known.
    pub(super) fn packs_of_damage_lists(
        &self,
        names: &[String],
        bad: &mut Vec<Error>,
    ) -> Result<HashSet<ObjectHash>> {
        let mut packs = HashSet::new();
        for list in in_parallel(&*self.storage, names, |name| self.load_damage_list(name)) {
            match list {
                Ok(list) => packs.extend(list),
                Err(Error::Storage(e)) if e.kind == StorageErrorKind::Missing => {}
                Err(error) if error.is_damage() => bad.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(packs)
    }

    /// Takes packs off the damage lists, because they are whole again: `is_whole` is asked for each.
    /// Returns how many that were. Lists that cannot be read stay.
    ///
    /// # Errors
    /// The storage's, and those of `is_whole`.
    pub fn trust_again(
        &self,
        is_whole: &dyn Fn(&ObjectHash) -> Result<bool>,
        time_ms: i64,
    ) -> Result<u64> {
        let mut names: Vec<String> =
            list_sorted(&*self.storage, "gc/")?.into_iter().map(|meta| meta.name).collect();
        names.retain(|name| is_damage_list(name));
        let mut trusted = HashSet::new();
        for name in names {
            let packs = match self.load_damage_list(&name) {
                Ok(packs) => packs,
                Err(Error::Storage(e)) if e.kind == StorageErrorKind::Missing => continue,
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            };
            let mut bad = Vec::new();
            for pack in &packs {
                if trusted.contains(pack) || is_whole(pack)? {
                    trusted.insert(*pack);
                } else {
                    bad.push(*pack);
                }
            }
            if bad.len() == packs.len() {
                continue;
            }
            // The new list first: at no moment a bad pack is on none.
            if !bad.is_empty() {
                self.put_damage_list(&bad, time_ms)?;
            }
            self.storage.delete(&name)?;
        }
        Ok(trusted.len() as u64)
    }

    /// The names of damage lists of which no pack is there any more.
    ///
    /// # Errors
    /// The storage's. Lists that cannot be read stay.
    pub fn spent_damage_lists(
        &self,
        is_listed: &dyn Fn(&ObjectHash) -> bool,
    ) -> Result<Vec<String>> {
        let mut names: Vec<String> =
            list_sorted(&*self.storage, "gc/")?.into_iter().map(|meta| meta.name).collect();
        names.retain(|name| is_damage_list(name));
        let mut spent = Vec::new();
        for name in names {
            match self.load_damage_list(&name) {
                Ok(packs) if !packs.iter().any(is_listed) => spent.push(name),
                Ok(_) => {}
                Err(Error::Storage(e)) if e.kind == StorageErrorKind::Missing => {}
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(spent)
    }

    fn load_damage_list(&self, name: &str) -> Result<Vec<ObjectHash>> {
        let object = self.storage.get(name, OBJECT_LEN_MAX)?;
        let hash = hash_in_name(name).ok_or_else(|| Error::damaged(name, "foreign name"))?;
        check_hash(&object, hash, name)?;
        let header = check_header(&object, name, self.id, self.keys.suite)?;
        if header.object_type != ObjectType::DamageList {
            return Err(Error::damaged(name, "it is something else than its name says"));
        }
        let (head, sealed) = object.split_at(HEADER_LEN);
        let key = self.keys.of_epoch(Class::Control, header.epoch, name)?;
        let kind = seal_kind(ObjectType::DamageList);
        let list: DamageList = decode(&open_record(key, head, kind, sealed, name)?, name)?;
        names32(&list.packs.0, ObjectHash)
            .ok_or_else(|| Error::damaged(name, "it has a malformed list of objects"))
    }

    /// Says that packs hold wrong bytes: from now on no writer relies on them, in this process
    /// from this moment on. What can be read of them must be durable and indexed elsewhere.
    ///
    /// # Errors
    /// The storage's.
    pub fn put_damage_list(&self, packs: &[ObjectHash], time_ms: i64) -> Result<()> {
        self.index.add_ghosts(packs);
        let packs = Bin(packs.iter().flat_map(|pack| pack.0).collect());
        let (hash, object) = make_object(
            ObjectType::DamageList,
            self.keys.suite,
            self.id,
            self.keys.current(Class::Control),
            &self.random,
            &encode(&DamageList { time_ms, packs }),
        );
        Ok(self.storage.put(&format!("{PREFIX}{hash}"), &[&object], PutMode::Content)?)
    }
}
