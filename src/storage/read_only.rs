//! Storage that is only read: every write is refused before it gets anywhere.

use std::time::Duration;

use super::failure::failure;
use super::hand_on::hand_on;
use super::name::TMP_FOLDER;
use super::{PutMode, SharedStorage, Storage};
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
    hand_on!(inner: location, get, get_range, head, list, concurrency, archive, warning);

    fn put(&self, name: &str, _parts: &[&[u8]], _mode: PutMode) -> Result<(), StorageError> {
        Err(self.refuse("write", name))
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        Err(self.refuse("delete", name))
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
