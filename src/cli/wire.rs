//! What stands between every command and its storage.

use crate::error::Result;
use crate::runtime::CancelToken;
use crate::storage::throttle::{Pace, ThrottleHandle, throttled};
use crate::storage::{self, Location, SharedStorage};

use super::args::BandwidthArgs;

/// Limits of bandwidth over all storages that a command uses.
pub(crate) struct Wire {
    throttle: ThrottleHandle,
    cancel: CancelToken,
}

impl Wire {
    /// What options and environment say.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) for what is no rate or no plan.
    pub(crate) fn new(args: &BandwidthArgs, cancel: CancelToken) -> Result<Self> {
        let throttle = ThrottleHandle::new(args.limits()?);
        throttle.set_plan(args.plan()?);
        Ok(Self { throttle, cancel })
    }

    /// As [`storage::open`].
    pub(crate) fn open(&self, location: &Location) -> Result<SharedStorage> {
        storage::open(location).map(|storage| self.wrap(storage))
    }

    /// As [`storage::create`].
    pub(crate) fn create(&self, location: &Location, layout: &[&str]) -> Result<SharedStorage> {
        storage::create(location, layout).map(|storage| self.wrap(storage))
    }

    fn wrap(&self, storage: SharedStorage) -> SharedStorage {
        match self.throttle.is_in_use() {
            true => throttled(storage, Pace::new(self.throttle.clone(), self.cancel.clone())),
            false => storage,
        }
    }
}
