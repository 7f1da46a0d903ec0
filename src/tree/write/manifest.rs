//! Writes a manifest: sorted entries to pages, pages to pages of pages (SPEC.md, section 11).

use super::sink::Sink;
use crate::error::{Error, Result};
use crate::format::config::PageRecord;
use crate::format::page::{Child, child_weight, encode_inner, encode_leaf, entry_weight};
use crate::format::record::Bin;
use crate::model::entry::compare_paths;
use crate::model::{Entry, FileKind, PageId};
use crate::repository::{PackWriter, Repository};

/// What a finished manifest is named by, and its counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestRoot {
    /// The root page.
    pub root: PageId,
    /// Its level.
    pub depth: u8,
    /// All entries.
    pub entries: u64,
    /// Regular files, hard links counted once.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

/// Takes entries in order and writes their pages.
pub struct ManifestWriter<'r> {
    sink: Sink<'r>,
    pages: PageRecord,
    leaf: Vec<Entry>,
    leaf_weight: usize,
    /// Pages that are waiting for a page above them, by level, lowest first.
    levels: Vec<Level>,
    last: Option<Vec<u8>>,
    counts: ManifestRoot,
}

#[derive(Default)]
struct Level {
    children: Vec<Child>,
    weight: usize,
    /// Whether a page of this level was written.
    written: bool,
}

impl<'r> ManifestWriter<'r> {
    /// Starts a manifest.
    pub fn new(repository: &'r Repository, writer: &'r PackWriter) -> Self {
        Self::with_sink(Sink::storing(repository, writer))
    }

    /// Starts a manifest whose pages go into `sink`.
    pub(crate) fn with_sink(sink: Sink<'r>) -> Self {
        let repository = sink.repository();
        Self {
            sink,
            pages: repository.config().pages.clone(),
            leaf: Vec::new(),
            leaf_weight: 0,
            levels: Vec::new(),
            last: None,
            counts: ManifestRoot {
                root: PageId([0; 32]),
                depth: 0,
                entries: 0,
                files: 0,
                folders: 0,
                bytes: 0,
            },
        }
    }

    /// Adds the next entry.
    ///
    /// # Errors
    /// [`Error::Internal`] if its path does not come after the one before; storage's errors.
    pub fn push(&mut self, entry: Entry) -> Result<()> {
        if self.last.as_ref().is_some_and(|last| compare_paths(last, &entry.path).is_ge()) {
            let what = format!("entry {} is out of order", crate::model::escape_bytes(&entry.path));
            return Err(Error::Internal { what });
        }
        self.counts.entries += 1;
        match entry.kind {
            FileKind::File if entry.link_to.is_none() => {
                self.counts.files += 1;
                self.counts.bytes += entry.size;
            }
            FileKind::Dir => self.counts.folders += 1,
            _ => {}
        }
        let cut = self.cuts_after(0, &entry.path);
        self.leaf_weight += entry_weight(&entry);
        let mut last = self.last.take().unwrap_or_default();
        last.clear();
        last.extend_from_slice(&entry.path);
        self.last = Some(last);
        self.leaf.push(entry);
        let count = self.leaf.len();
        let full = count >= self.pages.entries_max as usize
            || self.leaf_weight >= self.pages.weight_max as usize;
        if full || (cut && count >= self.pages.entries_min as usize) {
            self.end_leaf()?;
        }
        Ok(())
    }

    fn cuts_after(&self, level: u8, path: &[u8]) -> bool {
        let hash = self.sink.repository().constants().page_cut(level, path);
        hash & self.pages.cut_mask == 0
    }

    fn end_leaf(&mut self) -> Result<()> {
        let bytes = encode_leaf(&self.leaf);
        let page = self.sink.put_page(&bytes)?;
        let files = self.leaf.iter().filter(|e| e.kind == FileKind::File && e.link_to.is_none());
        let child = Child {
            last: Bin(self.leaf.last().map(|e| e.path.clone()).unwrap_or_default()),
            page,
            entries: self.leaf.len() as u64,
            files: files.clone().count() as u64,
            bytes: files.map(|e| e.size).sum(),
        };
        self.leaf.clear();
        self.leaf_weight = 0;
        self.add_child(1, child)
    }

    fn add_child(&mut self, level: u8, child: Child) -> Result<()> {
        let number = usize::from(level) - 1;
        if self.levels.len() == number {
            self.levels.push(Level::default());
        }
        let cut = self.cuts_after(level, &child.last.0);
        let state = &mut self.levels[number];
        state.weight += child_weight(&child);
        state.children.push(child);
        let count = state.children.len();
        let full = count >= self.pages.entries_max as usize
            || (count >= 2 && state.weight >= self.pages.weight_max as usize);
        if full || (cut && count >= self.pages.entries_min as usize) {
            self.end_inner(level)?;
        }
        Ok(())
    }

    fn end_inner(&mut self, level: u8) -> Result<()> {
        let state = &mut self.levels[usize::from(level) - 1];
        let children = std::mem::take(&mut state.children);
        state.weight = 0;
        state.written = true;
        let page = self.sink.put_page(&encode_inner(level, &children))?;
        let child = Child {
            last: children.last().map(|c| c.last.clone()).unwrap_or_default(),
            page,
            entries: children.iter().map(|c| c.entries).sum(),
            files: children.iter().map(|c| c.files).sum(),
            bytes: children.iter().map(|c| c.bytes).sum(),
        };
        self.add_child(level + 1, child)
    }

    /// Writes what is left and returns the root. The pages are durable once the pack writer has
    /// finished.
    ///
    /// # Errors
    /// Storage's.
    pub fn finish(mut self) -> Result<ManifestRoot> {
        if !self.leaf.is_empty() || self.levels.is_empty() {
            self.end_leaf()?;
        }
        let mut level = 1;
        loop {
            let state = &self.levels[level - 1];
            let is_top = self.levels.len() == level;
            if is_top && !state.written && state.children.len() == 1 {
                self.counts.root = state.children[0].page;
                self.counts.depth = level as u8 - 1;
                break;
            }
            if !state.children.is_empty() {
                self.end_inner(level as u8)?;
            }
            level += 1;
        }
        self.sink.flush()?;
        Ok(self.counts)
    }
}
