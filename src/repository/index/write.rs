//! Writes the file of a level (the layout is described in `level`).

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use xorf::{BinaryFuse8, DmaSerializable};

use super::level::{
    self, BLOCK_LEN, COVERED_LEN, Covered, HEADER_LEN, Level, MAGIC, PACK_LEN, SEGMENT_LEN, Sizes,
};
use super::merge::Merged;
use crate::error::{Error, Result};
use crate::format::pack::PackType;
use crate::model::RepoId;
use crate::repository::state::make_private_folder;

pub(super) fn write_in_folder(
    merged: &Merged,
    covered: &[Covered],
    repo_id: RepoId,
    folder: &Path,
) -> Result<Level> {
    make_private_folder(folder)?;
    // Named by what it covers, so two processes that make the same level write the same bytes.
    let mut name = blake3::Hasher::new();
    for covered in covered {
        name.update(covered.object.as_bytes());
    }
    let name = name.finalize().to_hex();
    let path = folder.join(format!("index-{}", &name[..32]));
    let unfinished = folder.join(format!("index-{}.{}.new", &name[..32], std::process::id()));
    let local = |e| Error::local("write", &path, e);
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(local)?;
    // Not synced: after a crash the checksums tell, and the level is made anew.
    let written = write_level(&file, merged, covered, repo_id)
        .and_then(|()| std::fs::rename(&unfinished, &path));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&unfinished);
        return Err(local(error));
    }
    file.lock_shared().map_err(local)?;
    Level::map(file, Some(path), repo_id)
}

pub(super) fn write_in_memory(
    merged: &Merged,
    covered: &[Covered],
    repo_id: RepoId,
) -> Result<Level> {
    let local = |e: std::io::Error| Error::local("create", "memory for the index", e);
    let fd = rustix::fs::memfd_create("larder index", rustix::fs::MemfdFlags::CLOEXEC)
        .map_err(|e| local(e.into()))?;
    let file = File::from(fd);
    write_level(&file, merged, covered, repo_id).map_err(local)?;
    Level::map(file, None, repo_id)
}

/// About four records share a fan-out slot, and a quarter of a million a filter.
fn bits_for(records: u64, per_slot: u64, max: u64) -> u64 {
    u64::from((records / per_slot).max(1).ilog2()).min(max)
}

/// Below this many records a filter saves nothing.
const FILTER_FROM: u64 = 1 << 16;

fn write_level(
    file: &File,
    merged: &Merged,
    covered: &[Covered],
    repo_id: RepoId,
) -> std::io::Result<()> {
    let packs = merged.packs();
    let segments: u64 = packs.iter().map(|pack| pack.segments.len() as u64).sum();
    // Copies of a record in several levels shrink the count, so the sizes are known at the end.
    let mut sizes = Sizes {
        covered: covered.len() as u64,
        packs: packs.len() as u64,
        segments,
        records: 0,
        fan_bits: bits_for(merged.records_max(), 4, 22),
        filter_bits: bits_for(merged.records_max(), 1 << 18, 16),
        filter_len: 0,
    };
    let mut out = CheckedWriter::new(file);
    out.write_all(&[0; HEADER_LEN])?;
    for covered in covered {
        let mut bytes = [0; COVERED_LEN];
        bytes[..32].copy_from_slice(covered.object.as_bytes());
        bytes[32] = covered.object_type as u8;
        out.write_all(&bytes)?;
    }
    let mut first = 0_u32;
    for pack in packs {
        let end = first + pack.segments.len() as u32;
        let mut bytes = [0; PACK_LEN];
        bytes[..32].copy_from_slice(&pack.hash.0);
        let packed = pack.len | u64::from(pack.pack_type == PackType::Meta) << 56;
        bytes[32..40].copy_from_slice(&packed.to_le_bytes());
        bytes[40..44].copy_from_slice(&first.to_le_bytes());
        bytes[44..].copy_from_slice(&end.to_le_bytes());
        out.write_all(&bytes)?;
        first = end;
    }
    for segment in packs.iter().flat_map(|pack| &pack.segments) {
        let mut bytes = [0; SEGMENT_LEN];
        bytes[..8].copy_from_slice(&segment.offset.to_le_bytes());
        bytes[8..12].copy_from_slice(&segment.sealed_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&segment.plain_len.to_le_bytes());
        bytes[16..24].copy_from_slice(&segment.epoch.0);
        bytes[24] = segment.codec;
        out.write_all(&bytes)?;
    }
    let mut fan = vec![0_u32; (1 << sizes.fan_bits) + 1];
    let mut filters = Filters::new(&sizes, merged.records_max() >= FILTER_FROM);
    merged.for_each(&mut |record| {
        out.write_all(&record.encode())?;
        fan[level::prefix(&record.id, sizes.fan_bits) + 1] += 1;
        filters.add(&record.id);
        sizes.records += 1;
        Ok(())
    })?;
    let mut sum = 0;
    for count in &mut fan {
        sum += *count;
        out.write_all(&sum.to_le_bytes())?;
    }
    let filters = filters.finish();
    sizes.filter_len = filters.len() as u64;
    out.write_all(&filters)?;
    out.finish(sizes, repo_id)
}

/// Builds one filter per range of ids, so that building needs little memory.
struct Filters {
    enabled: bool,
    bits: u64,
    current: usize,
    keys: Vec<u64>,
    bounds: Vec<u64>,
    bytes: Vec<u8>,
}

impl Filters {
    fn new(sizes: &Sizes, enabled: bool) -> Self {
        Self {
            enabled,
            bits: sizes.filter_bits,
            current: 0,
            keys: Vec::new(),
            bounds: Vec::new(),
            bytes: Vec::new(),
        }
    }

    fn add(&mut self, id: &[u8; 32]) {
        if !self.enabled {
            return;
        }
        let number = level::prefix(id, self.bits);
        while self.current < number {
            self.close();
        }
        self.keys.push(level::filter_key(id));
    }

    fn close(&mut self) {
        self.bounds.push(self.bytes.len() as u64);
        self.current += 1;
        let mut keys = std::mem::take(&mut self.keys);
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return;
        }
        match BinaryFuse8::try_from(&keys) {
            Ok(filter) => {
                let start = self.bytes.len();
                self.bytes.resize(start + BinaryFuse8::DESCRIPTOR_LEN, 0);
                filter.dma_copy_descriptor_to(&mut self.bytes[start..]);
                self.bytes.extend_from_slice(filter.dma_fingerprints());
            }
            // Never seen; without filters every look-up is still right.
            Err(_) => self.enabled = false,
        }
    }

    /// The table of positions and the filters behind it; empty if there are none.
    fn finish(mut self) -> Vec<u8> {
        while self.enabled && self.current < 1 << self.bits {
            self.close();
        }
        if !self.enabled {
            return Vec::new();
        }
        self.bounds.push(self.bytes.len() as u64);
        let table_len = self.bounds.len() as u64 * 8;
        let mut all = Vec::with_capacity(table_len as usize + self.bytes.len());
        for bound in &self.bounds {
            all.extend_from_slice(&(bound + table_len).to_le_bytes());
        }
        all.extend_from_slice(&self.bytes);
        all
    }
}

/// Writes a file and the checksums of its blocks behind it.
struct CheckedWriter<'a> {
    out: BufWriter<&'a File>,
    block: Vec<u8>,
    checks: Vec<[u8; 8]>,
    first_block: Vec<u8>,
}

impl<'a> CheckedWriter<'a> {
    fn new(file: &'a File) -> Self {
        Self {
            out: BufWriter::with_capacity(256 << 10, file),
            block: Vec::with_capacity(BLOCK_LEN),
            checks: Vec::new(),
            first_block: Vec::new(),
        }
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            let take = bytes.len().min(BLOCK_LEN - self.block.len());
            self.block.extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if self.block.len() == BLOCK_LEN {
                self.end_block()?;
            }
        }
        Ok(())
    }

    fn end_block(&mut self) -> std::io::Result<()> {
        if self.checks.is_empty() {
            self.first_block = self.block.clone();
        }
        self.checks.push(level::block_check(&self.block));
        self.out.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }

    /// Writes the checksums, then the header, now that the sizes are known.
    fn finish(mut self, sizes: Sizes, repo_id: RepoId) -> std::io::Result<()> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let mut header = [0; HEADER_LEN];
        header[..8].copy_from_slice(&MAGIC);
        header[8..40].copy_from_slice(&repo_id.0);
        for (number, field) in sizes.fields().into_iter().enumerate() {
            header[40 + number * 8..48 + number * 8].copy_from_slice(&field.to_le_bytes());
        }
        let sum = blake3::hash(&header[..HEADER_LEN - 32]);
        header[HEADER_LEN - 32..].copy_from_slice(sum.as_bytes());
        self.first_block[..HEADER_LEN].copy_from_slice(&header);
        self.checks[0] = level::block_check(&self.first_block);
        for check in &self.checks {
            self.out.write_all(check)?;
        }
        self.out.flush()?;
        let mut file = *self.out.get_ref();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header)
    }
}
