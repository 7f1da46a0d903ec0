//! An open file of a snapshot: read from any offset by several threads, with what comes next
//! already on its way where it is read in order.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::{Condvar, Mutex};

use super::ahead::{Ahead, Job, Source};
use super::streams::Streams;
use crate::error::{Error, Result};
use crate::model::{ChunkId, Content, Entry, FileKind, Piece};
use crate::repository::Reader;
use crate::tree::Layout;

/// Bytes that are kept for readers who are a little behind the one in front, or go back a little.
const KEPT_BEHIND: u64 = 4 << 20;
/// Pieces that are planned at once at most: a file may have very many small ones.
const PLANNED_MAX: usize = 1024;

/// A file that can be read. Every byte was checked against the id of its chunk.
pub struct OpenFile {
    shown: String,
    size: u64,
    is_sparse: bool,
    content: FileContent,
}

enum FileContent {
    Inline(Bytes),
    Stored(Arc<Ahead>, Arc<Stored>),
}

/// A file whose content is in chunks.
pub(super) struct Stored {
    source: Arc<Source>,
    layout: Mutex<Layout>,
    chunks: Mutex<Chunks>,
    /// A chunk came, or will not come.
    came: Condvar,
    streams: Mutex<Streams>,
}

/// The chunks that are here or on their way, by where they start in the file.
#[derive(Default)]
struct Chunks {
    slots: HashMap<u64, Chunk>,
    /// Bytes of those that are here.
    bytes: u64,
    tick: u64,
}

struct Chunk {
    id: ChunkId,
    len: u32,
    used: u64,
    state: State,
}

enum State {
    /// A thread will read it, or whoever needs it sooner.
    Queued,
    /// Somebody reads it.
    Coming,
    Here(Bytes),
}

impl OpenFile {
    /// Opens the file of `entry`, which has its content itself. `shown` is its path for people.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is no regular file, [`Error::Damaged`] for a size that no file can
    /// have.
    pub(super) fn new(ahead: &Arc<Ahead>, entry: &Entry, shown: String) -> Result<Self> {
        if entry.kind != FileKind::File || entry.link_to.is_some() {
            return Err(Error::usage(format!("`{shown}` is a {}", entry.kind.as_str())));
        }
        if i64::try_from(entry.size).is_err() {
            return Err(Error::damaged(shown, "its size is impossible"));
        }
        let content = match &entry.content {
            Content::Inline(bytes) => FileContent::Inline(Bytes::copy_from_slice(bytes)),
            _ => {
                let stored = Stored {
                    source: Arc::clone(ahead.source()),
                    layout: Mutex::new(Layout::new(entry)),
                    chunks: Mutex::default(),
                    came: Condvar::new(),
                    streams: Mutex::default(),
                };
                FileContent::Stored(Arc::clone(ahead), Arc::new(stored))
            }
        };
        let is_sparse = entry.sparse || entry.content == Content::None;
        Ok(Self { shown, size: entry.size, is_sparse, content })
    }

    /// Its snapshot and path, for people.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes from `offset` on: `len` of them, fewer only at the end of the file.
    ///
    /// # Errors
    /// If any of them cannot be read: [`Error::Damaged`], [`Error::NotFound`], the storage's.
    pub fn read(&self, offset: u64, len: u32) -> Result<Bytes> {
        let end = self.size.min(offset.saturating_add(u64::from(len)));
        if offset >= end {
            return Ok(Bytes::new());
        }
        match &self.content {
            FileContent::Inline(bytes) => {
                let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(within(offset)..within(end)))
            }
            FileContent::Stored(ahead, stored) => {
                let read = stored.read(ahead, self.size, offset..end);
                read.inspect_err(|error| ahead.source().say(&self.shown, error))
            }
        }
    }

    /// Where the first data at or after `offset` is; `None` if only holes follow.
    ///
    /// # Errors
    /// As [`OpenFile::read`].
    pub fn next_data(&self, offset: u64) -> Result<Option<u64>> {
        self.find(offset, |piece| !matches!(piece, Piece::Hole(_)))
    }

    /// Where the first hole at or after `offset` is, which at the latest is the end of the file.
    ///
    /// # Errors
    /// As [`OpenFile::read`].
    pub fn next_hole(&self, offset: u64) -> Result<u64> {
        let hole = match self.is_sparse {
            true => self.find(offset, |piece| matches!(piece, Piece::Hole(_)))?,
            false => None,
        };
        Ok(hole.unwrap_or(self.size))
    }

    fn find(&self, offset: u64, fits: impl Fn(&Piece) -> bool) -> Result<Option<u64>> {
        let FileContent::Stored(ahead, stored) = &self.content else {
            let is_data = fits(&Piece::Chunk(ChunkId([0; 32]), 1));
            return Ok((is_data && offset < self.size).then_some(offset));
        };
        let mut reader = ahead.source().repository().reader();
        let mut layout = stored.layout.lock();
        let mut at = offset;
        while at < self.size {
            let located = layout.locate(&mut reader, at).map_err(|gap| gap.error);
            let (piece, start) =
                located.inspect_err(|error| ahead.source().say(&self.shown, error))?;
            if fits(&piece) {
                return Ok(Some(at));
            }
            at = start + piece.len();
        }
        Ok(None)
    }
}

impl Stored {
    fn read(
        self: &Arc<Self>,
        ahead: &Ahead,
        size: u64,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes> {
        let mut reader = ahead.source().repository().reader();
        let wanted = self.streams.lock().note(&range, size, ahead.window_max());
        if let Some(wanted) = wanted {
            self.plan(ahead, &mut reader, wanted);
        }
        let mut whole = BytesMut::new();
        let mut at = range.start;
        while at < range.end {
            let located = self.layout.lock().locate(&mut reader, at);
            let (piece, start) = located.map_err(|gap| gap.error)?;
            let end = range.end.min(start + piece.len());
            let within = (at - start) as usize..(end - start) as usize;
            match piece {
                Piece::Hole(_) => whole.resize(whole.len() + within.len(), 0),
                Piece::Chunk(id, len) => {
                    let bytes = self.chunk(ahead, &mut reader, start, id, len)?.slice(within);
                    if at == range.start && end == range.end {
                        return Ok(bytes);
                    }
                    whole.extend_from_slice(&bytes);
                }
            }
            at = end;
        }
        Ok(whole.freeze())
    }

    /// Has what is in `range` read by other threads. Stops where they have enough to do.
    fn plan(self: &Arc<Self>, ahead: &Ahead, reader: &mut Reader<'_>, range: std::ops::Range<u64>) {
        let mut planned = Planned::default();
        let mut at = range.start;
        for _ in 0..PLANNED_MAX {
            // What cannot be found is met by whoever reads it.
            let located = (at < range.end).then(|| self.layout.lock().locate(reader, at));
            let Some(Ok((piece, start))) = located else { break };
            at = start + piece.len();
            let Piece::Chunk(id, len) = piece else { continue };
            let location = ahead.source().repository().index().find(&id.0);
            let segment = location.map(|location| (location.pack, location.segment_no));
            if segment != planned.segment
                && let Err(refused) = self.ask(ahead, planned.take())
            {
                return self.streams.lock().planned(range.start, refused);
            }
            planned.segment = segment;
            if self.queue(start, id, len) {
                planned.starts.push(start);
            }
        }
        let until = self.ask(ahead, planned.take()).err().unwrap_or(at);
        self.streams.lock().planned(range.start, until);
    }

    /// Hands chunks to the other threads.
    ///
    /// # Errors
    /// Where the first of them starts, if the threads have enough to do.
    fn ask(self: &Arc<Self>, ahead: &Ahead, starts: Vec<u64>) -> Result<(), u64> {
        let Some(first) = starts.first().copied() else { return Ok(()) };
        if !self.source.is_full() && ahead.ask(Job::Chunks(Arc::downgrade(self), starts.clone())) {
            return Ok(());
        }
        let mut chunks = self.chunks.lock();
        for start in starts {
            let queued = |chunk: &Chunk| matches!(chunk.state, State::Queued);
            if chunks.slots.get(&start).is_some_and(queued) {
                chunks.slots.remove(&start);
            }
        }
        Err(first)
    }

    /// Takes note of a chunk that will be read. `false` if it is known.
    fn queue(&self, start: u64, id: ChunkId, len: u32) -> bool {
        let mut chunks = self.chunks.lock();
        let used = chunks.next_tick();
        match chunks.slots.entry(start) {
            Slot::Occupied(_) => false,
            Slot::Vacant(slot) => {
                slot.insert(Chunk { id, len, used, state: State::Queued });
                true
            }
        }
    }

    /// A chunk, from whoever reads it already or else read by this thread.
    fn chunk(
        &self,
        ahead: &Ahead,
        reader: &mut Reader<'_>,
        start: u64,
        id: ChunkId,
        len: u32,
    ) -> Result<Bytes> {
        let mut chunks = self.chunks.lock();
        loop {
            let used = chunks.next_tick();
            let chunk =
                chunks.slots.entry(start).or_insert(Chunk { id, len, used, state: State::Queued });
            chunk.used = used;
            match &chunk.state {
                State::Here(bytes) => return Ok(bytes.clone()),
                State::Coming => self.came.wait(&mut chunks),
                State::Queued => {
                    chunk.state = State::Coming;
                    break;
                }
            }
        }
        drop(chunks);
        if let Some(location) = ahead.source().repository().index().find(&id.0) {
            ahead.wanted(location.pack, location.segment_no);
        }
        self.fetch(reader, start, id, len)
    }

    /// Reads a chunk that a thread was asked for, unless somebody else did.
    pub(super) fn fetch_queued(&self, reader: &mut Reader<'_>, start: u64) {
        let mut chunks = self.chunks.lock();
        let Some(chunk) = chunks.slots.get_mut(&start) else { return };
        if !matches!(chunk.state, State::Queued) {
            return;
        }
        chunk.state = State::Coming;
        let (id, len) = (chunk.id, chunk.len);
        drop(chunks);
        // Whoever needs it tries again, and meets the error.
        let _ = self.fetch(reader, start, id, len);
    }

    fn fetch(&self, reader: &mut Reader<'_>, start: u64, id: ChunkId, len: u32) -> Result<Bytes> {
        let read = self.source.chunk(reader, id, len);
        let mut chunks = self.chunks.lock();
        match &read {
            Ok(bytes) => {
                let room = self.streams.lock().window() + KEPT_BEHIND;
                let let_go = chunks.put(start, bytes.clone(), room);
                self.source.hold(bytes.len() as u64);
                self.source.release(let_go);
            }
            Err(_) => _ = chunks.slots.remove(&start),
        }
        drop(chunks);
        self.came.notify_all();
        read
    }
}

impl Chunks {
    fn next_tick(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }

    /// Takes a chunk that came, and lets go of those used longest ago until no more than `room`
    /// bytes are here. Returns how many bytes that were.
    fn put(&mut self, start: u64, bytes: Bytes, room: u64) -> u64 {
        self.bytes += bytes.len() as u64;
        if let Some(chunk) = self.slots.get_mut(&start) {
            chunk.state = State::Here(bytes);
        }
        let mut let_go = 0;
        while self.bytes > room {
            let here = self.slots.iter().filter_map(|(at, chunk)| match &chunk.state {
                State::Here(bytes) if *at != start => Some((chunk.used, *at, bytes.len() as u64)),
                _ => None,
            });
            let Some((_, oldest, len)) = here.min() else { break };
            self.slots.remove(&oldest);
            self.bytes -= len;
            let_go += len;
        }
        let_go
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.source.release(self.chunks.get_mut().bytes);
    }
}

/// Chunks of one segment for one thread.
#[derive(Default)]
struct Planned {
    segment: Option<(crate::repository::PackRef, u32)>,
    starts: Vec<u64>,
}

impl Planned {
    fn take(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.starts)
    }
}
