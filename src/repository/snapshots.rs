//! Log records and the snapshots among them (SPEC.md, section 12).

use super::object::{
    OBJECT_LEN_MAX, check_hash, check_header, hash_in_name, make_object, open_record, seal_kind,
};
use super::state::LocalState;
use super::{Repository, Session};
use crate::crypto::Class;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::header::{HEADER_LEN, ObjectType};
use crate::format::log::{Head, LogKind, LogRecord, SnapshotBody, strategy_from_number};
use crate::format::record::{Bin, decode, encode};
use crate::model::{BackupId, BackupStrategy, ClientId, ObjectHash};
use crate::runtime::Runtime;
use crate::storage::{PutMode, in_parallel, list_sorted};

/// A finished snapshot.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its id.
    pub id: BackupId,
    /// Object hash of its record: the checksum that anyone can compute from the stored object.
    pub record: ObjectHash,
    /// Name of the stored record.
    pub object_name: String,
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

/// All snapshots of a repository, oldest first, and what could not be read.
#[derive(Debug, Default)]
pub struct SnapshotList {
    /// The snapshots.
    pub snapshots: Vec<Snapshot>,
    /// Records that could not be used: these snapshots may be lost.
    pub bad: Vec<Error>,
    /// The newest record of every client.
    heads: Vec<Head>,
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

impl Repository {
    /// Reads all log records.
    ///
    /// # Errors
    /// The storage's. Damaged records are in [`SnapshotList::bad`].
    pub fn snapshots(&self) -> Result<SnapshotList> {
        let names = list_sorted(&*self.storage, "snapshots/")?;
        let loaded = in_parallel(&*self.storage, &names, |meta| self.load_record(&meta.name));
        let mut list = SnapshotList::default();
        for record in loaded {
            match record {
                Ok(None) => {}
                Ok(Some((record, hash, name))) => self.sort_in(&mut list, record, hash, name),
                Err(error) if error.is_damage() => list.bad.push(error),
                Err(error) => return Err(error),
            }
        }
        list.snapshots.sort_by_key(|s| (s.body.start_ms, s.body.end_ms, s.id));
        Ok(list)
    }

    fn sort_in(&self, list: &mut SnapshotList, record: LogRecord, hash: ObjectHash, name: String) {
        let (client_id, seq) = (record.client_id, record.client_seq);
        match list.heads.iter_mut().find(|head| head.client_id == client_id) {
            Some(head) if head.seq < seq => *head = Head { client_id, seq, record: hash },
            Some(_) => {}
            None => list.heads.push(Head { client_id, seq, record: hash }),
        }
        if record.kind != LogKind::Snapshot as u8 {
            return;
        }
        match SnapshotBody::decode(&record.body.0, &name) {
            Ok(body) => list.snapshots.push(Snapshot {
                id: record.record_id,
                record: hash,
                object_name: name,
                client_id,
                client_seq: seq,
                host: record.host,
                user: record.user,
                tool: record.tool,
                body,
            }),
            Err(error) => list.bad.push(error),
        }
    }

    /// `None` if it was removed since it was listed.
    fn load_record(&self, name: &str) -> Result<Option<(LogRecord, ObjectHash, String)>> {
        let object = match self.storage.get(name, OBJECT_LEN_MAX) {
            Ok(object) => object,
            Err(error) if error.kind == StorageErrorKind::Missing => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let hash = hash_in_name(name).ok_or_else(|| Error::damaged(name, "foreign name"))?;
        check_hash(&object, hash, name)?;
        let header = check_header(&object, name, self.id, self.keys.suite)?;
        if header.object_type != ObjectType::LogRecord {
            return Err(Error::damaged(name, "it is something else than its name says"));
        }
        let (head, sealed) = object.split_at(HEADER_LEN);
        let key = self.keys.of_epoch(Class::Meta, header.epoch, name)?;
        let bytes = open_record(key, head, seal_kind(ObjectType::LogRecord), sealed, name)?;
        let record: LogRecord = decode(&bytes, name)?;
        if record_name(&record, hash) != name {
            return Err(Error::damaged(name, "its content and its name differ"));
        }
        Ok(Some((record, hash, name.to_string())))
    }

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
        let _lock = self.state.lock(self.id)?;
        let mut state = self
            .state
            .load(self.id)
            .unwrap_or_else(|| LocalState::fresh(self.id, self.keys.suite, &self.random));
        state.client_id = session.client_id();
        self.catch_up(&mut state, known)?;
        let heads = known.heads.iter().filter(|h| h.client_id != state.client_id).cloned();
        let record = LogRecord {
            kind: LogKind::Snapshot as u8,
            record_id: new.id,
            session_id: session.id(),
            client_id: state.client_id,
            client_seq: state.seq + 1,
            prev: state.last,
            heads: heads.collect(),
            time_ms: runtime.clock.now_ms(),
            host: new.host.clone(),
            user: new.user.clone(),
            tool: concat!("larder ", env!("CARGO_PKG_VERSION")).into(),
            body: Bin(encode(&new.body)),
        };
        let (hash, object) = make_object(
            ObjectType::LogRecord,
            self.keys.suite,
            self.id,
            self.keys.current(Class::Meta),
            &self.random,
            &encode(&record),
        );
        let object_name = record_name(&record, hash);
        self.storage.put(&object_name, &[&object], PutMode::Content)?;
        state.seq = record.client_seq;
        state.last = hash;
        state.heads = record.heads.clone();
        self.state.save(&state)?;
        Ok(Snapshot {
            id: new.id,
            record: hash,
            object_name,
            client_id: record.client_id,
            client_seq: record.client_seq,
            host: new.host,
            user: new.user,
            tool: record.tool,
            body: new.body,
        })
    }

    /// Follows this client's chain to its end: records may have been written since the state was
    /// saved, by another process or before a crash.
    fn catch_up(&self, state: &mut LocalState, known: &SnapshotList) -> Result<()> {
        if let Some(head) = known.heads.iter().find(|h| h.client_id == state.client_id)
            && head.seq > state.seq
        {
            (state.seq, state.last) = (head.seq, head.record);
        }
        let prefix = client_folder(state.client_id);
        for meta in list_sorted(&*self.storage, &prefix)? {
            let seq = meta.name.strip_prefix(&prefix).and_then(|file| file.split_once('-'));
            let seq = seq.and_then(|(seq, _)| u64::from_str_radix(seq, 16).ok());
            if let (Some(seq), Some(hash)) = (seq, hash_in_name(&meta.name))
                && seq > state.seq
            {
                (state.seq, state.last) = (seq, hash);
            }
        }
        Ok(())
    }
}

fn client_folder(client_id: ClientId) -> String {
    format!("snapshots/{}/", client_id.short())
}

pub(super) fn record_name(record: &LogRecord, hash: ObjectHash) -> String {
    format!("{}{:08x}-{hash}", client_folder(record.client_id), record.client_seq)
}
