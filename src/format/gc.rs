//! Marks and fences: what prune publishes before it deletes (SPEC.md, section 13).

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
