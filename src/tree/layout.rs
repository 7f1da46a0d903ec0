//! Where in a file an offset lies: finds the piece without reading all list pages.

use crate::error::{Error, Result};
use crate::format::list::{ListPage, decode_list};
use crate::model::{Content, Entry, PageId, Piece};
use crate::repository::Reader;

/// A part of a file that cannot be read.
#[derive(Debug)]
pub struct Gap {
    /// Where it starts, in bytes.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
    /// Why.
    pub error: Error,
}

/// The pieces of one file, with the pages on the way to the piece that was asked for last.
pub(crate) struct Layout {
    size: u64,
    root: Root,
    /// From the topmost page down.
    nodes: Vec<Node>,
}

enum Root {
    Pieces(Vec<Piece>),
    Page(PageId, u8),
}

struct Node {
    start: u64,
    /// Where each element ends, in bytes of the file. The last is the end of the node.
    ends: Vec<u64>,
    elements: Elements,
}

enum Elements {
    Pieces(Vec<Piece>),
    /// Pages of one level.
    Pages(Vec<PageId>, u8),
}

impl Layout {
    /// The layout of a regular file that is no hard link to another entry and not inline.
    pub(crate) fn new(entry: &Entry) -> Self {
        let root = match &entry.content {
            Content::Pieces(pieces) => Root::Pieces(pieces.clone()),
            Content::List { root, depth, .. } => Root::Page(*root, *depth),
            Content::None | Content::Inline(_) => Root::Pieces(vec![Piece::Hole(entry.size)]),
        };
        Self { size: entry.size, root, nodes: Vec::new() }
    }

    /// The piece that covers the byte at `offset`, which is below the size, and where it starts.
    ///
    /// # Errors
    /// What cannot be read because a page cannot be.
    pub(crate) fn locate(
        &mut self,
        reader: &mut Reader<'_>,
        offset: u64,
    ) -> Result<(Piece, u64), Gap> {
        while self.nodes.pop_if(|node| !node.covers(offset)).is_some() {}
        if self.nodes.is_empty() {
            let node = match &self.root {
                Root::Pieces(pieces) => Node::of_pieces(0, self.size, pieces.clone(), "entry"),
                Root::Page(page, level) => Node::read(reader, *page, *level, 0, self.size),
            };
            self.nodes.push(node.map_err(|error| Gap { start: 0, end: self.size, error })?);
        }
        loop {
            let node = self.nodes.last().expect("the topmost is there, and here they only grow");
            let at = node.ends.partition_point(|end| *end <= offset);
            let start = if at == 0 { node.start } else { node.ends[at - 1] };
            let (page, level) = match &node.elements {
                Elements::Pieces(pieces) => return Ok((pieces[at], start)),
                Elements::Pages(pages, level) => (pages[at], *level),
            };
            let end = node.ends[at];
            let below = Node::read(reader, page, level, start, end);
            self.nodes.push(below.map_err(|error| Gap { start, end, error })?);
        }
    }
}

impl Node {
    fn covers(&self, offset: u64) -> bool {
        self.start <= offset && self.ends.last().is_some_and(|end| offset < *end)
    }

    fn of_pieces(start: u64, end: u64, pieces: Vec<Piece>, name: &str) -> Result<Self> {
        let ends = ends(start, end, pieces.iter().map(Piece::len), name)?;
        Ok(Self { start, ends, elements: Elements::Pieces(pieces) })
    }

    fn read(
        reader: &mut Reader<'_>,
        page: PageId,
        level: u8,
        start: u64,
        end: u64,
    ) -> Result<Self> {
        let name = format!("page {page}");
        match decode_list(&reader.page(page)?, level, &name)? {
            ListPage::Leaf(pieces) => Self::of_pieces(start, end, pieces, &name),
            ListPage::Inner(children) => {
                let ends = ends(start, end, children.iter().map(|child| child.bytes), &name)?;
                let pages = children.iter().map(|child| child.page).collect();
                Ok(Self { start, ends, elements: Elements::Pages(pages, level - 1) })
            }
        }
    }
}

/// Sums of lengths, which together must lead from `start` to `end`.
fn ends(start: u64, end: u64, lengths: impl Iterator<Item = u64>, name: &str) -> Result<Vec<u64>> {
    let mut at = Some(start);
    let ends: Option<Vec<u64>> = lengths
        .map(|len| {
            at = at.and_then(|at| at.checked_add(len));
            at
        })
        .collect();
    ends.filter(|_| at == Some(end))
        .ok_or_else(|| Error::damaged(name, "its pieces are not as long as the file"))
}
