//! What stands between every command and its storage.

use std::sync::Arc;

use super::args::BandwidthArgs;
use super::output::{count, plural};
use crate::error::Result;
use crate::model::format_bytes;
use crate::storage::throttle::{Pace, ThrottleHandle, throttled};
use crate::storage::{
    self, Connection, Connector, CountStorage, Location, RequestCounter, SharedStorage, StorageUse,
};

/// Limits of bandwidth, and a count of requests, over all storages that a command uses.
#[derive(Clone)]
pub(crate) struct Wire {
    throttle: ThrottleHandle,
    counter: Arc<RequestCounter>,
    connection: Connection,
}

impl Wire {
    /// What options and environment say.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) for what is no rate or no plan.
    pub(crate) fn new(
        args: &BandwidthArgs,
        counter: Arc<RequestCounter>,
        connection: Connection,
    ) -> Result<Self> {
        let throttle = ThrottleHandle::new(args.limits()?);
        throttle.set_plan(args.plan()?);
        Ok(Self { throttle, counter, connection })
    }

    /// As [`storage::open`].
    pub(crate) fn open(&self, location: &Location) -> Result<SharedStorage> {
        storage::open_with(location, &self.connection).map(|storage| self.wrap(storage))
    }

    /// For the locations that a repository names: its mirrors.
    pub(crate) fn connector(&self) -> Connector {
        let wire = self.clone();
        Connector::new(move |location| wire.open(&Location::parse(location)?))
    }

    /// As [`storage::create`].
    pub(crate) fn create(&self, location: &Location, layout: &[&str]) -> Result<SharedStorage> {
        storage::create_with(location, layout, &self.connection).map(|storage| self.wrap(storage))
    }

    fn wrap(&self, storage: SharedStorage) -> SharedStorage {
        let storage = match self.throttle.is_in_use() {
            true => {
                throttled(storage, Pace::new(self.throttle.clone(), self.connection.cancel.clone()))
            }
            false => storage,
        };
        Arc::new(CountStorage::new(storage, Arc::clone(&self.counter)))
    }
}

/// What was asked of storage, in one line.
pub(crate) fn shown(used: &StorageUse) -> String {
    let parts = [
        format!("{} ({})", plural(used.puts, "write"), format_bytes(used.uploaded_bytes)),
        format!(
            "{} ({})",
            plural(used.gets + used.ranges, "read"),
            format_bytes(used.downloaded_bytes)
        ),
        plural(used.heads, "look"),
        plural(used.lists, "listing"),
        plural(used.deletes, "delete"),
    ];
    let mut text = format!("{}: {}", plural(used.requests(), "request"), parts.join(", "));
    for (number, what) in [(used.errors, "failed"), (used.retries, "repeated")] {
        if number > 0 {
            text.push_str(&format!("; {} {what}", count(number)));
        }
    }
    text
}
