//! Reading chunks and pages: locate, fetch, open, decompress, check the id.

use bytes::Bytes;

use super::index::{Location, PackInfo, SegmentInfo};
use super::segments::SegmentKey;
use super::{Index, Repository};
use crate::codec::{Codec, Decompressor};
use crate::crypto::{Class, PREFIX, SealKind, Unit, open_in_place};
use crate::error::{Error, Result};
use crate::format::pack::{PackType, SEGMENT_PLAIN_MAX};
use crate::model::{ChunkId, PageId};

/// Reads for one thread, with buffers of its own.
pub struct Reader<'r> {
    repository: &'r Repository,
    decompressor: Decompressor,
    buffer: Vec<u8>,
}

impl Repository {
    /// Its index. Loaded by [`Repository::load_index`].
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Brings the index up to date with the repository. Returns what could not be used.
    ///
    /// # Errors
    /// The storage's; bad index objects are returned, not failed on.
    pub fn load_index(&self) -> Result<Vec<Error>> {
        Ok(self.index.load(&self.storage)?.bad)
    }

    /// Lets go of what was read and is kept in memory: what is read next comes from storage, as it
    /// is there now.
    pub fn forget_read(&self) {
        self.segments.clear();
    }

    /// Keeps at most `bytes` of decoded segments for those who read next to each other; 32 MiB if
    /// nobody says otherwise.
    pub fn keep_read(&self, bytes: u64) {
        self.segments.set_limit(bytes);
    }

    /// A private folder for temporary files, if this machine keeps an index of the repository.
    /// What is put there may be ids and positions, nothing else.
    pub fn temporary_folder(&self) -> Option<std::path::PathBuf> {
        self.index.folder().map(std::path::Path::to_path_buf)
    }

    /// A reader for one thread.
    pub fn reader(&self) -> Reader<'_> {
        Reader { repository: self, decompressor: Decompressor::new(), buffer: Vec::new() }
    }
}

impl<'r> Reader<'r> {
    /// What it reads.
    pub fn repository(&self) -> &'r Repository {
        self.repository
    }
}

impl Reader<'_> {
    /// The bytes of a chunk. Tries all copies, and checks the id of what it returns.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the index does not know it, [`Error::Damaged`] if no copy is good,
    /// and the storage's.
    pub fn chunk(&mut self, id: ChunkId) -> Result<Vec<u8>> {
        self.checked(&id.0, "chunk", |repository, bytes| {
            repository.constants().chunk_id(bytes) == id
        })
    }

    /// The bytes of a page. Tries all copies, and checks the id of what it returns.
    ///
    /// # Errors
    /// As [`Reader::chunk`].
    pub fn page(&mut self, id: PageId) -> Result<Vec<u8>> {
        self.checked(&id.0, "page", |repository, bytes| repository.constants().page_id(bytes) == id)
    }

    fn checked(
        &mut self,
        id: &[u8; 32],
        what: &'static str,
        is_good: impl Fn(&Repository, &[u8]) -> bool,
    ) -> Result<Vec<u8>> {
        let name = || super::super::model::ChunkId(*id).to_string();
        let mut failure = None;
        let mut locations = self.repository.index.find_all(id);
        if locations.is_empty() && self.repository.recover_index()? {
            locations = self.repository.index.find_all(id);
        }
        for location in locations {
            match self.part(&location) {
                Ok(bytes) if is_good(self.repository, &bytes) => return Ok(bytes),
                Ok(_) => {
                    let pack = self.repository.index.pack(location.pack).object_name();
                    let text = format!("it holds other bytes than {what} {}", name());
                    failure.get_or_insert(Error::damaged(pack, text));
                }
                Err(error) => _ = failure.get_or_insert(error),
            }
        }
        Err(failure.unwrap_or_else(|| Error::NotFound { what, name: name() }))
    }

    fn part(&mut self, location: &Location) -> Result<Vec<u8>> {
        let segment = self.segment((location.pack, location.segment_no))?;
        let start = location.offset as usize;
        let part = start.checked_add(location.len as usize).and_then(|end| segment.get(start..end));
        part.map(<[u8]>::to_vec).ok_or_else(|| {
            let pack = self.repository.index.pack(location.pack).object_name();
            Error::damaged(pack, "the index points outside a segment")
        })
    }

    /// A decoded segment, kept for the next call. The caller checks the ids of what it uses.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the pack, and the storage's.
    pub fn segment(&mut self, key: SegmentKey) -> Result<Bytes> {
        self.repository.segments.get_or_read(key, || self.fresh_segment(key))
    }

    /// A segment as it is in storage now, past the cache. The caller checks the ids of what it uses.
    ///
    /// # Errors
    /// As [`Reader::segment`].
    pub fn fresh_segment(&mut self, key: SegmentKey) -> Result<Bytes> {
        let index = &self.repository.index;
        let pack = index.pack(key.0);
        let segment = index
            .segment(key.0, key.1)
            .ok_or_else(|| Error::damaged(pack.object_name(), "it has no such segment"))?;
        let (mut buffer, mut plain) = (std::mem::take(&mut self.buffer), Vec::new());
        let decoded = self.fetch(&pack, &segment, &mut buffer).and_then(|len| {
            let raw = self.decode_in_place(&pack, &segment, &mut buffer[..len], &mut plain)?;
            Ok(raw.map(<[u8]>::len))
        });
        match decoded {
            Ok(Some(raw_len)) => return Ok(self.keep_raw(buffer, raw_len)),
            Err(error) if error.is_damage() => {
                if !self.decode_elsewhere(&pack, &segment, &mut plain) {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
            Ok(None) => {}
        }
        self.buffer = buffer;
        Ok(plain.into())
    }

    /// What was stored without compression stays where it was opened, unless much more memory than
    /// it needs would be kept with it.
    fn keep_raw(&mut self, buffer: Vec<u8>, raw_len: usize) -> Bytes {
        let range = PREFIX..PREFIX + raw_len;
        if buffer.len() / 8 * 7 > raw_len {
            let raw = Bytes::copy_from_slice(&buffer[range]);
            self.buffer = buffer;
            return raw;
        }
        Bytes::from(buffer).slice(range)
    }

    /// Returns how many bytes were read to the front of `buffer`.
    fn fetch(&self, pack: &PackInfo, segment: &SegmentInfo, buffer: &mut Vec<u8>) -> Result<usize> {
        // Lengths come from sealed directories, but a mistake there must not take all memory.
        if segment.sealed_len > SEGMENT_PLAIN_MAX + (1 << 20) {
            return Err(Error::damaged(pack.object_name(), "a segment is too long"));
        }
        let len = segment.sealed_len as usize;
        if buffer.len() < len {
            // New memory is zero already, longer memory would be cleared first.
            *buffer = vec![0; len];
        }
        self.repository.storage.get_range(
            &pack.object_name(),
            segment.offset,
            &mut buffer[..len],
        )?;
        Ok(len)
    }

    /// Reads and decodes a segment that is damaged where it was read first, from the first other
    /// copy of the pack where it is good. `false` if there is none.
    pub fn decode_elsewhere(
        &mut self,
        pack: &PackInfo,
        segment: &SegmentInfo,
        plain: &mut Vec<u8>,
    ) -> bool {
        if segment.sealed_len > SEGMENT_PLAIN_MAX + (1 << 20) {
            return false;
        }
        let storage = &self.repository.storage;
        let name = pack.object_name();
        (1..storage.copies()).any(|copy| {
            let mut sealed = vec![0; segment.sealed_len as usize];
            storage.get_range_of(copy, &name, segment.offset, &mut sealed).is_ok()
                && self.decode(pack, segment, &mut sealed, plain).is_ok()
        })
    }

    /// Opens and decompresses sealed bytes of a segment, fetched by the caller. `sealed` is
    /// garbage afterwards.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the pack.
    pub fn decode(
        &mut self,
        pack: &PackInfo,
        segment: &SegmentInfo,
        sealed: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<()> {
        let raw = self.decode_in_place(pack, segment, sealed, plain)?;
        if let Some(raw) = raw {
            plain.clear();
            plain.extend_from_slice(raw);
        }
        Ok(())
    }

    /// As [`Reader::decode`], but what was stored without compression stays where it was opened
    /// and is returned, and `plain` is left alone.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the pack.
    pub fn decode_in_place<'a>(
        &mut self,
        pack: &PackInfo,
        segment: &SegmentInfo,
        sealed: &'a mut [u8],
        plain: &mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>> {
        let damaged = |what: &str| {
            let at = segment.offset;
            Error::damaged(pack.object_name(), format!("the segment at byte {at}: {what}"))
        };
        if segment.plain_len > SEGMENT_PLAIN_MAX {
            return Err(damaged("too long"));
        }
        let class = match pack.pack_type {
            PackType::Data => Class::Data,
            PackType::Meta => Class::Meta,
        };
        let key = self.repository.keys.of_epoch(class, segment.epoch, &pack.hash.to_string())?;
        let body = open_in_place(key, Unit::movable(SealKind::Segment), sealed)
            .ok_or_else(|| damaged("its seal does not open"))?;
        let codec = Codec::from_u8(segment.codec).map_err(|e| damaged(&e.to_string()))?;
        if codec == Codec::Raw && body.len() == segment.plain_len as usize {
            return Ok(Some(body));
        }
        self.decompressor
            .decompress(codec, body, segment.plain_len as usize, plain)
            .map_err(|e| damaged(&e.to_string()))?;
        Ok(None)
    }
}
