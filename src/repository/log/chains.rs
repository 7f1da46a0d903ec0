//! The chains of all clients: what is missing from them, and what contradicts them.
//!
//! Every record names the one before it in its client's chain, and the newest of the other clients.
//! So whoever hides a record must hide all that know it too, back to the end of every chain; only
//! a machine's own memory, or a head code on paper, notices that.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use serde::Serialize;

use super::read::{Loaded, Record, Says};
use super::standing;
use crate::format::log::{CheckpointBody, Head, LogKind};
use crate::model::{ClientId, ObjectHash, escape_bytes};

/// Something that speaks for a rollback, or for records that are hidden, lost or put back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Breach {
    /// Records that others name are not there, and no checkpoint accounts for them.
    Missing {
        /// Whose records.
        client_id: ClientId,
        /// On which host, where a record of this client still says so.
        host: Option<String>,
        /// Number of the first.
        first: u64,
        /// Number of the last.
        last: u64,
        /// Whether this machine has seen one of them itself.
        seen_here: bool,
        /// A mirror that has one of them.
        mirror: Option<String>,
    },
    /// A record is there, and others name another one with its number.
    Replaced {
        /// Whose record.
        client_id: ClientId,
        /// On which host, where known.
        host: Option<String>,
        /// Its number.
        seq: u64,
        /// Whether this machine has seen the other one itself.
        seen_here: bool,
    },
    /// Two records have one number.
    Fork {
        /// Whose records.
        client_id: ClientId,
        /// On which host, where known.
        host: Option<String>,
        /// Their number.
        seq: u64,
    },
}

impl Breach {
    /// A mirror that has what is missing.
    pub fn mirror(&self) -> Option<&str> {
        match self {
            Self::Missing { mirror, .. } => mirror.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = |client_id: &ClientId, host: &Option<String>| match host {
            Some(host) => {
                format!("client {} on host {}", client_id.short(), escape_bytes(host.as_bytes()))
            }
            None => format!("client {}", client_id.short()),
        };
        match self {
            Self::Missing { client_id, host, first, last, seen_here, mirror } => {
                let client = client(client_id, host);
                match first == last {
                    true => write!(f, "record {first} of {client} is missing")?,
                    false => write!(f, "records {first} to {last} of {client} are missing")?,
                }
                f.write_str(match seen_here {
                    true => {
                        " and was seen here: the repository was rolled back, or hides snapshots"
                    }
                    false => ": snapshots may be hidden or lost",
                })?;
                match mirror {
                    Some(mirror) => write!(f, "; the mirror `{mirror}` has more"),
                    None => Ok(()),
                }
            }
            Self::Replaced { client_id, host, seq, seen_here } => {
                let who = if *seen_here { "was seen here" } else { "others name" };
                let client = client(client_id, host);
                write!(f, "record {seq} of {client} is not the one that {who}")
            }
            Self::Fork { client_id, host, seq } => write!(
                f,
                "{} has two records with number {seq}: its machine was copied or set back",
                client(client_id, host)
            ),
        }
    }
}

/// One checkpoint, ready to be asked.
struct Cover<'l> {
    record: &'l Record,
    up_to: HashMap<ClientId, u64>,
    kept: HashSet<ObjectHash>,
}

impl<'l> Cover<'l> {
    fn new(record: &'l Record, body: &CheckpointBody) -> Self {
        Self {
            record,
            up_to: body.covers.iter().map(|head| (head.client_id, head.seq)).collect(),
            kept: body.first_seen.iter().map(|seen| seen.record).collect(),
        }
    }

    fn covers(&self, client_id: ClientId, seq: u64) -> bool {
        self.up_to.get(&client_id).is_some_and(|up_to| seq <= *up_to)
    }
}

/// The records that a checkpoint keeps.
fn kept(body: &CheckpointBody) -> impl Iterator<Item = Head> {
    body.first_seen.iter().filter_map(|seen| {
        let client_id = body.covers.get(usize::try_from(seen.client).ok()?)?.client_id;
        Some(Head { client_id, seq: seen.seq, record: seen.record })
    })
}

/// All checkpoints.
pub(super) struct Covers<'l>(Vec<Cover<'l>>);

impl<'l> Covers<'l> {
    pub(super) fn new(records: &'l [Record]) -> Self {
        let covers = records.iter().filter_map(|record| match &record.says {
            Says::Checkpoint(body) => Some(Cover::new(record, body)),
            _ => None,
        });
        Self(covers.collect())
    }

    /// Checkpoints that let go of this record, unless a later one keeps it: it was undeleted in
    /// between.
    pub(super) fn dropping(&self, head: &Head) -> Vec<&'l Record> {
        let covering = || self.0.iter().filter(|cover| cover.covers(head.client_id, head.seq));
        let keeping: Vec<_> = covering().filter(|c| c.kept.contains(&head.record)).collect();
        covering()
            .filter(|cover| !cover.kept.contains(&head.record))
            .map(|cover| cover.record)
            .filter(|record| !keeping.iter().any(|later| later.record.knows_record(record)))
            .collect()
    }

    /// Checkpoints that let go of this record, which is there: not those that it knows, for their
    /// writers cannot have known it.
    pub(super) fn dropping_record(&self, record: &Record) -> Vec<&'l Record> {
        let mut dropping = self.dropping(&record.head());
        dropping.retain(|checkpoint| !record.knows_record(checkpoint));
        dropping
    }

    /// Whether any checkpoint covers this record.
    pub(super) fn cover(&self, head: &Head) -> bool {
        self.0.iter().any(|cover| cover.covers(head.client_id, head.seq))
    }

    /// Up to where a client's chain is covered.
    fn up_to(&self, client_id: ClientId) -> u64 {
        self.0.iter().filter_map(|cover| cover.up_to.get(&client_id)).max().copied().unwrap_or(0)
    }
}

/// What the records say of each other.
pub(super) struct Chains<'l> {
    /// Records that are there, readable or not, by client and number.
    present: BTreeMap<ClientId, BTreeMap<u64, BTreeSet<ObjectHash>>>,
    hashes: HashSet<ObjectHash>,
    /// Records that are named and not there, and whether this machine remembers them.
    missing: BTreeMap<(ClientId, u64, ObjectHash), (Head, bool)>,
    /// Numbers that need not be there though no checkpoint covers them.
    excused: BTreeSet<(ClientId, u64)>,
    hosts: HashMap<ClientId, &'l str>,
    covers: Covers<'l>,
    forgotten: HashSet<ObjectHash>,
}

impl<'l> Chains<'l> {
    pub(super) fn new(loaded: &'l Loaded, remembered: &[Head]) -> Self {
        let records = &loaded.records;
        let mut chains = Self {
            present: BTreeMap::new(),
            hashes: records.iter().map(|record| record.hash).collect(),
            missing: BTreeMap::new(),
            excused: BTreeSet::new(),
            hosts: HashMap::new(),
            covers: Covers::new(records),
            forgotten: standing::not_undone(records, LogKind::Forget, LogKind::Undelete)
                .into_keys()
                .collect(),
        };
        for record in records {
            let chain = chains.present.entry(record.client_id()).or_default();
            chain.entry(record.seq()).or_default().insert(record.hash);
            chains.hosts.insert(record.client_id(), &record.outer.host);
        }
        for record in &loaded.unreadable {
            chains.hashes.insert(record.hash);
            let Some((short, seq)) = place_in_name(&record.meta.name) else { continue };
            for (_, chain) in chains.present.iter_mut().filter(|(id, _)| id.short() == short) {
                chain.entry(seq).or_default().insert(record.hash);
            }
        }
        for record in records {
            let before = record.seq() - 1;
            if before > 0 {
                let client_id = record.client_id();
                let head = Head { client_id, seq: before, record: record.outer.prev };
                chains.name(&head, false);
            }
            record.outer.heads.iter().for_each(|head| chains.name(head, false));
            if let Says::Checkpoint(body) = &record.says {
                body.covers.iter().for_each(|head| chains.name(head, false));
                kept(body).for_each(|head| chains.name(&head, false));
            }
        }
        remembered.iter().for_each(|head| chains.name(head, true));
        chains
    }

    /// Notes that somebody knows of this record.
    fn name(&mut self, head: &Head, seen_here: bool) {
        if head.seq == 0 || self.hashes.contains(&head.record) {
            return;
        }
        let dropped = !self.covers.dropping(head).is_empty();
        if dropped || self.forgotten.contains(&head.record) {
            self.excused.insert((head.client_id, head.seq));
            return;
        }
        let key = (head.client_id, head.seq, head.record);
        let (_, seen) = self.missing.entry(key).or_insert_with(|| (head.clone(), false));
        *seen |= seen_here;
    }

    /// Records that are named and not there, with no reason for it.
    pub(super) fn missing(&self) -> Vec<Head> {
        self.missing.values().map(|(head, _)| head.clone()).collect()
    }

    /// All that is wrong, by client and number.
    pub(super) fn breaches(&self) -> Vec<Breach> {
        let mut clients: BTreeSet<ClientId> = self.present.keys().copied().collect();
        clients.extend(self.missing.keys().map(|(client_id, _, _)| *client_id));
        clients.into_iter().flat_map(|client_id| self.breaches_of(client_id)).collect()
    }

    fn breaches_of(&self, client_id: ClientId) -> Vec<Breach> {
        let none = BTreeMap::new();
        let chain = self.present.get(&client_id).unwrap_or(&none);
        let covered = self.covers.up_to(client_id);
        let host = self.hosts.get(&client_id).map(|host| (*host).to_owned());
        let mut breaches = Vec::new();
        // First number, last number and whether one was seen here.
        let mut gaps: Vec<(u64, u64, bool)> = Vec::new();
        let of_client =
            (client_id, 0, ObjectHash([0; 32]))..=(client_id, u64::MAX, ObjectHash([255; 32]));
        for ((_, seq, _), (_, seen_here)) in self.missing.range(of_client) {
            let (seq, seen_here, host) = (*seq, *seen_here, host.clone());
            match chain.contains_key(&seq) {
                true => breaches.push(Breach::Replaced { client_id, host, seq, seen_here }),
                false => gaps.push((seq, seq, seen_here)),
            }
        }
        // Between what is there, or excused, nothing may be missing.
        let mut before = covered;
        let excused = self.excused.range((client_id, 0)..=(client_id, u64::MAX));
        let known: BTreeSet<u64> =
            excused.map(|(_, seq)| seq).chain(chain.keys()).copied().collect();
        for seq in known.range(covered.saturating_add(1)..) {
            if seq - before > 1 {
                gaps.push((before + 1, seq - 1, false));
            }
            before = *seq;
        }
        if let Some(last) = gaps
            .iter()
            .map(|(_, last, _)| *last)
            .max()
            .filter(|last| last.saturating_sub(before) > 1)
        {
            gaps.push((before + 1, last, false));
        }
        gaps.sort_unstable();
        let mut merged: Vec<(u64, u64, bool)> = Vec::new();
        for (first, last, seen) in gaps {
            match merged.last_mut().filter(|gap| first <= gap.1.saturating_add(1)) {
                Some(gap) => *gap = (gap.0, gap.1.max(last), gap.2 | seen),
                None => merged.push((first, last, seen)),
            }
        }
        breaches.extend(merged.into_iter().map(|(first, last, seen_here)| Breach::Missing {
            client_id,
            host: host.clone(),
            first,
            last,
            seen_here,
            mirror: None,
        }));
        let forks = chain.range(covered.saturating_add(1)..).filter(|(_, hashes)| hashes.len() > 1);
        breaches.extend(forks.map(|(seq, _)| Breach::Fork {
            client_id,
            host: host.clone(),
            seq: *seq,
        }));
        breaches
    }
}

/// The short client id and the number in a record's name.
pub(super) fn place_in_name(name: &str) -> Option<(&str, u64)> {
    let (client, file) = name.strip_prefix("snapshots/")?.split_once('/')?;
    let (seq, _) = file.split_once('-')?;
    Some((client, u64::from_str_radix(seq, 16).ok()?))
}
