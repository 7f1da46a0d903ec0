//! Reads everything that was restored again and compares it with the snapshot.

use std::collections::HashMap;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::context::{Context, is_loss};
use super::entries::with_content_of_first;
use super::ledger::Exception;
use super::links::{LeaderKey, Leaders};
use super::selected::Selected;
use super::target::{Dir, split_path};
use super::worker::Job;
use crate::error::{Error, Result};
use crate::fsmeta;
use crate::model::{Content, Entry, FileKind, Piece, Time};
use crate::repository::Snapshot;
use crate::tree::{Manifest, Pieces};

/// An entry to compare, or a stretch of a long file.
pub(super) struct CheckItem {
    pub(super) dir: Arc<Dir>,
    pub(super) name: Box<[u8]>,
    pub(super) entry: Arc<Entry>,
    pub(super) parts: Vec<(u64, Piece)>,
    /// The first stretch: tells of the entry as a whole.
    pub(super) is_first: bool,
}

/// Entries and stretches in one job.
const JOB_ITEMS: usize = 128;
/// Jobs at a time: the manifest is read no faster than files are compared.
const JOBS_WAITING: usize = 64;
/// Bytes in one job, and in one stretch of a file.
const JOB_BYTES: u64 = 32 << 20;

/// Hands all that was restored to the threads to be compared, and waits for them.
///
/// # Errors
/// What makes going on useless.
pub(super) fn verify(
    ctx: &Context<'_>,
    snapshot: &Snapshot,
    from: &[u8],
    jobs: &Sender<Job>,
) -> Result<()> {
    // Only what is durable can be read from the disk again.
    let synced = ctx.target.fd().and_then(fsmeta::sync_file_system);
    synced.map_err(|error| Error::local("write", ctx.target.join(b""), error))?;
    let (done, all_done) = bounded(0);
    let (take, give_back) = bounded(JOBS_WAITING);
    let manifest = Manifest::of(snapshot);
    let mut batch = Batch {
        jobs,
        done,
        take,
        give_back,
        manifest: &manifest,
        firsts: HashMap::new(),
        items: Vec::new(),
        bytes: 0,
    };
    let mut entries = Selected::new(ctx.repository, &manifest, &ctx.selection, from);
    let mut dir = Arc::new(ctx.target.root());
    let mut next_id = 0;
    while let Some(entry) = entries.next() {
        ctx.check()?;
        // Lost pages were reported when the entries were restored.
        let Ok(entry) = entry else { continue };
        let Some(relative) = ctx.selection.relative(&entry.path) else { continue };
        let place = ctx.renamed.place(relative);
        let exception = ctx.ledger.exception(&place);
        if entry.kind == FileKind::Dir && exception == Some(Exception::Skipped) {
            entries.skip_to_after(&entry.path);
            continue;
        }
        if exception.is_some() || relative.is_empty() {
            continue;
        }
        let (folder, name) = split_path(&place);
        if *dir.path != *folder {
            next_id += 1;
            dir = Arc::new(Dir::new(folder, VERIFY_IDS + next_id));
        }
        let name: Box<[u8]> = name.into();
        batch.add_entry(ctx, &dir, name, entry)?;
    }
    batch.flush();
    drop(batch);
    // Ends with an error when the last job drops its sender.
    let _ = all_done.recv();
    ctx.check()
}

/// Folders are numbered anew, past all numbers of the restore.
const VERIFY_IDS: u64 = 1 << 48;

struct Batch<'j> {
    jobs: &'j Sender<Job>,
    done: Sender<()>,
    /// Every job that is not done holds a place in this queue.
    take: Sender<()>,
    give_back: Receiver<()>,
    manifest: &'j Manifest,
    /// Size and time of hard links, as of the first of each group.
    firsts: HashMap<LeaderKey, (u64, Time)>,
    items: Vec<CheckItem>,
    bytes: u64,
}

impl Batch<'_> {
    /// What the file at `path` of the target has to be like. A hard link has the size and time of
    /// the first of its group: those recorded for it are of another moment.
    ///
    /// # Errors
    /// If the first of its group cannot be read.
    fn resolve(&mut self, ctx: &Context<'_>, path: &[u8], mut entry: Entry) -> Result<Entry> {
        let Some(first) = &entry.link_to else {
            if entry.nlink > 1 && entry.kind != FileKind::Dir {
                self.firsts.insert(Leaders::key(&entry.path), (entry.size, entry.mtime));
            }
            return Ok(entry);
        };
        let key = Leaders::key(first);
        let is_other = ctx.leaders.get(&key).is_some_and(|leader| *leader.path != *path);
        if is_other && let Some(known) = self.firsts.get(&key) {
            (entry.size, entry.mtime) = *known;
            return Ok(entry);
        }
        let whole = with_content_of_first(ctx, self.manifest, &entry)?;
        self.firsts.insert(key, (whole.size, whole.mtime));
        // Only one name of a group has to be read.
        let link_to = if is_other { entry.link_to } else { None };
        Ok(Entry { link_to, ..whole })
    }

    fn add_entry(
        &mut self,
        ctx: &Context<'_>,
        dir: &Arc<Dir>,
        name: Box<[u8]>,
        entry: Entry,
    ) -> Result<()> {
        let path = dir.join(&name);
        let entry = match self.resolve(ctx, &path, entry) {
            Ok(entry) => entry,
            Err(error) => return report(ctx, &path, error),
        };
        let has_parts = entry.kind == FileKind::File && entry.link_to.is_none();
        let dir = Arc::clone(dir);
        let mut item =
            CheckItem { dir, name, entry: Arc::new(entry), parts: Vec::new(), is_first: true };
        let entry = Arc::clone(&item.entry);
        let mut bytes = 0;
        let mut at = 0;
        // One reader of pages for each file would cost more than most files do.
        let (listed, own) = match &entry.content {
            _ if !has_parts => (None, &[][..]),
            Content::Pieces(pieces) => (None, &pieces[..]),
            _ => (Some(Pieces::new(ctx.repository, &entry)), &[][..]),
        };
        for piece in own.iter().map(|piece| Ok(*piece)).chain(listed.into_iter().flatten()) {
            let piece = match piece {
                Ok(piece) => piece,
                Err(error) => return report(ctx, &path, error),
            };
            item.parts.push((at, piece));
            at = at.saturating_add(piece.len());
            bytes += piece.len();
            if bytes >= JOB_BYTES {
                ctx.check()?;
                self.push(item.split_off(), bytes);
                bytes = 0;
            }
        }
        if item.is_first || !item.parts.is_empty() {
            self.push(item, bytes);
        }
        Ok(())
    }

    fn push(&mut self, item: CheckItem, bytes: u64) {
        self.items.push(item);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.items.len() >= JOB_ITEMS || self.bytes >= JOB_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.bytes = 0;
        let items = std::mem::take(&mut self.items);
        if !items.is_empty() {
            let _ = self.take.send(());
            let place = Place(self.give_back.clone());
            // Without threads the job is dropped, and they have said why they ended.
            let _ = self.jobs.send(Job::Check { items, place, done: self.done.clone() });
        }
    }
}

/// A job's place in the queue, given back when the job is done or dropped.
pub(super) struct Place(Receiver<()>);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.0.try_recv();
    }
}

impl CheckItem {
    /// What was collected, as an item of its own; the rest of the file follows.
    fn split_off(&mut self) -> Self {
        Self {
            dir: Arc::clone(&self.dir),
            name: self.name.clone(),
            entry: Arc::clone(&self.entry),
            parts: std::mem::take(&mut self.parts),
            is_first: std::mem::replace(&mut self.is_first, false),
        }
    }
}

/// What cannot be read of the snapshot cannot be compared.
fn report(ctx: &Context<'_>, path: &[u8], error: Error) -> Result<()> {
    if !is_loss(&error) {
        return Err(error);
    }
    ctx.ledger.fail(path, error);
    Ok(())
}
