//! A manifest by its root page: what it holds, where to find it.

use std::borrow::Cow;

use super::entries::{Children, Entries};
use crate::error::{Error, Result};
use crate::format::page::{decode_inner, decode_leaf};
use crate::model::{Entry, FileKind, PageId, escape_bytes};
use crate::repository::{Repository, Snapshot};

/// Levels that no manifest has: hostile pages must not make a reader descend for ever.
const DEPTH_MAX: u8 = 15;

/// The manifest of one snapshot. Cheap to copy; holds no pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest {
    root: PageId,
    depth: u8,
}

/// Sums over a manifest, as its root page tells them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All entries.
    pub entries: u64,
    /// Regular files, hard links counted once.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
}

impl Manifest {
    /// The manifest with this root page, `depth` levels above its leaves.
    pub fn new(root: PageId, depth: u8) -> Self {
        Self { root, depth: depth.min(DEPTH_MAX) }
    }

    /// The manifest of a snapshot.
    pub fn of(snapshot: &Snapshot) -> Self {
        Self::new(snapshot.body.root, snapshot.body.depth)
    }

    /// Its root page.
    pub fn root(&self) -> PageId {
        self.root
    }

    /// Levels above its leaves.
    pub fn depth(&self) -> u8 {
        self.depth
    }

    /// What the root page says that is in it. Reads no other page.
    ///
    /// # Errors
    /// If the root page cannot be read.
    pub fn counts(&self, repository: &Repository) -> Result<Counts> {
        let bytes = repository.reader().page(self.root)?;
        let name = format!("page {}", self.root);
        let mut counts = Counts::default();
        if self.depth == 0 {
            for entry in decode_leaf(&bytes, &name)? {
                let is_file = entry.kind == FileKind::File && entry.link_to.is_none();
                counts.entries += 1;
                counts.files += u64::from(is_file);
                counts.bytes += if is_file { entry.size } else { 0 };
            }
        } else {
            for child in decode_inner(&bytes, self.depth, &name)? {
                counts.entries = counts.entries.saturating_add(child.entries);
                counts.files = counts.files.saturating_add(child.files);
                counts.bytes = counts.bytes.saturating_add(child.bytes);
            }
        }
        Ok(counts)
    }

    /// All entries in order, starting with the first whose path is `from` or comes after it.
    pub fn entries_from<'r>(&self, repository: &'r Repository, from: &[u8]) -> Entries<'r> {
        Entries::new(repository, self.root, self.depth, from)
    }

    /// All entries in order.
    pub fn entries<'r>(&self, repository: &'r Repository) -> Entries<'r> {
        self.entries_from(repository, b"")
    }

    /// The entry of `folder` and all that is in it, in order.
    pub fn entries_within<'r>(&self, repository: &'r Repository, folder: &[u8]) -> Entries<'r> {
        self.entries_from(repository, folder).within(folder)
    }

    /// What is directly in `folder`, in order; nothing if there is no such folder. Reads only
    /// the pages that it needs: what lies deeper is passed over.
    pub fn children<'r>(&self, repository: &'r Repository, folder: &[u8]) -> Children<'r> {
        Children::new(self.entries_within(repository, folder), folder)
    }

    /// As [`Manifest::children`], all at once.
    ///
    /// # Errors
    /// If a page cannot be read.
    pub fn list(&self, repository: &Repository, folder: &[u8]) -> Result<Vec<Entry>> {
        self.children(repository, folder).collect()
    }

    /// The entry with exactly this path.
    ///
    /// # Errors
    /// If a page on the way cannot be read.
    pub fn find(&self, repository: &Repository, path: &[u8]) -> Result<Option<Entry>> {
        let mut entries = self.entries_from(repository, path);
        Ok(entries.next().transpose()?.filter(|entry| entry.path == path))
    }

    /// The entry that has the content of `entry`: itself, or the first of its hard-link group.
    ///
    /// # Errors
    /// [`Error::Damaged`] if there is no such entry, and what [`Manifest::find`] gives.
    pub fn content_entry<'e>(
        &self,
        repository: &Repository,
        entry: &'e Entry,
    ) -> Result<Cow<'e, Entry>> {
        let Some(target) = &entry.link_to else { return Ok(Cow::Borrowed(entry)) };
        let first = self.find(repository, target)?;
        let fits = |first: &Entry| first.kind == entry.kind && first.link_to.is_none();
        first.filter(fits).map(Cow::Owned).ok_or_else(|| {
            let (path, target) = (escape_bytes(&entry.path), escape_bytes(target));
            let name = format!("manifest {}", self.root.short());
            Error::damaged(name, format!("`/{path}` is a link to `/{target}`, which is not there"))
        })
    }
}

#[cfg(test)]
mod tests;
