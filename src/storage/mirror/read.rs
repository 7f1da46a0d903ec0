//! Reading from wherever the bytes are good.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::MirrorStorage;
use super::kind::{Kind, is_good};
use super::link::Link;
use super::report::ReadElsewhere;
use crate::error::{StorageError, StorageErrorKind};
use crate::storage::SharedStorage;

/// How many objects that were read elsewhere are named.
const NAMED_MAX: usize = 100;

/// For so long a primary that did not answer is not asked first.
const AWAY: Duration = Duration::from_secs(60);

/// Objects that were read from mirrors.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    pub(super) first: Vec<ReadElsewhere>,
    objects: HashSet<String>,
}

impl Elsewhere {
    pub(super) fn count(&self) -> u64 {
        self.objects.len() as u64
    }
}

impl MirrorStorage {
    /// A whole object, from the first copy whose bytes are those that it was named after.
    pub(super) fn get_somewhere(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        let kind = Kind::of(name);
        if kind == Kind::Primary {
            return self.primary.get(name, len_max);
        }
        let of_mirrors = |why: &str| {
            self.on_a_mirror(name, why, |storage| {
                storage.get(name, len_max).ok().filter(|bytes| is_good(name, bytes))
            })
        };
        if self.is_away()
            && let Some(bytes) = of_mirrors("it did not answer before")
        {
            return Ok(bytes);
        }
        match self.primary.get(name, len_max) {
            Ok(bytes) if is_good(name, &bytes) => Ok(bytes),
            Ok(bytes) => {
                Ok(of_mirrors("its bytes are not those it was named after").unwrap_or(bytes))
            }
            Err(error) if !is_read_elsewhere(kind, &error) => Err(error),
            Err(error) => {
                let found = of_mirrors(&why(&error));
                self.note_away(&error, found.is_some());
                found.ok_or(error)
            }
        }
    }

    /// Part of an object, from the first copy that can be read.
    pub(super) fn get_range_somewhere(
        &self,
        name: &str,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), StorageError> {
        let kind = Kind::of(name);
        if kind != Kind::Primary
            && self.is_away()
            && self.range_of_mirrors(name, offset, buf, "it did not answer before")
        {
            return Ok(());
        }
        match self.primary.get_range(name, offset, buf) {
            Err(error) if is_read_elsewhere(kind, &error) => {
                let found = self.range_of_mirrors(name, offset, buf, &why(&error));
                self.note_away(&error, found);
                if found { Ok(()) } else { Err(error) }
            }
            result => result,
        }
    }

    fn range_of_mirrors(&self, name: &str, offset: u64, buf: &mut [u8], why: &str) -> bool {
        let read = |storage: &SharedStorage| storage.get_range(name, offset, buf).ok();
        self.on_a_mirror(name, why, read).is_some()
    }

    /// Part of one copy: 0 is the primary's.
    pub(super) fn get_range_at(
        &self,
        copy: usize,
        name: &str,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), StorageError> {
        let link = copy.checked_sub(1).and_then(|number| self.links.get(number));
        let Some(link) = link.filter(|_| Kind::of(name) != Kind::Primary) else {
            return self.primary.get_range(name, offset, buf);
        };
        let storage = link.connect(&self.connector, &self.is_ours).map_err(|why| {
            let kind = StorageErrorKind::Missing;
            super::failure(&link.location, "read", name, kind, why)
        })?;
        storage.get_range(name, offset, buf)?;
        self.note(link, name, "it is damaged");
        Ok(())
    }

    /// Asks one mirror after the other.
    fn on_a_mirror<T>(
        &self,
        name: &str,
        why: &str,
        mut read: impl FnMut(&SharedStorage) -> Option<T>,
    ) -> Option<T> {
        for link in &self.links {
            let Ok(storage) = link.connect(&self.connector, &self.is_ours) else { continue };
            if let Some(found) = read(storage) {
                self.note(link, name, why);
                return Some(found);
            }
        }
        None
    }

    fn note(&self, link: &Link, name: &str, why: &str) {
        let mut elsewhere = self.elsewhere.lock();
        if !elsewhere.objects.insert(name.into()) {
            return;
        }
        tracing::warn!("`{name}` was read from the mirror `{}`: {why}", link.name);
        if elsewhere.first.len() < NAMED_MAX {
            let (object, mirror) = (name.into(), link.name.clone());
            elsewhere.first.push(ReadElsewhere { object, mirror, why: why.into() });
        }
    }

    fn is_away(&self) -> bool {
        self.away_until.lock().is_some_and(|until| Instant::now() < until)
    }

    /// A primary that does not answer costs all repetitions each time: for a while it is asked
    /// last.
    fn note_away(&self, error: &StorageError, was_found: bool) {
        if error.is_temporary() && was_found {
            *self.away_until.lock() = Some(Instant::now() + AWAY);
        }
    }
}

/// Whether an object that the primary does not give is looked for on mirrors.
fn is_read_elsewhere(kind: Kind, error: &StorageError) -> bool {
    match error.kind {
        StorageErrorKind::Missing => kind.is_read_if_missing(),
        _ => kind != Kind::Primary,
    }
}

fn why(error: &StorageError) -> String {
    match error.kind {
        StorageErrorKind::Missing => "it is missing".into(),
        _ => std::error::Error::source(error).map_or_else(String::new, ToString::to_string),
    }
}
