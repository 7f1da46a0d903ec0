//! Decides which snapshots to keep. Nothing here reads or writes anything: candidates, a policy
//! and the time go in, a decision with all its reasons about every candidate comes out.
//!
//! Whoever can write to a repository can forge snapshots. So that forged, back-dated or post-dated
//! ones push nothing out:
//!
//! - a snapshot counts at the time that it claims only if storage first showed it within 24 hours
//!   of that ([`Candidate::retention_ms`]); others are *out of time*: kept, and not counted;
//! - a snapshot younger than the minimum age is kept, and the policy is applied with and without
//!   the young ones; what either keeps is kept. A flood of new snapshots so pushes nothing out
//!   before somebody can notice;
//! - quarantined and suspect snapshots are kept and not counted: they take no good one's place;
//! - a snapshot made from another that is still there counts with it, not beside it.
//!
//! Not here: writing tombstones (`cli`), giving back space (`prune`).

mod bucket;
mod candidate;
mod decide;
mod group;
mod policy;
mod reason;
mod rules;

pub use crate::model::{Count, RetentionPolicy};
pub use bucket::Period;
pub use candidate::{Candidate, Sights, TimeStanding};
pub use decide::{Decision, GroupPlan, RetentionPlan, Setting, plan};
pub use group::{GroupBy, GroupName};
pub use reason::{Reason, Rule};

use crate::model::Age;

/// Younger snapshots are kept, whatever the policy says, unless the caller wants another age.
pub const MIN_AGE: Age = Age::hours(24);

#[cfg(test)]
mod tests;
