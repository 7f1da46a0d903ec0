//! Leases, marks and fences: what prune publishes before it deletes; and packs that are known to be
//! damaged (SPEC.md, section 13).

use super::record::{Bin, record};
use crate::model::{BackupId, SessionId};

record! {
    /// Packs condemned by one collection.
    Mark, schema 1 {
        /// The collection.
        gc_id: BackupId,
        /// When, milliseconds since 1970.
        time_ms: i64,
        /// The condemned packs, 32 bytes each.
        packs: Bin,
        /// The log records that were seen, 32 bytes each.
        records: Bin,
    }
}

record! {
    /// Says that a collection is at work. The time that storage gives it is storage's clock.
    Lease, schema 1 {
        /// The collection.
        gc_id: BackupId,
        /// 0, 1, 2, ...
        number: u32,
        /// On which host.
        host: String,
        /// In which process.
        process_id: u32,
        /// Since when, milliseconds since 1970.
        started_ms: i64,
        /// When this object was made.
        now_ms: i64,
        /// What for: `prune`, ...
        purpose: String,
    }
}

record! {
    /// Tells a silent session that it may not commit any more.
    Fence, schema 1 {
        /// The collection.
        gc_id: BackupId,
        /// The session.
        session_id: SessionId,
        /// When, milliseconds since 1970.
        time_ms: i64,
    }
}

record! {
    /// Packs that are there and hold bytes that are not what they should be: writers do not rely
    /// on them.
    DamageList, schema 1 {
        /// When it was noticed, milliseconds since 1970.
        time_ms: i64,
        /// The packs, 32 bytes each.
        packs: Bin,
    }
}
