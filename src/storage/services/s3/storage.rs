//! Objects in a bucket, with what S3 can do beside keeping them.

use std::sync::Arc;
use std::time::Duration;

use super::extras::Extras;
use crate::error::StorageError;
use crate::storage::hand_on::hand_on;
use crate::storage::throttle::Pace;
use crate::storage::{
    Archive, ObjectLock, OpendalStorage, PutMode, SharedStorage, Storage, throttle,
};

/// Objects that get a storage class of their own, if the location says so.
const PACKS: &str = "data/";

/// A bucket.
pub(super) struct S3Storage {
    objects: SharedStorage,
    /// Writes packs of data in their own storage class.
    packs: Option<SharedStorage>,
    extras: Option<Extras>,
}

impl S3Storage {
    /// `extras` take keys: a public bucket has none.
    pub(super) fn new(
        objects: OpendalStorage,
        packs: Option<OpendalStorage>,
        extras: Option<Extras>,
    ) -> Self {
        let packs = packs.map(|packs| Arc::new(packs) as SharedStorage);
        Self { objects: Arc::new(objects), packs, extras }
    }
}

impl Storage for S3Storage {
    hand_on!(objects: location, get, get_range, head, list, delete, concurrency, warning);

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        match &self.packs {
            Some(packs) if name.starts_with(PACKS) => packs.put(name, parts, mode),
            _ => self.objects.put(name, parts, mode),
        }
    }

    fn clean_unfinished(&self, age: Duration) -> Result<u64, StorageError> {
        self.extras.as_ref().map_or(Ok(0), |extras| extras.clean_uploads(age))
    }

    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        self.extras.as_ref().map(|extras| extras as &dyn ObjectLock)
    }

    fn archive(&self) -> Option<&dyn Archive> {
        self.extras.as_ref().map(|extras| extras as &dyn Archive)
    }

    fn paced(&self, pace: &Pace) -> Option<SharedStorage> {
        let paced =
            |storage: &SharedStorage| throttle::throttled(Arc::clone(storage), pace.clone());
        Some(Arc::new(Self {
            objects: paced(&self.objects),
            packs: self.packs.as_ref().map(paced),
            extras: self.extras.clone(),
        }))
    }
}
