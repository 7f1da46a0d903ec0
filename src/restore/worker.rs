//! What each thread does: reads runs of segments, checks every chunk, writes files.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::context::{Context, is_out_of_reach};
use super::existing::{self, is_right};
use super::fetch::{LocatedPart, Run};
use super::files::{FileTask, Identity, Origin, Part};
use super::nodes::NodeTask;
use super::target::DirCache;
use super::verify::CheckItem;
use crate::error::{Error, Result};
use crate::fsmeta;
use crate::model::{ChunkId, Piece};
use crate::repository::{Reader, SegmentInfo};

/// Work for one thread. The sender in each is dropped when it is done.
pub(super) enum Job {
    /// Read segments of a pack and write what is in them.
    Fetch { run: Run, parts: Arc<Vec<LocatedPart>>, done: Sender<()> },
    /// Small things, one after the other.
    Small { tasks: Vec<SmallTask>, done: Sender<()> },
    /// Look which parts of existing files are right; the others are sent back.
    Compare { parts: Vec<Part>, wrong: Sender<Vec<Part>> },
    /// Compare restored entries with the snapshot.
    Check { items: Vec<CheckItem>, done: Sender<()> },
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
    files: OpenFiles,
    sealed: Vec<u8>,
    plain: Vec<u8>,
    pub(super) buffer: Vec<u8>,
}

/// More than any run has: its longest segment, and what is read around it.
const SEALED_MAX: u64 = 32 << 20;

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
                Job::Check { items, done: _done } => self.check(items),
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

    /// Reads a run with one call. If that fails its segments are read one by one, and if one of
    /// those is bad, other copies of its chunks are tried.
    fn fetch(&mut self, run: &Run, parts: &[LocatedPart]) {
        if let Some(segment) = run.segments.first() {
            self.ctx.ledger.current(&parts[segment.parts.start].part.file.path());
        }
        let mut sealed = std::mem::take(&mut self.sealed);
        let is_read = match self.read_run(run, &mut sealed) {
            Err(error) if is_out_of_reach(&error) => return self.ctx.stop.set(error),
            result => result.is_ok(),
        };
        for segment in &run.segments {
            if self.ctx.is_stopped() {
                break;
            }
            let start = (segment.info.offset - run.bytes.start) as usize;
            let end = start + segment.info.sealed_len as usize;
            let mut plain = std::mem::take(&mut self.plain);
            let decoded = match sealed.get_mut(start..end) {
                Some(bytes) if is_read => {
                    self.reader.decode(&run.pack, &segment.info, bytes, &mut plain).is_ok()
                }
                _ => self.read_segment(run, &segment.info, &mut plain),
            };
            self.write_parts(&parts[segment.parts.clone()], decoded.then_some(&plain[..]));
            self.plain = plain;
        }
        self.sealed = sealed;
    }

    fn read_run(&self, run: &Run, sealed: &mut Vec<u8>) -> Result<()> {
        let len = run.bytes.end - run.bytes.start;
        if len > SEALED_MAX {
            return Err(Error::damaged(run.pack.object_name(), "a segment is too long"));
        }
        if sealed.len() < len as usize {
            sealed.resize(len as usize, 0);
        }
        let name = run.pack.object_name();
        let wanted = &mut sealed[..len as usize];
        self.ctx.repository.storage().get_range(&name, run.bytes.start, wanted)?;
        self.ctx.ledger.transferred(len);
        Ok(())
    }

    /// Reads one segment of a run that could not be read as a whole.
    fn read_segment(&mut self, run: &Run, info: &SegmentInfo, plain: &mut Vec<u8>) -> bool {
        if u64::from(info.sealed_len) > SEALED_MAX {
            return false;
        }
        let mut sealed = vec![0; info.sealed_len as usize];
        let storage = self.ctx.repository.storage();
        storage.get_range(&run.pack.object_name(), info.offset, &mut sealed).is_ok()
            && self.reader.decode(&run.pack, info, &mut sealed, plain).is_ok()
    }

    /// Writes the parts of one segment; `plain` is `None` if it is bad.
    fn write_parts(&mut self, parts: &[LocatedPart], plain: Option<&[u8]>) {
        let mut checked = None;
        for LocatedPart { location, part } in parts {
            let Piece::Chunk(id, len) = part.piece else { continue };
            let start = location.offset as usize;
            let bytes = plain
                .filter(|_| location.len == len)
                .and_then(|plain| plain.get(start..start + len as usize));
            match bytes {
                // The same chunk in many places is checked once.
                Some(bytes) if checked == Some((*location, id)) || self.is_chunk(bytes, id) => {
                    checked = Some((*location, id));
                    self.write(&part.file, part.offset, bytes);
                }
                _ => self.fetch_one(part),
            }
        }
    }

    fn is_chunk(&self, bytes: &[u8], id: ChunkId) -> bool {
        self.ctx.repository.constants().chunk_id(bytes) == id
    }

    /// Restores one part by itself: looks for its chunk everywhere, or writes its zeros.
    pub(super) fn fetch_one(&mut self, part: &Part) {
        let Piece::Chunk(id, len) = part.piece else { return self.write_zeros(part) };
        let bytes = match self.reader.chunk(id) {
            Ok(bytes) if bytes.len() == len as usize => Ok(bytes),
            Ok(_) => Err(format!("chunk {id} has another length than the manifest says")),
            Err(error) if is_out_of_reach(&error) => return self.ctx.stop.set(error),
            Err(error) => Err(error.to_string()),
        };
        match bytes {
            Ok(bytes) => self.write(&part.file, part.offset, &bytes),
            Err(reason) => {
                part.file.lose(part.range(), reason);
                self.part_done(&part.file, None);
            }
        }
    }

    /// Writes bytes that were checked.
    fn write(&mut self, file: &Arc<FileTask>, offset: u64, bytes: &[u8]) {
        let mut open = None;
        if !file.has_failed() {
            let written = self.open(file).and_then(|opened| {
                file.touch();
                opened.write_all_at(bytes, offset)?;
                open = Some(opened);
                Ok(())
            });
            match written {
                Ok(()) => {
                    self.ctx.ledger.bytes_written(bytes.len() as u64);
                    self.ctx.ledger.bytes_done(bytes.len() as u64);
                }
                Err(error) => file.fail(self.ctx, "write", error),
            }
        }
        self.part_done(file, open);
    }

    fn write_zeros(&mut self, part: &Part) {
        let (file, len) = (&part.file, part.piece.len());
        let mut open = None;
        if !file.has_failed() {
            let written = self.open(file).and_then(|opened| {
                file.touch();
                zero(&opened, part.offset, len, file)?;
                open = Some(opened);
                Ok(())
            });
            match written {
                Ok(()) => self.ctx.ledger.bytes_done(len),
                Err(error) => file.fail(self.ctx, "write", error),
            }
        }
        self.part_done(file, open);
    }

    /// Gives a part back. After the last one the file is finished, else it stays open for more.
    pub(super) fn part_done(&mut self, file: &Arc<FileTask>, open: Option<File>) {
        if file.release() {
            let open = open.or_else(|| self.files.take(file.id));
            self.finish(file, open);
        } else if let Some(open) = open {
            self.files.put(file.id, open);
        }
    }

    /// Opens a file to be written; makes it if nobody did.
    pub(super) fn open(&mut self, file: &FileTask) -> io::Result<File> {
        if let Some(open) = self.files.take(file.id) {
            return Ok(open);
        }
        let dir = self.dirs.get(&self.ctx.target, &file.dir)?;
        let mut state = file.state.lock();
        if let Some(identity) = state.identity {
            let open = fsmeta::open_file_to_write_at(dir, &file.name)?;
            if Identity::from(&fsmeta::stat_fd(&open)?) == identity {
                return Ok(open);
            }
            return Err(io::Error::other("somebody replaced it while it was restored"));
        }
        if file.origin == Origin::Replace {
            existing::remove(self.ctx, dir, &file.path(), &file.name)?;
        }
        let open = fsmeta::create_file_at(dir, &file.name)?;
        if file.attributes.flags != 0 {
            fsmeta::prepare_flags(&open, file.attributes.flags);
        }
        // Nobody looks for a file again whose last part is being done.
        if !file.is_last_part() {
            state.identity = Some(Identity::from(&fsmeta::stat_fd(&open)?));
        }
        Ok(open)
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

/// Zeros that are shorter are written, since setting space aside costs more.
const ALLOCATE_MIN: u64 = 1 << 20;

/// Makes a range of a file read as zeros: a hole in sparse files, space set aside in others.
fn zero(open: &File, offset: u64, len: u64, file: &FileTask) -> io::Result<()> {
    let is_new = file.origin != Origin::InPlace;
    if !is_new {
        match fsmeta::punch_hole(open, offset, len) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return write_zeros(open, offset, len);
            }
            result => result?,
        }
    }
    if file.is_sparse {
        return Ok(());
    }
    if len < ALLOCATE_MIN {
        return write_zeros(open, offset, len);
    }
    match fsmeta::allocate(open, offset, len) {
        // It reads as zeros, only without space set aside.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        result => result,
    }
}

fn write_zeros(open: &File, offset: u64, len: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let end = offset.saturating_add(len);
    let mut at = offset;
    while at < end {
        let step = (end - at).min(ZEROS.len() as u64);
        open.write_all_at(&ZEROS[..step as usize], at)?;
        at += step;
    }
    Ok(())
}

/// Files of one thread that wait for more parts.
#[derive(Default)]
struct OpenFiles(Vec<(u64, File)>);

/// Open files a thread keeps: all threads together stay far below what a process may have open.
const FILES_OPEN: usize = 8;

impl OpenFiles {
    fn take(&mut self, id: u64) -> Option<File> {
        let at = self.0.iter().position(|(known, _)| *known == id)?;
        Some(self.0.remove(at).1)
    }

    fn put(&mut self, id: u64, file: File) {
        if self.0.len() >= FILES_OPEN {
            self.0.remove(0);
        }
        self.0.push((id, file));
    }
}
