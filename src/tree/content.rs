//! What an entry's content is made of.

use std::collections::VecDeque;

use crate::error::{Error, Result};
use crate::format::list::{ListPage, decode_list};
use crate::format::page::decode_xattrs;
use crate::model::{Content, Entry, PageId, Piece, Xattr, XattrsRef};
use crate::repository::{Reader, Repository};

/// The pieces of a file in order, read page by page.
pub struct Pieces<'r> {
    reader: Reader<'r>,
    ready: VecDeque<Piece>,
    todo: Vec<(PageId, u8)>,
    /// Bytes that the pieces must still cover; what is beyond is refused.
    left: u64,
    failed: bool,
    is_link: bool,
}

impl<'r> Pieces<'r> {
    /// The pieces of a regular file whose content is not inline. One hole stands for a file
    /// without content. Fails at the first piece for a hard link: the content is that of
    /// [`Manifest::content_entry`](super::Manifest::content_entry).
    pub fn new(repository: &'r Repository, entry: &Entry) -> Self {
        let mut pieces = Self {
            reader: repository.reader(),
            ready: VecDeque::new(),
            todo: Vec::new(),
            left: entry.size,
            failed: false,
            is_link: false,
        };
        match &entry.content {
            Content::None if entry.link_to.is_some() => pieces.is_link = true,
            Content::None if entry.size > 0 => pieces.ready.push_back(Piece::Hole(entry.size)),
            Content::None | Content::Inline(_) => pieces.left = 0,
            Content::Pieces(list) => pieces.ready.extend(list),
            Content::List { root, depth, .. } => pieces.todo.push((*root, *depth)),
        }
        pieces
    }

    fn read_page(&mut self, page: PageId, level: u8) -> Result<()> {
        let bytes = self.reader.page(page)?;
        match decode_list(&bytes, level, &format!("page {page}"))? {
            ListPage::Leaf(pieces) => self.ready.extend(pieces),
            ListPage::Inner(children) => {
                self.todo.extend(children.iter().rev().map(|child| (child.page, level - 1)));
            }
        }
        Ok(())
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.is_link {
            self.failed = true;
            let what = "the content of a hard link stands in the first entry of its group".into();
            return Some(Err(Error::Internal { what }));
        }
        loop {
            if let Some(piece) = self.ready.pop_front() {
                if piece.len() > self.left {
                    self.failed = true;
                    return Some(Err(Error::damaged(
                        "list page",
                        "it has more bytes than the file",
                    )));
                }
                self.left -= piece.len();
                return Some(Ok(piece));
            }
            let Some((page, level)) = self.todo.pop() else {
                if self.left > 0 {
                    self.failed = true;
                    return Some(Err(Error::damaged(
                        "list page",
                        "it has fewer bytes than the file",
                    )));
                }
                return None;
            };
            if let Err(error) = self.read_page(page, level) {
                self.failed = true;
                return Some(Err(error));
            }
        }
    }
}

/// The extended attributes of an entry, wherever they are.
///
/// # Errors
/// If their page cannot be read.
pub fn load_xattrs(reader: &mut Reader<'_>, entry: &Entry) -> Result<Vec<Xattr>> {
    match &entry.xattrs {
        XattrsRef::None => Ok(Vec::new()),
        XattrsRef::Inline(list) => Ok(list.clone()),
        XattrsRef::Page(page) => decode_xattrs(&reader.page(*page)?, &format!("page {page}")),
    }
}
