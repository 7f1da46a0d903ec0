//! List pages: the pieces of files that have too many for their entry (SPEC.md, section 11).

use super::record::{Bin, Few, decode, encode, names32, record};
use crate::error::{Error, Result};
use crate::model::{ChunkId, PageId, Piece};

/// The number that tells list pages from pages of entries.
const LEVEL_BASE: u8 = 16;

record! {
    /// The pieces of a list leaf as stored.
    LeafRecord, schema 1 {
        /// Always 16.
        level: u8,
        /// Ids of the chunks.
        ids: Bin,
        /// Lengths of chunks, and of holes as negative numbers.
        lengths: Few<i64>,
    }
}

record! {
    /// One page below an inner list page.
    ListChild {
        /// The page.
        page: PageId,
        /// Bytes of the file that it covers.
        bytes: u64,
        /// Pieces in it.
        pieces: u64,
    }
}

record! {
    /// An inner list page as stored.
    InnerRecord, schema 1 {
        /// 16 plus the level.
        level: u8,
        /// The pages below, in file order.
        children: Few<ListChild>,
    }
}

/// A decoded list page.
pub enum ListPage {
    /// Pieces in file order.
    Leaf(Vec<Piece>),
    /// Pages in file order.
    Inner(Vec<ListChild>),
}

/// Encodes a leaf.
pub fn encode_leaf(pieces: &[Piece]) -> Vec<u8> {
    let (ids, lengths) = split(pieces);
    encode(&LeafRecord { level: LEVEL_BASE, ids, lengths: Few(lengths) })
}

/// Encodes an inner page of `level` 1 and more.
pub fn encode_inner(level: u8, children: &[ListChild]) -> Vec<u8> {
    encode(&InnerRecord { level: LEVEL_BASE + level, children: Few(children.to_vec()) })
}

/// Reads a list page of the given level.
///
/// # Errors
/// [`Error::Damaged`], naming `name`.
pub fn decode_list(bytes: &[u8], level: u8, name: &str) -> Result<ListPage> {
    let damaged = || Error::damaged(name, "it is no list page of this level");
    let stored_level = level.checked_add(LEVEL_BASE).ok_or_else(damaged)?;
    if level == 0 {
        let leaf: LeafRecord = decode(bytes, name)?;
        if leaf.level != stored_level {
            return Err(damaged());
        }
        join(&leaf.ids, &leaf.lengths.0).map(ListPage::Leaf).ok_or_else(damaged)
    } else {
        let inner: InnerRecord = decode(bytes, name)?;
        if inner.level != stored_level || inner.children.0.is_empty() {
            return Err(damaged());
        }
        Ok(ListPage::Inner(inner.children.0))
    }
}

/// Pieces as stored: ids together, lengths together.
pub fn split(pieces: &[Piece]) -> (Bin, Vec<i64>) {
    let mut ids = Vec::with_capacity(pieces.len() * 32);
    let mut lengths = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match piece {
            Piece::Chunk(id, len) => {
                ids.extend_from_slice(id.as_bytes());
                lengths.push(i64::from(*len));
            }
            // Holes are parts of files, whose lengths are signed in every system.
            Piece::Hole(len) => lengths.push(-i64::try_from(*len).unwrap_or(i64::MAX)),
        }
    }
    (Bin(ids), lengths)
}

/// Pieces from what is stored; `None` if ids and lengths do not fit.
pub fn join(ids: &Bin, lengths: &[i64]) -> Option<Vec<Piece>> {
    let mut ids = names32(&ids.0, ChunkId)?.into_iter();
    let mut pieces = Vec::with_capacity(lengths.len());
    for &len in lengths {
        pieces.push(match len {
            1.. => Piece::Chunk(ids.next()?, u32::try_from(len).ok()?),
            0 => return None,
            _ => Piece::Hole(len.checked_neg()? as u64),
        });
    }
    ids.next().is_none().then_some(pieces)
}
