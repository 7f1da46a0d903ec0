//! Writes the file of a level (the layout is described in `level`).

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use xorf::{BinaryFuse8, DmaSerializable};

use super::level::{
    self, BLOCK_LEN, COVERED_LEN, Covered, HEADER_LEN, Level, MAGIC, PACK_LEN, Sizes,
};
use super::merge::{MergeError, Merged};
use crate::error::{Error, Result};
use crate::format::pack::PackType;
use crate::model::RepoId;
use crate::repository::state::make_private_folder;
use crate::runtime::Spool;

pub(super) fn write_in_folder(
    merged: &Merged<'_>,
    covered: &[Covered],
    repo_id: RepoId,
    folder: &Path,
) -> Result<Level, MergeError> {
    make_private_folder(folder)?;
    // Named by what it covers, so two processes that make the same level write the same bytes.
    let mut name = blake3::Hasher::new();
    for covered in covered {
        name.update(covered.object.as_bytes());
    }
    let name = name.finalize().to_hex();
    let path = folder.join(format!("index-{}", &name[..32]));
    // Two open repositories of one process may make the same level at the same time, and must not
    // cut short what the other one has mapped.
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    let unfinished = folder.join(format!("index-{}.{pid}-{number}.new", &name[..32]));
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
    let written = write_level(&file, &path, merged, covered, repo_id)
        .and_then(|()| Ok(std::fs::rename(&unfinished, &path).map_err(local)?));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&unfinished);
        return Err(error);
    }
    file.lock_shared().map_err(local)?;
    Ok(Level::map(file, Some(path), repo_id)?)
}

pub(super) fn write_in_memory(
    merged: &Merged<'_>,
    covered: &[Covered],
    repo_id: RepoId,
) -> Result<Level, MergeError> {
    let local = |e: std::io::Error| Error::local("create", "memory for the index", e);
    let fd = rustix::fs::memfd_create("larder index", rustix::fs::MemfdFlags::CLOEXEC)
        .map_err(|e| local(e.into()))?;
    let file = File::from(fd);
    write_level(&file, Path::new("anonymous memory"), merged, covered, repo_id)?;
    Ok(Level::map(file, None, repo_id)?)
}

/// About four records share a fan-out slot, and a quarter of a million a filter.
fn bits_for(records: u64, per_slot: u64, max: u64) -> u64 {
    u64::from((records / per_slot).max(1).ilog2()).min(max)
}

/// Below this many records a filter saves nothing.
const FILTER_FROM: u64 = 1 << 16;

fn write_level(
    file: &File,
    path: &Path,
    merged: &Merged<'_>,
    covered: &[Covered],
    repo_id: RepoId,
) -> Result<(), MergeError> {
    let folder = path.parent().filter(|folder| folder.is_absolute());
    // Copies of a record in several levels shrink the count, so the sizes are known at the end.
    let mut sizes = Sizes {
        covered: covered.len() as u64,
        packs: merged.pack_count(),
        segments: merged.packs().map(|pack| u64::from(pack.segments)).sum(),
        records: 0,
        fan_bits: bits_for(merged.records_max(), 4, 22),
        filter_bits: bits_for(merged.records_max(), 1 << 18, 16),
        filter_len: 0,
    };
    let mut out = CheckedWriter::new(file, path, folder);
    out.write_all(&[0; HEADER_LEN])?;
    for covered in covered {
        let mut bytes = [0; COVERED_LEN];
        bytes[..32].copy_from_slice(covered.object.as_bytes());
        bytes[32] = covered.object_type as u8;
        out.write_all(&bytes)?;
    }
    let mut first = 0_u32;
    for pack in merged.packs() {
        let end = first + pack.segments;
        let mut bytes = [0; PACK_LEN];
        bytes[..32].copy_from_slice(&pack.hash.0);
        let packed = pack.len | u64::from(pack.pack_type == PackType::Meta) << 56;
        bytes[32..40].copy_from_slice(&packed.to_le_bytes());
        bytes[40..44].copy_from_slice(&first.to_le_bytes());
        bytes[44..].copy_from_slice(&end.to_le_bytes());
        out.write_all(&bytes)?;
        first = end;
    }
    merged.each_segment(&mut |segment| out.write_all(segment))?;
    let mut fan = vec![0_u32; (1 << sizes.fan_bits) + 1];
    let mut filters = Filters::new(&sizes, merged.records_max() >= FILTER_FROM, folder);
    merged.each_record(&mut |record| {
        out.write_all(&record.encode())?;
        fan[level::prefix(&record.id, sizes.fan_bits) + 1] += 1;
        filters.add(&record.id)?;
        sizes.records += 1;
        Ok(())
    })?;
    let mut sum = 0;
    for count in &mut fan {
        sum += *count;
        out.write_all(&sum.to_le_bytes())?;
    }
    sizes.filter_len = filters.finish(&mut out)?;
    Ok(out.finish(sizes, repo_id)?)
}

/// Builds one filter per range of ids, so that building needs little memory.
struct Filters {
    enabled: bool,
    bits: u64,
    current: usize,
    keys: Vec<u64>,
    bounds: Vec<u64>,
    bytes: Spool,
}

impl Filters {
    fn new(sizes: &Sizes, enabled: bool, folder: Option<&Path>) -> Self {
        Self {
            enabled,
            bits: sizes.filter_bits,
            current: 0,
            keys: Vec::new(),
            bounds: Vec::new(),
            bytes: Spool::new(folder),
        }
    }

    fn add(&mut self, id: &[u8; 32]) -> Result<()> {
        if !self.enabled {
            return Ok(());
        }
        let number = level::prefix(id, self.bits);
        while self.current < number {
            self.close()?;
        }
        self.keys.push(level::filter_key(id));
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.bounds.push(self.bytes.len());
        self.current += 1;
        self.keys.sort_unstable();
        self.keys.dedup();
        if self.keys.is_empty() {
            return Ok(());
        }
        match BinaryFuse8::try_from(&self.keys) {
            Ok(filter) => {
                let mut descriptor = [0; BinaryFuse8::DESCRIPTOR_LEN];
                filter.dma_copy_descriptor_to(&mut descriptor);
                self.bytes.push(&descriptor)?;
                self.bytes.push(filter.dma_fingerprints())?;
            }
            // Never seen; without filters every look-up is still right.
            Err(_) => self.enabled = false,
        }
        self.keys.clear();
        Ok(())
    }

    /// Writes the table of positions and the filters behind it; nothing if there are none.
    /// Returns the length of all.
    fn finish(mut self, out: &mut CheckedWriter<'_>) -> Result<u64> {
        while self.enabled && self.current < 1 << self.bits {
            self.close()?;
        }
        if !self.enabled {
            return Ok(0);
        }
        self.bounds.push(self.bytes.len());
        let table_len = self.bounds.len() as u64 * 8;
        for bound in &self.bounds {
            out.write_all(&(bound + table_len).to_le_bytes())?;
        }
        copy(&self.bytes, out)?;
        Ok(table_len + self.bytes.len())
    }
}

fn copy(spool: &Spool, out: &mut CheckedWriter<'_>) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut at = 0;
    while at < spool.len() {
        let len = usize::try_from(spool.len() - at).unwrap_or(usize::MAX).min(buffer.len());
        spool.read_at(at, &mut buffer[..len])?;
        out.write_all(&buffer[..len])?;
        at += len as u64;
    }
    Ok(())
}

/// Writes a file and the checksums of its blocks behind it.
struct CheckedWriter<'a> {
    out: BufWriter<&'a File>,
    path: &'a Path,
    block: Vec<u8>,
    /// The first block, whose header is known last.
    first_block: Option<Vec<u8>>,
    /// Checksums of the others.
    checks: Spool,
}

impl<'a> CheckedWriter<'a> {
    fn new(file: &'a File, path: &'a Path, folder: Option<&Path>) -> Self {
        Self {
            out: BufWriter::with_capacity(256 << 10, file),
            path,
            block: Vec::with_capacity(BLOCK_LEN),
            first_block: None,
            checks: Spool::new(folder),
        }
    }

    fn local(path: &Path) -> impl Fn(std::io::Error) -> Error {
        move |error| Error::local("write", path, error)
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> Result<()> {
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

    fn end_block(&mut self) -> Result<()> {
        self.out.write_all(&self.block).map_err(Self::local(self.path))?;
        match self.first_block {
            None => self.first_block = Some(self.block.clone()),
            Some(_) => self.checks.push(&level::block_check(&self.block))?,
        }
        self.block.clear();
        Ok(())
    }

    /// Writes the checksums, then the header, now that the sizes are known.
    fn finish(mut self, sizes: Sizes, repo_id: RepoId) -> Result<()> {
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
        let mut first_block = self.first_block.take().expect("the header was written");
        first_block[..HEADER_LEN].copy_from_slice(&header);
        let local = Self::local(self.path);
        self.out.write_all(&level::block_check(&first_block)).map_err(&local)?;
        let mut checks = self.checks.elements::<8>(0, self.checks.len());
        while let Some(check) = checks.next_element()? {
            self.out.write_all(&check).map_err(&local)?;
        }
        self.out.flush().map_err(&local)?;
        let mut file = *self.out.get_ref();
        file.seek(SeekFrom::Start(0)).map_err(&local)?;
        file.write_all(&header).map_err(&local)
    }
}
