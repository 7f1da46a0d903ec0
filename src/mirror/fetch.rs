//! Getting an object that proves itself, from whichever copy has it.

use super::contents::REPO_LEN_MAX;
use super::object::{Flaw, prove};
use super::report::BadObject;
use super::work::{Budget, Held};
use crate::error::{Error, Result, StorageErrorKind};
use crate::model::RepoId;
use crate::storage::{SharedStorage, Storage};

/// No object is longer: packs of 64 MiB, records of 256 MiB, and what seals them.
pub(super) const OBJECT_LEN_MAX: u64 = 512 << 20;

/// What came of reading an object at one place.
pub(super) enum Read {
    /// Its bytes, which are what its name promises.
    Whole(Vec<u8>),
    /// It is not there.
    Missing,
    /// It is there, and not what it should be.
    Bad(String),
}

/// Reads an object and checks it. One that is not whole is read once more: it may have been hurt
/// on its way.
///
/// # Errors
/// The storage's, if it could not be asked.
pub(super) fn read(storage: &dyn Storage, name: &str, len: u64, repo_id: RepoId) -> Result<Read> {
    if len > OBJECT_LEN_MAX {
        return Ok(Read::Bad(format!("it has {len} bytes, and no object is so long")));
    }
    let mut bad = String::new();
    for _ in 0..2 {
        match storage.get(name, len) {
            Ok(bytes) => match prove(name, &bytes, repo_id) {
                Ok(()) => return Ok(Read::Whole(bytes)),
                Err(Flaw::Damaged(what)) => bad = what,
                Err(flaw) => return Ok(Read::Bad(flaw.to_string())),
            },
            Err(error) if error.kind == StorageErrorKind::Missing => return Ok(Read::Missing),
            Err(error) => {
                let error = Error::from(error);
                if !error.is_damage() {
                    return Err(error);
                }
                bad = super::report::what_of(&error);
            }
        }
    }
    Ok(Read::Bad(bad))
}

/// Whether a place has an object whole.
///
/// # Errors
/// The storage's, if it could not be asked.
pub fn is_whole(storage: &dyn Storage, name: &str, repo_id: RepoId) -> Result<bool> {
    let len = match storage.head(name) {
        Ok(meta) => meta.len,
        Err(error) if error.kind == StorageErrorKind::Missing => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    Ok(matches!(read(storage, name, len, repo_id)?, Read::Whole(_)))
}

/// What came of looking for an object at several places.
pub(super) enum Found<'a> {
    /// Its bytes, the room that they take, and which of the other places gave them.
    Whole(Vec<u8>, Option<Held<'a>>, Option<usize>),
    /// The source does not have it any more, nor does any other place.
    Vanished,
    /// No place has it whole; what is wrong at the source.
    Bad(BadObject),
}

impl Found<'_> {
    /// Without the room: for small objects that are kept for a moment.
    pub(super) fn released(self) -> Self {
        match self {
            Self::Whole(bytes, _, other) => Self::Whole(bytes, None, other),
            found => found,
        }
    }
}

/// Where objects come from.
pub(super) struct Fetcher<'a> {
    pub(super) source: &'a dyn Storage,
    /// Asked for what the source does not have whole.
    pub(super) others: &'a [SharedStorage],
    pub(super) repo_id: RepoId,
    pub(super) budget: Budget,
}

impl Fetcher<'_> {
    /// Gets an object that the source listed with this length.
    ///
    /// # Errors
    /// The source's. Other places that fail are passed over.
    pub(super) fn fetch(&self, name: &str, len: u64) -> Result<Found<'_>> {
        let held = self.budget.take(len);
        let bad = match read(self.source, name, len, self.repo_id)? {
            Read::Whole(bytes) => return Ok(Found::Whole(bytes, Some(held), None)),
            Read::Missing => None,
            Read::Bad(what) => Some(BadObject::new(name, self.source.location(), what)),
        };
        drop(held);
        for (number, other) in self.others.iter().enumerate() {
            if let Some((bytes, held)) = self.other_copy(&**other, name) {
                return Ok(Found::Whole(bytes, Some(held), Some(number)));
            }
        }
        Ok(bad.map_or(Found::Vanished, Found::Bad))
    }

    fn other_copy(&self, other: &dyn Storage, name: &str) -> Option<(Vec<u8>, Held<'_>)> {
        let len = other.head(name).ok()?.len;
        let held = self.budget.take(len);
        match read(other, name, len, self.repo_id) {
            Ok(Read::Whole(bytes)) => Some((bytes, held)),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(name, "a copy could not be asked: {error}");
                None
            }
        }
    }

    /// Gets `repo`.
    pub(super) fn repo(&self) -> Result<Vec<u8>> {
        Ok(self.source.get("repo", REPO_LEN_MAX)?)
    }
}
