//! Reads one live file, or a slice of one, into pieces.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::stream::{Buffer, Cutter, StreamError, push_hole};
use crate::fsmeta::{Stat, data_ranges_in};
use crate::model::Piece;
use crate::runtime::CancelToken;
use crate::tree::{ListWriter, Sink};

/// What reading a slice found.
#[derive(Debug, Default)]
pub(super) struct SliceContent {
    pub(super) pieces: Vec<Piece>,
    /// Whether the file system reported a hole of a whole block.
    pub(super) sparse: bool,
    /// Bytes that were read from the source (not holes).
    pub(super) read: u64,
}

impl SliceContent {
    pub(super) fn len(&self) -> u64 {
        self.pieces.iter().map(Piece::len).sum()
    }

    /// Adds the slice after this one; holes that touch become one.
    pub(super) fn append(&mut self, next: Self) {
        for piece in next.pieces {
            match piece {
                Piece::Hole(len) => push_hole(&mut self.pieces, len),
                chunk => self.pieces.push(chunk),
            }
        }
        self.sparse |= next.sparse;
        self.read += next.read;
    }
}

/// What a worker reads with.
pub(super) struct ReadTools<'a, 'r> {
    pub(super) sink: &'a mut Sink<'r>,
    pub(super) buffer: &'a mut Buffer,
    pub(super) cancel: &'a CancelToken,
}

/// Reads `slice` of a file that was `stat.size` bytes long when it was opened. The last slice
/// ends where the file does.
pub(super) fn read_slice(
    file: &File,
    stat: &Stat,
    slice: Range<u64>,
    tools: &mut ReadTools<'_, '_>,
) -> Result<SliceContent, StreamError> {
    let repository = tools.sink.repository();
    let block = u64::from(repository.config().chunker.hole_align);
    let mut cutter = Cutter::new(tools.sink, Some(stat.size), tools.buffer, tools.cancel);
    let mut content = SliceContent::default();
    let mut at = slice.start;
    // Asking for holes costs system calls, so only files that can have some are asked.
    if stat.may_have_holes() && stat.size > block {
        let known_end = slice.end.min(stat.size);
        for range in data_ranges_in(file, slice.start..known_end) {
            let range = range.map_err(StreamError::Source)?;
            let start = (range.start / block * block).max(at);
            let end = range.end.next_multiple_of(block).min(known_end);
            if start > at {
                content.sparse = true;
                cutter.hole(start - at)?;
                at = start;
            }
            if end > at {
                let read = read_part(&mut cutter, file, at, end - at, end - at)?;
                content.read += read;
                at += read;
                if at < end {
                    // The file is shorter now: what the file system said before is void.
                    content.pieces = cutter.finish()?;
                    return Ok(content);
                }
            }
        }
        if at < known_end {
            content.sparse = true;
            cutter.hole(known_end - at)?;
            at = known_end;
        }
    }
    // Up to the end of the slice, not of the size: a file may have grown, and the system's own
    // files have size 0.
    if at < slice.end && at.is_multiple_of(block) {
        let expected = stat.size.saturating_sub(at);
        content.read += read_part(&mut cutter, file, at, slice.end - at, expected)?;
    }
    content.pieces = cutter.finish()?;
    Ok(content)
}

fn read_part(
    cutter: &mut Cutter<'_, '_>,
    file: &File,
    at: u64,
    len: u64,
    expected: u64,
) -> Result<u64, StreamError> {
    cutter.read(len, expected, &mut |offset, buf| file.read_at(buf, at + offset))
}

/// Reads a stream to its end. Returns its list, and how many bytes were read.
pub(super) fn read_stream(
    reader: &mut dyn io::Read,
    tools: &mut ReadTools<'_, '_>,
    mut progress: impl FnMut(u64),
) -> Result<(ListWriter, u64), StreamError> {
    let repository = tools.sink.repository();
    let slice_len = repository.config().chunker.slice_len;
    let (mut list, mut total) = (ListWriter::default(), 0);
    loop {
        let mut cutter = Cutter::new(tools.sink, None, tools.buffer, tools.cancel);
        let read = cutter.read(slice_len, u64::MAX, &mut |_, buf| {
            let len = reader.read(buf)?;
            progress(len as u64);
            Ok(len)
        })?;
        list.extend(cutter.finish()?, tools.sink)?;
        total += read;
        if read < slice_len {
            return Ok((list, total));
        }
    }
}
