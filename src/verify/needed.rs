//! The chunks that manifests name, looked up in the order of ids: an index that is larger than
//! memory is read once from front to end, and not in a random place for every chunk.
//!
//! Names are collected in parts by their first bits, in temporary files where they are many.

use parking_lot::Mutex;
use rayon::prelude::*;

use crate::error::Result;
use crate::model::{ChunkId, Piece};
use crate::runtime::{CancelToken, Spool};

/// Names that are held before they are sorted into parts: 10 MiB.
const HELD_MAX: usize = if cfg!(test) { 16 } else { 1 << 18 };
/// Parts by the first bits of an id.
const PARTS: usize = 128;
/// Bytes of a part that are held before they are written.
const PART_BUFFER: usize = if cfg!(test) { 1 << 8 } else { 64 << 10 };
/// Names in all parts together before they are looked up: each time costs one pass over the
/// index, and they take 2 GB of disk.
const SPOOLED_MAX: u64 = if cfg!(test) { 100 } else { 55 << 20 };
const NAME_LEN: usize = 36;

/// A chunk's id, and the length that a file gives it.
type Name = ([u8; 32], u32);

/// Collects names, and hands them to `look_up` in order, each once as far as that is cheap.
pub(super) struct Needed<'a> {
    /// Looks a chunk up. Called on any thread.
    look_up: &'a (dyn Fn(ChunkId, u32) + Sync),
    /// Told the range of ids that is looked up next.
    about_to: &'a (dyn Fn(&[u8; 32], &[u8; 32]) + Sync),
    cancel: &'a CancelToken,
    folder: Option<std::path::PathBuf>,
    held: Mutex<Vec<Name>>,
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    spools: Vec<Spool>,
    names: u64,
}

impl<'a> Needed<'a> {
    /// With temporary files in `folder`; without one, names are looked up a few at a time.
    pub(super) fn new(
        folder: Option<std::path::PathBuf>,
        look_up: &'a (dyn Fn(ChunkId, u32) + Sync),
        about_to: &'a (dyn Fn(&[u8; 32], &[u8; 32]) + Sync),
        cancel: &'a CancelToken,
    ) -> Self {
        Self { look_up, about_to, cancel, folder, held: Mutex::default(), parts: Mutex::default() }
    }

    /// Takes the chunks among the pieces of a file, and returns how many there are.
    ///
    /// # Errors
    /// [`crate::error::Error::Local`] if there is no room for them, and
    /// [`crate::error::Error::Cancelled`].
    pub(super) fn add(&self, pieces: &[Piece]) -> Result<u64> {
        let (names, count) = {
            let mut held = self.held.lock();
            let before = held.len();
            held.extend(pieces.iter().filter_map(|piece| match piece {
                Piece::Chunk(id, len) => Some((id.0, *len)),
                Piece::Hole(_) => None,
            }));
            let count = (held.len() - before) as u64;
            if held.len() < HELD_MAX {
                return Ok(count);
            }
            (std::mem::take(&mut *held), count)
        };
        // No lock is held here: others go on, and waiting for other threads is safe.
        self.sort_in(names)?;
        Ok(count)
    }

    fn sort_in(&self, mut names: Vec<Name>) -> Result<()> {
        names.sort_unstable();
        names.dedup();
        if self.folder.is_none() {
            self.cancel.check()?;
            names.iter().for_each(|(id, len)| (self.look_up)(ChunkId(*id), *len));
            return Ok(());
        }
        let full = {
            let mut parts = self.parts.lock();
            if parts.spools.is_empty() {
                let spool = || Spool::with_buffer(self.folder.as_deref(), PART_BUFFER);
                parts.spools = (0..PARTS).map(|_| spool()).collect();
            }
            for alike in names.chunk_by(|a, b| part_of(a) == part_of(b)) {
                let bytes: Vec<u8> = alike.iter().flat_map(encode).collect();
                parts.spools[part_of(&alike[0])].push(&bytes)?;
            }
            parts.names += names.len() as u64;
            if parts.names < SPOOLED_MAX {
                return Ok(());
            }
            std::mem::take(&mut *parts)
        };
        self.look_up_parts(full)
    }

    fn look_up_parts(&self, parts: Parts) -> Result<()> {
        // One after the other, each with all threads: so only one is held.
        for spool in parts.spools {
            let count = usize::try_from(spool.len()).unwrap_or(usize::MAX) / NAME_LEN;
            let mut names = Vec::with_capacity(count);
            let mut elements = spool.elements::<NAME_LEN>(0, spool.len());
            while let Some(bytes) = elements.next_element()? {
                names.push(decode(&bytes));
            }
            drop(spool);
            names.par_sort_unstable();
            names.dedup();
            if let (Some((first, _)), Some((last, _))) = (names.first(), names.last()) {
                (self.about_to)(first, last);
            }
            self.look_up_all(&names)?;
        }
        Ok(())
    }

    fn look_up_all(&self, names: &[Name]) -> Result<()> {
        names.par_chunks(1 << 12).try_for_each(|part| {
            self.cancel.check()?;
            part.iter().for_each(|(id, len)| (self.look_up)(ChunkId(*id), *len));
            Ok(())
        })
    }

    /// Looks up what is left.
    ///
    /// # Errors
    /// As [`Needed::add`].
    pub(super) fn finish(self) -> Result<()> {
        let held = std::mem::take(&mut *self.held.lock());
        if self.parts.lock().names == 0 {
            let mut names = held;
            names.par_sort_unstable();
            names.dedup();
            return self.look_up_all(&names);
        }
        self.sort_in(held)?;
        let parts = std::mem::take(&mut *self.parts.lock());
        self.look_up_parts(parts)
    }
}

fn part_of(name: &Name) -> usize {
    usize::from(name.0[0]) * PARTS / 256
}

fn encode(name: &Name) -> [u8; NAME_LEN] {
    let mut bytes = [0; NAME_LEN];
    bytes[..32].copy_from_slice(&name.0);
    bytes[32..].copy_from_slice(&name.1.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; NAME_LEN]) -> Name {
    let (mut id, mut len) = ([0; 32], [0; 4]);
    id.copy_from_slice(&bytes[..32]);
    len.copy_from_slice(&bytes[32..]);
    (id, u32::from_le_bytes(len))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Whatever the number of names, and however often they come: each is looked up, and nothing
    /// else.
    #[test]
    fn every_name_is_looked_up() {
        let folder = tempfile::tempdir().expect("a folder");
        for count in [0_u32, 1, 15, 16, 17, 99, 100, 101, 1000] {
            for folder in [None, Some(folder.path().to_path_buf())] {
                let found = Mutex::new(BTreeSet::new());
                let look_up = |id: ChunkId, len: u32| _ = found.lock().insert((id.0, len));
                let cancel = CancelToken::default();
                let needed = Needed::new(folder, &look_up, &|_, _| {}, &cancel);
                let id = |n: u32| *blake3::hash(&n.to_le_bytes()).as_bytes();
                let expected: BTreeSet<Name> = (0..count).map(|n| (id(n), n % 5)).collect();
                for round in 0..3_u64 {
                    for n in 0..count {
                        let chunk = Piece::Chunk(ChunkId(id(n)), n % 5);
                        let added = needed.add(&[chunk, Piece::Hole(round + 1)]);
                        assert_eq!(added.expect("takes it"), 1);
                    }
                }
                needed.finish().expect("ends");
                assert_eq!(*found.lock(), expected, "{count}");
            }
        }
    }

    #[test]
    fn a_cancelled_check_stops_looking_up() {
        let cancel = CancelToken::default();
        let look_up = |_: ChunkId, _: u32| {};
        let needed = Needed::new(None, &look_up, &|_, _| {}, &cancel);
        needed.add(&[Piece::Chunk(ChunkId([1; 32]), 1)]).expect("takes it");
        cancel.cancel();
        assert!(needed.finish().is_err());
    }
}
