//! Entries of a manifest by number and by path, through decoded pages that are kept.
//!
//! Entries are numbered from 0 in the order of the manifest. Inner pages say how many entries are
//! below each page, so an entry is found by number as fast as by path, and no table is needed to
//! give every file of a snapshot a number of its own that never changes.
//!
//! Unlike [`Entries`](super::Entries) such a walk borrows nothing, so it can be left and gone on
//! with later.

use std::ops::Deref;
use std::sync::Arc;

use super::Manifest;
use super::pages::{Page, PageCache, Part};
use crate::error::{Error, Result};
use crate::model::entry::{compare_paths, is_within};
use crate::model::{Entry, PageId};
use crate::repository::Repository;

/// Where pages come from.
#[derive(Clone, Copy)]
pub struct PageSource<'r> {
    /// The repository that has them.
    pub repository: &'r Repository,
    /// Those that were read before.
    pub cache: &'r PageCache,
}

/// An entry and its number. Holds the page that it is in: to be kept for a moment, not for good.
#[derive(Clone)]
pub struct NumberedEntry {
    number: u64,
    leaf: Arc<Page>,
    at: usize,
}

impl NumberedEntry {
    /// How many entries come before it in the manifest.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Deref for NumberedEntry {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        match &self.leaf.part {
            Part::Leaf(entries) => &entries[self.at],
            Part::Inner(_) => unreachable!("made of leaves only"),
        }
    }
}

/// A walk through a manifest from some entry on.
pub struct NumberedEntries {
    manifest: Manifest,
    is_started: bool,
    /// The inner pages that lead to what comes next, the root first.
    inner: Vec<Opened>,
    leaf: Option<Opened>,
    /// Entries before this path are passed over.
    from: Vec<u8>,
}

/// A page that the walk is in.
struct Opened {
    page: Arc<Page>,
    /// The element that comes next.
    next: usize,
    /// The number of its first entry.
    first: u64,
}

/// What the page above says of a page.
struct Said<'p> {
    page: PageId,
    level: u8,
    entries: u64,
    last: &'p [u8],
    first: u64,
}

impl Manifest {
    /// The entry with this number; `None` if there are not so many.
    ///
    /// # Errors
    /// If a page on the way cannot be read, or is not what the page above says.
    pub fn numbered(&self, source: PageSource<'_>, number: u64) -> Result<Option<NumberedEntry>> {
        NumberedEntries::from_number(source, *self, number)?.next(source).transpose()
    }

    /// The entry with exactly this path, and its number.
    ///
    /// # Errors
    /// As [`Manifest::numbered`].
    pub fn find_numbered(
        &self,
        source: PageSource<'_>,
        path: &[u8],
    ) -> Result<Option<NumberedEntry>> {
        let found = NumberedEntries::from_path(*self, path).next(source).transpose()?;
        Ok(found.filter(|entry| entry.path == path))
    }
}

impl NumberedEntries {
    /// A walk that begins with the first entry whose path is `path` or comes after it.
    pub fn from_path(manifest: Manifest, path: &[u8]) -> Self {
        let from = path.to_vec();
        Self { manifest, is_started: false, inner: Vec::new(), leaf: None, from }
    }

    /// A walk that begins with the entry of this number. It is at its end if there are not so
    /// many.
    ///
    /// # Errors
    /// If a page on the way cannot be read, or is not what the page above says.
    pub fn from_number(source: PageSource<'_>, manifest: Manifest, number: u64) -> Result<Self> {
        let mut walk = Self::from_path(manifest, b"");
        walk.open_root(source)?;
        while walk.leaf.is_none() {
            let Some(opened) = walk.inner.last_mut() else { break };
            let Part::Inner(inner) = &opened.page.part else { break };
            let within = number - opened.first;
            if within >= inner.entries {
                walk.inner.clear();
                break;
            }
            opened.next = inner.before.partition_point(|before| *before <= within) - 1;
            walk.open_next(source)?;
        }
        if let Some(leaf) = &mut walk.leaf {
            leaf.next = usize::try_from(number - leaf.first).unwrap_or(usize::MAX);
        }
        Ok(walk)
    }

    /// The next entry; `None` at the end. After damage it goes on with what comes after the page
    /// that is lost, after any other error it tries the same again.
    pub fn next(&mut self, source: PageSource<'_>) -> Option<Result<NumberedEntry>> {
        if !self.is_started
            && let Err(error) = self.open_root(source)
        {
            // Nothing comes after the root.
            self.is_started = error.is_damage();
            return Some(Err(error));
        }
        loop {
            if let Some(entry) = self.next_in_leaf() {
                return Some(Ok(entry));
            }
            let opened = self.inner.last_mut()?;
            let Part::Inner(inner) = &opened.page.part else { return None };
            // Pages that end before `from` are not read at all.
            let rest = inner.children.get(opened.next..).unwrap_or_default();
            let from = &self.from;
            opened.next += rest.partition_point(|c| compare_paths(&c.last.0, from).is_lt());
            if opened.next >= inner.children.len() {
                self.inner.pop();
                continue;
            }
            if let Err(error) = self.open_next(source) {
                if !error.is_damage()
                    && let Some(opened) = self.inner.last_mut()
                {
                    opened.next -= 1;
                }
                return Some(Err(error));
            }
        }
    }

    /// Passes over everything in the folder `path`, which was returned just now. What lies in
    /// pages of its own is not read.
    pub fn skip_to_after(&mut self, path: &[u8]) {
        if let Some(leaf) = &self.leaf
            && let Part::Leaf(entries) = &leaf.page.part
            && entries.get(leaf.next).is_some_and(|next| !is_within(&next.path, path))
        {
            return;
        }
        // The least path that is after all of the folder's: its name followed by the byte after
        // the separator, which is 0 in this order.
        self.from.clear();
        self.from.extend_from_slice(path);
        self.from.push(1);
    }

    fn next_in_leaf(&mut self) -> Option<NumberedEntry> {
        let leaf = self.leaf.as_mut()?;
        let Part::Leaf(entries) = &leaf.page.part else { return None };
        let rest = entries.get(leaf.next..).unwrap_or_default();
        let from = &self.from;
        if rest.first().is_some_and(|entry| compare_paths(&entry.path, from).is_lt()) {
            leaf.next += rest.partition_point(|entry| compare_paths(&entry.path, from).is_lt());
        }
        if leaf.next >= entries.len() {
            self.leaf = None;
            return None;
        }
        let at = leaf.next;
        leaf.next += 1;
        let number = leaf.first + at as u64;
        Some(NumberedEntry { number, leaf: Arc::clone(&leaf.page), at })
    }

    fn open_root(&mut self, source: PageSource<'_>) -> Result<()> {
        let (root, depth) = (self.manifest.root(), self.manifest.depth());
        let page = source.cache.get(source.repository, root, depth)?;
        self.is_started = true;
        self.push(Opened { page, next: 0, first: 0 });
        Ok(())
    }

    fn push(&mut self, opened: Opened) {
        match &opened.page.part {
            Part::Leaf(_) => self.leaf = Some(opened),
            Part::Inner(_) => self.inner.push(opened),
        }
    }

    /// Opens the next page below the innermost one.
    fn open_next(&mut self, source: PageSource<'_>) -> Result<()> {
        let Some(above) = self.inner.last_mut() else { return Ok(()) };
        let at = above.next;
        above.next += 1;
        let (above, number) = (Arc::clone(&above.page), above.first);
        let Part::Inner(inner) = &above.part else { return Ok(()) };
        let child = &inner.children[at];
        let said = Said {
            page: child.page,
            level: above.level() - 1,
            entries: child.entries,
            last: &child.last.0,
            first: number + inner.before[at],
        };
        let page = source.cache.get(source.repository, said.page, said.level)?;
        self.check(&page, &said)?;
        self.push(Opened { page, next: 0, first: said.first });
        Ok(())
    }

    /// A page is good by itself; whether it is the one that belongs here is another question.
    fn check(&self, page: &Page, said: &Said<'_>) -> Result<()> {
        let damaged = |what| Err(Error::damaged(format!("page {}", said.page), what));
        if page.last() != Some(said.last) {
            return damaged("it does not end where the page above says");
        }
        if page.entries() != said.entries {
            return damaged("it has not as many entries as the page above says");
        }
        if let Part::Leaf(entries) = &page.part
            && let (Some(before), Some(first)) = (self.last_before(), entries.first())
            && compare_paths(before, &first.path).is_ge()
        {
            return damaged("its paths come before those of the page before");
        }
        Ok(())
    }

    /// The last path before the page that is opened just now.
    fn last_before(&self) -> Option<&[u8]> {
        self.inner.iter().rev().find_map(|opened| match &opened.page.part {
            Part::Inner(inner) => {
                let before = opened.next.checked_sub(2)?;
                Some(&inner.children.get(before)?.last.0[..])
            }
            Part::Leaf(_) => None,
        })
    }
}

#[cfg(test)]
mod tests;
