//! Walks the manifest in order, makes folders, and collects work in windows.
//!
//! A window is a stretch of the manifest whose plan fits in bounded memory. While threads work on
//! one window the next is planned. When all work of a window is done, its hard links are made and
//! the folders that ended in it get their metadata: nothing in them changes any more.

use std::sync::Arc;

use super::attributes::Attributes;
use super::context::{Context, is_loss};
use super::delete::{Deletions, Names};
use super::files::FileTask;
use super::ledger::Outcome;
use super::levels::{ClosedDir, Level, Made};
use super::options::Overwrite;
use super::target::split_path;
use super::window::{Dispatched, Window};
use super::worker::{Job, SmallTask, Worker};
use crate::error::Result;
use crate::model::{Entry, FileKind};
use crate::repository::Snapshot;
use crate::tree::{Manifest, load_xattrs};

/// Bytes of plan at which the first window is handed over: work begins soon.
const FIRST_WINDOW_BYTES: usize = 1 << 20;

/// Plans the restore, on the thread that asked for it.
pub(super) struct Planner<'c, 'r> {
    pub(super) ctx: &'c Context<'r>,
    pub(super) manifest: Manifest,
    pub(super) jobs: crossbeam_channel::Sender<Job>,
    /// For what the planner does itself.
    pub(super) worker: Worker<'c, 'r>,
    pub(super) deletions: Deletions,
    pub(super) window: Window,
    pub(super) running: Option<Dispatched>,
    pub(super) window_bytes: usize,
    /// Folders whose mode would keep later links from being made: they come at the very end.
    pub(super) deferred: Vec<ClosedDir>,
    /// The folders that lead to the entry at hand; the target is the first.
    pub(super) levels: Vec<Level>,
    /// A page of the manifest was lost, so folders may be missing.
    pub(super) pages_lost: bool,
    next_id: u64,
}

/// What to walk to after an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Entry,
    /// What is after the folder that the entry is.
    AfterFolder,
}

impl<'c, 'r> Planner<'c, 'r> {
    pub(super) fn new(
        ctx: &'c Context<'r>,
        snapshot: &Snapshot,
        jobs: crossbeam_channel::Sender<Job>,
    ) -> Self {
        let target = Level {
            path: Box::default(),
            included: ctx.selection.is_within_included(ctx.selection.subtree()),
            attributes: None,
            made: Made::Yes(Arc::new(ctx.target.root())),
            // Of one entry's folder the walk does not learn what else is in it.
            names: (!ctx.selection.is_one_entry()).then(Names::default),
        };
        Self {
            ctx,
            manifest: Manifest::of(snapshot),
            jobs,
            worker: Worker::new(ctx),
            deletions: Deletions::new(ctx, snapshot),
            window: Window::default(),
            running: None,
            window_bytes: FIRST_WINDOW_BYTES,
            deferred: Vec::new(),
            levels: vec![target],
            pages_lost: false,
            next_id: 1,
        }
    }

    /// Plans, and sees through, everything from the entry `from` down.
    ///
    /// # Errors
    /// What makes going on useless.
    pub(super) fn run(mut self, from: &[u8]) -> Result<()> {
        let mut entries = self.manifest.entries_within(self.ctx.repository, from);
        while let Some(entry) = entries.next() {
            self.ctx.check()?;
            match entry {
                Ok(entry) => {
                    let path = (entry.kind == FileKind::Dir).then(|| entry.path.clone());
                    if self.visit(entry)? == Next::AfterFolder
                        && let Some(path) = path
                    {
                        entries.skip_to_after(&path);
                    }
                }
                Err(error) if is_loss(&error) => self.lose_page(&error),
                Err(error) => return Err(error),
            }
            if self.window.weight >= self.window_bytes {
                self.turn()?;
            }
        }
        while !self.levels.is_empty() {
            self.close_level();
        }
        self.ctx.runtime.progress.expect_no_more();
        self.turn()?;
        self.end()
    }

    /// A number that no other file or folder has.
    pub(super) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn visit(&mut self, entry: Entry) -> Result<Next> {
        let selection = &self.ctx.selection;
        let Some(relative) = selection.relative(&entry.path) else { return Ok(Next::Entry) };
        if relative.is_empty() {
            return Ok(self.visit_target(&entry));
        }
        let relative = relative.to_vec();
        let (folder, name) = split_path(&relative);
        let is_dir = entry.kind == FileKind::Dir;
        if !self.climb_to(folder) {
            self.ctx.ledger.fail(&relative, "the manifest is damaged: it lies in no folder");
            return Ok(Next::Entry);
        }
        let Some(level) = self.levels.last_mut() else { return Ok(Next::Entry) };
        if let Some(names) = &mut level.names {
            self.window.weight += names.push(name);
        }
        if selection.excludes(&entry.path, is_dir) {
            return Ok(Next::AfterFolder);
        }
        let included = selection.includes(&entry.path, is_dir, level.included);
        if included {
            self.expect(&entry);
        }
        if is_dir {
            return Ok(self.visit_dir(&entry, &relative, included));
        }
        if !included {
            return Ok(Next::Entry);
        }
        match self.make_levels() {
            Some(dir) => self.plan_entry(entry, dir, name)?,
            None if self.is_skipped() => self.ctx.ledger.entry(Outcome::Skipped, &relative),
            None => {
                self.ctx.check()?;
                self.ctx.ledger.fail(&relative, "its folder could not be made");
            }
        }
        Ok(Next::Entry)
    }

    /// Tells the progress of an entry, unless it was told of everything at once.
    fn expect(&self, entry: &Entry) {
        if !self.ctx.selection.is_everything() {
            let bytes = if entry.link_to.is_none() { entry.size } else { 0 };
            self.ctx.runtime.progress.expect(1, bytes);
        }
    }

    fn visit_target(&mut self, entry: &Entry) -> Next {
        self.expect(entry);
        self.ctx.runtime.progress.done(1, 0);
        let options = self.ctx.options;
        let keeps = options.overwrite == Overwrite::Never && !self.ctx.target.was_empty;
        // Without a subtree the target is no image of a folder of the snapshot.
        if entry.kind == FileKind::Dir && !keeps && options.subtree.is_some() {
            let attributes = self.attributes(entry);
            if let Some(root) = self.levels.first_mut() {
                root.attributes = Some(attributes);
            }
        }
        Next::Entry
    }

    fn visit_dir(&mut self, entry: &Entry, relative: &[u8], included: bool) -> Next {
        let attributes = self.attributes(entry);
        self.window.weight += 2 * relative.len() + 256 + attributes.weight();
        let is_finished = self.ctx.selection.finishes(&entry.path, included);
        self.levels.push(Level {
            path: relative.into(),
            included,
            attributes: is_finished.then_some(attributes),
            made: Made::NotYet,
            names: self.deletions.may_delete_in(&entry.path).then(Names::default),
        });
        let leads_nowhere = !included && !self.ctx.selection.may_lead_on(&entry.path);
        if leads_nowhere || (included && self.make_levels().is_none() && self.is_skipped()) {
            return Next::AfterFolder;
        }
        Next::Entry
    }

    /// The attributes of an entry; those that are lost are reported.
    pub(super) fn attributes(&mut self, entry: &Entry) -> Attributes {
        let xattrs = match load_xattrs(&mut self.worker.reader, entry) {
            Ok(xattrs) => Some(xattrs),
            Err(error) => {
                let path = self.ctx.selection.relative(&entry.path).unwrap_or_default();
                self.ctx.ledger.fail(path, format!("its attributes are lost: {error}"));
                None
            }
        };
        Attributes::of(entry, xattrs, &self.ctx.owners)
    }

    /// Gives back the planner's part of a file.
    pub(super) fn release(&mut self, file: &Arc<FileTask>) {
        if file.release() {
            self.window.small.push(SmallTask::Finish(Arc::clone(file)));
        }
    }
}
