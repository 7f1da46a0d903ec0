//! Copies snapshots into another repository, which has keys of its own and may cut files in its
//! own way.
//!
//! Every entry is read from the one and written to the other as a backup would: the copy of a
//! snapshot has the root that a backup of the same files into that repository would have. Where
//! both repositories have the same constant and parameters, ids are the same on both sides, and
//! chunks move without being cut anew.
//!
//! What need not be read: chunks that are there already (same ids), and files that are unchanged
//! since a snapshot of the series that was copied before, in this run or an earlier one (other
//! ids, [`base`]). A run that was broken off is repeated, and finds what it stored.

mod base;
mod content;
mod crew;
mod snapshot;

use std::collections::HashMap;

use crate::codec::Compression;
use crate::error::{Error, Result};
use crate::format::log::LogKind;
use crate::model::BackupId;
use crate::repository::{Added, Author, Repository, Snapshot, SnapshotList};
use crate::retention::Sights;
use crate::runtime::{Phase, Runtime};

/// How snapshots are copied.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// How hard to compress what is stored.
    pub compression: Compression,
    /// Threads that read and cut; `None` picks from the number of CPUs.
    pub readers: Option<std::num::NonZeroUsize>,
    /// Only find out what would be copied.
    pub dry_run: bool,
    /// Who wants it.
    pub author: Author,
}

/// What became of a snapshot.
#[derive(Debug)]
pub enum CopyOutcome {
    /// It is there, as this one.
    Copied(Box<Snapshot>),
    /// A dry run: it would be copied.
    WouldCopy,
    /// It was there before, as the snapshot of this id.
    AlreadyThere(BackupId),
    /// It was there before and is forgotten there, as the snapshot of this id.
    ForgottenThere(BackupId),
    /// Quarantined or suspect: what cannot be trusted is not handed on.
    InDoubt,
    /// It cannot be read as a whole.
    Damaged(Error),
}

/// A snapshot and what became of it.
#[derive(Debug)]
pub struct Copied {
    /// The snapshot.
    pub original: Snapshot,
    /// What became of it.
    pub outcome: CopyOutcome,
}

/// What a run did.
#[derive(Debug)]
pub struct CopyReport {
    /// About each snapshot, the oldest first.
    pub snapshots: Vec<Copied>,
    /// What was stored.
    pub added: Added,
    /// Chunks have the same ids in both repositories.
    pub same_ids: bool,
}

/// Which ids the copies get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// New ones; the originals are named.
    New,
    /// Those of the originals: the destination is nothing but an excerpt of the source, and new.
    Kept,
}

/// Copies `snapshots` of `from` into `to`, the oldest first. Both indexes are loaded.
///
/// There already is a snapshot that is a copy, has the same id (one of the two repositories is a
/// bundle of the other), or is what the snapshot itself was copied from.
///
/// Damage in one snapshot is told in its outcome, and the others are copied. Whatever else ends
/// the run keeps the snapshots that are copied, and what was stored of the next one.
///
/// # Errors
/// [`Error::Usage`] if both are one repository; storage's on either side, [`Error::Cancelled`],
/// [`Error::Overtaken`].
pub fn copy(
    from: &Repository,
    to: &Repository,
    snapshots: &[&Snapshot],
    options: &CopyOptions,
    runtime: &Runtime,
) -> Result<CopyReport> {
    copy_as(Ids::New, from, to, snapshots, options, runtime)
}

/// As [`copy`], with these ids.
///
/// # Errors
/// As [`copy`].
pub(super) fn copy_as(
    ids: Ids,
    from: &Repository,
    to: &Repository,
    snapshots: &[&Snapshot],
    options: &CopyOptions,
    runtime: &Runtime,
) -> Result<CopyReport> {
    if from.id() == to.id() {
        return Err(Error::usage_hint(
            "source and destination are the same repository",
            "give another location to `--to`",
        ));
    }
    let mut sorted = snapshots.to_vec();
    sorted.sort_by_key(|one| (one.body.start_ms, one.body.end_ms, one.id));
    let (originals, known) = (from.snapshots()?, to.snapshots()?);
    let mut copier = Copier {
        ids,
        from,
        to,
        options,
        runtime,
        same_ids: have_same_ids(from, to),
        copies: copies(&known),
        from_sights: Sights::of(&originals),
        originals,
        known,
        added: Added::default(),
    };
    copier.clear_left_over()?;
    let outcomes: Vec<Option<CopyOutcome>> =
        sorted.iter().map(|snapshot| copier.known_outcome(snapshot)).collect();
    let todo = sorted.iter().zip(&outcomes).filter(|(_, known)| known.is_none());
    let (entries, bytes) = todo.fold((0, 0), |(entries, bytes), (snapshot, _)| {
        (entries + snapshot.body.entries, bytes + snapshot.body.bytes)
    });
    runtime.progress.phase(Phase::BackingUp);
    runtime.progress.expect(entries, bytes);
    runtime.progress.expect_no_more();
    let mut report =
        CopyReport { snapshots: Vec::new(), added: Added::default(), same_ids: copier.same_ids };
    for (snapshot, known) in sorted.into_iter().zip(outcomes) {
        let outcome = match known {
            Some(known) => known,
            None => copier.copy_one(snapshot)?,
        };
        report.snapshots.push(Copied { original: snapshot.clone(), outcome });
    }
    report.added = copier.added;
    Ok(report)
}

/// Whether equal bytes have equal ids and are cut at the same places in both.
fn have_same_ids(a: &Repository, b: &Repository) -> bool {
    let probe = b"larder: do two repositories name things alike?";
    a.constants().chunk_id(probe) == b.constants().chunk_id(probe)
        && a.config().chunker == b.config().chunker
        && a.config().pages == b.config().pages
}

/// The snapshots by their ids, and those that are copies by what they are copies of. Not those in
/// doubt: a damaged copy is in quarantine, and does not stand for its original.
fn copies(list: &SnapshotList) -> HashMap<BackupId, Snapshot> {
    let good = || list.snapshots.iter().filter(|one| one.quarantine.is_none() && !one.suspect);
    let originals = good().filter_map(|one| Some((one.body.original?, one.clone())));
    originals.chain(good().map(|one| (one.id, one.clone()))).collect()
}

/// Whether two snapshots say the same of themselves, but for what changes with the repository.
fn is_same(a: &Snapshot, b: &Snapshot, same_ids: bool) -> bool {
    let (ours, theirs) = (&a.body, &b.body);
    a.host == b.host
        && a.user == b.user
        && ours.strategy == theirs.strategy
        && ours.roots == theirs.roots
        && ours.series == theirs.series
        && ours.tags == theirs.tags
        && ours.description == theirs.description
        && (ours.start_ms, ours.end_ms) == (theirs.start_ms, theirs.end_ms)
        && ours.racy_since == theirs.racy_since
        && (ours.entries, ours.files) == (theirs.entries, theirs.files)
        && (ours.folders, ours.bytes) == (theirs.folders, theirs.bytes)
        && (!same_ids || ours.root == theirs.root)
}

struct Copier<'a> {
    ids: Ids,
    from: &'a Repository,
    to: &'a Repository,
    options: &'a CopyOptions,
    runtime: &'a Runtime,
    same_ids: bool,
    /// What is in `to`, by ids of `from`.
    copies: HashMap<BackupId, Snapshot>,
    /// What is in `from`.
    originals: SnapshotList,
    /// When the storage of `from` first showed them.
    from_sights: Sights,
    /// What was in `to` at the start.
    known: SnapshotList,
    added: Added,
}

impl Copier<'_> {
    /// What can be said of a snapshot without copying it.
    fn known_outcome(&self, snapshot: &Snapshot) -> Option<CopyOutcome> {
        if let Some(copy) = self.copies.get(&snapshot.id) {
            return Some(CopyOutcome::AlreadyThere(copy.id));
        }
        // It may come from there, by way of others.
        let is_origin = |other: &Snapshot| {
            Some(other.id) == snapshot.body.original && is_same(other, snapshot, self.same_ids)
        };
        let origin = snapshot.body.original.and_then(|id| self.copies.get(&id));
        if let Some(origin) = origin.filter(|origin| is_origin(origin)) {
            return Some(CopyOutcome::AlreadyThere(origin.id));
        }
        let is_it = |other: &Snapshot| {
            other.body.original == Some(snapshot.id) || other.id == snapshot.id || is_origin(other)
        };
        // Not one that was undeleted, and has another record now.
        let is_there = |id: BackupId| self.known.snapshots.iter().any(|one| one.id == id);
        let mut forgotten = self.known.forgotten.iter().map(|gone| &gone.snapshot);
        if let Some(gone) = forgotten.find(|gone| is_it(gone) && !is_there(gone.id)) {
            return Some(CopyOutcome::ForgottenThere(gone.id));
        }
        if snapshot.suspect || snapshot.quarantine.is_some() {
            return Some(CopyOutcome::InDoubt);
        }
        self.options.dry_run.then_some(CopyOutcome::WouldCopy)
    }

    fn copy_one(&mut self, original: &Snapshot) -> Result<CopyOutcome> {
        match snapshot::copy_snapshot(self, original) {
            Ok((copy, added)) => {
                add(&mut self.added, &added);
                if self.is_in_time(original) {
                    self.clear(&[&copy])?;
                }
                self.copies.insert(original.id, copy.clone());
                Ok(CopyOutcome::Copied(Box::new(copy)))
            }
            Err(Failure::Source(error)) if error.is_damage() => Ok(CopyOutcome::Damaged(error)),
            Err(Failure::Source(error) | Failure::Destination(error)) => Err(error),
        }
    }

    /// Whether the time of a snapshot of `from` can be believed there. If it cannot, its copy must
    /// not look better than it does.
    fn is_in_time(&self, original: &Snapshot) -> bool {
        self.from_sights.candidate(original).retention_ms().is_some()
    }

    /// Says that the times of copies are right, although storage sees them only now: those of their
    /// originals are.
    fn clear(&self, copies: &[&Snapshot]) -> Result<()> {
        if copies.is_empty() {
            return Ok(());
        }
        let author = &self.options.author;
        self.to
            .append_about(LogKind::Clear, copies, "copied here", author, &self.known, self.runtime)
            .map(|_| ())
    }

    /// Does that for copies of a run that was broken off before it could, and of other machines.
    fn clear_left_over(&self) -> Result<()> {
        if self.options.dry_run {
            return Ok(());
        }
        let sights = Sights::of(&self.known);
        let is_left_over = |snapshot: &&Snapshot| {
            let in_doubt = snapshot.quarantine.is_some() || snapshot.suspect;
            let is_out_of_time = || sights.candidate(snapshot).retention_ms().is_none();
            !in_doubt && is_out_of_time() && self.is_true_copy(snapshot)
        };
        let left_over: Vec<&Snapshot> = self.known.snapshots.iter().filter(is_left_over).collect();
        self.clear(&left_over)
    }

    /// Whether the original says the same of itself as the copy, and can be believed.
    fn is_true_copy(&self, copy: &Snapshot) -> bool {
        self.originals.snapshots.iter().any(|original| {
            Some(original.id) == copy.body.original
                && original.host == copy.host
                && original.body.roots == copy.body.roots
                && original.body.start_ms == copy.body.start_ms
                && original.body.end_ms == copy.body.end_ms
                && original.quarantine.is_none()
                && !original.suspect
                && self.is_in_time(original)
        })
    }

    /// The newest snapshot of the series before `original` that is copied already, and its copy.
    fn copied_before(&self, original: &Snapshot) -> Option<(&Snapshot, &Snapshot)> {
        let of_series = self.originals.snapshots.iter().rev().filter(|other| {
            other.body.series == original.body.series && other.time_ms() <= original.time_ms()
        });
        of_series.filter_map(|other| Some((other, self.copies.get(&other.id)?))).next()
    }
}

/// On which side a copy failed: damage in the source is one snapshot's, all else ends the run.
enum Failure {
    Source(Error),
    Destination(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Destination(error)
    }
}

fn add(sum: &mut Added, more: &Added) {
    sum.chunks += more.chunks;
    sum.plain_bytes += more.plain_bytes;
    sum.stored_bytes += more.stored_bytes;
    sum.packs += more.packs;
}
