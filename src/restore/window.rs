//! One window of work: handing it to the threads, and what comes after they are done.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::fetch::{LocatedPart, plan_runs};
use super::files::{FileTask, Part};
use super::finish::finish_dir;
use super::hardlinks::LinkTask;
use super::levels::ClosedDir;
use super::plan::Planner;
use super::rehearse::Rehearsal;
use super::worker::{Job, SmallTask};
use crate::error::Result;
use crate::fsmeta::OpenDir;
use crate::model::Piece;
use crate::runtime::Phase;

/// What was planned and not handed over yet.
#[derive(Default)]
pub(super) struct Window {
    /// Parts that files need.
    pub(super) parts: Vec<Part>,
    /// Parts of existing files that may be right already.
    pub(super) compare: Vec<Part>,
    pub(super) small: Vec<SmallTask>,
    pub(super) links: Vec<LinkTask>,
    pub(super) closed: Vec<ClosedDir>,
    /// About how many bytes all of it takes.
    pub(super) weight: usize,
}

/// A window that threads work on.
pub(super) struct Dispatched {
    /// Disconnected when all jobs are done.
    done: Receiver<()>,
    links: Vec<LinkTask>,
    closed: Vec<ClosedDir>,
}

/// Bytes of plan of a window at most: so many that a segment is rarely needed by two of them.
const WINDOW_BYTES: usize = 24 << 20;
/// Small tasks in one job: few enough to spread over the threads.
const SMALL_TASKS: usize = 64;
/// Bytes of existing files that one job compares.
const COMPARE_BYTES: u64 = 8 << 20;

impl Planner<'_, '_> {
    /// Hands the window over, and sees the one before through to its end.
    ///
    /// # Errors
    /// What makes going on useless.
    pub(super) fn turn(&mut self) -> Result<()> {
        let window = std::mem::take(&mut self.window);
        self.window_bytes = self.window_bytes.saturating_mul(2).min(WINDOW_BYTES);
        let dispatched = self.dispatch(window)?;
        match self.running.replace(dispatched) {
            Some(before) => self.see_through(before),
            None => Ok(()),
        }
    }

    /// Sees the last window through, and does what was put off.
    ///
    /// # Errors
    /// What makes going on useless.
    pub(super) fn end(&mut self) -> Result<()> {
        if let Some(last) = self.running.take() {
            self.see_through(last)?;
        }
        self.ctx.runtime.progress.phase(Phase::Finishing);
        for closed in std::mem::take(&mut self.deferred) {
            self.ctx.check()?;
            finish_dir(self.ctx, &closed);
        }
        self.ctx.check()
    }

    fn dispatch(&mut self, mut window: Window) -> Result<Dispatched> {
        let (done, all_done) = bounded(0);
        self.compare(&mut window)?;
        match &self.ctx.rehearsal {
            Some(Rehearsal::Places { damage, recovered }) => {
                self.look_at_places(&mut window, damage, recovered)?;
            }
            Some(Rehearsal::Packs(found)) => self.note_packs(&mut window, &Arc::clone(found)),
            Some(Rehearsal::Bytes) => {}
            None if self.ctx.options.dry_run => self.skip_writing(&mut window),
            None => {}
        }
        self.dispatch_parts(&mut window, &done);
        // In a dry run, files finish here that were left out above.
        window.small.append(&mut self.window.small);
        let mut tasks = window.small.into_iter().peekable();
        while tasks.peek().is_some() {
            let tasks = tasks.by_ref().take(SMALL_TASKS).collect();
            self.send(Job::Small { tasks, done: done.clone() });
        }
        Ok(Dispatched { done: all_done, links: window.links, closed: window.closed })
    }

    fn send(&self, job: Job) {
        // Without threads the job is dropped, and they have said why they ended.
        let _ = self.jobs.send(job);
    }

    fn dispatch_parts(&mut self, window: &mut Window, done: &Sender<()>) {
        let index = self.ctx.repository.index();
        let mut located = Vec::with_capacity(window.parts.len());
        for part in window.parts.drain(..) {
            let location = match part.piece {
                Piece::Chunk(id, _) => index.find(&id.0),
                Piece::Hole(_) => None,
            };
            match location {
                Some(location) => located.push(LocatedPart { location, part }),
                None => window.small.push(SmallTask::Part(part)),
            }
        }
        let (runs, strays) = plan_runs(index, &mut located);
        for stray in strays {
            let LocatedPart { part, .. } = &located[stray];
            let (file, offset, piece) = (Arc::clone(&part.file), part.offset, part.piece);
            window.small.push(SmallTask::Part(Part { file, offset, piece }));
        }
        let parts = Arc::new(located);
        for run in runs {
            self.send(Job::Fetch { run, parts: Arc::clone(&parts), done: done.clone() });
        }
    }

    /// Finds out which parts of existing files have to be written.
    fn compare(&mut self, window: &mut Window) -> Result<()> {
        if window.compare.is_empty() {
            return Ok(());
        }
        let (wrong, all_wrong) = crossbeam_channel::unbounded();
        let mut parts = std::mem::take(&mut window.compare).into_iter().peekable();
        while parts.peek().is_some() {
            let mut job = Vec::new();
            let mut bytes = 0;
            while bytes < COMPARE_BYTES
                && job.len() < SMALL_TASKS
                && let Some(part) = parts.next()
            {
                bytes += part.piece.len();
                job.push(part);
            }
            self.send(Job::Compare { parts: job, wrong: wrong.clone() });
        }
        drop(wrong);
        for parts in all_wrong {
            window.parts.extend(parts);
        }
        self.ctx.check()
    }

    /// In a dry run, what would be written counts as written.
    fn skip_writing(&mut self, window: &mut Window) {
        let mut skip = |file: &Arc<FileTask>, len, written| {
            file.touch();
            self.ctx.ledger.bytes_done(len);
            self.ctx.ledger.bytes_written(written);
            self.release(file);
        };
        for Part { file, piece, .. } in std::mem::take(&mut window.parts) {
            skip(&file, piece.len(), stored_len(&piece));
        }
        for task in std::mem::take(&mut window.small) {
            match task {
                SmallTask::Bytes(file, bytes) => {
                    skip(&file, bytes.len() as u64, bytes.len() as u64);
                }
                SmallTask::Part(part) => {
                    skip(&part.file, part.piece.len(), stored_len(&part.piece));
                }
                other => window.small.push(other),
            }
        }
    }

    fn see_through(&mut self, dispatched: Dispatched) -> Result<()> {
        // Ends with an error when the last job drops its sender.
        let _ = dispatched.done.recv();
        self.ctx.check()?;
        for link in dispatched.links {
            self.ctx.check()?;
            self.make_link(link);
        }
        for closed in dispatched.closed {
            self.ctx.check()?;
            self.close_dir(closed);
        }
        self.ctx.check()
    }

    fn close_dir(&mut self, closed: ClosedDir) {
        if let Some(names) = &closed.names {
            self.deletions.clean(self.ctx, &closed, names);
        }
        if closed.dir.path.is_empty() && !self.is_target_ours(&closed) {
            return;
        }
        const ALL: u32 = 0o700;
        let shuts_us_out = |mode: u32| !self.ctx.is_root && mode & ALL != ALL;
        match &closed.attributes {
            Some(attributes) if shuts_us_out(attributes.mode) => self.deferred.push(closed),
            _ => finish_dir(self.ctx, &closed),
        }
    }
}

impl Planner<'_, '_> {
    /// Whether the target has only what this restore, or one before, put there. One with other
    /// things in it keeps its owner and mode: it may be `/tmp`.
    fn is_target_ours(&self, closed: &ClosedDir) -> bool {
        let names = closed.names.as_ref();
        self.ctx.target.was_empty
            || names.is_some_and(|names| {
                let dir = self.ctx.target.open_dir(b"", OpenDir::Read);
                dir.and_then(|dir| names.are_all_in(&dir)).unwrap_or(false)
            })
    }
}

impl Window {
    /// Adds a part that has to be written. The file is finished when it is done.
    pub(super) fn need(&mut self, file: &Arc<FileTask>, offset: u64, piece: Piece) {
        self.add(file, offset, piece, false);
    }

    /// Adds a part of an existing file that has to be looked at, and written if it is wrong.
    pub(super) fn doubt(&mut self, file: &Arc<FileTask>, offset: u64, piece: Piece) {
        self.add(file, offset, piece, true);
    }

    fn add(&mut self, file: &Arc<FileTask>, offset: u64, piece: Piece, in_doubt: bool) {
        file.hold();
        let part = Part { file: Arc::clone(file), offset, piece };
        self.weight += size_of::<LocatedPart>() + size_of::<Part>();
        if in_doubt { &mut self.compare } else { &mut self.parts }.push(part);
    }
}

/// Bytes of a piece that are written as bytes.
fn stored_len(piece: &Piece) -> u64 {
    match piece {
        Piece::Chunk(_, len) => u64::from(*len),
        Piece::Hole(_) => 0,
    }
}
