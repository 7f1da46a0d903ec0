//! A writer's session: announces itself, looks at what is really there, and ends
//! (SPEC.md, section 13).

use std::collections::HashSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender};

use super::Repository;
use super::deltas::DeltaStore;
use super::keys::Keys;
use super::object::{
    OBJECT_LEN_MAX, check_hash, check_header, hash_in_name, make_object, open_record, seal_kind,
};
use super::state::LocalState;
use crate::crypto::Class;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::gc::Mark;
use crate::format::header::{HEADER_LEN, ObjectType};
use crate::format::index::DeltaPack;
use crate::format::pack::PackType;
use crate::format::record::{decode, encode, names32};
use crate::format::session::{Session as SessionRecord, SessionEnd};
use crate::model::{ClientId, ObjectHash, RepoId, SessionId};
use crate::runtime::{Clock, Random, Runtime};
use crate::storage::{PutMode, SharedStorage};

/// How often a session shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(600);

/// An announced session. End it with [`Session::end`]; one that is dropped stays open in the
/// repository until it expires.
pub struct Session {
    announcer: Arc<Announcer>,
    stop: Option<Sender<()>>,
    heartbeats: Option<JoinHandle<u32>>,
}

struct Announcer {
    storage: SharedStorage,
    keys: Arc<Keys>,
    repo_id: RepoId,
    random: Random,
    clock: Arc<dyn Clock>,
    record: SessionRecord,
}

impl Announcer {
    fn announce(&self, number: u32) -> Result<()> {
        let now_ms = self.clock.now_ms();
        let record = SessionRecord { number, now_ms, ..self.record.clone() };
        self.put(&self.name(number), ObjectType::Session, &encode(&record))
    }

    fn put(&self, name: &str, object_type: ObjectType, record: &[u8]) -> Result<()> {
        let key = self.keys.current(Class::Control);
        let (_, object) =
            make_object(object_type, self.keys.suite, self.repo_id, key, &self.random, record);
        Ok(self.storage.put(name, &[&object], PutMode::Content)?)
    }

    fn name(&self, number: u32) -> String {
        format!("sessions/{}-{number:08x}", self.record.session_id)
    }
}

impl Session {
    /// Its id.
    pub fn id(&self) -> SessionId {
        self.announcer.record.session_id
    }

    /// Who writes.
    pub fn client_id(&self) -> ClientId {
        self.announcer.record.client_id
    }

    /// Says that the session is over, whether it reached its goal or gave up.
    ///
    /// # Errors
    /// The storage's. The work of the session is not in danger then: an open session only delays
    /// a prune.
    pub fn end(mut self) -> Result<()> {
        let last = self.stop_heartbeats();
        let announcer = &self.announcer;
        for number in (0..=last).rev() {
            match announcer.storage.delete(&announcer.name(number)) {
                Ok(()) => {}
                // Storage that refuses deletes keeps the announcement, and learns of the end.
                Err(error) if error.kind == StorageErrorKind::Denied => {
                    let session_id = announcer.record.session_id;
                    let now_ms = announcer.clock.now_ms();
                    let end = SessionEnd { session_id, now_ms, outcome: 0 };
                    let name = format!("sessions/{session_id}.end");
                    return announcer.put(&name, ObjectType::SessionEnd, &encode(&end));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Returns the number of the last heartbeat.
    fn stop_heartbeats(&mut self) -> u32 {
        self.stop.take();
        self.heartbeats.take().and_then(|thread| thread.join().ok()).unwrap_or(0)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop_heartbeats();
    }
}

/// What the start of a session found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Index objects, packs or marks that could not be used.
    pub bad: Vec<Error>,
    /// Packs that the index names and storage lost: what is in them is stored again.
    pub lost_packs: u64,
    /// Packs of an interrupted run that were taken into the index.
    pub adopted_packs: u64,
}

impl Repository {
    /// Announces a writer, then looks at marks, index and packs, in this order: a prune that runs
    /// meanwhile either sees the session or is seen by it.
    ///
    /// # Errors
    /// The storage's, and [`Error::Local`].
    pub fn begin_session(
        &self,
        purpose: &str,
        host: &str,
        runtime: &Runtime,
    ) -> Result<(Session, Findings)> {
        self.check_writable()?;
        let client_id = self.client_id()?;
        let now_ms = runtime.clock.now_ms();
        let record = SessionRecord {
            session_id: SessionId(runtime.random.bytes()),
            client_id,
            number: 0,
            host: host.into(),
            process_id: std::process::id(),
            started_ms: now_ms,
            now_ms,
            purpose: purpose.into(),
        };
        let announcer = Arc::new(Announcer {
            storage: Arc::clone(&self.storage),
            keys: Arc::clone(&self.keys),
            repo_id: self.id,
            random: self.random.clone(),
            clock: Arc::clone(&runtime.clock),
            record,
        });
        announcer.announce(0)?;
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let beating = Arc::clone(&announcer);
        let heartbeats = std::thread::spawn(move || {
            let mut number = 0;
            while stopped.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
                // A heartbeat that fails is repeated under the same number next time.
                match beating.announce(number + 1) {
                    Ok(()) => number += 1,
                    Err(error) => tracing::warn!("no heartbeat: {error}"),
                }
            }
            number
        });
        let session = Session { announcer, stop: Some(stop), heartbeats: Some(heartbeats) };
        let findings = self.survey()?;
        Ok((session, findings))
    }

    /// This client's id, made at its first use.
    fn client_id(&self) -> Result<ClientId> {
        self.state.locked(self.id, || {
            let state = match self.state.load(self.id) {
                Some(state) => state,
                None => {
                    let state = LocalState::fresh(self.id, self.keys.suite, &self.random);
                    self.state.save(&state)?;
                    state
                }
            };
            Ok(state.client_id)
        })
    }

    fn survey(&self) -> Result<Findings> {
        let mut findings = Findings::default();
        let mut ghosts = self.condemned_packs(&mut findings.bad)?;
        let damaged = self.damaged_packs(&mut findings.bad)?;
        self.index.forget_recovered();
        findings.bad.extend(self.index.load(&*self.storage)?.bad);
        // They may still be listed, and must not be adopted: somebody is deleting them.
        ghosts.extend(self.index.dropped());
        let listed = self.list_packs()?;
        // Both are sorted by name.
        let known = self.index.packs();
        for (_, info) in &known {
            if listed.get(&info.hash).is_none_or(|(len, _)| len != info.len) {
                ghosts.insert(info.hash);
                findings.lost_packs += 1;
            }
        }
        let is_known =
            |hash: &ObjectHash| known.binary_search_by(|(_, info)| info.hash.cmp(hash)).is_ok();
        let orphans: Vec<_> =
            listed.iter().filter(|(hash, _)| !is_known(hash) && !ghosts.contains(hash)).collect();
        drop((known, listed));
        self.adopt(&orphans, &mut findings)?;
        // They are there, and named by the index so that readers try them; but nobody may rest on
        // them.
        ghosts.extend(damaged);
        self.index.set_ghosts(ghosts);
        Ok(findings)
    }

    /// Packs that a prune is about to remove.
    fn condemned_packs(&self, bad: &mut Vec<Error>) -> Result<HashSet<ObjectHash>> {
        let mut condemned = HashSet::new();
        let mut names = Vec::new();
        self.storage.list("gc/", &mut |meta| names.push(meta.name))?;
        for name in names.iter().filter(|name| name.starts_with("gc/mark-")) {
            match self.load_control(name, ObjectType::Mark) {
                Ok(record) => {
                    let mark: Mark = decode(&record, name)?;
                    condemned.extend(names32(&mark.packs.0, ObjectHash).unwrap_or_default());
                }
                Err(Error::Storage(e)) if e.kind == StorageErrorKind::Missing => {}
                Err(error) if error.is_damage() => bad.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(condemned)
    }

    fn load_control(&self, name: &str, object_type: ObjectType) -> Result<Vec<u8>> {
        let object = self.storage.get(name, OBJECT_LEN_MAX)?;
        if let Some(hash) = hash_in_name(name) {
            check_hash(&object, hash, name)?;
        }
        let header = check_header(&object, name, self.id, self.keys.suite)?;
        if header.object_type != object_type {
            return Err(Error::damaged(name, "it is something else than its name says"));
        }
        let (head, sealed) = object.split_at(HEADER_LEN);
        let key = self.keys.of_epoch(Class::Control, header.epoch, name)?;
        open_record(key, head, seal_kind(object_type), sealed, name)
    }

    /// Takes packs of an interrupted run into the index: reads their directories and names them
    /// in a delta. A pack whose end does not open is left alone.
    fn adopt(
        &self,
        orphans: &[(ObjectHash, (u64, PackType))],
        findings: &mut Findings,
    ) -> Result<()> {
        let mut packs = Vec::new();
        for (hash, (len, pack_type)) in orphans {
            match self.pack_directory(*hash, *len, *pack_type) {
                Ok(directory) => {
                    packs.push(DeltaPack { pack: *hash, len: *len, directory });
                }
                Err(error) if error.is_damage() => findings.bad.push(error),
                // Gone since it was listed, or unreadable: nothing depends on it.
                Err(Error::Storage(error)) => findings.bad.push(error.into()),
                Err(error) => return Err(error),
            }
        }
        findings.adopted_packs = packs.len() as u64;
        let store = DeltaStore {
            storage: &*self.storage,
            keys: &self.keys,
            repo_id: self.id,
            random: &self.random,
            index: &self.index,
        };
        store.put(packs).map(|_| ())
    }
}
