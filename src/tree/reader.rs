//! Reads the content of a file of a snapshot, from any offset or all of it.

mod ahead;

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use super::Manifest;
use super::layout::{Gap, Layout};
use crate::error::{Error, Result};
use crate::model::{ChunkId, Content, Entry, FileKind, Piece, escape_bytes};
use crate::repository::{Reader, Repository};

/// More runs of data than this are not listed: the list would take much memory.
const DATA_RUNS_MAX: usize = 1 << 16;

/// A file of a snapshot. Every byte that it returns was checked against its chunk's id.
///
/// [`Read`] and [`Seek`] work as on any file; the error inside an [`io::Error`] of them is an
/// [`Error`].
pub struct FileReader<'r> {
    repository: &'r Repository,
    reader: Reader<'r>,
    content: FileContent,
    size: u64,
    position: u64,
}

enum FileContent {
    Inline(Vec<u8>),
    Stored {
        layout: Layout,
        /// The chunk that was read last: small reads follow each other.
        last: Option<(ChunkId, Vec<u8>)>,
    },
}

/// A part of a file's content, in order.
pub enum Part<'p> {
    /// Bytes.
    Bytes(&'p [u8]),
    /// This many zeros, which are a hole.
    Hole(u64),
    /// What cannot be read.
    Gap(Gap),
}

impl<'r> FileReader<'r> {
    /// Opens the file `entry` of `manifest`; a hard link leads to the content of its group.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is no regular file, [`Error::Damaged`] for a size that no file can
    /// have, and what [`Manifest::content_entry`] gives.
    pub fn open(repository: &'r Repository, manifest: &Manifest, entry: &Entry) -> Result<Self> {
        if entry.kind != FileKind::File {
            let path = escape_bytes(&entry.path);
            let kind = entry.kind.as_str();
            return Err(Error::usage(format!("`/{path}` is a {kind}, not a file")));
        }
        let entry = manifest.content_entry(repository, entry)?;
        if i64::try_from(entry.size).is_err() {
            let path = escape_bytes(&entry.path);
            return Err(Error::damaged("manifest", format!("the size of `/{path}` is impossible")));
        }
        let content = match &entry.content {
            Content::Inline(bytes) => FileContent::Inline(bytes.clone()),
            _ => FileContent::Stored { layout: Layout::new(&entry), last: None },
        };
        let reader = repository.reader();
        Ok(Self { repository, reader, content, size: entry.size, position: 0 })
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills `buf` with the bytes from `offset` on and returns how many there were: fewer than
    /// asked for only at the end, or if what follows cannot be read.
    ///
    /// # Errors
    /// If the first byte cannot be read: [`Error::Damaged`], [`Error::NotFound`], the storage's.
    pub fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            let at = offset.saturating_add(filled as u64);
            if at >= self.size {
                break;
            }
            match self.read_some(at, &mut buf[filled..]) {
                Ok(len) => filled += len,
                Err(_) if filled > 0 => break,
                Err(gap) => return Err(gap.error),
            }
        }
        Ok(filled)
    }

    /// Reads from one piece: at least one byte, if `buf` takes one and the file has one there.
    fn read_some(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Gap> {
        let (layout, last) = match &mut self.content {
            FileContent::Inline(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..));
                return Ok(copy_start(rest.unwrap_or_default(), buf));
            }
            FileContent::Stored { layout, last } => (layout, last),
        };
        let (piece, start) = layout.locate(&mut self.reader, offset)?;
        let within = offset - start;
        match piece {
            Piece::Hole(len) => {
                let len = usize::try_from(len - within).unwrap_or(usize::MAX).min(buf.len());
                buf[..len].fill(0);
                Ok(len)
            }
            Piece::Chunk(id, len) => {
                let is_here = last
                    .as_ref()
                    .is_some_and(|(here, bytes)| *here == id && bytes.len() == len as usize);
                if !is_here {
                    let gap = |error| Gap { start, end: start + u64::from(len), error };
                    *last = Some((id, read_chunk(&mut self.reader, id, len).map_err(gap)?));
                }
                let bytes = last.as_ref().map(|(_, bytes)| &bytes[within as usize..]);
                Ok(copy_start(bytes.unwrap_or_default(), buf))
            }
        }
    }

    /// Where the file has data and no holes, in order; what cannot be known counts as data. `None`
    /// for a file without holes, or with more than 65,536 runs of data.
    pub fn data_runs(&mut self) -> Option<Vec<Range<u64>>> {
        let FileContent::Stored { layout, .. } = &mut self.content else { return None };
        let mut runs: Vec<Range<u64>> = Vec::new();
        let (mut at, mut has_holes) = (0, false);
        while at < self.size && runs.len() <= DATA_RUNS_MAX {
            let start = at;
            let is_hole = match layout.locate(&mut self.reader, at) {
                Ok((piece, start)) => {
                    at = start + piece.len();
                    matches!(piece, Piece::Hole(_))
                }
                Err(gap) => {
                    at = gap.end;
                    false
                }
            };
            has_holes |= is_hole;
            match runs.last_mut() {
                _ if is_hole => {}
                Some(last) if last.end == start => last.end = at,
                _ => runs.push(start..at),
            }
        }
        (has_holes && runs.len() <= DATA_RUNS_MAX).then_some(runs)
    }

    /// Hands everything from the current position to the end to `sink`, part by part, in order;
    /// parts that cannot be read too. Large files are decoded ahead by other threads.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn read_parts(&mut self, sink: &mut dyn FnMut(Part<'_>) -> Result<()>) -> Result<()> {
        let from = self.position;
        self.position = from.max(self.size);
        match &mut self.content {
            FileContent::Inline(bytes) => {
                let rest = usize::try_from(from).ok().and_then(|at| bytes.get(at..));
                rest.filter(|rest| !rest.is_empty()).map_or(Ok(()), |rest| sink(Part::Bytes(rest)))
            }
            FileContent::Stored { layout, .. } => {
                let range = from..self.size;
                ahead::read_parts(self.repository, &mut self.reader, layout, range, sink)
            }
        }
    }

    /// Writes everything from the current position to the end. Large files are decoded ahead by
    /// other threads. Returns the number of bytes.
    ///
    /// # Errors
    /// The first part that cannot be read; [`Error::Local`] if `writer` fails.
    pub fn copy_to(&mut self, writer: &mut dyn Write) -> Result<u64> {
        let mut copied = 0;
        self.read_parts(&mut |part| {
            copied += match part {
                Part::Bytes(bytes) => {
                    writer.write_all(bytes).map_err(output_failed)?;
                    bytes.len() as u64
                }
                Part::Hole(len) => {
                    io::copy(&mut io::repeat(0).take(len), writer).map_err(output_failed)?
                }
                Part::Gap(gap) => return Err(gap.error),
            };
            Ok(())
        })?;
        Ok(copied)
    }
}

/// What a writer that somebody gave us says.
pub(super) fn output_failed(error: io::Error) -> Error {
    Error::local("write", "output", error)
}

/// Copies as much as fits.
fn copy_start(bytes: &[u8], buf: &mut [u8]) -> usize {
    let len = bytes.len().min(buf.len());
    buf[..len].copy_from_slice(&bytes[..len]);
    len
}

/// Reads a chunk that has to have this length.
fn read_chunk(reader: &mut Reader<'_>, id: ChunkId, len: u32) -> Result<Vec<u8>> {
    let bytes = reader.chunk(id)?;
    if bytes.len() != len as usize {
        return Err(Error::damaged(
            format!("chunk {id}"),
            format!("it has {} bytes, not {len}", bytes.len()),
        ));
    }
    Ok(bytes)
}

impl Read for FileReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.read_at(self.position, buf).map_err(io::Error::other)?;
        self.position += len as u64;
        Ok(len)
    }
}

impl Seek for FileReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.size.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        let before = || io::Error::new(io::ErrorKind::InvalidInput, "before the start of the file");
        self.position = position.ok_or_else(before)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests;
