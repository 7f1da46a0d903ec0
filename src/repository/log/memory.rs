//! Compares the log with what this machine remembers of it.

use std::collections::{BTreeSet, HashMap};

use super::chains::Breach;
use super::list::SnapshotList;
use super::standing::{raise, sorted};
use crate::format::log::Head;
use crate::model::{ClientId, ObjectHash};
use crate::repository::Repository;
use crate::repository::state::LocalState;

/// What this machine remembered when the log was read.
pub(super) struct Memory {
    state: Option<LocalState>,
    heads: Vec<Head>,
}

impl Memory {
    /// Records that were there when this machine last looked, its own newest among them.
    pub(super) fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// This machine's newest record.
    pub(super) fn own_head(&self) -> Option<Head> {
        self.state.as_ref().and_then(LocalState::own_head)
    }

    /// This machine, as others see it.
    pub(super) fn client_id(&self) -> Option<ClientId> {
        self.state.as_ref().map(|state| state.client_id)
    }
}

impl LocalState {
    /// This client's newest record.
    fn own_head(&self) -> Option<Head> {
        let (client_id, seq, record) = (self.client_id, self.seq, self.last);
        (seq > 0).then_some(Head { client_id, seq, record })
    }

    /// Takes the log as it is now: newer heads, and a record of this client that was on its way
    /// when a run died. Returns whether somebody else writes with this client's id.
    fn meet(&mut self, own: &BTreeSet<(u64, ObjectHash)>, heads: &[Head]) -> bool {
        if let Some(pending) = &self.pending
            && own.contains(&(pending.seq, pending.record))
            && pending.seq > self.seq
        {
            (self.seq, self.last) = (pending.seq, pending.record);
            self.pending = None;
        }
        let numbers: BTreeSet<u64> = own.iter().map(|(seq, _)| *seq).collect();
        let copied =
            numbers.len() < own.len() || numbers.last().is_some_and(|last| *last > self.seq);
        let mut known: HashMap<ClientId, Head> = HashMap::new();
        let own_head = self.own_head().filter(|_| copied);
        let others = self.heads.iter().chain(heads).chain(&own_head);
        for head in others.filter(|head| copied || head.client_id != self.client_id) {
            raise(&mut known, head);
        }
        self.heads = sorted(known);
        copied
    }
}

impl Repository {
    /// What this machine remembers. Read after the log was listed, so that it knows all that this
    /// machine had written by then.
    pub(super) fn recall(&self) -> Memory {
        let state = self.state.load(self.id);
        let mut heads = Vec::new();
        if let Some(state) = &state {
            heads.extend(state.heads.iter().cloned());
            heads.extend(state.own_head());
        }
        Memory { state, heads }
    }

    /// Records that are missing are no crime where this is a mirror that was not brought up to date.
    fn say_if_mirror(&self, list: &mut SnapshotList) {
        let seen = list.rollback.iter().map(|breach| match breach {
            Breach::Missing { first, last, seen_here: true, .. } => {
                last.saturating_sub(*first).saturating_add(1)
            }
            _ => 0,
        });
        let lacks: u64 = seen.sum();
        let places = self.places();
        let mirror = places.mirrors().find(|place| self.is_at(place));
        if let Some(mirror) = mirror.filter(|_| lacks > 0) {
            list.notices.push(format!(
                "this is the mirror `{}`, and it lacks {lacks} records that this machine has seen \
                 in the repository: `larder mirror sync` brings it up to date, if the repository \
                 is still there",
                mirror.name
            ));
        }
    }

    /// Remembers the newest records. A client that finds records of its own that it did not write
    /// was copied with its machine, or its machine set back: it takes a new id.
    pub(super) fn remember(&self, memory: &Memory, list: &mut SnapshotList) {
        self.say_if_mirror(list);
        let Some(old) = &memory.state else { return };
        let records = list.records.iter().filter(|record| record.client_id() == old.client_id);
        // A checkpoint may be all that is left of the newest.
        let heads = list.heads.iter().filter(|head| head.client_id == old.client_id);
        let heads = heads.map(|head| (head.seq, head.record));
        let own: BTreeSet<_> =
            records.map(|record| (record.seq(), record.hash)).chain(heads).collect();
        let mut new = old.clone();
        let copied = new.meet(&own, &list.heads);
        if copied {
            list.notices.push(format!(
                "records of this machine's client {} were written elsewhere: the machine was \
                 copied or set back; it goes on as a new client",
                old.client_id.short()
            ));
        }
        if !copied && new == *old {
            return;
        }
        // Whoever holds the lock is writing a record, and remembers it then.
        let saved = self.state.try_update(self.id, |state| {
            if state.client_id == old.client_id && state.meet(&own, &list.heads) {
                state.become_new_client(&self.random);
            }
        });
        if let Err(error) = saved {
            tracing::warn!("the state of the log could not be remembered: {error}");
        }
    }
}
