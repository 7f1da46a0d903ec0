//! Objects in memory: for tests, and as the target of replayed writes.
//!
//! Beside OpenDAL's memory service, because tests need what it lacks: times from a clock they
//! move, a copy of the whole state, and stored bytes they can damage.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::failure::{checked_name, checked_prefix, failure, too_long, too_short};
use super::{ObjectMeta, PutMode, Storage};
use crate::error::{StorageError, StorageErrorKind};
use crate::runtime::{Clock, SystemClock};

const LOCATION: &str = "memory:";

#[derive(Clone)]
struct Object {
    bytes: Arc<[u8]>,
    modified_ms: i64,
}

/// Objects in memory. They are gone with the last reference.
pub struct MemoryStorage {
    objects: RwLock<BTreeMap<String, Object>>,
    clock: Arc<dyn Clock>,
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStorage {
    /// Empty storage on the machine's clock.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// Empty storage whose times come from `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { objects: RwLock::default(), clock }
    }

    /// A second storage with the same objects and times; later writes to one do not show in the
    /// other.
    pub fn fork(&self) -> Self {
        Self { objects: RwLock::new(self.objects.read().clone()), clock: self.clock.clone() }
    }

    /// The same objects and times, with another clock from now on.
    pub fn on_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.objects.read().keys().cloned().collect()
    }

    /// The bytes of an object, if it is there.
    pub fn bytes(&self, name: &str) -> Option<Arc<[u8]>> {
        self.objects.read().get(name).map(|object| object.bytes.clone())
    }

    /// Changes an object's bytes behind everybody's back, its time stays. Says whether there is
    /// such an object.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut objects = self.objects.write();
        let Some(object) = objects.get_mut(name) else { return false };
        let mut bytes = object.bytes.to_vec();
        change(&mut bytes);
        object.bytes = bytes.into();
        true
    }

    /// Puts an object under a name, replacing what is there.
    pub fn replace(&self, name: &str, bytes: &[u8]) {
        let object = Object { bytes: bytes.into(), modified_ms: self.clock.now_ms() };
        self.objects.write().insert(name.into(), object);
    }

    /// Removes an object, if it is there.
    pub fn remove(&self, name: &str) {
        self.objects.write().remove(name);
    }

    /// Sets an object's time of the last write. Says whether there is such an object.
    pub fn set_modified_ms(&self, name: &str, modified_ms: i64) -> bool {
        let mut objects = self.objects.write();
        objects.get_mut(name).map(|object| object.modified_ms = modified_ms).is_some()
    }

    fn find(&self, name: &str) -> Result<Object, StorageError> {
        checked_name(LOCATION, "read", name)?;
        let found = self.objects.read().get(name).cloned();
        found.ok_or_else(|| {
            failure(LOCATION, "read", name, StorageErrorKind::Missing, "there is no such object")
        })
    }
}

impl Storage for MemoryStorage {
    fn location(&self) -> &str {
        LOCATION
    }

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        checked_name(LOCATION, "write", name)?;
        let bytes: Arc<[u8]> = parts.concat().into();
        let mut objects = self.objects.write();
        match (mode, objects.get(name)) {
            (PutMode::CreateOnce, Some(_)) => {
                let what = "it exists already";
                return Err(failure(LOCATION, "write", name, StorageErrorKind::Exists, what));
            }
            (PutMode::Content, Some(object)) if object.bytes.len() == bytes.len() => return Ok(()),
            _ => {}
        }
        objects.insert(name.into(), Object { bytes, modified_ms: self.clock.now_ms() });
        Ok(())
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        let object = self.find(name)?;
        match object.bytes.len() as u64 {
            len if len > len_max => Err(too_long(LOCATION, name, len, len_max)),
            _ => Ok(object.bytes.to_vec()),
        }
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        let object = self.find(name)?;
        let end = offset.saturating_add(buf.len() as u64);
        if end > object.bytes.len() as u64 {
            return Err(too_short(LOCATION, name, end));
        }
        // In bounds, so it fits.
        let start = offset as usize;
        buf.copy_from_slice(&object.bytes[start..start + buf.len()]);
        Ok(())
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        self.find(name).map(|object| meta(name, &object))
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        checked_prefix(LOCATION, prefix)?;
        // Collected first: `found` may call back into this storage.
        let all: Vec<ObjectMeta> = {
            let objects = self.objects.read();
            let from_prefix = objects.range(prefix.to_owned()..);
            let inside = from_prefix.take_while(|(name, _)| name.starts_with(prefix));
            inside.map(|(name, object)| meta(name, object)).collect()
        };
        all.into_iter().for_each(found);
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        checked_name(LOCATION, "delete", name)?;
        self.remove(name);
        Ok(())
    }
}

fn meta(name: &str, object: &Object) -> ObjectMeta {
    ObjectMeta {
        name: name.into(),
        len: object.bytes.len() as u64,
        modified_ms: Some(object.modified_ms),
    }
}
