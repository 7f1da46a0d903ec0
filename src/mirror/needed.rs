//! What only the holder of a key can tell: which objects must be there.

use std::collections::HashSet;

use crate::error::Result;
use crate::format::pack::PackType;
use crate::model::ObjectHash;
use crate::repository::{Breach, ListedPacks, Repository, pack_name};

/// Objects that must be there, whether they are listed or not.
#[derive(Clone, Debug, Default)]
pub struct Needed {
    packs: ListedPacks,
    /// Records that others name and that are not there: beginning of the name, first and last
    /// number.
    records: Vec<(String, u64, u64)>,
}

impl Needed {
    /// What the index of a repository names, less what is on its way out, and what its log lacks.
    /// The index must be loaded.
    ///
    /// # Errors
    /// The storage's.
    pub fn of(repository: &Repository) -> Result<Self> {
        let condemned: HashSet<ObjectHash> = repository.load_gc()?.condemned();
        let packs = repository.index().packs().into_iter().map(|(_, info)| info);
        let packs = packs.filter(|info| !condemned.contains(&info.hash));
        let records = repository.snapshots()?.rollback.into_iter().filter_map(|breach| {
            let Breach::Missing { client_id, first, last, .. } = breach else { return None };
            Some((format!("snapshots/{}/", client_id.short()), first, last))
        });
        Ok(Self {
            packs: packs.map(|info| (info.hash, (info.len, info.pack_type))).collect(),
            records: records.collect(),
        })
    }

    /// Every pack that must be there: its name and length.
    pub(super) fn packs(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        self.packs.iter().map(|(hash, (len, pack_type))| (pack_name(pack_type, hash), len))
    }

    /// The length that a pack must have, if it must be there.
    pub(super) fn len_of(&self, pack_type: PackType, hash: &ObjectHash) -> Option<u64> {
        self.packs.get(hash).filter(|(_, t)| *t == pack_type).map(|(len, _)| len)
    }

    /// Whether this is the name of a record that others name and that is not there.
    pub(super) fn has_record(&self, name: &str) -> bool {
        self.records.iter().any(|(folder, first, last)| {
            let number = name.strip_prefix(folder.as_str()).and_then(|file| file.get(..8));
            let number = number.and_then(|digits| u64::from_str_radix(digits, 16).ok());
            number.is_some_and(|number| (*first..=*last).contains(&number))
        })
    }
}
