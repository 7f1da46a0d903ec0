//! What entries name beside pages of entries: chunks, lists of chunks, and attribute pages.

use rayon::prelude::*;

use super::manifests::{Walk, key};
use super::report::add;
use crate::error::Result;
use crate::format::list::{ListChild, ListPage, decode_list};
use crate::format::page::decode_xattrs;
use crate::model::{Content, Entry, PageId, Piece, XattrsRef};

/// The level under which attribute pages are remembered.
const XATTRS_LEVEL: u8 = 32;
/// Added to the level of list pages, so that they are not taken for others.
const LIST_LEVEL: u8 = 16;

/// What a verified list page turned out to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ListSummary {
    bytes: u64,
    pieces: u64,
}

impl Walk<'_> {
    /// Verifies what an entry of `page` names.
    pub(super) fn content(&self, page: PageId, entry: &Entry) -> Result<()> {
        match &entry.content {
            Content::None | Content::Inline(_) => {}
            Content::Pieces(pieces) => self.pieces(pieces)?,
            Content::List { root, depth, pieces } => {
                let said = ListSummary { bytes: entry.size, pieces: *pieces };
                if self.list(*root, *depth)?.is_some_and(|found| found != said) {
                    self.put_page(page, "a file has another size than its list of chunks");
                }
            }
        }
        match entry.xattrs {
            XattrsRef::Page(page) => self.attributes(page),
            _ => Ok(()),
        }
    }

    /// Verifies a page of a file's list and all below it, once. `None` if it is bad.
    fn list(&self, page: PageId, level: u8) -> Result<Option<ListSummary>> {
        let key = key(page, LIST_LEVEL.saturating_add(level));
        if let Some(known) = self.lists.lock().get(&key) {
            return Ok(*known);
        }
        let summary = match self.fresh_list(page, level) {
            Ok(summary) => Some(summary),
            Err(error) => {
                self.collector.damage(error)?;
                self.bad.lock().insert(page);
                None
            }
        };
        self.lists.lock().insert(key, summary);
        Ok(summary)
    }

    fn fresh_list(&self, page: PageId, level: u8) -> Result<ListSummary> {
        let bytes = self.read(page)?;
        match decode_list(&bytes, level, &format!("page {page}"))? {
            ListPage::Leaf(pieces) => {
                self.pieces(&pieces)?;
                let bytes = pieces.iter().fold(0_u64, |sum, piece| sum.saturating_add(piece.len()));
                Ok(ListSummary { bytes, pieces: pieces.len() as u64 })
            }
            ListPage::Inner(children) => self.list_children(page, level, &children),
        }
    }

    fn list_children(
        &self,
        page: PageId,
        level: u8,
        children: &[ListChild],
    ) -> Result<ListSummary> {
        let below: Vec<Option<ListSummary>> = children
            .par_iter()
            .map(|child| self.list(child.page, level - 1))
            .collect::<Result<_>>()?;
        let mut summary = ListSummary::default();
        for (child, found) in children.iter().zip(below) {
            let said = ListSummary { bytes: child.bytes, pieces: child.pieces };
            if found.is_some_and(|found| found != said) {
                self.put_page(page, "what it says of a page below is not so");
            }
            summary.bytes = summary.bytes.saturating_add(said.bytes);
            summary.pieces = summary.pieces.saturating_add(said.pieces);
        }
        Ok(summary)
    }

    fn attributes(&self, page: PageId) -> Result<()> {
        let key = key(page, XATTRS_LEVEL);
        if self.lists.lock().contains_key(&key) {
            return Ok(());
        }
        let read = self.read(page);
        let decoded = read.and_then(|bytes| decode_xattrs(&bytes, &format!("page {page}")));
        let known = decoded.is_ok().then(ListSummary::default);
        if let Err(error) = decoded {
            self.collector.damage(error)?;
            self.bad.lock().insert(page);
        }
        self.lists.lock().insert(key, known);
        Ok(())
    }

    fn pieces(&self, pieces: &[Piece]) -> Result<()> {
        let count = self.needed.add(pieces)?;
        add(&self.collector.counts.chunks, count);
        Ok(())
    }
}
