//! Walking a manifest in order, and seeking in it.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::format::page::{Child, decode_inner, decode_leaf};
use crate::model::entry::{compare_paths, is_within};
use crate::model::{Entry, FileKind, PageId, escape_bytes};
use crate::repository::{Reader, Repository, Snapshot};

/// Levels that no manifest has: hostile pages must not make a reader descend for ever.
const DEPTH_MAX: u8 = 15;

/// The manifest of one snapshot. Cheap to clone; holds no pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest {
    root: PageId,
    depth: u8,
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

    /// All entries in order, starting with the first whose path is `from` or comes after it.
    pub fn entries_from<'r>(&self, repository: &'r Repository, from: &[u8]) -> Entries<'r> {
        Entries {
            reader: repository.reader(),
            todo: vec![Todo { page: self.root, level: self.depth, last: None }],
            leaf: Vec::new().into_iter(),
            from: from.to_vec(),
            within: None,
            last: None,
        }
    }

    /// All entries in order.
    pub fn entries<'r>(&self, repository: &'r Repository) -> Entries<'r> {
        self.entries_from(repository, b"")
    }

    /// The entry of `folder` and all that is in it, in order.
    pub fn entries_within<'r>(&self, repository: &'r Repository, folder: &[u8]) -> Entries<'r> {
        Entries { within: Some(folder.to_vec()), ..self.entries_from(repository, folder) }
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

    /// What is directly in `folder`, in order. Reads only the pages that it needs: what lies
    /// deeper is passed over.
    ///
    /// # Errors
    /// If a page cannot be read.
    pub fn list(&self, repository: &Repository, folder: &[u8]) -> Result<Vec<Entry>> {
        let mut found: Vec<Entry> = Vec::new();
        let mut entries = self.entries_within(repository, folder);
        while let Some(entry) = entries.next().transpose()? {
            if entry.path == folder {
                continue;
            }
            // A folder's subtree is skipped by asking for what comes after it.
            if entry.kind == FileKind::Dir {
                entries.skip_to_after(&entry.path);
            }
            found.push(entry);
        }
        Ok(found)
    }
}

struct Todo {
    page: PageId,
    level: u8,
    /// The last path in it, where known.
    last: Option<Vec<u8>>,
}

/// Entries of a manifest in order. After an error the walk goes on with the next page.
pub struct Entries<'r> {
    reader: Reader<'r>,
    /// Pages still to be read, the next one last.
    todo: Vec<Todo>,
    leaf: std::vec::IntoIter<Entry>,
    from: Vec<u8>,
    within: Option<Vec<u8>>,
    last: Option<Vec<u8>>,
}

impl Entries<'_> {
    /// Passes over everything in the folder `path`, which was returned just now.
    pub fn skip_to_after(&mut self, path: &[u8]) {
        // The least path that is after all of the folder's: its name followed by the byte after
        // the separator, which is 0 in this order.
        self.from = path.to_vec();
        self.from.push(1);
        while self.leaf.as_slice().first().is_some_and(|e| is_within(&e.path, path)) {
            self.leaf.next();
        }
    }

    fn read_next_page(&mut self) -> Option<Result<()>> {
        loop {
            let Todo { page, level, last } = self.todo.pop()?;
            // Pages that end before `from` are not read at all.
            if last.is_none_or(|last| compare_paths(&last, &self.from).is_ge()) {
                return Some(self.read_page(page, level));
            }
        }
    }

    fn read_page(&mut self, page: PageId, level: u8) -> Result<()> {
        let bytes = self.reader.page(page)?;
        let name = format!("page {page}");
        if level == 0 {
            let mut entries = decode_leaf(&bytes, &name)?;
            if let (Some(last), Some(first)) = (&self.last, entries.first())
                && compare_paths(last, &first.path).is_ge()
            {
                return Err(Error::damaged(name, "its paths come before those of the page before"));
            }
            self.last = entries.last().map(|entry| entry.path.clone());
            let skip =
                entries.partition_point(|entry| compare_paths(&entry.path, &self.from).is_lt());
            entries.drain(..skip);
            self.leaf = entries.into_iter();
            return Ok(());
        }
        let children: Vec<Child> = decode_inner(&bytes, level, &name)?;
        self.todo.extend(children.into_iter().rev().map(|child| Todo {
            page: child.page,
            level: level - 1,
            last: Some(child.last.0),
        }));
        Ok(())
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.leaf.next() {
                if let Some(folder) = &self.within
                    && !is_within(&entry.path, folder)
                {
                    self.todo.clear();
                    self.leaf = Vec::new().into_iter();
                    return None;
                }
                if compare_paths(&entry.path, &self.from).is_lt() {
                    continue;
                }
                return Some(Ok(entry));
            }
            match self.read_next_page()? {
                Ok(()) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
