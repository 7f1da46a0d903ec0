//! Writes a folder of a snapshot as a zip archive, as a stream.
//!
//! For people whose system knows no tar: names of any bytes, Unix permissions and owners, times,
//! symbolic links, files and archives of any size (Zip64). A zip archive has no hard links (each
//! name is a file of its own), no extended attributes, no devices, pipes and sockets.
//!
//! This is a writer of our own, as the usual crate takes only names that are text, and keeps the
//! whole directory of an archive in memory.

mod deflate;
mod member;
mod out;

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::archived::MemberNames;
use super::reader::{FileReader, Part, output_failed};
use super::{Manifest, load_xattrs};
use crate::error::{Error, Result};
use crate::model::{Acl, Content, Entry, FileKind, XattrsRef};
use crate::repository::{Reader, Repository};
use crate::runtime::{Issue, IssueKind, Runtime};
use deflate::{BLOCK_LEN, Place};
use member::Member;
use out::{Item, ZipOut};

/// Blocks of zeros that are written without a look at the cancel token.
const READY_MAX: u64 = 1024;

/// How an archive is written.
#[derive(Clone, Debug)]
pub struct ZipOptions {
    /// How hard to compress: 0 (not at all) to 9.
    pub level: u32,
    /// Where the directory of a large archive waits for its end; it must exist. `None` is
    /// anonymous memory.
    pub spool_folder: Option<PathBuf>,
}

impl Default for ZipOptions {
    fn default() -> Self {
        Self { level: 6, spool_folder: None }
    }
}

/// What went into an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZipStats {
    /// Entries written.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Files and pages that could not be read; parts of files are zeros in their place. Each was
    /// told to the progress.
    pub failed: u64,
    /// Devices, pipes and sockets, which a zip archive cannot have. Each was told to the progress.
    pub left_out: u64,
    /// Entries whose extended attributes are not in the archive.
    pub without_attributes: u64,
    /// Names that are not UTF-8: they are in the archive as they are, and `unzip` drops bytes.
    pub raw_names: u64,
    /// Length of the archive.
    pub archive_bytes: u64,
}

/// Writes `folder` (or one file) of a manifest and all that is in it. Names in the archive are
/// those below the folder; of the root, the whole paths. What cannot be read is told to the
/// progress, and the archive goes on with what can.
///
/// # Errors
/// [`Error::NotFound`] if there is no such folder, [`Error::Local`] if `out` fails,
/// [`Error::Cancelled`].
pub fn write_zip(
    repository: &Repository,
    manifest: &Manifest,
    folder: &[u8],
    out: &mut dyn Write,
    options: &ZipOptions,
    runtime: &Runtime,
) -> Result<ZipStats> {
    let names = MemberNames::of(repository, manifest, folder)?;
    let mut writer = ZipWriter {
        repository,
        manifest,
        names,
        reader: repository.reader(),
        out: ZipOut::new(out, options.spool_folder.as_deref()),
        level: options.level.min(9),
        runtime,
        stats: ZipStats::default(),
    };
    for entry in manifest.entries_within(repository, folder) {
        runtime.cancel.check()?;
        match entry {
            Ok(entry) => writer.add(&entry)?,
            Err(error) => writer.failed(folder, &error),
        }
    }
    writer.finish()
}

struct ZipWriter<'w> {
    repository: &'w Repository,
    manifest: &'w Manifest,
    names: MemberNames<'w>,
    reader: Reader<'w>,
    out: ZipOut<'w>,
    level: u32,
    runtime: &'w Runtime,
    stats: ZipStats,
}

impl ZipWriter<'_> {
    fn add(&mut self, entry: &Entry) -> Result<()> {
        self.runtime.progress.current(Path::new(OsStr::from_bytes(&entry.path)));
        let name = self.names.name(&entry.path);
        // The folder itself has no name.
        if name.is_empty() {
            return Ok(());
        }
        let written = match entry.kind {
            FileKind::Dir => self.add_bytes(entry, name, Vec::new())?,
            FileKind::Symlink => match self.manifest.content_entry(self.repository, entry) {
                Ok(content) => match &content.content {
                    Content::Inline(target) => self.add_bytes(entry, name, target.clone())?,
                    _ => self.add_bytes(entry, name, Vec::new())?,
                },
                Err(error) => {
                    self.failed(&entry.path, &error);
                    return Ok(());
                }
            },
            FileKind::File => match FileReader::open(self.repository, self.manifest, entry) {
                Ok(file) => self.add_file(entry, name, file)?,
                Err(error) => {
                    self.failed(&entry.path, &error);
                    return Ok(());
                }
            },
            kind => {
                self.stats.left_out += 1;
                let text = format!("a zip archive has no place for a {}", kind.as_str());
                self.issue(IssueKind::Warning, &entry.path, text);
                return Ok(());
            }
        };
        if !written {
            return Ok(());
        }
        if entry.xattrs != XattrsRef::None
            && load_xattrs(&mut self.reader, entry).map_or(true, |list| !list.is_empty())
        {
            self.stats.without_attributes += 1;
        }
        self.stats.entries += 1;
        self.runtime.progress.done(1, 0);
        Ok(())
    }

    fn member(&mut self, entry: &Entry, name: &[u8], size: u64) -> Option<Member> {
        let mut member = Member::new(entry, name, size);
        // Told of elsewhere if they cannot be read.
        let xattrs = load_xattrs(&mut self.reader, entry).unwrap_or_default();
        if let Some(acl) = Acl::access_in(&xattrs) {
            member.mode = acl.mode_without(member.mode);
        }
        if !member.has_valid_name() {
            let what = Error::usage("its name is too long for a zip archive");
            self.failed(&entry.path, &what);
            return None;
        }
        self.stats.raw_names += u64::from(!member.has_text_name());
        Some(member)
    }

    fn add_bytes(&mut self, entry: &Entry, name: &[u8], bytes: Vec<u8>) -> Result<bool> {
        let Some(member) = self.member(entry, name, bytes.len() as u64) else { return Ok(false) };
        let pending = deflate::start(bytes, Place::Only, self.level);
        self.out.push(Item::Whole(member, pending))?;
        Ok(true)
    }

    /// Writes a file; what cannot be read of it is zeros.
    fn add_file(&mut self, entry: &Entry, name: &[u8], mut file: FileReader<'_>) -> Result<bool> {
        let size = file.size();
        let Some(member) = self.member(entry, name, size) else { return Ok(false) };
        let is_whole = size <= BLOCK_LEN as u64;
        let (runtime, level) = (self.runtime, self.level);
        let mut blocks = Blocks { out: &mut self.out, level, runtime, block: Vec::new() };
        if is_whole {
            blocks.block.reserve_exact(size as usize);
        } else {
            blocks.out.push(Item::Begin(member.clone()))?;
        }
        let mut lost = 0;
        let mut first_gap = None;
        file.read_parts(&mut |part| {
            runtime.cancel.check()?;
            let len = match part {
                Part::Bytes(bytes) => {
                    blocks.bytes(bytes, is_whole)?;
                    bytes.len() as u64
                }
                Part::Hole(len) => {
                    blocks.zeros(len, is_whole)?;
                    len
                }
                Part::Gap(gap) => {
                    let len = gap.end - gap.start;
                    lost += len;
                    first_gap.get_or_insert(gap.error);
                    blocks.zeros(len, is_whole)?;
                    len
                }
            };
            runtime.progress.done(0, len);
            Ok(())
        })?;
        let rest = std::mem::take(&mut blocks.block);
        if is_whole {
            let pending = deflate::start(rest, Place::Only, self.level);
            self.out.push(Item::Whole(member, pending))?;
        } else {
            if !rest.is_empty() {
                let pending = deflate::start(rest, Place::Inner, self.level);
                self.out.push(Item::Block(pending))?;
            }
            self.out.push(Item::End)?;
        }
        if let Some(error) = first_gap {
            let text = format!("{lost} of {size} bytes are lost and zeros here: {error}");
            self.stats.failed += 1;
            self.issue(IssueKind::Failed, &entry.path, text);
        }
        self.stats.bytes += size;
        Ok(true)
    }

    fn failed(&mut self, path: &[u8], error: &Error) {
        self.stats.failed += 1;
        self.issue(IssueKind::Failed, path, error.to_string());
    }

    fn issue(&self, kind: IssueKind, path: &[u8], message: String) {
        self.runtime.progress.issue(&Issue { kind, path: path.to_vec(), message });
    }

    fn finish(mut self) -> Result<ZipStats> {
        if self.stats.without_attributes > 0 {
            let text = format!(
                "extended attributes and ACLs of {} entries are not in the archive: zip has no \
                 place for them, tar has",
                self.stats.without_attributes
            );
            self.issue(IssueKind::Warning, b"", text);
        }
        if self.stats.raw_names > 0 {
            let text = format!(
                "{} names are not UTF-8: they are in the archive as they are, but `unzip` changes \
                 them; `bsdtar` and `larder import` do not",
                self.stats.raw_names
            );
            self.issue(IssueKind::Warning, b"", text);
        }
        self.stats.archive_bytes = self.out.finish()?;
        Ok(self.stats)
    }
}

/// Cuts the content of one file into blocks.
struct Blocks<'o, 'w> {
    out: &'o mut ZipOut<'w>,
    level: u32,
    runtime: &'o Runtime,
    block: Vec<u8>,
}

impl Blocks<'_, '_> {
    fn bytes(&mut self, mut bytes: &[u8], is_whole: bool) -> Result<()> {
        if is_whole {
            self.block.extend_from_slice(bytes);
            return Ok(());
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_LEN - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            self.end_full_block()?;
        }
        Ok(())
    }

    fn zeros(&mut self, mut len: u64, is_whole: bool) -> Result<()> {
        if is_whole {
            // At most a block: the pieces of a file are as long as the file.
            self.block.resize(self.block.len() + len as usize, 0);
            return Ok(());
        }
        let block = BLOCK_LEN as u64;
        if !self.block.is_empty() {
            let now = len.min(block - self.block.len() as u64);
            self.block.resize(self.block.len() + now as usize, 0);
            len -= now;
            self.end_full_block()?;
        }
        let zeros = deflate::zeros(self.level).map_err(output_failed)?;
        let mut times = len / block;
        while times > 0 {
            self.runtime.cancel.check()?;
            let now = times.min(READY_MAX);
            self.out.push(Item::Ready(zeros, block, now))?;
            times -= now;
        }
        self.block.resize(self.block.len() + (len % block) as usize, 0);
        Ok(())
    }

    fn end_full_block(&mut self) -> Result<()> {
        if self.block.len() == BLOCK_LEN {
            let full = std::mem::take(&mut self.block);
            self.out.push(Item::Block(deflate::start(full, Place::Inner, self.level)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
