//! Makes a new manifest out of an old one: each entry is kept, changed or dropped.
//!
//! Streams: the old manifest is walked in order and the new one written as it goes. Pages that
//! come out as they were are found again and not stored twice. What must be remembered is small:
//! the folders on the way down, and hard-link groups whose first name was dropped.

use std::collections::HashMap;

use super::{ManifestRoot, ManifestWriter, Sink, WouldAdd};
use crate::error::{Error, Result};
use crate::model::entry::{compare_paths, is_within};
use crate::model::{Content, Entry, FileKind, escape_bytes};
use crate::repository::{PackWriter, Repository};
use crate::runtime::Runtime;
use crate::tree::{LostPages, Manifest};

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the new manifest, as the function left it.
    Keep,
    /// It is not, unless it is a folder that something kept lies in.
    Drop,
}

/// Something of the old manifest that cannot be in the new one, because it cannot be read.
#[derive(Debug)]
pub enum Lost {
    /// Pages: not even names are known.
    Pages(LostPages, Error),
    /// This name of a file whose first name, which has the content, is in such pages.
    Link(Entry),
}

/// How a manifest is made out of another one.
pub struct Derivation<'a> {
    /// Decides on each entry, in order, and may change all of it but its path. It sees an entry
    /// as it would be written: where the first name of a hard-link group was dropped, the next
    /// one has the content.
    pub decide: &'a mut dyn FnMut(&mut Entry) -> Result<Verdict>,
    /// Is told what cannot be read. To fail on it, return the error.
    pub on_lost: &'a mut dyn FnMut(Lost) -> Result<()>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Derived {
    /// The new manifest.
    pub manifest: ManifestRoot,
    /// Entries of the old manifest that are not in the new one, as far as they could be read.
    pub dropped: u64,
    /// Entries that are in the new one with something changed.
    pub changed: u64,
    /// Folders that had to be made up, because their own entry could not be read.
    pub made_up: u64,
}

/// Where the pages of a new manifest go.
#[derive(Clone, Copy)]
pub enum PagesTo<'a> {
    /// Into packs; durable once the writer has finished.
    Packs(&'a PackWriter),
    /// Nowhere: a dry run, which counts.
    Nowhere(&'a WouldAdd),
}

/// Makes a new manifest out of `old`.
///
/// # Errors
/// Those of the two functions, of storage, and [`Error::Cancelled`].
pub fn derive(
    repository: &Repository,
    old: Manifest,
    pages_to: PagesTo<'_>,
    derivation: Derivation<'_>,
    runtime: &Runtime,
) -> Result<Derived> {
    let sink = match pages_to {
        PagesTo::Packs(writer) => Sink::storing(repository, writer),
        PagesTo::Nowhere(would_add) => Sink::new(repository, None, would_add),
    };
    let mut deriver = Deriver {
        writer: ManifestWriter::with_sink(sink),
        derivation,
        lost: Vec::new(),
        groups: HashMap::new(),
        folders: Vec::new(),
        dropped: 0,
        changed: 0,
        made_up: 0,
    };
    let mut entries = old.entries(repository);
    while let Some(next) = entries.next() {
        runtime.cancel.check()?;
        match next {
            Ok(entry) => {
                let is_file = entry.kind == FileKind::File && entry.link_to.is_none();
                runtime.progress.done(1, if is_file { entry.size } else { 0 });
                deriver.entry(entry)?;
            }
            Err(error) if error.is_damage() => {
                let pages = entries.take_lost().ok_or_else(|| Error::Internal {
                    what: "a walk failed without saying where".into(),
                })?;
                deriver.lost.push(pages.clone());
                (deriver.derivation.on_lost)(Lost::Pages(pages, error))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Derived {
        dropped: deriver.dropped,
        changed: deriver.changed,
        made_up: deriver.made_up,
        manifest: deriver.writer.finish()?,
    })
}

struct Deriver<'a, 'r> {
    writer: ManifestWriter<'r>,
    derivation: Derivation<'a>,
    /// In order.
    lost: Vec<LostPages>,
    /// Groups whose first name was dropped, by that name.
    groups: HashMap<Vec<u8>, Group>,
    /// The folders on the way to the last entry, each in the one before.
    folders: Vec<Folder>,
    dropped: u64,
    changed: u64,
    made_up: u64,
}

/// A hard-link group that lost its first name.
enum Group {
    /// Nobody has the content yet.
    Waiting { content: Content, sparse: bool, torn: bool },
    /// This name has it now.
    Moved(Vec<u8>),
}

struct Folder {
    path: Vec<u8>,
    /// The entry of one that was dropped: it comes back if something in it is kept.
    dropped: Option<Entry>,
}

impl Deriver<'_, '_> {
    fn entry(&mut self, mut entry: Entry) -> Result<()> {
        while self.folders.pop_if(|folder| !is_within(&entry.path, &folder.path)).is_some() {}
        let before = entry.clone();
        let first = entry.link_to.take();
        if let Some(first) = &first {
            if self.is_lost(first) {
                self.dropped += 1;
                entry.link_to = Some(first.clone());
                return (self.derivation.on_lost)(Lost::Link(entry));
            }
            match self.groups.get(first) {
                None => entry.link_to = Some(first.clone()),
                Some(Group::Moved(path)) => entry.link_to = Some(path.clone()),
                Some(Group::Waiting { content, sparse, torn }) => {
                    entry.content = content.clone();
                    (entry.sparse, entry.torn) = (*sparse, *torn);
                }
            }
        }
        let has_content = entry.link_to.is_none();
        let verdict = (self.derivation.decide)(&mut entry)?;
        if entry.path != before.path {
            return Err(Error::Internal { what: "a derivation changed a path".into() });
        }
        if verdict == Verdict::Drop {
            return self.drop_entry(before, entry, first, has_content);
        }
        self.changed += u64::from(entry != before);
        if let Some(first) = first.filter(|_| has_content) {
            self.groups.insert(first, Group::Moved(entry.path.clone()));
        }
        self.write(entry)
    }

    fn drop_entry(
        &mut self,
        before: Entry,
        entry: Entry,
        first: Option<Vec<u8>>,
        has_content: bool,
    ) -> Result<()> {
        self.dropped += 1;
        match entry.kind {
            FileKind::Dir => {
                self.folders.push(Folder { path: before.path.clone(), dropped: Some(before) });
            }
            // A name further on takes over what this one had. A group that waits goes on to.
            _ if has_content && first.is_none() && before.nlink > 1 => {
                let Entry { content, sparse, torn, .. } = before;
                self.groups.insert(entry.path, Group::Waiting { content, sparse, torn });
            }
            _ => {}
        }
        Ok(())
    }

    fn is_lost(&self, path: &[u8]) -> bool {
        let at = self.lost.partition_point(|pages| {
            pages.last.as_ref().is_some_and(|last| compare_paths(last, path).is_lt())
        });
        self.lost.get(at).is_some_and(|pages| pages.contains(path))
    }

    /// Writes an entry, after the folders that it lies in.
    fn write(&mut self, entry: Entry) -> Result<()> {
        for at in 0..self.folders.len() {
            if let Some(folder) = self.folders[at].dropped.take() {
                self.dropped -= 1;
                self.writer.push(folder)?;
            }
        }
        let missing: Vec<Vec<u8>> = entry
            .path
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'/')
            .map(|(end, _)| &entry.path[..end])
            .filter(|path| !self.folders.iter().any(|folder| folder.path == *path))
            .map(<[u8]>::to_vec)
            .collect();
        for path in missing {
            if self.lost.is_empty() {
                let what = format!("`/{}` lies in no folder", escape_bytes(&entry.path));
                return Err(Error::damaged("manifest", what));
            }
            self.made_up += 1;
            self.folders.push(Folder { path: path.clone(), dropped: None });
            self.writer.push(made_up_folder(path, &entry))?;
        }
        if entry.kind == FileKind::Dir {
            self.folders.push(Folder { path: entry.path.clone(), dropped: None });
        }
        self.writer.push(entry)
    }
}

/// A folder whose own entry is lost: private, and of whoever owns what is in it.
fn made_up_folder(path: Vec<u8>, inside: &Entry) -> Entry {
    Entry {
        mode: 0o700,
        owner: inside.owner.clone(),
        mtime: inside.mtime,
        ..Entry::new(path, FileKind::Dir)
    }
}

#[cfg(test)]
mod tests;
