//! Takes back a forget. That makes chunks live again, so it is done as a backup is.
//!
//! The old record is not brought back to life: a prune that found it forgotten may remove it at any
//! moment, however late. The snapshot gets a new record under its id, which no tombstone names.

use super::cover::Cover;
use super::{commit, end};
use crate::error::{Error, Result};
use crate::format::log::LogKind;
use crate::repository::{Author, Forgotten, NewSnapshot, Repository, Snapshot, SnapshotList};
use crate::runtime::Runtime;

/// Takes back that these snapshots are forgotten. Works as long as their data is there. Each has a
/// new record, and its old id; pins and quarantine hold on. `is_in_time` tells whether the time of
/// the old record can be believed: only then that of the new one can.
///
/// # Errors
/// [`Error::Overtaken`] if data of one of them was pruned: none is taken back then, or those before
/// it if that happened just now. The storage's, and [`Error::Local`].
pub fn undelete(
    repository: &Repository,
    forgotten: &[&Forgotten],
    is_in_time: &dyn Fn(&Snapshot) -> bool,
    author: &Author,
    known: &SnapshotList,
    runtime: &Runtime,
) -> Result<Vec<Snapshot>> {
    let (session, _) = repository.begin_session("undelete", &author.host, runtime)?;
    let covered = cover(repository, forgotten, runtime);
    let done = covered.and_then(|()| {
        forgotten
            .iter()
            .map(|forgotten| {
                let Snapshot { id, host, user, body, .. } = forgotten.snapshot.clone();
                let new = NewSnapshot { id, host, user, body };
                let snapshot = commit(repository, &session, new, known, runtime)?;
                let say = |kind, reason: &str| {
                    repository.append_about(kind, &[&snapshot], reason, author, known, runtime)
                };
                let old = &forgotten.snapshot;
                // What was said about the old record says nothing about the new one.
                if let Some(why) = &old.quarantine {
                    say(LogKind::Quarantine, why)?;
                } else if is_in_time(old) {
                    // Storage sees the new record only now.
                    say(LogKind::Clear, "undeleted")?;
                }
                if old.pinned {
                    say(LogKind::Pin, "pinned before it was forgotten")?;
                }
                let (quarantine, pinned) = (old.quarantine.clone(), old.pinned);
                Ok(Snapshot { quarantine, pinned, ..snapshot })
            })
            .collect()
    });
    end(session);
    done
}

fn cover(repository: &Repository, forgotten: &[&Forgotten], runtime: &Runtime) -> Result<()> {
    for forgotten in forgotten {
        let snapshot = &forgotten.snapshot;
        let root = (snapshot.body.root, snapshot.body.depth);
        Cover::new(repository, runtime).make_sure(&[root]).map_err(|error| match error {
            Error::Overtaken { .. } => {
                let id = snapshot.id.short();
                Error::Overtaken { what: format!("snapshot {id} was pruned already: {error}") }
            }
            error => error,
        })?;
    }
    Ok(())
}
