//! From bytes to pieces: finds holes, cuts runs of data, stores chunks (SPEC.md, section 8).

use std::io;

use crate::chunker::Chunker;
use crate::error::Error;
use crate::model::Piece;
use crate::runtime::CancelToken;
use crate::tree::{FileSize, Sink};

/// Why a file could not be stored: the two must never be mistaken for each other.
#[derive(Debug)]
pub(crate) enum StreamError {
    /// The source could not be read. The run goes on.
    Source(io::Error),
    /// The repository could not take it, or the run was cancelled. The run ends.
    Sink(Error),
}

impl From<Error> for StreamError {
    fn from(error: Error) -> Self {
        Self::Sink(error)
    }
}

/// Bytes asked for in one read of a large file.
const READ_LEN: usize = 2 << 20;

/// Cuts the bytes of one slice. Feed it blocks in order, then finish.
pub(crate) struct Cutter<'a, 'r> {
    sink: &'a mut Sink<'r>,
    chunker: &'r Chunker,
    file_size: FileSize,
    buffer: &'a mut Buffer,
    cancel: &'a CancelToken,
    block: usize,
    pieces: Vec<Piece>,
}

/// A worker's buffer: the run of data that is not cut yet lies at `start..end`.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    /// Room for `len` more bytes behind the data.
    fn room(&mut self, len: usize) -> &mut [u8] {
        if self.bytes.len() < self.end + len && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.bytes.len() < self.end + len {
            self.bytes.resize(self.end + len, 0);
        }
        &mut self.bytes[self.end..self.end + len]
    }
}

impl<'a, 'r> Cutter<'a, 'r> {
    pub(crate) fn new(
        sink: &'a mut Sink<'r>,
        size: Option<u64>,
        buffer: &'a mut Buffer,
        cancel: &'a CancelToken,
    ) -> Self {
        buffer.clear();
        let repository = sink.repository();
        let block = repository.config().chunker.hole_align as usize;
        let chunker = repository.chunkers().for_size(size);
        Self {
            sink,
            chunker,
            file_size: FileSize::of(size),
            buffer,
            cancel,
            block,
            pieces: Vec::new(),
        }
    }

    /// Adds a hole that need not be read.
    pub(crate) fn hole(&mut self, len: u64) -> Result<(), StreamError> {
        if len > 0 {
            self.end_run()?;
            push_hole(&mut self.pieces, len);
        }
        Ok(())
    }

    /// Reads up to `len` bytes, fewer at the end of the source. They must begin at a block border
    /// of the file. Returns how many there were. Once `expected` bytes came, a short read counts
    /// as the end, without another call that would say so.
    pub(crate) fn read(
        &mut self,
        len: u64,
        expected: u64,
        read_at: &mut dyn FnMut(u64, &mut [u8]) -> io::Result<usize>,
    ) -> Result<u64, StreamError> {
        let mut done = 0;
        while done < len {
            self.cancel.check()?;
            let want = usize::try_from(len - done).unwrap_or(usize::MAX).min(READ_LEN);
            let filled = fill(self.buffer.room(want), done, expected, read_at)?;
            self.take(filled)?;
            done += filled as u64;
            if filled < want {
                break;
            }
        }
        Ok(done)
    }

    /// Takes `len` new bytes that were put behind the data.
    fn take(&mut self, len: usize) -> Result<(), StreamError> {
        let mut at = self.buffer.end;
        let end = at + len;
        while at < end {
            let block_end = (at + self.block).min(end);
            if !is_zero(&self.buffer.bytes[at..block_end]) {
                self.buffer.end = block_end;
                at = block_end;
                continue;
            }
            self.end_run()?;
            push_hole(&mut self.pieces, (block_end - at) as u64);
            // The run after the hole starts here.
            self.buffer.start = block_end;
            self.buffer.end = block_end;
            at = block_end;
        }
        let max = self.chunker.params().max as usize;
        while self.buffer.end - self.buffer.start >= max {
            self.cut()?;
        }
        Ok(())
    }

    fn cut(&mut self) -> Result<(), StreamError> {
        let run = &self.buffer.bytes[self.buffer.start..self.buffer.end];
        let len = self.chunker.cut(run);
        let id = self.sink.put_chunk(&run[..len], self.file_size)?;
        self.pieces.push(Piece::Chunk(id, len as u32));
        self.buffer.start += len;
        Ok(())
    }

    fn end_run(&mut self) -> Result<(), StreamError> {
        while self.buffer.start < self.buffer.end {
            self.cut()?;
        }
        Ok(())
    }

    /// Cuts what is left.
    pub(crate) fn finish(mut self) -> Result<Vec<Piece>, StreamError> {
        self.end_run()?;
        self.buffer.clear();
        Ok(self.pieces)
    }
}

fn fill(
    buf: &mut [u8],
    offset: u64,
    expected: u64,
    read_at: &mut dyn FnMut(u64, &mut [u8]) -> io::Result<usize>,
) -> Result<usize, StreamError> {
    let mut filled = 0;
    while filled < buf.len() {
        match read_at(offset + filled as u64, &mut buf[filled..]) {
            Ok(0) => break,
            Ok(len) => {
                filled += len;
                if offset + filled as u64 == expected {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(StreamError::Source(error)),
        }
    }
    Ok(filled)
}

/// Adds a hole, joined with one right before it.
pub(super) fn push_hole(pieces: &mut Vec<Piece>, len: u64) {
    match pieces.last_mut() {
        Some(Piece::Hole(before)) => *before += len,
        _ => pieces.push(Piece::Hole(len)),
    }
}

/// Whether all bytes are zero. Nearly always decided by the first few.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<64>();
    words.iter().all(|word| *word == [0; 64]) && rest.iter().all(|byte| *byte == 0)
}
