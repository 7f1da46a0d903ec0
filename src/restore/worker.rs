//! What each thread does: reads runs of segments, checks every chunk, writes files.

use std::fs::File;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::context::Context;
use super::existing::is_right;
use super::fetch::{LocatedPart, Run};
use super::files::{FileTask, Identity, Part};
use super::nodes::NodeTask;
use super::target::DirCache;
use super::verify::{CheckItem, Place};
use super::write::OpenFiles;
use crate::fsmeta;
use crate::repository::Reader;

/// Work for one thread. The sender in each is dropped when it is done.
pub(super) enum Job {
    /// Read segments of a pack and write what is in them.
    Fetch { run: Run, parts: Arc<Vec<LocatedPart>>, done: Sender<()> },
    /// Small things, one after the other.
    Small { tasks: Vec<SmallTask>, done: Sender<()> },
    /// Look which parts of existing files are right; the others are sent back.
    Compare { parts: Vec<Part>, wrong: Sender<Vec<Part>> },
    /// Compare restored entries with the snapshot.
    Check { items: Vec<CheckItem>, place: Place, done: Sender<()> },
}

/// Work that needs no segment.
pub(super) enum SmallTask {
    /// All parts of a file are done.
    Finish(Arc<FileTask>),
    /// A part whose bytes are at hand.
    Bytes(Arc<FileTask>, Vec<u8>),
    /// A chunk that has to be looked for, or zeros.
    Part(Part),
    /// A link, device or the like.
    Node(Box<NodeTask>),
}

/// One thread's tools.
pub(super) struct Worker<'c, 'r> {
    pub(super) ctx: &'c Context<'r>,
    pub(super) reader: Reader<'r>,
    pub(super) dirs: DirCache,
    pub(super) files: OpenFiles,
    pub(super) sealed: Vec<u8>,
    pub(super) plain: Vec<u8>,
    pub(super) buffer: Vec<u8>,
}

impl<'c, 'r> Worker<'c, 'r> {
    pub(super) fn new(ctx: &'c Context<'r>) -> Self {
        Self {
            ctx,
            reader: ctx.repository.reader(),
            dirs: DirCache::new(),
            files: OpenFiles::default(),
            sealed: Vec::new(),
            plain: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Does jobs until there will be no more.
    pub(super) fn work(mut self, jobs: &Receiver<Job>) {
        for job in jobs {
            // Dropping a job tells that nobody needs to wait for it.
            if self.ctx.is_stopped() {
                continue;
            }
            match job {
                Job::Fetch { run, parts, done: _done } => self.fetch(&run, &parts),
                Job::Small { tasks, done: _done } => {
                    for task in tasks {
                        if self.ctx.is_stopped() {
                            break;
                        }
                        self.small(task);
                    }
                }
                Job::Compare { parts, wrong } => {
                    let parts = self.compare(parts);
                    // Nobody listens only after an error elsewhere.
                    let _ = wrong.send(parts);
                }
                Job::Check { items, place: _place, done: _done } => self.check(items),
            }
        }
    }

    /// Does one small task.
    pub(super) fn small(&mut self, task: SmallTask) {
        match task {
            SmallTask::Finish(file) => self.finish(&file, None),
            SmallTask::Bytes(file, bytes) => self.write(&file, 0, &bytes),
            SmallTask::Part(part) => self.fetch_one(&part),
            SmallTask::Node(node) => self.make_node(*node),
        }
    }

    /// Looks at parts of existing files. What is right is done; returns what is not.
    pub(super) fn compare(&mut self, parts: Vec<Part>) -> Vec<Part> {
        let mut wrong = Vec::new();
        let mut open: Option<(u64, Option<File>)> = None;
        let mut buffer = std::mem::take(&mut self.buffer);
        for part in parts {
            if self.ctx.is_stopped() {
                break;
            }
            if open.as_ref().is_none_or(|(id, _)| *id != part.file.id) {
                open = Some((part.file.id, self.open_to_compare(&part.file)));
            }
            let file = open.as_ref().and_then(|(_, file)| file.as_ref());
            // What cannot be read is written anew.
            let right = file.is_some_and(|file| {
                is_right(self.ctx.repository, file, part.offset, &part.piece, &mut buffer)
                    .unwrap_or(false)
            });
            if right {
                self.ctx.ledger.bytes_done(part.piece.len());
                self.part_done(&part.file, None);
            } else {
                wrong.push(part);
            }
        }
        self.buffer = buffer;
        wrong
    }

    fn open_to_compare(&mut self, task: &FileTask) -> Option<File> {
        let dir = self.dirs.get(&self.ctx.target, &task.dir).ok()?;
        let file = fsmeta::open_file_at(dir, &task.name).ok()?;
        let identity = Identity::from(&fsmeta::stat_fd(&file).ok()?);
        (task.state.lock().identity == Some(identity)).then_some(file)
    }
}
