//! Reads a file from one end to the other, with other threads decoding what comes next.

use std::collections::VecDeque;
use std::ops::Range;

use crossbeam_channel::{Receiver, Sender};

use super::super::layout::{Gap, Layout};
use super::{Part, read_chunk};
use crate::error::{Error, Result};
use crate::model::{ChunkId, Piece};
use crate::repository::{Location, Reader, Repository};

/// Files with less than this many bytes left are read by the calling thread alone.
const ALONE_MAX: u64 = 4 << 20;
/// Chunks are handed out in jobs of about this many bytes.
const JOB_BYTES: u64 = 1 << 20;
/// But a segment is not shared between jobs, so that it is decoded once, up to this many bytes.
const JOB_BYTES_MAX: u64 = 4 << 20;
/// Threads that decode; more than these do not make a sequential writer faster.
const THREADS_MAX: usize = 4;

/// Chunks that one thread decodes, in file order, with the offsets where they start.
type Chunks = Vec<(u64, ChunkId, u32)>;
/// The same, read. The first may start before what was asked for.
type Decoded = Vec<(u64, Result<Vec<u8>, Gap>)>;

/// What comes next, in order.
enum Next {
    Hole(u64),
    Gap(Gap),
    Chunks(Receiver<Decoded>),
}

/// Hands the bytes of `range` to `sink` in order.
pub(super) fn read_parts(
    repository: &Repository,
    reader: &mut Reader<'_>,
    layout: &mut Layout,
    range: Range<u64>,
    sink: &mut dyn FnMut(Part<'_>) -> Result<()>,
) -> Result<()> {
    if range.end.saturating_sub(range.start) < ALONE_MAX {
        return read_alone(reader, layout, range, sink);
    }
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX));
    let ahead = 2 * threads;
    std::thread::scope(|scope| {
        let (jobs, queue) = crossbeam_channel::bounded::<(Chunks, Sender<Decoded>)>(ahead);
        for _ in 0..threads {
            let queue = queue.clone();
            scope.spawn(move || decode_all(repository, &queue));
        }
        let mut planner = Planner { repository, reader, layout, at: range.start, end: range.end };
        let mut next: VecDeque<Next> = VecDeque::new();
        // Only this thread waits for the results, and it keeps fewer than the queue takes, so
        // neither side ever waits for the other for ever.
        loop {
            while next.len() < ahead
                && let Some(planned) = planner.plan(&jobs)
            {
                next.push_back(planned);
            }
            match next.pop_front() {
                None => return Ok(()),
                Some(Next::Hole(len)) => sink(Part::Hole(len))?,
                Some(Next::Gap(gap)) => sink(Part::Gap(gap))?,
                Some(Next::Chunks(results)) => {
                    let lost = |_| Error::Internal { what: "a reading thread ended".into() };
                    for (start, result) in results.recv().map_err(lost)? {
                        let from = start.max(range.start);
                        match result {
                            Ok(bytes) => sink(Part::Bytes(&bytes[(from - start) as usize..]))?,
                            Err(gap) => sink(Part::Gap(Gap { start: from, ..gap }))?,
                        }
                    }
                }
            }
        }
    })
}

fn read_alone(
    reader: &mut Reader<'_>,
    layout: &mut Layout,
    range: Range<u64>,
    sink: &mut dyn FnMut(Part<'_>) -> Result<()>,
) -> Result<()> {
    let mut at = range.start;
    while at < range.end {
        at = match layout.locate(reader, at) {
            Ok((Piece::Hole(len), start)) => {
                sink(Part::Hole(start + len - at))?;
                start + len
            }
            Ok((Piece::Chunk(id, len), start)) => {
                let end = start + u64::from(len);
                match read_chunk(reader, id, len) {
                    Ok(bytes) => sink(Part::Bytes(&bytes[(at - start) as usize..]))?,
                    Err(error) => sink(Part::Gap(Gap { start: at, end, error }))?,
                }
                end
            }
            Err(gap) => {
                let end = gap.end;
                sink(Part::Gap(Gap { start: at, ..gap }))?;
                end
            }
        };
    }
    Ok(())
}

fn decode_all(repository: &Repository, queue: &Receiver<(Chunks, Sender<Decoded>)>) {
    let mut reader = repository.reader();
    for (chunks, results) in queue {
        let decode = |(start, id, len): (u64, ChunkId, u32)| {
            let gap = |error| Gap { start, end: start + u64::from(len), error };
            (start, read_chunk(&mut reader, id, len).map_err(gap))
        };
        // Nobody waits for it any more if the other side met an error.
        let _ = results.send(chunks.into_iter().map(decode).collect());
    }
}

/// Cuts what is to be read into jobs.
struct Planner<'p, 'r> {
    repository: &'p Repository,
    reader: &'p mut Reader<'r>,
    layout: &'p mut Layout,
    at: u64,
    end: u64,
}

impl Planner<'_, '_> {
    /// Hands out the next job and says what comes of it; `None` at the end.
    fn plan(&mut self, jobs: &Sender<(Chunks, Sender<Decoded>)>) -> Option<Next> {
        let mut chunks = Chunks::new();
        let mut bytes = 0;
        let mut segment = None;
        while self.at < self.end {
            let (piece, start) = match self.layout.locate(self.reader, self.at) {
                Ok(found) => found,
                Err(_) if !chunks.is_empty() => break,
                Err(gap) => {
                    let start = std::mem::replace(&mut self.at, gap.end);
                    return Some(Next::Gap(Gap { start, ..gap }));
                }
            };
            match piece {
                Piece::Hole(_) if !chunks.is_empty() => break,
                Piece::Hole(len) => {
                    let from = std::mem::replace(&mut self.at, start + len);
                    return Some(Next::Hole(self.at - from));
                }
                Piece::Chunk(id, len) => {
                    let location = self.repository.index().find(&id.0);
                    let here = location.map(|l: Location| (l.pack, l.segment_no));
                    if bytes >= JOB_BYTES && (here != segment || bytes >= JOB_BYTES_MAX) {
                        break;
                    }
                    segment = here;
                    bytes += u64::from(len);
                    chunks.push((start, id, len));
                    self.at = start + u64::from(len);
                }
            }
        }
        if chunks.is_empty() {
            return None;
        }
        let (results, receiver) = crossbeam_channel::bounded(1);
        // Cannot fail while the threads, which hold the other end, live.
        let _ = jobs.send((chunks, results));
        Some(Next::Chunks(receiver))
    }
}
