//! Writes members in order while their blocks are compressed by others.

use std::collections::VecDeque;
use std::io::{BufWriter, Write};
use std::path::Path;

use flate2::Crc;

use super::deflate::{Packed, Pending, STREAM_END};
use super::member::{Member, Method, Sizes, end_records};
use crate::error::{Error, Result};
use crate::runtime::Spool;
use crate::tree::reader::output_failed;

/// Bytes that are collected before they are written.
const BUFFER: usize = 256 << 10;
/// Bytes of the directory that are copied at once.
const COPY_LEN: usize = 64 << 10;

/// What comes next in the archive.
pub(super) enum Item {
    /// A member whose content is one block.
    Whole(Member, Pending),
    /// A member whose content follows in blocks.
    Begin(Member),
    /// A block of it.
    Block(Pending),
    /// This many times a block that is ready.
    Ready(&'static (Crc, Vec<u8>), u64, u64),
    /// Its end.
    End,
}

/// The archive as it is written. The central directory is kept beside memory.
pub(super) struct ZipOut<'w> {
    out: BufWriter<&'w mut dyn Write>,
    written: u64,
    queue: VecDeque<Item>,
    queue_max: usize,
    current: Option<Current>,
    directory: Spool,
    entries: u64,
}

/// The member whose blocks are being written.
struct Current {
    member: Member,
    offset: u64,
    crc: Crc,
    sizes: Sizes,
}

impl<'w> ZipOut<'w> {
    /// An empty archive. The directory goes to a file in `spool_folder` if it grows.
    pub(super) fn new(out: &'w mut dyn Write, spool_folder: Option<&Path>) -> Self {
        Self {
            out: BufWriter::with_capacity(BUFFER, out),
            written: 0,
            queue: VecDeque::new(),
            // Enough for every thread to have something to do while the oldest is written.
            queue_max: 4 * rayon::current_num_threads() + 4,
            current: None,
            directory: Spool::new(spool_folder),
            entries: 0,
        }
    }

    /// Adds what comes next, and writes what is ready by now.
    pub(super) fn push(&mut self, item: Item) -> Result<()> {
        self.queue.push_back(item);
        while self.queue.len() > self.queue_max {
            self.write_next()?;
        }
        Ok(())
    }

    fn write_next(&mut self) -> Result<()> {
        match self.queue.pop_front() {
            None => Ok(()),
            Some(Item::Whole(member, pending)) => {
                let packed = take(&pending)?;
                let method = if packed.is_deflated { Method::Deflated } else { Method::Stored };
                let sizes = Sizes {
                    crc: packed.crc.sum(),
                    stored: packed.bytes.len() as u64,
                    original: packed.original_len,
                };
                let offset = self.written;
                self.put(&member.local_header(method, Some(sizes)))?;
                self.put(&packed.bytes)?;
                self.record(&member.central_record(method, sizes, false, offset))
            }
            Some(Item::Begin(member)) => {
                let offset = self.written;
                self.put(&member.local_header(Method::Deflated, None))?;
                let sizes = Sizes::default();
                self.current = Some(Current { member, offset, crc: Crc::new(), sizes });
                Ok(())
            }
            Some(Item::Block(pending)) => {
                let packed = take(&pending)?;
                self.block(&packed.crc, packed.original_len, &packed.bytes)
            }
            Some(Item::Ready((crc, bytes), original_len, times)) => {
                (0..times).try_for_each(|_| self.block(crc, original_len, bytes))
            }
            Some(Item::End) => {
                self.put(&STREAM_END)?;
                let Some(mut current) = self.current.take() else { return Err(no_member()) };
                current.sizes.stored += STREAM_END.len() as u64;
                current.sizes.crc = current.crc.sum();
                self.put(&current.member.descriptor(current.sizes))?;
                let Current { member, offset, sizes, .. } = current;
                self.record(&member.central_record(Method::Deflated, sizes, true, offset))
            }
        }
    }

    fn block(&mut self, crc: &Crc, original_len: u64, bytes: &[u8]) -> Result<()> {
        self.put(bytes)?;
        let current = self.current.as_mut().ok_or_else(no_member)?;
        current.crc.combine(crc);
        current.sizes.stored += bytes.len() as u64;
        current.sizes.original += original_len;
        Ok(())
    }

    fn record(&mut self, record: &[u8]) -> Result<()> {
        self.entries += 1;
        self.directory.push(record)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes).map_err(output_failed)
    }

    /// Writes what is left, and the directory. Returns the length of the archive.
    pub(super) fn finish(mut self) -> Result<u64> {
        while !self.queue.is_empty() {
            self.write_next()?;
        }
        let offset = self.written;
        let len = self.directory.len();
        let mut buffer = vec![0; COPY_LEN];
        let mut at = 0;
        while at < len {
            let part = (len - at).min(COPY_LEN as u64) as usize;
            self.directory.read_at(at, &mut buffer[..part])?;
            self.put(&buffer[..part])?;
            at += part as u64;
        }
        self.put(&end_records(self.entries, len, offset))?;
        self.out.flush().map_err(output_failed)?;
        Ok(self.written)
    }
}

fn take(pending: &Pending) -> Result<Packed> {
    let lost = || Error::Internal { what: "a block was not compressed".into() };
    pending.recv().map_err(|_| lost())?.map_err(output_failed)
}

fn no_member() -> Error {
    Error::Internal { what: "a block of no member".into() }
}
