//! Places segments in packs, uploads packs, and writes the index deltas that name them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;

use super::assemble::{FinishedPack, SealedSegment, assemble};
use super::{SegmentUse, SegmentWriter};
use crate::codec::Compression;
use crate::error::{Error, Result};
use crate::format::config::SegmentRecord;
use crate::format::index::DeltaPack;
use crate::format::pack::PackType;
use crate::model::RepoId;
use crate::repository::deltas::DeltaStore;
use crate::repository::index::{Index, SegmentInfo, pack_name};
use crate::repository::keys::Keys;
use crate::repository::{Claims, Repository};
use crate::runtime::{CancelToken, Progress, Random, Runtime};
use crate::storage::{PutMode, SharedStorage};

/// Packs named by one delta.
const DELTA_PACKS: usize = 64;
/// A delta is written at least this often, so that an interrupted run loses little work.
const DELTA_AGE: Duration = Duration::from_secs(600);
/// Finished packs are uploaded by this many threads at most; each holds one in memory.
const UPLOADERS_MAX: usize = 4;

/// How packs are written.
#[derive(Clone, Debug, Default)]
pub struct WriterOptions {
    /// How hard segments are compressed.
    pub compression: Compression,
    /// Bytes of a pack; `None` takes the repository's.
    pub pack_target: Option<u64>,
    /// Where segments go follows from this, so that two runs make packs of equal lengths; secret,
    /// as their places are. `None`: by chance.
    pub placement: Option<[u8; 32]>,
    /// Makes packs, counts them and stores nothing.
    pub dry_run: bool,
}

/// What a writer stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Chunks and pages.
    pub chunks: u64,
    /// Their bytes before compression.
    pub plain_bytes: u64,
    /// Bytes of the packs.
    pub stored_bytes: u64,
    /// Packs.
    pub packs: u64,
}

/// Writes packs of one session. Dropped without [`PackWriter::finish`], what is not uploaded yet
/// is lost, and nothing else.
pub struct PackWriter {
    shared: Arc<Shared>,
    uploaders: Vec<JoinHandle<()>>,
}

/// What workers and uploaders share.
pub(super) struct Shared {
    pub(super) keys: Arc<Keys>,
    pub(super) random: Random,
    pub(super) compression: Compression,
    pub(super) segments: SegmentRecord,
    repo_id: RepoId,
    storage: SharedStorage,
    index: Arc<Index>,
    claims: Claims,
    pack_target: u64,
    placement: Option<Mutex<blake3::OutputReader>>,
    dry_run: bool,
    cancel: CancelToken,
    progress: Arc<dyn Progress>,
    data: Mutex<OpenPacks>,
    meta: Mutex<OpenPacks>,
    queue: Mutex<Option<Sender<FullPack>>>,
    pending: Mutex<Pending>,
    failed: AtomicBool,
    failure: Mutex<Option<Error>>,
    added: Counters,
}

#[derive(Default)]
struct Counters {
    chunks: AtomicU64,
    plain_bytes: AtomicU64,
    stored_bytes: AtomicU64,
    packs: AtomicU64,
}

/// A pack's type and segments, on its way to the uploaders.
type FullPack = (PackType, Vec<SealedSegment>);

/// Two open packs; each segment goes into one of them by a random bit, so that neighbours in a
/// file are not neighbours in storage.
#[derive(Default)]
struct OpenPacks {
    packs: [Vec<SealedSegment>; 2],
    bytes: [u64; 2],
}

/// Packs that are stored and in no delta yet.
struct Pending {
    packs: Vec<DeltaPack>,
    since: Instant,
}

impl Repository {
    /// Starts writing packs.
    pub fn pack_writer(&self, options: &WriterOptions, runtime: &Runtime) -> PackWriter {
        let uploaders = self.storage.concurrency().clamp(1, UPLOADERS_MAX);
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let shared = Arc::new(Shared {
            keys: Arc::clone(&self.keys),
            random: self.random.clone(),
            compression: options.compression,
            segments: self.config.segments.clone(),
            repo_id: self.id,
            storage: Arc::clone(&self.storage),
            index: Arc::clone(&self.index),
            claims: Claims::default(),
            pack_target: options.pack_target.unwrap_or(self.config.pack_target),
            placement: options.placement.map(|seed| {
                let hasher = blake3::Hasher::new_keyed(&seed);
                Mutex::new(hasher.finalize_xof())
            }),
            dry_run: options.dry_run,
            cancel: runtime.cancel.clone(),
            progress: Arc::clone(&runtime.progress),
            data: Mutex::default(),
            meta: Mutex::default(),
            queue: Mutex::new(Some(sender)),
            pending: Mutex::new(Pending { packs: Vec::new(), since: Instant::now() }),
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
            added: Counters::default(),
        });
        let uploaders = (0..uploaders)
            .map(|_| {
                let (shared, receiver) = (Arc::clone(&shared), receiver.clone());
                std::thread::spawn(move || shared.upload_all(&receiver))
            })
            .collect();
        PackWriter { shared, uploaders }
    }
}

impl PackWriter {
    /// A segment writer for one worker.
    pub fn segment_writer(&self, use_for: SegmentUse) -> SegmentWriter {
        SegmentWriter::new(Arc::clone(&self.shared), use_for)
    }

    /// Takes a sealed segment over as it is, with all its chunks in order. The caller has
    /// claimed the ids, and verified that the bytes are what they should be.
    ///
    /// # Errors
    /// Those of storage, met by any thread of this writer since the last call.
    pub fn copy_segment(
        &self,
        pack_type: PackType,
        segment: &SegmentInfo,
        sealed: Vec<u8>,
        chunks: Vec<([u8; 32], u32)>,
    ) -> Result<()> {
        let plain_len: u64 = chunks.iter().map(|(_, len)| u64::from(*len)).sum();
        if sealed.len() != segment.sealed_len as usize || plain_len != u64::from(segment.plain_len)
        {
            return Err(Error::Internal { what: "a segment is copied in part".into() });
        }
        let SegmentInfo { plain_len, codec, epoch, .. } = *segment;
        self.shared.place(pack_type, SealedSegment { sealed, plain_len, codec, epoch, chunks })
    }

    /// What this run is about to store.
    pub fn claims(&self) -> &Claims {
        &self.shared.claims
    }

    /// What was stored so far.
    pub fn added(&self) -> Added {
        let counters = &self.shared.added;
        Added {
            chunks: counters.chunks.load(Ordering::Relaxed),
            plain_bytes: counters.plain_bytes.load(Ordering::Relaxed),
            stored_bytes: counters.stored_bytes.load(Ordering::Relaxed),
            packs: counters.packs.load(Ordering::Relaxed),
        }
    }

    /// Uploads what is left and names it in a delta. After it everything that flushed segment
    /// writers were given is durable and in the index. Called after a cancellation too: what was
    /// done is not done again by the next run.
    ///
    /// # Errors
    /// The first one that storage gave; what was stored before is named in a delta even so, if
    /// storage still takes one.
    pub fn finish(mut self) -> Result<Added> {
        let shared = &self.shared;
        for (pack_type, open) in [(PackType::Data, &shared.data), (PackType::Meta, &shared.meta)] {
            let rest = std::mem::take(&mut *open.lock());
            let [mut first, second] = rest.packs;
            // A small file must not leave its two chunks in two packs, where they would stand
            // out: the rests become one pack where that is not too large.
            if rest.bytes[0] + rest.bytes[1] <= shared.pack_target {
                first.extend(second);
                shared.enqueue(pack_type, first);
            } else {
                shared.enqueue(pack_type, first);
                shared.enqueue(pack_type, second);
            }
        }
        self.join();
        let pending = std::mem::take(&mut self.shared.pending.lock().packs);
        let written = self.shared.write_delta(pending);
        if let Some(error) = self.shared.failure.lock().take() {
            return Err(error);
        }
        written?;
        Ok(self.added())
    }

    fn join(&mut self) {
        // Without a sender the uploaders end once the queue is empty.
        self.shared.queue.lock().take();
        for uploader in self.uploaders.drain(..) {
            if uploader.join().is_err() {
                self.shared.fail(Error::Internal { what: "an upload thread panicked".into() });
            }
        }
    }
}

impl Drop for PackWriter {
    fn drop(&mut self) {
        self.shared.failed.store(true, Ordering::Relaxed);
        self.join();
        for open in [&self.shared.data, &self.shared.meta] {
            open.lock().packs.iter().for_each(|pack| self.shared.waits_no_more(sealed_len(pack)));
        }
    }
}

impl Shared {
    /// Places a segment in one of the open packs; a full one goes to the uploaders.
    pub(super) fn place(&self, pack_type: PackType, segment: SealedSegment) -> Result<()> {
        self.check()?;
        let open = match pack_type {
            PackType::Data => &self.data,
            PackType::Meta => &self.meta,
        };
        self.progress.waiting(sealed_len(std::slice::from_ref(&segment)));
        let mut byte = [0];
        match &self.placement {
            Some(placement) => placement.lock().fill(&mut byte),
            None => self.random.fill(&mut byte),
        }
        let side = (byte[0] & 1) as usize;
        let full = {
            let mut open = open.lock();
            open.bytes[side] += (segment.sealed.len() + 40 * segment.chunks.len()) as u64;
            open.packs[side].push(segment);
            if open.bytes[side] < self.pack_target {
                return Ok(());
            }
            open.bytes[side] = 0;
            std::mem::take(&mut open.packs[side])
        };
        self.enqueue(pack_type, full);
        self.check()
    }

    fn enqueue(&self, pack_type: PackType, segments: Vec<SealedSegment>) {
        if segments.is_empty() {
            return;
        }
        let sender = self.queue.lock().clone();
        if let Some(sender) = sender {
            // Fails only when all uploaders are gone, which they report themselves.
            let _ = sender.send((pack_type, segments));
        }
    }

    fn check(&self) -> Result<()> {
        if !self.failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        // The error itself is returned by `finish`.
        self.cancel.check()?;
        Err(Error::Cancelled { signal: None })
    }

    fn fail(&self, error: Error) {
        self.failure.lock().get_or_insert(error);
        self.failed.store(true, Ordering::Relaxed);
    }

    fn upload_all(&self, queue: &Receiver<FullPack>) {
        for (pack_type, segments) in queue {
            // After a failure the queue is emptied, so that nobody waits for a place in it.
            let len = sealed_len(&segments);
            if !self.failed.load(Ordering::Relaxed) {
                let pack = assemble(pack_type, segments, &self.keys, self.repo_id, &self.random);
                if let Err(error) = self.upload(pack_type, pack) {
                    self.fail(error);
                }
            }
            self.waits_no_more(len);
        }
    }

    /// So many bytes are stored, or will not be.
    fn waits_no_more(&self, len: i64) {
        self.progress.waiting(-len);
    }

    fn upload(&self, pack_type: PackType, pack: FinishedPack) -> Result<()> {
        if !self.dry_run {
            let name = pack_name(pack_type, pack.hash);
            self.storage.put(&name, &pack.parts(), PutMode::Content)?;
            self.progress.transferred(pack.len);
        }
        let plain: u64 = pack.directory.segments.iter().map(|s| u64::from(s.plain_len)).sum();
        let counters = &self.added;
        counters.chunks.fetch_add(pack.directory.lengths.len() as u64, Ordering::Relaxed);
        counters.plain_bytes.fetch_add(plain, Ordering::Relaxed);
        counters.stored_bytes.fetch_add(pack.len, Ordering::Relaxed);
        counters.packs.fetch_add(1, Ordering::Relaxed);
        if self.dry_run {
            return Ok(());
        }
        let due = {
            let mut pending = self.pending.lock();
            pending.packs.push(DeltaPack {
                pack: pack.hash,
                len: pack.len,
                directory: pack.directory,
            });
            let due = pending.packs.len() >= DELTA_PACKS || pending.since.elapsed() >= DELTA_AGE;
            if due {
                pending.since = Instant::now();
            }
            due.then(|| std::mem::take(&mut pending.packs))
        };
        due.map_or(Ok(()), |packs| self.write_delta(packs))
    }

    /// Names stored packs in index objects, and takes them into the local index.
    fn write_delta(&self, packs: Vec<DeltaPack>) -> Result<()> {
        let store = DeltaStore {
            storage: &*self.storage,
            keys: &self.keys,
            repo_id: self.repo_id,
            random: &self.random,
            index: &self.index,
        };
        for (ids, stored) in store.put(packs)? {
            self.progress.transferred(stored);
            self.claims.forget(ids.iter());
        }
        Ok(())
    }
}

/// Bytes of segments, as storage gets them.
fn sealed_len(segments: &[SealedSegment]) -> i64 {
    segments.iter().map(|segment| segment.sealed.len() as i64).sum()
}
