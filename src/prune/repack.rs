//! Packs anew what lives in packs that are mostly unused (SPEC.md, section 13, p2).
//!
//! Segments that mostly live are copied as they are; of others the living chunks are sealed anew,
//! those of each segment by themselves: chunks of two clients must not share one. Damage is never
//! copied: bytes are taken over only if the whole pack is what its name says, or if the segment's
//! seal opens. Otherwise damage would sit in a pack whose name says that all is well.

use std::collections::HashSet;

use super::decide::copied_whole;
use super::options::Tally;
use super::survey::Survey;
use super::weigh::{PackWeight, Weights, chosen_in, is_data};
use crate::crypto::object_hash;
use crate::error::{Error, Result};
use crate::format::pack::Directory;
use crate::model::{ChunkId, ObjectHash, PageId};
use crate::repository::{
    Added, PackWriter, Reader, SegmentInfo, SegmentUse, SegmentWriter, WriterOptions,
};
use crate::runtime::Phase;

/// Above so many bytes a plan estimates what is written.
const MEASURED_MAX: u64 = 4 << 30;

/// What for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repacking {
    /// To win space: a pack with damage stays as it is, and nothing more of it is copied.
    Frees,
    /// To save what lives in condemned packs: all that is sound of them is copied.
    Saves,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Repacked {
    /// Packs of which everything that lives is in new packs.
    pub(super) done: Vec<ObjectHash>,
    /// Packs that could not be read: they stay.
    pub(super) failed: Vec<Error>,
    /// What was written.
    pub(super) added: Added,
}

/// A chunk of a directory: its id and where it is in the plain segment.
struct Chunk {
    id: [u8; 32],
    offset: u32,
    len: u32,
}

/// Packs anew what lives in the packs with these numbers.
///
/// Which pack a segment goes to follows from a key and from the packs that are packed anew. So
/// [`measure`] finds out to the byte what this will write.
pub(super) fn repack(
    survey: &Survey<'_>,
    weights: &mut Weights,
    numbers: &[usize],
    repacking: Repacking,
) -> Result<Repacked> {
    work(survey, weights, numbers, repacking, false)
}

/// What packing these packs anew would write, and whether that is exact: what is sealed anew has
/// to be read for that, so much of it is only estimated.
pub(super) fn measure(
    survey: &Survey<'_>,
    weights: &mut Weights,
    numbers: &[usize],
) -> Result<(Tally, bool)> {
    let living = |number: &usize| {
        let pack = &weights.packs[*number];
        let part = u128::from(pack.living_plain) * u128::from(pack.info.len);
        (part / u128::from(pack.plain.max(1))) as u64
    };
    let bytes: u64 = numbers.iter().map(living).sum();
    if bytes > MEASURED_MAX {
        let target = survey.repository.config().pack_target.max(1);
        return Ok((Tally { packs: bytes.div_ceil(target), bytes }, false));
    }
    let measured = work(survey, weights, numbers, Repacking::Frees, true)?;
    let added = measured.added;
    Ok((Tally { packs: added.packs, bytes: added.stored_bytes }, measured.failed.is_empty()))
}

fn work(
    survey: &Survey<'_>,
    weights: &mut Weights,
    numbers: &[usize],
    repacking: Repacking,
    dry_run: bool,
) -> Result<Repacked> {
    let mut repacked = Repacked::default();
    if numbers.is_empty() {
        return Ok(repacked);
    }
    let (repository, runtime) = (survey.repository, survey.runtime);
    if !dry_run {
        runtime.progress.phase(Phase::Repacking);
    }
    let wanted: HashSet<usize> = numbers.iter().copied().collect();
    let chosen = chosen_in(repository, &survey.living, weights, &wanted, runtime)?;
    let expected: u64 = numbers.iter().map(|number| weights.packs[*number].info.len).sum();
    runtime.progress.expect(numbers.len() as u64, expected);
    runtime.progress.expect_no_more();
    let names: Vec<u8> =
        numbers.iter().flat_map(|number| weights.packs[*number].info.hash.0).collect();
    let options = WriterOptions {
        pack_target: survey.options.pack_target,
        placement: Some(repository.constants().chunk_id(&names).0),
        dry_run,
        ..WriterOptions::default()
    };
    let writer = repository.pack_writer(&options, runtime);
    let mut worker = Worker {
        survey,
        strict: survey.options.max_unused.is_none(),
        data: writer.segment_writer(SegmentUse::LargeFiles),
        meta: writer.segment_writer(SegmentUse::Pages),
        reader: repository.reader(),
        writer: &writer,
        plain: Vec::new(),
        repacking,
        dry_run,
    };
    let mut ran = Ok(());
    for number in numbers {
        if let Err(error) = survey.renew_lease() {
            ran = Err(error);
            break;
        }
        let pack = &weights.packs[*number];
        let first = chosen.partition_point(|(other, _, _)| (*other as usize) < *number);
        let end = chosen.partition_point(|(other, _, _)| (*other as usize) <= *number);
        match worker.pack(pack, &chosen[first..end]) {
            Ok(()) => repacked.done.push(pack.info.hash),
            Err(error) if error.is_damage() => repacked.failed.push(error),
            Err(error) => {
                ran = Err(error);
                break;
            }
        }
        runtime.progress.done(1, pack.info.len);
    }
    drop(worker);
    // What was packed is named, whatever happened: the next run need not do it again.
    let added = writer.finish();
    ran?;
    repacked.added = added?;
    Ok(repacked)
}

struct Worker<'a> {
    survey: &'a Survey<'a>,
    strict: bool,
    data: SegmentWriter,
    meta: SegmentWriter,
    reader: Reader<'a>,
    writer: &'a PackWriter,
    plain: Vec<u8>,
    repacking: Repacking,
    dry_run: bool,
}

impl Worker<'_> {
    fn pack(&mut self, pack: &PackWeight, chosen: &[(u32, u32, u32)]) -> Result<()> {
        let info = &pack.info;
        let repository = self.survey.repository;
        let directory = repository.pack_directory(info.hash, info.len, info.pack_type)?;
        let segments = segments_of(&directory);
        let needed: Vec<u32> = {
            let mut needed: Vec<u32> = chosen.iter().map(|(_, segment, _)| *segment).collect();
            needed.dedup();
            needed
        };
        let infos = needed
            .iter()
            .map(|number| repository.index().segment(pack.pack, *number))
            .collect::<Option<Vec<SegmentInfo>>>()
            .ok_or_else(|| Error::damaged(info.object_name(), "it has no such segment"))?;
        let bytes: u64 = infos.iter().map(|segment| u64::from(segment.sealed_len)).sum();
        let wants_whole = bytes * 2 >= info.len && !self.dry_run;
        let whole = if wants_whole { self.whole(pack)? } else { None };
        let mut damage = None;
        for (number, segment) in needed.iter().zip(&infos) {
            self.survey.runtime.cancel.check()?;
            let chunks = segments.get(*number as usize).map_or(&[][..], |chunks| chunks);
            let first = chosen.partition_point(|(_, other, _)| other < number);
            let end = chosen.partition_point(|(_, other, _)| other <= number);
            let done = self.segment(pack, segment, whole.as_deref(), chunks, &chosen[first..end]);
            match done {
                Err(error) if error.is_damage() && self.repacking == Repacking::Saves => {
                    damage = damage.or(Some(error));
                }
                done => done?,
            }
        }
        damage.map_or(Ok(()), Err)
    }

    /// Takes over what was chosen in a segment.
    fn segment(
        &mut self,
        pack: &PackWeight,
        segment: &SegmentInfo,
        whole: Option<&[u8]>,
        chunks: &[Chunk],
        offsets: &[(u32, u32, u32)],
    ) -> Result<()> {
        let (repository, info) = (self.survey.repository, &pack.info);
        let living: Vec<&Chunk> = chunks
            .iter()
            .filter(|chunk| offsets.binary_search_by_key(&chunk.offset, |(_, _, at)| *at).is_ok())
            .collect();
        if living.len() != offsets.len() {
            let what = "its directory and the index differ";
            return Err(Error::damaged(info.object_name(), what));
        }
        let as_it_is = self.is_copied_whole(segment, &living);
        let sealed = match whole {
            // Its length is all that counts.
            None if self.dry_run && as_it_is => vec![0; segment.sealed_len as usize],
            Some(pack) => part(pack, segment, &info.object_name())?,
            None => {
                let mut sealed = vec![0; segment.sealed_len as usize];
                let name = info.object_name();
                repository.storage().get_range(&name, segment.offset, &mut sealed)?;
                sealed
            }
        };
        if as_it_is {
            self.copy(pack, segment, sealed, whole.is_some(), chunks)
        } else {
            self.seal_anew(pack, segment, sealed, &living)
        }
    }

    fn is_copied_whole(&self, segment: &SegmentInfo, living: &[&Chunk]) -> bool {
        let survey = self.survey;
        let living_plain: u64 = living.iter().map(|chunk| u64::from(chunk.len)).sum();
        let is_current = segment.epoch == survey.repository.data_epoch();
        copied_whole(u64::from(segment.plain_len), living_plain, self.strict)
            && (is_current || !survey.options.reseal_old_epochs)
    }

    /// All bytes of a pack, if they are what its name says.
    fn whole(&self, pack: &PackWeight) -> Result<Option<Vec<u8>>> {
        let bytes =
            self.survey.repository.storage().get(&pack.info.object_name(), pack.info.len)?;
        Ok((object_hash(&[&bytes]) == pack.info.hash).then_some(bytes))
    }

    fn copy(
        &mut self,
        pack: &PackWeight,
        segment: &SegmentInfo,
        sealed: Vec<u8>,
        is_verified: bool,
        chunks: &[Chunk],
    ) -> Result<()> {
        if !is_verified && !self.dry_run {
            let mut scratch = sealed.clone();
            self.reader.decode(&pack.info, segment, &mut scratch, &mut self.plain)?;
        }
        let chunks = chunks.iter().map(|chunk| (chunk.id, chunk.len)).collect();
        self.writer.copy_segment(pack.info.pack_type, segment, sealed, chunks)
    }

    fn seal_anew(
        &mut self,
        pack: &PackWeight,
        segment: &SegmentInfo,
        mut sealed: Vec<u8>,
        living: &[&Chunk],
    ) -> Result<()> {
        self.reader.decode(&pack.info, segment, &mut sealed, &mut self.plain)?;
        let constants = self.survey.repository.constants();
        let into = if is_data(&pack.info) { &mut self.data } else { &mut self.meta };
        let mut damage = None;
        for chunk in living {
            let start = chunk.offset as usize;
            let bytes = self.plain.get(start..start + chunk.len as usize);
            let bytes = bytes.filter(|bytes| match is_data(&pack.info) {
                true => constants.chunk_id(bytes) == ChunkId(chunk.id),
                false => constants.page_id(bytes) == PageId(chunk.id),
            });
            match bytes {
                Some(bytes) => into.push(&chunk.id, bytes)?,
                None => {
                    let what = format!("it holds other bytes than chunk {}", ChunkId(chunk.id));
                    damage = Some(Error::damaged(pack.info.object_name(), what));
                }
            }
        }
        into.flush()?;
        damage.map_or(Ok(()), Err)
    }
}

fn part(pack: &[u8], segment: &SegmentInfo, name: &str) -> Result<Vec<u8>> {
    let start = usize::try_from(segment.offset).unwrap_or(usize::MAX);
    let end = start.saturating_add(segment.sealed_len as usize);
    let part = pack.get(start..end).map(<[u8]>::to_vec);
    part.ok_or_else(|| Error::damaged(name, "the index points outside of it"))
}

/// The chunks of each segment.
fn segments_of(directory: &Directory) -> Vec<Vec<Chunk>> {
    let ids = directory.id_list();
    let mut all = ids.iter().zip(&directory.lengths);
    directory
        .segments
        .iter()
        .map(|segment| {
            let mut offset = 0_u32;
            let chunks = all.by_ref().take(segment.chunk_count as usize).map(|(id, len)| {
                let chunk = Chunk { id: *id, offset, len: *len };
                offset = offset.saturating_add(*len);
                chunk
            });
            chunks.collect()
        })
        .collect()
}
