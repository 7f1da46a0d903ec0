//! All packs of a storage in little memory: there may be millions of them.

use super::Repository;
use super::object::hash_in_name;
use crate::error::Result;
use crate::format::pack::PackType;
use crate::model::ObjectHash;
use crate::storage::Storage;

/// Set in a length for packs of pages; no pack is so long.
const META: u64 = 1 << 63;

/// The packs that storage listed, sorted by name: 40 bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedPacks(Vec<(ObjectHash, u64)>);

impl ListedPacks {
    /// Length and type of a pack; `None` if it was not listed.
    pub fn get(&self, hash: &ObjectHash) -> Option<(u64, PackType)> {
        let at = self.0.binary_search_by(|(listed, _)| listed.cmp(hash)).ok()?;
        Some(unpack(self.0[at].1))
    }

    /// Whether a pack was listed.
    pub fn contains(&self, hash: &ObjectHash) -> bool {
        self.get(hash).is_some()
    }

    /// Every pack with its length and type, in the order of names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ObjectHash, (u64, PackType))> {
        self.0.iter().map(|(hash, packed)| (*hash, unpack(*packed)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(ObjectHash, (u64, PackType))> for ListedPacks {
    fn from_iter<I: IntoIterator<Item = (ObjectHash, (u64, PackType))>>(packs: I) -> Self {
        let flag = |pack_type| if pack_type == PackType::Meta { META } else { 0 };
        let packs = packs.into_iter();
        let mut listed: Vec<(ObjectHash, u64)> =
            packs.map(|(hash, (len, pack_type))| (hash, len & !META | flag(pack_type))).collect();
        listed.sort_unstable();
        listed.dedup_by_key(|(hash, _)| *hash);
        Self(listed)
    }
}

fn unpack(packed: u64) -> (u64, PackType) {
    (packed & !META, if packed & META == 0 { PackType::Data } else { PackType::Meta })
}

impl Repository {
    /// All packs in storage.
    ///
    /// # Errors
    /// The storage's.
    pub fn list_packs(&self) -> Result<ListedPacks> {
        ListedPacks::of(&*self.storage)
    }
}

impl ListedPacks {
    /// All packs at a place.
    ///
    /// # Errors
    /// The storage's.
    pub fn of(storage: &dyn Storage) -> Result<Self> {
        let mut listed = Vec::new();
        for (pack_type, flag) in [(PackType::Data, 0), (PackType::Meta, META)] {
            let prefix = format!("{}/", pack_type.folder());
            storage.list(&prefix, &mut |meta| {
                if let Some(hash) = hash_in_name(&meta.name) {
                    listed.push((hash, meta.len & !META | flag));
                }
            })?;
        }
        listed.sort_unstable();
        listed.dedup_by_key(|(hash, _)| *hash);
        Ok(Self(listed))
    }
}
