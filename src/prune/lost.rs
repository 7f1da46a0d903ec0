//! Which files cannot be had back once forgotten snapshots are pruned: those whose content is in no
//! snapshot that lives.

use std::collections::HashSet;

use super::options::{LostFile, LostFiles};
use super::survey::Survey;
use crate::error::Result;
use crate::format::list::{ListPage, decode_list};
use crate::format::page::{decode_inner, decode_leaf};
use crate::model::{BackupId, Content, Entry, FileKind, PageId, Piece, escape_bytes};
use crate::repository::Reader;

/// Files that are listed; more are only counted.
const LISTED_MAX: usize = 1_000_000;

/// Walks the snapshots whose data goes, newest first. What cannot be read of them is passed over.
pub(super) fn lost_files(survey: &Survey<'_>) -> Result<LostFiles> {
    let mut going: Vec<_> = survey.going().map(|forgotten| &forgotten.snapshot).collect();
    going.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.time_ms()));
    let mut walk = Walk {
        survey,
        reader: survey.repository.reader(),
        pages: HashSet::new(),
        files: HashSet::new(),
        snapshot: BackupId([0; 16]),
        lost: LostFiles::default(),
    };
    for snapshot in going {
        walk.snapshot = snapshot.id;
        walk.page(snapshot.body.root, snapshot.body.depth)?;
    }
    Ok(walk.lost)
}

struct Walk<'a> {
    survey: &'a Survey<'a>,
    reader: Reader<'a>,
    pages: HashSet<[u8; 16]>,
    /// Path and content of what was counted.
    files: HashSet<[u8; 16]>,
    snapshot: BackupId,
    lost: LostFiles,
}

impl Walk<'_> {
    fn page(&mut self, page: PageId, level: u8) -> Result<()> {
        self.survey.runtime.cancel.check()?;
        let mut key = [level; 16];
        key[..15].copy_from_slice(&page.0[..15]);
        // Nothing below a page that lives is lost.
        if self.survey.living.contains(&page.0) || !self.pages.insert(key) {
            return Ok(());
        }
        let Some(bytes) = self.read(page)? else { return Ok(()) };
        if level > 0 {
            for child in decode_inner(&bytes, level, "page").unwrap_or_default() {
                self.page(child.page, level - 1)?;
            }
            return Ok(());
        }
        for entry in decode_leaf(&bytes, "page").unwrap_or_default() {
            // Other names of a file have their content in the first.
            if entry.kind == FileKind::File && entry.link_to.is_none() && self.is_lost(&entry)? {
                self.put(&entry);
            }
        }
        Ok(())
    }

    fn read(&mut self, page: PageId) -> Result<Option<Vec<u8>>> {
        match self.reader.page(page) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_damage() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn is_lost(&mut self, entry: &Entry) -> Result<bool> {
        match &entry.content {
            Content::None => Ok(false),
            Content::Inline(bytes) => {
                let id = self.survey.repository.constants().chunk_id(bytes);
                Ok(!self.survey.inline.contains(&id.0))
            }
            Content::Pieces(pieces) => Ok(self.lacks(pieces)),
            Content::List { root, depth, .. } => self.list(*root, *depth),
        }
    }

    fn lacks(&self, pieces: &[Piece]) -> bool {
        pieces.iter().any(|piece| match piece {
            Piece::Chunk(id, _) => !self.survey.living.contains(&id.0),
            Piece::Hole(_) => false,
        })
    }

    fn list(&mut self, page: PageId, level: u8) -> Result<bool> {
        if self.survey.living.contains(&page.0) {
            return Ok(false);
        }
        let Some(bytes) = self.read(page)? else { return Ok(true) };
        match decode_list(&bytes, level, "list") {
            Ok(ListPage::Leaf(pieces)) => Ok(self.lacks(&pieces)),
            Ok(ListPage::Inner(children)) => {
                for child in children {
                    if self.list(child.page, level - 1)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Err(_) => Ok(true),
        }
    }

    fn put(&mut self, entry: &Entry) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(entry.path.len() as u64).to_le_bytes()).update(&entry.path);
        match &entry.content {
            Content::None => {}
            Content::Inline(bytes) => _ = hasher.update(bytes),
            Content::Pieces(pieces) => {
                for piece in pieces {
                    if let Piece::Chunk(id, _) = piece {
                        hasher.update(&id.0);
                    }
                }
            }
            Content::List { root, .. } => _ = hasher.update(&root.0),
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        if !self.files.insert(key) {
            return;
        }
        self.lost.count += 1;
        self.lost.bytes = self.lost.bytes.saturating_add(entry.size);
        if self.lost.files.len() < LISTED_MAX {
            self.lost.files.push(LostFile {
                snapshot: self.snapshot,
                path: format!("/{}", escape_bytes(&entry.path)),
                bytes: entry.size,
            });
        }
    }
}
