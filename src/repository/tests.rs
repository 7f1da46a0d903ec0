use std::sync::Arc;

use super::*;
use crate::crypto::{Class, ClassKey, RecoveryCode, Secret};
use crate::error::{Error, StorageErrorKind};
use crate::format::gc::Mark;
use crate::format::header::ObjectType;
use crate::format::index::DropList;
use crate::format::record::{Bin, encode};
use crate::model::{BackupId, ChunkId, EpochId};
use crate::runtime::Runtime;
use crate::storage::fault::On;
use crate::storage::{FaultStorage, MemoryStorage, PutMode, Storage};

fn runtime(seed: u64) -> Runtime {
    Runtime { random: Random::seeded(seed), ..Runtime::default() }
}

fn password(text: &str) -> Unlock {
    Unlock::Password(Password::new(text))
}

fn cheap() -> InitOptions {
    InitOptions { kdf: KdfCost::CheapForTests, ..InitOptions::default() }
}

fn init(storage: &Arc<MemoryStorage>) -> Repository {
    let storage: SharedStorage = Arc::clone(storage) as SharedStorage;
    Repository::init(storage, &[password("pw")], &cheap(), &OpenOptions::default(), &runtime(1))
        .expect("inits")
}

fn open(storage: &Arc<MemoryStorage>, unlock: &Unlock) -> Result<Repository, Error> {
    let storage: SharedStorage = Arc::clone(storage) as SharedStorage;
    Repository::open(storage, unlock, &OpenOptions::default(), &runtime(2))
}

fn store(repository: &Repository, chunks: &[Vec<u8>]) -> Vec<ChunkId> {
    let writer = repository.pack_writer(&WriterOptions::default(), &runtime(3));
    let mut segments = writer.segment_writer(SegmentUse::Files);
    let ids: Vec<ChunkId> =
        chunks.iter().map(|chunk| repository.constants().chunk_id(chunk)).collect();
    for (id, chunk) in ids.iter().zip(chunks) {
        if writer.claims().claim(repository.index(), &id.0) {
            segments.push(&id.0, chunk).expect("pushes");
        }
    }
    segments.flush().expect("flushes");
    drop(segments);
    writer.finish().expect("finishes");
    ids
}

fn samples() -> Vec<Vec<u8>> {
    let random = Random::seeded(9);
    (0..300)
        .map(|n: usize| {
            let mut chunk = vec![n as u8; n * 37 % 5000 + 1];
            let len = chunk.len();
            random.fill(&mut chunk[..len / 2]);
            chunk
        })
        .chain([vec![7; 3 << 20]])
        .collect()
}

#[test]
fn chunks_are_read_back_after_reopening() {
    let storage = Arc::new(MemoryStorage::new());
    let chunks = samples();
    let ids = store(&init(&storage), &chunks);
    let repository = open(&storage, &password("pw")).expect("opens");
    assert!(repository.load_index().expect("loads").is_empty());
    let mut reader = repository.reader();
    for (id, chunk) in ids.iter().zip(&chunks) {
        assert_eq!(&reader.chunk(*id).expect("reads"), chunk);
        assert!(repository.index().find(&id.0).is_some());
    }
    assert!(matches!(reader.chunk(ChunkId([1; 32])), Err(Error::NotFound { .. })));
}

#[test]
fn only_the_right_secret_opens() {
    let storage = Arc::new(MemoryStorage::new());
    let repository = init(&storage);
    assert!(matches!(open(&storage, &password("no")), Err(Error::WrongKey { tried: 1, .. })));
    assert!(matches!(open(&storage, &Unlock::Nothing), Err(Error::KeyNeeded { .. })));
    let mut code = None;
    let mut show = |shown: &RecoveryCode| {
        code = RecoveryCode::parse(&shown.to_text()).ok();
        Ok(())
    };
    repository.renew_recovery_code(&mut show, &runtime(4)).expect("makes a code");
    let code = code.expect("was shown");
    let file = repository.add_key_file("laptop", &runtime(5)).expect("makes a key file");
    open(&storage, &Unlock::Recovery(code)).expect("opens with the code");
    open(&storage, &Unlock::KeyFile(file)).expect("opens with the key file");
    repository
        .change_password(&Password::new("new"), KdfCost::CheapForTests, &runtime(6))
        .expect("changes");
    assert!(open(&storage, &password("pw")).is_err());
    assert_eq!(open(&storage, &password("new")).expect("opens").slots().expect("lists").len(), 3);
}

#[test]
fn packs_without_index_are_adopted() {
    let storage = Arc::new(MemoryStorage::new());
    let chunks = samples();
    let ids = store(&init(&storage), &chunks);
    for name in storage.names().iter().filter(|name| name.starts_with("index/")) {
        storage.delete(name).expect("deletes");
    }
    let repository = open(&storage, &password("pw")).expect("opens");
    let (session, findings) =
        repository.begin_session("test", "host", &runtime(7)).expect("begins");
    assert!(findings.adopted_packs > 0);
    session.end().expect("ends");
    assert_eq!(&repository.reader().chunk(ids[5]).expect("reads"), &chunks[5]);
    assert!(!storage.names().iter().any(|name| name.starts_with("sessions/")));
}

#[test]
fn lost_packs_do_not_count_for_deduplication() {
    let storage = Arc::new(MemoryStorage::new());
    let chunks = samples();
    let ids = store(&init(&storage), &chunks);
    for name in storage.names().iter().filter(|name| name.starts_with("data/")) {
        storage.delete(name).expect("deletes");
    }
    let repository = open(&storage, &password("pw")).expect("opens");
    let (_session, findings) =
        repository.begin_session("test", "host", &runtime(7)).expect("begins");
    assert!(findings.lost_packs > 0);
    assert!(repository.index().find(&ids[0].0).is_none(), "it has to be stored again");
}

#[test]
fn damage_is_named_and_never_returned_as_data() {
    let storage = Arc::new(MemoryStorage::new());
    let chunks = samples();
    let ids = store(&init(&storage), &chunks);
    let pack = storage.names().into_iter().find(|n| n.starts_with("data/")).expect("a pack");
    storage.damage(&pack, |bytes| bytes.iter_mut().skip(64).for_each(|b| *b ^= 1));
    let repository = open(&storage, &password("pw")).expect("opens");
    repository.load_index().expect("loads");
    let results: Vec<_> = ids.iter().map(|id| repository.reader().chunk(*id)).collect();
    assert!(
        results.iter().any(|r| matches!(r, Err(Error::Damaged { object, .. }) if *object == pack))
    );
    for (result, chunk) in results.iter().zip(&chunks) {
        assert!(result.as_ref().is_ok_and(|bytes| bytes == chunk) || result.is_err());
    }
}

#[test]
fn init_goes_on_where_a_crash_left_it_and_nowhere_else() {
    let storage = Arc::new(MemoryStorage::new());
    init(&storage);
    let shared = || Arc::clone(&storage) as SharedStorage;
    let again = |storage| {
        Repository::init(storage, &[password("x")], &cheap(), &OpenOptions::default(), &runtime(8))
    };
    assert!(matches!(again(shared()), Err(Error::RepositoryExists { .. })));
    storage.delete("repo").expect("deletes");
    again(shared()).expect("starts anew");
    open(&storage, &password("x")).expect("opens");
    storage.delete("repo").expect("deletes");
    storage.replace("data/00/0000", b"a pack");
    assert!(matches!(again(shared()), Err(Error::Damaged { .. })));
}

#[test]
fn unencrypted_repositories_are_readable_and_take_no_keys() {
    let storage = Arc::new(MemoryStorage::new());
    let shared: SharedStorage = Arc::clone(&storage) as SharedStorage;
    let options = InitOptions { suite: Suite::None, ..cheap() };
    let repository = Repository::init(
        shared,
        &[Unlock::Nothing],
        &options,
        &OpenOptions::default(),
        &runtime(1),
    )
    .expect("inits");
    let ids = store(&repository, &samples());
    let again = open(&storage, &Unlock::Nothing).expect("opens");
    again.load_index().expect("loads");
    assert_eq!(again.reader().chunk(ids[3]).expect("reads"), samples()[3]);
    assert!(again.add_slot(&password("x"), "", KdfCost::Standard, &runtime(2)).is_err());
}

#[test]
fn the_index_file_is_used_and_any_doubt_makes_it_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = Arc::new(MemoryStorage::new());
    let ids = store(&init(&storage), &samples());
    let options = OpenOptions {
        cache_dir: Some(folder.path().into()),
        state_dir: None,
        ..OpenOptions::default()
    };
    let open = || {
        let shared: SharedStorage = Arc::clone(&storage) as SharedStorage;
        let repository =
            Repository::open(shared, &password("pw"), &options, &runtime(2)).expect("opens");
        repository.load_index().expect("loads");
        assert!(ids.iter().all(|id| repository.index().find(&id.0).is_some()));
    };
    open();
    let file = || {
        let folder = std::fs::read_dir(folder.path()).expect("lists").flatten().next();
        let file = std::fs::read_dir(folder.expect("one").path()).expect("lists").flatten().next();
        file.expect("an index file").path()
    };
    let before = std::fs::read(file()).expect("reads");
    open();
    assert!(before == std::fs::read(file()).expect("reads"), "unchanged when nothing is new");
    for at in (0..before.len()).step_by(997) {
        let mut damaged = before.clone();
        damaged[at] ^= 4;
        std::fs::write(file(), &damaged).expect("writes");
        open();
        assert!(before == std::fs::read(file()).expect("reads"), "byte {at}");
    }
    std::fs::write(file(), &before[..before.len() / 2]).expect("writes");
    open();
}

#[test]
fn many_deltas_become_one_run_and_nothing_is_lost() {
    let storage = Arc::new(MemoryStorage::new());
    let repository = init(&storage);
    let mut all = Vec::new();
    for n in 0..5_u8 {
        let chunks: Vec<Vec<u8>> =
            (0..700_u32).map(|i| [&[n][..], &i.to_le_bytes(), &[7; 20]].concat()).collect();
        all.extend(store(&repository, &chunks));
    }
    let index_objects = || storage.names().iter().filter(|name| name.starts_with("index/")).count();
    assert_eq!(index_objects(), 5);
    assert_eq!(repository.compact_index_beyond(5, &runtime(4)).expect("merges"), 0);
    assert_eq!(repository.compact_index_beyond(4, &runtime(4)).expect("merges"), 5);
    assert_eq!(index_objects(), 2, "a table and a shard");
    for n in 10..13_u8 {
        all.extend(store(&repository, &[vec![n; 1000]]));
    }
    let again = open(&storage, &password("pw")).expect("opens");
    assert!(again.load_index().expect("loads").is_empty());
    assert_eq!(again.compact_index_beyond(2, &runtime(4)).expect("merges"), 3);
    let last = open(&storage, &password("pw")).expect("opens");
    assert!(last.load_index().expect("loads").is_empty());
    assert_eq!(last.index().stats().records, 3503);
    assert!(all.iter().all(|id| last.reader().chunk(*id).is_ok()));
}

#[test]
fn a_lost_index_is_made_up_from_packs_while_reading() {
    let storage = Arc::new(MemoryStorage::new());
    let chunks = samples();
    let ids = store(&init(&storage), &chunks);
    for name in storage.names().iter().filter(|name| name.starts_with("index/")) {
        storage.delete(name).expect("deletes");
    }
    let repository = open(&storage, &password("pw")).expect("opens");
    repository.load_index().expect("loads");
    for (id, chunk) in ids.iter().zip(&chunks) {
        assert_eq!(&repository.reader().chunk(*id).expect("reads"), chunk);
    }
    let strict = open(&storage, &password("pw")).expect("opens");
    strict.load_index().expect("loads");
    strict.forbid_recovery();
    assert!(matches!(strict.reader().chunk(ids[0]), Err(Error::NotFound { .. })));
}

/// Packs that a drop list names are gone, although they are still listed and deltas name them:
/// they must not come back through an adoption, a merge, or an index file that knew the list.
#[test]
fn dropped_packs_stay_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = OpenOptions {
        cache_dir: Some(folder.path().into()),
        state_dir: None,
        ..OpenOptions::default()
    };
    let storage = Arc::new(MemoryStorage::new());
    let repository = init(&storage);
    let dropped = store(&repository, &[vec![1; 3000]]);
    let kept = store(&repository, &[vec![2; 3000]]);
    let pack = repository.index().find(&dropped[0].0).expect("is stored").pack;
    let record = encode(&DropList {
        gc_id: BackupId([0; 16]),
        time_ms: 0,
        packs: Bin(repository.index().pack(pack).hash.0.to_vec()),
    });
    let key = repository.keys.current(Class::Index);
    let object_type = ObjectType::DropList;
    let (suite, random) = (repository.suite(), &repository.random);
    let (hash, list) =
        object::make_object(object_type, suite, repository.id(), key, random, &record);
    storage.put(&format!("index/{hash}"), &[&list], PutMode::Content).expect("stores");

    for round in 0..3 {
        let shared: SharedStorage = Arc::clone(&storage) as SharedStorage;
        let again = Repository::open(shared, &password("pw"), &options, &runtime(2));
        let again = again.expect("opens");
        let (session, findings) =
            again.begin_session("test", "host", &runtime(9 + round)).expect("begins");
        assert_eq!(findings.adopted_packs, 0, "round {round}");
        assert!(again.index().find(&dropped[0].0).is_none(), "round {round}");
        assert!(again.index().find_all(&dropped[0].0).is_empty(), "round {round}");
        assert!(again.index().find(&kept[0].0).is_some(), "round {round}");
        store(&again, &[vec![10 + round as u8; 3000]]);
        if round == 1 {
            again.compact_index_beyond(0, &runtime(20)).expect("merges");
        }
        session.end().expect("ends");
    }
}

/// What a machine remembers is worth much, but not a restore.
#[test]
fn a_state_folder_that_cannot_be_written_only_refuses_writers() {
    let storage = Arc::new(MemoryStorage::new());
    init(&storage);
    let folder = tempfile::tempdir().expect("makes a folder");
    let file = folder.path().join("a file");
    std::fs::write(&file, "").expect("writes");
    let options = OpenOptions {
        cache_dir: None,
        state_dir: Some(file.join("state")),
        ..OpenOptions::default()
    };
    let shared: SharedStorage = Arc::clone(&storage) as SharedStorage;
    let repository = Repository::open(shared, &password("pw"), &options, &runtime(2));
    let repository = repository.expect("opens");
    repository.load_index().expect("loads");
    assert!(repository.snapshots().expect("lists").bad.is_empty());
    let session = repository.begin_session("test", "lab", &runtime(2));
    assert!(matches!(session, Err(Error::Local { .. })), "a writer needs its numbers");
    assert!(storage.names().iter().all(|name| !name.starts_with("sessions/")));
}

/// A mark that others may be able to read stops whoever would rely on packs; one that is damaged
/// stops prunes only.
#[test]
fn a_mark_that_cannot_be_read_is_not_passed_over() {
    let storage = Arc::new(MemoryStorage::new());
    let repository = init(&storage);
    let packs = Bin(vec![7; 32]);
    let mark = Mark { gc_id: BackupId([5; 16]), time_ms: 0, packs, records: Bin(Vec::new()) };
    let epoch = EpochId([3; 8]);
    let master = Secret::new([3; 32]);
    let key = ClassKey::derive(Class::Control, &master, repository.id(), epoch, repository.suite());
    let (suite, random) = (repository.suite(), &repository.random);
    let (hash, object) =
        object::make_object(ObjectType::Mark, suite, repository.id(), &key, random, &encode(&mark));
    let name = format!("gc/mark-{}-{hash}", mark.gc_id);
    storage.put(&name, &[&object], PutMode::Content).expect("stores");
    let refused = repository.begin_session("test", "host", &runtime(7));
    assert!(matches!(refused, Err(Error::Refused { .. })));
    assert!(storage.names().iter().all(|name| !name.starts_with("sessions/")));
    assert!(repository.load_gc().expect("loads").check_marks().is_err());
    storage.damage(&name, |bytes| bytes[70] ^= 1);
    assert!(repository.load_gc().expect("loads").check_marks().is_err());
    repository.begin_session("test", "host", &runtime(8)).expect("begins");
}

/// A storage that does not answer says nothing about a key.
#[test]
fn a_new_key_is_looked_for_again_after_a_failure() {
    let memory = Arc::new(MemoryStorage::new());
    init(&memory);
    let faulty = Arc::new(FaultStorage::new(Arc::clone(&memory) as SharedStorage));
    let shared: SharedStorage = Arc::clone(&faulty) as SharedStorage;
    let options = OpenOptions::default();
    let repository = Repository::open(shared, &password("pw"), &options, &runtime(2));
    let repository = repository.expect("opens");
    let unknown = |number| {
        let found = repository.keys.of_epoch(Class::Index, EpochId([number; 8]), "an object");
        assert!(found.is_err());
    };
    faulty.fail_times(On::List, 1, 1, StorageErrorKind::Temporary);
    unknown(9);
    let before = faulty.calls(On::List);
    unknown(9);
    assert_eq!(faulty.calls(On::List), before + 1, "it is looked for again");
    unknown(9);
    assert_eq!(faulty.calls(On::List), before + 1, "and then it is known to be unknown");
}
