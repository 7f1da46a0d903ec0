//! Writes the list pages of files with many pieces (SPEC.md, section 11).

use super::sink::Sink;
use crate::error::Result;
use crate::format::config::PageRecord;
use crate::format::list::{ListChild, encode_inner, encode_leaf};
use crate::model::{Content, PageId, Piece};

/// Turns the pieces of a file into its content: as they are, or as a tree of list pages.
pub(crate) fn content_of(pieces: Vec<Piece>, sink: &mut Sink<'_>) -> Result<Content> {
    let mut list = ListWriter::default();
    list.extend(pieces, sink)?;
    list.finish(sink)
}

/// Takes the pieces of a file in order. List pages are written as they fill up, so a file of any
/// size takes a few hundred kilobytes.
#[derive(Debug, Default)]
pub(crate) struct ListWriter {
    /// Pieces that are in no page yet. The last one, if it is a hole, may grow.
    leaf: Vec<Piece>,
    /// How many of them are known to end no page.
    tested: usize,
    /// Pieces that are final, in pages or not.
    pieces: u64,
    bytes: u64,
    /// Pages that are waiting for a page above them, by level, leaves first.
    levels: Vec<ListLevel>,
}

#[derive(Debug, Default)]
struct ListLevel {
    children: Vec<ListChild>,
    /// Whether a page above this level was written.
    written: bool,
}

impl ListWriter {
    /// Bytes of the file so far.
    pub(crate) fn len(&self) -> u64 {
        self.bytes
    }

    /// Adds the next pieces. Holes that touch become one.
    ///
    /// # Errors
    /// Storage's.
    pub(crate) fn extend(
        &mut self,
        pieces: impl IntoIterator<Item = Piece>,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        for piece in pieces {
            self.bytes = self.bytes.saturating_add(piece.len());
            match (self.leaf.last_mut(), piece) {
                (Some(Piece::Hole(before)), Piece::Hole(more)) => {
                    *before = before.saturating_add(more);
                }
                (Some(_), piece) => {
                    self.pieces += 1;
                    self.end_leaves(self.leaf.len(), sink)?;
                    self.leaf.push(piece);
                }
                (None, piece) => self.leaf.push(piece),
            }
        }
        Ok(())
    }

    /// Writes the pages that end within the first `known` pieces, once it is known that the file
    /// has a list.
    fn end_leaves(&mut self, known: usize, sink: &mut Sink<'_>) -> Result<()> {
        let pages = &sink.repository().config().pages;
        // One more is coming.
        if self.pieces < u64::from(pages.pieces_max) {
            return Ok(());
        }
        let (min, max) = (pages.list_min as usize, pages.list_max as usize);
        let mut known = known;
        while self.tested < known {
            self.tested += 1;
            let id = match &self.leaf[self.tested - 1] {
                Piece::Chunk(id, _) => Some(&id.0),
                Piece::Hole(_) => None,
            };
            if self.tested == max || (self.tested >= min && id.is_some_and(|id| cuts(id, pages))) {
                let rest = self.leaf.split_off(self.tested);
                let leaf = std::mem::replace(&mut self.leaf, rest);
                known -= leaf.len();
                self.tested = 0;
                self.put_leaf(&leaf, sink)?;
            }
        }
        Ok(())
    }

    fn put_leaf(&mut self, leaf: &[Piece], sink: &mut Sink<'_>) -> Result<()> {
        let child = ListChild {
            page: sink.put_page(&encode_leaf(leaf))?,
            bytes: leaf.iter().map(Piece::len).sum(),
            pieces: leaf.len() as u64,
        };
        self.add_child(0, child, sink)
    }

    fn add_child(&mut self, level: usize, child: ListChild, sink: &mut Sink<'_>) -> Result<()> {
        if self.levels.len() == level {
            self.levels.push(ListLevel::default());
        }
        let pages = &sink.repository().config().pages;
        let (min, max) = (pages.list_min as usize, pages.list_max as usize);
        let cut = cuts(&child.page.0, pages);
        let children = &mut self.levels[level].children;
        children.push(child);
        if children.len() == max || (children.len() >= min && cut) {
            self.end_inner(level, sink)?;
        }
        Ok(())
    }

    fn end_inner(&mut self, level: usize, sink: &mut Sink<'_>) -> Result<()> {
        let state = &mut self.levels[level];
        let children = std::mem::take(&mut state.children);
        state.written = true;
        let child = ListChild {
            page: sink.put_page(&encode_inner(level as u8 + 1, &children))?,
            bytes: children.iter().map(|child| child.bytes).sum(),
            pieces: children.iter().map(|child| child.pieces).sum(),
        };
        self.add_child(level + 1, child, sink)
    }

    /// Writes what is left, and tells the content.
    ///
    /// # Errors
    /// Storage's.
    pub(crate) fn finish(mut self, sink: &mut Sink<'_>) -> Result<Content> {
        self.pieces += u64::from(!self.leaf.is_empty());
        let pieces_max = u64::from(sink.repository().config().pages.pieces_max);
        if self.pieces <= pieces_max {
            let mut pieces = self.leaf;
            pieces.shrink_to_fit();
            let is_empty = matches!(pieces[..], [] | [Piece::Hole(_)]);
            return Ok(if is_empty { Content::None } else { Content::Pieces(pieces) });
        }
        self.end_leaves(self.leaf.len(), sink)?;
        let leaf = std::mem::take(&mut self.leaf);
        if !leaf.is_empty() {
            self.put_leaf(&leaf, sink)?;
        }
        let (root, depth) = self.root(sink)?;
        Ok(Content::List { root, depth, pieces: self.pieces })
    }

    fn root(&mut self, sink: &mut Sink<'_>) -> Result<(PageId, u8)> {
        let mut level = 0;
        loop {
            let is_top = self.levels.len() == level + 1;
            let state = &self.levels[level];
            if let [root] = &state.children[..]
                && is_top
                && !state.written
            {
                return Ok((root.page, level as u8));
            }
            if !state.children.is_empty() {
                self.end_inner(level, sink)?;
            }
            level += 1;
        }
    }
}

/// Whether a page ends after the element with this id.
fn cuts(id: &[u8; 32], pages: &PageRecord) -> bool {
    let mut first = [0; 8];
    first.copy_from_slice(&id[..8]);
    u64::from_le_bytes(first) & pages.list_cut_mask == 0
}

#[cfg(test)]
mod tests;
