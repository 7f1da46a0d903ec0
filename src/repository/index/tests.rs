//! Streams against sets: whatever deltas and runs say, in whatever order and how often, the index
//! has exactly the records of all packs that count.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::Index;
use crate::crypto::{Class, Suite};
use crate::format::header::ObjectType;
use crate::format::index::{DeltaPack, DropList, IndexRecord, RunPack, RunSegment};
use crate::format::pack::{Directory, SegmentRecord};
use crate::format::record::{Bin, encode};
use crate::model::{BackupId, ObjectHash};
use crate::repository::object::make_object;
use crate::repository::{InitOptions, OpenOptions, Repository, Unlock};
use crate::runtime::Runtime;
use crate::storage::{MemoryStorage, PutMode, SharedStorage};

/// A record by what it means: id, pack, segment, offset, length.
type Fact = ([u8; 32], ObjectHash, u32, u32, u32);

/// One index object to be written.
#[derive(Clone, Debug)]
enum Step {
    Delta(Vec<u8>),
    Run(Vec<u8>),
    Drop(u8),
    /// All deltas, and the runs that are not much larger, become one run.
    Merge,
    /// A client with a folder of its own looks in.
    Look,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let packs = || prop::collection::vec(0..12_u8, 1..6);
    let step = prop_oneof![
        4 => packs().prop_map(Step::Delta),
        2 => packs().prop_map(Step::Run),
        1 => (0..12_u8).prop_map(Step::Drop),
        1 => Just(Step::Merge),
        2 => Just(Step::Look),
    ];
    prop::collection::vec(step, 1..14)
}

/// The chunks of a pack, by segment. Some ids are in several packs, one may be twice in a pack.
fn chunks(pack: u8) -> Vec<Vec<([u8; 32], u32)>> {
    let id = |n: u32| *blake3::hash(&n.to_le_bytes()).as_bytes();
    let segments = 1 + u32::from(pack) % 4;
    let chunk = |s: u32, n: u32| (id((u32::from(pack) * 97 + s * 53 + n) % 1500), 100 + n);
    (0..segments).map(|s| (0..40 + u32::from(pack) * 9).map(|n| chunk(s, n)).collect()).collect()
}

fn hash_of(pack: u8) -> ObjectHash {
    ObjectHash(*blake3::hash(&[pack]).as_bytes())
}

fn facts(pack: u8) -> impl Iterator<Item = Fact> {
    (0..).zip(chunks(pack)).flat_map(move |(segment_no, segment)| {
        let mut start = 0;
        segment.into_iter().map(move |(id, len)| {
            start += len;
            (id, hash_of(pack), segment_no, start - len, len)
        })
    })
}

fn directory(repository: &Repository, pack: u8) -> DeltaPack {
    let segments = chunks(pack);
    let directory = Directory {
        pack_type: ObjectType::DataPack as u8,
        epochs: vec![repository.data_epoch()],
        segments: segments
            .iter()
            .map(|segment| SegmentRecord {
                sealed_len: 1000,
                plain_len: segment.iter().map(|(_, len)| len).sum(),
                codec: 1,
                epoch_no: 0,
                chunk_count: segment.len() as u32,
            })
            .collect(),
        ids: Bin(segments.iter().flatten().flat_map(|(id, _)| *id).collect()),
        lengths: segments.iter().flatten().map(|(_, len)| *len).collect(),
        pad_len: 0,
    };
    DeltaPack { pack: hash_of(pack), len: 1 << 20, directory }
}

fn put_run(repository: &Repository, packs: &BTreeSet<u8>) {
    let records: BTreeSet<IndexRecord> = (0..)
        .zip(packs)
        .flat_map(|(pack_no, pack)| {
            facts(*pack).map(move |(id, _, segment_no, offset, len)| IndexRecord {
                id,
                pack_no,
                segment_no,
                offset,
                len,
            })
        })
        .collect();
    // More are announced than come: so it is where copies are left out.
    let mut run = repository.run_writer(records.len() as u64 + 4100, &[]);
    for pack in packs {
        let segment = |number: usize, segment: &Vec<([u8; 32], u32)>| RunSegment {
            offset: 64 + 1000 * number as u64,
            sealed_len: 1000,
            plain_len: segment.iter().map(|(_, len)| len).sum(),
            codec: 1,
            epoch_no: 0,
        };
        let segments = chunks(*pack).iter().enumerate().map(|(no, s)| segment(no, s)).collect();
        run.pack(RunPack {
            pack: hash_of(*pack),
            len: 1 << 20,
            pack_type: ObjectType::DataPack as u8,
            epochs: vec![repository.data_epoch()],
            segments,
        })
        .expect("stores");
    }
    records.into_iter().for_each(|record| run.record(record).expect("stores"));
    run.finish().expect("stores");
}

fn put_drop_list(repository: &Repository, storage: &SharedStorage, pack: u8) {
    let list =
        DropList { gc_id: BackupId([pack; 16]), time_ms: 0, packs: Bin(hash_of(pack).0.to_vec()) };
    let key = repository.keys.current(Class::Index);
    let (suite, id, random) = (repository.suite(), repository.id(), &repository.random);
    let (hash, object) = make_object(ObjectType::DropList, suite, id, key, random, &encode(&list));
    storage.put(&format!("index/{hash}"), &[&object], PutMode::Content).expect("stores");
}

fn runtime() -> Runtime {
    Runtime::default()
}

fn open(storage: &SharedStorage, cache: Option<&Path>) -> Repository {
    let options = OpenOptions {
        cache_dir: cache.map(Path::to_path_buf),
        state_dir: None,
        ..OpenOptions::default()
    };
    let storage = Arc::clone(storage);
    let repository = Repository::open(storage, &Unlock::Nothing, &options, &runtime());
    let repository = repository.expect("opens");
    let bad = repository.load_index().expect("loads");
    assert!(bad.is_empty(), "{bad:?}");
    repository
}

/// All that an index says; each record counted, so that copies show.
fn said(index: &Index) -> BTreeMap<Fact, usize> {
    let mut said = BTreeMap::new();
    index.for_each(&mut |id, place| {
        let info = index.pack(place.pack);
        let segment = index.segment(place.pack, place.segment_no).expect("a segment");
        assert_eq!((info.len, segment.sealed_len), (1 << 20, 1000));
        assert_eq!(segment.offset, 64 + 1000 * u64::from(place.segment_no));
        let fact = (*id, info.hash, place.segment_no, place.offset, place.len);
        *said.entry(fact).or_default() += 1;
        assert!(index.find(id).is_some());
    });
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn streams_say_what_sets_say(steps in steps(), with_cache in any::<bool>()) {
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let caches = folders.each_ref().map(|folder| with_cache.then(|| folder.path()));
        let storage: SharedStorage = Arc::new(MemoryStorage::new());
        let init = InitOptions { suite: Suite::None, ..InitOptions::default() };
        let unlocks = [Unlock::Nothing];
        let options = OpenOptions::default();
        Repository::init(Arc::clone(&storage), &unlocks, &init, &options, &runtime())
            .expect("inits");
        let (mut named, mut dropped) = (BTreeSet::new(), BTreeSet::new());
        let staying = open(&storage, None);
        for step in steps.iter().chain([&Step::Look, &Step::Merge, &Step::Look]) {
            let writer = open(&storage, caches[0]);
            match step {
                Step::Delta(packs) => {
                    named.extend(packs);
                    let packs = packs.iter().map(|pack| directory(&writer, *pack));
                    writer.name_packs(packs.collect()).expect("stores");
                }
                Step::Run(packs) => {
                    named.extend(packs);
                    put_run(&writer, &packs.iter().copied().collect());
                }
                Step::Drop(pack) => {
                    dropped.insert(*pack);
                    put_drop_list(&writer, &storage, *pack);
                }
                Step::Merge => _ = writer.compact_index_beyond(0, &runtime()).expect("merges"),
                Step::Look => {
                    let bad = staying.load_index().expect("loads");
                    prop_assert!(bad.is_empty(), "{bad:?}");
                    let expected: BTreeSet<Fact> =
                        named.difference(&dropped).flat_map(|pack| facts(*pack)).collect();
                    for repository in [&staying, &open(&storage, caches[1]), &open(&storage, None)]
                    {
                        let said = said(repository.index());
                        prop_assert!(said.keys().eq(expected.iter()), "another set");
                        let packs = repository.index().packs();
                        let packs: BTreeSet<_> = packs.iter().map(|(_, info)| info.hash).collect();
                        let counted = named.difference(&dropped).map(|pack| hash_of(*pack));
                        prop_assert_eq!(packs, counted.collect::<BTreeSet<_>>());
                    }
                    // Merged into one level, nothing is there twice.
                    let fresh = open(&storage, None);
                    let said = said(fresh.index());
                    prop_assert!(said.values().all(|count| *count == 1), "a copy");
                }
            }
        }
    }
}

/// While what comes in its place is made, a level whose objects were merged away still answers
/// readers, and no writer relies on it.
#[test]
fn readers_find_their_way_while_an_index_is_loaded() {
    let storage: SharedStorage = Arc::new(MemoryStorage::new());
    let init = InitOptions { suite: Suite::None, ..InitOptions::default() };
    let options = OpenOptions::default();
    Repository::init(Arc::clone(&storage), &[Unlock::Nothing], &init, &options, &runtime())
        .expect("inits");
    let writer = open(&storage, None);
    writer.name_packs(vec![directory(&writer, 1)]).expect("stores");
    let reader = open(&storage, None);
    let facts: BTreeSet<Fact> = facts(1).collect();
    let (id, ..) = *facts.first().expect("a chunk");
    let index = reader.index();
    assert_eq!((index.find(&id).is_some(), index.find_all(&id).len()), (true, 1));
    index.mark_stale(&HashMap::new());
    assert_eq!((index.find(&id).is_some(), index.find_all(&id).len()), (false, 1));
    let bad = reader.load_index().expect("loads");
    assert!(bad.is_empty(), "{bad:?}");
    assert_eq!((index.find(&id).is_some(), index.find_all(&id).len()), (true, 1));
    assert_eq!(said(index).len(), facts.len(), "and nothing is there twice");
}
