//! What holds of each snapshot: a pure function of the records, whatever order they came in.

use std::collections::{HashMap, HashSet};

use super::chains::{Covers, place_in_name};
use super::list::{Forgotten, Snapshot, SnapshotList};
use super::read::{Loaded, Record, Says, first_sights};
use crate::format::log::{Head, LogKind, SnapshotBody};
use crate::model::{ClientId, ObjectHash, SessionId};

/// For each record about which `says` was said and that no `undone_by` knows: the records that say
/// so. Of two that do not know each other, what was said holds.
pub(super) fn not_undone(
    records: &[Record],
    says: LogKind,
    undone_by: LogKind,
) -> HashMap<ObjectHash, Vec<&Record>> {
    let mut said = about(records, says);
    let undone = about(records, undone_by);
    said.retain(|hash, sayers| {
        if let Some(undoers) = undone.get(hash) {
            sayers.retain(|sayer| !undoers.iter().any(|undoer| undoer.knows_record(sayer)));
        }
        !sayers.is_empty()
    });
    said
}

/// The records of one kind, by the records that they are about.
fn about(records: &[Record], wanted: LogKind) -> HashMap<ObjectHash, Vec<&Record>> {
    let mut found: HashMap<ObjectHash, Vec<&Record>> = HashMap::new();
    for record in records {
        if let Says::About { kind, records, .. } = &record.says
            && *kind == wanted
        {
            records.iter().for_each(|hash| found.entry(*hash).or_default().push(record));
        }
    }
    found
}

fn reason_of(record: &Record) -> String {
    match &record.says {
        Says::About { reason, .. } => reason.clone(),
        _ => "its data was pruned".into(),
    }
}

/// What was said, latest by storage's clock first; the hash decides among equals.
fn latest<'l>(records: &[&'l Record]) -> Option<&'l Record> {
    records
        .iter()
        .copied()
        .max_by_key(|record| (record.storage_ms, record.outer.time_ms, record.hash))
}

/// All that is said about snapshots.
struct Said<'l> {
    forgotten: HashMap<ObjectHash, Vec<&'l Record>>,
    undeleted: HashMap<ObjectHash, Vec<&'l Record>>,
    pinned: HashMap<ObjectHash, Vec<&'l Record>>,
    quarantined: HashMap<ObjectHash, Vec<&'l Record>>,
    cleared: HashMap<ObjectHash, Vec<&'l Record>>,
    covers: Covers<'l>,
    sights: HashMap<ObjectHash, i64>,
}

impl<'l> Said<'l> {
    fn new(records: &'l [Record]) -> Self {
        Self {
            forgotten: not_undone(records, LogKind::Forget, LogKind::Undelete),
            undeleted: about(records, LogKind::Undelete),
            pinned: not_undone(records, LogKind::Pin, LogKind::Unpin),
            quarantined: not_undone(records, LogKind::Quarantine, LogKind::Clear),
            cleared: about(records, LogKind::Clear),
            covers: Covers::new(records),
            sights: first_sights(records),
        }
    }

    /// The record because of which this one counts as forgotten: a tombstone, or a checkpoint that
    /// let go of it. A record that is there again after its data was pruned must not come back
    /// to life by itself.
    fn tombstone(&self, record: &Record) -> Option<&'l Record> {
        if let Some(forgets) = self.forgotten.get(&record.hash) {
            return latest(forgets);
        }
        let undeletes = self.undeleted.get(&record.hash).map_or(&[][..], Vec::as_slice);
        let drops: Vec<_> = self
            .covers
            .dropping_record(record)
            .into_iter()
            .filter(|checkpoint| !undeletes.iter().any(|undo| undo.knows_record(checkpoint)))
            .collect();
        latest(&drops)
    }

    fn snapshot(
        &self,
        record: &Record,
        body: SnapshotBody,
        fenced: &HashSet<SessionId>,
        here: Option<ClientId>,
    ) -> Snapshot {
        let hash = record.hash;
        let cleared = self.cleared.get(&hash).map_or(&[][..], Vec::as_slice);
        let quarantine = self.quarantined.get(&hash).and_then(|said| latest(said));
        Snapshot {
            id: record.outer.record_id,
            record: hash,
            object_name: record.name.clone(),
            session_id: record.outer.session_id,
            client_id: record.client_id(),
            client_seq: record.seq(),
            host: record.outer.host.clone(),
            user: record.outer.user.clone(),
            tool: record.outer.tool.clone(),
            first_seen_ms: self.sights.get(&hash).copied(),
            pinned: self.pinned.contains_key(&hash),
            quarantine: quarantine.map(reason_of),
            suspect: fenced.contains(&record.outer.session_id) && cleared.is_empty(),
            cleared_here: cleared.iter().any(|clear| Some(clear.client_id()) == here),
            body,
        }
    }
}

/// Sorts the records into a list. `here` is the client of this machine.
pub(super) fn evaluate(
    loaded: Loaded,
    fenced: &HashSet<SessionId>,
    here: Option<ClientId>,
) -> SnapshotList {
    let mut records = loaded.records;
    records.sort_by_key(|record| (record.client_id(), record.seq(), record.hash));
    let mut list = SnapshotList { heads: heads(records.iter()), ..SnapshotList::default() };
    let bodies: Vec<_> = records.iter_mut().map(take_body).collect();
    let said = Said::new(&records);
    for (record, body) in records.iter().zip(bodies) {
        let Some(body) = body else { continue };
        let snapshot = said.snapshot(record, *body, fenced, here);
        match said.tombstone(record) {
            None => list.snapshots.push(snapshot),
            Some(tombstone) => list.forgotten.push(Forgotten {
                snapshot,
                forgotten_ms: tombstone.storage_ms,
                reason: reason_of(tombstone),
            }),
        }
    }
    // What was made from a snapshot has its times, and comes after it.
    let key = |s: &Snapshot| {
        let made = (s.body.original.is_some(), s.first_seen_ms);
        (s.body.start_ms, s.body.end_ms, made, s.id, s.record)
    };
    list.snapshots.sort_by_key(key);
    list.forgotten.sort_by_key(|forgotten| key(&forgotten.snapshot));
    for unreadable in loaded.unreadable {
        if let Some((short, seq)) = place_in_name(&unreadable.meta.name) {
            let clients = list.heads.iter().map(|head| head.client_id);
            let clients = clients.filter(|client_id| client_id.short() == short);
            let heads = clients.map(|client_id| Head { client_id, seq, record: unreadable.hash });
            let seen = heads.map(|head| (head, unreadable.meta.modified_ms));
            list.unreadable.extend(seen);
        }
        list.bad.push(unreadable.error);
    }
    list.bad.extend(loaded.foreign);
    list.records = records;
    list
}

fn take_body(record: &mut Record) -> Option<Box<SnapshotBody>> {
    match &mut record.says {
        Says::Snapshot(body) => body.take(),
        _ => None,
    }
}

/// The newest record of every client, and what checkpoints say of clients that have none left.
pub(super) fn heads<'l>(records: impl IntoIterator<Item = &'l Record>) -> Vec<Head> {
    let mut heads: HashMap<ClientId, Head> = HashMap::new();
    for record in records {
        raise(&mut heads, &record.head());
        if let Says::Checkpoint(body) = &record.says {
            body.covers.iter().for_each(|head| raise(&mut heads, head));
        }
    }
    sorted(heads)
}

/// Takes a head if it is newer than the one known; among equals the larger hash.
pub(super) fn raise(heads: &mut HashMap<ClientId, Head>, head: &Head) {
    let known = heads.entry(head.client_id).or_insert_with(|| head.clone());
    if (known.seq, known.record) < (head.seq, head.record) {
        *known = head.clone();
    }
}

pub(super) fn sorted(heads: HashMap<ClientId, Head>) -> Vec<Head> {
    let mut heads: Vec<Head> = heads.into_values().collect();
    heads.sort_by_key(|head| head.client_id);
    heads
}
