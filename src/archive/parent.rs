//! Chooses what a run is compared with, and steps through it in order.

use crate::error::{Error, Result};
use crate::format::log::Moment;
use crate::model::entry::compare_paths;
use crate::model::{BackupId, BackupStrategy, Entry, ObjectHash, Time};
use crate::repository::{Repository, Snapshot, SnapshotList};
use crate::tree::{Entries, Manifest};

/// What a run is compared with.
pub(super) struct Parent {
    pub(super) snapshot: Snapshot,
    /// The full snapshot below a differential run.
    pub(super) base_full: Option<BackupId>,
}

/// The newest readable snapshot that fits the strategy, and the kind the run becomes.
pub(super) fn choose(
    repository: &Repository,
    list: &SnapshotList,
    series: ObjectHash,
    strategy: BackupStrategy,
    warn: &mut dyn FnMut(String),
) -> Result<(BackupStrategy, Option<Parent>)> {
    if strategy == BackupStrategy::Full {
        return Ok((strategy, None));
    }
    // What somebody put aside, or a prune may have taken from, says nothing about what is stored.
    let fits = |snapshot: &&Snapshot| {
        snapshot.body.series == series
            && snapshot.quarantine.is_none()
            && !snapshot.suspect
            && (strategy == BackupStrategy::Incremental
                || snapshot.strategy() == BackupStrategy::Full)
    };
    for snapshot in list.snapshots.iter().rev().filter(fits) {
        match repository.reader().page(snapshot.body.root) {
            Ok(_) => {
                let base_full = (strategy == BackupStrategy::Differential).then_some(snapshot.id);
                return Ok((strategy, Some(Parent { snapshot: snapshot.clone(), base_full })));
            }
            Err(error) if error.is_damage() => {
                warn(format!(
                    "snapshot {} cannot serve as parent, trying an older one: {error}",
                    snapshot.id.short()
                ));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((BackupStrategy::Full, None))
}

/// The parent's entries, asked for in path order.
pub(super) struct ParentEntries<'r> {
    entries: Option<Entries<'r>>,
    next: Option<Entry>,
    racy_since: Time,
    errors: u64,
}

impl<'r> ParentEntries<'r> {
    pub(super) fn new(repository: &'r Repository, parent: Option<&Parent>) -> Self {
        let racy = parent.map(|p| &p.snapshot.body.racy_since);
        let racy = racy.cloned().unwrap_or(Moment { secs: 0, nanos: 0 });
        let mut entries = Self {
            entries: parent.map(|p| Manifest::of(&p.snapshot).entries(repository)),
            next: None,
            racy_since: Time { secs: racy.secs, nanos: racy.nanos },
            errors: 0,
        };
        entries.advance();
        entries
    }

    fn advance(&mut self) {
        self.next = loop {
            match self.entries.as_mut().and_then(Iterator::next) {
                None => break None,
                Some(Ok(entry)) => break Some(entry),
                // What cannot be read of the parent is read anew from the source.
                Some(Err(error)) => {
                    tracing::debug!("a page of the parent cannot be read: {error}");
                    self.errors += 1;
                    if !error.is_damage() {
                        break None;
                    }
                }
            }
        };
    }

    /// The parent's entry with this path, if it has one. Paths must be asked for in order.
    pub(super) fn take(&mut self, path: &[u8]) -> Option<Entry> {
        while let Some(next) = &self.next {
            match compare_paths(&next.path, path) {
                std::cmp::Ordering::Less => self.advance(),
                std::cmp::Ordering::Equal => {
                    let entry = self.next.take();
                    self.advance();
                    return entry;
                }
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }

    /// Whether a time is so close to the parent's run that the entry may have changed again
    /// without showing it.
    pub(super) fn is_racy(&self, time: Time) -> bool {
        time >= self.racy_since
    }

    /// Pages of the parent that could not be read.
    pub(super) fn errors(&self) -> u64 {
        self.errors
    }
}

/// The clock at the start of the run less two seconds: SPEC.md, "racy since".
pub(super) fn racy_since(now_ns: i128) -> Result<Moment> {
    let since = now_ns - 2_000_000_000;
    let secs = i64::try_from(since.div_euclid(1_000_000_000))
        .map_err(|_| Error::usage("the clock of this machine is impossibly wrong"))?;
    Ok(Moment { secs, nanos: since.rem_euclid(1_000_000_000) as u32 })
}
