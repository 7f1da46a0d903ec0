//! How an operation goes, as events for programs: phase, counts, rate, remaining time, issues.
//!
//! The engine reports every file and chunk to a [`Progress`](crate::runtime::Progress).
//! [`EventProgress`] is one that counts, and says now and then how far it is. The bars of the
//! command line come from the same counters and rates.

mod counters;
mod events;
mod rates;

pub(crate) use counters::Counters;
#[cfg(test)]
pub(crate) use counters::Reading;
pub use events::{EventIssue, EventKind, EventProgress, ProgressEvent};
pub(crate) use rates::{Rates, View};
