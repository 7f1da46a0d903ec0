//! Which sessions are open, as others see them (SPEC.md, section 13).

use std::collections::HashMap;

use super::Repository;
use crate::error::{Error, Result, StorageErrorKind};
use crate::format::header::ObjectType;
use crate::format::session::Session as SessionRecord;
use crate::model::SessionId;
use crate::storage::{ObjectMeta, in_parallel, list_sorted};

/// A session that announced itself, as storage shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenSession {
    /// Its id.
    pub id: SessionId,
    /// Its announcement and heartbeats, and its end: all its objects.
    pub names: Vec<String>,
    /// Storage's time of its first object that is there, milliseconds since 1970.
    pub announced_ms: Option<i64>,
    /// Storage's time of its newest object.
    pub newest_ms: Option<i64>,
    /// Whether it said that it is over.
    pub ended: bool,
    /// Storage's time of that.
    pub ended_ms: Option<i64>,
    /// What its first object says; `None` if that cannot be read.
    pub record: Option<SessionRecord>,
}

impl SeenSession {
    /// Who it is, for people: `snapshot on laptop (process 4711)`.
    pub fn describe(&self) -> String {
        match &self.record {
            Some(record) => format!(
                "{} on {} (process {})",
                record.purpose,
                crate::model::escape_bytes(record.host.as_bytes()),
                record.process_id
            ),
            None => format!("session {}", self.id),
        }
    }
}

impl Repository {
    /// All sessions that have objects in storage, ended ones too. Returns objects that could not be
    /// read beside them: their sessions count as open.
    ///
    /// # Errors
    /// The storage's.
    pub fn load_sessions(&self) -> Result<(Vec<SeenSession>, Vec<Error>)> {
        let mut sessions: HashMap<SessionId, (Vec<ObjectMeta>, bool)> = HashMap::new();
        let mut bad = Vec::new();
        for meta in list_sorted(&*self.storage, "sessions/")? {
            let file = meta.name.trim_start_matches("sessions/");
            let (id, is_end) = match (file.strip_suffix(".end"), file.split_once('-')) {
                (Some(id), _) => (id, true),
                (None, Some((id, _))) => (id, false),
                (None, None) => ("", false),
            };
            match SessionId::from_hex(id) {
                Some(id) => {
                    let (metas, ended) = sessions.entry(id).or_default();
                    *ended |= is_end;
                    metas.push(meta);
                }
                None => bad.push(Error::damaged(&meta.name, "foreign name")),
            }
        }
        let mut sessions: Vec<_> = sessions.into_iter().collect();
        sessions.sort_by_key(|(id, _)| *id);
        let seen = in_parallel(&*self.storage, &sessions, |(id, (metas, ended))| {
            self.load_session(*id, metas, *ended)
        });
        let mut open = Vec::new();
        for session in seen {
            let (session, error) = session?;
            open.push(session);
            bad.extend(error);
        }
        Ok((open, bad))
    }

    fn load_session(
        &self,
        id: SessionId,
        metas: &[ObjectMeta],
        ended: bool,
    ) -> Result<(SeenSession, Option<Error>)> {
        let first = metas.iter().find(|meta| !meta.name.ends_with(".end"));
        let mut error = None;
        let record = match first {
            // Ended sessions count for nothing, so nobody asks whose they were.
            Some(meta) if !ended => {
                match self.load_control::<SessionRecord>(&meta.name, ObjectType::Session) {
                    Ok(record) if record.session_id == id => Some(record),
                    Ok(_) => {
                        let what = "its content and its name differ";
                        error = Some(Error::damaged(&meta.name, what));
                        None
                    }
                    // It ended just now.
                    Err(Error::Storage(e)) if e.kind == StorageErrorKind::Missing => None,
                    Err(e) if e.is_damage() => {
                        error = Some(e);
                        None
                    }
                    Err(e) => return Err(e),
                }
            }
            _ => None,
        };
        let seen = SeenSession {
            id,
            names: metas.iter().map(|meta| meta.name.clone()).collect(),
            announced_ms: metas.iter().filter_map(|meta| meta.modified_ms).min(),
            newest_ms: metas.iter().filter_map(|meta| meta.modified_ms).max(),
            ended,
            ended_ms: metas
                .iter()
                .find(|meta| meta.name.ends_with(".end"))
                .and_then(|meta| meta.modified_ms),
            record,
        };
        Ok((seen, error))
    }
}
