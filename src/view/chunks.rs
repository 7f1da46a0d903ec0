//! The chunks of an open file that are here or on their way, and how many bytes they take up.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::ahead::Source;
use crate::model::ChunkId;

/// Bytes that were read to their end and are kept, for readers who are a little behind the one in
/// front, or go back a little: at most so many, and this part of what open files hold together.
const KEPT_BEHIND: u64 = 4 << 20;
const KEPT_PART: u64 = 8;

/// Chunks by where they start in the file.
pub(super) struct Chunks {
    slots: HashMap<u64, Chunk>,
    /// All of them, also what has yet to come: memory is bounded before it is needed.
    held: Held,
    /// Those that somebody read to their end, the oldest first, and their bytes.
    read: VecDeque<u64>,
    read_bytes: u64,
    kept_behind: u64,
}

struct Chunk {
    id: ChunkId,
    len: u32,
    state: State,
    is_read: bool,
}

enum State {
    /// A thread will read it, or whoever needs it sooner.
    Queued,
    /// Somebody reads it.
    Coming,
    Here(Bytes),
}

/// What somebody who wants a chunk is told.
pub(super) enum Found {
    Here(Bytes),
    /// Somebody reads it.
    Coming,
    /// Whoever asked has to read it now. Threads were told to, if it was `queued`.
    Yours {
        queued: bool,
    },
}

/// Bytes that count as held by open files.
struct Held {
    source: Arc<Source>,
    bytes: u64,
}

impl Held {
    fn add(&mut self, bytes: u32) {
        self.bytes += u64::from(bytes);
        self.source.hold(u64::from(bytes));
    }

    fn release(&mut self, bytes: u32) {
        self.bytes -= u64::from(bytes);
        self.source.release(u64::from(bytes));
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.source.release(self.bytes);
    }
}

impl Chunks {
    pub(super) fn new(source: &Arc<Source>) -> Self {
        let held = Held { source: Arc::clone(source), bytes: 0 };
        let kept_behind = KEPT_BEHIND.min(source.held_max() / KEPT_PART);
        Self { slots: HashMap::new(), held, read: VecDeque::new(), read_bytes: 0, kept_behind }
    }

    /// Takes note of a chunk that threads will read. `false` if it is known.
    pub(super) fn queue(&mut self, start: u64, id: ChunkId, len: u32) -> bool {
        let Slot::Vacant(slot) = self.slots.entry(start) else { return false };
        slot.insert(Chunk { id, len, state: State::Queued, is_read: false });
        self.held.add(len);
        true
    }

    /// Forgets a chunk that threads have no time for, unless somebody reads it by now.
    pub(super) fn unqueue(&mut self, start: u64) {
        let state = self.slots.get(&start).map(|chunk| &chunk.state);
        if matches!(state, Some(State::Queued)) {
            self.forget(start);
        }
    }

    /// A chunk that somebody wants now.
    pub(super) fn find(&mut self, start: u64, id: ChunkId, len: u32) -> Found {
        let is_new = self.queue(start, id, len);
        match self.slots.get_mut(&start) {
            Some(Chunk { state: State::Here(bytes), .. }) => Found::Here(bytes.clone()),
            Some(Chunk { state: State::Coming, .. }) => Found::Coming,
            Some(chunk) => {
                chunk.state = State::Coming;
                Found::Yours { queued: !is_new }
            }
            None => Found::Yours { queued: false },
        }
    }

    /// A chunk that a thread was told to read, if nobody does it yet.
    pub(super) fn take_queued(&mut self, start: u64) -> Option<(ChunkId, u32)> {
        let chunk = self.slots.get_mut(&start)?;
        if !matches!(chunk.state, State::Queued) {
            return None;
        }
        chunk.state = State::Coming;
        Some((chunk.id, chunk.len))
    }

    /// Takes a chunk that came. What nobody read goes if it is more than `window` bytes and some,
    /// but what is `near` somebody who reads.
    pub(super) fn put(
        &mut self,
        start: u64,
        bytes: Bytes,
        window: u64,
        near: impl Fn(u64, u64) -> bool,
    ) {
        if let Some(chunk) = self.slots.get_mut(&start) {
            chunk.state = State::Here(bytes);
        }
        if self.held.bytes - self.read_bytes <= window + self.kept_behind {
            return;
        }
        let (held, slots) = (&mut self.held, &mut self.slots);
        slots.retain(|at, chunk| {
            let is_here = matches!(chunk.state, State::Here(_));
            let stays =
                !is_here || chunk.is_read || *at == start || near(*at, *at + u64::from(chunk.len));
            if !stays {
                held.release(chunk.len);
            }
            stays
        });
    }

    /// Takes note that a chunk was read to its end: those of which that is the longest ago go.
    pub(super) fn was_read(&mut self, start: u64) {
        let Some(chunk) = self.slots.get_mut(&start) else { return };
        if !chunk.is_read {
            chunk.is_read = true;
            self.read_bytes += u64::from(chunk.len);
            self.read.push_back(start);
        }
        while self.read_bytes > self.kept_behind && self.read.len() > 1 {
            let Some(oldest) = self.read.pop_front() else { return };
            self.forget(oldest);
        }
    }

    /// Forgets a chunk that could not be read.
    pub(super) fn failed(&mut self, start: u64) {
        self.forget(start);
    }

    fn forget(&mut self, start: u64) {
        let Some(chunk) = self.slots.remove(&start) else { return };
        self.held.release(chunk.len);
        if chunk.is_read {
            self.read_bytes -= u64::from(chunk.len);
        }
    }
}
