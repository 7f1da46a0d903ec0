//! Some folders listed at one moment, and the storage they were listed in.

use std::time::Duration;

use parking_lot::Mutex;

use crate::error::StorageError;
use crate::storage::{Archive, ObjectLock, ObjectMeta, PutMode, Storage, list_sorted};

/// Answers the first listing of each folder with what it found at the beginning, and everything
/// else from storage. A listing may be behind at any time, so whoever reads through this sees what
/// a slow reader would see.
pub(super) struct FirstListings<'s> {
    inner: &'s dyn Storage,
    /// The folders that nobody has asked for yet.
    unused: Mutex<Vec<(&'static str, Vec<ObjectMeta>)>>,
    names: Vec<String>,
}

impl<'s> FirstListings<'s> {
    /// Lists `folders`, in this order.
    pub(super) fn new(
        inner: &'s dyn Storage,
        folders: &[&'static str],
    ) -> Result<Self, StorageError> {
        let (mut unused, mut names) = (Vec::new(), Vec::new());
        for folder in folders {
            let listed = list_sorted(inner, folder)?;
            names.extend(listed.iter().map(|meta| meta.name.clone()));
            unused.push((*folder, listed));
        }
        Ok(Self { inner, unused: Mutex::new(unused), names })
    }

    /// The names that were found.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}

impl Storage for FirstListings<'_> {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        self.inner.put(name, parts, mode)
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        self.inner.get(name, len_max)
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        self.inner.get_range(name, offset, buf)
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        self.inner.head(name)
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        let first = {
            let mut unused = self.unused.lock();
            let at = unused.iter().position(|(folder, _)| *folder == prefix);
            at.map(|at| unused.swap_remove(at).1)
        };
        match first {
            Some(listed) => {
                listed.into_iter().for_each(found);
                Ok(())
            }
            None => self.inner.list(prefix, found),
        }
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.inner.delete(name)
    }

    fn concurrency(&self) -> usize {
        self.inner.concurrency()
    }

    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        self.inner.object_lock()
    }

    fn archive(&self) -> Option<&dyn Archive> {
        self.inner.archive()
    }

    fn clean_unfinished(&self, age: Duration) -> Result<u64, StorageError> {
        self.inner.clean_unfinished(age)
    }
}
