//! One level of the index: a mapped file of fixed-size, sorted records with a filter before it.
//!
//! ```text
//! header(256) | covered objects(40 each) | packs(48 each) | segments(32 each) | records(48 each)
//!   | fan-out(4 each) | filters | block checksums(8 each)
//! ```
//! Small files are checked whole when they are opened; in large ones each block is checked when
//! it is first touched. A block that fails answers "not found" (so its chunks are stored again)
//! and marks the file, which is made anew at the next open.

use std::cmp::Ordering;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

use memmap2::{Advice, Mmap};
use xorf::{BinaryFuse8Ref, DmaSerializable, Filter, FilterRef};

use super::{PackInfo, SegmentInfo};
use crate::error::{Error, Result};
use crate::format::header::ObjectType;
use crate::format::index::{IndexRecord, RECORD_LEN};
use crate::format::pack::PackType;
use crate::model::{ObjectHash, RepoId};

pub(super) const MAGIC: [u8; 8] = *b"LRDRIDX2";
pub(super) const HEADER_LEN: usize = 256;
/// Object hash, kind of the object, zeros.
pub(super) const COVERED_LEN: usize = 40;
pub(super) const PACK_LEN: usize = 48;
pub(super) const SEGMENT_LEN: usize = 32;
pub(super) const BLOCK_LEN: usize = 4096;
const CHECK_LEN: usize = 8;
/// Files up to this many bytes are checked whole when they are opened.
const EAGER_LEN: usize = 64 << 20;

/// Numbers in the header of a level file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) covered: u64,
    pub(super) packs: u64,
    pub(super) segments: u64,
    pub(super) records: u64,
    /// Bits of an id that the fan-out uses.
    pub(super) fan_bits: u64,
    /// Bits of an id that choose a filter.
    pub(super) filter_bits: u64,
    /// Bytes of all filters.
    pub(super) filter_len: u64,
}

/// Where each part starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub(super) covered: usize,
    pub(super) packs: usize,
    pub(super) segments: usize,
    pub(super) records: usize,
    pub(super) fan: usize,
    pub(super) filters: usize,
    pub(super) checks: usize,
    pub(super) end: usize,
}

impl Sizes {
    pub(super) fn fields(&self) -> [u64; 7] {
        let s = self;
        [s.covered, s.packs, s.segments, s.records, s.fan_bits, s.filter_bits, s.filter_len]
    }

    pub(super) fn from_fields(f: [u64; 7]) -> Self {
        Self {
            covered: f[0],
            packs: f[1],
            segments: f[2],
            records: f[3],
            fan_bits: f[4],
            filter_bits: f[5],
            filter_len: f[6],
        }
    }

    /// Where the parts lie; `None` if that would not fit an address space.
    pub(super) fn parts(&self) -> Option<Parts> {
        let size = |count: u64, len: usize| usize::try_from(count).ok()?.checked_mul(len);
        let covered = HEADER_LEN;
        let packs = covered.checked_add(size(self.covered, COVERED_LEN)?)?;
        let segments = packs.checked_add(size(self.packs, PACK_LEN)?)?;
        let records = segments.checked_add(size(self.segments, SEGMENT_LEN)?)?;
        let fan = records.checked_add(size(self.records, RECORD_LEN)?)?;
        if self.fan_bits > 24 || self.filter_bits > 16 {
            return None;
        }
        let filters = fan.checked_add(size((1 << self.fan_bits) + 1, 4)?)?;
        let checks = filters.checked_add(size(self.filter_len, 1)?)?;
        let end = checks.checked_add(checks.div_ceil(BLOCK_LEN).checked_mul(CHECK_LEN)?)?;
        Some(Parts { covered, packs, segments, records, fan, filters, checks, end })
    }
}

/// The first bytes of a block's hash.
pub(super) fn block_check(block: &[u8]) -> [u8; CHECK_LEN] {
    let mut check = [0; CHECK_LEN];
    check.copy_from_slice(&blake3::hash(block).as_bytes()[..CHECK_LEN]);
    check
}

/// The top bits of an id.
pub(super) fn prefix(id: &[u8; 32], bits: u64) -> usize {
    let top = u32::from_be_bytes([id[0], id[1], id[2], id[3]]);
    if bits == 0 { 0 } else { (top >> (32 - bits)) as usize }
}

/// The first bytes of an id, as a number of the same order.
fn leading(id: &[u8; 32]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&id[..8]);
    u64::from_be_bytes(bytes)
}

/// The number that stands for an id in a filter. Not the bytes that choose the filter.
pub(super) fn filter_key(id: &[u8; 32]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&id[8..16]);
    u64::from_le_bytes(bytes)
}

/// An index object whose content is in a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Covered {
    pub(crate) object: ObjectHash,
    pub(crate) object_type: ObjectType,
}

/// An open level.
pub(super) struct Level {
    map: Mmap,
    /// Keeps the lock on the file; `None` for anonymous memory.
    _file: Option<File>,
    path: Option<PathBuf>,
    sizes: Sizes,
    parts: Parts,
    /// One bit a block: checked and good. Empty if all were checked at once.
    checked: Vec<AtomicU8>,
    doubtful: AtomicBool,
}

impl Level {
    /// Opens a level file, made by this version for this repository.
    ///
    /// # Errors
    /// Any doubt is an error: the caller makes the level anew.
    pub(super) fn open(path: &Path, repo_id: RepoId) -> Result<Self> {
        let local = |e| Error::local("read", path, e);
        let file = File::open(path).map_err(local)?;
        file.lock_shared().map_err(local)?;
        Self::map(file, Some(path.to_path_buf()), repo_id)
    }

    /// Maps a file that was just made, or checked by its header.
    pub(super) fn map(file: File, path: Option<PathBuf>, repo_id: RepoId) -> Result<Self> {
        let doubt = |what: &str| Error::damaged("local index", what);
        // SAFETY: the file is private to this user, named by its content's hash, never changed
        // after its creation and only removed as a whole; a shared lock is held while it is
        // mapped. Whatever is in it is checked before use.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }
            .map_err(|e| Error::local("map", path.clone().unwrap_or_default(), e))?;
        let header = map.get(..HEADER_LEN).ok_or_else(|| doubt("it is too short"))?;
        let sum = blake3::hash(&header[..HEADER_LEN - 32]);
        if header[..8] != MAGIC
            || header[8..40] != repo_id.0
            || header[HEADER_LEN - 32..] != *sum.as_bytes()
        {
            return Err(doubt("its header is not what it should be"));
        }
        let mut fields = [0; 7];
        for (field, bytes) in fields.iter_mut().zip(header[40..].as_chunks::<8>().0) {
            *field = u64::from_le_bytes(*bytes);
        }
        let sizes = Sizes::from_fields(fields);
        let parts = sizes.parts().ok_or_else(|| doubt("its sizes are impossible"))?;
        if parts.end != map.len() {
            return Err(doubt("its length is not what its header says"));
        }
        let mut level = Self {
            map,
            _file: path.is_some().then_some(file),
            path,
            sizes,
            parts,
            checked: Vec::new(),
            doubtful: AtomicBool::new(false),
        };
        let blocks = parts.checks.div_ceil(BLOCK_LEN);
        if parts.checks <= EAGER_LEN {
            if (0..blocks).any(|block| !level.block_is_good(block)) {
                return Err(doubt("a block does not match its checksum"));
            }
        } else {
            level.checked = (0..blocks.div_ceil(8)).map(|_| AtomicU8::new(0)).collect();
            // Look-ups touch records all over: reading more around each would only cost. Whoever
            // reads them in order says so.
            let _ =
                level.map.advise_range(Advice::Random, parts.records, parts.fan - parts.records);
        }
        Ok(level)
    }

    /// Has records read ahead, from `first` on: a hint.
    pub(super) fn will_read(&self, first: u64, count: u64) {
        if self.checked.is_empty() {
            return;
        }
        let end = first.saturating_add(count).min(self.sizes.records);
        let start = self.parts.records + first.min(end) as usize * RECORD_LEN;
        let len = (end - first.min(end)) as usize * RECORD_LEN;
        // Starts of pages only.
        let aligned = start / BLOCK_LEN * BLOCK_LEN;
        let _ = self.map.advise_range(Advice::WillNeed, aligned, len + start - aligned);
    }

    /// Has the records of ids from `first` to `last` read ahead: a hint.
    pub(super) fn will_find(&self, first: &[u8; 32], last: &[u8; 32]) {
        let position = |slot: usize| {
            let bytes: &[u8; 4] = self.array(self.parts.fan + slot * 4)?;
            Some(u64::from(u32::from_le_bytes(*bytes)))
        };
        let start = position(prefix(first, self.sizes.fan_bits));
        let end = position(prefix(last, self.sizes.fan_bits) + 1);
        if let (Some(start), Some(end)) = (start, end) {
            self.will_read(start, end.saturating_sub(start));
        }
    }

    fn block_is_good(&self, block: usize) -> bool {
        let start = block * BLOCK_LEN;
        let end = (start + BLOCK_LEN).min(self.parts.checks);
        let at = self.parts.checks + block * CHECK_LEN;
        block_check(&self.map[start..end]) == self.map[at..at + CHECK_LEN]
    }

    /// Bytes of the file, checked.
    fn bytes(&self, start: usize, len: usize) -> Option<&[u8]> {
        if !self.checked.is_empty() && len > 0 {
            for block in start / BLOCK_LEN..=(start + len - 1) / BLOCK_LEN {
                let (byte, bit) = (&self.checked[block / 8], 1 << (block % 8));
                if byte.load(Relaxed) & bit == 0 {
                    if !self.block_is_good(block) {
                        self.doubtful.store(true, Relaxed);
                        return None;
                    }
                    byte.fetch_or(bit, Relaxed);
                }
            }
        }
        self.map.get(start..start + len)
    }

    fn array<const N: usize>(&self, start: usize) -> Option<&[u8; N]> {
        self.bytes(start, N)?.first_chunk()
    }

    pub(super) fn record_count(&self) -> u64 {
        self.sizes.records
    }

    pub(super) fn pack_count(&self) -> u32 {
        self.sizes.packs as u32
    }

    /// The index objects whose content is in this level.
    pub(super) fn covered(&self) -> Vec<Covered> {
        let at = |n: usize| {
            let bytes = self.array::<COVERED_LEN>(self.parts.covered + n * COVERED_LEN)?;
            let object_type = ObjectType::from_number(bytes[32])?;
            Some(Covered { object: ObjectHash::from_slice(&bytes[..32])?, object_type })
        };
        (0..self.sizes.covered as usize).filter_map(at).collect()
    }

    /// The record with this number in the order of ids; `None` if its block is damaged.
    pub(super) fn record(&self, number: u64) -> Option<IndexRecord> {
        let start = self.parts.records + usize::try_from(number).ok()? * RECORD_LEN;
        self.array::<RECORD_LEN>(start).map(IndexRecord::decode)
    }

    fn id_at(&self, number: usize) -> Option<&[u8; 32]> {
        self.array::<32>(self.parts.records + number * RECORD_LEN)
    }

    /// All records with this id.
    pub(super) fn find(&self, id: &[u8; 32]) -> impl Iterator<Item = IndexRecord> {
        let first = self.first_at(id);
        let id = *id;
        let records = self.sizes.records;
        (first.unwrap_or(records)..records)
            .map_while(|number| self.record(number))
            .take_while(move |record| record.id == id)
    }

    /// The number of the first record with this id.
    fn first_at(&self, id: &[u8; 32]) -> Option<u64> {
        if self.sizes.records == 0 || !self.may_contain(id)? {
            return None;
        }
        let slot = self.parts.fan + prefix(id, self.sizes.fan_bits) * 4;
        let fan: &[u8; 8] = self.array(slot)?;
        let mut low = u32::from_le_bytes([fan[0], fan[1], fan[2], fan[3]]) as usize;
        let mut high = u32::from_le_bytes([fan[4], fan[5], fan[6], fan[7]]) as usize;
        if low > high || high as u64 > self.sizes.records {
            return None;
        }
        let limit = high;
        // The first eight bytes decide nearly always, and compare as one number.
        let key = leading(id);
        while low < high {
            let middle = low + (high - low) / 2;
            let other = self.id_at(middle)?;
            let is_less = match leading(other).cmp(&key) {
                Ordering::Less => true,
                Ordering::Equal => other < id,
                Ordering::Greater => false,
            };
            if is_less { low = middle + 1 } else { high = middle }
        }
        (low < limit && self.id_at(low)? == id).then_some(low as u64)
    }

    /// What the filter says; `None` if it is damaged.
    fn may_contain(&self, id: &[u8; 32]) -> Option<bool> {
        if self.sizes.filter_len == 0 {
            return Some(true);
        }
        let number = prefix(id, self.sizes.filter_bits);
        // Table of positions first, one more than there are filters.
        let bounds: &[u8; 16] = self.array(self.parts.filters + number * 8)?;
        let (start, end) = bounds.split_at(8);
        let start = u64::from_le_bytes(start.try_into().ok()?) as usize;
        let end = u64::from_le_bytes(end.try_into().ok()?) as usize;
        let len = end.checked_sub(start)?;
        if len == 0 {
            return Some(false);
        }
        let descriptor_len = xorf::BinaryFuse8::DESCRIPTOR_LEN;
        if len < descriptor_len || end as u64 > self.sizes.filter_len {
            return None;
        }
        // Only the touched bytes of a large filter should be checked, but a filter is small.
        let bytes = self.bytes(self.parts.filters + start, len)?;
        let (descriptor, fingerprints) = bytes.split_at(descriptor_len);
        Some(BinaryFuse8Ref::from_dma(descriptor, fingerprints).contains(&filter_key(id)))
    }

    pub(super) fn pack(&self, pack_no: u32) -> PackInfo {
        let start = self.parts.packs + pack_no as usize * PACK_LEN;
        let missing = || PackInfo {
            hash: ObjectHash([0; 32]),
            len: 0,
            pack_type: PackType::Data,
            segments: 0,
        };
        if u64::from(pack_no) >= self.sizes.packs {
            return missing();
        }
        let Some(bytes) = self.array::<PACK_LEN>(start) else { return missing() };
        let mut info = missing();
        info.hash.0.copy_from_slice(&bytes[..32]);
        // Length and type share eight bytes; no pack needs the top byte for its length.
        let packed = u64::from_le_bytes(bytes[32..40].try_into().unwrap_or_default());
        info.len = packed & ((1 << 56) - 1);
        info.pack_type = if packed >> 56 == 0 { PackType::Data } else { PackType::Meta };
        let first = u32::from_le_bytes(bytes[40..44].try_into().unwrap_or_default());
        let end = u32::from_le_bytes(bytes[44..].try_into().unwrap_or_default());
        info.segments = end.saturating_sub(first);
        info
    }

    pub(super) fn segment(&self, pack_no: u32, segment_no: u32) -> Option<SegmentInfo> {
        if u64::from(pack_no) >= self.sizes.packs {
            return None;
        }
        let pack = self.array::<PACK_LEN>(self.parts.packs + pack_no as usize * PACK_LEN)?;
        let first = u32::from_le_bytes(pack[40..44].try_into().ok()?);
        let end = u32::from_le_bytes(pack[44..].try_into().ok()?);
        let number = first.checked_add(segment_no).filter(|n| *n < end)?;
        if u64::from(number) >= self.sizes.segments {
            return None;
        }
        let start = self.parts.segments + number as usize * SEGMENT_LEN;
        self.array::<SEGMENT_LEN>(start).map(SegmentInfo::decode)
    }

    /// Removes the level's file: it was merged into another, or is in doubt.
    pub(super) fn remove_file(&self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        if self.doubtful.load(Relaxed) {
            self.remove_file();
        }
    }
}
