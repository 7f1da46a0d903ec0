//! Lets records go: those of snapshots whose data was pruned, and those that a newer checkpoint
//! stands for.
//!
//! A checkpoint that lets go of them comes first, then they are deleted. Whoever reads the log in
//! between, or after a crash, finds them forgotten either way. Snapshots go before what is said
//! about them, so that nobody sees one without its tombstone.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::chains::Covers;
use super::list::{Author, SnapshotList};
use super::read::{Record, Says};
use super::standing::{raise, sorted};
use super::write::TRIES;
use crate::error::{Result, StorageErrorKind};
use crate::format::log::Head;
use crate::model::{ClientId, ObjectHash};
use crate::repository::Repository;
use crate::runtime::Runtime;

/// Once so many records are not covered, a checkpoint is written though nothing goes.
const UNCOVERED_MAX: usize = 64;

/// What became of records that were let go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RemovedRecords {
    /// How many were deleted.
    pub removed: u64,
    /// How many are still there because storage refuses to delete: they count as forgotten.
    pub retained: u64,
}

impl Repository {
    /// Reads the log for something that removes data on its word.
    ///
    /// With `accept`, whatever is missing is taken as lost: a checkpoint says so to all clients.
    ///
    /// # Errors
    /// [`crate::error::Error::History`] if something speaks for a rollback or for hidden records
    /// and it is not accepted. Those of [`Repository::snapshots`].
    pub fn trusted_snapshots(
        &self,
        accept: bool,
        author: &Author,
        runtime: &Runtime,
    ) -> Result<SnapshotList> {
        for _ in 0..TRIES {
            let list = self.snapshots()?;
            list.check_history(accept)?;
            if list.rollback.is_empty() {
                return Ok(list);
            }
            let mut heads: HashMap<ClientId, Head> = HashMap::new();
            list.heads.iter().chain(&list.missing).for_each(|head| raise(&mut heads, head));
            let going = list.going(&HashSet::new());
            self.append_cover(&list, &sorted(heads), &going, author, runtime)?;
        }
        let list = self.snapshots()?;
        list.check_history(false).map(|()| list)
    }

    /// Lets go of the records of forgotten snapshots whose data is gone: writes a checkpoint, then
    /// deletes them, those that are only about them, and older checkpoints. A crash at any point is
    /// harmless; the next call goes on. Records, not ids: a snapshot that was undeleted has its id
    /// in a new record, which may have been forgotten again since.
    ///
    /// With nothing to let go, it writes a checkpoint when many records are not covered by one.
    ///
    /// # Errors
    /// [`crate::error::Error::History`] as [`Repository::append_checkpoint`], and the storage's.
    /// Storage that refuses to delete is no error.
    pub fn finish_forgotten(
        &self,
        gone: &[ObjectHash],
        author: &Author,
        known: &SnapshotList,
        runtime: &Runtime,
    ) -> Result<RemovedRecords> {
        let gone: HashSet<ObjectHash> = gone.iter().copied().collect();
        known.check_history(false)?;
        if !known.has_to_go(&gone) && known.uncovered() <= UNCOVERED_MAX {
            return Ok(RemovedRecords::default());
        }
        let mut newer;
        let mut list = known;
        for _ in 0..TRIES {
            if list.sole_checkpoint(&gone).is_some() && list.uncovered() <= UNCOVERED_MAX {
                break;
            }
            let going = list.going(&gone);
            self.append_cover(list, &list.heads, &going, author, runtime)?;
            // Two prunes at once: each sees the other's checkpoint, or is seen by the other.
            newer = self.snapshots()?;
            newer.check_history(false)?;
            list = &newer;
        }
        self.delete_records(list, &gone)
    }

    fn delete_records(
        &self,
        list: &SnapshotList,
        gone: &HashSet<ObjectHash>,
    ) -> Result<RemovedRecords> {
        let mut done = RemovedRecords::default();
        let Some(checkpoint) = list.sole_checkpoint(gone) else { return Ok(done) };
        let going = list.going(gone);
        let mut records: Vec<&Record> = list
            .records
            .iter()
            .filter(|record| going.contains(&record.hash))
            .filter(|record| record.hash != checkpoint.hash && checkpoint.knows_record(record))
            .collect();
        records.sort_by_key(|record| match record.says {
            Says::Snapshot(_) => 0,
            Says::Checkpoint(_) => 2,
            _ => 1,
        });
        for record in records {
            match self.storage.delete(&record.name) {
                Ok(()) => done.removed += 1,
                Err(error) if error.kind == StorageErrorKind::Denied => done.retained += 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }
}

impl SnapshotList {
    /// Records that need not be there any more once a new checkpoint is: those in `gone`, what is
    /// only about them, what another checkpoint let go, and all checkpoints. What was let go
    /// once is never kept again, or somebody who deletes it takes away what should be there.
    pub(super) fn going(&self, gone: &HashSet<ObjectHash>) -> HashSet<ObjectHash> {
        let covers = Covers::new(&self.records);
        let forgotten: HashSet<ObjectHash> =
            self.forgotten.iter().map(|forgotten| forgotten.snapshot.record).collect();
        let mut snapshots: HashSet<ObjectHash> = self
            .records
            .iter()
            .filter(|record| forgotten.contains(&record.hash))
            .filter(|record| {
                gone.contains(&record.hash) || !covers.dropping_record(record).is_empty()
            })
            .map(|record| record.hash)
            .collect();
        let there: HashSet<ObjectHash> = self.records.iter().map(|record| record.hash).collect();
        let unreadable: HashSet<ObjectHash> =
            self.unreadable.iter().map(|(head, _)| head.record).collect();
        let is_gone = |hash: &ObjectHash| {
            snapshots.contains(hash) || (!there.contains(hash) && !unreadable.contains(hash))
        };
        let others: Vec<ObjectHash> = self
            .records
            .iter()
            .filter(|record| match &record.says {
                Says::About { records, .. } => records.iter().all(is_gone),
                Says::Checkpoint(_) => true,
                Says::Snapshot(_) | Says::Other => false,
            })
            .map(|record| record.hash)
            .collect();
        snapshots.extend(others);
        snapshots
    }

    /// Whether there is anything to let go besides the checkpoint that stands for the others.
    fn has_to_go(&self, gone: &HashSet<ObjectHash>) -> bool {
        let sole = self.sole_checkpoint(gone).map(|checkpoint| checkpoint.hash);
        self.going(gone).into_iter().any(|hash| Some(hash) != sole)
    }

    /// The checkpoint that knows all others and lets go of all that is to go, if there is one.
    fn sole_checkpoint(&self, gone: &HashSet<ObjectHash>) -> Option<&Record> {
        let checkpoints =
            || self.records.iter().filter(|record| matches!(record.says, Says::Checkpoint(_)));
        let sole = checkpoints().find(|one| {
            checkpoints().all(|other| one.hash == other.hash || one.knows_record(other))
        })?;
        let going = self.going(gone);
        let covers = Covers::new(std::slice::from_ref(sole));
        let lets_go = self
            .records
            .iter()
            .filter(|record| going.contains(&record.hash) && record.hash != sole.hash)
            .all(|record| !covers.dropping_record(record).is_empty());
        lets_go.then_some(sole)
    }

    /// How many records no checkpoint covers.
    fn uncovered(&self) -> usize {
        let covers = Covers::new(&self.records);
        self.records.iter().filter(|record| !covers.cover(&record.head())).count()
    }
}
