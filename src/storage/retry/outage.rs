//! What all calls of one storage know together: whether it answers anybody.
//!
//! A single call cannot tell an object that always fails from a service that is away. So failures
//! are judged by what the other calls see. While one of them gets an answer, a failing call has a
//! number of attempts. While none does, that is an outage, which has a length of time: it begins
//! with its first failure, not with the last success, as a run may leave storage alone for hours.
//! It is the same for all calls: those that come late in an outage do not wait as long again.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::RetryPolicy;
use crate::error::StorageError;
use crate::model::format_duration;

/// People are not told of less.
const TELL_AFTER: Duration = Duration::from_secs(3);

/// A service is away, back, or silent. The text is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceNotice {
    /// No call succeeds any more.
    Away {
        /// The location, without secrets.
        location: String,
        /// Why the last call failed.
        cause: String,
        /// How long it goes on from now on.
        retry_for: Duration,
    },
    /// A call succeeded after people were told that none did.
    Back {
        /// The location, without secrets.
        location: String,
        /// How long it was away.
        away_for: Duration,
    },
    /// Calls are under way, and for a while nothing has come back. It may still answer.
    Silent {
        /// The location, without secrets.
        location: String,
    },
}

impl fmt::Display for ServiceNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away { location, cause, retry_for } => write!(
                f,
                "`{location}` does not answer: {cause}; trying again for up to {}",
                format_duration(*retry_for)
            ),
            Self::Back { location, away_for } => {
                write!(f, "`{location}` answers again after {}", format_duration(*away_for))
            }
            Self::Silent { location } => {
                write!(f, "no answer from `{location}` yet; still waiting for it")
            }
        }
    }
}

/// Who is told when a service is away and when it is back; nobody by default.
#[derive(Clone, Default)]
pub struct Notify(Option<Arc<Tell>>);

type Tell = dyn Fn(&ServiceNotice) + Send + Sync;

impl Notify {
    /// Calls `tell`, from any thread.
    pub fn new(tell: impl Fn(&ServiceNotice) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    pub(in crate::storage) fn tell(&self, notice: &ServiceNotice) {
        tracing::info!("{notice}");
        if let Some(tell) = &self.0 {
            tell(notice);
        }
    }
}

impl fmt::Debug for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Notify(..)" } else { "Notify(nobody)" })
    }
}

/// The common knowledge. Times are since some moment before all of them.
#[derive(Default)]
pub(super) struct Outages {
    state: Mutex<State>,
    notify: Notify,
}

#[derive(Default)]
struct State {
    /// Calls that were answered.
    answers: u64,
    outage: Option<Outage>,
}

struct Outage {
    began: Duration,
    /// The last failure.
    seen: Duration,
    told: bool,
}

/// What one call has been through.
pub(super) struct Troubles {
    /// Failures while others were answered.
    refusals: u32,
    /// The first failure since others were.
    began: Option<Duration>,
    /// [`State::answers`] when this call failed last, or began.
    answers: u64,
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Again {
        /// Time that is left for it.
        left: Duration,
    },
    GiveUp {
        /// Time since it began to fail.
        after: Duration,
    },
}

impl Outages {
    pub(super) fn telling(notify: Notify) -> Self {
        Self { notify, ..Self::default() }
    }

    /// A call begins.
    pub(super) fn begin(&self) -> Troubles {
        Troubles { refusals: 0, began: None, answers: self.state.lock().answers }
    }

    /// The service gave an answer, also if that is that there is no such object.
    pub(super) fn answered(&self, location: &str, now: Duration) {
        let over = {
            let mut state = self.state.lock();
            state.answers += 1;
            state.outage.take()
        };
        if let Some(outage) = over.filter(|outage| outage.told) {
            let away_for = now.saturating_sub(outage.began);
            self.notify.tell(&ServiceNotice::Back { location: location.into(), away_for });
        }
    }

    /// A call failed for a reason that may pass. What it waited is part of the outage, but never
    /// so much that it is not repeated: a long transfer may have moved bytes for most of it.
    pub(super) fn failed(
        &self,
        troubles: &mut Troubles,
        tried: Range<Duration>,
        policy: &RetryPolicy,
    ) -> Verdict {
        let now = tried.end;
        let mut since = tried.start.max(now.saturating_sub(policy.give_up_after / 2));
        let mut state = self.state.lock();
        if troubles.answers != state.answers {
            troubles.answers = state.answers;
            troubles.refusals += 1;
            troubles.began = None;
            // Others were answered meanwhile.
            since = now;
        }
        // Of an outage that everybody gave up on long ago, nobody knows whether it lasted.
        let is_old = |outage: &Outage| now.saturating_sub(outage.seen) > policy.give_up_after / 2;
        if state.outage.as_ref().is_none_or(is_old) {
            state.outage = Some(Outage { began: since, seen: now, told: false });
        }
        let began_first = *troubles.began.get_or_insert(since);
        let began = state.outage.as_mut().map_or(began_first, |outage| {
            outage.seen = now;
            outage.began.min(began_first)
        });
        let after = now.saturating_sub(began);
        let left = policy.give_up_after.saturating_sub(after);
        match left.is_zero() || troubles.refusals >= policy.attempts_max {
            true => Verdict::GiveUp { after },
            false => Verdict::Again { left },
        }
    }

    /// Tells people once, if the next attempt at `next` finds an outage that is worth telling of.
    pub(super) fn tell_away(
        &self,
        location: &str,
        error: &StorageError,
        next: Duration,
        policy: &RetryPolicy,
    ) {
        let retry_for = {
            let mut state = self.state.lock();
            let Some(outage) = state.outage.as_mut().filter(|outage| !outage.told) else { return };
            if next.saturating_sub(outage.began) < TELL_AFTER {
                return;
            }
            outage.told = true;
            policy.give_up_after.saturating_sub(outage.seen.saturating_sub(outage.began))
        };
        let cause = error.source.to_string();
        self.notify.tell(&ServiceNotice::Away { location: location.into(), cause, retry_for });
    }
}
