//! Makes a bundle: storage for one new repository, which becomes a file at the end.
//!
//! Objects are appended as they come. The file has another name until directory and footer are on
//! disk, and goes with the writer if it does not come to that: whoever sees the final name sees a
//! whole bundle. Before [`BundleWriter::finish`] nothing survives a crash, and nothing needs to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::catalog::{Catalog, Place};
use super::{read_range, read_whole};
use crate::error::{Error, Result, StorageError, StorageErrorKind};
use crate::format::bundle::{BundleFooter, BundleHeader, BundleId, HEADER_LEN, ObjectHeader};
use crate::model::ObjectHash;
use crate::runtime::{Clock, Runtime};
use crate::storage::failure::{
    checked_name, checked_prefix, classify, failure, too_long, too_short,
};
use crate::storage::local::sync_path;
use crate::storage::{ObjectMeta, PutMode, Storage};

/// Small writes are collected up to this.
const BUFFER_LEN: usize = 256 << 10;

/// What is never part of a finished bundle: whoever announced himself there is done.
const PASSING: &str = "sessions/";

/// What to do about a file that has the name of the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leave it and fail.
    Keep,
    /// Put the new one in its place.
    Replace,
}

/// A bundle that is being made. Dropped before it is finished, it leaves nothing.
pub struct BundleWriter {
    path: PathBuf,
    temporary: PathBuf,
    location: String,
    id: BundleId,
    /// For reading what was written.
    file: File,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    out: BufWriter<File>,
    /// Where the next object's header goes.
    end: u64,
    catalog: Catalog,
    /// Objects that will not be in the file.
    passing: BTreeMap<String, (Vec<u8>, i64)>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// It is not known what stands at the end of the file.
    Failed,
    Finished,
}

impl BundleWriter {
    /// Begins the bundle `path`, in a file beside it that only its owner can read.
    ///
    /// # Errors
    /// [`Error::Usage`] if the path names no file, [`Error::Local`].
    pub fn create(path: &Path, runtime: &Runtime) -> Result<Self> {
        if path.file_name().is_none() {
            let message = format!("`{}` is no name of a file", path.display());
            return Err(Error::usage_hint(message, "name the file that the bundle shall be"));
        }
        let path = std::path::absolute(path)
            .map_err(|error| Error::local("find the place of", path, error))?;
        // Not of the seed of a test: two bundles of one seed may be made in one folder.
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| Error::local("create", &path, io::Error::other(error)))?;
        let name = format!(".larder-{:016x}.unfinished", u64::from_le_bytes(random));
        let temporary = path.with_file_name(name);
        let failed = |error| Error::local("create", &temporary, error);
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(failed)?;
        let id = BundleId(runtime.random.bytes());
        let header = BundleHeader { id, created_ms: runtime.clock.now_ms() };
        let begin = |file: &File| {
            let mut out = BufWriter::with_capacity(BUFFER_LEN, file.try_clone()?);
            out.write_all(&header.encode())?;
            Ok(out)
        };
        let out = begin(&file).map_err(|error| {
            remove(&temporary);
            failed(error)
        })?;
        let state = State {
            out,
            end: HEADER_LEN as u64,
            catalog: Catalog::default(),
            passing: BTreeMap::new(),
            phase: Phase::Open,
        };
        Ok(Self {
            location: path.display().to_string(),
            path,
            temporary,
            id,
            file,
            clock: Arc::clone(&runtime.clock),
            state: Mutex::new(state),
        })
    }

    /// Writes directory and footer, waits until all is on disk, and gives the file its name.
    /// Returns its length in bytes. Nothing can be written any more.
    ///
    /// # Errors
    /// [`Error::Local`], of kind `AlreadyExists` if there is a file that must stay.
    pub fn finish(&self, existing: Existing) -> Result<u64> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let failed = |error| Error::local("write", &self.path, error);
        if state.phase != Phase::Open {
            return Err(failed(io::Error::other("it was not written as a whole")));
        }
        state.phase = Phase::Failed;
        let len = self.write_end(state).map_err(failed)?;
        match existing {
            Existing::Replace => std::fs::rename(&self.temporary, &self.path),
            Existing::Keep => rename_new(&self.temporary, &self.path),
        }
        .map_err(|error| Error::local("create", &self.path, error))?;
        state.phase = Phase::Finished;
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        sync_path(folder).map_err(|error| Error::local("write", folder, error))?;
        Ok(len)
    }

    fn write_end(&self, state: &mut State) -> io::Result<u64> {
        let mut hasher = blake3::Hasher::new();
        let mut directory_len = 0;
        let mut bytes = Vec::new();
        for entry in state.catalog.entries() {
            bytes.clear();
            entry.encode(&mut bytes);
            hasher.update(&bytes);
            directory_len += bytes.len() as u64;
            state.out.write_all(&bytes)?;
        }
        let footer = BundleFooter {
            id: self.id,
            directory_offset: state.end,
            directory_len,
            objects: state.catalog.len() as u64,
            directory_hash: ObjectHash(*hasher.finalize().as_bytes()),
        };
        let footer = footer.encode();
        state.out.write_all(&footer)?;
        state.out.flush()?;
        self.file.sync_all()?;
        Ok(state.end + directory_len + footer.len() as u64)
    }

    fn append(
        &self,
        state: &mut State,
        name: &str,
        parts: &[&[u8]],
        hash: ObjectHash,
    ) -> io::Result<()> {
        let len = parts.iter().map(|part| part.len() as u64).sum();
        let modified_ms = self.clock.now_ms();
        let header = ObjectHeader::encode(self.id, name, len, modified_ms, hash);
        state.out.write_all(&header)?;
        for part in parts {
            state.out.write_all(part)?;
        }
        state.catalog.insert(name, hash, Place { offset: state.end, len, modified_ms });
        state.end += header.len() as u64 + len;
        Ok(())
    }

    /// Where an object is, with all its bytes in the file.
    fn find(&self, state: &mut State, name: &str) -> Result<Place, StorageError> {
        let Some((place, _)) = state.catalog.find(name) else { return Err(self.missing(name)) };
        if state.phase == Phase::Open {
            state.out.flush().map_err(|error| {
                state.phase = Phase::Failed;
                self.error("read", name, error)
            })?;
        }
        Ok(place)
    }

    fn missing(&self, name: &str) -> StorageError {
        let what = "there is no such object";
        failure(&self.location, "read", name, StorageErrorKind::Missing, what)
    }

    fn error(&self, action: &'static str, name: &str, error: io::Error) -> StorageError {
        failure(&self.location, action, name, classify(&error), error)
    }
}

impl Storage for BundleWriter {
    fn location(&self) -> &str {
        &self.location
    }

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        checked_name(&self.location, "write", name)?;
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let mut hasher = blake3::Hasher::new();
        parts.iter().for_each(|part| {
            hasher.update(part);
        });
        let hash = ObjectHash(*hasher.finalize().as_bytes());
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            let (kind, what) = match state.phase {
                Phase::Finished => (StorageErrorKind::Denied, "the bundle is finished"),
                _ => (StorageErrorKind::Permanent, "an earlier write to the bundle failed"),
            };
            return Err(failure(&self.location, "write", name, kind, what));
        }
        let there = match state.passing.get(name) {
            Some((bytes, _)) => Some(bytes.len() as u64),
            None => state.catalog.find(name).map(|(place, _)| place.len),
        };
        match (mode, there) {
            (PutMode::CreateOnce, Some(_)) => {
                let what = "it exists already";
                return Err(failure(&self.location, "write", name, StorageErrorKind::Exists, what));
            }
            (PutMode::Content, Some(there)) if there == len => return Ok(()),
            _ => {}
        }
        if name.starts_with(PASSING) {
            state.passing.insert(name.into(), (parts.concat(), self.clock.now_ms()));
            return Ok(());
        }
        self.append(&mut state, name, parts, hash).map_err(|error| {
            state.phase = Phase::Failed;
            self.error("write", name, error)
        })
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        checked_name(&self.location, "read", name)?;
        let place = {
            let mut state = self.state.lock();
            if let Some((bytes, _)) = state.passing.get(name) {
                return match bytes.len() as u64 {
                    len if len > len_max => Err(too_long(&self.location, name, len, len_max)),
                    _ => Ok(bytes.clone()),
                };
            }
            self.find(&mut state, name)?
        };
        read_whole(&self.file, &self.location, name, place, len_max)
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        checked_name(&self.location, "read", name)?;
        let place = {
            let mut state = self.state.lock();
            if let Some((bytes, _)) = state.passing.get(name) {
                let end = offset.saturating_add(buf.len() as u64);
                if end > bytes.len() as u64 {
                    return Err(too_short(&self.location, name, end));
                }
                // In bounds, so it fits.
                buf.copy_from_slice(&bytes[offset as usize..end as usize]);
                return Ok(());
            }
            self.find(&mut state, name)?
        };
        read_range(&self.file, &self.location, name, place, offset, buf)
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        checked_name(&self.location, "read", name)?;
        let state = self.state.lock();
        if let Some((bytes, modified_ms)) = state.passing.get(name) {
            return Ok(passing_meta(name, bytes, *modified_ms));
        }
        match state.catalog.find(name) {
            Some((place, _)) => Ok(place.meta(name.into())),
            None => Err(self.missing(name)),
        }
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        checked_prefix(&self.location, prefix)?;
        // Collected first: `found` may call back into this storage.
        let mut all = Vec::new();
        {
            let state = self.state.lock();
            state.catalog.list(prefix, &mut |meta| all.push(meta));
            let passing = state.passing.iter().filter(|(name, _)| name.starts_with(prefix));
            all.extend(passing.map(|(name, (bytes, at_ms))| passing_meta(name, bytes, *at_ms)));
        }
        all.into_iter().for_each(found);
        Ok(())
    }

    /// The object is not in the directory then; its bytes stay where they are.
    fn delete(&self, name: &str) -> Result<(), StorageError> {
        checked_name(&self.location, "delete", name)?;
        let mut state = self.state.lock();
        if state.phase == Phase::Finished {
            let what = "the bundle is finished";
            return Err(failure(&self.location, "delete", name, StorageErrorKind::Denied, what));
        }
        state.passing.remove(name);
        state.catalog.remove(name);
        Ok(())
    }

    fn concurrency(&self) -> usize {
        std::thread::available_parallelism().map_or(2, usize::from)
    }
}

fn passing_meta(name: &str, bytes: &[u8], modified_ms: i64) -> ObjectMeta {
    ObjectMeta { name: name.into(), len: bytes.len() as u64, modified_ms: Some(modified_ms) }
}

impl Drop for BundleWriter {
    fn drop(&mut self) {
        if self.state.get_mut().phase != Phase::Finished {
            remove(&self.temporary);
        }
    }
}

/// Removes an unfinished file. One that stays has a name that says what it is.
fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!("an unfinished bundle stays: {}: {error}", path.display());
    }
}

/// Gives a file another name unless something has it, in one step wherever the file system can.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        renamed => return Ok(renamed?),
    }
    match std::fs::symlink_metadata(to) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::rename(from, to),
        Err(error) => Err(error),
    }
}
