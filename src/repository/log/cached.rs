//! Log records that this machine has read before.
//!
//! Every command reads all records, and at a service each is a request. They never change, and are
//! kept as they are stored: sealed, and checked against their hash whenever they are read here. So
//! nothing has to be trusted that storage would not be, and a file that is damaged or cut off costs
//! requests and nothing else.
//!
//! One file, to which runs append `hash, length (4 bytes, little-endian), object`. Whoever looks at
//! the log again and again keeps them in memory, in the same form.

use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::model::ObjectHash;
use crate::repository::object::OBJECT_LEN_MAX;
use crate::repository::state::make_private_folder;

/// Bytes of an entry before the object.
const ENTRY_HEAD: usize = 36;

/// No file is longer: 64 MiB are some 100,000 records. What does not fit is asked for each time.
const FILE_LEN_MAX: u64 = 64 << 20;

/// Records as they are stored, by their hash.
pub(super) type StoredRecords = HashMap<ObjectHash, Vec<u8>>;

/// Records by their hash; one without a file has none and keeps none, if it is not in memory.
#[derive(Default)]
pub(super) struct CachedRecords {
    file: Option<PathBuf>,
    is_in_memory: bool,
    file_len: u64,
    known: StoredRecords,
    fresh: Mutex<Vec<u8>>,
}

impl CachedRecords {
    /// Reads the file of `folder`, as far as it is whole.
    pub(super) fn open(folder: &Path) -> Self {
        let path = folder.join("records");
        let mut bytes = Vec::new();
        let read = OpenOptions::new()
            .read(true)
            .open(&path)
            .and_then(|file| file.take(FILE_LEN_MAX).read_to_end(&mut bytes));
        if read.is_err() {
            bytes.clear();
        }
        let mut known = HashMap::new();
        let mut rest = &bytes[..];
        while let Some((hash, object, after)) = first_entry(rest) {
            known.insert(hash, object.to_vec());
            rest = after;
        }
        // What follows an entry that is cut off would never be read again.
        let file_len = if rest.is_empty() { bytes.len() as u64 } else { FILE_LEN_MAX };
        Self { file: Some(path), file_len, known, ..Self::default() }
    }

    /// Those that were kept in memory.
    pub(super) fn in_memory(known: StoredRecords) -> Self {
        Self { is_in_memory: true, known, ..Self::default() }
    }

    /// The same, which are kept in memory too.
    pub(super) fn into_memory(self) -> Self {
        Self { is_in_memory: true, ..self }
    }

    /// The object of this hash, if it is here and has that length.
    pub(super) fn get(&self, hash: &ObjectHash, len: u64) -> Option<&[u8]> {
        self.known.get(hash).map(Vec::as_slice).filter(|object| object.len() as u64 == len)
    }

    /// Keeps an object that was just read.
    pub(super) fn add(&self, hash: &ObjectHash, object: &[u8]) {
        if self.file.is_some() || self.is_in_memory {
            self.fresh.lock().extend(entry(hash, object));
        }
    }

    /// Writes down what is new. Once half of the file is of records that are gone, or it is full
    /// or damaged, it is written anew with those that are `listed`. A failure costs requests only.
    /// What is kept in memory is returned.
    pub(super) fn save(mut self, listed: &HashSet<ObjectHash>) -> StoredRecords {
        let kept = if self.is_in_memory { self.kept(listed) } else { StoredRecords::new() };
        self.write(listed);
        kept
    }

    /// All that are listed, as far as there is room for them.
    fn kept(&mut self, listed: &HashSet<ObjectHash>) -> StoredRecords {
        let mut kept = match self.file {
            Some(_) => self.known.clone(),
            None => std::mem::take(&mut self.known),
        };
        kept.retain(|hash, _| listed.contains(hash));
        let mut bytes: u64 = kept.values().map(|object| object.len() as u64).sum();
        let mut rest = &self.fresh.get_mut()[..];
        while let Some((hash, object, after)) = first_entry(rest) {
            bytes += object.len() as u64;
            if bytes <= FILE_LEN_MAX {
                kept.insert(hash, object.to_vec());
            }
            rest = after;
        }
        kept
    }

    fn write(self, listed: &HashSet<ObjectHash>) {
        let Some(path) = &self.file else { return };
        let fresh = self.fresh.into_inner();
        if fresh.is_empty() {
            return;
        }
        let gone = self.known.keys().filter(|hash| !listed.contains(hash)).count();
        let anew = self.file_len + fresh.len() as u64 > FILE_LEN_MAX || gone * 2 > self.known.len();
        let saved = match anew {
            false => append(path, &fresh),
            true => {
                let kept = self.known.iter().filter(|(hash, _)| listed.contains(hash));
                let mut bytes: Vec<u8> =
                    kept.flat_map(|(hash, object)| entry(hash, object)).collect();
                bytes.extend(fresh);
                replace(path, &bytes)
            }
        };
        if let Err(error) = saved {
            tracing::debug!("log records are not kept in the cache: {error}");
        }
    }
}

fn entry(hash: &ObjectHash, object: &[u8]) -> Vec<u8> {
    let len = u32::try_from(object.len()).unwrap_or(u32::MAX);
    [hash.as_bytes().as_slice(), &len.to_le_bytes(), object].concat()
}

fn first_entry(bytes: &[u8]) -> Option<(ObjectHash, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(ENTRY_HEAD)?;
    let hash = ObjectHash::from_slice(&head[..32])?;
    let len = u32::from_le_bytes(head[32..].try_into().ok()?);
    if u64::from(len) > OBJECT_LEN_MAX {
        return None;
    }
    let (object, after) = rest.split_at_checked(len as usize)?;
    Some((hash, object, after))
}

/// One write, so that runs at the same time do not mix their entries.
fn append(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        make_private_folder(folder).map_err(std::io::Error::other)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)?.write_all(bytes)
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = path.with_extension(format!("{}.new", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)
        .and_then(|mut file| file.write_all(&bytes[..bytes.len().min(FILE_LEN_MAX as usize)]))
        .and_then(|()| std::fs::rename(&unfinished, path));
    written.inspect_err(|_| _ = std::fs::remove_file(&unfinished))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u8) -> ObjectHash {
        ObjectHash::from_slice(&[number; 32]).unwrap()
    }

    fn all(numbers: impl IntoIterator<Item = u8>) -> HashSet<ObjectHash> {
        numbers.into_iter().map(hash).collect()
    }

    #[test]
    fn what_was_read_is_known_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("made");
        for number in 0..3 {
            let cached = CachedRecords::open(&folder);
            assert_eq!(cached.known.len(), usize::from(number));
            cached.add(&hash(number), &[number; 100]);
            cached.save(&all(0..3));
        }
        let cached = CachedRecords::open(&folder);
        assert_eq!(cached.get(&hash(2), 100), Some(&[2; 100][..]));
        assert_eq!(cached.get(&hash(2), 99), None, "storage has something else");
        assert_eq!(cached.get(&hash(3), 100), None);
    }

    #[test]
    fn what_is_in_memory_is_known_again() {
        let cached = CachedRecords::in_memory(StoredRecords::new());
        (0..3).for_each(|number| cached.add(&hash(number), &[number; 100]));
        let cached = CachedRecords::in_memory(cached.save(&all(0..3)));
        assert_eq!(cached.get(&hash(1), 100), Some(&[1; 100][..]));
        cached.add(&hash(3), &[3; 100]);
        let kept = cached.save(&all(2..4));
        assert_eq!(kept.into_keys().collect::<HashSet<_>>(), all(2..4));
        // And beside a file.
        let dir = tempfile::tempdir().unwrap();
        let cached = CachedRecords::open(dir.path()).into_memory();
        cached.add(&hash(0), &[0; 100]);
        assert_eq!(cached.save(&all(0..1)).len(), 1);
        let cached = CachedRecords::open(dir.path()).into_memory();
        assert_eq!(cached.known.len(), 1);
        assert_eq!(cached.save(&all(0..1)).len(), 1);
    }

    #[test]
    fn records_that_are_gone_do_not_stay() {
        let dir = tempfile::tempdir().unwrap();
        let cached = CachedRecords::open(dir.path());
        (0..10).for_each(|number| cached.add(&hash(number), &[number; 100]));
        cached.save(&all(0..10));
        let cached = CachedRecords::open(dir.path());
        cached.add(&hash(10), &[10; 100]);
        cached.save(&all(8..11));
        let known: HashSet<_> = CachedRecords::open(dir.path()).known.into_keys().collect();
        assert_eq!(known, all(8..11));
    }

    #[test]
    fn a_file_that_is_cut_off_is_made_whole() {
        let dir = tempfile::tempdir().unwrap();
        let cached = CachedRecords::open(dir.path());
        (0..3).for_each(|number| cached.add(&hash(number), &[number; 100]));
        cached.save(&all(0..4));
        let path = dir.path().join("records");
        let bytes = std::fs::read(&path).unwrap();
        for len in [0, 1, 36, 140, 300] {
            std::fs::write(&path, &bytes[..len]).unwrap();
            let cached = CachedRecords::open(dir.path());
            let before = len / 136;
            assert_eq!(cached.known.len(), before);
            cached.add(&hash(3), &[3; 100]);
            cached.save(&all(0..4));
            let cached = CachedRecords::open(dir.path());
            assert_eq!(cached.known.len(), before + 1, "{len}");
            assert!(cached.get(&hash(3), 100).is_some());
        }
    }
}
