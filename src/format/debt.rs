//! Debts: what a mirror missed (SPEC.md, section 21).

use super::record::{decode, record};
use crate::error::{Error, Result};
use crate::model::BackupId;

/// Most names in one debt.
pub const NAMES_MAX: usize = 8192;

record! {
    /// What a run wrote or deleted and a mirror did not get.
    DebtRecord, schema 1 {
        /// When, milliseconds since 1970.
        time_ms: i64,
        /// The name of the mirror.
        mirror: String,
        /// Why it did not get it.
        why: String,
        /// The snapshot that it does not have, if the run made one.
        snapshot: Option<BackupId>,
        /// The objects that were deleted from the primary and not from the mirror, in order.
        deletes: Vec<String>,
    }
}

impl DebtRecord {
    /// Reads it, and checks that it orders no deletes but of objects that mirrors have and
    /// repositories delete.
    ///
    /// # Errors
    /// [`Error::Damaged`], naming the object.
    pub fn decode(bytes: &[u8], name: &str) -> Result<Self> {
        let debt: Self = decode(bytes, name)?;
        let folders = ["keys/", "keyring/", "config/", "data/", "meta/", "index/", "snapshots/"];
        let is_fine = |delete: &String| folders.iter().any(|folder| delete.starts_with(folder));
        if debt.deletes.len() > NAMES_MAX || !debt.deletes.iter().all(is_fine) {
            return Err(Error::damaged(name, "it names what is never deleted"));
        }
        Ok(debt)
    }
}
