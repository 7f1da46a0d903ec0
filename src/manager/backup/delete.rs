//! Deleting backups, and taking that back.
//!
//! A backup is deleted by a record that says so. Its data stays until a prune removes it, and until
//! then the deletion can be taken back.

use super::BackupManager;
use super::known::{no_backup, no_snapshot};
use super::record::of_snapshot;
use crate::commit::undelete;
use crate::error::{Error, Result};
use crate::format::log::LogKind;
use crate::fsmeta::{host_name, user_name};
use crate::model::{Backup, BackupId, BackupStatus, escape_bytes};
use crate::repository::{Author, Snapshot, SnapshotList};
use crate::retention::{Candidate, Sights};
use crate::tree::shown_roots;

/// Snapshots that one record names at most.
const NAMED_MAX: usize = 10_000;

/// How backups are deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Whether the last good backup of a series may go.
    pub allow_empty: bool,
    /// Go on although something speaks for a repository that was rolled back, or for hidden
    /// records.
    pub accept_history: bool,
    /// Why, for whoever reads the log.
    pub reason: String,
    /// Who deletes; `None` is this user on this machine.
    pub author: Option<Author>,
}

impl Default for DeleteOptions {
    fn default() -> Self {
        Self { allow_empty: false, accept_history: false, reason: "by name".into(), author: None }
    }
}

impl BackupManager {
    /// Deletes a backup, even the last of its series. Its space comes back with the next prune;
    /// until then [`BackupManager::undelete_backup`] takes it back. A failed run is forgotten.
    ///
    /// # Errors
    /// As [`BackupManager::delete_backups`].
    pub fn delete_backup(&self, id: BackupId) -> Result<()> {
        let options = DeleteOptions { allow_empty: true, ..DeleteOptions::default() };
        self.delete_backups(&[id], &options)
    }

    /// Deletes several backups with one record, all or none. Failed runs are forgotten.
    ///
    /// # Errors
    /// [`Error::NotFound`] if one is not there; [`Error::Busy`] if one is running;
    /// [`Error::Usage`] if one is pinned, or is the last good one of its series;
    /// [`Error::History`] if the log is in doubt; the storage's.
    pub fn delete_backups(&self, ids: &[BackupId], options: &DeleteOptions) -> Result<()> {
        let known = self.known()?;
        let mut snapshots: Vec<&Snapshot> = Vec::new();
        let mut failed = Vec::new();
        for id in ids {
            if let Some(snapshot) = known.list.snapshots.iter().find(|one| one.id == *id) {
                if snapshots.iter().all(|one| one.id != *id) {
                    snapshots.push(snapshot);
                }
                continue;
            }
            match known.runs.iter().find(|run| run.backup_id == *id) {
                None => return Err(no_backup(*id)),
                Some(run) if run.status == BackupStatus::Failed => failed.push(*id),
                Some(_) => {
                    return Err(Error::Busy { what: format!("backup {} is running", id.short()) });
                }
            }
        }
        if !snapshots.is_empty() {
            check_history(&known.list, options.accept_history)?;
            check_deletable(&snapshots, &known.list, options.allow_empty)?;
            self.delete_snapshots(&snapshots, &known.list, options)?;
        }
        failed.into_iter().try_for_each(|id| self.run_history().remove(id))
    }

    /// Deletes snapshots of `known` without asking whether they may be: for whoever has done that
    /// with [`check_deletable`].
    ///
    /// # Errors
    /// The storage's; of more than 10,000, some may be deleted then.
    pub fn delete_snapshots(
        &self,
        snapshots: &[&Snapshot],
        known: &SnapshotList,
        options: &DeleteOptions,
    ) -> Result<()> {
        let author = options.author.clone().unwrap_or_else(own_author);
        let (repository, runtime) = (self.repository(), &self.options().runtime);
        for part in snapshots.chunks(NAMED_MAX) {
            let reason = &options.reason;
            repository.append_about(LogKind::Forget, part, reason, &author, known, runtime)?;
        }
        Ok(())
    }

    /// Takes back that a backup was deleted. Works until a prune has removed its data.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no deleted backup of this id; [`Error::Overtaken`] if its
    /// data was pruned; the storage's.
    pub fn undelete_backup(&self, id: BackupId) -> Result<Backup> {
        let list = self.repository().snapshots()?;
        if let Some(there) = list.snapshots.iter().find(|snapshot| snapshot.id == id) {
            return Ok(of_snapshot(there, self.encryption()));
        }
        let chosen: Vec<_> =
            list.undeletable().into_iter().filter(|gone| gone.snapshot.id == id).collect();
        let sights = Sights::of(&list);
        let is_in_time = |one: &Snapshot| sights.candidate(one).retention_ms().is_some();
        if chosen.is_empty() {
            return Err(no_snapshot(id));
        }
        let (author, runtime) = (own_author(), &self.options().runtime);
        let back = undelete(self.repository(), &chosen, &is_in_time, &author, &list, runtime)?;
        let back = back.first().ok_or_else(|| no_snapshot(id))?;
        Ok(of_snapshot(back, self.encryption()))
    }
}

fn own_author() -> Author {
    Author { host: host_name(), user: user_name() }
}

/// Fails if the log is in doubt: a record that is hidden or unreadable may be the pin of a snapshot
/// that is about to go.
///
/// # Errors
/// [`Error::History`], unless the user has looked at it and accepts it.
pub fn check_history(list: &SnapshotList, accept: bool) -> Result<()> {
    list.check_history(accept)?;
    match list.bad.first() {
        Some(first) if !accept => {
            let (what, others) = (first.to_string(), list.bad.len() - 1);
            Err(Error::History { what, others, mirror: None })
        }
        _ => Ok(()),
    }
}

/// Fails if one of `snapshots` is pinned or, unless `allow_empty`, if no good one of its series
/// would be left.
///
/// # Errors
/// [`Error::Usage`], naming the first.
pub fn check_deletable(
    snapshots: &[&Snapshot],
    known: &SnapshotList,
    allow_empty: bool,
) -> Result<()> {
    if let Some(pinned) = snapshots.iter().find(|snapshot| snapshot.pinned) {
        let id = pinned.id.short();
        return Err(Error::usage_hint(
            format!("snapshot {id} is pinned; nothing was forgotten"),
            format!("`larder unpin {id}` lets go of it"),
        ));
    }
    if allow_empty { Ok(()) } else { check_series_left(snapshots, known) }
}

/// Refuses to forget the last good snapshots of a series.
fn check_series_left(named: &[&Snapshot], list: &SnapshotList) -> Result<()> {
    let is_named = |other: &Snapshot| named.iter().any(|snapshot| snapshot.record == other.record);
    let candidates = Candidate::all_of(list);
    for snapshot in named {
        let is_of_series = |other: &Snapshot| {
            other.host == snapshot.host && other.body.roots == snapshot.body.roots
        };
        let is_left = list.snapshots.iter().zip(&candidates).any(|(other, candidate)| {
            is_of_series(other) && !is_named(other) && candidate.counts()
        });
        if !is_left {
            let roots = shown_roots(snapshot).join(", ");
            return Err(Error::usage_hint(
                format!(
                    "no good snapshot of {roots} of host {} would be left; nothing was forgotten",
                    escape_bytes(snapshot.host.as_bytes())
                ),
                "give `--allow-empty` if that is what you want",
            ));
        }
    }
    Ok(())
}
