//! Puts entries in order that come in any: what does not fit into memory waits beside it, sealed
//! under a key that only this run has.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::path::PathBuf;

use crate::crypto::{ClassKey, SealKind, Secret, Suite, Unit, open_in_place, seal};
use crate::error::{Error, Result};
use crate::format::page::{decode_leaf, encode_leaf, entry_weight};
use crate::model::entry::compare_paths;
use crate::model::{Entry, EpochId, RepoId};
use crate::runtime::{Random, Spool};

/// Memory for entries that are not sorted yet.
const BATCH_BYTES: usize = if cfg!(test) { 16 << 10 } else { 48 << 20 };
/// What an entry takes beside what it holds.
const ENTRY_BYTES: usize = 256;
/// Bytes of a frame of sorted entries, about.
const FRAME_BYTES: usize = 64 << 10;

/// Takes entries in any order. The inode number of each counts when it came.
pub(super) struct Sorter {
    batch: Vec<Entry>,
    weight: usize,
    spool: Spool,
    /// Where the frames of each run are.
    runs: Vec<(u64, u64)>,
    key: ClassKey,
    random: Random,
}

impl Sorter {
    /// Nothing yet. More than fits into memory goes to a file in `folder`.
    pub(super) fn new(folder: Option<PathBuf>, random: &Random) -> Self {
        let (repo_id, epoch) = (RepoId(random.bytes()), EpochId(random.bytes()));
        Self {
            batch: Vec::new(),
            weight: 0,
            spool: Spool::new(folder.as_deref()),
            runs: Vec::new(),
            key: ClassKey::new(Secret::random(random), repo_id, epoch, Suite::Aes256),
            random: random.clone(),
        }
    }

    pub(super) fn push(&mut self, entry: Entry) -> Result<()> {
        self.weight += entry_weight(&entry) + ENTRY_BYTES;
        self.batch.push(entry);
        if self.weight >= BATCH_BYTES { self.end_run() } else { Ok(()) }
    }

    fn end_run(&mut self) -> Result<()> {
        sort(&mut self.batch);
        let start = self.spool.len();
        let mut frame = Vec::new();
        for entry in self.batch.drain(..) {
            // Entries of one path cannot stand in one page.
            let page = encode_leaf(std::slice::from_ref(&entry));
            frame.extend_from_slice(&(page.len() as u32).to_le_bytes());
            frame.extend_from_slice(&page);
            if frame.len() >= FRAME_BYTES {
                push_frame(&mut self.spool, &self.key, &self.random, &frame)?;
                frame.clear();
            }
        }
        if !frame.is_empty() {
            push_frame(&mut self.spool, &self.key, &self.random, &frame)?;
        }
        self.weight = 0;
        self.runs.push((start, self.spool.len()));
        Ok(())
    }

    /// All entries came.
    pub(super) fn finish(mut self) -> Result<Sorted> {
        if self.runs.is_empty() {
            sort(&mut self.batch);
        } else if !self.batch.is_empty() {
            self.end_run()?;
        }
        Ok(Sorted { batch: self.batch, spool: self.spool, runs: self.runs, key: self.key })
    }
}

/// Sorts by path, and of one path by when they came.
fn sort(entries: &mut [Entry]) {
    entries.sort_by(order);
}

fn order(a: &Entry, b: &Entry) -> Ordering {
    compare_paths(&a.path, &b.path).then(a.inode.cmp(&b.inode))
}

fn push_frame(spool: &mut Spool, key: &ClassKey, random: &Random, frame: &[u8]) -> Result<()> {
    let sealed = seal(key, Unit::movable(SealKind::RunBlock), random, frame);
    spool.push(&(sealed.len() as u32).to_le_bytes())?;
    spool.push(&sealed)
}

/// All entries, by path, those of one path in the order in which they came.
pub(super) struct Sorted {
    /// If all fit into memory.
    batch: Vec<Entry>,
    spool: Spool,
    runs: Vec<(u64, u64)>,
    key: ClassKey,
}

impl Sorted {
    /// Hands out all of them; this can be done again.
    ///
    /// # Errors
    /// Those of `each`; [`Error::Local`] if the file beside memory cannot be read.
    pub(super) fn each(&self, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        if self.runs.is_empty() {
            return self.batch.iter().cloned().try_for_each(each);
        }
        let mut heap = BinaryHeap::new();
        for (at, end) in &self.runs {
            let mut run = Run { at: *at, end: *end, entries: Vec::new().into_iter() };
            if let Some(entry) = self.next_of(&mut run)? {
                heap.push(Reverse(Head { entry, run }));
            }
        }
        while let Some(Reverse(Head { entry, mut run })) = heap.pop() {
            if let Some(next) = self.next_of(&mut run)? {
                heap.push(Reverse(Head { entry: next, run }));
            }
            each(entry)?;
        }
        Ok(())
    }

    fn next_of(&self, run: &mut Run) -> Result<Option<Entry>> {
        if let Some(entry) = run.entries.next() {
            return Ok(Some(entry));
        }
        if run.at >= run.end {
            return Ok(None);
        }
        let mut len = [0; 4];
        self.spool.read_at(run.at, &mut len)?;
        let mut sealed = vec![0; u32::from_le_bytes(len) as usize];
        self.spool.read_at(run.at + 4, &mut sealed)?;
        run.at += 4 + sealed.len() as u64;
        let damaged = || Error::Internal { what: "a temporary file came back changed".into() };
        let unit = Unit::movable(SealKind::RunBlock);
        let mut frame = open_in_place(&self.key, unit, &mut sealed).ok_or_else(damaged)?;
        let mut entries = Vec::new();
        while let Some((len, rest)) = frame.split_first_chunk::<4>() {
            let len = u32::from_le_bytes(*len) as usize;
            let (page, rest) = rest.split_at_checked(len).ok_or_else(damaged)?;
            entries.extend(decode_leaf(page, "a temporary page")?);
            frame = rest;
        }
        run.entries = entries.into_iter();
        Ok(run.entries.next())
    }
}

struct Run {
    at: u64,
    end: u64,
    entries: std::vec::IntoIter<Entry>,
}

/// The next entry of a run.
struct Head {
    entry: Entry,
    run: Run,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        order(&self.entry, &other.entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FileKind;

    #[test]
    fn entries_come_back_in_order_from_memory_and_files() {
        for count in [0, 10, 2000] {
            let random = Random::seeded(count);
            let mut sorter = Sorter::new(None, &random);
            for number in 0..count {
                let name = u64::from_le_bytes(random.bytes()) % (count / 2);
                let path = format!("folder/{name}");
                let entry = Entry { inode: number, ..Entry::new(path, FileKind::File) };
                sorter.push(entry).expect("pushes");
            }
            let sorted = sorter.finish().expect("sorts");
            assert_eq!(sorted.runs.is_empty(), count < 1000);
            for _ in 0..2 {
                let mut all = Vec::new();
                let mut take = |entry| {
                    all.push(entry);
                    Ok(())
                };
                sorted.each(&mut take).expect("reads");
                assert_eq!(all.len(), count as usize);
                assert!(all.is_sorted_by(|a, b| order(a, b).is_lt()));
            }
        }
    }
}
