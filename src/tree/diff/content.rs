//! How much of a file's content is new: compares its pieces, not its bytes.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::format::list::{ListPage, decode_list};
use crate::model::{ChunkId, Content, Entry, PageId, Piece};
use crate::repository::{Reader, Repository};

/// Files of more pieces than this (some 60 GiB) are compared by size alone: memory has a bound.
const PIECES_MAX: u64 = 1 << 20;

/// Bytes of chunks that only `new` has, and of those that only `old` has. List pages that both
/// have are not read. Holes count nothing.
pub(super) fn changed_bytes(
    repository: &Repository,
    old: &Entry,
    new: &Entry,
) -> Result<(u64, u64)> {
    let too_many = |entry: &Entry| match entry.content {
        Content::List { pieces, .. } => pieces > PIECES_MAX,
        _ => false,
    };
    if too_many(old) || too_many(new) {
        return Ok((new.size, old.size));
    }
    let mut reader = repository.reader();
    let (mut old, mut new) = (Side::new(old), Side::new(new));
    // From the topmost level down: what both have at one level is the same below it, too.
    while let Some(level) = old.level().max(new.level()) {
        if old.level() == new.level() {
            let shared: HashSet<PageId> = old.pages.intersection(&new.pages).copied().collect();
            old.pages.retain(|page| !shared.contains(page));
            new.pages.retain(|page| !shared.contains(page));
        }
        for side in [&mut old, &mut new] {
            if side.level() == Some(level) {
                side.open(&mut reader, level)?;
            }
        }
    }
    let only = |a: &Side, b: &Side| {
        let lone = a.chunks.iter().filter(|(id, _)| !b.chunks.contains_key(*id));
        a.inline + lone.map(|(_, len)| u64::from(*len)).sum::<u64>()
    };
    Ok((only(&new, &old), only(&old, &new)))
}

struct Side {
    /// Pages of one level that are still to be read.
    pages: HashSet<PageId>,
    pages_level: u8,
    chunks: HashMap<ChunkId, u32>,
    inline: u64,
}

impl Side {
    fn new(entry: &Entry) -> Self {
        let mut side =
            Self { pages: HashSet::new(), pages_level: 0, chunks: HashMap::new(), inline: 0 };
        match &entry.content {
            Content::None => {}
            Content::Inline(bytes) => side.inline = bytes.len() as u64,
            Content::Pieces(pieces) => side.add(pieces),
            Content::List { root, depth, .. } => {
                side.pages.insert(*root);
                side.pages_level = *depth;
            }
        }
        side
    }

    fn add(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            if let Piece::Chunk(id, len) = piece {
                self.chunks.insert(*id, *len);
            }
        }
    }

    /// The level of the pages that are still to be read, if there are any.
    fn level(&self) -> Option<u8> {
        (!self.pages.is_empty()).then_some(self.pages_level)
    }

    fn open(&mut self, reader: &mut Reader<'_>, level: u8) -> Result<()> {
        let mut below = HashSet::new();
        for page in std::mem::take(&mut self.pages) {
            match decode_list(&reader.page(page)?, level, &format!("page {page}"))? {
                ListPage::Leaf(pieces) => self.add(&pieces),
                ListPage::Inner(children) => below.extend(children.iter().map(|c| c.page)),
            }
        }
        self.pages = below;
        self.pages_level = level.saturating_sub(1);
        Ok(())
    }
}
