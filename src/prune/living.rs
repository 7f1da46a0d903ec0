//! The ids that living snapshots need, as 8-byte prefixes in order. Two ids with one prefix keep
//! garbage alive, never the other way round.
//!
//! Up to a limit they are in memory. Beyond it they go to temporary files, one for each range of
//! ids, which are then sorted one at a time and mapped: memory stays bounded at any size.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::error::{Error, Result};
use crate::runtime::Random;

/// Ranges of ids that are spilled apart.
const PARTS: usize = 64;

/// The first bytes of an id, as a number of the same order.
pub(super) fn prefix(id: &[u8; 32]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&id[..8]);
    u64::from_be_bytes(bytes)
}

/// Collects ids.
pub(super) struct LivingBuilder {
    buffer: Vec<u64>,
    limit: usize,
    folder: PathBuf,
    random: Random,
    parts: Option<Vec<BufWriter<File>>>,
    failure: Option<Error>,
}

impl LivingBuilder {
    /// Holds up to `limit` ids in memory; more go to files in `folder`.
    pub(super) fn new(limit: usize, folder: &Path, random: &Random) -> Self {
        Self {
            buffer: Vec::new(),
            limit: limit.max(PARTS),
            folder: folder.to_path_buf(),
            random: random.clone(),
            parts: None,
            failure: None,
        }
    }

    /// Adds an id. Failures are kept for [`LivingBuilder::finish`].
    pub(super) fn insert(&mut self, id: &[u8; 32]) {
        if self.buffer.len() >= self.limit {
            self.tidy();
            if self.buffer.len() > self.limit / 2 && self.failure.is_none() {
                self.failure = self.spill().err();
            }
            if self.failure.is_some() {
                self.buffer.clear();
            }
        }
        self.buffer.push(prefix(id));
    }

    fn tidy(&mut self) {
        self.buffer.sort_unstable();
        self.buffer.dedup();
    }

    fn spill(&mut self) -> Result<()> {
        let mut parts = match self.parts.take() {
            Some(parts) => parts,
            None => (0..PARTS)
                .map(|_| Ok(BufWriter::with_capacity(64 << 10, self.temporary()?)))
                .collect::<Result<_>>()?,
        };
        for prefix in self.buffer.drain(..) {
            let part = (prefix >> (64 - PARTS.trailing_zeros())) as usize;
            parts[part]
                .write_all(&prefix.to_le_bytes())
                .map_err(|e| Error::local("write", &self.folder, e))?;
        }
        self.parts = Some(parts);
        Ok(())
    }

    /// A file without a name: gone with this process.
    fn temporary(&self) -> Result<File> {
        let name = format!("larder-prune-{:016x}", self.random.next_u64());
        let path = self.folder.join(name);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| Error::local("create", &path, e))?;
        std::fs::remove_file(&path).map_err(|e| Error::local("delete", &path, e))?;
        Ok(opened)
    }

    /// The sorted set.
    ///
    /// # Errors
    /// [`Error::Local`] if a temporary file could not be used.
    pub(super) fn finish(mut self) -> Result<LivingSet> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        self.tidy();
        if self.parts.is_none() {
            return Ok(LivingSet(vec![Part::Memory(self.buffer)]));
        }
        self.spill()?;
        let mut set = LivingSet(Vec::with_capacity(PARTS));
        for part in self.parts.take().unwrap_or_default() {
            let local =
                |e: std::io::Error| Error::local("use a temporary file in", &self.folder, e);
            let mut file = part.into_inner().map_err(|e| local(e.into_error()))?;
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(0)).map_err(local)?;
            file.read_to_end(&mut bytes).map_err(local)?;
            let (words, _) = bytes.as_chunks::<8>();
            let mut prefixes: Vec<u64> =
                words.iter().map(|word| u64::from_le_bytes(*word)).collect();
            drop(bytes);
            prefixes.sort_unstable();
            prefixes.dedup();
            if prefixes.is_empty() {
                continue;
            }
            let sorted = self.temporary()?;
            let mut out = BufWriter::new(&sorted);
            for prefix in prefixes {
                out.write_all(&prefix.to_le_bytes()).map_err(local)?;
            }
            out.flush().map_err(local)?;
            drop(out);
            // SAFETY: the file has no name, belongs to this process alone and is not changed any
            // more.
            #[allow(unsafe_code)]
            let map = unsafe { Mmap::map(&sorted) }.map_err(local)?;
            set.0.push(Part::Mapped(map));
        }
        Ok(set)
    }
}

enum Part {
    Memory(Vec<u64>),
    Mapped(Mmap),
}

impl Part {
    fn len(&self) -> usize {
        match self {
            Self::Memory(prefixes) => prefixes.len(),
            Self::Mapped(map) => map.len() / 8,
        }
    }

    fn get(&self, at: usize) -> u64 {
        match self {
            Self::Memory(prefixes) => prefixes[at],
            Self::Mapped(map) => {
                let mut word = [0; 8];
                word.copy_from_slice(&map[at * 8..at * 8 + 8]);
                u64::from_le_bytes(word)
            }
        }
    }
}

/// A finished set.
pub(super) struct LivingSet(Vec<Part>);

impl LivingSet {
    /// Whether an id lives.
    pub(super) fn contains(&self, id: &[u8; 32]) -> bool {
        let wanted = prefix(id);
        let part =
            self.0.partition_point(|part| part.len() == 0 || part.get(part.len() - 1) < wanted);
        let Some(part) = self.0.get(part) else { return false };
        let (mut low, mut high) = (0, part.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if part.get(middle) < wanted { low = middle + 1 } else { high = middle }
        }
        low < part.len() && part.get(low) == wanted
    }

    fn get(&self, part: usize, at: usize) -> Option<u64> {
        self.0.get(part).filter(|part| at < part.len()).map(|part| part.get(at))
    }
}

/// All living ids: those of several walks together.
#[derive(Default)]
pub(super) struct Living {
    sets: Vec<LivingSet>,
}

impl Living {
    pub(super) fn add(&mut self, set: LivingSet) {
        self.sets.push(set);
    }

    /// Whether an id lives.
    pub(super) fn contains(&self, id: &[u8; 32]) -> bool {
        self.sets.iter().any(|set| set.contains(id))
    }

    /// Steps through all of it, in order.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor { places: self.sets.iter().map(|set| (set, 0, 0)).collect() }
    }
}

/// Steps through living prefixes beside something else that is sorted by id.
pub(super) struct Cursor<'l> {
    places: Vec<(&'l LivingSet, usize, usize)>,
}

impl Cursor<'_> {
    fn peek(&mut self) -> Option<u64> {
        let mut least = None;
        for (set, part, at) in &mut self.places {
            while *part < set.0.len() && set.get(*part, *at).is_none() {
                (*part, *at) = (*part + 1, 0);
            }
            if let Some(prefix) = set.get(*part, *at) {
                least = Some(least.map_or(prefix, |least: u64| least.min(prefix)));
            }
        }
        least
    }

    fn skip(&mut self, prefix: u64) {
        for (set, part, at) in &mut self.places {
            if set.get(*part, *at) == Some(prefix) {
                *at += 1;
            }
        }
    }

    /// Goes on to `wanted`, which is not below any asked for before. Says whether it lives; those
    /// in between go to `passed`.
    pub(super) fn advance(&mut self, wanted: u64, passed: &mut dyn FnMut(u64)) -> bool {
        while let Some(least) = self.peek() {
            if least >= wanted {
                return least == wanted;
            }
            passed(least);
            self.skip(least);
        }
        false
    }

    /// Steps over a prefix that was found.
    pub(super) fn step_over(&mut self, prefix: u64) {
        self.peek();
        self.skip(prefix);
    }

    /// Hands out all that is left.
    pub(super) fn rest(&mut self, passed: &mut dyn FnMut(u64)) {
        while let Some(least) = self.peek() {
            passed(least);
            self.skip(least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> [u8; 32] {
        *blake3::hash(&number.to_le_bytes()).as_bytes()
    }

    fn set(limit: usize, numbers: impl Iterator<Item = u64>) -> LivingSet {
        let folder = tempfile::tempdir().expect("a folder");
        let mut builder = LivingBuilder::new(limit, folder.path(), &Random::os());
        numbers.for_each(|number| builder.insert(&id(number)));
        let set = builder.finish().expect("finishes");
        let left = std::fs::read_dir(folder.path()).expect("lists").count();
        assert_eq!(left, 0, "temporary files have no names");
        set
    }

    /// In memory or in files, with repeats or without: the same set in the same order.
    #[test]
    fn spilled_sets_are_equal_to_those_in_memory() {
        let repeated = || (0..5000).chain(1000..3000).chain(0..10);
        for limit in [100, 1000, 1 << 20] {
            let mut living = Living::default();
            living.add(set(limit, repeated()));
            living.add(set(limit, 4990..5010));
            for number in 0..6000 {
                assert_eq!(living.contains(&id(number)), number < 5010, "{limit}: {number}");
            }
            let mut all = Vec::new();
            living.cursor().rest(&mut |prefix| all.push(prefix));
            let mut expected: Vec<u64> = (0..5010).map(|number| prefix(&id(number))).collect();
            expected.sort_unstable();
            assert_eq!(all, expected, "{limit}");
        }
    }

    #[test]
    fn a_cursor_tells_what_it_passes() {
        let mut living = Living::default();
        living.add(set(1 << 20, 0..100));
        let mut prefixes: Vec<u64> = (0..100).map(|number| prefix(&id(number))).collect();
        prefixes.sort_unstable();
        let mut cursor = living.cursor();
        let mut passed = Vec::new();
        assert!(cursor.advance(prefixes[10], &mut |p| passed.push(p)));
        assert!(cursor.advance(prefixes[10], &mut |p| passed.push(p)));
        cursor.step_over(prefixes[10]);
        assert!(!cursor.advance(prefixes[20] - 1, &mut |p| passed.push(p)));
        assert_eq!(passed, [&prefixes[..10], &prefixes[11..20]].concat());
        cursor.rest(&mut |p| passed.push(p));
        assert_eq!(passed.len(), 99);
    }
}
