//! Saves what can be read of damaged packs.
//!
//! Every segment that such a pack should have is tried by itself. One that opens, and whose chunks
//! are what their ids say, is copied into a new pack as it is, unless all of it is in other packs
//! anyway. Then the damaged packs are put on a damage list: no backup relies on them any more, so
//! the next one stores again what could not be saved, if the source still has it. They stay where
//! they are, and readers still try them.

use std::collections::HashSet;

use serde::Serialize;

use super::candidates::{Candidate, Indexed, Part, of_directory};
use crate::error::{Error, Result};
use crate::format::pack::{PackType, SEGMENT_PLAIN_MAX};
use crate::model::{ChunkId, ObjectHash, PageId};
use crate::repository::{
    Author, Claims, Damage, PackInfo, PackWriter, Reader, Repository, SegmentUse, SegmentWriter,
    WriterOptions, pack_name,
};
use crate::runtime::{Phase, Runtime};

/// Bytes that are read at once to compare a pack with its name.
const PIECE_LEN: usize = 1 << 20;

/// How packs are repaired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackRepairOptions {
    /// Says what would be done, and writes nothing.
    pub dry_run: bool,
}

/// What a repair of packs found and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PackRepair {
    /// Whether nothing was written.
    pub dry_run: bool,
    /// The packs that were looked into.
    pub packs: Vec<RepairedPack>,
    /// Chunks and pages that were saved: they have a good copy again.
    pub salvaged_chunks: u64,
    /// Their bytes before compression.
    pub salvaged_bytes: u64,
    /// Chunks and pages of which no good copy is left.
    pub lost_chunks: u64,
    /// What is bad, to find the files that it costs.
    #[serde(skip)]
    pub damage: Damage,
}

impl PackRepair {
    /// Packs of which nobody knows what is in them.
    pub fn unreadable(&self) -> impl Iterator<Item = &RepairedPack> {
        self.packs.iter().filter(|pack| pack.state == PackState::Unreadable)
    }
}

/// One pack that was looked into.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RepairedPack {
    /// Its object.
    pub name: String,
    /// How it is.
    pub state: PackState,
    /// Chunks and pages of it that were saved.
    pub salvaged_chunks: u64,
    /// Chunks and pages of it that have a good copy elsewhere anyway.
    pub safe_chunks: u64,
    /// Chunks and pages of it of which no good copy is left.
    pub lost_chunks: u64,
}

/// How a pack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PackState {
    /// It is what it was named after, and all of it opens.
    Whole,
    /// It holds wrong bytes, or too few, or cannot be read everywhere.
    Damaged,
    /// It is on a damage list and whole nevertheless, as one that was put back from a copy: nobody
    /// relies on it, so what is in it is saved like that of a damaged one.
    Returned,
    /// It is not there.
    Missing,
    /// It is damaged, and neither it nor the index tells what should be in it.
    Unreadable,
}

impl PackState {
    /// The word used on screens and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Damaged => "damaged",
            Self::Returned => "returned",
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Repairs packs. Those that turn out to be whole are left alone.
///
/// # Errors
/// The storage's, and [`Error::Cancelled`]. Damage is no error: it is in the report.
pub fn repair_packs(
    repository: &Repository,
    packs: &[ObjectHash],
    options: &PackRepairOptions,
    author: &Author,
    runtime: &Runtime,
) -> Result<PackRepair> {
    runtime.progress.phase(Phase::SalvagingPacks);
    if options.dry_run {
        repository.look_over(runtime)?;
        return Salvage::new(repository, None, runtime).run(packs);
    }
    let (session, _) = repository.begin_session("repair packs", &author.host, runtime)?;
    let writer = repository.pack_writer(&WriterOptions::default(), runtime);
    let salvaged = Salvage::new(repository, Some(&writer), runtime).run(packs);
    // Whatever happened: what was saved is saved.
    let finished = writer.finish();
    let done = salvaged.and_then(|report| {
        finished?;
        condemn(repository, &report, runtime)?;
        Ok(report)
    });
    if let Err(error) = session.end() {
        // What was saved is in the index without this.
        tracing::warn!("the session could not be closed: {error}");
    }
    done
}

/// Puts damaged packs on a damage list, once what they hold is safe.
fn condemn(repository: &Repository, report: &PackRepair, runtime: &Runtime) -> Result<()> {
    let known = repository.damaged_packs(&mut Vec::new())?;
    let bad = report.damage.bad_packs.keys().filter(|pack| !known.contains(*pack));
    let mut bad: Vec<ObjectHash> = bad.copied().collect();
    bad.sort_unstable();
    if bad.is_empty() {
        return Ok(());
    }
    repository.put_damage_list(&bad, runtime.clock.now_ms())
}

struct Salvage<'a> {
    repository: &'a Repository,
    writer: Option<&'a PackWriter>,
    runtime: &'a Runtime,
    reader: Reader<'a>,
    /// Packs on damage lists.
    known: HashSet<ObjectHash>,
    /// In a dry run, what would be saved.
    claims: Claims,
    report: PackRepair,
    /// Bad chunks by pack, to see in the end which of them are lost.
    bad: Vec<(usize, [u8; 32])>,
}

impl<'a> Salvage<'a> {
    fn new(
        repository: &'a Repository,
        writer: Option<&'a PackWriter>,
        runtime: &'a Runtime,
    ) -> Self {
        Self {
            repository,
            writer,
            runtime,
            reader: repository.reader(),
            known: HashSet::new(),
            claims: Claims::default(),
            report: PackRepair { dry_run: writer.is_none(), ..PackRepair::default() },
            bad: Vec::new(),
        }
    }

    fn run(mut self, packs: &[ObjectHash]) -> Result<PackRepair> {
        let listed = self.repository.list_packs()?;
        self.known = self.repository.damaged_packs(&mut Vec::new())?;
        let indexed = Indexed::of(self.repository, packs);
        let of = |pack: &ObjectHash| listed.get(pack);
        let bytes = packs.iter().filter_map(of).map(|(len, _)| len).sum();
        self.runtime.progress.expect(packs.len() as u64, bytes);
        self.runtime.progress.expect_no_more();
        let mut damaged = Vec::new();
        for pack in packs {
            let known = indexed.get(pack);
            let looked = self.look(*pack, listed.get(pack), known)?;
            self.runtime.progress.done(1, 0);
            damaged.extend(looked);
        }
        // From here on no copy in any of them counts as the good one.
        self.repository.distrust(damaged.iter().map(|pack| pack.info.hash));
        for pack in &damaged {
            self.pack(pack)?;
        }
        for (number, id) in std::mem::take(&mut self.bad) {
            let is_safe = self.claims().contains(self.repository.index(), &id);
            let pack = &mut self.report.packs[number];
            if is_safe {
                pack.safe_chunks += 1;
            } else {
                pack.lost_chunks += 1;
                self.report.lost_chunks += 1;
            }
        }
        Ok(self.report)
    }

    fn claims(&self) -> &Claims {
        self.writer.map_or(&self.claims, PackWriter::claims)
    }

    /// Finds out how a pack is, and what should be in it if it is damaged.
    fn look(
        &mut self,
        hash: ObjectHash,
        listed: Option<(u64, PackType)>,
        known: Option<&(PackInfo, Vec<Candidate>)>,
    ) -> Result<Option<DamagedPack>> {
        let Some((len, pack_type)) = listed else {
            let name = known.map_or_else(|| hash.to_string(), |(info, _)| info.object_name());
            let number = self.put(name, PackState::Missing);
            self.report.damage.missing_packs.insert(hash);
            for part in known.into_iter().flat_map(|(_, all)| all).flat_map(|c| &c.chunks) {
                self.bad.push((number, part.id));
            }
            return Ok(None);
        };
        let name = pack_name(pack_type, hash);
        let info = PackInfo { hash, len, pack_type, segments: 0 };
        let has_name = self.is_named(&name, len, hash)?;
        let own = match of_directory(self.repository, hash, len, pack_type) {
            Ok(candidates) => candidates,
            Err(error) if error.is_damage() => Vec::new(),
            Err(error) => return Err(error),
        };
        let is_whole = has_name && self.all_open(&info, &own)?;
        // What a damage list names is copied even so: nobody relies on it.
        if is_whole && !self.known.contains(&hash) {
            self.put(name, PackState::Whole);
            return Ok(None);
        }
        let by_index = known.map(|(_, candidates)| &candidates[..]).unwrap_or_default();
        let mut candidates = own;
        // What the index says otherwise is tried too: the bytes may be those of another pack.
        let fresh = |c: &&Candidate| !candidates.iter().any(|own| own.segment == c.segment);
        let more: Vec<Candidate> = by_index.iter().filter(fresh).cloned().collect();
        candidates.extend(more);
        let expected: HashSet<[u8; 32]> =
            by_index.iter().flat_map(|c| &c.chunks).map(|part| part.id).collect();
        self.report.damage.bad_packs.insert(hash, pack_type);
        let state = match candidates.is_empty() {
            true => PackState::Unreadable,
            false if is_whole => PackState::Returned,
            false => PackState::Damaged,
        };
        let number = self.put(name, state);
        Ok(Some(DamagedPack { number, info, candidates, expected }))
    }

    fn put(&mut self, name: String, state: PackState) -> usize {
        let (salvaged_chunks, safe_chunks, lost_chunks) = (0, 0, 0);
        let pack = RepairedPack { name, state, salvaged_chunks, safe_chunks, lost_chunks };
        self.report.packs.push(pack);
        self.report.packs.len() - 1
    }

    /// Whether all bytes can be read and are those that the pack was named after.
    fn is_named(&self, name: &str, len: u64, hash: ObjectHash) -> Result<bool> {
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0; PIECE_LEN];
        let mut at = 0;
        while at < len {
            self.runtime.cancel.check()?;
            let part = &mut piece[..PIECE_LEN.min(usize::try_from(len - at).unwrap_or(usize::MAX))];
            match self.repository.storage().get_range(name, at, part).map_err(Error::from) {
                Ok(()) => {}
                Err(error) if error.is_damage() => return Ok(false),
                Err(error) => return Err(error),
            }
            hasher.update(part);
            at += part.len() as u64;
            self.runtime.progress.done(0, part.len() as u64);
        }
        Ok(hasher.finalize() == hash.0)
    }

    fn all_open(&mut self, info: &PackInfo, candidates: &[Candidate]) -> Result<bool> {
        for candidate in candidates {
            self.runtime.cancel.check()?;
            match self.open(info, candidate)? {
                Some(opened) if opened.good.len() == candidate.chunks.len() => {}
                _ => return Ok(false),
            }
        }
        Ok(!candidates.is_empty())
    }

    /// Reads and opens a segment. `None` if it cannot be.
    fn open(&mut self, info: &PackInfo, candidate: &Candidate) -> Result<Option<Opened>> {
        let segment = &candidate.segment;
        if segment.sealed_len > SEGMENT_PLAIN_MAX + (1 << 20) {
            return Ok(None);
        }
        let mut sealed = vec![0; segment.sealed_len as usize];
        let storage = self.repository.storage();
        let read = storage.get_range(&info.object_name(), segment.offset, &mut sealed);
        let mut plain = Vec::new();
        let opened = read.map_err(Error::from).and_then(|()| {
            let mut scratch = sealed.clone();
            self.reader.decode(info, segment, &mut scratch, &mut plain)
        });
        match opened {
            Ok(()) => {}
            Err(error) if error.is_damage() => return Ok(None),
            Err(error) => return Err(error),
        }
        let good = candidate.chunks.iter().filter(|part| {
            let (start, len) = (part.start as usize, part.len as usize);
            start
                .checked_add(len)
                .and_then(|end| plain.get(start..end))
                .is_some_and(|bytes| self.is_chunk(info.pack_type, &part.id, bytes))
        });
        let good = good.copied().collect();
        Ok(Some(Opened { sealed, plain, good }))
    }

    fn is_chunk(&self, pack_type: PackType, id: &[u8; 32], bytes: &[u8]) -> bool {
        let constants = self.repository.constants();
        match pack_type {
            PackType::Data => constants.chunk_id(bytes) == ChunkId(*id),
            PackType::Meta => constants.page_id(bytes) == PageId(*id),
        }
    }

    /// Saves what can be read of a damaged pack.
    fn pack(&mut self, pack: &DamagedPack) -> Result<()> {
        let mut writer = self.writer.map(|writer| {
            writer.segment_writer(match pack.info.pack_type {
                PackType::Data => SegmentUse::Files,
                PackType::Meta => SegmentUse::Pages,
            })
        });
        let mut seen = HashSet::new();
        for candidate in &pack.candidates {
            self.runtime.cancel.check()?;
            let Some(opened) = self.open(&pack.info, candidate)? else { continue };
            seen.extend(opened.good.iter().map(|part| part.id));
            self.save(pack, candidate, opened, writer.as_mut())?;
        }
        let all = pack.candidates.iter().flat_map(|candidate| &candidate.chunks);
        let all: HashSet<[u8; 32]> =
            all.map(|part| part.id).chain(pack.expected.iter().copied()).collect();
        for id in all.difference(&seen) {
            self.bad.push((pack.number, *id));
            self.report.damage.copies.insert((pack.info.hash, *id));
        }
        Ok(())
    }

    fn save(
        &mut self,
        pack: &DamagedPack,
        candidate: &Candidate,
        opened: Opened,
        writer: Option<&mut SegmentWriter>,
    ) -> Result<()> {
        let index = self.repository.index();
        let is_needed = |part: &&Part| self.claims().claim(index, &part.id);
        let needed: Vec<Part> = opened.good.iter().filter(is_needed).copied().collect();
        let report = &mut self.report.packs[pack.number];
        report.safe_chunks += (opened.good.len() - needed.len()) as u64;
        report.salvaged_chunks += needed.len() as u64;
        self.report.salvaged_chunks += needed.len() as u64;
        self.report.salvaged_bytes += needed.iter().map(|part| u64::from(part.len)).sum::<u64>();
        let (Some(packs), Some(writer)) = (self.writer, writer) else { return Ok(()) };
        if needed.is_empty() {
            return Ok(());
        }
        if opened.good.len() == candidate.chunks.len() && candidate.is_complete() {
            let chunks = candidate.chunks.iter().map(|part| (part.id, part.len)).collect();
            let pack_type = pack.info.pack_type;
            return packs.copy_segment(pack_type, &candidate.segment, opened.sealed, chunks);
        }
        for part in needed {
            let (start, len) = (part.start as usize, part.len as usize);
            writer.push(&part.id, &opened.plain[start..start + len])?;
        }
        // Chunks of different clients must not meet in one segment.
        writer.flush()
    }
}

struct DamagedPack {
    /// Its number in the report.
    number: usize,
    info: PackInfo,
    candidates: Vec<Candidate>,
    /// What the index says that is in it.
    expected: HashSet<[u8; 32]>,
}

/// A segment that could be read.
struct Opened {
    sealed: Vec<u8>,
    plain: Vec<u8>,
    /// Chunks that are what they should be.
    good: Vec<Part>,
}
