//! Writes a folder of a snapshot as a tar stream, POSIX (pax) format.
//!
//! Everything that tar can say is there: names and link targets of any bytes and length, owners,
//! times in nanoseconds, extended attributes, devices, hard links, holes. Sockets are left out, as
//! every tar does.

mod header;
mod sparse;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::EntryType;

use super::archived::MemberNames;
use super::reader::{FileReader, Part, output_failed};
use super::{Manifest, load_xattrs};
use crate::error::{Error, Result};
use crate::model::entry::is_within;
use crate::model::{Content, Entry, FileKind, Xattr};
use crate::repository::{Reader, Repository};
use crate::runtime::{Issue, IssueKind, Runtime};
use header::Member;
use sparse::Runs;

/// Length of a block of a tar file.
const BLOCK: u64 = 512;
/// Bytes that are collected before they are written.
const BUFFER: usize = 256 << 10;

/// What went into an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TarStats {
    /// Entries written.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Files and pages that could not be read; parts of files are zeros in their place. Each was
    /// told to the progress.
    pub failed: u64,
}

/// Writes `folder` (or one file) of a manifest and all that is in it. Names in the archive are
/// those below the folder; of the root, the whole paths. What cannot be read is told to the
/// progress, and the archive goes on with what can.
///
/// # Errors
/// [`Error::NotFound`] if there is no such folder, [`Error::Local`] if `out` fails,
/// [`Error::Cancelled`].
pub fn write_tar(
    repository: &Repository,
    manifest: &Manifest,
    folder: &[u8],
    out: &mut dyn Write,
    runtime: &Runtime,
) -> Result<TarStats> {
    let names = MemberNames::of(repository, manifest, folder)?;
    let mut writer = TarWriter {
        repository,
        manifest,
        names,
        reader: repository.reader(),
        out: BufWriter::with_capacity(BUFFER, out),
        runtime,
        links: HashMap::new(),
        stats: TarStats::default(),
        lost_pages: false,
    };
    for entry in manifest.entries_within(repository, folder) {
        runtime.cancel.check()?;
        match entry {
            Ok(entry) => writer.add(&entry)?,
            Err(error) => {
                writer.lost_pages = true;
                writer.failed(folder, &error);
            }
        }
    }
    writer.finish()
}

struct TarWriter<'w> {
    repository: &'w Repository,
    manifest: &'w Manifest,
    names: MemberNames<'w>,
    reader: Reader<'w>,
    out: BufWriter<&'w mut dyn Write>,
    runtime: &'w Runtime,
    /// Hard-link groups whose first path is not in the archive: the name that has the content.
    links: HashMap<Vec<u8>, Vec<u8>>,
    stats: TarStats,
    /// Entries are missing, so what a hard link leads to may be missing, too.
    lost_pages: bool,
}

impl TarWriter<'_> {
    fn add(&mut self, entry: &Entry) -> Result<()> {
        self.runtime.progress.current(Path::new(OsStr::from_bytes(&entry.path)));
        if entry.kind == FileKind::Socket {
            self.issue(IssueKind::Warning, &entry.path, "sockets do not go into archives".into());
            return Ok(());
        }
        let content = match &entry.link_to {
            None => Cow::Borrowed(entry),
            Some(target) => {
                if let Some(name) = self.link_name(target) {
                    return self.add_link(entry, name);
                }
                match self.manifest.content_entry(self.repository, entry) {
                    Ok(content) => {
                        self.links.insert(target.clone(), self.name(&entry.path));
                        content
                    }
                    Err(error) => {
                        self.failed(&entry.path, &error);
                        return Ok(());
                    }
                }
            }
        };
        let xattrs = match load_xattrs(&mut self.reader, entry) {
            Ok(xattrs) => xattrs,
            Err(error) => {
                self.failed(&entry.path, &error);
                Vec::new()
            }
        };
        let written = if entry.kind == FileKind::File {
            match FileReader::open(self.repository, self.manifest, &content) {
                Ok(file) => self.add_file(entry, content.sparse, file, &xattrs)?,
                Err(error) => {
                    self.failed(&entry.path, &error);
                    return Ok(());
                }
            }
        } else {
            self.add_other(entry, &content, &xattrs)?
        };
        self.stats.entries += 1;
        self.stats.bytes += written;
        self.runtime.progress.done(1, written);
        Ok(())
    }

    /// The name in the archive of the entry that has the content of a hard-link group.
    fn link_name(&self, target: &[u8]) -> Option<Vec<u8>> {
        if !is_within(target, self.names.folder) {
            return self.links.get(target).cloned();
        }
        let is_there = !self.lost_pages
            || self.manifest.find(self.repository, target).is_ok_and(|entry| entry.is_some());
        is_there.then(|| self.name(target))
    }

    fn add_link(&mut self, entry: &Entry, name: Vec<u8>) -> Result<()> {
        let mut member = self.member(entry, EntryType::Link, &[]);
        member.link = name;
        self.put(&member.encode())?;
        self.stats.entries += 1;
        self.runtime.progress.done(1, 0);
        Ok(())
    }

    fn add_other(&mut self, entry: &Entry, content: &Entry, xattrs: &[Xattr]) -> Result<u64> {
        let entry_type = match entry.kind {
            FileKind::Dir => EntryType::Directory,
            FileKind::Symlink => EntryType::Symlink,
            FileKind::CharDevice => EntryType::Char,
            FileKind::BlockDevice => EntryType::Block,
            FileKind::Fifo | FileKind::File | FileKind::Socket => EntryType::Fifo,
        };
        let mut member = self.member(entry, entry_type, xattrs);
        if let (FileKind::Symlink, Content::Inline(target)) = (entry.kind, &content.content) {
            member.link = target.clone();
        }
        self.put(&member.encode())?;
        Ok(0)
    }

    /// Writes a file; returns how many bytes it has. What cannot be read of it is zeros.
    fn add_file(
        &mut self,
        entry: &Entry,
        was_sparse: bool,
        mut file: FileReader<'_>,
        xattrs: &[Xattr],
    ) -> Result<u64> {
        let size = file.size();
        let runs = if was_sparse { file.data_runs() } else { None };
        let runs = Runs::new(runs, size);
        let mut member = self.member(entry, EntryType::Regular, xattrs);
        let map = runs.map();
        let stored = map.len() as u64 + runs.bytes();
        member.size = stored;
        member.sparse_size = runs.is_sparse().then_some(size);
        self.put(&member.encode())?;
        self.put(&map)?;
        let mut at = 0;
        let mut gaps = Vec::new();
        let (out, runtime) = (&mut self.out, self.runtime);
        file.read_parts(&mut |part| {
            runtime.cancel.check()?;
            let start = at;
            match part {
                Part::Bytes(bytes) => {
                    at += bytes.len() as u64;
                    for run in runs.within(start..at) {
                        let range = (run.start - start) as usize..(run.end - start) as usize;
                        out.write_all(&bytes[range]).map_err(output_failed)?;
                    }
                    return Ok(());
                }
                Part::Hole(len) => at += len,
                Part::Gap(gap) => {
                    at = gap.end;
                    gaps.push(gap);
                }
            }
            runs.within(start..at).try_for_each(|run| put_zeros(out, run.end - run.start))
        })?;
        self.put_padding(stored)?;
        if let Some(first) = gaps.first() {
            let lost: u64 = gaps.iter().map(|gap| gap.end - gap.start).sum();
            let text = format!("{lost} of {size} bytes are lost and zeros here: {}", first.error);
            self.stats.failed += 1;
            self.issue(IssueKind::Failed, &entry.path, text);
        }
        Ok(size)
    }

    fn member<'e>(
        &self,
        entry: &'e Entry,
        entry_type: EntryType,
        xattrs: &'e [Xattr],
    ) -> Member<'e> {
        let mut name = self.name(&entry.path);
        if entry_type == EntryType::Directory {
            name.push(b'/');
        }
        Member { entry, entry_type, name, link: Vec::new(), size: 0, sparse_size: None, xattrs }
    }

    /// The name of a path in the archive; `.` for the folder itself.
    fn name(&self, path: &[u8]) -> Vec<u8> {
        let name = self.names.name(path);
        if name.is_empty() { b".".to_vec() } else { name.to_vec() }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(output_failed)
    }

    fn put_padding(&mut self, len: u64) -> Result<()> {
        put_zeros(&mut self.out, (BLOCK - len % BLOCK) % BLOCK)
    }

    fn failed(&mut self, path: &[u8], error: &Error) {
        self.stats.failed += 1;
        self.issue(IssueKind::Failed, path, error.to_string());
    }

    fn issue(&self, kind: IssueKind, path: &[u8], message: String) {
        self.runtime.progress.issue(&Issue { kind, path: path.to_vec(), message });
    }

    fn finish(mut self) -> Result<TarStats> {
        put_zeros(&mut self.out, 2 * BLOCK)?;
        self.out.flush().map_err(output_failed)?;
        Ok(self.stats)
    }
}

fn put_zeros(out: &mut dyn Write, len: u64) -> Result<()> {
    std::io::copy(&mut std::io::repeat(0).take(len), out).map_err(output_failed)?;
    Ok(())
}

#[cfg(test)]
mod tests;
