//! Makes levels: collects packs and records, sorts them, writes the file.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use super::SegmentInfo;
use super::level::{Covered, Level};
use super::merge::Merged;
use super::packs::{NewPack, Packs};
use super::write::{write_in_folder, write_in_memory};
use crate::error::{Error, Result};
use crate::format::header::{HEADER_LEN as PACK_HEADER_LEN, ObjectType};
use crate::format::index::IndexRecord;
use crate::format::pack::{Directory, PackType};
use crate::model::{ObjectHash, RepoId};

/// Collects what goes into a level. Holds its records in memory: large runs are streamed by
/// [`Merged`] instead.
#[derive(Default)]
pub(crate) struct LevelBuilder {
    pub(super) covered: Vec<Covered>,
    packs: Packs,
    pub(super) records: Vec<IndexRecord>,
}

impl LevelBuilder {
    /// Notes that an index object is wholly in this level.
    pub(crate) fn cover(&mut self, object: ObjectHash, object_type: ObjectType) {
        self.covered.push(Covered { object, object_type });
    }

    /// The ids collected so far.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.records.iter().map(|record| &record.id)
    }

    /// How many records were collected.
    pub(crate) fn records_len(&self) -> u64 {
        self.records.len() as u64
    }

    /// The packs and records that were collected.
    pub(crate) fn into_parts(self) -> (Vec<NewPack>, Vec<IndexRecord>) {
        (self.packs.into_all(), self.records)
    }

    /// Takes in what another builder collected.
    pub(crate) fn absorb(&mut self, other: Self) {
        let numbers: Vec<u32> =
            other.packs.into_all().into_iter().map(|pack| self.add_pack(pack)).collect();
        self.records.extend(
            other
                .records
                .into_iter()
                .map(|record| IndexRecord { pack_no: numbers[record.pack_no as usize], ..record }),
        );
        self.covered.extend(other.covered);
    }

    /// The number of a pack, added if it is new.
    pub(crate) fn add_pack(&mut self, pack: NewPack) -> u32 {
        self.packs.add(pack)
    }

    /// Adds a pack and all records of its (validated) directory, once.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the directory's parts do not fit each other or the pack.
    pub(crate) fn add_directory(
        &mut self,
        hash: ObjectHash,
        len: u64,
        directory: &Directory,
    ) -> Result<()> {
        if self.packs.contains(&hash) {
            return Ok(());
        }
        let damaged = || Error::damaged(hash, "its directory does not fit its length");
        let pack_type = PackType::from_number(directory.pack_type).ok_or_else(damaged)?;
        let mut offset = PACK_HEADER_LEN as u64;
        let mut segments = Vec::with_capacity(directory.segments.len());
        for segment in &directory.segments {
            let epoch = *directory.epochs.get(segment.epoch_no as usize).ok_or_else(damaged)?;
            segments.push(SegmentInfo {
                offset,
                sealed_len: segment.sealed_len,
                plain_len: segment.plain_len,
                codec: segment.codec,
                epoch,
            });
            offset += u64::from(segment.sealed_len);
        }
        if offset > len {
            return Err(damaged());
        }
        let pack_no = self.add_pack(NewPack { hash, len, pack_type, segments });
        let ids = directory.id_list();
        let mut chunks = ids.iter().zip(&directory.lengths);
        for (segment_no, segment) in directory.segments.iter().enumerate() {
            let mut offset = 0_u32;
            for (id, len) in chunks.by_ref().take(segment.chunk_count as usize) {
                self.records.push(IndexRecord {
                    id: *id,
                    pack_no,
                    segment_no: segment_no as u32,
                    offset,
                    len: *len,
                });
                offset = offset.checked_add(*len).ok_or_else(damaged)?;
            }
        }
        Ok(())
    }

    /// Sorts the records and merges them with those of other levels into a new level: a file in
    /// `folder`, or anonymous memory.
    ///
    /// # Errors
    /// [`Error::Local`] if it cannot be written.
    pub(super) fn build(
        mut self,
        others: &[Arc<Level>],
        repo_id: RepoId,
        folder: Option<&Path>,
    ) -> Result<Level> {
        self.records.par_sort_unstable();
        let mut covered = std::mem::take(&mut self.covered);
        for other in others {
            covered.extend(other.covered());
        }
        covered.sort();
        covered.dedup();
        let merged = Merged::new(self.packs, self.records, others)?;
        match folder {
            Some(folder) => {
                // A folder that cannot be written costs speed at the next start, nothing else.
                match write_in_folder(&merged, &covered, repo_id, folder) {
                    Ok(level) => Ok(level),
                    Err(error) => {
                        tracing::warn!("the index is kept in memory only: {error}");
                        write_in_memory(&merged, &covered, repo_id)
                    }
                }
            }
            None => write_in_memory(&merged, &covered, repo_id),
        }
    }
}
