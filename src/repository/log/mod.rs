//! The log: snapshots, and what is said about them later (SPEC.md, section 12).
//!
//! Each client writes a chain of its own and names the newest records of the others that it knows,
//! so the records of all clients are ordered as far as they knew of each other, without locks and
//! without clocks. What holds of a snapshot (forgotten, pinned, ...) follows from that order alone:
//! every reader of the same records comes to the same result, whatever order they were listed in.
//!
//! [`read`] fetches records, [`chains`] says what is missing, [`standing`] what holds of each
//! snapshot, [`memory`] compares with what this machine saw before, [`mod@write`] appends,
//! [`remove`] lets go, [`watch`] sees whether it was changed,
//! [`code`] makes the words that a person writes down.
//!
//! Not here: which snapshots to keep (`retention`), and what they are made of (`tree`).

mod cached;
mod chains;
mod code;
mod list;
mod memory;
mod read;
mod remove;
mod standing;
mod watch;
mod write;

pub use chains::Breach;
pub use code::HeadCode;
pub use list::{Author, Forgotten, NewSnapshot, Snapshot, SnapshotList};
pub(super) use read::decode_body;
pub use read::{Record, Says};
pub use remove::RemovedRecords;
pub use watch::LogWatch;

use crate::format::log::LogRecord;
use crate::model::{ClientId, ObjectHash};

fn client_folder(client_id: ClientId) -> String {
    format!("snapshots/{}/", client_id.short())
}

fn name_of(client_id: ClientId, seq: u64, hash: ObjectHash) -> String {
    format!("{}{seq:08x}-{hash}", client_folder(client_id))
}

/// The only name that this record may have.
pub(super) fn record_name(record: &LogRecord, hash: ObjectHash) -> String {
    name_of(record.client_id, record.client_seq, hash)
}

#[cfg(test)]
mod tests;
