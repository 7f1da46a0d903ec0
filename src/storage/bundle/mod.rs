//! A whole repository in one file, to carry away (SPEC.md, "Bundles").
//!
//! The file holds the objects of a repository as they are, sealed already, one after the other,
//! and a directory of them at its end. So a bundle needs no keys of its own and tells no more than
//! the folder of a repository does. [`BundleStorage`] reads one, [`BundleWriter`] makes one.
//!
//! A bundle that lost its end (a broken download) or whose directory is damaged is read by the
//! headers that stand before each object: what is whole is served, and
//! [`Storage::warning`] says that there was more.
//!
//! Not here: which snapshots go into a bundle (`manager`), what the objects mean.

mod catalog;
mod read;
mod scan;
mod write;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use self::catalog::{Catalog, Place};
use super::failure::{
    buffer, checked_name, checked_prefix, classify, failure, too_long, too_short,
};
use super::{ObjectMeta, PutMode, Storage};
use crate::error::{CannotChange, Error, Result, StorageError, StorageErrorKind};
use crate::model::ObjectHash;

pub use self::write::{BundleWriter, Existing};

/// Bytes of an object that are read at a time, if all of it is wanted.
const PIECE_LEN: u64 = 4 << 20;

/// Whether an open file begins or ends as bundles do.
pub fn is_bundle(file: &File) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && read::looks(file, meta.len()))
}

/// A bundle that is read. Nothing can be written to it.
pub struct BundleStorage {
    location: String,
    file: File,
    catalog: Catalog,
    warning: Option<String>,
}

/// Whether a file has to look like a bundle to be opened as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It begins or ends as bundles do.
    Looks,
    /// Somebody says that it is one: if both its ends are damaged, objects are looked for.
    Told,
}

impl BundleStorage {
    /// Opens the file `path`, following symbolic links. `location` is shown to people. Returns
    /// nothing if it is no bundle.
    ///
    /// Reads the directory, and nothing is written anywhere.
    ///
    /// # Errors
    /// [`Error::Local`] if the file cannot be read, [`Error::UnsupportedFormat`] if a newer
    /// program wrote it.
    pub fn open(path: &Path, location: String, trust: Trust) -> Result<Option<Self>> {
        let failed = |error| Error::local("open", path, error);
        // Not blocking: a fifo of that name must not stop anybody.
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
            .map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let loaded = read::load(&file, metadata.len(), trust).map_err(|error| match error {
            Error::UnsupportedFormat { found, supported, .. } => {
                Error::UnsupportedFormat { location: location.clone(), found, supported }
            }
            error => error,
        })?;
        Ok(loaded.map(|loaded| Self {
            location,
            file,
            catalog: loaded.catalog,
            warning: loaded.warning,
        }))
    }

    /// How many objects it holds.
    pub fn objects(&self) -> usize {
        self.catalog.len()
    }

    fn find(&self, name: &str) -> Result<(Place, ObjectHash), StorageError> {
        checked_name(&self.location, "read", name)?;
        self.catalog.find(name).ok_or_else(|| {
            let what = "there is no such object";
            failure(&self.location, "read", name, StorageErrorKind::Missing, what)
        })
    }

    fn refuse(&self, action: &'static str, name: &str) -> StorageError {
        failure(&self.location, action, name, StorageErrorKind::Denied, CannotChange)
    }
}

impl Storage for BundleStorage {
    fn location(&self) -> &str {
        &self.location
    }

    fn put(&self, name: &str, _parts: &[&[u8]], _mode: PutMode) -> Result<(), StorageError> {
        Err(self.refuse("write", name))
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        let (place, hash) = self.find(name)?;
        let bytes = read_whole(&self.file, &self.location, name, place, len_max)?;
        if *blake3::hash(&bytes).as_bytes() != hash.0 {
            let what = "its bytes are not those that were put into the bundle";
            return Err(failure(&self.location, "read", name, StorageErrorKind::Permanent, what));
        }
        Ok(bytes)
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        let (place, _) = self.find(name)?;
        read_range(&self.file, &self.location, name, place, offset, buf)
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        let (place, _) = self.find(name)?;
        Ok(place.meta(name.into()))
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        checked_prefix(&self.location, prefix)?;
        self.catalog.list(prefix, found);
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        Err(self.refuse("delete", name))
    }

    fn concurrency(&self) -> usize {
        std::thread::available_parallelism().map_or(2, usize::from)
    }

    fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }
}

/// Reads an object as a whole, if it has at most `len_max` bytes.
fn read_whole(
    file: &File,
    location: &str,
    name: &str,
    place: Place,
    len_max: u64,
) -> Result<Vec<u8>, StorageError> {
    if place.len > len_max {
        return Err(too_long(location, name, place.len, len_max));
    }
    let mut bytes = buffer(location, name, place.len)?;
    // Piece by piece, so that no memory is touched for what is not there.
    while (bytes.len() as u64) < place.len {
        let at = bytes.len();
        let now = (place.len - at as u64).min(PIECE_LEN) as usize;
        bytes.resize(at + now, 0);
        read_range(file, location, name, place, at as u64, &mut bytes[at..])?;
    }
    Ok(bytes)
}

/// Fills `buf` from `offset` of an object.
fn read_range(
    file: &File,
    location: &str,
    name: &str,
    place: Place,
    offset: u64,
    buf: &mut [u8],
) -> Result<(), StorageError> {
    let end = offset.saturating_add(buf.len() as u64);
    if end > place.len {
        return Err(too_short(location, name, end));
    }
    file.read_exact_at(buf, place.data_offset(name) + offset).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => too_short(location, name, end),
        _ => failure(location, "read", name, classify(&error), error),
    })
}
