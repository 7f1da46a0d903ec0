//! Decoders take memory by what they are given, not by what it claims to be.

use std::cell::Cell;

use larder::codec::{Codec, Decompressor};
use larder::format::bundle::{BundleFooter, BundleHeader, BundleId, HEADER_LEN};
use larder::format::config::Config;
use larder::format::debt::DebtRecord;
use larder::format::gc::{Fence, Mark};
use larder::format::index::{Delta, DropList, PackTable, RunDirectory};
use larder::format::key_slot::KeySlot;
use larder::format::keyring::Keyring;
use larder::format::list::decode_list;
use larder::format::log::{AboutBody, CheckpointBody, LogRecord, NoteBody, SnapshotBody};
use larder::format::pack::Directory;
use larder::format::page::{decode_inner, decode_leaf, decode_xattrs};
use larder::format::record::decode;
use larder::format::repo::RepoRecord;
use larder::format::session::{Session, SessionEnd};
use larder::model::ObjectHash;
use larder::runtime::Runtime;
use larder::storage::bundle::{BundleStorage, BundleWriter, Existing, Trust};
use larder::storage::{PutMode, Storage};
use proptest::prelude::*;

use crate::counting::Counting;
use crate::vectors::records;

thread_local! {
    /// What the thread holds, and the most that it held.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // At the end of a thread its counters are gone, and nobody asks for them.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

#[global_allocator]
static ALLOCATOR: Counting = Counting { count };

/// The most bytes that `work` held at once, beside what was there before.
fn most_held(work: impl FnOnce()) -> usize {
    let before = HELD.with(Cell::get);
    MOST.with(|most| most.set(before));
    work();
    (MOST.with(Cell::get) - before).max(0) as usize
}

/// Runs every decoder.
fn decode_all(bytes: &[u8]) {
    let n = "sample";
    let _ = RepoRecord::decode(bytes, n);
    let _ = KeySlot::decode(bytes, n);
    let _ = Keyring::decode(bytes, n);
    let _ = Config::decode(bytes, n);
    let _ = Directory::decode(bytes, n);
    let _ = Delta::decode(bytes, n);
    let _ = PackTable::decode(bytes, n);
    let _ = RunDirectory::decode(bytes, n);
    let _ = decode::<DropList>(bytes, n);
    let _ = decode_leaf(bytes, n);
    let _ = decode_xattrs(bytes, n);
    for level in 0..4 {
        let _ = decode_inner(bytes, level, n);
        let _ = decode_list(bytes, level, n);
    }
    let _ = decode::<LogRecord>(bytes, n);
    let _ = SnapshotBody::decode(bytes, n);
    let _ = decode::<AboutBody>(bytes, n);
    let _ = decode::<CheckpointBody>(bytes, n);
    let _ = decode::<NoteBody>(bytes, n);
    let _ = decode::<Session>(bytes, n);
    let _ = decode::<SessionEnd>(bytes, n);
    let _ = decode::<Mark>(bytes, n);
    let _ = decode::<Fence>(bytes, n);
    let _ = DebtRecord::decode(bytes, n);
}

/// At most so many bytes are held for each byte given: an entry of a page is the worst case.
const RATIO_MAX: usize = 96;
/// But always so many.
const HELD_MIN: usize = 4 << 20;
/// And never more than so many: a page has a bounded number of elements.
const HELD_MAX: usize = 96 << 20;

fn check(bytes: &[u8]) {
    let held = most_held(|| decode_all(bytes));
    let bound = HELD_MIN.max(RATIO_MAX * bytes.len()).min(HELD_MAX);
    assert!(held <= bound, "{held} bytes for an input of {}", bytes.len());
}

#[test]
fn the_count_counts() {
    assert!(most_held(|| drop(vec![1_u8; 5000])) >= 5000);
}

/// A header that claims the most at every place of every record.
#[test]
fn huge_claims_cost_nothing() {
    let claims: [&[u8]; 6] = [
        &[0xdd, 0xff, 0xff, 0xff, 0xff],
        &[0xc6, 0xff, 0xff, 0xff, 0xff],
        &[0xdb, 0xff, 0xff, 0xff, 0xff],
        &[0xdf, 0xff, 0xff, 0xff, 0xff],
        &[0xc9, 0xff, 0xff, 0xff, 0xff, 1],
        &[0xdc, 0xff, 0xff],
    ];
    for (_, record) in records() {
        for at in (0..record.len()).step_by(1 + record.len() / 100) {
            for claim in claims {
                let mut bytes = record.clone();
                bytes.splice(at..at + 1, claim.iter().copied());
                check(&bytes);
            }
        }
    }
}

/// Arrays that really have as many elements as they say, each of the least length: what is made of
/// an element in memory is many times larger than the element.
#[test]
fn many_small_elements_stay_bounded() {
    let array = |element: &[u8], room: usize| {
        let count = room / element.len();
        let mut bytes = vec![0xdd];
        bytes.extend((count as u32).to_be_bytes());
        bytes.extend(element.repeat(count));
        bytes
    };
    let owner = [0x94, 0, 0, 0xc4, 0, 0xc4, 0];
    // The least entry of a page, 8 bytes.
    let entry = [0x96, 0, 0xc4, 0, 1, 0, 0, 0];
    let plain: [&[u8]; 6] = [&[1], &[0xa0], &[0xc0], &[0x90], &owner, &entry];
    let mut elements: Vec<Vec<u8>> = plain.map(<[u8]>::to_vec).into();
    for (name, record) in records() {
        // The parts of other records.
        if record.len() < 200 {
            elements.push(record.clone());
        }
        // And each record with each of its parts repeated.
        if name.contains("LeafRecord") || name.contains("Body") || name.contains("Mark") {
            for at in 1..record.len() {
                for element in [&[1_u8][..], &[0xa0], &owner, &[0x90]] {
                    let mut bytes = record[..at].to_vec();
                    bytes.extend(array(element, 100 << 10));
                    bytes.extend(&record[at + 1..]);
                    if at % 17 == 0 || at < 8 {
                        check(&bytes);
                    }
                }
            }
        }
    }
    for element in elements {
        for schema in [&[][..], &[1], &[1, 0], &[1, 16], &[1, 0, 0x90], &[1, 32], &[1, 17]] {
            let mut bytes = vec![0x91 + schema.len() as u8];
            bytes.extend(schema);
            bytes.extend(array(&element, 160 << 10));
            check(&bytes);
        }
    }
}

#[test]
fn pages_have_a_bounded_number_of_elements() {
    let element = [0x96, 0, 0xc4, 0, 1, 0, 0, 0];
    let mut bytes = vec![0x94, 1, 0, 0x90, 0xdd];
    bytes.extend(1_000_000_u32.to_be_bytes());
    bytes.extend(element.repeat(1_000_000));
    let held = most_held(|| assert!(decode_leaf(&bytes, "page").is_err()));
    assert!(held < HELD_MAX, "{held}");
}

/// Front coding makes long paths of few bytes: pages must not become gigabytes.
#[test]
fn front_coded_paths_stay_bounded() {
    let name = [b'x'; 250];
    let mut long = Vec::new();
    for _ in 0..3000 {
        long.extend(name);
        long.push(b'/');
    }
    let mut entries = Vec::new();
    // The first has a path of 750 KB, and each later one repeats all of it and adds a byte.
    entries.extend([0x96, 0, 0xc6]);
    entries.extend((long.len() as u32 + 1).to_be_bytes());
    entries.extend(&long);
    entries.push(b'a');
    entries.extend([2, 0, 0, 0]);
    let count = 10_000_u32;
    for number in 1..count {
        entries.extend([0x96, 0xce]);
        entries.extend((long.len() as u32 + number).to_be_bytes());
        entries.extend([0xc4, 1, b'a', 2, 0, 0, 0]);
    }
    let mut bytes = vec![0x94, 1, 0, 0x91, 0x94, 0, 0, 0xc4, 0, 0xc4, 0, 0xdd];
    bytes.extend(count.to_be_bytes());
    bytes.extend(entries);
    check(&bytes);
    assert!(decode_leaf(&bytes, "page").is_err());
}

/// A small frame that claims, or really unpacks to, very much.
#[test]
fn decompression_stops_at_the_length_that_was_expected() {
    let bomb = zstd::bulk::compress(&vec![0; 200 << 20], 1).expect("compresses");
    for expected in [0, 1, 4096, 1 << 20] {
        let mut out = Vec::new();
        let held = most_held(|| {
            let mut decompressor = Decompressor::new();
            assert!(decompressor.decompress(Codec::Zstd, &bomb, expected, &mut out).is_err());
        });
        assert!(held < 2 << 20, "{held}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn changed_records_stay_bounded(
        number in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let all = records();
        let (_, mut bytes) = all[number.index(all.len())].clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check(&bytes);
    }

    #[test]
    fn any_bytes_stay_bounded(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        check(&bytes);
    }
}

/// A bundle of very many objects costs a hundred bytes or so for each, to read as to write.
#[test]
fn objects_of_a_bundle_take_little_memory() {
    const OBJECTS: usize = 20_000;
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a.larder");
    let written = most_held(|| {
        let writer = BundleWriter::create(&path, &Runtime::default()).expect("creates");
        for number in 0..OBJECTS as u32 {
            let bytes = number.to_le_bytes();
            let hash = blake3::hash(&bytes).to_hex();
            let name = format!("data/{}/{hash}", &hash[..2]);
            writer.put(&name, &[&bytes], PutMode::Content).expect("puts");
        }
        writer.finish(Existing::Keep).expect("finishes");
    });
    let read = most_held(|| {
        let bundle = BundleStorage::open(&path, "x".into(), Trust::Looks).expect("opens");
        assert_eq!(bundle.expect("a bundle").objects(), OBJECTS);
    });
    for (what, held) in [("write", written), ("read", read)] {
        let each = held.saturating_sub(2 << 20) / OBJECTS;
        assert!(each < 150, "{each} bytes for each object to {what}");
    }
}

/// Files that claim to be huge, and are mostly holes.
#[test]
fn bundles_that_claim_much_take_little() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a.larder");
    let id = BundleId([1; 16]);
    let len: u64 = 1 << 42;
    let file = std::fs::File::create(&path).expect("a file");
    std::os::unix::fs::FileExt::write_all_at(
        &file,
        &BundleHeader { id, created_ms: 0 }.encode(),
        0,
    )
    .expect("writes");
    let footer = BundleFooter {
        id,
        directory_offset: HEADER_LEN as u64,
        directory_len: len - 160,
        objects: u64::MAX,
        directory_hash: ObjectHash([0; 32]),
    };
    std::os::unix::fs::FileExt::write_all_at(&file, &footer.encode(), len - 96).expect("writes");
    let held = most_held(|| {
        let bundle = BundleStorage::open(&path, "x".into(), Trust::Looks).expect("opens");
        let bundle = bundle.expect("it begins like one");
        assert_eq!(bundle.objects(), 0);
        assert!(bundle.warning().is_some());
    });
    assert!(held < HELD_MIN, "{held} bytes");
}
