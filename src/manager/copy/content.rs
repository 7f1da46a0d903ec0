//! The content of one file, from one repository into the other.

use std::io;
use std::ops::Range;
use std::sync::OnceLock;

use super::Failure;
use super::crew::Job;
use crate::archive::{Buffer, Cutter, StreamError};
use crate::error::Error;
use crate::model::{ChunkId, Content, Entry, Piece, escape_bytes};
use crate::repository::{Reader, Repository};
use crate::runtime::Runtime;
use crate::tree::{FileReader, FileSize, Manifest, Pieces, Sink};

/// A file whose content has to be stored.
pub(super) struct FileTask {
    /// Its entry in the source.
    pub(super) entry: Entry,
    /// Its size, where that was known before it was read: a stream has none.
    pub(super) size: Option<u64>,
    /// Where it has data and no holes: found out once for all slices.
    runs: OnceLock<Option<Vec<Range<u64>>>>,
}

impl FileTask {
    pub(super) fn new(entry: Entry, is_stream: bool) -> Self {
        let size = (!is_stream).then_some(entry.size);
        Self { entry, size, runs: OnceLock::new() }
    }

    /// Its pieces do not add up to its size.
    pub(super) fn wrong_length(&self) -> Failure {
        let path = escape_bytes(&self.entry.path);
        let what = format!("the content of `/{path}` is not as long as it should be");
        Failure::Source(Error::damaged("manifest", what))
    }
}

/// One thread that moves content.
pub(super) struct Worker<'r> {
    from: &'r Repository,
    manifest: Manifest,
    sink: Sink<'r>,
    reader: Reader<'r>,
    buffer: Buffer,
    runtime: &'r Runtime,
}

impl<'r> Worker<'r> {
    pub(super) fn new(
        from: &'r Repository,
        manifest: Manifest,
        sink: Sink<'r>,
        runtime: &'r Runtime,
    ) -> Self {
        let reader = from.reader();
        Self { from, manifest, sink, reader, buffer: Buffer::default(), runtime }
    }

    /// Hands over open segments.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.sink.flush()?)
    }

    /// Moves a part of a file, and tells its pieces in the destination.
    pub(super) fn run(&mut self, job: &Job<'_>) -> Result<Vec<Piece>, Failure> {
        let (task, len, pieces) = match job {
            Job::Cut(task, slice) => {
                let cut = self.cut(task, slice.clone()).map_err(|error| match error {
                    StreamError::Source(error) => Failure::Source(inner(error)),
                    StreamError::Sink(error) => Failure::Destination(error),
                });
                (task, slice.end - slice.start, cut?)
            }
            Job::MoveAll(task) => {
                let pieces: Result<Vec<Piece>, Error> =
                    Pieces::new(self.from, &task.entry).collect();
                let pieces = pieces.map_err(Failure::Source)?;
                (task, task.entry.size, self.move_pieces(task, pieces)?)
            }
            Job::Move(task, pieces) => {
                let len = pieces.iter().map(Piece::len).sum();
                (task, len, self.move_pieces(task, pieces.clone())?)
            }
        };
        if pieces.iter().map(Piece::len).sum::<u64>() != len {
            return Err(task.wrong_length());
        }
        self.runtime.progress.done(0, len);
        Ok(pieces)
    }

    /// Ids are the same on both sides: what is not there yet is moved, the rest not even read.
    fn move_pieces(&mut self, task: &FileTask, pieces: Vec<Piece>) -> Result<Vec<Piece>, Failure> {
        let size = FileSize::of(task.size);
        for piece in &pieces {
            if let Piece::Chunk(id, len) = piece {
                self.runtime.cancel.check()?;
                self.move_chunk(*id, *len, size)?;
            }
        }
        Ok(pieces)
    }

    fn move_chunk(&mut self, id: ChunkId, len: u32, size: FileSize) -> Result<(), Failure> {
        if self.sink.has(&id.0) {
            return Ok(());
        }
        let bytes = self.reader.chunk(id).map_err(Failure::Source)?;
        if bytes.len() != len as usize {
            let what = format!("it has {} bytes, not {len}", bytes.len());
            return Err(Failure::Source(Error::damaged(format!("chunk {id}"), what)));
        }
        if self.sink.put_chunk(&bytes, size)? != id {
            let what = format!("chunk {id} has another id in the destination");
            return Err(Failure::Destination(Error::Internal { what }));
        }
        Ok(())
    }

    /// Cuts a slice as a backup cuts a file that has these bytes and holes.
    fn cut(&mut self, task: &FileTask, slice: Range<u64>) -> Result<Vec<Piece>, StreamError> {
        let mut file = FileReader::open(self.from, &self.manifest, &task.entry)
            .map_err(|error| StreamError::Source(io::Error::other(error)))?;
        let runs = task.runs.get_or_init(|| file.data_runs());
        let block = u64::from(self.sink.repository().config().chunker.hole_align);
        let cancel = &self.runtime.cancel;
        let mut cutter = Cutter::new(&mut self.sink, task.size, &mut self.buffer, cancel);
        let mut at = slice.start;
        let mut read = |cutter: &mut Cutter<'_, '_>, at: u64, len: u64| {
            cutter.read(len, len, &mut |offset, buf| {
                file.read_at(at + offset, buf).map_err(io::Error::other)
            })
        };
        // Where holes are known they need not be looked for. They are those of a file system, cut
        // to whole blocks, or blocks that were zeros; either way a backup finds the same ones.
        for run in runs.iter().flatten().filter(|run| run.end > slice.start) {
            let start = (run.start / block * block).max(at);
            let end = run.end.next_multiple_of(block).min(slice.end);
            if start >= slice.end {
                break;
            }
            if start > at {
                cutter.hole(start - at)?;
                at = start;
            }
            if end > at {
                at += read(&mut cutter, at, end - at)?;
                if at < end {
                    return cutter.finish();
                }
            }
        }
        if runs.is_some() {
            cutter.hole(slice.end - at)?;
        } else {
            read(&mut cutter, at, slice.end - at)?;
        }
        cutter.finish()
    }
}

/// The error that a [`FileReader`] put into an error of the system's kind.
fn inner(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::local("read", "the content of a snapshot", error),
    }
}

/// Whether everything that this content names is in the destination.
pub(super) fn is_stored(to: &Repository, sink: &Sink<'_>, entry: &Entry) -> bool {
    let is_there = |piece: crate::error::Result<Piece>| match piece {
        Ok(Piece::Chunk(id, _)) => sink.has(&id.0),
        Ok(Piece::Hole(_)) => true,
        Err(_) => false,
    };
    let has_root = match &entry.content {
        Content::List { root, .. } => sink.has(&root.0),
        _ => true,
    };
    has_root && Pieces::new(to, entry).all(is_there)
}
