//! What stands between every command and its storage.

use std::sync::Arc;
use std::time::Duration;

use super::args::GlobalArgs;
use super::output::{Output, count, plural};
use crate::error::Result;
use crate::model::format_bytes;
use crate::runtime::CancelToken;
#[cfg(feature = "serve")]
use crate::storage::RequestCounter;
#[cfg(feature = "serve")]
use crate::storage::throttle::Limits;
use crate::storage::throttle::ThrottleHandle;
use crate::storage::{
    self, Access, Connection, Connector, Location, Notify, RetryPolicy, ServiceNotice,
    SharedStorage, StorageUse, Timeouts,
};

/// How long a place may take to say how it stands.
const STATUS_WAIT: Duration = Duration::from_secs(10);

/// One way to all storages that a command uses: the same limits, one count of requests.
#[derive(Clone)]
pub(crate) struct Wire {
    connection: Connection,
    /// How long a run waits for the mirrors that it writes to.
    beside: RetryPolicy,
}

impl Wire {
    /// What options, profile and environment say.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) for what is no rate, plan or length
    /// of time.
    pub(crate) fn new(
        global: &GlobalArgs,
        access: Access,
        out: &Arc<Output>,
        cancel: CancelToken,
    ) -> Result<Self> {
        let (bandwidth, patience) = (&global.bandwidth, &global.patience);
        let throttle = ThrottleHandle::new(bandwidth.limits()?);
        throttle.set_plan(bandwidth.plan()?);
        let mut policy = RetryPolicy::default();
        let mut beside = policy.clone().beside();
        if let Some(retry_for) = patience.retry_for()? {
            policy.give_up_after = retry_for;
            beside.give_up_after = retry_for;
        }
        let teller = Arc::clone(out);
        let tell = move |notice: &ServiceNotice| teller.warn(&notice.to_string());
        let connection = Connection {
            access,
            cancel,
            counter: Arc::clone(&out.requests),
            throttle: throttle.is_in_use().then_some(throttle),
            policy,
            concurrency: patience.concurrency()?,
            notify: Notify::new(tell),
            ..Connection::default()
        };
        Ok(Self { connection, beside })
    }

    /// The same for a repository of a daemon: limits and counts of its own, and what a service
    /// says goes to the log.
    ///
    /// # Errors
    /// As [`Wire::new`].
    #[cfg(feature = "serve")]
    pub(crate) fn of_site(
        global: &GlobalArgs,
        access: Access,
        out: &Arc<Output>,
        cancel: CancelToken,
    ) -> Result<(Self, ThrottleHandle, Arc<RequestCounter>)> {
        let mut wire = Self::new(global, access, out, cancel)?;
        let unlimited = || ThrottleHandle::new(Limits::default());
        // There may be limits later.
        let throttle = wire.connection.throttle.get_or_insert_with(unlimited).clone();
        let counter = Arc::<RequestCounter>::default();
        wire.connection.counter = Arc::clone(&counter);
        wire.connection.notify = Notify::new(|notice| tracing::warn!("{notice}"));
        Ok((wire, throttle, counter))
    }

    /// As [`storage::open`].
    pub(crate) fn open(&self, location: &Location) -> Result<SharedStorage> {
        storage::open_with(location, &self.connection)
    }

    /// For the locations that a repository names: its mirrors.
    pub(crate) fn connector(&self) -> Connector {
        let (wire, policy) = (self.clone(), self.beside.clone());
        let beside =
            Self { connection: Connection { policy, ..wire.connection.clone() }, ..wire.clone() };
        Connector::new(move |location| wire.open(&Location::parse(location)?))
            .and_beside(move |location| beside.open(&Location::parse(location)?))
    }

    /// As [`Wire::connector`], for a command that says how places stand: one that does not answer
    /// soon is one that does not answer.
    pub(crate) fn status_connector(&self) -> Connector {
        let mut connection = self.connection.clone();
        let policy = &mut connection.policy;
        policy.give_up_after = policy.give_up_after.min(STATUS_WAIT);
        // Whoever says nothing is asked twice.
        connection.timeouts = Timeouts { connect: STATUS_WAIT / 2, idle: STATUS_WAIT / 2 };
        let beside = connection.policy.clone();
        Self { connection, beside }.connector()
    }

    /// As [`storage::create`].
    pub(crate) fn create(&self, location: &Location, layout: &[&str]) -> Result<SharedStorage> {
        storage::create_with(location, layout, &self.connection)
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
    if used.asks > 0 {
        text.push_str(&format!(", {} about locks and archives", count(used.asks)));
    }
    for (number, what) in [(used.errors, "failed"), (used.retries, "repeated")] {
        if number > 0 {
            text.push_str(&format!("; {} {what}", count(number)));
        }
    }
    text
}
