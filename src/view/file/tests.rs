use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::error::StorageError;
use crate::hand_on;
use crate::storage::{MemoryStorage, PutMode, Storage};
use crate::tree::testing::{Lab, entry};
use crate::view::trouble::{Freshness, Said};

/// Requests that storage is asked for at once.
const CALLS: usize = 16;
/// Nothing here takes so long, unless it hangs.
const LONG: Duration = Duration::from_secs(10);
const CHUNK: usize = 64 << 10;

/// Storage that counts the parts of objects that are asked for.
#[derive(Default)]
struct Counting {
    inner: MemoryStorage,
    state: Mutex<Requests>,
    changed: Condvar,
    /// No request is answered before so many are under way, or a long time has passed.
    waits_for_all: AtomicBool,
}

#[derive(Default)]
struct Requests {
    under_way: usize,
    most: usize,
    of_part: HashMap<(String, u64), usize>,
}

impl Storage for Counting {
    hand_on!(inner: location, put, get, head, list, delete);

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        let mut state = self.state.lock();
        *state.of_part.entry((name.to_owned(), offset)).or_default() += 1;
        state.under_way += 1;
        state.most = state.most.max(state.under_way);
        self.changed.notify_all();
        let start = Instant::now();
        while self.waits_for_all.load(Ordering::Relaxed)
            && state.most < CALLS
            && start.elapsed() < LONG
        {
            self.changed.wait_for(&mut state, LONG);
        }
        state.under_way -= 1;
        drop(state);
        self.inner.get_range(name, offset, buf)
    }

    fn concurrency(&self) -> usize {
        CALLS
    }
}

/// A file of chunks that are segments of their own, opened, and what is in it.
fn file_of(
    storage: &Arc<Counting>,
    chunks: usize,
    memory: usize,
) -> (Arc<Ahead>, OpenFile, Vec<u8>) {
    let lab = Lab::plain(Arc::<Counting>::clone(storage));
    let mut bytes = vec![0; chunks * CHUNK];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut bytes);
    let mut file = entry(b"file", FileKind::File);
    file.size = bytes.len() as u64;
    file.content = lab.store(|store| {
        let pieces: Vec<Piece> = bytes.chunks(CHUNK).map(|chunk| store.lone_chunk(chunk)).collect();
        store.list(&pieces, 32)
    });
    let freshness = Arc::new(Freshness::new(&lab.repository));
    let ahead = Ahead::new(&lab.repository, &freshness, &Arc::<Said>::default(), memory);
    // What was written and what was read to open it.
    lab.repository.keep_read(0);
    let open = OpenFile::new(&ahead, &file, "file".into()).expect("opens");
    *storage.state.lock() = Requests::default();
    (ahead, open, bytes)
}

/// The most requests that were under way at once, and how often each part of a pack was asked for.
fn requests(storage: &Counting) -> (usize, Vec<usize>) {
    let state = storage.state.lock();
    let of_data = state.of_part.iter().filter(|((name, _), _)| name.starts_with("data/"));
    (state.most, of_data.map(|(_, count)| *count).collect())
}

/// Reads `range` in order, as a kernel does.
fn read_on(file: &OpenFile, range: std::ops::Range<usize>, expected: &[u8]) {
    for at in range.step_by(CHUNK / 2) {
        let read = file.read(at as u64, (CHUNK / 2) as u32).expect("reads");
        assert!(read == expected[at..at + CHUNK / 2], "at {at}");
    }
}

#[test]
fn in_order_all_calls_are_under_way_at_once_and_nothing_is_fetched_twice() {
    let storage = Arc::<Counting>::default();
    let (_ahead, file, expected) = file_of(&storage, 600, 16 << 20);
    let (start, end) = (expected.len() / 4, expected.len());
    read_on(&file, 0..start, &expected);
    storage.waits_for_all.store(true, Ordering::Relaxed);
    storage.state.lock().most = 0;
    read_on(&file, start..end, &expected);
    let (most, counts) = requests(&storage);
    assert!(most >= CALLS, "at most {most} requests at once");
    assert_eq!(counts, vec![1; 600]);
}

#[test]
fn what_was_read_ahead_is_bounded_and_given_back() {
    let storage = Arc::<Counting>::default();
    let memory = 4 << 20;
    let (ahead, file, expected) = file_of(&storage, 600, memory);
    for at in (0..expected.len()).step_by(CHUNK) {
        read_on(&file, at..at + CHUNK, &expected);
        let held = ahead.source().held();
        assert!(held <= memory as u64 + 2 * CHUNK as u64, "{held} bytes at {at}");
    }
    // Two more readers, and some who jump.
    for at in (0..16 * CHUNK).step_by(CHUNK) {
        for base in [100, 300, 599 * 7 % 600, at * 31 / CHUNK % 580] {
            let from = (base * CHUNK + at).min(expected.len() - CHUNK);
            read_on(&file, from..from + CHUNK, &expected);
        }
        let held = ahead.source().held();
        assert!(held <= 4 * memory as u64, "{held} bytes at {at}");
    }
    drop(file);
    let start = Instant::now();
    while ahead.source().held() > 0 {
        assert!(start.elapsed() < LONG, "{} bytes are never given back", ahead.source().held());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_damaged_chunk_is_not_fetched_each_time() {
    let storage = Arc::<Counting>::default();
    let (_ahead, file, _) = file_of(&storage, 1, 4 << 20);
    let mut packs = Vec::new();
    storage.list("data/", &mut |object| packs.push(object.name)).expect("lists");
    for pack in &packs {
        let mut bytes = storage.get(pack, 1 << 30).expect("is there");
        bytes.iter_mut().for_each(|byte| *byte ^= 1);
        storage.put(pack, &[&bytes], PutMode::Replace).expect("is damaged");
    }
    let asked = || requests(&storage).1.iter().sum::<usize>();
    let failed = |offset| assert!(file.read(offset, 10).expect_err("damaged").is_damage());
    failed(0);
    let first = asked();
    assert!(first > 0);
    (0..50).for_each(|step| failed(step * 64));
    assert_eq!(asked(), first, "once is enough for a while");
}
