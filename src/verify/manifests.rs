//! The third step: every page of every manifest, each once, however many snapshots share it.
//!
//! A page is verified together with what its parent says of it: counts, sizes and last path. How
//! it joins the page before it (order, and that every path lies in a folder that came before) is
//! verified at each place where it stands; that needs its first path only.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rayon::prelude::*;

use super::lists::ListSummary;
use super::needed::Needed;
use super::report::{Collector, Severity, add};
use crate::error::{Error, Result};
use crate::format::page::{Child, decode_inner, decode_leaf};
use crate::model::entry::{compare_paths, is_within};
use crate::model::{ChunkId, Entry, FileKind, ObjectHash, PageId};
use crate::repository::{Damage, Reader, Repository, Snapshot};
use crate::runtime::Runtime;

/// Levels that no manifest has.
pub(super) const DEPTH_MAX: u8 = 15;

/// Walks manifests and remembers what it has seen.
pub(super) struct Walk<'a> {
    pub(super) collector: &'a Collector,
    /// Pages that were found to be bad.
    pub(super) bad: Mutex<HashSet<PageId>>,
    /// Chunks that are to be looked up.
    pub(super) needed: Needed<'a>,
    chunks: &'a Chunks<'a>,
    pub(super) lists: Mutex<HashMap<[u8; 16], Option<ListSummary>>>,
    runtime: &'a Runtime,
    readers: Vec<Mutex<Reader<'a>>>,
    /// Pages seen; `None` if they are bad.
    pages: Mutex<HashMap<[u8; 16], Option<Summary>>>,
    hasher: RandomState,
}

/// Where chunks are looked up.
struct Chunks<'a> {
    repository: &'a Repository,
    collector: &'a Collector,
    /// What is bad already: packs.
    damage: &'a Damage,
    lost: AtomicBool,
    /// Packs that are needed, if anybody asks.
    used: Option<Mutex<HashSet<ObjectHash>>>,
}

/// What a verified page turned out to hold.
#[derive(Clone, Copy, Debug, Default)]
struct Summary {
    entries: u64,
    files: u64,
    folders: u64,
    bytes: u64,
    /// Hash of the last path.
    last: u64,
    /// Hash of the path before the page, where it was verified.
    before: u64,
    /// Its first entry lies directly in the entry before the page.
    needs_folder: bool,
    /// Its last entry is a folder.
    ends_in_folder: bool,
}

/// Verifies the manifests of all `snapshots`. Adds to `damage`, and returns the packs that they
/// need if `with_used` asks for them.
pub(super) fn check(
    repository: &Repository,
    snapshots: &[Snapshot],
    with_used: bool,
    damage: &mut Damage,
    collector: &Collector,
    runtime: &Runtime,
) -> Result<HashSet<ObjectHash>> {
    let known = damage.clone();
    let chunks = Chunks {
        repository,
        collector,
        damage: &known,
        lost: AtomicBool::new(false),
        used: with_used.then(Mutex::default),
    };
    let look_up = |id, len| chunks.look_up(id, len);
    let about_to = |first: &[u8; 32], last: &[u8; 32]| repository.index().will_find(first, last);
    let folder = repository.temporary_folder();
    let walk = Walk {
        collector,
        bad: Mutex::default(),
        needed: Needed::new(folder, &look_up, &about_to, &runtime.cancel),
        chunks: &chunks,
        lists: Mutex::default(),
        runtime,
        readers: (0..rayon::current_num_threads())
            .map(|_| Mutex::new(repository.reader()))
            .collect(),
        pages: Mutex::default(),
        hasher: RandomState::new(),
    };
    for snapshot in snapshots {
        runtime.progress.expect(snapshot.body.entries, 0);
    }
    runtime.progress.expect_no_more();
    snapshots.iter().try_for_each(|snapshot| walk.snapshot(snapshot))?;
    let (bad, needed) = (walk.bad.into_inner(), walk.needed);
    // What was remembered of pages is of no use any more.
    drop((walk.pages, walk.lists, walk.readers));
    needed.finish()?;
    damage.pages = bad;
    damage.lost_chunks = chunks.lost.into_inner();
    Ok(chunks.used.map(Mutex::into_inner).unwrap_or_default())
}

impl Chunks<'_> {
    /// Verifies that a chunk is in a pack that is there, with the right length.
    fn look_up(&self, id: ChunkId, len: u32) {
        self.use_pack_of(&id.0);
        let index = self.repository.index();
        if !self.damage.is_lost(index, &id.0, Some(len)) {
            return;
        }
        self.lost.store(true, Ordering::Relaxed);
        let name = format!("chunk {id}");
        let copies = index.find_all(&id.0);
        if copies.is_empty() {
            self.collector.put(Severity::Damage, name, "the index lacks it", None);
        } else if copies.iter().all(|copy| copy.len != len) {
            let what = format!("the index gives it {} bytes and a file {len}", copies[0].len);
            self.collector.put(Severity::Damage, name, what, None);
        }
        // Else its pack is missing, which is reported once for all that is in it.
    }

    fn use_pack_of(&self, id: &[u8; 32]) {
        let Some(used) = &self.used else { return };
        let index = self.repository.index();
        if let Some(location) = index.find(id) {
            used.lock().insert(index.pack(location.pack).hash);
        }
    }
}

impl Walk<'_> {
    fn snapshot(&self, snapshot: &Snapshot) -> Result<()> {
        add(&self.collector.counts.snapshots, 1);
        let body = &snapshot.body;
        if body.depth > DEPTH_MAX {
            let what = "its manifest has an impossible depth";
            self.collector.put(Severity::Damage, &snapshot.object_name, what, None);
            return Ok(());
        }
        let Some(summary) = self.page(body.root, body.depth, None)? else { return Ok(()) };
        let said = [body.entries, body.files, body.folders, body.bytes];
        if said != [summary.entries, summary.files, summary.folders, summary.bytes] {
            let what = "its counts are not those of its manifest";
            self.collector.put(Severity::Damage, &snapshot.object_name, what, None);
        }
        Ok(())
    }

    /// Verifies a page and all below it, once. `None` if it is bad; that is reported already.
    fn page(&self, page: PageId, level: u8, before: Option<&[u8]>) -> Result<Option<Summary>> {
        self.runtime.cancel.check()?;
        let key = key(page, level);
        let known = self.pages.lock().get(&key).copied();
        let Some(known) = known else {
            let summary = match self.fresh_page(page, level, before) {
                Ok(summary) => Some(summary),
                Err(error) => {
                    self.collector.damage(error)?;
                    self.bad.lock().insert(page);
                    None
                }
            };
            self.pages.lock().insert(key, summary);
            return Ok(summary);
        };
        let Some(mut summary) = known else { return Ok(None) };
        self.runtime.progress.done(summary.entries, 0);
        if summary.before != self.hash(before) {
            match self.first_path(page, level) {
                Ok(first) => match join(before, &first) {
                    Some(needs_folder) => summary.needs_folder = needs_folder,
                    None => self.put_page(page, OUT_OF_ORDER),
                },
                Err(error) => self.collector.damage(error)?,
            }
        }
        Ok(Some(summary))
    }

    fn fresh_page(&self, page: PageId, level: u8, before: Option<&[u8]>) -> Result<Summary> {
        let bytes = self.read(page)?;
        let name = format!("page {page}");
        let mut summary = if level == 0 {
            let entries = decode_leaf(&bytes, &name)?;
            self.leaf(page, &entries, before)?
        } else {
            let children = decode_inner(&bytes, level, &name)?;
            self.inner(page, level, &children, before)?
        };
        summary.before = self.hash(before);
        Ok(summary)
    }

    fn leaf(&self, page: PageId, entries: &[Entry], before: Option<&[u8]>) -> Result<Summary> {
        let mut summary = Summary::default();
        let mut last: Option<&Entry> = None;
        for entry in entries {
            let joined = join(last.map_or(before, |last| Some(&last.path)), &entry.path);
            let needs_folder = joined.unwrap_or_else(|| {
                self.put_page(page, OUT_OF_ORDER);
                false
            });
            match last {
                None => summary.needs_folder = needs_folder,
                Some(last) if needs_folder && last.kind != FileKind::Dir => {
                    self.put_page(page, NO_FOLDER);
                }
                Some(_) => {}
            }
            summary.entries += 1;
            match entry.kind {
                FileKind::File if entry.link_to.is_none() => {
                    summary.files += 1;
                    summary.bytes = summary.bytes.saturating_add(entry.size);
                }
                FileKind::Dir => summary.folders += 1,
                _ => {}
            }
            self.content(page, entry)?;
            last = Some(entry);
        }
        summary.last = self.hash(last.map(|entry| &entry.path[..]));
        summary.ends_in_folder = last.is_some_and(|entry| entry.kind == FileKind::Dir);
        add(&self.collector.counts.entries, summary.entries);
        self.runtime.progress.done(summary.entries, 0);
        Ok(summary)
    }

    fn inner(
        &self,
        page: PageId,
        level: u8,
        children: &[Child],
        before: Option<&[u8]>,
    ) -> Result<Summary> {
        let below: Vec<Option<Summary>> = (0..children.len())
            .into_par_iter()
            .map(|number| {
                let before = match number.checked_sub(1) {
                    Some(number) => Some(&children[number].last.0[..]),
                    None => before,
                };
                self.page(children[number].page, level - 1, before)
            })
            .collect::<Result<_>>()?;
        let mut summary = Summary::default();
        let mut ends_in_folder = true;
        for (number, (child, found)) in children.iter().zip(&below).enumerate() {
            // A page that could not be read counts as its parent says.
            summary.entries = summary.entries.saturating_add(child.entries);
            summary.files = summary.files.saturating_add(child.files);
            summary.bytes = summary.bytes.saturating_add(child.bytes);
            let Some(found) = found else {
                ends_in_folder = true;
                continue;
            };
            summary.folders += found.folders;
            if [child.entries, child.files, child.bytes]
                != [found.entries, found.files, found.bytes]
                || found.last != self.hash(Some(&child.last.0))
            {
                self.put_page(page, "what it says of a page below is not so");
            }
            if number == 0 {
                summary.needs_folder = found.needs_folder;
            } else if found.needs_folder && !ends_in_folder {
                self.put_page(child.page, NO_FOLDER);
            }
            ends_in_folder = found.ends_in_folder;
        }
        summary.ends_in_folder = ends_in_folder;
        summary.last = self.hash(children.last().map(|child| &child.last.0[..]));
        Ok(summary)
    }

    /// The first path in a page, for places where a known page stands after another one.
    fn first_path(&self, page: PageId, level: u8) -> Result<Vec<u8>> {
        let bytes = self.read(page)?;
        let name = format!("page {page}");
        if level == 0 {
            let entries = decode_leaf(&bytes, &name)?;
            return Ok(entries.into_iter().next().map(|entry| entry.path).unwrap_or_default());
        }
        let children = decode_inner(&bytes, level, &name)?;
        match children.first() {
            Some(child) => self.first_path(child.page, level - 1),
            None => Err(Error::damaged(name, "it is empty")),
        }
    }

    /// A page's bytes, read with the reader of this thread.
    pub(super) fn read(&self, page: PageId) -> Result<Vec<u8>> {
        self.chunks.use_pack_of(&page.0);
        add(&self.collector.counts.pages, 1);
        let number = rayon::current_thread_index().unwrap_or(0) % self.readers.len();
        self.readers[number].lock().page(page)
    }

    /// Reports a page that is readable and wrong.
    pub(super) fn put_page(&self, page: PageId, what: &str) {
        self.collector.put(Severity::Damage, format!("page {page}"), what, None);
        self.bad.lock().insert(page);
    }

    fn hash(&self, path: Option<&[u8]>) -> u64 {
        self.hasher.hash_one(path)
    }
}

const OUT_OF_ORDER: &str = "a path comes too early, or lies in no folder";
const NO_FOLDER: &str = "a path lies in something that is no folder";

/// Names a page at a level in 16 bytes: ids are keyed hashes, so nobody makes two alike.
pub(super) fn key(page: PageId, level: u8) -> [u8; 16] {
    let mut key = [level; 16];
    key[..15].copy_from_slice(&page.0[..15]);
    key
}

/// Whether `path` may follow `before` in a manifest, and if so, whether that must be a folder.
fn join(before: Option<&[u8]>, path: &[u8]) -> Option<bool> {
    let folder = match path.iter().rposition(|byte| *byte == b'/') {
        Some(end) => &path[..end],
        // At the top: in the root, which need not be an entry.
        None => b"",
    };
    let Some(before) = before else { return folder.is_empty().then_some(false) };
    if compare_paths(before, path).is_ge() || !is_within(before, folder) {
        return None;
    }
    Some(before == folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_only_what_they_may() {
        assert_eq!(join(None, b"a"), Some(false));
        assert_eq!(join(None, b"a/b"), None);
        assert_eq!(join(None, b""), Some(false));
        assert_eq!(join(Some(b""), b"a"), Some(true));
        assert_eq!(join(Some(b"a"), b"a/b"), Some(true));
        assert_eq!(join(Some(b"a/b/c"), b"a/d"), Some(false));
        assert_eq!(join(Some(b"a/b/c"), b"a/d/e"), None);
        assert_eq!(join(Some(b"a/d"), b"a/b"), None);
        assert_eq!(join(Some(b"a/b"), b"c"), Some(false));
        assert_eq!(join(Some(b"a"), b"a"), None);
    }
}
