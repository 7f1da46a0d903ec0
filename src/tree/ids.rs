//! Every id that manifests need: of their pages, of the chunks of their files, of lists and
//! attribute pages. What prune keeps, and what a commit makes sure of, rests on this walk.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::format::list::{ListPage, decode_list};
use crate::format::page::{decode_inner, decode_leaf, decode_xattrs};
use crate::model::{Content, Entry, PageId, Piece, XattrsRef};
use crate::repository::{Reader, Repository};
use crate::runtime::Runtime;
use crate::storage::in_parallel;

/// Pages that are read at once.
const BATCH: usize = 128;
/// Levels that no manifest and no list has.
const DEPTH_MAX: u8 = 15;
const LIST: u8 = 16;
const XATTRS: u8 = 32;

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdKind {
    /// A page.
    Page,
    /// A chunk of a file.
    Chunk,
    /// Not stored by itself: the chunk id of content that lies in a page, so that equal content
    /// can be told. Only for those who ask for it ([`SeenPages::with_inline`]).
    Inline,
}

/// The pages that walks have been at: none is read twice, however many manifests share it.
#[derive(Debug, Default)]
pub struct SeenPages {
    pages: HashSet<[u8; 16]>,
    with_inline: bool,
}

impl SeenPages {
    /// None seen, and ids of inline content are wanted.
    pub fn with_inline() -> Self {
        Self { with_inline: true, ..Self::default() }
    }

    /// How many pages were seen.
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// Whether none was seen.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }
}

/// A page, and its level as pages know it: lists and attributes have higher numbers.
type Place = (PageId, u8);

/// What a page names.
#[derive(Default)]
struct Named {
    below: Vec<Place>,
    ids: Vec<(IdKind, [u8; 32])>,
}

/// Calls `on_id` for every page and chunk that the manifests with these roots (and their depths)
/// need. Each page is read once and named once; chunks are named as often as they are met. Memory
/// grows with the number of different pages (about 20 bytes each), not with that of chunks.
///
/// Pages that cannot be read are returned: what they name is not known then.
///
/// # Errors
/// The storage's, where it says nothing about a single page; [`Error::Cancelled`].
pub fn each_id(
    repository: &Repository,
    roots: &[(PageId, u8)],
    seen: &mut SeenPages,
    on_id: &mut (dyn FnMut(IdKind, &[u8; 32]) + Send),
    runtime: &Runtime,
) -> Result<Vec<Error>> {
    let mut bad = Vec::new();
    let mut stack: Vec<Place> = Vec::new();
    for (root, depth) in roots.iter().rev() {
        if *depth > DEPTH_MAX {
            bad.push(Error::damaged(format!("page {root}"), "its depth is impossible"));
        } else {
            stack.push((*root, *depth));
        }
    }
    let readers: Mutex<Vec<Reader<'_>>> = Mutex::default();
    let inline = seen.with_inline;
    while !stack.is_empty() {
        runtime.cancel.check()?;
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(place) = stack.pop()
        {
            if seen.pages.insert(key(place)) {
                batch.push(place);
            }
        }
        let read = in_parallel(&**repository.storage(), &batch, |place| {
            let mut reader = readers.lock().pop().unwrap_or_else(|| repository.reader());
            let named = look(&mut reader, *place, inline);
            readers.lock().push(reader);
            named
        });
        for (place, named) in batch.iter().zip(read) {
            on_id(IdKind::Page, &place.0.0);
            match named {
                Ok(named) => {
                    named.ids.iter().for_each(|(kind, id)| on_id(*kind, id));
                    stack.extend(named.below.into_iter().rev());
                }
                Err(error) if error.is_damage() => {
                    // The next walk says so again.
                    seen.pages.remove(&key(*place));
                    bad.push(error);
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(bad)
}

/// Names a page at a level in 16 bytes: ids are keyed hashes, so nobody makes two alike.
fn key((page, level): Place) -> [u8; 16] {
    let mut key = [level; 16];
    key[..15].copy_from_slice(&page.0[..15]);
    key
}

fn look(reader: &mut Reader<'_>, (page, level): Place, inline: bool) -> Result<Named> {
    let bytes = reader.page(page)?;
    let name = format!("page {page}");
    let mut named = Named::default();
    match level {
        0 => {
            for entry in decode_leaf(&bytes, &name)? {
                take_entry(reader, &entry, inline, &name, &mut named)?;
            }
        }
        1..=DEPTH_MAX => {
            let children = decode_inner(&bytes, level, &name)?;
            named.below.extend(children.iter().map(|child| (child.page, level - 1)));
        }
        XATTRS => _ = decode_xattrs(&bytes, &name)?,
        _ => match decode_list(&bytes, level - LIST, &name)? {
            ListPage::Leaf(pieces) => take_pieces(&pieces, &mut named),
            ListPage::Inner(children) => {
                named.below.extend(children.iter().map(|child| (child.page, level - 1)));
            }
        },
    }
    Ok(named)
}

fn take_entry(
    reader: &Reader<'_>,
    entry: &Entry,
    inline: bool,
    name: &str,
    named: &mut Named,
) -> Result<()> {
    match &entry.content {
        Content::None => {}
        Content::Inline(bytes) => {
            if inline {
                let id = reader.repository().constants().chunk_id(bytes);
                named.ids.push((IdKind::Inline, id.0));
            }
        }
        Content::Pieces(pieces) => take_pieces(pieces, named),
        Content::List { root, depth, .. } if *depth < XATTRS - LIST => {
            named.below.push((*root, LIST + depth));
        }
        Content::List { .. } => {
            return Err(Error::damaged(name, "a list in it has an impossible depth"));
        }
    }
    if let XattrsRef::Page(page) = entry.xattrs {
        named.below.push((page, XATTRS));
    }
    Ok(())
}

fn take_pieces(pieces: &[Piece], named: &mut Named) {
    named.ids.extend(pieces.iter().filter_map(|piece| match piece {
        Piece::Chunk(id, _) => Some((IdKind::Chunk, id.0)),
        Piece::Hole(_) => None,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChunkId, FileKind};
    use crate::tree::testing::{Lab, dir, entry};

    fn walk(lab: &Lab, roots: &[Place], seen: &mut SeenPages) -> (Vec<(IdKind, [u8; 32])>, usize) {
        let mut all = Vec::new();
        let mut on_id = |kind: IdKind, id: &[u8; 32]| all.push((kind, *id));
        let bad =
            each_id(&lab.repository, roots, seen, &mut on_id, &Runtime::default()).expect("walks");
        (all, bad.len())
    }

    /// Many pages, shared ones read once, and what is lost is said each time.
    #[test]
    fn every_id_of_a_tree_is_named() {
        let lab = Lab::new();
        let mut entries = vec![dir(b"d")];
        for number in 0..40_u8 {
            let mut file = entry(
                &[b"d/", &[b'a' + number % 26, b'a' + number / 26][..]].concat(),
                FileKind::File,
            );
            file.size = 7;
            file.content = Content::Pieces(vec![Piece::Chunk(ChunkId([number; 32]), 7)]);
            entries.push(file);
        }
        entries.sort_by(|a, b| crate::model::entry::compare_paths(&a.path, &b.path));
        let manifest = lab.manifest(&entries);
        let root = (manifest.root(), manifest.depth());
        let mut seen = SeenPages::default();
        let (all, bad) = walk(&lab, &[root, root], &mut seen);
        assert_eq!(bad, 0);
        let chunks: HashSet<_> = all.iter().filter(|(kind, _)| *kind == IdKind::Chunk).collect();
        assert_eq!(chunks.len(), 40);
        let pages = all.iter().filter(|(kind, _)| *kind == IdKind::Page).count();
        assert_eq!(pages, seen.len());
        assert!(pages > 10);
        for (_, id) in all.iter().filter(|(kind, _)| *kind == IdKind::Page) {
            assert!(lab.repository.index().find(id).is_some());
        }
        assert!(walk(&lab, &[root], &mut seen).0.is_empty(), "all was seen");
        for _ in 0..2 {
            let (_, bad) = walk(&lab, &[(PageId([1; 32]), 0), root], &mut seen);
            assert_eq!(bad, 1, "a page that is not there");
        }
    }
}
