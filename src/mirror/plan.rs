//! What a mirror lacks: the source listed as a reader lists it, against one listing of the target.
//!
//! Snapshots are listed before the index and the index before the packs, so all that a listed
//! record relies on is listed too. Then the index is listed once more. New deltas are those of
//! backups that go on. Anything else that is new there, or is gone, says that meanwhile packs were
//! dropped or the index was merged, and a listing made of two states may lack what both have: then
//! everything is listed anew.

use std::collections::HashMap;

use super::contents::{Contents, KEY_FOLDERS};
use super::object::{Kind, type_of};
use super::report::Count;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::header::{HEADER_LEN, ObjectType};
use crate::format::pack::PackType;
use crate::model::ObjectHash;
use crate::repository::pack_name;
use crate::runtime::CancelToken;
use crate::storage::{ObjectMeta, Storage, list_sorted};

/// How often a source that changes too much is listed.
const LISTINGS_MAX: usize = 5;

/// An object that the target lacks, or has with another length.
#[derive(Clone, Debug)]
pub(super) struct Lack {
    name: Name,
    pub(super) len: u64,
    /// The target has something of that name.
    pub(super) replaces: bool,
}

/// The name of an object: packs, of which there may be millions, in few bytes.
#[derive(Clone, Debug)]
enum Name {
    Pack(PackType, ObjectHash),
    Text(Box<str>),
}

impl Lack {
    pub(super) fn name(&self) -> String {
        match &self.name {
            Name::Pack(pack_type, hash) => pack_name(*pack_type, *hash),
            Name::Text(name) => name.to_string(),
        }
    }
}

/// What is to be copied, in the order in which it is.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Key slots, keyrings, configurations.
    pub(super) keys: Vec<Lack>,
    pub(super) packs: Vec<Lack>,
    /// Drop lists among them: their names do not tell.
    pub(super) index: Vec<Lack>,
    /// In an order in which none names a later one.
    pub(super) records: Vec<Lack>,
    /// All that the source has.
    pub(super) source: Count,
    /// The sum of the lists above.
    pub(super) missing: Count,
    /// What the target has and the source does not.
    pub(super) extra: Count,
    /// Key slots among them.
    pub(super) extra_keys: u64,
    /// Whether the target has snapshots that the source knows nothing of.
    pub(super) is_older: bool,
}

impl Plan {
    /// Lists the source and compares it with what the target has. `heads` are records that those
    /// of the source know; without any, nobody can tell which of the two is older.
    ///
    /// # Errors
    /// The storage's, and [`Error::Busy`] if the source changes all the time.
    pub(super) fn make(
        source: &dyn Storage,
        target: &Contents,
        heads: &[String],
        cancel: &CancelToken,
    ) -> Result<Self> {
        for _ in 0..LISTINGS_MAX {
            cancel.check()?;
            if let Some(plan) = Self::try_make(source, target, heads)? {
                return Ok(plan);
            }
        }
        Err(Error::Busy {
            what: format!(
                "the repository at `{}` is pruned or merged over and over",
                source.location()
            ),
        })
    }

    fn try_make(source: &dyn Storage, target: &Contents, heads: &[String]) -> Result<Option<Self>> {
        let mut plan = Self::default();
        let mut seen = Seen::default();
        let mut records = listed(source, "snapshots/")?;
        sort_records(&mut records);
        plan.records = plan.lacks(&records, target, &mut seen);
        let names = records.iter().map(|meta| meta.name.as_str());
        plan.is_older = !heads.is_empty() && target.is_newer_than(names, heads);
        plan.list_keys(source, target, &mut seen)?;
        let index = listed(source, "index/")?;
        plan.index = plan.lacks(&index, target, &mut seen);
        for folder in ["data/", "meta/"] {
            plan.list_packs(source, folder, target, &mut seen)?;
        }
        if !is_settled(source, &index, &listed(source, "index/")?)? {
            return Ok(None);
        }
        plan.extra = seen.extra(target);
        plan.extra_keys = seen.extra_keys(target);
        Ok(Some(plan))
    }

    /// As [`Plan::make`], of key slots, keyrings and configurations alone.
    pub(super) fn of_keys(source: &dyn Storage, target: &Contents) -> Result<Self> {
        let mut plan = Self::default();
        plan.list_keys(source, target, &mut Seen::default())?;
        Ok(plan)
    }

    fn list_keys(
        &mut self,
        source: &dyn Storage,
        target: &Contents,
        seen: &mut Seen,
    ) -> Result<()> {
        for folder in KEY_FOLDERS {
            let found = listed(source, folder)?;
            let lacks = self.lacks(&found, target, seen);
            self.keys.extend(lacks);
        }
        Ok(())
    }

    fn lacks(&mut self, found: &[ObjectMeta], target: &Contents, seen: &mut Seen) -> Vec<Lack> {
        let mut lacks = Vec::new();
        for meta in found {
            self.source.add(meta.len);
            let there = target.len_of(&meta.name);
            seen.note(there, Kind::of(&meta.name) == Kind::Key);
            if there != Some(meta.len) {
                self.missing.add(meta.len);
                let name = Name::Text(meta.name.as_str().into());
                lacks.push(Lack { name, len: meta.len, replaces: there.is_some() });
            }
        }
        lacks
    }

    fn list_packs(
        &mut self,
        source: &dyn Storage,
        folder: &str,
        target: &Contents,
        seen: &mut Seen,
    ) -> Result<()> {
        source.list(folder, &mut |meta| {
            let Kind::Pack(pack_type, hash) = Kind::of(&meta.name) else { return };
            self.source.add(meta.len);
            let there = target.len_of(&meta.name);
            seen.note(there, false);
            if there != Some(meta.len) {
                self.missing.add(meta.len);
                let name = Name::Pack(pack_type, hash);
                self.packs.push(Lack { name, len: meta.len, replaces: there.is_some() });
            }
        })?;
        Ok(())
    }
}

/// What of the target was seen at the source.
#[derive(Default)]
struct Seen {
    sum: Count,
    keys: u64,
}

impl Seen {
    fn note(&mut self, there: Option<u64>, is_key: bool) {
        if let Some(len) = there {
            self.sum.add(len);
            self.keys += u64::from(is_key);
        }
    }

    fn extra(&self, target: &Contents) -> Count {
        Count {
            objects: target.sum.objects.saturating_sub(self.sum.objects),
            bytes: target.sum.bytes.saturating_sub(self.sum.bytes),
        }
    }

    fn extra_keys(&self, target: &Contents) -> u64 {
        let keys = target.others.keys().filter(|name| Kind::of(name) == Kind::Key).count();
        (keys as u64).saturating_sub(self.keys)
    }
}

/// The objects of a folder that are named by their hash.
fn listed(source: &dyn Storage, folder: &str) -> Result<Vec<ObjectMeta>> {
    let mut found = list_sorted(source, folder)?;
    found.retain(|meta| Kind::of(&meta.name).is_named_by_hash());
    Ok(found)
}

/// Orders records so that none names a later one: by the time that storage gives them, and those of
/// one client by their numbers whatever the times say.
fn sort_records(records: &mut Vec<ObjectMeta>) {
    let number = |meta: &ObjectMeta| {
        let (folder, name) = meta.name.rsplit_once('/').unwrap_or_default();
        (folder.to_owned(), u32::from_str_radix(name.get(..8).unwrap_or_default(), 16).unwrap_or(0))
    };
    // Sorted by name they are sorted by client and number.
    let mut latest: HashMap<String, i64> = HashMap::new();
    let mut keyed: Vec<((i64, u32), ObjectMeta)> = Vec::with_capacity(records.len());
    for meta in records.drain(..) {
        let (client, seq) = number(&meta);
        let time = latest.entry(client).or_insert(i64::MIN);
        *time = (*time).max(meta.modified_ms.unwrap_or(i64::MIN));
        keyed.push(((*time, seq), meta));
    }
    keyed.sort_by_key(|(key, _)| *key);
    records.extend(keyed.into_iter().map(|(_, meta)| meta));
}

/// Whether two listings of the index, with all others between them, are of one state.
fn is_settled(source: &dyn Storage, first: &[ObjectMeta], second: &[ObjectMeta]) -> Result<bool> {
    let has = |all: &[ObjectMeta], name: &str| {
        all.binary_search_by(|meta| meta.name.as_str().cmp(name)).is_ok()
    };
    if first.iter().any(|meta| !has(second, &meta.name)) {
        return Ok(false);
    }
    for meta in second.iter().filter(|meta| !has(first, &meta.name)) {
        let mut head = [0; HEADER_LEN];
        match source.get_range(&meta.name, 0, &mut head) {
            // One that cannot be told is no reason to list for ever.
            Ok(()) if type_of(&head, &meta.name).is_none_or(|t| t == ObjectType::IndexDelta) => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind == StorageErrorKind::Missing => return Ok(false),
            Err(error) if error.kind == StorageErrorKind::Permanent => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::object_hash;

    /// Storage's clock may go back; a chain never does.
    #[test]
    fn no_record_comes_before_those_of_its_client() {
        let meta = |client: u32, seq: u32, time: Option<i64>| ObjectMeta {
            name: format!("snapshots/{client:08x}/{seq:08x}-{}", object_hash(&[&[seq as u8]])),
            len: 1,
            modified_ms: time,
        };
        let mut records = vec![
            meta(1, 1, Some(50)),
            meta(1, 2, Some(10)),
            meta(1, 3, None),
            meta(2, 1, Some(40)),
        ];
        sort_records(&mut records);
        let order: Vec<&str> = records.iter().map(|meta| &meta.name[10..27]).collect();
        assert_eq!(
            order,
            ["00000002/00000001", "00000001/00000001", "00000001/00000002", "00000001/00000003"]
        );
    }
}
