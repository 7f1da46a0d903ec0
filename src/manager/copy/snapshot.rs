//! One snapshot: reads its entries in order, has their content moved by several threads, writes a
//! manifest, commits.

use std::ops::Range;

use super::base::Base;
use super::content::{FileTask, Worker, is_stored};
use super::crew::{Crew, Job};
use super::{Copier, Failure, Ids};
use crate::commit::commit;
use crate::error::{Error, Result};
use crate::format::log::{ParentRecord, SnapshotBody};
use crate::format::page::{encode_xattrs, inline_xattrs};
use crate::model::{BackupId, Content, Entry, FileKind, Piece, XattrsRef};
use crate::repository::{
    Added, NewSnapshot, PackWriter, Reader, Repository, Snapshot, WriterOptions,
};
use crate::runtime::Phase;
use crate::tree::{
    FileReader, ListWriter, Manifest, ManifestRoot, ManifestWriter, Pieces, Sink, load_xattrs,
};

/// Entries of one round.
const ROUND_ENTRIES: usize = 4096;
/// Bytes of files of one round. A larger file is moved by itself, some slices at a time.
const ROUND_BYTES: u64 = if cfg!(test) { 1 << 20 } else { 512 << 20 };
/// Pieces of such a file that are moved at a time, if they are moved as they are.
const WINDOW_PIECES: usize = if cfg!(test) { 100 } else { 1 << 14 };

/// Copies one snapshot and commits it.
pub(super) fn copy_snapshot(
    copier: &Copier<'_>,
    original: &Snapshot,
) -> Result<(Snapshot, Added), Failure> {
    let (to, options, runtime) = (copier.to, copier.options, copier.runtime);
    // A session for each: a commit stands for what its own session found.
    let (session, _) = to.begin_session("copy", &options.author.host, runtime)?;
    let writer_options =
        WriterOptions { compression: options.compression, ..WriterOptions::default() };
    let writer = to.pack_writer(&writer_options, runtime);
    let copied = Round::run(copier, original, &writer);
    // Whatever happened: what was stored is named, so it need not be stored again.
    let finished = writer.finish();
    let committed = match (copied, finished) {
        // A failed upload is the reason why the rest stopped.
        (_, Err(error)) => Err(error.into()),
        (Err(failure), Ok(_)) => Err(failure),
        (Ok(root), Ok(added)) => {
            runtime.progress.phase(Phase::Committing);
            let new = NewSnapshot {
                id: match copier.ids {
                    Ids::New => BackupId(runtime.random.bytes()),
                    Ids::Kept => original.id,
                },
                host: original.host.clone(),
                user: original.user.clone(),
                body: body(copier, original, root, &added),
            };
            let snapshot = commit(to, &session, new, &copier.known, runtime);
            runtime.progress.phase(Phase::BackingUp);
            snapshot.map(|snapshot| (snapshot, added)).map_err(Failure::from)
        }
    };
    if let Err(error) = session.end() {
        tracing::warn!("the session could not be closed: {error}");
    }
    if committed.is_ok()
        && let Err(error) = to.compact_index(runtime)
    {
        // The next run tries again.
        tracing::warn!("the index could not be merged: {error}");
    }
    committed
}

/// What the copy says of itself: what the original says, with the names of this repository.
fn body(
    copier: &Copier<'_>,
    original: &Snapshot,
    root: ManifestRoot,
    added: &Added,
) -> SnapshotBody {
    let old = &original.body;
    let copy_of = |id: BackupId| copier.copies.get(&id);
    let parent = old.parent.as_ref().and_then(|parent| copy_of(parent.id));
    SnapshotBody {
        root: root.root,
        depth: root.depth,
        entries: root.entries,
        files: root.files,
        folders: root.folders,
        bytes: root.bytes,
        added_bytes: added.plain_bytes,
        added_stored: added.stored_bytes,
        added_chunks: added.chunks,
        parent: parent.map(|parent| ParentRecord { id: parent.id, root: parent.body.root }),
        base_full: old.base_full.and_then(copy_of).map(|base| base.id),
        original: match copier.ids {
            Ids::New => Some(original.id),
            Ids::Kept => old.original,
        },
        ..old.clone()
    }
}

/// The entries that are worked on at a time: their content in parallel, then all in order.
struct Round<'r> {
    from: &'r Repository,
    to: &'r Repository,
    same_ids: bool,
    is_stream: bool,
    crew: Crew<'r>,
    /// Pages of lists and attributes.
    pages: Sink<'r>,
    reader: Reader<'r>,
    manifest: ManifestWriter<'r>,
    base: Option<Base<'r>>,
    runtime: &'r crate::runtime::Runtime,
}

/// An entry of the round, and what is to be done about its content.
enum Step {
    /// Nothing: it is as it shall be.
    Ready(Entry),
    /// Its slices are moved.
    Move(FileTask),
}

impl<'r> Round<'r> {
    fn run(
        copier: &'r Copier<'_>,
        original: &Snapshot,
        writer: &'r PackWriter,
    ) -> Result<ManifestRoot, Failure> {
        let (from, to, runtime) = (copier.from, copier.to, copier.runtime);
        let source = Manifest::of(original);
        let cpus = || std::thread::available_parallelism().map_or(1, Into::into);
        let workers = copier.options.readers.map_or_else(cpus, Into::into).min(64);
        let worker = |_| {
            let sink = Sink::storing(to, writer);
            Worker::new(from, source, sink, runtime)
        };
        let base = copier
            .copied_before(original)
            .filter(|_| !copier.same_ids)
            .map(|(before, copy)| Base::new(from, before, to, copy));
        let mut round = Self {
            from,
            to,
            same_ids: copier.same_ids,
            is_stream: original.body.roots.iter().any(|root| root.0.starts_with(b"stdin:")),
            crew: Crew::new((0..workers).map(worker)),
            pages: Sink::storing(to, writer),
            reader: from.reader(),
            manifest: ManifestWriter::with_sink(Sink::storing(to, writer)),
            base,
            runtime,
        };
        let mut steps = Vec::new();
        let mut bytes = 0;
        for entry in source.entries(from) {
            runtime.cancel.check()?;
            let entry = entry.map_err(Failure::Source)?;
            let size = entry.size;
            match round.step(entry, &source)? {
                Step::Move(task) if size > ROUND_BYTES => {
                    round.write(std::mem::take(&mut steps))?;
                    round.write_large(task)?;
                    bytes = 0;
                }
                step => {
                    steps.push(step);
                    bytes += size;
                }
            }
            if steps.len() >= ROUND_ENTRIES || bytes >= ROUND_BYTES {
                round.write(std::mem::take(&mut steps))?;
                bytes = 0;
            }
        }
        round.write(steps)?;
        round.crew.flush()?;
        round.pages.flush()?;
        Ok(round.manifest.finish()?)
    }

    /// Decides what has to be done about an entry.
    fn step(&mut self, mut entry: Entry, source: &Manifest) -> Result<Step, Failure> {
        self.xattrs(&mut entry)?;
        if entry.kind != FileKind::File || entry.link_to.is_some() {
            return Ok(Step::Ready(entry));
        }
        if self.inline(&mut entry, source)? || entry.content == Content::None {
            self.runtime.progress.done(0, entry.size);
            return Ok(Step::Ready(entry));
        }
        if let Some(base) = &mut self.base
            && let Some(content) = base.content(&entry)
        {
            let known = Entry { content, ..entry.clone() };
            if is_stored(self.to, &self.pages, &known) {
                self.runtime.progress.done(0, entry.size);
                return Ok(Step::Ready(known));
            }
        }
        Ok(Step::Move(FileTask::new(entry, self.is_stream)))
    }

    /// Whether the content lies in the entry itself, as the destination wants it.
    fn inline(&mut self, entry: &mut Entry, source: &Manifest) -> Result<bool, Failure> {
        let inline_max = u64::from(self.to.config().pages.inline_max);
        if entry.size > inline_max {
            return Ok(false);
        }
        match &entry.content {
            Content::Inline(_) => Ok(true),
            Content::None => Ok(false),
            // The source wants even smaller ones outside: a backup into the destination would not.
            _ if entry.size > u64::from(self.from.config().pages.inline_max) => {
                let file = FileReader::open(self.from, source, entry);
                let mut bytes = vec![0; entry.size as usize];
                let read = file.and_then(|mut file| file.read_at(0, &mut bytes));
                if read.map_err(Failure::Source)? != bytes.len() {
                    return Err(Failure::Source(Error::damaged("manifest", "a file is too short")));
                }
                entry.content = Content::Inline(bytes);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn xattrs(&mut self, entry: &mut Entry) -> Result<(), Failure> {
        if entry.xattrs == XattrsRef::None {
            return Ok(());
        }
        let list = load_xattrs(&mut self.reader, entry).map_err(Failure::Source)?;
        entry.xattrs = if inline_xattrs(&list, self.to.config().pages.inline_max) {
            XattrsRef::Inline(list)
        } else {
            XattrsRef::Page(self.pages.put_page(&encode_xattrs(&list))?)
        };
        Ok(())
    }

    /// Moves the content of a round, then writes its entries.
    fn write(&mut self, steps: Vec<Step>) -> Result<(), Failure> {
        let slice_len = self.to.config().chunker.slice_len;
        let mut jobs = Vec::new();
        // How many jobs each file has.
        let mut parts = Vec::new();
        for step in &steps {
            let Step::Move(task) = step else { continue };
            let before = jobs.len();
            if self.same_ids {
                jobs.push(Job::MoveAll(task));
            } else {
                let slices = slices(0, task.entry.size, slice_len);
                jobs.extend(slices.map(|slice| Job::Cut(task, slice)));
            }
            parts.push(jobs.len() - before);
        }
        let mut moved = self.crew.run(&jobs)?.into_iter();
        drop(jobs);
        let mut parts = parts.into_iter();
        for step in steps {
            let entry = match step {
                Step::Ready(entry) => entry,
                Step::Move(task) => {
                    let mut list = ListWriter::default();
                    for pieces in moved.by_ref().take(parts.next().unwrap_or_default()) {
                        list.extend(pieces, &mut self.pages)?;
                    }
                    self.moved(task, list)?
                }
            };
            self.push(entry)?;
        }
        Ok(())
    }

    /// Moves a file that is too large to hold all its pieces.
    fn write_large(&mut self, task: FileTask) -> Result<(), Failure> {
        let mut list = ListWriter::default();
        if self.same_ids {
            let mut pieces = Pieces::new(self.from, &task.entry);
            loop {
                let window = pieces.by_ref().take(WINDOW_PIECES);
                let window: Vec<Piece> = window.collect::<Result<_>>().map_err(Failure::Source)?;
                if window.is_empty() {
                    break;
                }
                let part = window.len().div_ceil(4 * self.crew.len());
                let jobs: Vec<Job<'_>> =
                    window.chunks(part).map(|part| Job::Move(&task, part.to_vec())).collect();
                for pieces in self.crew.run(&jobs)? {
                    list.extend(pieces, &mut self.pages)?;
                }
            }
        } else {
            let slice_len = self.to.config().chunker.slice_len;
            let window_len = slice_len.saturating_mul(2 * self.crew.len() as u64);
            for window in slices(0, task.entry.size, window_len) {
                let slices = slices(window.start, window.end, slice_len);
                let jobs: Vec<Job<'_>> = slices.map(|slice| Job::Cut(&task, slice)).collect();
                for pieces in self.crew.run(&jobs)? {
                    list.extend(pieces, &mut self.pages)?;
                }
            }
        }
        let entry = self.moved(task, list)?;
        self.push(entry)
    }

    /// The entry of a file whose content is in the destination.
    fn moved(&mut self, task: FileTask, list: ListWriter) -> Result<Entry, Failure> {
        if list.len() != task.entry.size {
            return Err(task.wrong_length());
        }
        let content = list.finish(&mut self.pages)?;
        Ok(Entry { content, ..task.entry })
    }

    fn push(&mut self, entry: Entry) -> Result<(), Failure> {
        self.runtime.progress.done(1, 0);
        self.runtime.progress.detail("copied", &entry.path);
        Ok(self.manifest.push(entry)?)
    }
}

/// Cuts a range into parts of this length.
fn slices(start: u64, end: u64, len: u64) -> impl Iterator<Item = Range<u64>> {
    std::iter::successors(Some(start), move |at| at.checked_add(len))
        .take_while(move |at| *at < end)
        .map(move |at| at..at.saturating_add(len).min(end))
}
