//! Copies of a repository at other places: [`sync()`] makes them complete, [`scrub()`] proves them,
//! [`heal()`] puts right what is damaged or missing at one place from another.
//!
//! Objects never change and are named by their hash, so a mirror is complete when the names are
//! there, and none of this needs a key. What only the holder of a key knows comes in as plain
//! data: names that a mirror is to let go of, names that must be there.
//!
//! On a mirror are keys, configuration, packs, index and records. What says who is at work at the
//! primary (`sessions/`, `gc/`, `mirrors/`) is not: it would go stale there, and without it a mirror
//! is a state that the repository may be found in at any time.
//!
//! Not here: writing to several places in one run (`storage`), which mirrors a repository has
//! (`repository`).

mod compare;
mod contents;
mod examine;
mod fetch;
mod heal;
mod needed;
mod object;
mod plan;
mod report;
mod scrub;
mod sync;
mod work;

pub use compare::{Standing, compare};
pub use contents::repository_at;
pub use fetch::is_whole;
pub use heal::{HealOptions, HealReport, Healed, heal};
pub use needed::Needed;
pub use report::{BadObject, Count};
pub use scrub::{ScrubOptions, ScrubReport, scrub};
pub use sync::{SyncOptions, SyncReport, sync, sync_keys};
pub(crate) use work::side_by_side;
