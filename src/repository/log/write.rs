//! Appends records to this client's chain.

use std::collections::{HashMap, HashSet};

use super::chains::Covers;
use super::list::{Author, NewSnapshot, Snapshot, SnapshotList};
use super::read::Loaded;
use super::standing::{raise, sorted};
use super::{client_folder, name_of};
use crate::crypto::Class;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::header::ObjectType;
use crate::format::log::{AboutBody, CheckpointBody, FirstSeen, Head, LogKind, LogRecord};
use crate::format::record::{Bin, encode};
use crate::model::{BackupId, ClientId, ObjectHash, SessionId};
use crate::repository::object::{hash_in_name, make_object};
use crate::repository::state::LocalState;
use crate::repository::{Repository, Session};
use crate::runtime::Runtime;
use crate::storage::{PutMode, list_sorted};

/// The session of records that no session writes.
const NO_SESSION: SessionId = SessionId([0; 16]);

/// How often something is tried again because somebody else wrote meanwhile.
pub(super) const TRIES: usize = 4;

/// What is to be appended.
struct Entry<'a> {
    kind: LogKind,
    id: BackupId,
    session_id: SessionId,
    host: &'a str,
    user: &'a str,
    body: Vec<u8>,
}

/// What became of it.
struct Appended {
    head: Head,
    tool: String,
}

impl Repository {
    /// Writes a snapshot record: the commit of a backup. Everything that it names must be durable
    /// and indexed before.
    ///
    /// # Errors
    /// The storage's: nothing is committed then. [`Error::Local`] if the local state cannot be
    /// written.
    pub fn commit_snapshot(
        &self,
        new: NewSnapshot,
        session: &Session,
        known: &SnapshotList,
        runtime: &Runtime,
    ) -> Result<Snapshot> {
        let entry = || Entry {
            kind: LogKind::Snapshot,
            id: new.id,
            session_id: session.id(),
            host: &new.host,
            user: &new.user,
            body: encode(&new.body),
        };
        let Appended { mut head, tool } = self.append(entry(), known, runtime)?;
        for _ in 0..TRIES {
            match self.is_let_go(&head, known) {
                Ok(false) => break,
                Ok(true) => head = self.append(entry(), &self.snapshots()?, runtime)?.head,
                Err(error) => {
                    tracing::warn!("the commit was not looked at again: {error}");
                    break;
                }
            }
        }
        Ok(Snapshot {
            id: new.id,
            record: head.record,
            object_name: name_of(head.client_id, head.seq, head.record),
            session_id: session.id(),
            client_id: head.client_id,
            client_seq: head.seq,
            host: new.host,
            user: new.user,
            tool,
            first_seen_ms: None,
            pinned: false,
            quarantine: None,
            suspect: false,
            cleared_here: false,
            body: new.body,
        })
    }

    /// Says something about snapshots: forgets them, pins them, ... Nothing is changed or deleted;
    /// what holds of a snapshot follows from all records about it.
    ///
    /// An undelete makes chunks live again, so its caller must do what a backup does (SPEC.md,
    /// section 13).
    ///
    /// # Errors
    /// The storage's: nothing is said then. [`Error::Local`] if the local state cannot be written.
    /// [`Error::Internal`] for kinds that are not about snapshots.
    pub fn append_about(
        &self,
        kind: LogKind,
        snapshots: &[&Snapshot],
        reason: &str,
        author: &Author,
        known: &SnapshotList,
        runtime: &Runtime,
    ) -> Result<ObjectHash> {
        self.append_about_in(NO_SESSION, kind, snapshots, reason, author, known, runtime)
    }

    /// As [`Repository::append_about`], within a session.
    ///
    /// # Errors
    /// As [`Repository::append_about`].
    #[allow(clippy::too_many_arguments)]
    pub fn append_about_in(
        &self,
        session_id: SessionId,
        kind: LogKind,
        snapshots: &[&Snapshot],
        reason: &str,
        author: &Author,
        known: &SnapshotList,
        runtime: &Runtime,
    ) -> Result<ObjectHash> {
        if matches!(kind, LogKind::Snapshot | LogKind::Checkpoint | LogKind::Note) {
            return Err(Error::Internal { what: format!("{kind:?} is not about snapshots") });
        }
        let body = AboutBody {
            snapshots: snapshots.iter().map(|snapshot| snapshot.id).collect(),
            reason: reason.into(),
            records: Bin(snapshots.iter().flat_map(|snapshot| snapshot.record.0).collect()),
        };
        let id = BackupId(runtime.random.bytes());
        let Author { host, user } = author;
        let entry = Entry { kind, id, session_id, host, user, body: encode(&body) };
        Ok(self.append(entry, known, runtime)?.head.record)
    }

    /// Writes a checkpoint of all that is there: first sights by storage's clock, and up to where
    /// the chains are complete.
    ///
    /// # Errors
    /// [`Error::History`] if records are missing: a checkpoint would excuse them. The storage's,
    /// and [`Error::Local`].
    pub fn append_checkpoint(
        &self,
        known: &SnapshotList,
        author: &Author,
        runtime: &Runtime,
    ) -> Result<ObjectHash> {
        let mut newer;
        let mut list = known;
        for _ in 0..TRIES {
            list.check_history(false)?;
            let going = list.going(&HashSet::new());
            let written = self.append_cover(list, &list.heads, &going, author, runtime)?;
            if let Some(head) = written {
                return Ok(head.record);
            }
            newer = self.snapshots()?;
            list = &newer;
        }
        Err(Error::Busy { what: "other runs of this machine write all the time".into() })
    }

    /// Writes a checkpoint that covers `heads` and lets go of `going`. `None` if this
    /// machine has written other records since `known` was read: the checkpoint would count as
    /// knowing them, and does not.
    pub(super) fn append_cover(
        &self,
        known: &SnapshotList,
        heads: &[Head],
        going: &HashSet<ObjectHash>,
        author: &Author,
        runtime: &Runtime,
    ) -> Result<Option<Head>> {
        let sights = super::read::first_sights(&known.records);
        let now_ms = runtime.clock.now_ms();
        let places: HashMap<ClientId, u64> =
            heads.iter().zip(0..).map(|(head, place)| (head.client_id, place)).collect();
        let records = known.records.iter().map(|r| (r.head(), sights.get(&r.hash).copied()));
        let mut first_seen: Vec<FirstSeen> = records
            .chain(known.unreadable.iter().cloned())
            .filter(|(head, _)| !going.contains(&head.record))
            .filter_map(|(head, ms)| {
                let client = *places.get(&head.client_id)?;
                // Storage without a clock: the writer's is the best there is.
                let storage_ms = ms.unwrap_or(now_ms);
                Some(FirstSeen { record: head.record, storage_ms, client, seq: head.seq })
            })
            .collect();
        first_seen.sort_by_key(|seen| (seen.client, seen.seq, seen.record));
        let body = CheckpointBody { first_seen, covers: heads.to_vec() };
        let id = BackupId(runtime.random.bytes());
        let (kind, session_id) = (LogKind::Checkpoint, NO_SESSION);
        let Author { host, user } = author;
        let entry = Entry { kind, id, session_id, host, user, body: encode(&body) };
        let is_current = |state: &LocalState| {
            let own = known.heads.iter().chain(&known.own);
            let own = own.filter(|head| head.client_id == state.client_id);
            state.seq <= own.map(|head| head.seq).max().unwrap_or(0)
        };
        Ok(self.append_if(entry, is_current, known, runtime)?.map(|appended| appended.head))
    }

    fn append(
        &self,
        entry: Entry<'_>,
        known: &SnapshotList,
        runtime: &Runtime,
    ) -> Result<Appended> {
        let appended = self.append_if(entry, |_| true, known, runtime)?;
        appended.ok_or_else(|| Error::Internal { what: "a record was not appended".into() })
    }

    fn append_if(
        &self,
        entry: Entry<'_>,
        may_append: impl Fn(&LocalState) -> bool,
        known: &SnapshotList,
        runtime: &Runtime,
    ) -> Result<Option<Appended>> {
        self.check_writable()?;
        self.state.locked(self.id, || {
            let fresh = || LocalState::fresh(self.id, self.keys.suite, &self.random);
            let mut state = self.state.load(self.id).unwrap_or_else(fresh);
            self.catch_up(&mut state, known)?;
            if !may_append(&state) {
                return Ok(None);
            }
            let record = LogRecord {
                kind: entry.kind as u8,
                record_id: entry.id,
                session_id: entry.session_id,
                client_id: state.client_id,
                client_seq: state.seq + 1,
                prev: state.last,
                heads: heads_of_others(state.client_id, known),
                time_ms: runtime.clock.now_ms(),
                host: entry.host.into(),
                user: entry.user.into(),
                tool: concat!("larder ", env!("CARGO_PKG_VERSION")).into(),
                body: Bin(entry.body),
            };
            let (hash, object) = make_object(
                ObjectType::LogRecord,
                self.keys.suite,
                self.id,
                self.keys.current(Class::Meta),
                &self.random,
                &encode(&record),
            );
            let head = Head { client_id: state.client_id, seq: record.client_seq, record: hash };
            // Whatever happens from here on, this machine recognises the record as its own.
            state.pending = Some(head.clone());
            self.state.save(&state)?;
            let name = name_of(head.client_id, head.seq, hash);
            self.storage.put(&name, &[&object], PutMode::Content)?;
            (state.seq, state.last, state.pending) = (head.seq, hash, None);
            if let Err(error) = self.state.save(&state) {
                // It is committed, and found again through what was saved before.
                tracing::warn!("the state of the log could not be remembered: {error}");
            }
            Ok(Some(Appended { head, tool: record.tool }))
        })
    }

    /// Whether a checkpoint lets go of a record that its writer cannot have known: a number was
    /// used before, by a put whose answer got lost, or by a copy of this machine.
    fn is_let_go(&self, head: &Head, known: &SnapshotList) -> Result<bool> {
        let names: HashSet<&str> = known.records.iter().map(|r| r.name.as_str()).collect();
        let mut listed = list_sorted(&*self.storage, "snapshots/")?;
        listed.retain(|meta| !names.contains(meta.name.as_str()));
        let mut newer = Loaded::default();
        self.load_records(&*self.storage, &listed, &mut newer)?;
        let own = newer.records.iter().find(|record| record.hash == head.record);
        let covers = Covers::new(&newer.records);
        Ok(own.is_some_and(|record| !covers.dropping_record(record).is_empty()))
    }

    /// Follows this client's chain to its end: a record may have been written before a crash kept
    /// it from being remembered. If there are records that this machine never wrote, it was copied
    /// or set back, and takes a new id.
    ///
    /// No number is ever used twice: the record that had it may have been forgotten and pruned, and
    /// then the checkpoint that let go of it would let go of a new one with its number too. So a
    /// machine that does not know what became of its last record takes a new id as well.
    fn catch_up(&self, state: &mut LocalState, known: &SnapshotList) -> Result<()> {
        let prefix = client_folder(state.client_id);
        let mut copied = false;
        for meta in list_sorted(&*self.storage, &prefix)? {
            let place = super::chains::place_in_name(&meta.name);
            if let (Some((_, seq)), Some(hash)) = (place, hash_in_name(&meta.name))
                && seq >= state.seq
            {
                let is_last = seq == state.seq && hash == state.last;
                copied |= !is_last && !state.is_pending(seq, hash);
            }
        }
        // Records of this client that others know of and that are gone by now.
        let own = known.heads.iter().chain(&known.missing);
        let mut own = own.filter(|head| head.client_id == state.client_id);
        copied |= own.any(|h| h.seq > state.seq && !state.is_pending(h.seq, h.record));
        let mut lost = false;
        if let Some(pending) = state.pending.take()
            && pending.seq > state.seq
        {
            // Asked for by name: a listing may be behind.
            let name = name_of(pending.client_id, pending.seq, pending.record);
            match self.storage.head(&name) {
                Ok(_) => (state.seq, state.last) = (pending.seq, pending.record),
                // It never got there, or it is gone again, or it is still on its way.
                Err(error) if error.kind == StorageErrorKind::Missing => lost = true,
                Err(error) => return Err(error.into()),
            }
        }
        if copied {
            tracing::warn!("this machine was copied or set back: it goes on as a new client");
        }
        if copied || lost {
            state.become_new_client(&self.random);
        }
        Ok(())
    }
}

/// The newest records of others that are there, and those that should be: whoever hides one from
/// this machine is found out by what it writes. Not what other runs of this machine saw since:
/// this one did not act on it.
fn heads_of_others(client_id: ClientId, known: &SnapshotList) -> Vec<Head> {
    let mut heads: HashMap<ClientId, Head> = HashMap::new();
    let others = known.heads.iter().chain(&known.missing);
    for head in others.filter(|head| head.client_id != client_id) {
        raise(&mut heads, head);
    }
    sorted(heads)
}
