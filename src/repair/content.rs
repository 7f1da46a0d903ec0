//! What is left of a file's content.

use crate::error::Result;
use crate::format::list::{ListPage, decode_list};
use crate::format::page::decode_xattrs;
use crate::model::{Content, Entry, PageId, Piece};
use crate::repository::{Damage, Reader, Repository};

/// Tells lost chunks and pages from those that are there.
pub(super) struct Loss<'a> {
    repository: &'a Repository,
    damage: &'a Damage,
    reader: Reader<'a>,
}

/// The pieces of a file, with holes in place of those that are lost.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) pieces: Vec<Piece>,
    pub(super) lost_bytes: u64,
}

impl Left {
    fn hole(&mut self, len: u64) {
        match self.pieces.last_mut() {
            Some(Piece::Hole(before)) => *before = before.saturating_add(len),
            _ => self.pieces.push(Piece::Hole(len)),
        }
    }

    fn lose(&mut self, len: u64) {
        self.lost_bytes = self.lost_bytes.saturating_add(len);
        self.hole(len);
    }
}

impl<'a> Loss<'a> {
    pub(super) fn new(repository: &'a Repository, damage: &'a Damage) -> Self {
        Self { repository, damage, reader: repository.reader() }
    }

    /// What is left of the content of an entry; `None` if all of it is there.
    ///
    /// # Errors
    /// The storage's.
    pub(super) fn of(&mut self, entry: &Entry) -> Result<Option<Left>> {
        let mut left = Left::default();
        match &entry.content {
            Content::None | Content::Inline(_) => return Ok(None),
            Content::Pieces(pieces) => self.pieces(pieces, &mut left),
            Content::List { root, depth, .. } => self.list(*root, *depth, entry.size, &mut left)?,
        }
        Ok((left.lost_bytes > 0).then_some(left))
    }

    fn pieces(&self, pieces: &[Piece], left: &mut Left) {
        let index = self.repository.index();
        for piece in pieces {
            match piece {
                Piece::Hole(len) => left.hole(*len),
                Piece::Chunk(id, len) if self.damage.is_lost(index, &id.0, Some(*len)) => {
                    left.lose(u64::from(*len));
                }
                chunk @ Piece::Chunk(..) => left.pieces.push(*chunk),
            }
        }
    }

    fn list(&mut self, page: PageId, level: u8, len: u64, left: &mut Left) -> Result<()> {
        let bytes = self.page(page)?;
        let decoded = bytes.and_then(|bytes| decode_list(&bytes, level, "list").ok());
        match decoded {
            None => left.lose(len),
            Some(ListPage::Leaf(pieces)) => {
                let sum = pieces.iter().fold(0_u64, |sum, piece| sum.saturating_add(piece.len()));
                // One that lies about its length would shift all that follows.
                if sum == len { self.pieces(&pieces, left) } else { left.lose(len) }
            }
            Some(ListPage::Inner(children)) => {
                let sum = children.iter().fold(0_u64, |sum, child| sum.saturating_add(child.bytes));
                if sum != len {
                    left.lose(len);
                    return Ok(());
                }
                for child in children {
                    self.list(child.page, level - 1, child.bytes, left)?;
                }
            }
        }
        Ok(())
    }

    /// Whether a page of extended attributes is there and makes sense.
    ///
    /// # Errors
    /// The storage's.
    pub(super) fn has_xattrs(&mut self, page: PageId) -> Result<bool> {
        let bytes = self.page(page)?;
        Ok(bytes.is_some_and(|bytes| decode_xattrs(&bytes, "attributes").is_ok()))
    }

    /// A page; `None` if it is lost. It is always tried, whatever the damage says: a page that
    /// could not be read when that was found may have been saved since, or its pack was in no index.
    ///
    /// # Errors
    /// The storage's.
    fn page(&mut self, page: PageId) -> Result<Option<Vec<u8>>> {
        match self.reader.page(page) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_damage() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
