//! Compares one restored entry with the snapshot.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::existing::is_right;
use super::nodes::link_target;
use super::verify::CheckItem;
use super::worker::Worker;
use crate::fsmeta::{self, Stat};
use crate::model::{Content, Entry, FileKind};

/// What is wrong with something that was restored.
enum Wrong {
    Whole(String),
    Parts(Vec<Range<u64>>),
}

impl Worker<'_, '_> {
    /// Compares restored entries with the snapshot.
    pub(super) fn check(&mut self, items: Vec<CheckItem>) {
        for item in items {
            if self.ctx.is_stopped() {
                return;
            }
            let path = item.dir.join(&item.name);
            match self.check_item(&item) {
                Ok(None) if item.is_first => self.ctx.ledger.verified(),
                Ok(None) => {}
                Ok(Some(Wrong::Whole(text))) => self.ctx.ledger.fail(&path, text),
                Ok(Some(Wrong::Parts(parts))) => {
                    let text = "it is not what was written when it is read again";
                    self.ctx.ledger.fail_parts(&path, text, parts);
                }
                Err(error) => self.ctx.local_failure("read again", &path, error),
            }
        }
    }

    fn check_item(&mut self, item: &CheckItem) -> io::Result<Option<Wrong>> {
        let dir = self.dirs.get(&self.ctx.target, &item.dir)?;
        let entry = &item.entry;
        if item.is_first {
            let stat = fsmeta::stat_at(dir, &item.name)?;
            if let Some(text) = differs(entry, &stat) {
                return Ok(Some(Wrong::Whole(text)));
            }
            if entry.kind == FileKind::Symlink
                && entry.link_to.is_none()
                && fsmeta::read_link_at(dir, &item.name)? != link_target(entry)
            {
                return Ok(Some(Wrong::Whole("it leads elsewhere than in the snapshot".into())));
            }
        }
        if entry.kind != FileKind::File || entry.link_to.is_some() || entry.size == 0 {
            return Ok(None);
        }
        let file = fsmeta::open_file_at(dir, &item.name)?;
        fsmeta::forget_cached(&file);
        let wrong = self.wrong_parts(item, &file)?;
        Ok((!wrong.is_empty()).then_some(Wrong::Parts(wrong)))
    }

    fn wrong_parts(&mut self, item: &CheckItem, file: &File) -> io::Result<Vec<Range<u64>>> {
        if let Content::Inline(bytes) = &item.entry.content {
            let mut found = vec![0; bytes.len()];
            file.read_exact_at(&mut found, 0)?;
            let wrong = (found != *bytes).then_some(0..item.entry.size);
            return Ok(wrong.into_iter().collect());
        }
        let mut wrong = Vec::new();
        for (offset, piece) in &item.parts {
            if self.ctx.is_stopped() {
                break;
            }
            if !is_right(self.ctx.repository, file, *offset, piece, &mut self.buffer)? {
                wrong.push(*offset..offset + piece.len());
            }
        }
        Ok(wrong)
    }
}

/// What the system says about an entry that the snapshot does not. File systems keep times more
/// or less finely; owner and mode are in the summary of what the system did not take.
fn differs(entry: &Entry, stat: &Stat) -> Option<String> {
    if stat.kind != entry.kind {
        return Some(format!("it is a {} now", stat.kind.as_str()));
    }
    if entry.kind == FileKind::File && stat.size != entry.size {
        return Some(format!("it has {} bytes in place of {}", stat.size, entry.size));
    }
    let seconds_off = stat.mtime.secs.abs_diff(entry.mtime.secs);
    (entry.kind == FileKind::File && seconds_off > 2)
        .then(|| "its modification time is another than in the snapshot".into())
}
