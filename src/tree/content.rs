//! What an entry's content is made of.

use super::layout::Layout;
use crate::error::{Error, Result};
use crate::format::page::decode_xattrs;
use crate::model::{Content, Entry, Piece, Xattr, XattrsRef};
use crate::repository::{Reader, Repository};

/// The pieces of a file in order, read page by page. Ends at the first error.
pub struct Pieces<'r> {
    reader: Reader<'r>,
    layout: Layout,
    at: u64,
    end: u64,
    is_link: bool,
}

impl<'r> Pieces<'r> {
    /// The pieces of a regular file whose content is not inline. One hole stands for a file
    /// without content. Fails at the first piece for a hard link: the content is that of
    /// [`Manifest::content_entry`](super::Manifest::content_entry).
    pub fn new(repository: &'r Repository, entry: &Entry) -> Self {
        let end = match &entry.content {
            Content::Inline(_) => 0,
            _ => entry.size,
        };
        Self {
            reader: repository.reader(),
            layout: Layout::new(entry),
            at: 0,
            end,
            is_link: entry.link_to.is_some(),
        }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::take(&mut self.is_link) {
            self.at = self.end;
            let what = "the content of a hard link stands in the first entry of its group".into();
            return Some(Err(Error::Internal { what }));
        }
        if self.at >= self.end {
            return None;
        }
        match self.layout.locate(&mut self.reader, self.at) {
            Ok((piece, start)) => {
                self.at = start + piece.len();
                Some(Ok(piece))
            }
            Err(gap) => {
                self.at = self.end;
                Some(Err(gap.error))
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
