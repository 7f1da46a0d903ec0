//! Takes the suspicion from snapshots whose session a prune took for dead.

use super::cover::Cover;
use super::{end, stands_before};
use crate::error::{Error, Result};
use crate::format::log::LogKind;
use crate::model::BackupId;
use crate::repository::{Author, Repository, Snapshot, SnapshotList};
use crate::runtime::Runtime;

/// What became of suspect snapshots.
#[derive(Debug, Default)]
pub struct Cleared {
    /// Whole, and suspect no more.
    pub cleared: Vec<BackupId>,
    /// Something of these is gone, and why.
    pub incomplete: Vec<(BackupId, Error)>,
}

/// Looks whether all of these suspect snapshots is there, and says so in the log if it is. What is
/// only left in packs that a prune condemns is copied first: it may not have seen the snapshot.
///
/// # Errors
/// [`Error::Overtaken`] if a prune takes this session for dead, too; the storage's, and
/// [`Error::Local`]. Then all of them stay suspect.
pub fn clear_suspects(
    repository: &Repository,
    suspects: &[&Snapshot],
    author: &Author,
    known: &SnapshotList,
    runtime: &Runtime,
) -> Result<Cleared> {
    let (session, _) = repository.begin_session("clear", &author.host, runtime)?;
    let cover = Cover::new(repository, runtime);
    let mut done = Cleared::default();
    let mut whole = Vec::new();
    for snapshot in suspects {
        match cover.make_sure(&[(snapshot.body.root, snapshot.body.depth)]) {
            Ok(()) => whole.push(*snapshot),
            Err(error @ Error::Overtaken { .. }) => done.incomplete.push((snapshot.id, error)),
            Err(error) => {
                end(session);
                return Err(error);
            }
        }
    }
    let said = say_cleared(repository, &session, &whole, author, known, runtime);
    end(session);
    said?;
    done.cleared = whole.iter().map(|snapshot| snapshot.id).collect();
    Ok(done)
}

fn say_cleared(
    repository: &Repository,
    session: &crate::repository::Session,
    whole: &[&Snapshot],
    author: &Author,
    known: &SnapshotList,
    runtime: &Runtime,
) -> Result<()> {
    if whole.is_empty() {
        return Ok(());
    }
    let roots: Vec<_> = whole.iter().map(|s| (s.body.root, s.body.depth)).collect();
    if !stands_before(repository, session, &roots, runtime)? {
        return Err(super::overtaken("a prune took this session for dead"));
    }
    let (id, reason) = (session.id(), "a check found all of it");
    repository.append_about_in(id, LogKind::Clear, whole, reason, author, known, runtime)?;
    Ok(())
}
