//! Turns tasks into entries: keeps what is unchanged, reads and stores what is not.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;

use super::content::{ReadTools, SliceContent, read_slice, read_stream};
use super::list::content_of;
use super::options::StdinSource;
use super::report::BackupStats;
use super::run::Control;
use super::sink::Sink;
use super::stream::{Buffer, StreamError, is_zero};
use crate::error::{Error, Result};
use crate::format::list::{ListPage, decode_list};
use crate::format::page::{encode_xattrs, inline_xattrs};
use crate::fsmeta::{self, Stat, Xattrs};
use crate::model::{Content, Entry, FileKind, PageId, Piece, XattrsRef};
use crate::repository::{Reader, Repository};
use crate::runtime::{Issue, IssueKind, Runtime};
use crate::source::WalkEntry;

/// One entry's worth of work.
pub(super) enum Task {
    /// Nothing about it changed; its content must still be stored.
    Keep { entry: Entry, walked: WalkEntry },
    /// A further name of a file; its attributes are read if it is given.
    Link { entry: Entry, walked: Option<WalkEntry>, known: bool },
    /// New or changed. `known`: the parent has this path.
    Read { entry: Entry, walked: WalkEntry, known: bool },
    /// Something that went wrong before.
    Issue(Issue),
}

/// What a worker takes.
pub(super) enum Job {
    /// Neighbouring entries.
    Batch { seq: u64, tasks: Vec<Task> },
    /// One slice of a large file.
    Slice(Arc<SlicedFile>, u64),
    /// A stream.
    Stream { seq: u64, entry: Box<Entry>, source: Arc<StdinSource> },
}

/// What comes out of a job, in the order of the tasks.
pub(super) struct Done {
    pub(super) seq: u64,
    pub(super) entries: Vec<Entry>,
    pub(super) issues: Vec<Issue>,
    pub(super) stats: BackupStats,
}

impl Done {
    fn new(seq: u64) -> Self {
        Self { seq, entries: Vec::new(), issues: Vec::new(), stats: BackupStats::default() }
    }
}

/// A large file whose slices are read by several workers.
pub(super) struct SlicedFile {
    seq: u64,
    entry: Entry,
    walked: WalkEntry,
    known: bool,
    opened: Mutex<Option<(Arc<File>, Stat)>>,
    slices: Mutex<Vec<Option<Result<SliceContent, io::Error>>>>,
    left: AtomicU64,
}

impl SlicedFile {
    pub(super) fn new(seq: u64, entry: Entry, walked: WalkEntry, known: bool, slices: u64) -> Self {
        Self {
            seq,
            entry,
            walked,
            known,
            opened: Mutex::new(None),
            slices: Mutex::new((0..slices).map(|_| None).collect()),
            left: AtomicU64::new(slices),
        }
    }

    fn open(&self) -> io::Result<(Arc<File>, Stat)> {
        let mut opened = self.opened.lock();
        if let Some((file, stat)) = &*opened {
            return Ok((Arc::clone(file), *stat));
        }
        let file = Arc::new(self.walked.open()?);
        let stat = fsmeta::stat_fd(&*file)?;
        *opened = Some((Arc::clone(&file), stat));
        Ok((file, stat))
    }
}

/// One worker: buffers of its own, shared queues.
pub(super) struct Worker<'r> {
    repository: &'r Repository,
    runtime: &'r Runtime,
    control: &'r Control,
    sink: Sink<'r>,
    reader: Reader<'r>,
    buffer: Buffer,
    done: Sender<Done>,
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
                    Some(walked) => self.attributes(&mut entry, walked.xattrs(), 0, done),
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

    fn issue(&self, issue: Issue, done: &mut Done) {
        self.runtime.progress.issue(&issue);
        match issue.kind {
            IssueKind::Warning => done.stats.warnings += 1,
            IssueKind::Failed => done.stats.errors += 1,
        }
        done.issues.push(issue);
    }

    fn source_error(&self, path: Vec<u8>, error: &io::Error, done: &mut Done) {
        self.runtime.progress.done(1, 0);
        let vanished = error.kind() == io::ErrorKind::NotFound;
        let (kind, message) = if vanished {
            (IssueKind::Warning, "vanished before it could be read".to_string())
        } else {
            (IssueKind::Failed, format!("could not be read: {error}"))
        };
        self.issue(Issue { kind, path, message }, done);
    }

    fn count(&self, entry: &Entry, change: Change, done: &mut Done) {
        let stats = &mut done.stats;
        let first = entry.link_to.is_none();
        match (entry.kind, change) {
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
        let index = self.repository.index();
        if let XattrsRef::Page(page) = &entry.xattrs
            && !index.contains(&page.0)
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
        let index = self.repository.index();
        pieces.iter().all(|piece| match piece {
            Piece::Chunk(id, _) => index.contains(&id.0),
            Piece::Hole(_) => true,
        })
    }

    fn list_stored(&mut self, page: PageId, level: u8) -> Result<bool> {
        self.runtime.cancel.check()?;
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

    fn file(
        &mut self,
        entry: &mut Entry,
        walked: &WalkEntry,
        done: &mut Done,
    ) -> Result<(), StreamError> {
        let file = walked.open().map_err(StreamError::Source)?;
        self.runtime.progress.current(&walked_path(&entry.path));
        let mut before = walked.stat;
        let mut content = self.small_or_slice(&file, &before)?;
        let mut after = fsmeta::stat_fd(&file).map_err(StreamError::Source)?;
        if changed(&before, &after) {
            // It changed since it was walked, perhaps before it was opened: once more, now with
            // a look before and after.
            before = after;
            content = self.small_or_slice(&file, &before)?;
            after = fsmeta::stat_fd(&file).map_err(StreamError::Source)?;
        }
        self.runtime.progress.done(0, content.read_len());
        done.stats.bytes_read += content.read_len();
        self.close_file(entry, &file, content, &before, &after, done)
    }

    /// Fills in what the open file tells: attributes, times, and whether it held still.
    fn close_file(
        &mut self,
        entry: &mut Entry,
        file: &File,
        content: FileContent,
        before: &Stat,
        after: &Stat,
        done: &mut Done,
    ) -> Result<(), StreamError> {
        entry.mode = after.mode;
        entry.mtime = before.mtime;
        entry.ctime = before.ctime;
        entry.inode = after.inode;
        entry.nlink = after.nlink;
        match content {
            FileContent::Inline(bytes) => {
                entry.size = bytes.len() as u64;
                entry.content = Content::Inline(bytes);
            }
            FileContent::Pieces(content) => {
                entry.size = content.len();
                entry.sparse = content.sparse;
                entry.content = content_of(content.pieces, &mut self.sink)?;
            }
        }
        entry.torn = changed(before, after);
        if entry.torn {
            let message = "changed while it was read, and will be read again next time".into();
            let path = entry.path.clone();
            self.issue(Issue { kind: IssueKind::Warning, path, message }, done);
        }
        let flags = fsmeta::read_flags(file).unwrap_or(0);
        self.attributes(entry, fsmeta::read_xattrs_fd(file), flags, done)
    }

    /// Reads a file of one slice at most.
    fn small_or_slice(&mut self, file: &File, stat: &Stat) -> Result<FileContent, StreamError> {
        let inline_max = self.repository.config().pages.inline_max as usize;
        if stat.size > 0 && stat.size <= inline_max as u64 {
            // One byte more than expected: a file that grew is read as any other.
            let mut bytes = vec![0; stat.size as usize + 1];
            let len = file.read_at(&mut bytes, 0).map_err(StreamError::Source)?;
            if len as u64 == stat.size {
                bytes.truncate(len);
                if !is_zero(&bytes) {
                    bytes.shrink_to_fit();
                    return Ok(FileContent::Inline(bytes));
                }
            }
        }
        let slice_len = self.repository.config().chunker.slice_len;
        let content = self.read_part(file, stat, 0..slice_len)?;
        if content.len() <= inline_max as u64
            && content.pieces.iter().any(|p| matches!(p, Piece::Chunk(..)))
        {
            // A system's own file, with a size of 0 and content all the same.
            let mut bytes = vec![0; content.len() as usize];
            let len = file.read_at(&mut bytes, 0).map_err(StreamError::Source)?;
            bytes.truncate(len);
            return Ok(FileContent::Inline(bytes));
        }
        Ok(FileContent::Pieces(content))
    }

    fn read_part(
        &mut self,
        file: &File,
        stat: &Stat,
        part: std::ops::Range<u64>,
    ) -> Result<SliceContent, StreamError> {
        let mut tools = ReadTools {
            sink: &mut self.sink,
            buffer: &mut self.buffer,
            cancel: &self.runtime.cancel,
        };
        read_slice(file, stat, part, &mut tools)
    }

    fn attributes(
        &mut self,
        entry: &mut Entry,
        xattrs: io::Result<Xattrs>,
        flags: u32,
        done: &mut Done,
    ) -> Result<(), StreamError> {
        entry.inode_flags = flags;
        let xattrs = match xattrs {
            Ok(xattrs) => xattrs,
            Err(error) => {
                let message = format!("its attributes could not be read: {error}");
                let path = entry.path.clone();
                self.issue(Issue { kind: IssueKind::Warning, path, message }, done);
                Xattrs::default()
            }
        };
        for (name, error) in &xattrs.unreadable {
            let name = crate::model::escape_bytes(name);
            let message = format!("its attribute {name} could not be read: {error}");
            let path = entry.path.clone();
            self.issue(Issue { kind: IssueKind::Warning, path, message }, done);
        }
        let inline_max = self.repository.config().pages.inline_max;
        entry.xattrs = if xattrs.list.is_empty() {
            XattrsRef::None
        } else if inline_xattrs(&xattrs.list, inline_max) {
            XattrsRef::Inline(xattrs.list)
        } else {
            XattrsRef::Page(self.sink.put_page(&encode_xattrs(&xattrs.list))?)
        };
        Ok(())
    }

    fn slice(&mut self, file: &SlicedFile, number: u64) -> Result<()> {
        let slice_len = self.repository.config().chunker.slice_len;
        let start = number * slice_len;
        let read = match file.open() {
            Err(error) => Err(error),
            Ok((opened, stat)) => {
                self.runtime.progress.current(&walked_path(&file.entry.path));
                match self.read_part(&opened, &stat, start..start + slice_len) {
                    Ok(content) => Ok(content),
                    Err(StreamError::Source(error)) => Err(error),
                    Err(StreamError::Sink(error)) => return Err(error),
                }
            }
        };
        if let Ok(content) = &read {
            self.runtime.progress.done(0, content.len());
        }
        file.slices.lock()[number as usize] = Some(read);
        if file.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        let mut done = Done::new(file.seq);
        match self.join_slices(file, &mut done) {
            Ok(()) => {}
            Err(StreamError::Source(error)) => {
                self.source_error(file.entry.path.clone(), &error, &mut done);
            }
            Err(StreamError::Sink(error)) => return Err(error),
        }
        let _ = self.done.send(done);
        Ok(())
    }

    fn join_slices(&mut self, file: &SlicedFile, done: &mut Done) -> Result<(), StreamError> {
        let (opened, before) = file.open().map_err(StreamError::Source)?;
        let slice_len = self.repository.config().chunker.slice_len;
        let mut content = SliceContent::default();
        for (number, slice) in std::mem::take(&mut *file.slices.lock()).into_iter().enumerate() {
            let slice = slice.unwrap_or_else(|| Err(io::Error::other("a part was not read")));
            // A file that shrank while it was read ends where its first short slice ends.
            if content.len() < number as u64 * slice_len {
                break;
            }
            content.append(slice.map_err(StreamError::Source)?);
        }
        done.stats.bytes_read += content.read;
        let after = fsmeta::stat_fd(&*opened).map_err(StreamError::Source)?;
        // What the walk saw counts too: the slices were planned by it.
        let before = if changed(&file.walked.stat, &before) { file.walked.stat } else { before };
        let mut entry = file.entry.clone();
        let content = FileContent::Pieces(content);
        self.close_file(&mut entry, &opened, content, &before, &after, done)?;
        self.count(&entry, if file.known { Change::Changed } else { Change::New }, done);
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
        let content = match read_stream(&mut **reader, &mut tools, count) {
            Ok(content) => content,
            Err(StreamError::Sink(error)) => return Err(error),
            // Half a stream is no backup: unlike a file it is all there was.
            Err(StreamError::Source(error)) => {
                return Err(Error::local("read", "standard input", error));
            }
        };
        entry.size = content.len();
        done.stats.bytes_read += content.read;
        entry.content = content_of(content.pieces, &mut self.sink)?;
        self.count(&entry, Change::New, &mut done);
        done.entries.push(entry);
        let _ = self.done.send(done);
        Ok(())
    }
}

enum FileContent {
    Inline(Vec<u8>),
    Pieces(SliceContent),
}

impl FileContent {
    fn read_len(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Pieces(content) => content.len(),
        }
    }
}

#[derive(Clone, Copy)]
enum Change {
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

/// Whether a file was written to, or replaced, between two looks at it.
fn changed(before: &Stat, after: &Stat) -> bool {
    before.size != after.size
        || before.mtime != after.mtime
        || before.ctime != after.ctime
        || before.inode != after.inode
        || before.dev != after.dev
}

fn walked_path(path: &[u8]) -> std::path::PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::path::PathBuf::from(std::ffi::OsString::from_vec([b"/", path].concat()))
}
