//! Storage that is only read: every write is refused before it gets anywhere.

use std::time::Duration;

use super::failure::failure;
use super::name::TMP_FOLDER;
use super::{Archive, ObjectMeta, PutMode, SharedStorage, Storage};
use crate::error::{StorageError, StorageErrorKind};

/// Passes reads on and refuses writes and deletes as `Denied`.
pub struct ReadOnlyStorage {
    inner: SharedStorage,
}

impl ReadOnlyStorage {
    /// Wraps `inner`.
    pub fn new(inner: SharedStorage) -> Self {
        Self { inner }
    }

    fn refuse(&self, action: &'static str, name: &str) -> StorageError {
        let what = "the repository was opened for reading only";
        failure(self.inner.location(), action, name, StorageErrorKind::Denied, what)
    }
}

impl Storage for ReadOnlyStorage {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn put(&self, name: &str, _parts: &[&[u8]], _mode: PutMode) -> Result<(), StorageError> {
        Err(self.refuse("write", name))
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
        self.inner.list(prefix, found)
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        Err(self.refuse("delete", name))
    }

    fn concurrency(&self) -> usize {
        self.inner.concurrency()
    }

    fn archive(&self) -> Option<&dyn Archive> {
        self.inner.archive()
    }

    fn warning(&self) -> Option<&str> {
        self.inner.warning()
    }

    fn clean_unfinished(&self, _age: Duration) -> Result<u64, StorageError> {
        Err(self.refuse("delete", TMP_FOLDER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;
    use std::sync::Arc;

    #[test]
    fn reads_pass_and_writes_do_not() {
        let memory = Arc::new(MemoryStorage::new());
        memory.put("a/b", &[b"abc"], PutMode::Content).unwrap();
        let storage = ReadOnlyStorage::new(memory.clone());
        assert_eq!(storage.get("a/b", 9).unwrap(), b"abc");
        assert_eq!(storage.head("a/b").unwrap().len, 3);
        for mode in [PutMode::Content, PutMode::CreateOnce, PutMode::Replace] {
            let refused = storage.put("a/c", &[], mode).unwrap_err();
            assert_eq!(refused.kind, StorageErrorKind::Denied);
        }
        assert_eq!(storage.delete("a/b").unwrap_err().kind, StorageErrorKind::Denied);
        assert_eq!(memory.names(), ["a/b"]);
    }
}
