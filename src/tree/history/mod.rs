//! All versions of one path over many snapshots.
//!
//! Only pages on the way to the path are read, and each once, however many snapshots share it. A
//! folder is compared by what is in it: then pages in which it differs are read too.

mod lookup;
mod versions;

use std::sync::Arc;

use super::{DiffSummary, Fields};
use crate::error::{Error, Result};
use crate::model::{BackupId, Entry, ObjectHash, escape_bytes};
use crate::repository::{Repository, Snapshot};
use crate::runtime::CancelToken;
use lookup::Lookup;
use versions::Versions;

/// The versions of one path, for each series that ever had it.
#[derive(Clone, Debug, Default)]
pub struct PathHistory {
    /// In the order of their first snapshots.
    pub series: Vec<SeriesHistory>,
    /// How many snapshots were looked at.
    pub snapshots: u64,
    /// How many pages were read to find the path. Comparing folders reads others beside them.
    pub pages_read: u64,
}

/// The versions of one path in the snapshots of one series.
#[derive(Clone, Debug)]
pub struct SeriesHistory {
    /// The series.
    pub series: ObjectHash,
    /// Its host.
    pub host: String,
    /// Its sources, as the snapshots have them.
    pub roots: Vec<Vec<u8>>,
    /// The versions, oldest first.
    pub versions: Vec<Version>,
    /// The snapshots that tell nothing of the path, oldest first. They end no version.
    pub gaps: Vec<Gap>,
}

/// A run of snapshots in which the path is the same.
#[derive(Clone, Debug)]
pub struct Version {
    /// The first of them.
    pub first: SeenIn,
    /// The last.
    pub last: SeenIn,
    /// How many there are.
    pub snapshots: u64,
    /// The entry, as it is in the first. `None`: the path was not there.
    pub entry: Option<Arc<Entry>>,
    /// What is different from the version before.
    pub change: VersionChange,
    /// Of a folder that changed: what changed in it.
    pub inside: Option<DiffSummary>,
}

/// A snapshot, by its id and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenIn {
    /// Which.
    pub id: BackupId,
    /// When its run started, milliseconds since 1970.
    pub time_ms: i64,
}

impl SeenIn {
    fn new(snapshot: &Snapshot) -> Self {
        Self { id: snapshot.id, time_ms: snapshot.time_ms() }
    }
}

/// What makes a version another one than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionChange {
    /// The first snapshot that can be read has it.
    First,
    /// Snapshots before did not have it.
    Appeared,
    /// Its content, link target or device number is another (of a folder: something in it came,
    /// went, or has another content); its metadata may be, too.
    Content(Fields),
    /// Only its metadata is another (of a folder: or that of something in it).
    Metadata(Fields),
    /// It is of another kind now.
    Kind,
    /// It is gone.
    Removed,
}

/// A snapshot that tells nothing of the path.
#[derive(Clone, Debug)]
pub struct Gap {
    /// Which.
    pub snapshot: SeenIn,
    /// Why.
    pub reason: GapReason,
}

/// Why a snapshot tells nothing.
#[derive(Clone, Debug)]
pub enum GapReason {
    /// A page is damaged or lost.
    Damaged(Arc<Error>),
    /// The path could not be read when it was backed up; this is what the system said.
    NotBackedUp(String),
}

/// The versions of `path` (as manifests have it) in `snapshots`, which are sorted, the oldest
/// first.
///
/// # Errors
/// [`Error::NotFound`] if no snapshot has it (and all could be read), [`Error::Usage`] for the
/// root, [`Error::Cancelled`], and storage that cannot be reached. Damaged pages are
/// [gaps](SeriesHistory::gaps).
pub fn history<'s>(
    repository: &Repository,
    snapshots: impl IntoIterator<Item = &'s Snapshot>,
    path: &[u8],
    cancel: &CancelToken,
) -> Result<PathHistory> {
    if path.is_empty() {
        return Err(Error::usage_hint(
            "the root of a snapshot has no versions",
            "name a file or folder; `larder snapshots` lists the snapshots",
        ));
    }
    let mut lookup = Lookup::new(repository, path);
    let mut all: Vec<Versions<'_>> = Vec::new();
    let mut looked_at = 0;
    for snapshot in snapshots {
        cancel.check()?;
        looked_at += 1;
        let series = snapshot.body.series;
        let at = match all.iter().position(|one| one.history.series == series) {
            Some(at) => at,
            None => {
                all.push(Versions::new(repository, path, snapshot));
                all.len() - 1
            }
        };
        let found = lookup.find(&super::Manifest::of(snapshot))?;
        all[at].add(snapshot, found)?;
    }
    let said = |one: &SeriesHistory| !one.versions.is_empty() || one.has_damage();
    let series: Vec<_> = all.into_iter().map(|one| one.history).filter(said).collect();
    if series.is_empty() {
        let name = format!("/{}", escape_bytes(path));
        return Err(Error::NotFound { what: "path", name });
    }
    Ok(PathHistory { series, snapshots: looked_at, pages_read: lookup.pages_read() })
}

impl SeriesHistory {
    /// Whether damage hides a part of it.
    pub fn has_damage(&self) -> bool {
        self.gaps.iter().any(|gap| matches!(gap.reason, GapReason::Damaged(_)))
    }
}

#[cfg(test)]
mod tests;
