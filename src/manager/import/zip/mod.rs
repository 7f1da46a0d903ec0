//! Reads zip archives by their central directory: Info-ZIP's, 7z's, Windows', our own.
//!
//! A reader of our own: the usual crate takes the whole directory into memory, and a bomb of
//! entries that overlap must be refused before any of them is unpacked.

mod record;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::limits::{Budget, Metered};
use super::member::{Member, Stop};
use crate::model::Owner;
pub(super) use record::has_end;
use record::{Directory, LOCAL_LEN, Record, find_directory, local_data};

/// Bytes that are read of the archive at once.
const BUFFER: usize = 64 << 10;

/// An archive, and where its entries begin.
pub(super) struct ZipReader {
    file: Arc<File>,
    directory: Directory,
    /// Where entries begin, sorted.
    starts: Vec<u64>,
    records: BufReader<Section>,
    /// Bytes of the directory that were read.
    read: u64,
    entries: u64,
    owner: Arc<Owner>,
}

/// The next entry.
pub(super) struct ZipEntry {
    pub(super) member: Member,
    record: Record,
}

impl ZipReader {
    /// Opens an archive. Entries without an owner belong to `owner`.
    ///
    /// # Errors
    /// [`Stop::Damaged`].
    pub(super) fn open(file: Arc<File>, len: u64, owner: Owner) -> Result<Self, Stop> {
        let directory = find_directory(&file, len)?;
        let section = || Section {
            file: Arc::clone(&file),
            at: directory.start,
            end: directory.end,
            count: None,
        };
        let mut reader = Self {
            records: BufReader::with_capacity(BUFFER, section()),
            file: Arc::clone(&file),
            directory,
            starts: Vec::new(),
            read: 0,
            entries: 0,
            owner: Arc::new(owner),
        };
        while let Some(entry) = reader.next_entry()? {
            reader.starts.push(entry.record.offset);
        }
        // What the old fields count ends at 65,535.
        let counted = reader.entries;
        let is_count = if directory.is_zip64 {
            directory.entries == counted
        } else {
            directory.entries == counted & 0xffff
        };
        if !is_count {
            let what = format!("its directory has {counted} entries, not {}", directory.entries);
            return Err(Stop::Damaged(what));
        }
        reader.starts.sort_unstable();
        reader.records = BufReader::with_capacity(BUFFER, section());
        (reader.read, reader.entries) = (0, 0);
        Ok(reader)
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> u64 {
        self.starts.len() as u64
    }

    /// The next entry of the directory.
    ///
    /// # Errors
    /// [`Stop::Damaged`].
    pub(super) fn next_entry(&mut self) -> Result<Option<ZipEntry>, Stop> {
        let end = self.directory.end - self.directory.start;
        if self.read == end {
            return Ok(None);
        }
        let (record, len) = Record::read(&mut self.records, self.directory.shift)?;
        self.read += len;
        if self.read > end {
            return Err(Stop::damaged("its directory is longer than it says"));
        }
        self.entries += 1;
        let member = record.member(&self.owner);
        Ok(Some(ZipEntry { member, record }))
    }

    /// The unpacked bytes of an entry, checked as they are read: their sum, and that there are as
    /// many as the directory says.
    ///
    /// # Errors
    /// [`Stop::Damaged`] if they overlap with those of another entry, or are not where they should
    /// be.
    pub(super) fn content(
        &self,
        entry: &ZipEntry,
        count: &Arc<AtomicU64>,
        budget: &Rc<Budget>,
    ) -> Result<Box<dyn Read>, Stop> {
        let record = &entry.record;
        let start = local_data(&self.file, record.offset)?;
        let end = start.checked_add(record.stored);
        let after = self.starts.partition_point(|other| *other <= record.offset);
        let limit = self.starts.get(after).copied().unwrap_or(self.directory.start);
        let first = self.starts.partition_point(|other| *other < record.offset);
        let is_alone = after - first == 1 && start >= record.offset + LOCAL_LEN;
        let Some(end) = end.filter(|end| *end <= limit && is_alone) else {
            return Err(Stop::damaged("entries overlap: it is damaged, or made to fill disks"));
        };
        let section = Section {
            file: Arc::clone(&self.file),
            at: start,
            end,
            count: Some(Arc::clone(count)),
        };
        let section = BufReader::with_capacity(BUFFER.min(record.stored as usize + 1), section);
        let unpacked: Box<dyn Read> = match record.method {
            8 => Box::new(DeflateDecoder::new(section)),
            93 => {
                Box::new(zstd::stream::read::Decoder::with_buffer(section).map_err(Stop::damaged)?)
            }
            _ => Box::new(section),
        };
        Ok(Box::new(Checked {
            inner: Metered::new(unpacked, budget),
            crc: Crc::new(),
            wanted_crc: record.crc,
            left: record.original,
        }))
    }
}

/// A part of the file.
struct Section {
    file: Arc<File>,
    at: u64,
    end: u64,
    count: Option<Arc<AtomicU64>>,
}

impl Read for Section {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        if len == 0 {
            return Ok(0);
        }
        let len = self.file.read_at(&mut buf[..len], self.at)?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += len as u64;
        if let Some(count) = &self.count {
            count.fetch_add(len as u64, Ordering::Relaxed);
        }
        Ok(len)
    }
}

/// Unpacked bytes that have to be as many as the directory says, and have the sum that it says.
struct Checked<R> {
    inner: R,
    crc: Crc,
    wanted_crc: u32,
    left: u64,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let wrong = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        let len = self.inner.read(buf)?;
        if len == 0 {
            return match () {
                () if self.left > 0 => wrong("it is shorter than the directory says"),
                () if self.crc.sum() != self.wanted_crc => wrong("its checksum is wrong"),
                () => Ok(0),
            };
        }
        self.left = match self.left.checked_sub(len as u64) {
            Some(left) => left,
            None => return wrong("it is longer than the directory says"),
        };
        self.crc.update(&buf[..len]);
        Ok(len)
    }
}
