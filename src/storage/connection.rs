//! What opening a location takes besides it: where secrets come from, and what stands between the
//! engine and the service.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::count::RequestCounter;
use super::retry::{Notify, RetryPolicy};
use super::throttle::{Pace, ThrottleHandle};
use crate::error::{Error, Result};
use crate::runtime::CancelToken;

/// The variable that says how long a connection may move nothing.
const NETWORK_TIMEOUT: &str = "LARDER_NETWORK_TIMEOUT";

/// How a location is reached. Cheap to clone; `wrap.rs` says what becomes of each part.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Where secrets come from.
    pub access: Access,
    /// Ends waits and repetitions.
    pub cancel: CancelToken,
    /// Told of every request.
    pub counter: Arc<RequestCounter>,
    /// Limits of bandwidth, if there may ever be any.
    pub throttle: Option<ThrottleHandle>,
    /// How often and how long calls to services are repeated.
    pub policy: RetryPolicy,
    /// How long services may be silent.
    pub timeouts: Timeouts,
    /// The most calls at once to one service whose location does not say `concurrency=N`; `None`
    /// lets the kind of service decide.
    pub concurrency: Option<NonZeroUsize>,
    /// Told when a service is away, and when it is back.
    pub notify: Notify,
}

impl Connection {
    /// How long services may be silent: what [`Connection::timeouts`](Self#structfield.timeouts)
    /// says, unless the environment or a profile says otherwise (`LARDER_NETWORK_TIMEOUT`, in
    /// seconds without a byte).
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no number of seconds.
    pub fn patience(&self) -> Result<Timeouts> {
        let Some(text) = self.access.get(NETWORK_TIMEOUT) else { return Ok(self.timeouts) };
        match text.parse() {
            Ok(seconds @ 1..=86_400) => {
                Ok(Timeouts { idle: Duration::from_secs(seconds), ..self.timeouts })
            }
            _ => Err(Error::usage_hint(
                format!("{NETWORK_TIMEOUT} is no number of seconds from 1 to 86400"),
                "without it, a connection that moves nothing ends after 60",
            )),
        }
    }

    /// The limits of bandwidth as one storage keeps them.
    pub fn pace(&self) -> Option<Pace> {
        self.throttle.clone().map(|throttle| Pace::new(throttle, self.cancel.clone()))
    }
}

/// How long a service may be silent. There is no limit for a whole transfer: a slow line may take
/// as long as it does, so long as bytes move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// Without a byte in either direction.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(20), idle: Duration::from_secs(60) }
    }
}

/// Secrets by the names of the environment variables that they are known by everywhere
/// (`AWS_ACCESS_KEY_ID`, ...): those that were given to it, else those of the environment.
///
/// Where two locations need different ones, each names its *set*: the set `offsite` has what was
/// given for it, else `LARDER_OFFSITE_AWS_ACCESS_KEY_ID` and the like, and never what belongs to
/// no set.
#[derive(Clone, Default)]
pub struct Access {
    /// By set (`""` is that of locations that name none) and name.
    given: Arc<BTreeMap<(String, String), Zeroizing<String>>>,
    set: String,
}

impl Access {
    /// Looks here before it looks at the environment.
    pub fn with(given: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::default().and_set("", given)
    }

    /// The same, and what belongs to `set`.
    pub fn and_set(mut self, set: &str, given: impl IntoIterator<Item = (String, String)>) -> Self {
        let entry = |(name, value)| ((set.to_lowercase(), name), Zeroizing::new(value));
        Arc::make_mut(&mut self.given).extend(given.into_iter().map(entry));
        self
    }

    /// What belongs to `set`, and nothing else.
    pub fn of_set(&self, set: &str) -> Self {
        Self { given: Arc::clone(&self.given), set: set.to_lowercase() }
    }

    /// Whether this is a set of its own: what a service's library finds by itself (its own
    /// files and variables, roles of the machine) is not meant then.
    pub fn is_of_set(&self) -> bool {
        !self.set.is_empty()
    }

    /// The value of `name`, if it has one that is not empty.
    pub fn get(&self, name: &str) -> Option<Zeroizing<String>> {
        let environment = || std::env::var(self.variable(name)).ok().map(Zeroizing::new);
        let given = self.given.get(&(self.set.clone(), name.to_owned())).cloned();
        given.or_else(environment).filter(|value| !value.is_empty())
    }

    /// The environment variable that says `name`, for messages.
    pub fn variable(&self, name: &str) -> String {
        if !self.is_of_set() {
            return name.to_owned();
        }
        let set = self.set.to_uppercase().replace(['-', '.'], "_");
        // `LARDER_WEBDAV_USER` of a set is `LARDER_OFFSITE_WEBDAV_USER`.
        format!("LARDER_{set}_{}", name.strip_prefix("LARDER_").unwrap_or(name))
    }
}

/// Names alone.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.given.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_hides_the_environment_and_is_never_shown() {
        let access = Access::with([("PATH".to_owned(), "hunter2".to_owned())]);
        assert_eq!(access.get("PATH").unwrap().as_str(), "hunter2");
        assert_eq!(Access::default().get("PATH").unwrap().as_str(), std::env::var("PATH").unwrap());
        assert!(access.get("LARDER_NO_SUCH_NAME").is_none());
        let empty = Access::with([("PATH".to_owned(), String::new())]);
        assert!(empty.get("PATH").is_none(), "an empty value says that there is none");
        assert_eq!(format!("{access:?}"), "{(\"\", \"PATH\")}");
    }

    #[test]
    fn the_time_without_a_byte_is_set_in_seconds() {
        let idle = |text: &str| {
            let access = Access::with([(NETWORK_TIMEOUT.to_owned(), text.to_owned())]);
            let connection = Connection { access, ..Connection::default() };
            connection.patience().map(|timeouts| timeouts.idle)
        };
        assert_eq!(idle("5").unwrap(), Duration::from_secs(5));
        assert_eq!(idle("").unwrap(), Timeouts::default().idle);
        for wrong in ["0", "-1", "1m", "86401"] {
            assert!(idle(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sets_do_not_see_each_other() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let access = Access::with([pair("HOME", "plain"), pair("SHELL", "plain")])
            .and_set("Off-Site", [pair("HOME", "far")]);
        let set = access.of_set("off-site");
        assert_eq!(set.get("HOME").unwrap().as_str(), "far");
        assert!(set.get("SHELL").is_none() && set.get("PATH").is_none());
        assert_eq!(access.get("HOME").unwrap().as_str(), "plain");
        assert_eq!(set.variable("AWS_ACCESS_KEY_ID"), "LARDER_OFF_SITE_AWS_ACCESS_KEY_ID");
        assert_eq!(set.variable("LARDER_SMB_USER"), "LARDER_OFF_SITE_SMB_USER");
        assert_eq!(access.variable("LARDER_SMB_USER"), "LARDER_SMB_USER");
    }
}
