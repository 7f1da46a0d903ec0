//! Plans entries that are no folders: what has to be written, and what is there already.

use std::borrow::Cow;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::arbiter::{Placement, Trouble};
use super::context::{Context, is_loss};
use super::existing::{Verdict, can_write};
use super::files::{FileSpec, FileTask, Identity, Origin};
use super::hardlinks::LinkTask;
use super::ledger::Outcome;
use super::links::{LeaderKey, LeaderState, Leaders};
use super::nodes::{NodeTask, find};
use super::options::{Overwrite, SparsePolicy};
use super::plan::Planner;
use super::target::Dir;
use super::worker::SmallTask;
use crate::error::Result;
use crate::fsmeta;
use crate::model::{Content, Entry, FileKind, Piece};
use crate::tree::{Manifest, Pieces};

/// Where a file's content comes to lie.
struct Place {
    origin: Origin,
    /// The file that is there and stays.
    identity: Option<Identity>,
    /// Its content need not be looked at.
    is_same: bool,
    /// Its name is not that in the snapshot.
    is_beside: bool,
}

/// An entry that is linked to another, with the content of that one, and its time: the file may
/// have been written to between the looks at its names.
///
/// # Errors
/// If the manifest cannot be read there, or that one is not there.
pub(super) fn with_content_of_first(
    ctx: &Context<'_>,
    manifest: &Manifest,
    entry: &Entry,
) -> Result<Entry> {
    let first = manifest.content_entry(ctx.repository, entry)?.into_owned();
    Ok(Entry {
        content: first.content,
        size: first.size,
        mtime: first.mtime,
        device: first.device,
        sparse: first.sparse,
        link_to: None,
        ..entry.clone()
    })
}

impl Planner<'_, '_> {
    /// Plans a file, link or other node that goes to `name` in `dir`.
    ///
    /// # Errors
    /// What makes going on useless.
    pub(super) fn plan_entry(&mut self, entry: Entry, dir: Arc<Dir>, name: &[u8]) -> Result<()> {
        if let Some(first) = &entry.link_to {
            let key = Leaders::key(first);
            if self.ctx.leaders.get(&key).is_some() {
                return self.plan_link(entry, dir, name, key);
            }
            // The first of the group is not restored: this one takes its place.
            return match with_content_of_first(self.ctx, &self.manifest, &entry) {
                Ok(whole) => self.plan_content(whole, dir, name, Some(key), None),
                Err(error) if is_loss(&error) => {
                    self.ctx.ledger.fail(&dir.join(name), error);
                    Ok(())
                }
                Err(error) => Err(error),
            };
        }
        let leads = (entry.nlink > 1).then(|| Leaders::key(&entry.path));
        self.plan_content(entry, dir, name, leads, None)
    }

    fn plan_link(
        &mut self,
        entry: Entry,
        dir: Arc<Dir>,
        name: &[u8],
        key: LeaderKey,
    ) -> Result<()> {
        let mut decided = None;
        let mut name: Cow<'_, [u8]> = Cow::Borrowed(name);
        if self.ctx.arbiter.compares_first() {
            // What is lost is reported when the link is made.
            let whole = match with_content_of_first(self.ctx, &self.manifest, &entry) {
                Ok(whole) => Cow::Owned(whole),
                Err(error) if is_loss(&error) => Cow::Borrowed(&entry),
                Err(error) => return Err(error),
            };
            let Some(mut placement) = self.decide(&whole, &dir, &name)? else { return Ok(()) };
            if let Some(beside) = placement.beside.clone() {
                name = Cow::Owned(beside.into_vec());
            }
            // It is looked for again when the link is made.
            placement.found = None;
            decided = Some(Box::new(placement));
        }
        self.window.weight += LinkTask::weight(&entry);
        let task = LinkTask { dir, name: (*name).into(), key, entry: Box::new(entry), decided };
        self.window.links.push(task);
        Ok(())
    }

    /// Plans an entry with content of its own. If it is `decided` what becomes of it, `name` is
    /// the one that it gets.
    ///
    /// # Errors
    /// What makes going on useless.
    pub(super) fn plan_content(
        &mut self,
        entry: Entry,
        dir: Arc<Dir>,
        name: &[u8],
        leads: Option<LeaderKey>,
        decided: Option<Placement>,
    ) -> Result<()> {
        let is_file = entry.kind == FileKind::File;
        let mut name: Cow<'_, [u8]> = Cow::Borrowed(name);
        let placement = match decided {
            Some(decided) => Some(decided),
            // Nodes are looked at when they are made.
            None if !is_file && !self.ctx.arbiter.compares_first() => None,
            None => {
                let Some(placement) = self.decide(&entry, &dir, &name)? else { return Ok(()) };
                if let Some(beside) = &placement.beside {
                    name = Cow::Owned(beside.to_vec());
                }
                Some(placement)
            }
        };
        let path = dir.join(&name);
        let is_beside = placement.as_ref().is_some_and(|placement| placement.beside.is_some());
        if let Some(key) = leads {
            self.ctx.leaders.insert(key, &path);
        }
        if is_file {
            return match self.place(&entry, &dir, &name, placement) {
                Ok(place) => self.plan_file(entry, dir, &name, leads, &place),
                Err(error) => {
                    self.ctx.leaders.set(leads, LeaderState::Missing);
                    self.ctx.local_failure("look at", &path, error);
                    Ok(())
                }
            };
        }
        let attributes = self.attributes(&entry);
        self.window.weight += 2 * path.len() + size_of::<NodeTask>() + attributes.weight();
        let decided = placement.map(|placement| placement.verdict);
        let name = (*name).into();
        let node = NodeTask { dir, name, entry, attributes, leads, decided, is_beside };
        self.window.small.push(SmallTask::Node(Box::new(node)));
        Ok(())
    }

    /// Decides what becomes of an entry; `None` if it is not restored, which is in the report
    /// then.
    fn decide(&mut self, entry: &Entry, dir: &Dir, name: &[u8]) -> Result<Option<Placement>> {
        let ctx = self.ctx;
        let path = dir.join(name);
        let placement = match self.look_and_decide(entry, dir, name) {
            Ok(placement) => placement,
            Err(Trouble::End(error)) => return Err(error),
            Err(Trouble::Local(error)) => {
                ctx.local_failure("look at", &path, error);
                return Ok(None);
            }
        };
        if placement.verdict == Verdict::Leave {
            let is_open = placement.is_undecided;
            let outcome = if is_open { Outcome::Undecided } else { Outcome::Skipped };
            if entry.kind == FileKind::File {
                ctx.ledger.bytes_done(if entry.link_to.is_none() { entry.size } else { 0 });
                ctx.ledger.file(outcome, &path, entry.size);
            } else {
                ctx.ledger.entry(outcome, &path);
            }
            return Ok(None);
        }
        if let Some(beside) = &placement.beside {
            self.keep_beside(path, beside);
        }
        Ok(Some(placement))
    }

    fn look_and_decide(
        &mut self,
        entry: &Entry,
        dir: &Dir,
        name: &[u8],
    ) -> Result<Placement, Trouble> {
        if dir.is_fresh || !dir.exists {
            return Ok(Placement::free());
        }
        let fd = self.worker.dirs.get(&self.ctx.target, dir)?;
        match find(fd, name)? {
            Some(found) => self.ctx.arbiter.decide(fd, name, entry, &found),
            None => Ok(Placement::free()),
        }
    }

    /// Settles where the content of a file goes, as was decided.
    fn place(
        &mut self,
        entry: &Entry,
        dir: &Dir,
        name: &[u8],
        placement: Option<Placement>,
    ) -> io::Result<Place> {
        let placement = placement.unwrap_or_else(Placement::free);
        let is_beside = placement.beside.is_some();
        let new = Place { origin: Origin::New, identity: None, is_same: false, is_beside };
        if dir.is_fresh || !dir.exists || placement.verdict == Verdict::Free {
            return Ok(new);
        }
        let fd = self.worker.dirs.get(&self.ctx.target, dir)?;
        let found = match placement.found {
            Some(found) => found,
            None => match find(fd, name)? {
                Some(found) => found,
                None => return Ok(new),
            },
        };
        let looks_same = entry.size == found.size && entry.mtime == found.mtime;
        let in_place = |is_same| Place {
            origin: Origin::InPlace,
            identity: Some(Identity::from(&found)),
            is_same,
            is_beside,
        };
        Ok(match placement.verdict {
            Verdict::Same => in_place(true),
            Verdict::Compare if self.ctx.options.dry_run || can_write(fd, name) => in_place(false),
            // A program that runs cannot be written; it need not be if it looks the same.
            Verdict::Compare if looks_same && !self.ctx.arbiter.compares_first() => in_place(true),
            _ => Place { origin: Origin::Replace, identity: None, is_same: false, is_beside },
        })
    }

    fn plan_file(
        &mut self,
        mut entry: Entry,
        dir: Arc<Dir>,
        name: &[u8],
        leads: Option<LeaderKey>,
        place: &Place,
    ) -> Result<()> {
        let content = std::mem::take(&mut entry.content);
        let file = FileTask::new(FileSpec {
            id: self.new_id(),
            dir,
            name: name.into(),
            size: entry.size,
            attributes: self.attributes(&entry),
            origin: place.origin,
            is_one_piece: is_one_piece(&content, entry.size),
            is_sparse: match self.ctx.options.sparse {
                SparsePolicy::AsRecorded => entry.sparse,
                SparsePolicy::Always => true,
                SparsePolicy::Never => false,
            },
            is_staged: match place.origin {
                Origin::New => keeps_what_is_there(self.ctx.options.overwrite),
                Origin::Replace => true,
                Origin::InPlace => false,
            },
            is_beside: place.is_beside,
            leads,
            identity: place.identity,
        });
        self.window.weight += file.weight();
        match content {
            _ if place.is_same => self.ctx.ledger.bytes_done(entry.size),
            Content::Inline(bytes) if self.has_bytes(&file, &bytes) => {
                self.ctx.ledger.bytes_done(entry.size);
            }
            Content::Inline(bytes) => self.plan_bytes(&file, bytes),
            Content::Pieces(pieces) => {
                let mut at = 0;
                for piece in pieces {
                    self.plan_piece(&file, at, piece);
                    at = at.saturating_add(piece.len());
                }
            }
            content @ (Content::None | Content::List { .. }) => {
                entry.content = content;
                self.plan_list(&file, &entry)?;
            }
        }
        self.release(&file);
        Ok(())
    }

    /// Whether a file that is there begins with these bytes.
    fn has_bytes(&mut self, file: &FileTask, bytes: &[u8]) -> bool {
        if file.origin != Origin::InPlace {
            return false;
        }
        let mut found = vec![0; bytes.len()];
        self.worker
            .dirs
            .get(&self.ctx.target, &file.dir)
            .and_then(|dir| fsmeta::open_file_at(dir, &file.name))
            .and_then(|open| open.read_exact_at(&mut found, 0))
            .is_ok_and(|()| found == bytes)
    }

    fn plan_bytes(&mut self, file: &Arc<FileTask>, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        file.hold();
        self.window.weight += bytes.len() + size_of::<SmallTask>();
        self.window.small.push(SmallTask::Bytes(Arc::clone(file), bytes));
    }

    /// Pieces that are read from list pages, or the one hole of a file without content. A file
    /// may be longer than a window: then its parts are in several.
    fn plan_list(&mut self, file: &Arc<FileTask>, entry: &Entry) -> Result<()> {
        let repository = self.ctx.repository;
        let mut at = 0;
        for piece in Pieces::new(repository, entry) {
            match piece {
                Ok(piece) => {
                    self.plan_piece(file, at, piece);
                    at += piece.len();
                }
                Err(error) if is_loss(&error) => {
                    file.lose(at..entry.size, error);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            if self.window.weight >= self.window_bytes {
                self.ctx.check()?;
                self.turn()?;
            }
        }
        Ok(())
    }

    fn plan_piece(&mut self, file: &Arc<FileTask>, at: u64, piece: Piece) {
        if file.origin == Origin::InPlace {
            self.window.doubt(file, at, piece);
        } else if matches!(piece, Piece::Hole(_)) && file.is_sparse {
            // Not writing it is all that a hole in a new file takes.
            self.ctx.ledger.bytes_done(piece.len());
        } else {
            self.window.need(file, at, piece);
        }
    }
}

/// Whether a later run would keep a file that an interrupted one left half written, or take it for
/// somebody's: then none must be left under its name.
fn keeps_what_is_there(overwrite: Overwrite) -> bool {
    matches!(
        overwrite,
        Overwrite::Never | Overwrite::IfNewer | Overwrite::KeepBoth | Overwrite::Ask
    )
}

/// Whether writing its only piece gives a file its length.
fn is_one_piece(content: &Content, size: u64) -> bool {
    match content {
        Content::None => size == 0,
        Content::Inline(_) => true,
        Content::Pieces(pieces) => matches!(pieces[..], [Piece::Chunk(..)]),
        Content::List { .. } => false,
    }
}
