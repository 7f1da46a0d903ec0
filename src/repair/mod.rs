//! Puts right what damage left, from what is still there.
//!
//! * [`repair_index`]: every pack in storage is named by the index again.
//! * [`repair_packs`]: what can be read of damaged packs gets a good copy in new packs.
//! * [`repair_snapshots`]: what can be kept of damaged snapshots is kept under new ones.
//!
//! Nothing is ever deleted by a repair, and no snapshot is changed: it writes new objects, and
//! says of old ones that they are not to be relied on. So it may run beside backups, be broken off
//! and be repeated. What is lost is in the reports, by name.
//!
//! Not here: finding out what is damaged (`verify`); deleting what nobody needs any more (`prune`).

mod candidates;
mod content;
mod flaw;
mod index;
mod packs;
mod snapshots;

pub use flaw::Flaw;
pub use index::{IndexRepair, IndexRepairOptions, repair_index};
pub use packs::{PackRepair, PackRepairOptions, PackState, RepairedPack, repair_packs};
pub use snapshots::{
    LostPart, LostPath, LostRange, REPAIRED_TAG, RepairOutcome, RepairedSnapshot, SnapshotRepair,
    SnapshotRepairOptions, repair_snapshots,
};
