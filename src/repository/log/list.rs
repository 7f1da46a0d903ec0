//! What readers of the log get.

use std::collections::{HashMap, HashSet};

use super::chains::Breach;
use super::read::{Record, Says};
use crate::error::{Error, Result};
use crate::format::log::{Head, SnapshotBody, strategy_from_number};
use crate::model::{BackupId, BackupStrategy, ClientId, ObjectHash, SessionId};

/// A finished snapshot.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its id.
    pub id: BackupId,
    /// Object hash of its record: the checksum that anyone can compute from the stored object.
    pub record: ObjectHash,
    /// Name of the stored record.
    pub object_name: String,
    /// The session that wrote it.
    pub session_id: SessionId,
    /// Who wrote it.
    pub client_id: ClientId,
    /// Its number in the client's chain.
    pub client_seq: u64,
    /// On which host.
    pub host: String,
    /// By which user.
    pub user: String,
    /// With which program.
    pub tool: String,
    /// When storage first showed it, by storage's clock; `None` where storage has none.
    pub first_seen_ms: Option<i64>,
    /// Whether somebody pinned it.
    pub pinned: bool,
    /// Why it is in quarantine, if it is.
    pub quarantine: Option<String>,
    /// Whether a prune fenced its session before it was seen: chunks of it may be missing, until
    /// a check has found them all.
    pub suspect: bool,
    /// Whether this very machine has cleared it: somebody looked at it here.
    pub cleared_here: bool,
    /// All else.
    pub body: SnapshotBody,
}

impl Snapshot {
    /// Which kind of backup it was.
    pub fn strategy(&self) -> BackupStrategy {
        strategy_from_number(self.body.strategy).unwrap_or(BackupStrategy::Full)
    }

    /// When its run started, milliseconds since 1970.
    pub fn time_ms(&self) -> i64 {
        self.body.start_ms
    }
}

/// A snapshot that was forgotten and can be had back until it is pruned.
#[derive(Clone, Debug)]
pub struct Forgotten {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// When storage got the record that says so, by storage's clock; of several the latest.
    /// `None` where storage has no clock.
    pub forgotten_ms: Option<i64>,
    /// Why.
    pub reason: String,
}

/// All snapshots of a repository, and what is wrong with its log.
#[derive(Debug, Default)]
pub struct SnapshotList {
    /// The snapshots, oldest first, without the forgotten ones.
    pub snapshots: Vec<Snapshot>,
    /// The forgotten ones, oldest first.
    pub forgotten: Vec<Forgotten>,
    /// Records that could not be used: snapshots may be lost with them.
    pub bad: Vec<Error>,
    /// What speaks for a repository that was rolled back, or for records that are hidden or lost.
    pub rollback: Vec<Breach>,
    /// What people should know of, and nothing is wrong with.
    pub notices: Vec<String>,
    /// All records that can be read, by client and number.
    pub(super) records: Vec<Record>,
    /// Those that are there and cannot, as far as their names tell of which clients they are, with
    /// storage's times.
    pub(super) unreadable: Vec<(Head, Option<i64>)>,
    /// Records that are named and not there, with no reason for it.
    pub(super) missing: Vec<Head>,
    /// The newest record of this machine when the log was read.
    pub(super) own: Option<Head>,
    /// The newest record of every client.
    pub(super) heads: Vec<Head>,
}

impl SnapshotList {
    /// All log records that can be read, by client and number.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Whether `wanted` holds for a snapshot and the time when storage got it, which no checkpoint
    /// says.
    pub fn has_time_to_keep(&self, wanted: impl Fn(&Snapshot, i64) -> bool) -> bool {
        let checkpoints = self.records.iter().filter_map(|record| match &record.says {
            Says::Checkpoint(checkpoint) => Some(checkpoint),
            _ => None,
        });
        let said: HashSet<ObjectHash> =
            checkpoints.flat_map(|said| said.first_seen.iter().map(|seen| seen.record)).collect();
        let forgotten = self.forgotten.iter().map(|forgotten| &forgotten.snapshot);
        self.snapshots.iter().chain(forgotten).any(|snapshot| {
            let is_wanted = |seen_ms| wanted(snapshot, seen_ms);
            !said.contains(&snapshot.record) && snapshot.first_seen_ms.is_some_and(is_wanted)
        })
    }

    /// The forgotten snapshots that can be had back, oldest first: an undeleted one has a new
    /// record, and its old one may be there for a while.
    pub fn undeletable(&self) -> Vec<&Forgotten> {
        let mut newest: HashMap<BackupId, &Forgotten> = HashMap::new();
        for forgotten in &self.forgotten {
            let key = |one: &Forgotten| (one.forgotten_ms, one.snapshot.client_seq);
            let known = newest.entry(forgotten.snapshot.id).or_insert(forgotten);
            if key(known) < key(forgotten) {
                *known = forgotten;
            }
        }
        for snapshot in &self.snapshots {
            newest.remove(&snapshot.id);
        }
        let is_newest = |one: &&Forgotten| {
            newest.get(&one.snapshot.id).is_some_and(|n| n.snapshot.record == one.snapshot.record)
        };
        self.forgotten.iter().filter(is_newest).collect()
    }

    /// Fails if something speaks for a rollback or for hidden records, unless the user has looked
    /// at it and accepts it. For whatever removes data on the word of the log.
    ///
    /// # Errors
    /// [`Error::History`], naming the first of [`SnapshotList::rollback`].
    pub fn check_history(&self, accept: bool) -> Result<()> {
        match self.rollback.first() {
            Some(first) if !accept => {
                let mirror = self.rollback.iter().find_map(Breach::mirror).map(str::to_owned);
                let (what, others) = (first.to_string(), self.rollback.len() - 1);
                Err(Error::History { what, others, mirror })
            }
            _ => Ok(()),
        }
    }
}

/// What a run says about the snapshot that it made.
#[derive(Clone, Debug)]
pub struct NewSnapshot {
    /// Its id, drawn at the start.
    pub id: BackupId,
    /// On which host.
    pub host: String,
    /// By which user.
    pub user: String,
    /// All else.
    pub body: SnapshotBody,
}

/// Who appends a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// On which host.
    pub host: String,
    /// By which user.
    pub user: String,
}
