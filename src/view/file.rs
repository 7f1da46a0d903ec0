//! An open file of a snapshot: read from any offset by several threads, with what comes next
//! already on its way where it is read in order.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::{Condvar, Mutex};

use super::ahead::{Ahead, Job, Source};
use super::chunks::{Chunks, Found};
use super::streams::Streams;
use crate::error::{Error, Result};
use crate::model::{ChunkId, Content, Entry, FileKind, Piece};
use crate::repository::Reader;
use crate::tree::Layout;

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
                    chunks: Mutex::new(Chunks::new(ahead.source())),
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
                    if end == start + u64::from(len) {
                        self.chunks.lock().was_read(start);
                    }
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

    /// Has what is in `range` read by other threads. Stops where they have enough to do, or open
    /// files hold enough.
    fn plan(self: &Arc<Self>, ahead: &Ahead, reader: &mut Reader<'_>, range: std::ops::Range<u64>) {
        let mut planned = Planned::default();
        let mut at = range.start;
        for _ in 0..PLANNED_MAX {
            // What cannot be found is met by whoever reads it.
            let located = (at < range.end).then(|| self.layout.lock().locate(reader, at));
            let Some(Ok((piece, start))) = located else { break };
            let Piece::Chunk(id, len) = piece else {
                at = start + piece.len();
                continue;
            };
            let location = ahead.source().repository().index().find(&id.0);
            let segment = location.map(|location| (location.pack, location.segment_no));
            if segment != planned.segment {
                if let Err(refused) = self.ask(ahead, planned.take()) {
                    return self.streams.lock().planned(range.start, refused);
                }
                if self.source.is_full() {
                    return self.streams.lock().planned(range.start, at);
                }
            }
            planned.segment = segment;
            if self.chunks.lock().queue(start, id, len) {
                planned.starts.push(start);
            }
            at = start + u64::from(len);
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
        if ahead.ask(Job::Chunks(Arc::downgrade(self), starts.clone())) {
            return Ok(());
        }
        let mut chunks = self.chunks.lock();
        for start in starts {
            chunks.unqueue(start);
        }
        Err(first)
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
        let is_planned = loop {
            match chunks.find(start, id, len) {
                Found::Here(bytes) => return Ok(bytes),
                Found::Coming => self.came.wait(&mut chunks),
                Found::Yours { queued } => break queued,
            }
        };
        drop(chunks);
        if !is_planned && let Some(location) = ahead.source().repository().index().find(&id.0) {
            ahead.wanted(location.pack, location.segment_no);
        }
        self.fetch(reader, start, id, len)
    }

    /// Reads a chunk that a thread was asked for, unless somebody else did.
    pub(super) fn fetch_queued(&self, reader: &mut Reader<'_>, start: u64) {
        let taken = self.chunks.lock().take_queued(start);
        if let Some((id, len)) = taken {
            // Whoever needs it tries again, and meets the error.
            let _ = self.fetch(reader, start, id, len);
        }
    }

    fn fetch(&self, reader: &mut Reader<'_>, start: u64, id: ChunkId, len: u32) -> Result<Bytes> {
        let read = self.source.chunk(reader, id, len);
        let mut chunks = self.chunks.lock();
        match &read {
            Ok(bytes) => {
                let streams = self.streams.lock();
                let near = |start, end| streams.is_near(start, end);
                chunks.put(start, bytes.clone(), streams.window(), near);
            }
            Err(_) => chunks.failed(start),
        }
        drop(chunks);
        self.came.notify_all();
        read
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

#[cfg(test)]
mod tests;
