//! Reads chunks for open files, and ahead of whoever reads in order: on all cores, and where every
//! request waits for a network with many of them on the way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use parking_lot::Mutex;

use super::damaged::DamagedChunks;
use super::file::Stored;
use super::trouble::{Freshness, Said};
use crate::error::{Error, Result};
use crate::model::ChunkId;
use crate::repository::{PackRef, Reader, Repository};

/// Storage that takes more calls at once than this is one where calls wait for a network.
const LOCAL_CALLS: usize = 4;
/// Threads for such storage, at most and at least.
const CALLERS: (usize, usize) = (8, 32);
/// Threads that decode what comes from a disk, at most.
const DECODERS_MAX: usize = 8;
/// What each thread may have before it and behind it, in bytes of files.
const BYTES_PER_THREAD: u64 = 2 << 20;
/// Least bytes that are read ahead of somebody who reads in order.
pub(super) const WINDOW_MIN: u64 = 1 << 20;
/// Jobs that wait for a thread.
const QUEUE_PER_THREAD: usize = 4;
/// Segments of a pack that are read before anybody asks, while its segments are asked for in order:
/// from a disk, and from storage where calls wait for a network.
const SEGMENTS_AHEAD: (u32, u32) = (2, 8);
/// Packs whose last segment is remembered.
const PACKS_KEPT: usize = 64;

/// What threads work on.
pub(super) enum Job {
    /// Chunks of an open file that are in one segment: where they start in it.
    Chunks(Weak<Stored>, Vec<u64>),
    /// A segment that somebody will probably ask for.
    Segment(PackRef, u32),
}

/// What all open files share. Its threads end with it.
pub(super) struct Ahead {
    source: Arc<Source>,
    jobs: Sender<Job>,
    /// Most bytes that are read ahead for one reader.
    window_max: u64,
    segments_ahead: u32,
}

/// Where chunks come from.
pub(super) struct Source {
    repository: Arc<Repository>,
    /// Bytes of chunks that open files hold or have asked for, and how many they should hold
    /// together.
    held: AtomicU64,
    held_max: u64,
    freshness: Arc<Freshness>,
    said: Arc<Said>,
    /// The segment up to which the packs used last were read or asked for.
    reached: Mutex<HashMap<PackRef, u32>>,
    damaged: DamagedChunks,
}

impl Ahead {
    /// Reads from `repository`. Open files together hold about `cache_bytes` of what was read ahead,
    /// and each at most half of that.
    pub(super) fn new(
        repository: &Arc<Repository>,
        freshness: &Arc<Freshness>,
        said: &Arc<Said>,
        cache_bytes: usize,
    ) -> Arc<Self> {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let calls = repository.storage().concurrency();
        let (threads, segments_ahead) = match calls > LOCAL_CALLS {
            true => (calls.clamp(CALLERS.0, CALLERS.1), SEGMENTS_AHEAD.1),
            false => (cores.min(DECODERS_MAX), SEGMENTS_AHEAD.0),
        };
        let (jobs, queue) = crossbeam_channel::bounded(threads * QUEUE_PER_THREAD);
        let source = Arc::new(Source {
            repository: Arc::clone(repository),
            held: AtomicU64::new(0),
            held_max: cache_bytes as u64,
            freshness: Arc::clone(freshness),
            said: Arc::clone(said),
            reached: Mutex::default(),
            damaged: DamagedChunks::default(),
        });
        for _ in 0..threads {
            let (source, queue) = (Arc::clone(&source), queue.clone());
            // Without the thread others do its work: at the latest whoever asks for the bytes.
            let _ = std::thread::Builder::new()
                .name("read-ahead".into())
                .spawn(move || work(&source, &queue));
        }
        let window_max = (threads as u64 * BYTES_PER_THREAD).min(cache_bytes as u64 / 2);
        Arc::new(Self { source, jobs, window_max: window_max.max(WINDOW_MIN), segments_ahead })
    }

    /// Where chunks come from.
    pub(super) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Most bytes that are read ahead for one reader.
    pub(super) fn window_max(&self) -> u64 {
        self.window_max
    }

    /// Has something read by another thread. `false` if they have enough to do.
    pub(super) fn ask(&self, job: Job) -> bool {
        match self.jobs.try_send(job) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// Says that a chunk was wanted that is in segment `segment_no` of `pack`. If its segments are
    /// wanted in order, as by whoever copies a folder of small files, the next are read.
    pub(super) fn wanted(&self, pack: PackRef, segment_no: u32) {
        let until = segment_no.saturating_add(self.segments_ahead);
        let from = {
            let mut reached = self.source.reached.lock();
            if reached.len() >= PACKS_KEPT && !reached.contains_key(&pack) {
                reached.clear();
            }
            let before = reached.insert(pack, segment_no);
            match before {
                // Elsewhere in the pack, or there for the first time.
                None => return,
                Some(before) if before.saturating_add(1) < segment_no => return,
                Some(before) if before > until.saturating_add(self.segments_ahead) => return,
                Some(before) if before >= until => {
                    reached.insert(pack, before);
                    return;
                }
                Some(before) => {
                    reached.insert(pack, until);
                    before.max(segment_no) + 1
                }
            }
        };
        for number in from..=until {
            self.ask(Job::Segment(pack, number));
        }
    }
}

fn work(source: &Source, queue: &Receiver<Job>) {
    let mut reader = source.repository.reader();
    for job in queue {
        match job {
            Job::Chunks(file, starts) => {
                // A file that was closed meanwhile needs nothing.
                let Some(file) = file.upgrade() else { continue };
                for start in starts {
                    file.fetch_queued(&mut reader, start);
                }
            }
            Job::Segment(pack, number) => {
                if source.repository.index().segment(pack, number).is_some() {
                    // Whoever really needs it meets the error.
                    let _ = reader.segment((pack, number));
                }
            }
        }
    }
}

impl Source {
    pub(super) fn repository(&self) -> &Arc<Repository> {
        &self.repository
    }

    /// Says once that a file cannot be read.
    pub(super) fn say(&self, shown_path: &str, error: &Error) {
        self.said.say(shown_path, error);
    }

    /// Counts bytes that an open file holds from now on.
    pub(super) fn hold(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that an open file let go of.
    pub(super) fn release(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes that open files hold or have asked for.
    #[cfg(test)]
    pub(super) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// How many bytes open files should hold together.
    pub(super) fn held_max(&self) -> u64 {
        self.held_max
    }

    /// Whether open files hold as much as they should.
    pub(super) fn is_full(&self) -> bool {
        self.held.load(Ordering::Relaxed) >= self.held_max
    }

    /// The bytes of a chunk that has to have this length; they were checked against its id.
    ///
    /// # Errors
    /// As [`Reader::chunk`].
    pub(super) fn chunk(&self, reader: &mut Reader<'_>, id: ChunkId, len: u32) -> Result<Bytes> {
        if let Some(error) = self.damaged.get(id, Instant::now()) {
            return Err(error);
        }
        let read = self.read_chunk(reader, id, len);
        if let Err(error) = &read {
            self.damaged.note(id, error, Instant::now());
        }
        read
    }

    fn read_chunk(&self, reader: &mut Reader<'_>, id: ChunkId, len: u32) -> Result<Bytes> {
        if let Some(bytes) = self.chunk_in_segment(reader, id, len) {
            return Ok(bytes);
        }
        // It is not where it was expected, or not good there: now everything is tried.
        let bytes = self.freshness.reading(|| reader.chunk(id))?;
        if bytes.len() != len as usize {
            let what = format!("it has {} bytes, not {len}", bytes.len());
            return Err(Error::damaged(format!("chunk {id}"), what));
        }
        Ok(Bytes::from(bytes))
    }

    fn chunk_in_segment(&self, reader: &mut Reader<'_>, id: ChunkId, len: u32) -> Option<Bytes> {
        let location = self.repository.index().find(&id.0)?;
        let segment = reader.segment((location.pack, location.segment_no)).ok()?;
        let start = location.offset as usize;
        let range = start..start.checked_add(len as usize)?;
        let is_good = |bytes: &[u8]| self.repository.constants().chunk_id(bytes) == id;
        segment.get(range.clone()).filter(|bytes| is_good(bytes))?;
        // A small part would keep the whole segment in memory, which nobody counts.
        if range.len() < segment.len() / 4 {
            return segment.get(range).map(Bytes::copy_from_slice);
        }
        Some(segment.slice(range))
    }
}
