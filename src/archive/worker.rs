//! Turns tasks into entries: keeps what is unchanged, reads and stores what is not.

use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::content::{ReadTools, read_stream};
use super::control::Control;
use super::job::{Done, Job, Task};
use super::options::StdinSource;
use super::stream::{Buffer, StreamError};
use crate::error::{Error, Result};
use crate::format::list::{ListPage, decode_list};
use crate::model::{Content, Entry, FileKind, PageId, Piece, XattrsRef};
use crate::repository::{Reader, Repository};
use crate::runtime::{Issue, IssueKind, Runtime};
use crate::source::WalkEntry;
use crate::tree::Sink;

/// One worker: buffers of its own, shared queues.
pub(super) struct Worker<'r> {
    pub(super) repository: &'r Repository,
    pub(super) runtime: &'r Runtime,
    pub(super) control: &'r Control,
    pub(super) sink: Sink<'r>,
    pub(super) reader: Reader<'r>,
    pub(super) buffer: Buffer,
    pub(super) done: Sender<Done>,
}

impl<'r> Worker<'r> {
    pub(super) fn new(
        repository: &'r Repository,
        runtime: &'r Runtime,
        control: &'r Control,
        sink: Sink<'r>,
        done: Sender<Done>,
    ) -> Self {
        Self {
            repository,
            runtime,
            control,
            sink,
            reader: repository.reader(),
            buffer: Buffer::default(),
            done,
        }
    }

    /// Works until there are no more jobs, or the run stops. What was collected is handed over
    /// even then, so that it need not be read again.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        for job in jobs {
            // After a failure the queue is emptied, so that nobody waits for a place in it.
            if self.control.is_stopped() {
                continue;
            }
            if let Err(error) = self.job(job) {
                self.control.stop(error);
            }
        }
        if let Err(error) = self.sink.flush() {
            self.control.stop(error);
        }
    }

    fn job(&mut self, job: Job) -> Result<()> {
        match job {
            Job::Batch { seq, tasks } => {
                let mut done = Done::new(seq);
                done.entries.reserve(tasks.len());
                for task in tasks {
                    self.runtime.cancel.check()?;
                    self.task(task, &mut done)?;
                }
                let _ = self.done.send(done);
                Ok(())
            }
            Job::Slice(file, slice) => self.slice(&file, slice),
            Job::Stream { seq, entry, source } => self.stream(seq, *entry, &source),
        }
    }

    fn task(&mut self, task: Task, done: &mut Done) -> Result<()> {
        let (path, finished) = match task {
            Task::Keep { mut entry, walked } => {
                if self.is_stored(&entry)? {
                    self.count(&entry, Change::Unmodified, done);
                    done.entries.push(entry);
                    return Ok(());
                }
                // Storage lost some of it: read it again as if it were new.
                entry.content = Content::None;
                entry.xattrs = XattrsRef::None;
                (entry.path.clone(), self.read(entry, &walked, true, done))
            }
            Task::Read { entry, walked, known } => {
                (entry.path.clone(), self.read(entry, &walked, known, done))
            }
            Task::Link { mut entry, walked, known } => {
                let path = entry.path.clone();
                let attributes = match &walked {
                    None => Ok(()),
                    Some(walked) => {
                        // As of the first name, which tells them from its open file.
                        let flags = walked.flags().unwrap_or(0);
                        self.attributes(&mut entry, walked.xattrs(), flags, done)
                    }
                };
                let finished = attributes.map(|()| {
                    let change = match (&walked, known) {
                        (None, _) => Change::Unmodified,
                        (_, true) => Change::Changed,
                        (_, false) => Change::New,
                    };
                    self.count(&entry, change, done);
                    done.entries.push(entry);
                });
                (path, finished)
            }
            Task::Issue(issue) => {
                self.issue(issue, done);
                return Ok(());
            }
        };
        match finished {
            Ok(()) => Ok(()),
            Err(StreamError::Source(error)) => {
                self.source_error(path, &error, done);
                Ok(())
            }
            Err(StreamError::Sink(error)) => Err(error),
        }
    }

    pub(super) fn issue(&self, issue: Issue, done: &mut Done) {
        self.runtime.progress.issue(&issue);
        match issue.kind {
            IssueKind::Warning => done.stats.warnings += 1,
            IssueKind::Failed => done.stats.errors += 1,
        }
        done.issues.push(issue);
    }

    pub(super) fn source_error(&self, path: Vec<u8>, error: &io::Error, done: &mut Done) {
        self.runtime.progress.done(1, 0);
        let vanished = error.kind() == io::ErrorKind::NotFound;
        let (kind, message) = if vanished {
            (IssueKind::Warning, "vanished before it could be read".to_string())
        } else {
            (IssueKind::Failed, format!("could not be read: {error}"))
        };
        self.issue(Issue { kind, path, message }, done);
    }

    pub(super) fn count(&self, entry: &Entry, change: Change, done: &mut Done) {
        let stats = &mut done.stats;
        let first = entry.link_to.is_none();
        match (entry.kind, change) {
            // A further name is no further file, here as in the snapshot's own counts.
            _ if !first => stats.others += 1,
            (FileKind::File, Change::New) => stats.files_new += 1,
            (FileKind::File, Change::Changed) => stats.files_changed += 1,
            (FileKind::File, Change::Unmodified) => stats.files_unmodified += 1,
            (FileKind::Dir, Change::New) => stats.folders_new += 1,
            (FileKind::Dir, Change::Changed) => stats.folders_changed += 1,
            (FileKind::Dir, Change::Unmodified) => stats.folders_unmodified += 1,
            _ => stats.others += 1,
        }
        if first {
            stats.bytes_total += entry.size;
        }
        match change {
            Change::Unmodified => {
                self.runtime.progress.done(1, if first { entry.size } else { 0 });
            }
            _ => self.runtime.progress.done(1, 0),
        }
        self.runtime.progress.detail(change.verb(), &entry.path);
    }

    /// Whether everything that an unchanged entry refers to is in the index.
    fn is_stored(&mut self, entry: &Entry) -> Result<bool> {
        if let XattrsRef::Page(page) = &entry.xattrs
            && !self.sink.has(&page.0)
        {
            return Ok(false);
        }
        match &entry.content {
            Content::None | Content::Inline(_) => Ok(true),
            Content::Pieces(pieces) => Ok(self.pieces_stored(pieces)),
            Content::List { root, depth, .. } => self.list_stored(*root, *depth),
        }
    }

    fn pieces_stored(&self, pieces: &[Piece]) -> bool {
        pieces.iter().all(|piece| match piece {
            Piece::Chunk(id, _) => self.sink.has(&id.0),
            Piece::Hole(_) => true,
        })
    }

    fn list_stored(&mut self, page: PageId, level: u8) -> Result<bool> {
        self.runtime.cancel.check()?;
        if !self.sink.has(&page.0) {
            return Ok(false);
        }
        let bytes = match self.reader.page(page) {
            Ok(bytes) => bytes,
            Err(error) if error.is_damage() => return Ok(false),
            Err(error) => return Err(error),
        };
        match decode_list(&bytes, level, "list page") {
            Ok(ListPage::Leaf(pieces)) => Ok(self.pieces_stored(&pieces)),
            Ok(ListPage::Inner(children)) => {
                for child in children {
                    if !self.list_stored(child.page, level - 1)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    fn read(
        &mut self,
        mut entry: Entry,
        walked: &WalkEntry,
        known: bool,
        done: &mut Done,
    ) -> Result<(), StreamError> {
        match entry.kind {
            FileKind::File => self.file(&mut entry, walked, done)?,
            FileKind::Symlink => {
                let target = walked.read_link().map_err(StreamError::Source)?;
                entry.content = Content::Inline(target);
                self.attributes(&mut entry, walked.xattrs(), 0, done)?;
            }
            FileKind::Dir => {
                let flags = walked.flags().unwrap_or(0);
                self.attributes(&mut entry, walked.xattrs(), flags, done)?;
            }
            _ => self.attributes(&mut entry, walked.xattrs(), 0, done)?,
        }
        self.count(&entry, if known { Change::Changed } else { Change::New }, done);
        done.entries.push(entry);
        Ok(())
    }

    fn stream(&mut self, seq: u64, mut entry: Entry, source: &StdinSource) -> Result<()> {
        let mut done = Done::new(seq);
        let progress = Arc::clone(&self.runtime.progress);
        let mut tools = ReadTools {
            sink: &mut self.sink,
            buffer: &mut self.buffer,
            cancel: &self.runtime.cancel,
        };
        let count = |len| {
            progress.expect(0, len);
            progress.done(0, len);
        };
        let mut reader = source.reader.lock();
        let (list, read) = match read_stream(&mut **reader, &mut tools, count) {
            Ok(read) => read,
            Err(StreamError::Sink(error)) => return Err(error),
            // Half a stream is no backup: unlike a file it is all there was.
            Err(StreamError::Source(error)) => {
                return Err(Error::local("read", "standard input", error));
            }
        };
        entry.size = list.len();
        done.stats.bytes_read += read;
        entry.content = list.finish(&mut self.sink)?;
        self.count(&entry, Change::New, &mut done);
        done.entries.push(entry);
        let _ = self.done.send(done);
        Ok(())
    }
}

/// How an entry compares with the parent's.
#[derive(Clone, Copy)]
pub(super) enum Change {
    New,
    Changed,
    Unmodified,
}

impl Change {
    fn verb(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Unmodified => "unchanged",
        }
    }
}
