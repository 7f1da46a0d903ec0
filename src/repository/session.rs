//! A writer's session: announces itself, looks at what is really there, and ends
//! (SPEC.md, section 13).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender};

use super::PackInfo;
use super::Repository;
use super::adopt::{Adopt, ListedPack};
use super::gc::GcState;
use super::keys::Keys;
use super::object::make_object;
use super::state::LocalState;
use crate::crypto::Class;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::header::ObjectType;
use crate::format::record::encode;
use crate::format::session::{Session as SessionRecord, SessionEnd};
use crate::model::{ClientId, ObjectHash, RepoId, SessionId};
use crate::runtime::{Clock, Random, Runtime};
use crate::storage::{ObjectMeta, PutMode, SharedStorage};

/// How often a session shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(600);

/// Listings may lag behind by half of this.
pub const LISTING_LAG_MS: i64 = 2 * 3_600_000;

fn end_name(session_id: SessionId) -> String {
    format!("sessions/{session_id}.end")
}

/// An announced session. End it with [`Session::end`]; one that is dropped stays open in the
/// repository until it expires.
pub struct Session {
    announcer: Arc<Announcer>,
    /// The packs that marks condemned when it began: nothing was deduplicated against them.
    condemned: HashSet<ObjectHash>,
    /// Whether it committed. A session commits once: then its fence has done its work when the
    /// record is seen.
    spent: AtomicBool,
    /// Whether a record was put of which it is not known that it stands.
    in_doubt: AtomicBool,
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

    fn put_end(&self) -> Result<()> {
        let session_id = self.record.session_id;
        let end = SessionEnd { session_id, now_ms: self.clock.now_ms(), outcome: 0 };
        self.put(&end_name(session_id), ObjectType::SessionEnd, &encode(&end))
    }

    /// Removes what is left of sessions that ended a while ago, by storage's clock.
    fn clean_ended(&self) -> Result<()> {
        let mut metas = Vec::new();
        self.storage.list("sessions/", &mut |meta| metas.push(meta))?;
        let own = end_name(self.record.session_id);
        let now_ms = metas.iter().find(|meta| meta.name == own).and_then(|meta| meta.modified_ms);
        let is_old = |meta: &&ObjectMeta| match (now_ms, meta.modified_ms) {
            (Some(now_ms), Some(ended_ms)) => now_ms.saturating_sub(ended_ms) >= LISTING_LAG_MS,
            _ => false,
        };
        for end in metas.iter().filter(is_old) {
            let Some(session) = end.name.strip_suffix(".end") else { continue };
            let rest = metas.iter().filter(|meta| {
                meta.name.strip_prefix(session).is_some_and(|number| number.starts_with('-'))
            });
            // Its end goes last: without it the session would count as open.
            for meta in rest.chain([end]) {
                match self.storage.delete(&meta.name) {
                    Ok(()) => {}
                    Err(error) if error.kind == StorageErrorKind::Denied => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
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

    /// Who it is, for a session that goes on from it.
    pub fn purpose(&self) -> (&str, &str) {
        (&self.announcer.record.purpose, &self.announcer.record.host)
    }

    /// The packs that were condemned when it began.
    pub fn condemned(&self) -> &HashSet<ObjectHash> {
        &self.condemned
    }

    /// Takes the one commit of this session. `false`: it was taken before.
    pub fn take_commit(&self) -> bool {
        !self.spent.swap(true, Ordering::SeqCst)
    }

    /// Says whether a record of it may be there, or come late, of which it is not known that it
    /// stands. Such a session stays open: a prune waits for it, and fences it in the end.
    pub fn set_in_doubt(&self, in_doubt: bool) {
        self.in_doubt.store(in_doubt, Ordering::SeqCst);
    }

    /// Whether its announcement is still there. One that is gone was taken for dead.
    ///
    /// # Errors
    /// The storage's.
    pub fn is_announced(&self) -> Result<bool> {
        match self.announcer.storage.head(&self.announcer.name(0)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind == StorageErrorKind::Missing => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Says that the session is over, whether it reached its goal or gave up.
    ///
    /// After a commit its objects stay for a while, with one that says so: whoever lists the
    /// records may not see the new one yet, and must not take the session for ended before. If it
    /// is not known what became of the commit, it is not over.
    ///
    /// # Errors
    /// The storage's. The work of the session is not in danger then: an open session only delays
    /// a prune.
    pub fn end(mut self) -> Result<()> {
        let last = self.stop_heartbeats();
        let announcer = &self.announcer;
        if self.in_doubt.load(Ordering::SeqCst) {
            return Ok(());
        }
        if self.spent.load(Ordering::SeqCst) {
            announcer.put_end()?;
            return announcer.clean_ended();
        }
        for number in (0..=last).rev() {
            match announcer.storage.delete(&announcer.name(number)) {
                Ok(()) => {}
                // Storage that refuses deletes keeps the announcement, and learns of the end.
                Err(error) if error.kind == StorageErrorKind::Denied => return announcer.put_end(),
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
    /// Which of these are not there at all.
    pub missing: Vec<PackInfo>,
    /// Which of these have another length, and what length.
    pub resized: Vec<(PackInfo, u64)>,
    /// Packs of an interrupted run that were taken into the index.
    pub adopted_packs: u64,
    /// Their bytes.
    pub adopted_bytes: u64,
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
        self.renew_keys()?;
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
        let mut session = Session {
            announcer,
            condemned: HashSet::new(),
            spent: AtomicBool::new(false),
            in_doubt: AtomicBool::new(false),
            stop: Some(stop),
            heartbeats: Some(heartbeats),
        };
        let gc = self.load_gc()?;
        let refused = gc.check_marks_for_writing().and_then(|()| self.check_data_place());
        if let Err(refused) = refused {
            if let Err(error) = session.end() {
                tracing::warn!("the session could not be closed: {error}");
            }
            return Err(refused);
        }
        session.condemned = gc.condemned();
        let findings = self.survey(gc, Adopt::Yes, runtime)?;
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

    /// Looks at what the start of a session would find, and writes nothing.
    ///
    /// # Errors
    /// The storage's.
    pub fn look_over(&self, runtime: &Runtime) -> Result<Findings> {
        self.survey(self.load_gc()?, Adopt::LookOnly, runtime)
    }

    /// Marks come first: a mark that is gone has left its drop list in the index.
    fn survey(&self, gc: GcState, adopt: Adopt, runtime: &Runtime) -> Result<Findings> {
        let mut ghosts = gc.condemned();
        let mut findings = Findings { bad: gc.bad, ..Findings::default() };
        // Listed with the marks: nothing was put since, and damage lists too come before the index.
        let damaged = self.packs_of_damage_lists(&gc.damage_lists, &mut findings.bad)?;
        self.index.forget_recovered();
        findings.bad.extend(self.index.load(&self.storage)?.bad);
        // They may still be listed, and must not be adopted: somebody is deleting them.
        ghosts.extend(self.index.dropped().iter());
        let listed = self.list_packs()?;
        // Both are sorted by name.
        let known = self.index.packs();
        for (_, info) in &known {
            match listed.get(&info.hash) {
                Some(listed) if listed == (info.len, info.pack_type) => continue,
                // A prune removes it just now.
                _ if ghosts.contains(&info.hash) => continue,
                Some((len, _)) => findings.resized.push((*info, len)),
                None => findings.missing.push(*info),
            }
            ghosts.insert(info.hash);
            findings.lost_packs += 1;
        }
        let is_known =
            |hash: &ObjectHash| known.binary_search_by(|(_, info)| info.hash.cmp(hash)).is_ok();
        let orphans: Vec<ListedPack> = listed
            .iter()
            .filter(|(hash, _)| !is_known(hash) && !ghosts.contains(hash))
            .map(|(hash, (len, pack_type))| (hash, len, pack_type))
            .collect();
        drop((known, listed));
        self.adopt(&orphans, adopt, &mut findings, runtime)?;
        // They are there, and named by the index so that readers try them; but nobody may rest on
        // them.
        ghosts.extend(damaged);
        self.index.set_ghosts(ghosts);
        Ok(findings)
    }
}
