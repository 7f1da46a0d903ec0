//! Which files of the snapshot before are gone or have other content.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::judge::{Changes, Figures};
use crate::error::{Error, Result};
use crate::manager::BackupManager;
use crate::model::{Entry, FileKind};
use crate::repository::Snapshot;
use crate::runtime::Runtime;
use crate::tree::{DiffSide, Difference, DifferenceKind, Manifest, diff};

/// Files that are looked up among those that came, at most: what is beyond counts as gone.
const MOVED_MAX: usize = 2_000_000;

/// Compares snapshots page by page: what they share is not read.
pub(super) struct Comparer<'m> {
    manager: &'m BackupManager,
    runtime: &'m Runtime,
    is_ready: Cell<bool>,
}

impl<'m> Comparer<'m> {
    pub(super) fn new(manager: &'m BackupManager, runtime: &'m Runtime) -> Self {
        Self { manager, runtime, is_ready: Cell::new(false) }
    }

    /// Clock, randomness, and what ends it.
    pub(super) fn runtime(&self) -> &Runtime {
        self.runtime
    }

    /// What became of the files of `before`; from the counts of their records alone if a page of
    /// one cannot be read now.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub(super) fn changes(&self, before: &Snapshot, after: &Snapshot) -> Result<Changes> {
        if before.body.root == after.body.root {
            return Ok(Changes::default());
        }
        match self.compare(before, after) {
            Err(error) if !matches!(error, Error::Cancelled { .. }) => {
                tracing::warn!(
                    "snapshots {} and {} are compared by their counts alone: {}",
                    before.id.short(),
                    after.id.short(),
                    error.in_full()
                );
                let figures = (Figures::of(&before.body), Figures::of(&after.body));
                Ok(Changes::at_least(&figures.0, &figures.1))
            }
            done => done,
        }
    }

    fn compare(&self, before: &Snapshot, after: &Snapshot) -> Result<Changes> {
        if !self.is_ready.replace(true) {
            self.manager.load_index()?;
        }
        let side = |snapshot| DiffSide { manifest: Manifest::of(snapshot), folder: b"" };
        let mut found = Found::default();
        diff(self.manager.repository(), side(before), side(after), &mut |difference| {
            self.runtime.cancel.check()?;
            found.note(difference);
            Ok(())
        })?;
        Ok(found.changes())
    }
}

/// What differs.
#[derive(Default)]
struct Found {
    changed: u64,
    /// How often a content went from a path, less how often it came to one.
    balance: HashMap<u64, i64>,
    /// Gone, and too many to be looked up.
    beyond: u64,
}

impl Found {
    fn note(&mut self, difference: &Difference<'_>) {
        let is_file = |entry: &&Entry| entry.kind == FileKind::File && entry.link_to.is_none();
        let (old, new) = (difference.old.filter(is_file), difference.new.filter(is_file));
        match (difference.kind, old, new) {
            (DifferenceKind::Modified, Some(_), Some(_)) => self.changed += 1,
            (DifferenceKind::Metadata, ..) => {}
            (_, old, new) => {
                old.into_iter().for_each(|entry| self.move_content(entry, 1));
                new.into_iter().for_each(|entry| self.move_content(entry, -1));
            }
        }
    }

    fn move_content(&mut self, entry: &Entry, by: i64) {
        let mut hasher = DefaultHasher::new();
        (entry.size, &entry.content).hash(&mut hasher);
        let content = hasher.finish();
        if self.balance.len() < MOVED_MAX || self.balance.contains_key(&content) {
            *self.balance.entry(content).or_default() += by;
        } else if by > 0 {
            self.beyond += 1;
        }
    }

    fn changes(self) -> Changes {
        let gone = self.balance.into_values().filter_map(|left| u64::try_from(left).ok());
        Changes { gone: gone.sum::<u64>() + self.beyond, changed: self.changed }
    }
}
