//! Whether a restored file is what the snapshot says, and what the source still has.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::model::Entry;
use crate::repository::{Repository, Snapshot};
use crate::tree::{FileReader, Manifest};

/// Compares a restored file with the snapshot, byte for byte. What differs, in words.
///
/// # Errors
/// What the snapshot cannot be read with.
pub(super) fn with_snapshot(
    repository: &Repository,
    snapshot: &Snapshot,
    entry: &Entry,
    restored: &Path,
) -> Result<Option<String>> {
    let file = match File::open(restored) {
        Ok(file) => file,
        Err(error) => return Ok(Some(format!("the restored file cannot be opened: {error}"))),
    };
    let len = file.metadata().map(|meta| meta.len()).unwrap_or_default();
    if len != entry.size {
        return Ok(Some(format!("{len} bytes were restored of {}", entry.size)));
    }
    let mut comparing = Comparing { with: BufReader::new(file), offset: 0, differs_at: None };
    let mut reader = FileReader::open(repository, &Manifest::of(snapshot), entry)?;
    reader.copy_to(&mut comparing)?;
    Ok(comparing.differs_at.map(|at| format!("it differs from byte {at} on")))
}

/// Takes what is written to it for what a file should have.
struct Comparing<R> {
    with: R,
    offset: u64,
    differs_at: Option<u64>,
}

impl<R: Read> Write for Comparing<R> {
    fn write(&mut self, want: &[u8]) -> io::Result<usize> {
        let mut have = vec![0; want.len()];
        self.with.read_exact(&mut have)?;
        if self.differs_at.is_none()
            && let Some(at) = want.iter().zip(&have).position(|(want, have)| want != have)
        {
            self.differs_at = Some(self.offset + at as u64);
        }
        self.offset += want.len() as u64;
        Ok(want.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What came of comparing a restored file with its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WithSource {
    /// The source is gone, or was changed since.
    NotComparable,
    /// They are equal.
    Same,
    /// They differ from this byte on, though size and times of the source are those of the backup.
    Differs(u64),
}

/// Compares a restored file with its source, if that has size and times of when it was backed up,
/// before and after.
pub(super) fn with_source(entry: &Entry, restored: &Path) -> WithSource {
    if entry.torn {
        return WithSource::NotComparable;
    }
    let path = source_of(entry);
    let is_unchanged = || fs::symlink_metadata(&path).is_ok_and(|meta| is_same(&meta, entry));
    if !is_unchanged() {
        return WithSource::NotComparable;
    }
    let differs_at = File::open(&path).and_then(|source| {
        let mut comparing =
            Comparing { with: BufReader::new(File::open(restored)?), offset: 0, differs_at: None };
        io::copy(&mut BufReader::new(source), &mut comparing)?;
        Ok(comparing.differs_at)
    });
    match differs_at {
        Ok(None) => WithSource::Same,
        Ok(Some(at)) if is_unchanged() => WithSource::Differs(at),
        Ok(Some(_)) | Err(_) => WithSource::NotComparable,
    }
}

fn source_of(entry: &Entry) -> PathBuf {
    Path::new("/").join(OsStr::from_bytes(&entry.path))
}

fn is_same(meta: &Metadata, entry: &Entry) -> bool {
    meta.is_file()
        && meta.len() == entry.size
        && meta.ino() == entry.inode
        && ns(meta.mtime(), meta.mtime_nsec()) == entry.mtime.as_ns()
        && ns(meta.ctime(), meta.ctime_nsec()) == entry.ctime.as_ns()
}

fn ns(seconds: i64, nanoseconds: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}
