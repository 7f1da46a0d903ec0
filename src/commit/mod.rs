//! The last steps of every writer: makes sure that nothing it relies on is being removed, puts the
//! record, and looks whether somebody took it for dead meanwhile (SPEC.md, section 13, w4 to w6).
//!
//! A prune and a writer never wait for a lock. The writer announces itself before it looks at
//! marks, the prune marks before it looks at sessions, so one of them sees the other. A writer that
//! sleeps longer than anybody waits is fenced; when it wakes up it finds the fence, or its
//! announcement gone, and verifies all that it relies on before anybody trusts its record.
//!
//! Not here: the announcement and what deduplication may rely on (`repository`, w1 to w3), the
//! other side of the protocol (`prune`).

mod clear;
mod cover;
mod undelete;

pub use clear::{Cleared, clear_suspects};
pub use undelete::undelete;

use crate::error::{Error, Result};
use crate::format::log::LogKind;
use crate::model::PageId;
use crate::repository::{
    Author, GcState, NewSnapshot, Repository, Session, Snapshot, SnapshotList,
};
use crate::runtime::Runtime;
use cover::Cover;

/// How often a writer that was overtaken tries to catch up.
const ATTEMPTS: usize = 3;

/// The root of a manifest, and its depth.
type Root = (PageId, u8);

/// Commits a snapshot: the end of every run that makes one. Everything that it names is in packs
/// that the index names, or was found there in this session.
///
/// What is only left in condemned packs is copied to new ones before. If the session turns out to
/// be fenced, everything is verified in a new session, and the record is cleared.
///
/// A session commits once. A second commit in it begins a session of its own and verifies all.
///
/// # Errors
/// [`Error::Overtaken`] if a prune went on without this session and took something that it relies
/// on: nothing is committed then, and the run has to be made again. The storage's, and
/// [`Error::Local`].
pub fn commit(
    repository: &Repository,
    session: &Session,
    new: NewSnapshot,
    known: &SnapshotList,
    runtime: &Runtime,
) -> Result<Snapshot> {
    let root = (new.body.root, new.body.depth);
    if session.take_commit() && stands_before(repository, session, &[root], runtime)? {
        return put(repository, session, new, known, runtime);
    }
    // Overtaken before it committed, or a further commit of one session.
    for _ in 0..ATTEMPTS {
        let own = catch_up(repository, session, &[root], runtime)?;
        let committed = match stands_before(repository, &own, &[root], runtime) {
            Ok(true) => put(repository, &own, new.clone(), known, runtime).map(Some),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        end(own);
        if let Some(snapshot) = committed? {
            return Ok(snapshot);
        }
    }
    Err(overtaken("prunes overtake this run again and again"))
}

/// Commits a snapshot that was made from another one: it names what its session did not look up,
/// and packs of it may have been condemned before the session began. So everything that it names
/// is found, and copied where only condemned packs have it, before it is committed as any other.
///
/// # Errors
/// As [`commit`]; [`Error::Overtaken`] also if something that it names is not there at all.
pub fn commit_derived(
    repository: &Repository,
    session: &Session,
    new: NewSnapshot,
    known: &SnapshotList,
    runtime: &Runtime,
) -> Result<Snapshot> {
    Cover::new(repository, runtime).make_sure(&[(new.body.root, new.body.depth)])?;
    commit(repository, session, new, known, runtime)
}

/// Puts the record (w5) and looks whether it stands (w6).
fn put(
    repository: &Repository,
    session: &Session,
    new: NewSnapshot,
    known: &SnapshotList,
    runtime: &Runtime,
) -> Result<Snapshot> {
    // A put that fails may be done all the same, late.
    session.set_in_doubt(true);
    let snapshot = repository.commit_snapshot(new, session, known, runtime)?;
    let put = match stands(repository, session)? {
        Some(_) => Ok(snapshot),
        None => reassure(repository, session, snapshot, known, runtime),
    };
    if matches!(put, Ok(_) | Err(Error::Overtaken { .. })) {
        session.set_in_doubt(false);
    }
    put
}

/// The record is there, but its session was fenced: a prune may not have seen it in time. All that
/// it needs is verified, and what condemned packs hold is copied, in a new session. From the
/// moment that it was put, the record itself keeps alive what is there, so the new session only has
/// to find everything once.
fn reassure(
    repository: &Repository,
    session: &Session,
    snapshot: Snapshot,
    known: &SnapshotList,
    runtime: &Runtime,
) -> Result<Snapshot> {
    let root = (snapshot.body.root, snapshot.body.depth);
    let author = Author { host: snapshot.host.clone(), user: snapshot.user.clone() };
    let verified = catch_up(repository, session, &[root], runtime);
    let (kind, reason) = match &verified {
        Ok(_) => (LogKind::Clear, "found whole after its session was fenced"),
        Err(Error::Overtaken { .. }) => {
            (LogKind::Forget, "its session was fenced, and not all of it is left")
        }
        // It is not known yet, so it stays suspect.
        Err(_) => return verified.map(|_| snapshot),
    };
    let said = repository.append_about(kind, &[&snapshot], reason, &author, known, runtime);
    match verified {
        Ok(own) => {
            end(own);
            // Without the word of clearance it is suspect, and the next check clears it.
            if let Err(error) = said {
                tracing::warn!("snapshot {} could not be cleared: {error}", snapshot.id.short());
            }
            Ok(snapshot)
        }
        Err(error) => {
            if let Err(error) = said {
                tracing::warn!("snapshot {} is incomplete: {error}", snapshot.id.short());
            }
            Err(error)
        }
    }
}

/// Begins a session that goes on for another one, and makes sure that everything is there and in
/// no condemned pack.
fn catch_up(
    repository: &Repository,
    session: &Session,
    roots: &[Root],
    runtime: &Runtime,
) -> Result<Session> {
    let (purpose, host) = session.purpose();
    let (own, _) = repository.begin_session(purpose, host, runtime)?;
    match Cover::new(repository, runtime).make_sure(roots) {
        Ok(()) => {
            own.take_commit();
            Ok(own)
        }
        Err(error) => {
            end(own);
            Err(error)
        }
    }
}

/// Looks at marks, fences and drop lists before a commit (w4). What is now in condemned packs is
/// copied. Drop lists count as marks do: where storage's time was set back, a prune may have taken
/// this session for a later one, and be through with a mark already.
/// `false`: the session was taken for dead.
fn stands_before(
    repository: &Repository,
    session: &Session,
    roots: &[Root],
    runtime: &Runtime,
) -> Result<bool> {
    let Some(gc) = stands(repository, session)? else { return Ok(false) };
    gc.check_marks_for_writing()?;
    // After a long sleep its data may be elsewhere.
    repository.check_data_place()?;
    let mut condemned = gc.condemned();
    // After the marks: one that is gone has left its drop list.
    condemned.extend(repository.dropped_since()?);
    // What was condemned at the start was not deduplicated against.
    if condemned.iter().any(|pack| !session.condemned().contains(pack)) {
        repository.distrust(condemned);
        Cover::new(repository, runtime).make_sure(roots)?;
    }
    Ok(true)
}

/// Whether the session was not taken for dead (w6).
fn stands(repository: &Repository, session: &Session) -> Result<Option<GcState>> {
    let gc = repository.load_gc()?;
    let stands = !gc.is_fenced(session.id()) && session.is_announced()?;
    Ok(stands.then_some(gc))
}

fn end(session: Session) {
    if let Err(error) = session.end() {
        tracing::warn!("the session could not be closed: {error}");
    }
}

fn overtaken(what: &str) -> Error {
    Error::Overtaken { what: what.into() }
}
