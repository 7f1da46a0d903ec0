//! What retention knows of a snapshot.

use std::collections::HashMap;

use crate::model::BackupId;
use crate::repository::{Snapshot, SnapshotList};

/// How far the times that a snapshot claims may lie from its first sight, in milliseconds.
const DRIFT_MAX_MS: i64 = 24 * 3600 * 1000;

/// A snapshot about which is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: BackupId,
    /// The host it is of.
    pub host: String,
    /// Its sources.
    pub roots: Vec<Vec<u8>>,
    /// Its tags.
    pub tags: Vec<String>,
    /// When its run started, as it claims, milliseconds since 1970.
    pub start_ms: i64,
    /// When its run ended, as it claims.
    pub end_ms: i64,
    /// When storage first showed it, by the clock of storage.
    pub first_seen_ms: Option<i64>,
    /// The snapshot that it was made from (rewrite, repair).
    pub original: Option<BackupId>,
    /// When storage first showed that one, or an earlier record of this one, if it is of the same
    /// host and sources, began at the same time, and storage knows.
    pub original_seen_ms: Option<i64>,
    /// Somebody at this machine looked at it and said that its time is right.
    pub time_cleared: bool,
    /// Pinned ones are never forgotten.
    pub pinned: bool,
    /// Why it is in quarantine, if it is.
    pub quarantine: Option<String>,
    /// Its session was given up by a prune: chunks may be missing.
    pub suspect: bool,
}

/// When storage first showed the snapshots of a list, for those that stand for them.
#[derive(Debug, Default)]
pub struct Sights(HashMap<Told, i64>);

/// What a snapshot must have in common with another one to borrow its first sight: its id, and all
/// that decides where it counts. Otherwise whoever can write snapshots of one machine could give
/// forged ones of another the times of his own.
type Told = (BackupId, i64, String, Vec<Vec<u8>>);

impl Sights {
    /// Those of all snapshots of a list, the forgotten ones too.
    pub fn of(list: &SnapshotList) -> Self {
        let forgotten = list.forgotten.iter().map(|forgotten| &forgotten.snapshot);
        let mut sights: HashMap<Told, i64> = HashMap::new();
        for snapshot in list.snapshots.iter().chain(forgotten) {
            if let Some(seen) = snapshot.first_seen_ms {
                let known = sights.entry(told(snapshot.id, snapshot)).or_insert(seen);
                *known = seen.min(*known);
            }
        }
        Self(sights)
    }

    /// What retention knows of a snapshot of this list.
    pub fn candidate(&self, snapshot: &Snapshot) -> Candidate {
        // An undeleted one has its old id and a new record: it is its own original.
        let ids = [Some(snapshot.id), snapshot.body.original];
        let seen = ids.into_iter().flatten().filter_map(|id| self.0.get(&told(id, snapshot)));
        Candidate { original_seen_ms: seen.min().copied(), ..Candidate::of(snapshot) }
    }
}

fn told(id: BackupId, snapshot: &Snapshot) -> Told {
    let mut roots: Vec<Vec<u8>> = snapshot.body.roots.iter().map(|root| root.0.clone()).collect();
    roots.sort();
    (id, snapshot.body.start_ms, snapshot.host.clone(), roots)
}

/// Whether the time of a snapshot can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeStanding {
    /// It is what storage saw, or somebody looked.
    InTime,
    /// It claims to be so many milliseconds older than its first sight.
    BackDated(i64),
    /// It claims to be so many milliseconds newer than its first sight.
    PostDated(i64),
    /// Storage does not tell when it appeared.
    Unknown,
}

impl Candidate {
    /// All visible snapshots of a list, in its order.
    pub fn all_of(list: &SnapshotList) -> Vec<Self> {
        let sights = Sights::of(list);
        list.snapshots.iter().map(|snapshot| sights.candidate(snapshot)).collect()
    }

    /// One snapshot, without what its original would tell.
    fn of(snapshot: &Snapshot) -> Self {
        let body = &snapshot.body;
        Self {
            id: snapshot.id,
            host: snapshot.host.clone(),
            roots: body.roots.iter().map(|root| root.0.clone()).collect(),
            tags: body.tags.clone(),
            start_ms: body.start_ms,
            end_ms: body.end_ms,
            first_seen_ms: snapshot.first_seen_ms,
            original: body.original,
            original_seen_ms: None,
            time_cleared: snapshot.cleared_here,
            pinned: snapshot.pinned,
            quarantine: snapshot.quarantine.clone(),
            suspect: snapshot.suspect,
        }
    }

    /// Whether its time can be believed.
    pub fn time_standing(&self) -> TimeStanding {
        if self.time_cleared || self.believed_ms().is_some() {
            return TimeStanding::InTime;
        }
        match self.first_seen_ms {
            None => TimeStanding::Unknown,
            Some(seen) if self.start_ms < seen => {
                TimeStanding::BackDated(seen.saturating_sub(self.start_ms))
            }
            Some(seen) => TimeStanding::PostDated(self.start_ms.saturating_sub(seen)),
        }
    }

    /// The time at which it counts, or `None` if it is out of time. That is the start of its run,
    /// or the end of one that took longer than a day.
    pub fn retention_ms(&self) -> Option<i64> {
        self.believed_ms().or_else(|| self.time_cleared.then_some(self.start_ms))
    }

    fn believed_ms(&self) -> Option<i64> {
        let near = |time_ms: &i64, seen: Option<i64>| {
            seen.is_some_and(|seen| time_ms.abs_diff(seen) <= DRIFT_MAX_MS.unsigned_abs())
        };
        let is_near = |time_ms: &i64| near(time_ms, self.first_seen_ms);
        let of_original = |time_ms: &i64| near(time_ms, self.original_seen_ms);
        let (start, end) = (self.start_ms, self.end_ms);
        [start].into_iter().find(|time| is_near(time) || of_original(time)).or_else(|| {
            [end].into_iter().find(|time| start < end && (is_near(time) || of_original(time)))
        })
    }

    /// Whether storage has shown it only after `since_ms`. What is not known counts as old: such
    /// snapshots are out of time unless somebody looked.
    pub(super) fn is_seen_after(&self, since_ms: i64) -> bool {
        self.first_seen_ms.is_some_and(|seen| seen > since_ms)
    }

    /// Whether it can stand for its period: in time, not quarantined, not suspect.
    pub fn counts(&self) -> bool {
        self.retention_ms().is_some() && self.quarantine.is_none() && !self.suspect
    }
}
