//! Walking a manifest in order, and seeking in it.

use crate::error::{Error, Result};
use crate::format::page::{Child, decode_inner, decode_leaf};
use crate::model::entry::{compare_paths, is_within};
use crate::model::{Entry, FileKind, PageId, escape_bytes};
use crate::repository::{Reader, Repository};

struct Todo {
    page: PageId,
    level: u8,
    /// The last path in it, where known.
    last: Option<Vec<u8>>,
    /// How many entries it has, where known.
    entries: Option<u64>,
}

/// A part of a manifest that cannot be read: what comes after `after`, up to and with
/// `last`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostPages {
    /// The last path before it; `None` from the start.
    pub after: Option<Vec<u8>>,
    /// Its last path; `None` to the end.
    pub last: Option<Vec<u8>>,
    /// How many entries it has, where that is known.
    pub entries: Option<u64>,
}

impl LostPages {
    /// Whether an entry with this path would be in it.
    pub fn contains(&self, path: &[u8]) -> bool {
        self.after.as_ref().is_none_or(|after| compare_paths(after, path).is_lt())
            && self.last.as_ref().is_none_or(|last| compare_paths(path, last).is_le())
    }
}

/// What comes next in a walk.
pub(super) enum Ahead<'e> {
    Entry(&'e Entry),
    /// A page that was not read yet, and its level.
    Page(PageId, u8),
    End,
}

/// Entries of a manifest in order. After an error the walk goes on with what comes next.
pub struct Entries<'r> {
    reader: Reader<'r>,
    /// Pages still to be read, the next one last.
    todo: Vec<Todo>,
    leaf: std::vec::IntoIter<Entry>,
    from: Vec<u8>,
    within: Option<Vec<u8>>,
    /// The last path of the leaf before.
    last: Option<Vec<u8>>,
    /// The folders that the last entry lies in, each in the one before.
    folders: Vec<Vec<u8>>,
    /// Entries up to this path may exist without having been seen.
    unseen: Vec<u8>,
    /// What the last error cost.
    lost: Option<LostPages>,
}

impl<'r> Entries<'r> {
    pub(super) fn new(repository: &'r Repository, root: PageId, depth: u8, from: &[u8]) -> Self {
        Self {
            reader: repository.reader(),
            todo: vec![Todo { page: root, level: depth, last: None, entries: None }],
            leaf: Vec::new().into_iter(),
            from: from.to_vec(),
            within: None,
            last: None,
            folders: Vec::new(),
            unseen: from.to_vec(),
            lost: None,
        }
    }

    pub(super) fn within(self, folder: &[u8]) -> Self {
        Self { within: Some(folder.to_vec()), ..self }
    }

    /// Passes over everything in the folder `path`, which was returned just now. What lies in
    /// pages of its own is not read.
    pub fn skip_to_after(&mut self, path: &[u8]) {
        if path.is_empty() {
            return self.end();
        }
        // The least path that is after all of the folder's: its name followed by the byte after
        // the separator, which is 0 in this order.
        self.from = path.to_vec();
        self.from.push(1);
        while self.leaf.as_slice().first().is_some_and(|e| is_within(&e.path, path)) {
            self.leaf.next();
        }
    }

    /// What comes next: an entry, or a page that was not read yet.
    pub(super) fn ahead(&mut self) -> Ahead<'_> {
        if self.leaf.as_slice().is_empty() {
            let from = &self.from;
            let is_before = |todo: &mut Todo| {
                todo.last.as_ref().is_some_and(|last| compare_paths(last, from).is_lt())
            };
            while self.todo.pop_if(is_before).is_some() {}
            return match self.todo.last() {
                Some(todo) => Ahead::Page(todo.page, todo.level),
                None => Ahead::End,
            };
        }
        match self.leaf.as_slice().first() {
            Some(entry) if self.within.as_ref().is_none_or(|f| is_within(&entry.path, f)) => {
                Ahead::Entry(entry)
            }
            _ => Ahead::End,
        }
    }

    /// Passes over the page that comes next.
    pub(super) fn skip_page(&mut self) {
        if let Some(Todo { last: Some(last), .. }) = self.todo.pop() {
            self.last = Some(last.clone());
            self.unseen = last;
        }
    }

    /// Reads the page that comes next.
    pub(super) fn open_page(&mut self) -> Result<()> {
        self.read_next_page().unwrap_or(Ok(()))
    }

    fn end(&mut self) {
        self.todo.clear();
        self.leaf = Vec::new().into_iter();
    }

    fn read_next_page(&mut self) -> Option<Result<()>> {
        loop {
            let todo = self.todo.pop()?;
            // Pages that end before `from` are not read at all.
            if todo.last.as_ref().is_none_or(|last| compare_paths(last, &self.from).is_ge()) {
                let read = self.read_page(todo.page, todo.level, todo.last.as_deref());
                if read.is_err() {
                    let after = self.last_known();
                    self.lost =
                        Some(LostPages { after, last: todo.last.clone(), entries: todo.entries });
                    if let Some(last) = todo.last {
                        self.unseen = last;
                    }
                }
                return Some(read);
            }
        }
    }

    /// The last path that was read, or is known to be lost.
    fn last_known(&self) -> Option<Vec<u8>> {
        let unseen = Some(&self.unseen).filter(|path| !path.is_empty());
        let later = |a: &&Vec<u8>, b: &&Vec<u8>| compare_paths(a, b);
        self.last.as_ref().into_iter().chain(unseen).max_by(later).cloned()
    }

    /// What the last error cost.
    pub fn take_lost(&mut self) -> Option<LostPages> {
        self.lost.take()
    }

    fn read_page(&mut self, page: PageId, level: u8, last: Option<&[u8]>) -> Result<()> {
        let bytes = self.reader.page(page)?;
        let name = format!("page {page}");
        let check_last = |found: Option<&[u8]>| match last {
            Some(last) if found != Some(last) => {
                Err(Error::damaged(&name, "it does not end where the page above says"))
            }
            _ => Ok(()),
        };
        if level == 0 {
            let mut entries = decode_leaf(&bytes, &name)?;
            check_last(entries.last().map(|entry| entry.path.as_slice()))?;
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
        check_last(children.last().map(|child| child.last.0.as_slice()))?;
        self.todo.extend(children.into_iter().rev().map(|child| Todo {
            page: child.page,
            level: level - 1,
            last: Some(child.last.0),
            entries: Some(child.entries),
        }));
        Ok(())
    }

    /// Checks that an entry lies in a folder that came before it, as far as the walk saw.
    fn check_folder(&mut self, entry: &Entry) -> Result<()> {
        while self.folders.pop_if(|folder| !is_within(&entry.path, folder)).is_some() {}
        let parent = entry.path.iter().rposition(|b| *b == b'/').map(|at| &entry.path[..at]);
        let is_good = match parent {
            // The root may be left out of a manifest; if it is there it is a folder.
            None => !entry.path.is_empty() || entry.kind == FileKind::Dir,
            Some(parent) => {
                self.folders.last().is_some_and(|folder| folder == parent)
                    || compare_paths(parent, &self.unseen).is_le()
            }
        };
        if !is_good {
            let what = format!("`/{}` lies in no folder", escape_bytes(&entry.path));
            // The path before it is not at hand; to lose sight of it costs nothing.
            let after = parent.map(<[u8]>::to_vec);
            self.lost = Some(LostPages { after, last: Some(entry.path.clone()), entries: Some(1) });
            return Err(Error::damaged("manifest", what));
        }
        if entry.kind == FileKind::Dir {
            self.folders.push(entry.path.clone());
        }
        Ok(())
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.leaf.next() {
                if self.within.as_ref().is_some_and(|folder| !is_within(&entry.path, folder)) {
                    self.end();
                    return None;
                }
                return Some(self.check_folder(&entry).map(|()| entry));
            }
            match self.read_next_page()? {
                Ok(()) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// What is directly in a folder, in order. After an error it goes on with what comes next.
pub struct Children<'r> {
    entries: Entries<'r>,
    folder: Vec<u8>,
}

impl<'r> Children<'r> {
    pub(super) fn new(entries: Entries<'r>, folder: &[u8]) -> Self {
        Self { entries, folder: folder.to_vec() }
    }
}

impl Iterator for Children<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.entries.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            if entry.path == self.folder {
                continue;
            }
            // After a lost page the first entry may lie deeper: all of its folder is skipped too.
            let start = if self.folder.is_empty() { 0 } else { self.folder.len() + 1 };
            match entry.path[start..].iter().position(|b| *b == b'/') {
                Some(end) => self.entries.skip_to_after(&entry.path[..start + end]),
                None => {
                    if entry.kind == FileKind::Dir {
                        self.entries.skip_to_after(&entry.path);
                    }
                    return Some(Ok(entry));
                }
            }
        }
    }
}
