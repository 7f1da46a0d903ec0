//! Writes index deltas: the objects that name stored packs.

use super::keys::Keys;
use super::object::make_object;
use super::{Index, Repository};
use crate::crypto::Class;
use crate::error::Result;
use crate::format::header::ObjectType;
use crate::format::index::{Delta, DeltaPack};
use crate::format::record::encode;
use crate::model::RepoId;
use crate::runtime::Random;
use crate::storage::{PutMode, Storage};

/// Chunks named by one delta at most: about 40 bytes each, far below what a reader takes.
const CHUNKS_MAX: usize = 1 << 20;

/// Where deltas go, and what they are sealed with.
pub(super) struct DeltaStore<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) keys: &'a Keys,
    pub(super) repo_id: RepoId,
    pub(super) random: &'a Random,
    pub(super) index: &'a Index,
}

impl DeltaStore<'_> {
    /// Names packs in as many deltas as their size asks for, and takes them into the local index.
    /// Returns the ids that each delta named, and its stored length.
    ///
    /// # Errors
    /// The storage's: what came before stays named.
    pub(super) fn put(&self, packs: Vec<DeltaPack>) -> Result<Vec<(Vec<[u8; 32]>, u64)>> {
        let mut written = Vec::new();
        let mut part = Vec::new();
        let mut chunks = 0;
        for pack in packs {
            let count = pack.directory.lengths.len();
            if chunks + count > CHUNKS_MAX && !part.is_empty() {
                written.push(self.put_one(std::mem::take(&mut part))?);
                chunks = 0;
            }
            chunks += count;
            part.push(pack);
        }
        if !part.is_empty() {
            written.push(self.put_one(part)?);
        }
        Ok(written)
    }

    fn put_one(&self, packs: Vec<DeltaPack>) -> Result<(Vec<[u8; 32]>, u64)> {
        let delta = Delta { packs };
        let (hash, object) = make_object(
            ObjectType::IndexDelta,
            self.keys.suite,
            self.repo_id,
            self.keys.current(Class::Index),
            self.random,
            &encode(&delta),
        );
        self.storage.put(&format!("index/{hash}"), &[&object], PutMode::Content)?;
        let mut builder = self.index.builder();
        for pack in &delta.packs {
            builder.add_directory(pack.pack, pack.len, &pack.directory)?;
        }
        builder.cover(hash, ObjectType::IndexDelta);
        self.index.add_level(builder)?;
        let ids = delta.packs.iter().flat_map(|pack| pack.directory.id_list()).collect();
        Ok((ids, object.len() as u64))
    }
}

impl Repository {
    /// Names packs in the index as if they had just been stored.
    ///
    /// # Errors
    /// The storage's.
    #[doc(hidden)]
    pub fn name_packs(&self, packs: Vec<DeltaPack>) -> Result<()> {
        let store = DeltaStore {
            storage: &*self.storage,
            keys: &self.keys,
            repo_id: self.id,
            random: &self.random,
            index: &self.index,
        };
        store.put(packs).map(|_| ())
    }
}
