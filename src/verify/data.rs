//! The fourth step: reads packs whole and verifies every byte in them.
//!
//! Each worker reads a pack into its one buffer, piece by piece, and hashes each piece while the
//! processor still has it near. If the pack is what it was named after, its own directory is
//! opened and compared with the index, and all segments are opened in the buffer and their chunks
//! compared with their ids. If anything of that fails, the index's word is taken for where things
//! should be, and each segment is tried by itself: what is still good is not called lost.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::packs::PresentPack;
use super::report::{Collector, Severity, add};
use crate::error::{Error, Result};
use crate::format::header::HEADER_LEN;
use crate::format::pack::{Directory, PackType, TRAILER_LEN, Trailer};
use crate::model::{ChunkId, ObjectHash, PageId};
use crate::repository::{Damage, PackRef, Reader, Repository, SegmentInfo};
use crate::runtime::Runtime;

/// Bytes that are read at once: few enough to be hashed while they are in the cache.
const PIECE_LEN: usize = 1 << 20;
/// Bytes of all buffers together, unless one pack alone is larger.
const BUFFERS_MAX: u64 = 96 << 20;
/// No pack is longer; one that is would be read in vain.
const PACK_LEN_MAX: u64 = 512 << 20;

/// Reads and verifies `packs`; adds what is bad to `damage`.
pub(super) fn check(
    repository: &Repository,
    packs: &[PresentPack],
    damage: &mut Damage,
    collector: &Collector,
    runtime: &Runtime,
) -> Result<()> {
    let bytes = packs.iter().map(|pack| pack.stored_len).sum();
    runtime.progress.expect(packs.len() as u64, bytes);
    runtime.progress.expect_no_more();
    let longest = packs.iter().map(|pack| pack.stored_len).max().unwrap_or(0).max(1);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let fitting = usize::try_from(BUFFERS_MAX / longest).unwrap_or(usize::MAX).max(1);
    let workers = repository.storage().concurrency().max(cores).min(fitting.max(cores));

    let records = repository.index().records_per_pack();
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    let found = Mutex::new(Found::default());
    std::thread::scope(|scope| {
        for _ in 0..workers.min(packs.len()) {
            scope.spawn(|| {
                let mut worker = Worker {
                    repository,
                    collector,
                    runtime,
                    reader: repository.reader(),
                    plain: Vec::new(),
                    found: Found::default(),
                };
                let mut buffer = Vec::new();
                while let Some(pack) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let expected = records.get(&pack.pack).copied().unwrap_or(0);
                    if let Err(error) = worker.check(pack, expected, &mut buffer) {
                        // The others stop at their next pack.
                        next.store(packs.len(), Ordering::Relaxed);
                        failed.lock().get_or_insert(error);
                        break;
                    }
                }
                found.lock().merge(worker.found);
            });
        }
    });
    if let Some(error) = failed.into_inner() {
        return Err(error);
    }
    let mut found = found.into_inner();
    if !found.doubtful.is_empty() {
        salvage(repository, packs, &mut found, collector, runtime)?;
    }
    damage.bad_packs.extend(found.bad_packs);
    damage.segments.extend(found.segments);
    damage.copies.extend(found.copies);
    Ok(())
}

/// What workers found bad.
#[derive(Default)]
struct Found {
    segments: Vec<(ObjectHash, u32)>,
    copies: Vec<(ObjectHash, [u8; 32])>,
    bad_packs: Vec<(ObjectHash, PackType)>,
    /// Packs whose own directory is of no use, or says something else than the index.
    doubtful: Vec<PackRef>,
}

impl Found {
    fn merge(&mut self, other: Self) {
        self.bad_packs.extend(other.bad_packs);
        self.segments.extend(other.segments);
        self.copies.extend(other.copies);
        self.doubtful.extend(other.doubtful);
    }
}

struct Worker<'a> {
    repository: &'a Repository,
    collector: &'a Collector,
    runtime: &'a Runtime,
    reader: Reader<'a>,
    plain: Vec<u8>,
    found: Found,
}

impl Worker<'_> {
    /// Verifies one pack, read into `buffer`. An error is a reason to stop; damage is none.
    fn check(&mut self, pack: &PresentPack, records: u64, buffer: &mut Vec<u8>) -> Result<()> {
        let verified = grown(buffer, pack)
            .and_then(|bytes| self.read(pack, bytes).map(|()| bytes))
            .and_then(|bytes| self.verify(pack, bytes, records));
        match verified {
            Err(error) if error.is_damage() => {
                self.collector.damage(error)?;
                self.found.bad_packs.push((pack.info.hash, pack.info.pack_type));
                self.found.doubtful.push(pack.pack);
            }
            other => other?,
        }
        self.runtime.progress.done(1, 0);
        Ok(())
    }

    /// Reads a whole pack and compares its hash.
    fn read(&mut self, pack: &PresentPack, bytes: &mut [u8]) -> Result<()> {
        let name = pack.info.object_name();
        let mut hasher = blake3::Hasher::new();
        for (number, piece) in bytes.chunks_mut(PIECE_LEN).enumerate() {
            self.runtime.cancel.check()?;
            self.repository.storage().get_range(&name, (number * PIECE_LEN) as u64, piece)?;
            hasher.update(piece);
            add(&self.collector.counts.bytes_read, piece.len() as u64);
            self.runtime.progress.done(0, piece.len() as u64);
        }
        add(&self.collector.counts.packs_read, 1);
        if hasher.finalize() == pack.info.hash.0 {
            Ok(())
        } else {
            Err(Error::damaged(name, "its bytes are not those that it was named after"))
        }
    }

    fn verify(&mut self, pack: &PresentPack, bytes: &mut [u8], records: u64) -> Result<()> {
        let name = pack.info.object_name();
        let directory = self.directory(pack, bytes, &name)?;
        let differs = || Error::damaged(&name, "the index says something else than its directory");
        let agrees = self.repository.index_agrees(pack.pack, &directory, records);
        let segments = agrees.ok_or_else(differs)?;
        let mut chunks = directory.id_list().into_iter().zip(directory.lengths.iter().copied());
        for (number, (segment, listed)) in segments.iter().zip(&directory.segments).enumerate() {
            let chunks: Vec<([u8; 32], u32)> =
                chunks.by_ref().take(listed.chunk_count as usize).collect();
            let start = segment.offset as usize;
            // The directory's lengths were compared with the pack's when it was opened.
            let sealed = &mut bytes[start..start + segment.sealed_len as usize];
            self.segment(pack, number as u32, segment, sealed, &chunks)?;
        }
        Ok(())
    }

    fn directory(&self, pack: &PresentPack, bytes: &[u8], name: &str) -> Result<Directory> {
        let too_short = || Error::damaged(name, "it is too short");
        let head: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or_else(too_short)?;
        let end: &[u8; TRAILER_LEN] = bytes.last_chunk().ok_or_else(too_short)?;
        let trailer = Trailer::decode(end, bytes.len() as u64, name)?;
        let start = trailer.directory_offset as usize;
        let sealed = &bytes[start..start + trailer.directory_len as usize];
        self.repository.open_directory(head, sealed, &trailer, pack.info.pack_type, name)
    }

    /// Opens a segment and compares its chunks with their ids.
    fn segment(
        &mut self,
        pack: &PresentPack,
        number: u32,
        segment: &SegmentInfo,
        sealed: &mut [u8],
        chunks: &[([u8; 32], u32)],
    ) -> Result<()> {
        let opened = self.reader.decode_in_place(&pack.info, segment, sealed, &mut self.plain);
        let plain = match opened {
            Ok(raw) => raw.unwrap_or(&self.plain),
            Err(error) => {
                self.collector.damage(error)?;
                self.found.bad_packs.push((pack.info.hash, pack.info.pack_type));
                self.found.segments.push((pack.info.hash, number));
                return Ok(());
            }
        };
        let mut start = 0_usize;
        let mut bad = Vec::new();
        for (id, len) in chunks {
            let end = start + *len as usize;
            let good = plain
                .get(start..end)
                .is_some_and(|chunk| is_named(self.repository, pack.info.pack_type, id, chunk));
            if !good {
                bad.push(*id);
            }
            start = end;
        }
        add(&self.collector.counts.chunks_read, chunks.len() as u64);
        add(&self.collector.counts.plain_bytes, plain.len() as u64);
        for id in bad {
            put_bad_copy(self.collector, pack, &id);
            self.found.bad_packs.push((pack.info.hash, pack.info.pack_type));
            self.found.copies.push((pack.info.hash, id));
        }
        Ok(())
    }
}

/// As much of a buffer as a pack needs. It grows in one go: what is in it is of no use any more.
fn grown<'b>(buffer: &'b mut Vec<u8>, pack: &PresentPack) -> Result<&'b mut [u8]> {
    let damaged = |what: &str| Error::damaged(pack.info.object_name(), what);
    if pack.stored_len > PACK_LEN_MAX {
        return Err(damaged("it is longer than any pack"));
    }
    let len = pack.stored_len as usize;
    if buffer.len() < len {
        *buffer = Vec::new();
        buffer.try_reserve_exact(len).map_err(|_| damaged("it does not fit into memory"))?;
        buffer.resize(len, 0);
    }
    Ok(&mut buffer[..len])
}

/// Whether bytes are those that an id stands for.
fn is_named(repository: &Repository, pack_type: PackType, id: &[u8; 32], bytes: &[u8]) -> bool {
    match pack_type {
        PackType::Data => repository.constants().chunk_id(bytes) == ChunkId(*id),
        PackType::Meta => repository.constants().page_id(bytes) == PageId(*id),
    }
}

fn put_bad_copy(collector: &Collector, pack: &PresentPack, id: &[u8; 32]) {
    let what = match pack.info.pack_type {
        PackType::Data => format!("it holds other bytes than chunk {}", ChunkId(*id)),
        PackType::Meta => format!("it holds other bytes than page {}", PageId(*id)),
    };
    collector.put(Severity::Damage, pack.info.object_name(), what, None);
}

/// What the index says of one chunk in a doubtful pack.
struct Part {
    id: [u8; 32],
    segment_no: u32,
    start: u32,
    len: u32,
}

/// Finds out what is still good in packs whose directory is of no use: every segment that the
/// index knows is read by itself.
fn salvage(
    repository: &Repository,
    packs: &[PresentPack],
    found: &mut Found,
    collector: &Collector,
    runtime: &Runtime,
) -> Result<()> {
    let mut parts: HashMap<PackRef, Vec<Part>> =
        found.doubtful.drain(..).map(|pack| (pack, Vec::new())).collect();
    repository.index().for_each(&mut |id, place| {
        if let Some(parts) = parts.get_mut(&place.pack) {
            let (segment_no, start, len) = (place.segment_no, place.offset, place.len);
            parts.push(Part { id: *id, segment_no, start, len });
        }
    });
    let mut reader = repository.reader();
    for pack in packs {
        let Some(parts) = parts.get_mut(&pack.pack) else { continue };
        parts.sort_unstable_by_key(|part| (part.segment_no, part.start));
        for parts in parts.chunk_by(|a, b| a.segment_no == b.segment_no) {
            runtime.cancel.check()?;
            let number = parts[0].segment_no;
            let plain = match reader.fresh_segment((pack.pack, number)) {
                Ok(plain) => plain,
                Err(error) => {
                    if !is_past_end(repository, pack, number) {
                        collector.damage(error)?;
                    }
                    found.segments.push((pack.info.hash, number));
                    continue;
                }
            };
            for part in parts {
                let (start, len) = (part.start as usize, part.len as usize);
                let good =
                    start.checked_add(len).and_then(|end| plain.get(start..end)).is_some_and(
                        |bytes| is_named(repository, pack.info.pack_type, &part.id, bytes),
                    );
                if !good {
                    put_bad_copy(collector, pack, &part.id);
                    found.copies.push((pack.info.hash, part.id));
                }
            }
        }
    }
    Ok(())
}

/// Whether a segment is cut off, which was reported once for the whole pack.
fn is_past_end(repository: &Repository, pack: &PresentPack, number: u32) -> bool {
    repository
        .index()
        .segment(pack.pack, number)
        .is_some_and(|s| s.offset + u64::from(s.sealed_len) > pack.stored_len)
}
