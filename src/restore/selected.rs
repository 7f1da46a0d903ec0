//! Walks the entries of a snapshot that are asked for, in order.

use super::selection::Selection;
use crate::error::Result;
use crate::model::entry::is_within;
use crate::model::{Entry, FileKind};
use crate::repository::Repository;
use crate::tree::{Entries, Manifest};

/// The entries that a selection takes, without the folders that only lead to them. After an error
/// the walk goes on with what comes next.
pub(super) struct Selected<'s, 'r> {
    selection: &'s Selection,
    entries: Entries<'r>,
    /// The folder at hand that is asked for by name, with all that is in it.
    included: Option<Vec<u8>>,
}

impl<'s, 'r> Selected<'s, 'r> {
    /// From the entry `from` down.
    pub(super) fn new(
        repository: &'r Repository,
        manifest: &Manifest,
        selection: &'s Selection,
        from: &[u8],
    ) -> Self {
        let subtree = selection.subtree();
        let included = selection.is_within_included(subtree).then(|| subtree.to_vec());
        Self { selection, entries: manifest.entries_within(repository, from), included }
    }

    /// Passes over all that is in the folder with this path, which was returned just now.
    pub(super) fn skip_to_after(&mut self, path: &[u8]) {
        self.entries.skip_to_after(path);
    }
}

impl Iterator for Selected<'_, '_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.entries.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            if self.selection.relative(&entry.path).is_none() {
                continue;
            }
            let is_dir = entry.kind == FileKind::Dir;
            if self.selection.excludes(&entry.path, is_dir) {
                self.entries.skip_to_after(&entry.path);
                continue;
            }
            let within = self.included.as_ref().is_some_and(|top| is_within(&entry.path, top));
            if self.selection.includes(&entry.path, is_dir, within) {
                if is_dir && !within {
                    self.included = Some(entry.path.clone());
                }
                return Some(Ok(entry));
            }
            if is_dir && !self.selection.may_lead_on(&entry.path) {
                self.entries.skip_to_after(&entry.path);
            }
        }
    }
}
