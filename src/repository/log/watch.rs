//! Looking at the log again and again, for whoever shows it for days.

use super::SnapshotList;
use crate::error::Result;
use crate::repository::Repository;
use crate::storage::list_sorted;

/// What the log was like at the last look.
#[derive(Debug, Default)]
pub struct LogWatch {
    /// Stands for the names and lengths of all records.
    seen: Option<blake3::Hash>,
}

impl Repository {
    /// As [`Repository::snapshots`], if the log was changed since `watch` saw it: it is listed, and
    /// its records are read only then. A record never changes without its name. Whether sessions
    /// were fenced meanwhile is not looked at.
    ///
    /// # Errors
    /// As [`Repository::snapshots`].
    pub fn snapshots_if_changed(&self, watch: &mut LogWatch) -> Result<Option<SnapshotList>> {
        let mut hasher = blake3::Hasher::new();
        for meta in list_sorted(&*self.storage, "snapshots/")? {
            hasher.update(meta.name.as_bytes());
            hasher.update(&[0]);
            hasher.update(&meta.len.to_le_bytes());
        }
        let seen = hasher.finalize();
        if watch.seen == Some(seen) {
            return Ok(None);
        }
        let list = self.snapshots()?;
        watch.seen = Some(seen);
        Ok(Some(list))
    }
}
