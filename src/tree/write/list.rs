//! Writes the list pages of files with many pieces (SPEC.md, section 11).

use super::sink::Sink;
use crate::error::Result;
use crate::format::config::PageRecord;
use crate::format::list::{ListChild, encode_inner, encode_leaf};
use crate::model::{Content, Piece};

/// Turns the pieces of a file into its content: as they are, or as a tree of list pages.
pub(crate) fn content_of(mut pieces: Vec<Piece>, sink: &mut Sink<'_>) -> Result<Content> {
    if matches!(pieces[..], [] | [Piece::Hole(_)]) {
        return Ok(Content::None);
    }
    let pages = sink.repository().config().pages.clone();
    if pieces.len() <= pages.pieces_max as usize {
        pieces.shrink_to_fit();
        return Ok(Content::Pieces(pieces));
    }
    let count = pieces.len() as u64;
    let mut children = Vec::new();
    let mut rest = &pieces[..];
    while !rest.is_empty() {
        let end = page_end(rest, &pages, |piece| match piece {
            Piece::Chunk(id, _) => Some(&id.0),
            Piece::Hole(_) => None,
        });
        let (leaf, after) = rest.split_at(end);
        children.push(ListChild {
            page: sink.put_page(&encode_leaf(leaf))?,
            bytes: leaf.iter().map(Piece::len).sum(),
            pieces: leaf.len() as u64,
        });
        rest = after;
    }
    let mut depth = 0;
    while children.len() > 1 {
        depth += 1;
        let mut above = Vec::new();
        let mut rest = &children[..];
        while !rest.is_empty() {
            let end = page_end(rest, &pages, |child| Some(&child.page.0));
            let (inner, after) = rest.split_at(end);
            above.push(ListChild {
                page: sink.put_page(&encode_inner(depth, inner))?,
                bytes: inner.iter().map(|child| child.bytes).sum(),
                pieces: inner.iter().map(|child| child.pieces).sum(),
            });
            rest = after;
        }
        children = above;
    }
    Ok(Content::List { root: children[0].page, depth, pieces: count })
}

/// How many elements the next page takes.
fn page_end<T>(rest: &[T], pages: &PageRecord, id: impl Fn(&T) -> Option<&[u8; 32]>) -> usize {
    let cuts = |element: &T| {
        id(element).is_some_and(|id| {
            let mut first = [0; 8];
            first.copy_from_slice(&id[..8]);
            u64::from_le_bytes(first) & pages.list_cut_mask == 0
        })
    };
    let (min, max) = (pages.list_min as usize, pages.list_max as usize);
    let limit = rest.len().min(max);
    (min..=limit).find(|end| cuts(&rest[end - 1])).unwrap_or(limit)
}
