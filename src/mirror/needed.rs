//! What only the holder of a key can tell: which objects must be there.

use std::collections::{BTreeSet, HashSet};

use super::report::BadObject;
use crate::error::{Error, Result};
use crate::format::pack::PackType;
use crate::model::ObjectHash;
use crate::repository::{Breach, ListedPacks, Repository, pack_name};
use crate::storage::{SharedStorage, Storage};

/// Objects that must be there, whether they are listed or not.
#[derive(Clone, Debug, Default)]
pub struct Needed {
    packs: ListedPacks,
    /// Records that others name and that are not there: beginning of the name, first and last
    /// number.
    records: Vec<(String, u64, u64)>,
    /// Index objects that the repository has lost.
    index: BTreeSet<String>,
    /// Records that do not come back, because what they name is not there.
    held: BTreeSet<String>,
    /// Records of the repository whose snapshots cannot be read: the index lacks their root.
    rootless: Vec<String>,
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
            ..Self::default()
        })
    }

    /// As [`Needed::of`], with what `copies` of the repository have of its index and log and it
    /// has lost itself. Records wait until the roots of their snapshots are there.
    ///
    /// # Errors
    /// The storage's, of the repository itself. A copy that fails is left out.
    pub fn with_copies(repository: &Repository, copies: &[SharedStorage]) -> Result<Self> {
        let mut needed = Self::of(repository)?;
        let listed = repository.list_packs()?;
        let snapshots = repository.snapshots()?.snapshots.into_iter();
        let rootless = snapshots.filter(|s| !repository.has_page(&s.body.root.0, &listed));
        needed.rootless = rootless.map(|snapshot| snapshot.object_name).collect();
        let mut packs: Vec<_> = needed.packs.iter().collect();
        for copy in copies {
            match needed.add_copy(repository, &**copy, &listed) {
                Ok(found) => packs.extend(found),
                Err(error @ Error::Cancelled { .. }) => return Err(error),
                Err(error) => tracing::warn!("{}: {}", copy.location(), error.in_full()),
            }
        }
        needed.packs = packs.into_iter().collect();
        Ok(needed)
    }

    /// Adds what one copy has. Returns packs that it has to give.
    fn add_copy(
        &mut self,
        repository: &Repository,
        copy: &dyn Storage,
        listed: &ListedPacks,
    ) -> Result<Vec<(ObjectHash, (u64, PackType))>> {
        let (mut own, mut theirs) = (HashSet::new(), Vec::new());
        repository.storage().list("snapshots/", &mut |meta| {
            own.insert(meta.name);
        })?;
        copy.list("snapshots/", &mut |meta| theirs.push(meta.name))?;
        theirs.retain(|name| !own.contains(name) && (own.is_empty() || self.has_record(name)));
        for name in &theirs {
            // Another copy may have it whole, and then says the same.
            if !repository.has_root_of(copy, name, listed).unwrap_or(true) {
                self.held.insert(name.clone());
            }
        }
        let is_behind = !self.held.is_empty() || !self.rootless.is_empty();
        let lost = repository.lost_index(copy, is_behind)?;
        self.index.extend(lost.objects);
        Ok(lost.packs)
    }

    /// What is damage for who cannot heal it any further: snapshots without their root.
    pub fn rootless(&self, location: &str) -> Vec<BadObject> {
        let bad = |what: &'static str| move |name: &String| BadObject::new(name, location, what);
        let held = "it is missing, and what it names is not there: it is not put back alone";
        let rootless = "the index does not name the root of its snapshot";
        let held = self.held.iter().map(bad(held));
        held.chain(self.rootless.iter().map(bad(rootless))).collect()
    }

    /// Whether index objects are to come back.
    pub fn has_index(&self) -> bool {
        !self.index.is_empty()
    }

    /// Whether this is an index object that was lost.
    pub(super) fn has_index_object(&self, name: &str) -> bool {
        self.index.contains(name)
    }

    /// Whether this is a record that does not come back yet.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.held.contains(name)
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
