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
/// new record, and its old id.
///
/// # Errors
/// [`Error::Overtaken`] if data of one of them was pruned: none is taken back then, or those before
/// it if that happened just now. The storage's, and [`Error::Local`].
pub fn undelete(
    repository: &Repository,
    forgotten: &[&Forgotten],
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
                // Its time is not what storage sees now. Whoever takes it back has looked.
                let (kind, about) = (LogKind::Clear, [&snapshot]);
                repository.append_about(kind, &about, "undeleted", author, known, runtime)?;
                Ok(snapshot)
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
