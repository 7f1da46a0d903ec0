//! What of the index and the log a copy of the repository has, and the repository itself has lost.
//!
//! A copy may have too much for good reasons: index objects that were merged, packs that a prune
//! dropped. Whatever an index object names was lost only if the repository's own index does not
//! name it, and nobody dropped it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::index::Outline;
use super::object::{OBJECT_LEN_MAX, check_hash, hash_in_name};
use super::{ListedPacks, Repository, Says};
use crate::error::{Error, Result};
use crate::format::pack::PackType;
use crate::model::{BackupId, ObjectHash};
use crate::storage::{ObjectMeta, Storage, in_parallel, list_sorted};

/// What a copy has and the repository has lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LostIndex {
    /// Names of index objects, drop lists never among them.
    pub objects: BTreeSet<String>,
    /// Packs that they name and that the repository does not list.
    pub packs: Vec<(ObjectHash, (u64, PackType))>,
}

/// What must be known of the repository to tell what it has lost.
struct Known {
    /// Packs that its index names.
    indexed: HashSet<ObjectHash>,
    /// Packs that were dropped on purpose.
    gone: HashSet<ObjectHash>,
    listed: ListedPacks,
    /// Packs of the copy that may come back.
    there: ListedPacks,
}

/// Index objects that count together: a delta alone, or what there is of a run.
#[derive(Default)]
struct Unit {
    objects: Vec<ObjectHash>,
    packs: HashMap<ObjectHash, (u64, PackType)>,
}

impl Repository {
    /// What `copy` has of the index and the repository has lost. Packs that the repository does not
    /// list count only with `take_packs`: without it, only what it still lists counts as lost.
    /// The index must be loaded. What the copy has damaged is left out.
    ///
    /// # Errors
    /// The storages'.
    pub fn lost_index(&self, copy: &dyn Storage, take_packs: bool) -> Result<LostIndex> {
        let own = list_sorted(&*self.storage, "index/")?;
        let own: HashSet<&str> = own.iter().map(|meta| meta.name.as_str()).collect();
        let mut extra = list_sorted(copy, "index/")?;
        extra.retain(|meta| !own.contains(meta.name.as_str()));
        if extra.is_empty() {
            return Ok(LostIndex::default());
        }
        let mut known = self.known(copy, take_packs)?;
        let units = self.units(copy, &extra, &mut known.gone)?;
        let mut lost = LostIndex::default();
        for unit in units {
            let packs = unit.packs.into_iter();
            let packs: Vec<_> = packs.filter(|(hash, _)| known.is_lost(hash)).collect();
            if packs.is_empty() || !packs.iter().all(|(hash, _)| known.is_there(hash)) {
                continue;
            }
            lost.objects.extend(unit.objects.iter().map(|hash| format!("index/{hash}")));
            lost.packs.extend(packs.into_iter().filter(|(hash, _)| !known.listed.contains(hash)));
        }
        Ok(lost)
    }

    fn known(&self, copy: &dyn Storage, take_packs: bool) -> Result<Known> {
        let mut gone = self.load_gc()?.condemned();
        gone.extend(self.index.dropped().iter());
        let deletes = self.debts()?.into_iter().flat_map(|debt| debt.deletes);
        gone.extend(deletes.filter_map(|name| hash_in_name(&name)));
        let there = if take_packs { ListedPacks::of(copy)? } else { ListedPacks::default() };
        let packs = self.index.packs().into_iter();
        let indexed = packs.map(|(_, info)| info.hash).collect();
        Ok(Known { indexed, gone, listed: self.list_packs()?, there })
    }

    /// Opens index objects of a copy. Packs that its drop lists name are added to `gone`.
    fn units(
        &self,
        copy: &dyn Storage,
        extra: &[ObjectMeta],
        gone: &mut HashSet<ObjectHash>,
    ) -> Result<Vec<Unit>> {
        let mut units = Vec::new();
        let mut runs: BTreeMap<BackupId, Unit> = BTreeMap::new();
        let outlines = in_parallel(copy, extra, |meta| self.outline(copy, &meta.name));
        for (meta, outline) in extra.iter().zip(outlines) {
            let Some(hash) = hash_in_name(&meta.name) else { continue };
            match unless_damaged(outline)? {
                None => {}
                Some(Outline::Drops(packs)) => gone.extend(packs),
                Some(Outline::Delta(packs)) => {
                    units.push(Unit { objects: vec![hash], packs: packs.into_iter().collect() });
                }
                Some(Outline::Table(run_id, packs)) => {
                    let run = runs.entry(run_id).or_default();
                    run.objects.push(hash);
                    run.packs.extend(packs);
                }
                Some(Outline::Shard(run_id, tables)) => {
                    let run = runs.entry(run_id).or_default();
                    run.objects.push(hash);
                    // The repository may have its tables still.
                    if run.packs.is_empty() {
                        for table in tables {
                            let table = self.outline(copy, &format!("index/{table}"));
                            if let Some(Outline::Table(_, packs)) = unless_damaged(table)? {
                                run.packs.extend(packs);
                            }
                        }
                    }
                }
            }
        }
        units.extend(runs.into_values());
        Ok(units)
    }

    fn outline(&self, copy: &dyn Storage, name: &str) -> Result<Outline> {
        let hash = hash_in_name(name).ok_or_else(|| Error::damaged(name, "foreign name"))?;
        self.index.outline(copy, hash)
    }

    /// Whether a record that `copy` has and the repository lacks may come back: whether the
    /// repository has the root of its manifest, if it is of a snapshot. The index must be loaded.
    ///
    /// # Errors
    /// [`Error::Damaged`], and the storage's.
    pub fn has_root_of(&self, copy: &dyn Storage, name: &str, packs: &ListedPacks) -> Result<bool> {
        let hash = hash_in_name(name).ok_or_else(|| Error::damaged(name, "foreign name"))?;
        let object = copy.get(name, OBJECT_LEN_MAX)?;
        check_hash(&object, hash, name)?;
        let len = object.len() as u64;
        let meta = ObjectMeta { name: name.to_owned(), len, modified_ms: None };
        Ok(match self.open_log_record(&meta, hash, &object)?.says {
            Says::Snapshot(Some(body)) => self.has_page(&body.root.0, packs),
            _ => true,
        })
    }

    /// Whether the index names a page in a pack that is there.
    pub fn has_page(&self, id: &[u8; 32], packs: &ListedPacks) -> bool {
        let mut found = self.index.find_all(id).into_iter();
        found.any(|location| packs.contains(&self.index.pack(location.pack).hash))
    }
}

impl Known {
    fn is_lost(&self, pack: &ObjectHash) -> bool {
        !self.indexed.contains(pack) && !self.gone.contains(pack)
    }

    fn is_there(&self, pack: &ObjectHash) -> bool {
        self.listed.contains(pack) || self.there.contains(pack)
    }
}

/// `None` for what is damaged, or gone by now.
fn unless_damaged<T>(read: Result<T>) -> Result<Option<T>> {
    use crate::error::StorageErrorKind::Missing;
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.is_damage() => Ok(None),
        Err(Error::Storage(error)) if error.kind == Missing => Ok(None),
        Err(error) => Err(error),
    }
}
