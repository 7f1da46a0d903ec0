//! Takes back a forget. That makes chunks live again, so it is done as a backup is.

use std::collections::HashSet;

use super::cover::Cover;
use super::{catch_up, commit, end, stands, stands_before};
use crate::error::{Error, Result};
use crate::format::log::LogKind;
use crate::model::BackupId;
use crate::repository::{
    Author, Forgotten, NewSnapshot, Repository, Session, Snapshot, SnapshotList,
};
use crate::runtime::Runtime;

/// What became of forgotten snapshots.
#[derive(Clone, Debug, Default)]
pub struct Undeleted {
    /// There again as they were.
    pub restored: Vec<BackupId>,
    /// Being pruned already: there again under a new id. Pairs of old and new.
    pub renewed: Vec<(BackupId, Snapshot)>,
}

/// Takes back that these snapshots are forgotten. Works as long as their data is there.
///
/// A snapshot that a prune is about to remove for good gets a new record and a new id: its old
/// record may be gone at any moment.
///
/// # Errors
/// [`Error::Overtaken`] if data of one of them was pruned: none is taken back then. The storage's,
/// and [`Error::Local`].
pub fn undelete(
    repository: &Repository,
    forgotten: &[&Forgotten],
    author: &Author,
    known: &SnapshotList,
    runtime: &Runtime,
) -> Result<Undeleted> {
    let (session, _) = repository.begin_session("undelete", &author.host, runtime)?;
    let done = undelete_in(repository, &session, forgotten, author, known, runtime);
    end(session);
    done
}

fn undelete_in(
    repository: &Repository,
    session: &Session,
    forgotten: &[&Forgotten],
    author: &Author,
    known: &SnapshotList,
    runtime: &Runtime,
) -> Result<Undeleted> {
    let roots: Vec<_> =
        forgotten.iter().map(|f| (f.snapshot.body.root, f.snapshot.body.depth)).collect();
    for (forgotten, root) in forgotten.iter().zip(&roots) {
        Cover::new(repository, runtime).make_sure(&[*root]).map_err(|error| match error {
            Error::Overtaken { .. } => Error::Overtaken {
                what: format!(
                    "snapshot {} was pruned already: {error}",
                    forgotten.snapshot.id.short()
                ),
            },
            error => error,
        })?;
    }
    let Some(gc) = stands_before(repository, session, &roots, runtime)? else {
        return Err(super::overtaken("a prune took this session for dead"));
    };
    let (going, staying): (Vec<&Snapshot>, Vec<&Snapshot>) =
        forgotten.iter().map(|f| &f.snapshot).partition(|s| gc.takes_record(s.record));
    let mut undeleted = Undeleted::default();
    if !staying.is_empty() {
        session.take_commit();
        take_back(repository, session, &staying, author, known, runtime)?;
        undeleted.restored = staying.iter().map(|snapshot| snapshot.id).collect();
    }
    for snapshot in going {
        let mut body = snapshot.body.clone();
        body.original.get_or_insert(snapshot.id);
        let new = NewSnapshot {
            id: BackupId(runtime.random.bytes()),
            host: snapshot.host.clone(),
            user: snapshot.user.clone(),
            body,
        };
        let new = commit(repository, session, new, known, runtime)?;
        undeleted.renewed.push((snapshot.id, new));
    }
    Ok(undeleted)
}

fn take_back(
    repository: &Repository,
    session: &Session,
    snapshots: &[&Snapshot],
    author: &Author,
    known: &SnapshotList,
    runtime: &Runtime,
) -> Result<()> {
    let names: HashSet<&str> = snapshots.iter().map(|s| s.object_name.as_str()).collect();
    let records = names
        .into_iter()
        .map(|name| Ok((name, repository.storage().get(name, 1 << 30)?)))
        .collect::<Result<Vec<_>>>()?;
    let say = |kind, reason| {
        repository.append_about_in(session.id(), kind, snapshots, reason, author, known, runtime)
    };
    say(LogKind::Undelete, "")?;
    // Should a prune that saw neither session nor record have removed them meanwhile.
    for (name, bytes) in records {
        repository.storage().put(name, &[&bytes], crate::storage::PutMode::Content)?;
    }
    if stands(repository, session)?.is_some() {
        return Ok(());
    }
    let roots: Vec<_> = snapshots.iter().map(|s| (s.body.root, s.body.depth)).collect();
    match catch_up(repository, session, &roots, runtime) {
        Ok(own) => {
            end(own);
            Ok(())
        }
        Err(error) => {
            say(LogKind::Forget, "a prune took part of it before it was undeleted")?;
            Err(error)
        }
    }
}
