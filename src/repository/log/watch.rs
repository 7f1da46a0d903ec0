//! Looking at the log again and again, for whoever shows it for days.

use super::SnapshotList;
use super::cached::{CachedRecords, StoredRecords};
use crate::error::Result;
use crate::repository::Repository;
use crate::storage::list_sorted;

/// What the log was like at the last look: its records as they are stored, 64 MiB of them at most.
#[derive(Default)]
pub struct LogWatch {
    /// Stands for the names and lengths of all records.
    seen: Option<blake3::Hash>,
    records: StoredRecords,
}

impl Repository {
    /// As [`Repository::snapshots`], if the log was changed since `watch` saw it: it is listed, and
    /// only if it has other records than before are the new ones read, and they alone. A record
    /// never changes without its name. Whether sessions were fenced meanwhile is not looked at.
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
        let known = match watch.seen {
            Some(_) => CachedRecords::in_memory(std::mem::take(&mut watch.records)),
            // The first time what earlier commands left on this machine counts.
            None => self.cached_records().into_memory(),
        };
        watch.seen = None;
        let (list, kept) = self.snapshots_of(known)?;
        watch.records = kept;
        watch.seen = Some(seen);
        Ok(Some(list))
    }
}
