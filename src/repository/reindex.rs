//! Writes the index anew without what it says of some packs.

use std::collections::HashSet;

use super::Repository;
use super::compact::with_lens;
use crate::error::{Result, StorageErrorKind};
use crate::format::header::ObjectType;
use crate::format::index::DeltaPack;
use crate::model::ObjectHash;
use crate::runtime::{Phase, Runtime};

impl Repository {
    /// Merges all of the index into one run that leaves out `packs`, then names those of them
    /// that are in `instead` with the directories given there. What cannot be read is left as it
    /// is. Returns how many index objects were replaced.
    ///
    /// A crash in between leaves the old index, or packs that no index object names: the next
    /// session takes them in.
    ///
    /// # Errors
    /// The storage's. The index is whole whatever happens.
    pub fn reindex(
        &self,
        packs: &HashSet<ObjectHash>,
        instead: Vec<DeltaPack>,
        runtime: &Runtime,
    ) -> Result<usize> {
        runtime.progress.phase(Phase::MergingIndex);
        let merged = [ObjectType::IndexDelta, ObjectType::IndexRun, ObjectType::PackTable];
        let mut replaced: Vec<ObjectHash> = self
            .index
            .covered()
            .into_iter()
            .filter(|covered| merged.contains(&covered.object_type))
            .map(|covered| covered.object)
            .collect();
        replaced.sort_unstable();
        replaced.dedup();
        let mut gathered = self.index.gathering();
        let objects = with_lens(&replaced, &self.listed_index()?)?;
        self.index.gather_for_merge(&self.storage, &objects, &mut gathered)?;
        let mut builder = self.index.finish_gathering(&self.storage, gathered)?;
        runtime.cancel.check()?;
        let left_out = self.index.dropped().union(packs).copied().collect();
        self.write_run(&builder.merged(&left_out), &replaced, runtime)?;
        self.sort_for_removal(&mut replaced);
        for object in &replaced {
            match self.storage.delete(&format!("index/{object}")) {
                Ok(()) => {}
                // Storage that refuses deletes keeps both, and with them what was to be left out.
                Err(error) if error.kind == StorageErrorKind::Denied => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.name_packs(instead)?;
        self.index.load(&self.storage)?;
        Ok(replaced.len())
    }
}
