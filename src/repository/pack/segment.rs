//! One worker's open segment: collects chunks, compresses and seals them together.

use std::sync::Arc;

use super::assemble::SealedSegment;
use super::writer::Shared;
use crate::codec::{Codec, Compressor, Decompressor};
use crate::crypto::{Class, PREFIX, SealKind, Unit, seal_in_place};
use crate::error::{Error, Result};
use crate::format::pack::PackType;

/// One segment in so many is decompressed and compared before it is stored: a mistake of a
/// compressor or of memory must not be noticed years later.
const SAMPLE: u32 = 64;

/// What a segment is for: decides its length and the kind of its pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentUse {
    /// Chunks of files of ordinary size.
    Files,
    /// Chunks of large files.
    LargeFiles,
    /// Pages.
    Pages,
}

/// Collects chunks (or pages) of one worker into segments. Chunks given to it are stored only
/// once [`SegmentWriter::flush`] was called and the [`PackWriter`](super::PackWriter) finished.
pub struct SegmentWriter {
    shared: Arc<Shared>,
    pack_type: PackType,
    target: usize,
    lone_min: usize,
    plain: Vec<u8>,
    chunks: Vec<([u8; 32], u32)>,
    compressor: Compressor,
    decompressor: Decompressor,
    buffer: Vec<u8>,
    compare: Vec<u8>,
    count: u32,
}

impl SegmentWriter {
    pub(super) fn new(shared: Arc<Shared>, use_for: SegmentUse) -> Self {
        let segments = &shared.segments;
        let (pack_type, target) = match use_for {
            SegmentUse::Files => (PackType::Data, segments.data_target as usize),
            SegmentUse::LargeFiles => (PackType::Data, segments.large_target as usize),
            SegmentUse::Pages => (PackType::Meta, segments.meta_target as usize),
        };
        let lone_min = (segments.lone_min as usize).min(target);
        let compressor = Compressor::new(shared.compression);
        Self {
            shared,
            pack_type,
            target,
            lone_min,
            plain: Vec::new(),
            chunks: Vec::new(),
            compressor,
            decompressor: Decompressor::new(),
            buffer: Vec::new(),
            compare: Vec::new(),
            count: 0,
        }
    }

    /// Adds a chunk or page. The caller has claimed its id.
    ///
    /// # Errors
    /// Those of storage, met by any thread of this writer since the last call.
    pub fn push(&mut self, id: &[u8; 32], bytes: &[u8]) -> Result<()> {
        if bytes.len() >= self.lone_min {
            return self.emit(bytes, vec![(*id, bytes.len() as u32)]);
        }
        if self.plain.len() + bytes.len() > self.target {
            self.flush()?;
        }
        self.plain.extend_from_slice(bytes);
        self.chunks.push((*id, bytes.len() as u32));
        Ok(())
    }

    /// Hands over what was collected, however little.
    ///
    /// # Errors
    /// As [`SegmentWriter::push`].
    pub fn flush(&mut self) -> Result<()> {
        if self.chunks.is_empty() {
            return Ok(());
        }
        let plain = std::mem::take(&mut self.plain);
        let chunks = std::mem::take(&mut self.chunks);
        let emitted = self.emit(&plain, chunks);
        self.plain = plain;
        self.plain.clear();
        emitted
    }

    fn emit(&mut self, plain: &[u8], chunks: Vec<([u8; 32], u32)>) -> Result<()> {
        self.buffer.clear();
        self.buffer.resize(PREFIX, 0);
        let codec = self.compressor.compress_into(plain, &mut self.buffer);
        if self.count.is_multiple_of(SAMPLE) {
            self.verify(codec, plain)?;
        }
        self.count = self.count.wrapping_add(1);
        let class = match self.pack_type {
            PackType::Data => Class::Data,
            PackType::Meta => Class::Meta,
        };
        let key = self.shared.keys.current(class);
        let unit = Unit::movable(SealKind::Segment);
        seal_in_place(key, unit, &self.shared.random, &mut self.buffer, 0);
        let segment = SealedSegment {
            // A copy of exact length: the buffer's capacity is that of the worst case.
            sealed: self.buffer.as_slice().into(),
            plain_len: plain.len() as u32,
            codec: codec.to_u8(),
            epoch: key.epoch(),
            chunks,
        };
        self.shared.place(self.pack_type, segment)
    }

    fn verify(&mut self, codec: Codec, plain: &[u8]) -> Result<()> {
        let stored = &self.buffer[PREFIX..];
        let decoded = self.decompressor.decompress(codec, stored, plain.len(), &mut self.compare);
        if decoded.is_ok() && self.compare == plain {
            return Ok(());
        }
        Err(Error::Internal {
            what: "a compressed segment does not decompress to what it was made from".into(),
        })
    }
}
