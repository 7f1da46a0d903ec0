//! Sessions: a writer's announcement, its heartbeats and its end (SPEC.md, section 13).

use super::record::record;
use crate::model::{ClientId, SessionId};

record! {
    /// An announcement (number 0) or a heartbeat (later numbers).
    Session, schema 1 {
        /// Which session.
        session_id: SessionId,
        /// Who writes.
        client_id: ClientId,
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
        /// What for: `snapshot`, `prune`, ...
        purpose: String,
    }
}

record! {
    /// The end of a session.
    SessionEnd, schema 1 {
        /// Which session.
        session_id: SessionId,
        /// When it ended, milliseconds since 1970.
        now_ms: i64,
        /// 0 done, 1 gave up.
        outcome: u8,
    }
}
