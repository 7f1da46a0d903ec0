//! Makes levels: collects packs and records, merges them with other levels, writes the file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::SegmentInfo;
use super::level::{Covered, Level};
use super::merge::{MergeError, Merged, NumberedLevel};
use super::packs::{NewPack, Packs, Told};
use super::run::RunSource;
use super::sort::Sorter;
use super::write::{write_in_folder, write_in_memory};
use crate::error::{Error, Result};
use crate::format::header::{HEADER_LEN as PACK_HEADER_LEN, ObjectType};
use crate::format::index::IndexRecord;
use crate::format::pack::{Directory, PackType};
use crate::model::{BackupId, ObjectHash, RepoId};

/// Collects what goes into a level or a run. Holds about 60 bytes a pack and a million records;
/// more of them go to a temporary file, and runs are read from storage when they are needed.
pub(crate) struct LevelBuilder {
    pub(super) covered: Vec<Covered>,
    pub(super) packs: Packs,
    sorter: Sorter,
    runs: Vec<RunSource>,
    folder: Option<PathBuf>,
}

impl LevelBuilder {
    /// Collects with temporary files in `folder`, which must exist and be private; in memory
    /// without one.
    pub(super) fn new(folder: Option<&Path>) -> Self {
        Self {
            covered: Vec::new(),
            packs: Packs::new(folder),
            sorter: Sorter::new(folder),
            runs: Vec::new(),
            folder: folder.map(Path::to_path_buf),
        }
    }

    /// Notes that an index object is wholly in this level.
    pub(crate) fn cover(&mut self, object: ObjectHash, object_type: ObjectType) {
        self.covered.push(Covered { object, object_type });
    }

    /// How many records were collected.
    pub(crate) fn records_len(&self) -> u64 {
        self.sorter.len() + self.runs.iter().map(|run| run.records).sum::<u64>()
    }

    /// Adds a complete run.
    pub(super) fn add_run(&mut self, run: RunSource) {
        for (number, _) in run.numbers.iter().flatten() {
            self.packs.confirm(*number);
        }
        self.runs.push(run);
    }

    /// Leaves out a run that turned out to be unreadable.
    pub(super) fn remove_run(&mut self, run_id: BackupId) {
        let (bad, good) =
            std::mem::take(&mut self.runs).into_iter().partition(|run| run.run_id == run_id);
        self.runs = good;
        let bad: Vec<RunSource> = bad;
        for (number, _) in bad.iter().flat_map(|run| run.numbers.iter().flatten()) {
            self.packs.doubt(*number);
        }
        for (number, _) in self.runs.iter().flat_map(|run| run.numbers.iter().flatten()) {
            self.packs.confirm(*number);
        }
    }

    /// Adds a pack and all records of its (validated) directory, once.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the directory's parts do not fit each other or the pack,
    /// [`Error::Local`] if there is no room.
    pub(crate) fn add_directory(
        &mut self,
        hash: ObjectHash,
        len: u64,
        directory: &Directory,
    ) -> Result<()> {
        if self.packs.has_directory(&hash) {
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
        let pack = NewPack { hash, len, pack_type, segments };
        let pack_no = self.packs.add(&pack, Told::Directory)?;
        let mut chunks = directory.ids.0.as_chunks::<32>().0.iter().zip(&directory.lengths);
        for (segment_no, segment) in directory.segments.iter().enumerate() {
            let mut offset = 0_u32;
            for (id, len) in chunks.by_ref().take(segment.chunk_count as usize) {
                self.sorter.push(IndexRecord {
                    id: *id,
                    pack_no,
                    segment_no: segment_no as u32,
                    offset,
                    len: *len,
                })?;
                offset = offset.checked_add(*len).ok_or_else(damaged)?;
            }
        }
        Ok(())
    }

    /// What was collected, as sorted streams, without the packs in `dropped`.
    pub(crate) fn merged(&mut self, dropped: &HashSet<ObjectHash>) -> Merged<'_> {
        self.sorter.sort();
        let kept = self.packs.kept(dropped);
        let (packs, sorter, runs) = (&self.packs, &self.sorter, &self.runs[..]);
        Merged { packs, kept, sorter, runs, levels: Vec::new() }
    }

    /// Merges what was collected with other levels into a new level, without the packs in
    /// `dropped`: a file in the builder's folder, or anonymous memory.
    ///
    /// # Errors
    /// Runs and levels that cannot be read, and [`Error::Local`].
    pub(super) fn build(
        &mut self,
        others: &[Arc<Level>],
        dropped: &HashSet<ObjectHash>,
        repo_id: RepoId,
    ) -> Result<Level, MergeError> {
        let mut covered = self.covered.clone();
        for run in &self.runs {
            let tables = run.objects.len() - run.shard_count();
            let types = std::iter::repeat_n(ObjectType::PackTable, tables);
            let types = types.chain(std::iter::repeat(ObjectType::IndexRun));
            let objects = run.objects.iter().zip(types);
            covered.extend(
                objects.map(|(object, object_type)| Covered { object: *object, object_type }),
            );
        }
        for other in others {
            covered.extend(other.covered());
        }
        covered.sort();
        covered.dedup();
        let levels = self.number_levels(others)?;
        let folder = self.folder.clone();
        let mut merged = self.merged(dropped);
        merged.levels = levels;
        let Some(folder) = folder else { return write_in_memory(&merged, &covered, repo_id) };
        match write_in_folder(&merged, &covered, repo_id, &folder) {
            // A folder that cannot be written costs speed at the next start, nothing else.
            Err(MergeError::Other(error @ Error::Local { .. })) => {
                tracing::warn!("the index is kept in memory only: {error}");
                write_in_memory(&merged, &covered, repo_id)
            }
            written => written,
        }
    }

    /// What was collected as a level of this process only.
    ///
    /// # Errors
    /// [`Error::Local`] if there is no memory for it.
    pub(super) fn build_in_memory(
        &mut self,
        dropped: &HashSet<ObjectHash>,
        repo_id: RepoId,
    ) -> Result<Level, MergeError> {
        let covered = self.covered.clone();
        write_in_memory(&self.merged(dropped), &covered, repo_id)
    }

    /// Whether any index object would be in the level.
    pub(super) fn covers_any(&self) -> bool {
        !self.covered.is_empty() || !self.runs.is_empty()
    }

    /// Adds the packs of levels and tells their new numbers.
    fn number_levels(&mut self, levels: &[Arc<Level>]) -> Result<Vec<NumberedLevel>, MergeError> {
        let mut numbered = Vec::new();
        for level in levels {
            let mut numbers = Vec::with_capacity(level.pack_count() as usize);
            for pack_no in 0..level.pack_count() {
                let info = level.pack(pack_no);
                if info.hash == ObjectHash([0; 32]) {
                    return Err(MergeError::Level);
                }
                let unreadable = || Error::damaged("local index", "a segment is unreadable");
                let segments = (0..info.segments)
                    .map(|number| level.segment(pack_no, number).ok_or_else(unreadable));
                let added = self.packs.add_streamed(
                    info.hash,
                    info.len,
                    info.pack_type,
                    segments,
                    Told::Run,
                );
                numbers.push(added.map_err(|error| match error {
                    Error::Damaged { .. } => MergeError::Level,
                    error => MergeError::Other(error),
                })?);
            }
            numbered.push((Arc::clone(level), numbers));
        }
        Ok(numbered)
    }
}
