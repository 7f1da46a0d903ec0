//! What is known from a snapshot that was copied before: which content in the destination a file
//! has whose content in the source did not change.
//!
//! Three manifests are walked side by side, so memory does not grow with the number of files, and
//! what an earlier run copied is known without a note of it.

use std::cmp::Ordering;

use crate::error::Result;
use crate::model::entry::compare_paths;
use crate::model::{Content, Entry, FileKind};
use crate::repository::{Repository, Snapshot};
use crate::tree::{Entries, Manifest};

/// The manifests of a snapshot and of its copy, walked in step with a third one.
pub(super) struct Base<'r> {
    original: Walk<'r>,
    copy: Walk<'r>,
}

struct Walk<'r> {
    entries: Entries<'r>,
    next: Option<Entry>,
}

impl<'r> Walk<'r> {
    fn new(repository: &'r Repository, snapshot: &Snapshot) -> Self {
        let mut walk = Self { entries: Manifest::of(snapshot).entries(repository), next: None };
        walk.step();
        walk
    }

    /// Goes on; what cannot be read is passed over, it is read from the source then.
    fn step(&mut self) {
        self.next = self.entries.by_ref().find_map(Result::ok);
    }

    /// The entry at `path`, which comes after all that were asked for before.
    fn at(&mut self, path: &[u8]) -> Option<&Entry> {
        while let Some(next) = &self.next
            && compare_paths(&next.path, path) == Ordering::Less
        {
            self.step();
        }
        self.next.as_ref().filter(|next| next.path == path)
    }
}

impl<'r> Base<'r> {
    pub(super) fn new(
        from: &'r Repository,
        original: &Snapshot,
        to: &'r Repository,
        copy: &Snapshot,
    ) -> Self {
        Self { original: Walk::new(from, original), copy: Walk::new(to, copy) }
    }

    /// The content in the destination of `entry`, a file of the source, if it is known. Paths are
    /// asked for in order.
    pub(super) fn content(&mut self, entry: &Entry) -> Option<Content> {
        let before = self.original.at(&entry.path)?;
        let is_same = before.kind == FileKind::File
            && before.size == entry.size
            && before.link_to.is_none()
            && before.content == entry.content;
        if !is_same {
            return None;
        }
        let copy = self.copy.at(&entry.path)?;
        let is_file = copy.kind == FileKind::File && copy.link_to.is_none();
        (is_file && copy.size == entry.size).then(|| copy.content.clone())
    }
}
