//! The content of one member, cut and stored as a backup of the same file would do it.

use std::io::{self, Read};
use std::ops::Range;

use super::limits::Budget;
use crate::archive::{Buffer, Cutter, StreamError};
use crate::model::{Content, Piece};
use crate::runtime::CancelToken;
use crate::tree::{ListWriter, Sink};

/// What content is stored with.
pub(super) struct Store<'r> {
    pub(super) sink: Sink<'r>,
    buffer: Buffer,
    cancel: CancelToken,
}

/// Content that is stored.
pub(super) struct Stored {
    pub(super) content: Content,
    pub(super) size: u64,
    pub(super) sparse: bool,
}

impl<'r> Store<'r> {
    pub(super) fn new(sink: Sink<'r>, cancel: CancelToken) -> Self {
        Self { sink, buffer: Buffer::default(), cancel }
    }

    /// Stores a file that is stored whole in the archive: `reader` to its end. `size` is what the
    /// archive says, and only decides how it is cut.
    pub(super) fn file(
        &mut self,
        reader: &mut dyn Read,
        size: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Stored, StreamError> {
        let inline_max = u64::from(self.sink.repository().config().pages.inline_max);
        let mut start = Vec::new();
        if size <= inline_max {
            let read = reader.take(inline_max + 1).read_to_end(&mut start);
            let len = read.map_err(StreamError::Source)? as u64;
            progress(len);
            if len <= inline_max {
                let is_hole = start.iter().all(|byte| *byte == 0);
                let content = if is_hole { Content::None } else { Content::Inline(start) };
                return Ok(Stored { content, size: len, sparse: false });
            }
        }
        let mut reader = io::Cursor::new(start).chain(reader);
        let slice_len = self.sink.repository().config().chunker.slice_len;
        let mut list = ListWriter::default();
        loop {
            let mut cutter =
                Cutter::new(&mut self.sink, Some(size), &mut self.buffer, &self.cancel);
            // What the archive says of the size is no reason to stop: the end tells more.
            let read = cutter.read(slice_len, u64::MAX, &mut |_, buf| {
                let len = reader.read(buf)?;
                progress(len as u64);
                Ok(len)
            })?;
            list.extend(cutter.finish()?, &mut self.sink)?;
            if read < slice_len {
                break;
            }
        }
        let size = list.len();
        Ok(Stored { content: list.finish(&mut self.sink)?, size, sparse: false })
    }

    /// Stores a file of which only some parts are in the archive, one after the other. They lie in
    /// the file, in order and apart.
    pub(super) fn sparse(
        &mut self,
        reader: &mut dyn Read,
        size: u64,
        extents: &[Range<u64>],
        budget: &Budget,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Stored, StreamError> {
        let stored: u64 = extents.iter().map(|extent| extent.end - extent.start).sum();
        budget.holes(size - stored)?;
        let inline_max = u64::from(self.sink.repository().config().pages.inline_max);
        let mut filled = Filled { reader, extents, at: 0, size };
        if size <= inline_max {
            let mut stored = self.file(&mut filled, size, progress)?;
            stored.sparse = true;
            return Ok(stored);
        }
        let config = self.sink.repository().config();
        let (slice_len, block) = (config.chunker.slice_len, u64::from(config.chunker.hole_align));
        let runs = whole_blocks(extents, block, size);
        let mut list = ListWriter::default();
        let mut at = 0;
        let mut next = 0;
        while at < size {
            while runs.get(next).is_some_and(|run| run.end <= at) {
                next += 1;
            }
            let Some(run) = runs.get(next) else {
                list.extend([Piece::Hole(size - at)], &mut self.sink)?;
                break;
            };
            if run.start > at {
                list.extend([Piece::Hole(run.start - at)], &mut self.sink)?;
                at = run.start;
            }
            // Cutting begins anew with each slice, and behind each hole.
            let end = run.end.min((at / slice_len + 1).saturating_mul(slice_len));
            filled.at = at;
            let mut cutter =
                Cutter::new(&mut self.sink, Some(size), &mut self.buffer, &self.cancel);
            let read = cutter.read(end - at, end - at, &mut |_, buf| {
                let len = filled.read(buf)?;
                progress(len as u64);
                Ok(len)
            })?;
            list.extend(cutter.finish()?, &mut self.sink)?;
            if read < end - at {
                return Err(StreamError::Source(io::ErrorKind::UnexpectedEof.into()));
            }
            at = end;
        }
        Ok(Stored { content: list.finish(&mut self.sink)?, size, sparse: true })
    }
}

/// The parts of a file, widened to whole blocks: what lies between is holes.
fn whole_blocks(extents: &[Range<u64>], block: u64, size: u64) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for extent in extents {
        let start = extent.start / block * block;
        let end = extent.end.checked_next_multiple_of(block).unwrap_or(size).min(size);
        match runs.last_mut() {
            Some(last) if last.end >= start => last.end = last.end.max(end),
            _ => runs.push(start..end),
        }
    }
    runs
}

/// A sparse file with zeros in its holes. It may be moved forward over holes.
struct Filled<'f> {
    reader: &'f mut dyn Read,
    extents: &'f [Range<u64>],
    at: u64,
    size: u64,
}

impl Read for Filled<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.extents.first().is_some_and(|extent| extent.end <= self.at) {
            self.extents = &self.extents[1..];
        }
        let (end, is_hole) = match self.extents.first() {
            Some(extent) if extent.start <= self.at => (extent.end, false),
            Some(extent) => (extent.start, true),
            None => (self.size, true),
        };
        let len = buf.len().min(usize::try_from(end - self.at).unwrap_or(usize::MAX));
        let len = if is_hole {
            buf[..len].fill(0);
            len
        } else {
            self.reader.read(&mut buf[..len])?
        };
        self.at += len as u64;
        Ok(len)
    }
}
