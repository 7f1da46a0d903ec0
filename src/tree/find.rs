//! Looks for entries by name, kind, size and time, in one snapshot after the other.
//!
//! Neighbouring snapshots share nearly all their pages: what was found in a page (mostly nothing)
//! is kept, so every page is read once, however many snapshots are searched.

use std::collections::HashMap;

use globset::{Candidate, GlobBuilder, GlobMatcher};

use super::Manifest;
use crate::error::{Error, Result};
use crate::format::page::{decode_inner, decode_leaf};
use crate::model::entry::{compare_paths, is_within};
use crate::model::{Content, Entry, FileKind, PageId, Time};
use crate::repository::{Reader, Repository};

/// Memory for what was found in pages. Beyond it pages are read again for the next snapshot.
const KEPT_BYTES_MAX: usize = 32 << 20;

/// What to look for. `Default` finds everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindQuery {
    /// Globs, any of which has to fit; none at all fits everything. One without `/` fits names,
    /// one that begins with `/` whole paths, any other the last parts of paths. With a `/` at its
    /// end it fits folders only.
    pub patterns: Vec<String>,
    /// Upper and lower case are equal.
    pub ignore_case: bool,
    /// Only this folder, as manifests have it, and what is in it.
    pub folder: Vec<u8>,
    /// Only these kinds; none means all.
    pub kinds: Vec<FileKind>,
    /// Changed at this time or later.
    pub mtime_min: Option<Time>,
    /// Changed at this time or before.
    pub mtime_max: Option<Time>,
    /// Files of this size or larger.
    pub size_min: Option<u64>,
    /// Files of this size or smaller.
    pub size_max: Option<u64>,
}

/// Searches snapshots of one repository, best in the order of their times.
pub struct Finder<'r> {
    reader: Reader<'r>,
    query: FindQuery,
    patterns: Vec<Pattern>,
    kept: HashMap<PageId, Kept>,
    kept_bytes: usize,
    pages_read: u64,
}

/// What is known of a page.
enum Kept {
    /// Nothing is in it, or below it.
    Nothing,
    /// These entries of a leaf fit.
    Entries(Vec<Entry>),
    /// Something may be below these pages.
    Pages(Vec<(PageId, Vec<u8>)>),
}

impl<'r> Finder<'r> {
    /// Compiles a query.
    ///
    /// # Errors
    /// [`Error::Usage`] that names the pattern and what is wrong with it.
    pub fn new(repository: &'r Repository, query: FindQuery) -> Result<Self> {
        let patterns = query.patterns.iter().map(|text| Pattern::new(text, query.ignore_case));
        let patterns = patterns.collect::<Result<_>>()?;
        let reader = repository.reader();
        Ok(Self { reader, query, patterns, kept: HashMap::new(), kept_bytes: 0, pages_read: 0 })
    }

    /// How many pages were read so far.
    pub fn pages_read(&self) -> u64 {
        self.pages_read
    }

    /// Hands every entry that fits to `on`, in order, and pages that cannot be read as errors in
    /// between.
    ///
    /// # Errors
    /// Those of `on`.
    pub fn search(
        &mut self,
        manifest: &Manifest,
        on: &mut dyn FnMut(Result<&Entry>) -> Result<()>,
    ) -> Result<()> {
        self.search_page(manifest.root(), manifest.depth(), None, on)
    }

    fn search_page(
        &mut self,
        page: PageId,
        level: u8,
        last: Option<&[u8]>,
        on: &mut dyn FnMut(Result<&Entry>) -> Result<()>,
    ) -> Result<()> {
        let below = match self.kept.get(&page) {
            Some(Kept::Nothing) => return Ok(()),
            Some(Kept::Entries(entries)) => return entries.iter().try_for_each(|e| on(Ok(e))),
            Some(Kept::Pages(pages)) => pages.clone(),
            None if level == 0 => {
                match self.search_leaf(page, last) {
                    Ok(found) => {
                        found.iter().try_for_each(|entry| on(Ok(entry)))?;
                        self.keep(page, Kept::Entries(found));
                    }
                    Err(error) => on(Err(error))?,
                }
                return Ok(());
            }
            None => match self.read_inner(page, level, last) {
                Ok(pages) => pages,
                Err(error) => return on(Err(error)),
            },
        };
        for (child, last) in &below {
            self.search_page(*child, level - 1, Some(last), on)?;
        }
        if !self.kept.contains_key(&page) {
            let is_empty = |page: &PageId| matches!(self.kept.get(page), Some(Kept::Nothing));
            let rest = below.into_iter().filter(|(child, _)| !is_empty(child)).collect();
            self.keep(page, Kept::Pages(rest));
        }
        Ok(())
    }

    fn search_leaf(&mut self, page: PageId, last: Option<&[u8]>) -> Result<Vec<Entry>> {
        self.pages_read += 1;
        let name = format!("page {page}");
        let mut entries = decode_leaf(&self.reader.page(page)?, &name)?;
        check_last(last, entries.last().map(|entry| entry.path.as_slice()), &name)?;
        entries.retain(|entry| self.fits(entry));
        Ok(entries)
    }

    /// The pages below a page in which the folder of the query may have entries.
    fn read_inner(
        &mut self,
        page: PageId,
        level: u8,
        last: Option<&[u8]>,
    ) -> Result<Vec<(PageId, Vec<u8>)>> {
        self.pages_read += 1;
        let name = format!("page {page}");
        let children = decode_inner(&self.reader.page(page)?, level, &name)?;
        check_last(last, children.last().map(|child| child.last.0.as_slice()), &name)?;
        let folder = &self.query.folder;
        let mut before: Option<Vec<u8>> = None;
        let mut pages = Vec::new();
        for child in children {
            let is_past =
                before.is_some_and(|b| compare_paths(&b, folder).is_ge() && !is_within(&b, folder));
            if is_past {
                break;
            }
            if compare_paths(&child.last.0, folder).is_ge() {
                pages.push((child.page, child.last.0.clone()));
            }
            before = Some(child.last.0);
        }
        Ok(pages)
    }

    fn keep(&mut self, page: PageId, kept: Kept) {
        let kept = match kept {
            Kept::Entries(entries) if entries.is_empty() => Kept::Nothing,
            Kept::Pages(pages) if pages.is_empty() => Kept::Nothing,
            kept => kept,
        };
        let bytes = match &kept {
            Kept::Nothing => 0,
            Kept::Entries(entries) => entries.iter().map(weight).sum(),
            Kept::Pages(pages) => pages.iter().map(|(_, last)| 64 + last.len()).sum(),
        };
        let bytes = bytes + 2 * size_of::<(PageId, Kept)>();
        if self.kept_bytes + bytes <= KEPT_BYTES_MAX {
            self.kept_bytes += bytes;
            self.kept.insert(page, kept);
        }
    }

    fn fits(&self, entry: &Entry) -> bool {
        let query = &self.query;
        let is_file = entry.kind == FileKind::File;
        is_within(&entry.path, &query.folder)
            && (query.kinds.is_empty() || query.kinds.contains(&entry.kind))
            && query.mtime_min.is_none_or(|min| entry.mtime >= min)
            && query.mtime_max.is_none_or(|max| entry.mtime <= max)
            && query.size_min.is_none_or(|min| is_file && entry.size >= min)
            && query.size_max.is_none_or(|max| is_file && entry.size <= max)
            && self.fits_a_pattern(entry)
    }

    fn fits_a_pattern(&self, entry: &Entry) -> bool {
        if !self.query.ignore_case {
            return self.patterns.is_empty()
                || self.patterns.iter().any(|p| p.fits(entry, &entry.path));
        }
        let path = lower_case(&entry.path);
        self.patterns.is_empty() || self.patterns.iter().any(|p| p.fits(entry, &path))
    }
}

/// Checks that a page ends where the page above says.
pub(super) fn check_last(want: Option<&[u8]>, found: Option<&[u8]>, name: &str) -> Result<()> {
    if want.is_some() && found != want {
        return Err(Error::damaged(name, "it does not end where the page above says"));
    }
    Ok(())
}

/// About how many bytes of memory an entry takes.
fn weight(entry: &Entry) -> usize {
    let content = match &entry.content {
        Content::Inline(bytes) => bytes.len(),
        Content::Pieces(pieces) => size_of_val(pieces.as_slice()),
        Content::None | Content::List { .. } => 0,
    };
    size_of::<Entry>() + entry.path.len() + content
}

struct Pattern {
    glob: GlobMatcher,
    of_names: bool,
    dirs_only: bool,
}

impl Pattern {
    fn new(text: &str, ignore_case: bool) -> Result<Self> {
        let folded = if ignore_case { text.to_lowercase() } else { text.into() };
        let parts: Vec<&str> = folded.split('/').filter(|part| !part.is_empty()).collect();
        let wrong = |why: &str| {
            Error::usage_hint(
                format!("`{text}` is no pattern to look for: {why}"),
                "patterns look like `*.jpg`, `docs/*.odt`, `/etc/ssh/*`",
            )
        };
        if parts.is_empty() {
            return Err(wrong("it names nothing"));
        }
        let is_anchored = folded.starts_with('/');
        let of_names = !is_anchored && parts.len() == 1 && parts[0] != "**";
        let joined = parts.join("/");
        let full = if of_names || is_anchored { joined } else { format!("**/{joined}") };
        let glob = GlobBuilder::new(&full)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map_err(|error| wrong(&error.kind().to_string()))?;
        Ok(Self { glob: glob.compile_matcher(), of_names, dirs_only: folded.ends_with('/') })
    }

    fn fits(&self, entry: &Entry, path: &[u8]) -> bool {
        let name = || path.rsplit(|b| *b == b'/').next().unwrap_or_default();
        let text = if self.of_names { name() } else { path };
        (!self.dirs_only || entry.kind == FileKind::Dir)
            && self.glob.is_match_candidate(&Candidate::from_bytes(text))
    }
}

/// A path in lower case: of what is not UTF-8 only the ASCII letters.
fn lower_case(bytes: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => bytes.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests;
