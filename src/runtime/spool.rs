//! What may not fit into memory: bytes that are written once, in order, and read again.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, Mode, OFlags};

use crate::error::{Error, Result};

/// Bytes that are collected before they are written.
const BUFFER_LEN: usize = 256 << 10;
/// Bytes that are read at once.
const READ_LEN: usize = 64 << 10;

/// Bytes in the order in which they were written. A few are held in memory; more go to a file
/// without a name, which is gone when the spool is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Spool {
    folder: Option<PathBuf>,
    file: Option<File>,
    /// Bytes in the file.
    written: u64,
    buffer: Vec<u8>,
    buffer_len: usize,
}

impl Spool {
    /// An empty spool, with its file in `folder`, which must exist and be private; in anonymous
    /// memory without one.
    pub fn new(folder: Option<&Path>) -> Self {
        Self::with_buffer(folder, BUFFER_LEN)
    }

    /// As [`Spool::new`], collecting `buffer_len` bytes before they are written.
    pub fn with_buffer(folder: Option<&Path>, buffer_len: usize) -> Self {
        let folder = folder.map(Path::to_path_buf);
        Self { folder, file: None, written: 0, buffer: Vec::new(), buffer_len }
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// [`Error::Local`] if there is no room for them.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < self.buffer_len {
            return Ok(());
        }
        let folder = self.folder.as_deref();
        let local = |e| Error::local("write", temporary_name(folder), e);
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(temporary_file(folder)?),
        };
        file.write_all(&self.buffer).map_err(local)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    /// [`Error::Local`] if they cannot be read, or are not there.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let local = |e| Error::local("read", temporary_name(self.folder.as_deref()), e);
        let short = || local(std::io::ErrorKind::UnexpectedEof.into());
        let in_file = usize::try_from(self.written.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (from_file, from_buffer) = buf.split_at_mut(in_file.min(buf.len()));
        if !from_file.is_empty() {
            let file = self.file.as_ref().ok_or_else(short)?;
            file.read_exact_at(from_file, offset).map_err(local)?;
        }
        let start = (offset + from_file.len() as u64).saturating_sub(self.written) as usize;
        let held = self.buffer.get(start..start + from_buffer.len()).ok_or_else(short)?;
        from_buffer.copy_from_slice(held);
        Ok(())
    }

    /// Reads elements of `N` bytes from `start` to `end`, in order.
    pub fn elements<const N: usize>(&self, start: u64, end: u64) -> Elements<'_, N> {
        Elements { spool: self, at: start, end, buffer: Vec::new(), used: 0 }
    }
}

/// Elements of a spool in order, read some at a time.
#[derive(Debug)]
pub struct Elements<'s, const N: usize> {
    spool: &'s Spool,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    used: usize,
}

impl<const N: usize> Elements<'_, N> {
    /// The next element; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Local`] if it cannot be read.
    pub fn next_element(&mut self) -> Result<Option<[u8; N]>> {
        if self.used == self.buffer.len() {
            let whole = (READ_LEN / N).max(1) * N;
            let len = usize::try_from(self.end - self.at).map_or(whole, |rest| rest.min(whole));
            if len == 0 {
                return Ok(None);
            }
            self.buffer.resize(len, 0);
            self.spool.read_at(self.at, &mut self.buffer)?;
            self.at += len as u64;
            self.used = 0;
        }
        let element = self.buffer.get(self.used..).and_then(|rest| rest.first_chunk());
        self.used += N;
        Ok(element.copied())
    }
}

fn temporary_name(folder: Option<&Path>) -> PathBuf {
    folder.map_or_else(|| "anonymous memory".into(), |folder| folder.join("a temporary file"))
}

fn temporary_file(folder: Option<&Path>) -> Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let local = |e| Error::local("create", temporary_name(folder), e);
    let Some(folder) = folder else {
        let fd = rustix::fs::memfd_create("larder", MemfdFlags::CLOEXEC);
        return fd.map(File::from).map_err(|e| local(e.into()));
    };
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    if let Ok(fd) = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
        return Ok(File::from(fd));
    }
    // Some file systems have no files without names.
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("spool.{}.{number}.new", std::process::id()));
    let file = std::fs::OpenOptions::new()
        .create_new(true)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(local)?;
    std::fs::remove_file(&path).map_err(local)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_comes_back_from_memory_and_files() {
        let folder = tempfile::tempdir().expect("a folder");
        for place in [None, Some(folder.path())] {
            for buffer_len in [1, 64, 1000, 1 << 20] {
                let mut spool = Spool::with_buffer(place, buffer_len);
                let all: Vec<u8> = (0..5000_u32).flat_map(|n| n.to_le_bytes()).collect();
                all.chunks(12).for_each(|part| spool.push(part).expect("writes"));
                assert_eq!(spool.len(), all.len() as u64);
                for (start, len) in [(0, 20_000), (0, 1), (63, 2), (999, 18_000), (19_999, 1)] {
                    let mut buf = vec![0; len];
                    spool.read_at(start as u64, &mut buf).expect("reads");
                    assert!(buf == all[start..start + len], "{start} {len} of {buffer_len}");
                }
                assert!(spool.read_at(19_999, &mut [0; 2]).is_err());
                let mut elements = spool.elements::<4>(40, 20_000);
                for number in 10..5000_u32 {
                    let element = elements.next_element().expect("reads");
                    assert_eq!(element, Some(number.to_le_bytes()));
                }
                assert_eq!(elements.next_element().expect("reads"), None);
            }
        }
        let left = std::fs::read_dir(folder.path()).expect("lists").count();
        assert_eq!(left, 0, "files without names");
    }
}
