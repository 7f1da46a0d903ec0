//! Compares two manifests, or folders in them, without reading pages that both have.
//!
//! Pages are cut by names, so two neighbouring snapshots differ in few pages: both trees are
//! walked side by side, and where the same page comes next on both sides it is passed over.

mod content;

use std::borrow::Cow;
use std::cmp::Ordering;

use super::Manifest;
use super::entries::{Ahead, Entries};
use crate::error::{Error, Result};
use crate::model::entry::compare_paths;
use crate::model::{Entry, FileKind, escape_bytes};
use crate::repository::Repository;
use content::changed_bytes;

/// What happened to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DifferenceKind {
    /// It is only in the new manifest.
    Added,
    /// It is only in the old manifest.
    Removed,
    /// Its content, target or device number is another; its metadata may be, too.
    Modified,
    /// Only its metadata is another.
    Metadata,
    /// It is of another kind now.
    TypeChanged,
}

/// Which metadata of an entry differs. Change times, access times and inode numbers never count:
/// they cannot be restored, and change by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Permission bits.
    pub mode: bool,
    /// Owner or group.
    pub owner: bool,
    /// Time of the last change of content.
    pub mtime: bool,
    /// Extended attributes, access lists among them.
    pub xattrs: bool,
    /// Inode flags.
    pub flags: bool,
    /// It became, or stopped to be, a hard link to another path.
    pub links: bool,
}

/// One entry that differs.
#[derive(Debug)]
pub struct Difference<'d> {
    /// What happened.
    pub kind: DifferenceKind,
    /// The path below the folders that are compared; the whole path if these are the roots.
    pub path: &'d [u8],
    /// The old entry, where there is one.
    pub old: Option<&'d Entry>,
    /// The new entry, where there is one.
    pub new: Option<&'d Entry>,
    /// Which metadata differs, where both are of one kind.
    pub fields: Fields,
}

/// Numbers of entries by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Regular files.
    pub files: u64,
    /// Folders.
    pub dirs: u64,
    /// All else.
    pub others: u64,
}

impl Tally {
    fn count(&mut self, entry: &Entry) {
        *match entry.kind {
            FileKind::File => &mut self.files,
            FileKind::Dir => &mut self.dirs,
            _ => &mut self.others,
        } += 1;
    }
}

/// Sums over a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiffSummary {
    /// Only in the new manifest.
    pub added: Tally,
    /// Only in the old one.
    pub removed: Tally,
    /// With other content.
    pub modified: Tally,
    /// With other metadata alone.
    pub metadata: Tally,
    /// Of another kind, counted by the new one.
    pub type_changed: Tally,
    /// Bytes of files that came, and of new chunks in files with other content.
    pub added_bytes: u64,
    /// Bytes of files that went, and of chunks that are no longer in files with other content.
    pub removed_bytes: u64,
}

/// One side of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct DiffSide<'m> {
    /// The manifest.
    pub manifest: Manifest,
    /// The folder (or file) in it, as manifests have it; empty for all.
    pub folder: &'m [u8],
}

/// Hands everything that differs to `on`, in path order.
///
/// # Errors
/// The first page that cannot be read (nothing true could be said about what is in it),
/// [`Error::NotFound`] for a folder that is not there, and those of `on`.
pub fn diff(
    repository: &Repository,
    old: DiffSide<'_>,
    new: DiffSide<'_>,
    on: &mut dyn FnMut(&Difference<'_>) -> Result<()>,
) -> Result<DiffSummary> {
    for side in [&old, &new] {
        if !side.folder.is_empty() && side.manifest.find(repository, side.folder)?.is_none() {
            let name = format!("/{}", escape_bytes(side.folder));
            return Err(Error::NotFound { what: "path", name });
        }
    }
    let mut comparison = Comparison { repository, old, new, on, summary: DiffSummary::default() };
    comparison.run()?;
    Ok(comparison.summary)
}

struct Comparison<'c> {
    repository: &'c Repository,
    old: DiffSide<'c>,
    new: DiffSide<'c>,
    on: &'c mut dyn FnMut(&Difference<'_>) -> Result<()>,
    summary: DiffSummary,
}

impl Comparison<'_> {
    fn run(&mut self) -> Result<()> {
        let entries =
            |side: &DiffSide<'_>| side.manifest.entries_within(self.repository, side.folder);
        let (mut old, mut new) = (entries(&self.old), entries(&self.new));
        // A page holds whole paths: below different folders the same page means different things.
        let same_folder = self.old.folder == self.new.folder;
        loop {
            match (old.ahead(), new.ahead()) {
                (Ahead::Page(a, level_a), Ahead::Page(b, level_b)) => {
                    if (a, level_a) == (b, level_b) && same_folder {
                        old.skip_page();
                        new.skip_page();
                        continue;
                    }
                    // The higher page is opened first, so that both come to the same level.
                    if level_a >= level_b {
                        old.open_page()?;
                    }
                    if level_b >= level_a {
                        new.open_page()?;
                    }
                }
                (Ahead::Page(..), _) => old.open_page()?,
                (_, Ahead::Page(..)) => new.open_page()?,
                (Ahead::End, Ahead::End) => return Ok(()),
                (Ahead::Entry(_), Ahead::End) => self.only_old(&mut old)?,
                (Ahead::End, Ahead::Entry(_)) => self.only_new(&mut new)?,
                (Ahead::Entry(a), Ahead::Entry(b)) => {
                    let (path_a, path_b) =
                        (below(&a.path, self.old.folder), below(&b.path, self.new.folder));
                    match compare_paths(path_a, path_b) {
                        Ordering::Less => self.only_old(&mut old)?,
                        Ordering::Greater => self.only_new(&mut new)?,
                        Ordering::Equal => self.both(&mut old, &mut new)?,
                    }
                }
            }
        }
    }

    fn only_old(&mut self, old: &mut Entries<'_>) -> Result<()> {
        let Some(entry) = old.next().transpose()? else { return Ok(()) };
        self.summary.removed.count(&entry);
        self.summary.removed_bytes += own_bytes(&entry);
        (self.on)(&Difference {
            kind: DifferenceKind::Removed,
            path: below(&entry.path, self.old.folder),
            old: Some(&entry),
            new: None,
            fields: Fields::default(),
        })
    }

    fn only_new(&mut self, new: &mut Entries<'_>) -> Result<()> {
        let Some(entry) = new.next().transpose()? else { return Ok(()) };
        self.summary.added.count(&entry);
        self.summary.added_bytes += own_bytes(&entry);
        (self.on)(&Difference {
            kind: DifferenceKind::Added,
            path: below(&entry.path, self.new.folder),
            old: None,
            new: Some(&entry),
            fields: Fields::default(),
        })
    }

    fn both(&mut self, old: &mut Entries<'_>, new: &mut Entries<'_>) -> Result<()> {
        let (Some(a), Some(b)) = (old.next().transpose()?, new.next().transpose()?) else {
            return Ok(());
        };
        if a == b && a.link_to.is_none() {
            return Ok(());
        }
        let fields = Fields::between(&a, &b);
        let (kind, tally) = if a.kind != b.kind {
            self.summary.added_bytes += own_bytes(&b);
            self.summary.removed_bytes += own_bytes(&a);
            (DifferenceKind::TypeChanged, &mut self.summary.type_changed)
        } else if self.is_modified(&a, &b)? {
            (DifferenceKind::Modified, &mut self.summary.modified)
        } else if fields != Fields::default() {
            (DifferenceKind::Metadata, &mut self.summary.metadata)
        } else {
            return Ok(());
        };
        tally.count(&b);
        (self.on)(&Difference {
            kind,
            path: below(&b.path, self.new.folder),
            old: Some(&a),
            new: Some(&b),
            fields,
        })
    }

    /// Whether entries of one kind have other content; counts the bytes that changed.
    fn is_modified(&mut self, a: &Entry, b: &Entry) -> Result<bool> {
        let (old, new) = ((&self.old.manifest, a), (&self.new.manifest, b));
        let (content_a, content_b) = match compare_contents(self.repository, old, new)? {
            Contents::Same => return Ok(false),
            Contents::OtherDevice => return Ok(true),
            Contents::Other(contents) => *contents,
        };
        // The bytes of a group are counted once, at its first path.
        if a.kind == FileKind::File && (a.link_to.is_none() || b.link_to.is_none()) {
            let (added, removed) = changed_bytes(self.repository, &content_a, &content_b)?;
            self.summary.added_bytes += added;
            self.summary.removed_bytes += removed;
        }
        Ok(true)
    }
}

/// How the contents of two entries of one kind compare.
pub(super) enum Contents<'e> {
    /// They are the same, or there is none.
    Same,
    /// Device nodes with other numbers.
    OtherDevice,
    /// They differ; the entries that have them.
    Other(Box<(Cow<'e, Entry>, Cow<'e, Entry>)>),
}

/// Compares the contents of two entries of one kind by the names of what they are made of, or by
/// themselves if they are links; reads none.
///
/// # Errors
/// If the entry that has the content of a hard link cannot be read.
pub(super) fn compare_contents<'e>(
    repository: &Repository,
    (old, a): (&Manifest, &'e Entry),
    (new, b): (&Manifest, &'e Entry),
) -> Result<Contents<'e>> {
    if !matches!(a.kind, FileKind::File | FileKind::Symlink) {
        return Ok(if a.device == b.device { Contents::Same } else { Contents::OtherDevice });
    }
    // Hard links say nothing of their content themselves. The inode, which they share, tells of
    // most that nothing changed.
    let state = |e: &Entry| (e.inode, e.size, e.mtime, e.ctime);
    if a.link_to.is_some() && a.link_to == b.link_to && state(a) == state(b) {
        return Ok(Contents::Same);
    }
    let content_a = old.content_entry(repository, a)?;
    let content_b = new.content_entry(repository, b)?;
    let is_same = (a.size, &content_a.content) == (b.size, &content_b.content);
    let contents = || Contents::Other(Box::new((content_a, content_b)));
    Ok(if is_same { Contents::Same } else { contents() })
}

impl Fields {
    pub(super) fn between(a: &Entry, b: &Entry) -> Self {
        Self {
            mode: a.mode != b.mode,
            owner: a.owner != b.owner,
            mtime: a.mtime != b.mtime,
            xattrs: a.xattrs != b.xattrs,
            flags: a.inode_flags != b.inode_flags,
            links: a.link_to.is_some() != b.link_to.is_some(),
        }
    }
}

/// A path below a folder; empty for the folder itself.
fn below<'p>(path: &'p [u8], folder: &[u8]) -> &'p [u8] {
    let rest = path.get(folder.len()..).unwrap_or_default();
    rest.strip_prefix(b"/").unwrap_or(rest)
}

/// Bytes that an entry adds to a manifest's sum: hard links are counted once.
fn own_bytes(entry: &Entry) -> u64 {
    if entry.kind == FileKind::File && entry.link_to.is_none() { entry.size } else { 0 }
}

#[cfg(test)]
mod tests;
