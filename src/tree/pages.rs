//! Decoded pages of manifests, kept for whoever comes back to them: a mount, which is asked for
//! one entry at a time.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::Weighter;
use quick_cache::sync::{Cache, GuardResult};

use crate::error::{Error, Result};
use crate::format::page::{Child, decode_inner, decode_leaf};
use crate::model::{Content, Entry, PageId, Piece, XattrsRef};
use crate::repository::Repository;

/// How long a thread waits for another that reads the same page, before it reads it too.
const PATIENCE: Duration = Duration::from_secs(2);

/// About how many bytes a decoded page has, for the cache to begin with.
const TYPICAL_BYTES: usize = 64 << 10;

/// Pages of any number of manifests, the ones used last, bounded in bytes. Pages are named by
/// their content: what snapshots share is kept once. For any number of threads.
pub struct PageCache {
    pages: Cache<PageId, Arc<Page>, Bytes>,
}

/// A page, decoded and checked by itself.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) part: Part,
    /// About how much memory it takes.
    bytes: usize,
}

/// What a page holds.
#[derive(Debug)]
pub(super) enum Part {
    Leaf(Vec<Entry>),
    Inner(Inner),
}

/// A page that names the pages below it.
#[derive(Debug)]
pub(super) struct Inner {
    level: u8,
    /// Never empty.
    pub(super) children: Vec<Child>,
    /// How many entries there are in this page before each child.
    pub(super) before: Vec<u64>,
    /// How many entries there are in it in all.
    pub(super) entries: u64,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<PageId, Arc<Page>> for Bytes {
    fn weight(&self, _id: &PageId, page: &Arc<Page>) -> u64 {
        page.bytes as u64
    }
}

impl PageCache {
    /// An empty one that keeps up to so many bytes.
    pub fn new(bytes: usize) -> Self {
        let pages = (bytes / TYPICAL_BYTES).max(1);
        Self { pages: Cache::with_weighter(pages, bytes as u64, Bytes) }
    }

    /// How many bytes the pages in it take up.
    pub fn bytes(&self) -> u64 {
        self.pages.weight()
    }

    /// How many pages are in it.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// A page, read if it is not there. Several threads that want the same one read it once.
    pub(super) fn get(&self, repository: &Repository, id: PageId, level: u8) -> Result<Arc<Page>> {
        let page = match self.pages.get_value_or_guard(&id, Some(PATIENCE)) {
            GuardResult::Value(page) => page,
            GuardResult::Guard(guard) => {
                let page = Arc::new(Page::read(repository, id, level)?);
                // It was taken out meanwhile: then it is kept by whoever asked for it alone.
                let _ = guard.insert(Arc::clone(&page));
                page
            }
            GuardResult::Timeout => Arc::new(Page::read(repository, id, level)?),
        };
        match page.level() == level {
            true => Ok(page),
            false => Err(Error::damaged(format!("page {id}"), "it is of another level")),
        }
    }
}

impl Page {
    fn read(repository: &Repository, id: PageId, level: u8) -> Result<Self> {
        let bytes = repository.reader().page(id)?;
        let name = format!("page {id}");
        let part = match level {
            0 => Part::Leaf(decode_leaf(&bytes, &name)?),
            _ => Part::Inner(Inner::new(level, decode_inner(&bytes, level, &name)?, &name)?),
        };
        // Owners are in no entry alone; they have no more bytes than the page.
        let bytes = size_of::<Self>() + bytes.len() + part.bytes();
        Ok(Self { part, bytes })
    }

    pub(super) fn level(&self) -> u8 {
        match &self.part {
            Part::Leaf(_) => 0,
            Part::Inner(inner) => inner.level,
        }
    }

    /// How many entries are in it, and in the pages below it as far as it knows.
    pub(super) fn entries(&self) -> u64 {
        match &self.part {
            Part::Leaf(entries) => entries.len() as u64,
            Part::Inner(inner) => inner.entries,
        }
    }

    /// The last path in it.
    pub(super) fn last(&self) -> Option<&[u8]> {
        match &self.part {
            Part::Leaf(entries) => entries.last().map(|entry| &entry.path[..]),
            Part::Inner(inner) => inner.children.last().map(|child| &child.last.0[..]),
        }
    }
}

impl Inner {
    fn new(level: u8, children: Vec<Child>, name: &str) -> Result<Self> {
        let mut before = Vec::with_capacity(children.len());
        let mut entries = 0_u64;
        for child in &children {
            before.push(entries);
            entries = entries
                .checked_add(child.entries)
                .ok_or_else(|| Error::damaged(name, "it counts more entries than there can be"))?;
        }
        Ok(Self { level, children, before, entries })
    }
}

impl Part {
    fn bytes(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.iter().map(entry_bytes).sum(),
            Self::Inner(inner) => {
                let child = |child: &Child| size_of::<Child>() + 8 + child.last.0.capacity();
                inner.children.iter().map(child).sum()
            }
        }
    }
}

fn entry_bytes(entry: &Entry) -> usize {
    let content = match &entry.content {
        Content::Inline(bytes) => bytes.capacity(),
        Content::Pieces(pieces) => pieces.capacity() * size_of::<Piece>(),
        Content::None | Content::List { .. } => 0,
    };
    let xattrs = match &entry.xattrs {
        XattrsRef::Inline(list) => {
            list.iter().map(|xattr| 64 + xattr.name.capacity() + xattr.value.capacity()).sum()
        }
        XattrsRef::None | XattrsRef::Page(_) => 0,
    };
    let link = entry.link_to.as_ref().map_or(0, Vec::capacity);
    size_of::<Entry>() + entry.path.capacity() + content + xattrs + link
}
