//! Storage with locks and an archive, as some services have them.

use std::collections::HashMap;
use std::sync::Arc;

use larder::error::{StorageError, StorageErrorKind};
use larder::runtime::Clock;
use larder::storage::object_lock::DefaultRetention;
use larder::storage::{
    Archive, ArchiveState, LockMode, LockSettings, ObjectLock, ObjectMeta, PutMode, Retention,
    SharedStorage, Storage, WarmUpRequest,
};
use parking_lot::Mutex;

const DAY_MS: i64 = 24 * 3_600_000;

/// Keeps every object for some days, and may hold packs of data so cold that they have to be asked
/// for.
pub(crate) struct Vault {
    pub(crate) inner: SharedStorage,
    pub(crate) clock: Arc<dyn Clock>,
    /// For how long new objects are kept.
    pub(crate) days: u32,
    /// Whether a delete of a kept object hides it instead of failing.
    pub(crate) has_versions: bool,
    /// Whether packs of data cannot be read at once.
    pub(crate) is_cold: bool,
    /// How many looks it takes until a pack that was asked for is there.
    pub(crate) looks: u32,
    pub(crate) extended: Mutex<HashMap<String, Retention>>,
    pub(crate) asked: Mutex<HashMap<String, u32>>,
    /// Extensions that are allowed yet.
    pub(crate) budget: Mutex<u32>,
    /// What was extended, and what was asked for, in order.
    pub(crate) log: Mutex<Vec<String>>,
}

impl Vault {
    pub(crate) fn new(inner: SharedStorage, clock: Arc<dyn Clock>, days: u32) -> Self {
        Self {
            inner,
            clock,
            days,
            has_versions: false,
            is_cold: false,
            looks: 2,
            extended: Mutex::default(),
            asked: Mutex::default(),
            budget: Mutex::new(u32::MAX),
            log: Mutex::default(),
        }
    }

    /// Takes what was logged.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock())
    }

    fn fail(&self, name: &str, kind: StorageErrorKind, what: &str) -> StorageError {
        StorageError {
            action: "reach",
            object: name.into(),
            location: self.inner.location().into(),
            kind,
            source: what.into(),
        }
    }

    fn readable(&self, name: &str) -> Result<(), StorageError> {
        match self.is_cold && name.starts_with("data/") && !self.state(name)?.is_readable() {
            true => Err(self.fail(name, StorageErrorKind::Permanent, "it is in cold storage")),
            false => Ok(()),
        }
    }
}

impl Storage for Vault {
    fn location(&self) -> &str {
        self.inner.location()
    }
    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        self.inner.put(name, parts, mode)
    }
    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        self.readable(name)?;
        self.inner.get(name, len_max)
    }
    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        self.readable(name)?;
        self.inner.get_range(name, offset, buf)
    }
    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        self.inner.head(name)
    }
    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        self.inner.list(prefix, found)
    }
    fn delete(&self, name: &str) -> Result<(), StorageError> {
        let kept = match self.retention(name) {
            Err(error) if error.kind == StorageErrorKind::Missing => return Ok(()),
            kept => kept?,
        };
        let is_kept = kept.is_some_and(|kept| kept.until_ms > self.clock.now_ms());
        match is_kept && !self.has_versions {
            true => Err(self.fail(name, StorageErrorKind::Denied, "it is kept")),
            false => self.inner.delete(name),
        }
    }
    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        (self.days > 0 || self.has_versions).then_some(self)
    }
    fn archive(&self) -> Option<&dyn Archive> {
        self.is_cold.then_some(self)
    }
}

impl ObjectLock for Vault {
    fn settings(&self) -> Result<LockSettings, StorageError> {
        let default = DefaultRetention { mode: LockMode::Governance, days: self.days };
        Ok(LockSettings {
            object_lock: self.days > 0,
            versions: self.has_versions,
            default: (self.days > 0).then_some(default),
        })
    }

    fn retention(&self, name: &str) -> Result<Option<Retention>, StorageError> {
        let written_ms = self.inner.head(name)?.modified_ms.expect("memory has times");
        if let Some(extended) = self.extended.lock().get(name) {
            return Ok(Some(*extended));
        }
        let until_ms = written_ms + i64::from(self.days) * DAY_MS;
        Ok((self.days > 0).then_some(Retention { mode: LockMode::Governance, until_ms }))
    }

    fn retain(&self, name: &str, retention: &Retention) -> Result<(), StorageError> {
        let had = self.retention(name)?.expect("everything is kept");
        assert!(
            had != *retention && had.until_ms <= retention.until_ms && had.mode <= retention.mode,
            "{name} shortened"
        );
        let mut budget = self.budget.lock();
        if *budget == 0 {
            return Err(self.fail(name, StorageErrorKind::Denied, "no more"));
        }
        *budget -= 1;
        self.extended.lock().insert(name.into(), *retention);
        self.log.lock().push(format!("retain {name}"));
        Ok(())
    }
}

impl Archive for Vault {
    fn is_cold(&self) -> bool {
        self.is_cold
    }

    fn state(&self, name: &str) -> Result<ArchiveState, StorageError> {
        self.inner.head(name)?;
        Ok(match self.asked.lock().get_mut(name) {
            _ if !name.starts_with("data/") => ArchiveState::Ready,
            None => ArchiveState::Cold,
            Some(0) => ArchiveState::Warm(None),
            Some(looks) => {
                *looks -= 1;
                ArchiveState::Coming
            }
        })
    }

    fn warm_up(&self, name: &str, request: &WarmUpRequest) -> Result<(), StorageError> {
        let what = format!("warm {name} {} {}", request.days, request.tier);
        self.log.lock().push(what);
        self.asked.lock().entry(name.into()).or_insert(self.looks);
        Ok(())
    }
}
