use std::sync::Arc;

use super::*;
use crate::crypto::Suite;
use crate::model::ChunkId;
use crate::repository::{InitOptions, OpenOptions, SegmentUse, Unlock, WriterOptions};
use crate::runtime::Random;
use crate::storage::{MemoryStorage, SharedStorage};

fn author() -> Author {
    Author { host: "lab".into(), user: "tester".into() }
}

/// What no program of ours would write: an index object that gives the chunks of a pack other
/// places than the pack itself. A repair that reads the packs finds and corrects it.
#[test]
fn an_index_that_contradicts_a_pack_is_corrected() {
    let runtime = Runtime { random: Random::seeded(9), ..Runtime::default() };
    let storage: SharedStorage = Arc::new(MemoryStorage::new());
    let options = InitOptions { suite: Suite::None, ..InitOptions::default() };
    let open = OpenOptions::default();
    Repository::init(Arc::clone(&storage), &[Unlock::Nothing], &options, &open, &runtime)
        .expect("inits");
    let opened = || {
        let repository = Repository::open(Arc::clone(&storage), &Unlock::Nothing, &open, &runtime)
            .expect("opens");
        assert!(repository.load_index().expect("loads").is_empty());
        repository
    };
    let repository = opened();
    let writer = repository.pack_writer(&WriterOptions::default(), &runtime);
    let mut segments = writer.segment_writer(SegmentUse::Files);
    let chunks: Vec<(ChunkId, Vec<u8>)> = (0..20_u8)
        .map(|number| {
            let bytes = vec![number; 100];
            let id = repository.constants().chunk_id(&bytes);
            segments.push(&id.0, &bytes).expect("pushes");
            (id, bytes)
        })
        .collect();
    segments.flush().expect("flushes");
    drop(segments);
    writer.finish().expect("finishes");

    // The same index with two ids exchanged.
    let [(_, info)] = repository.index().packs()[..] else { panic!("one pack") };
    let mut directory =
        repository.pack_directory(info.hash, info.len, info.pack_type).expect("a directory");
    let (first, rest) = directory.ids.0.split_at_mut(32);
    first.swap_with_slice(&mut rest[..32]);
    for object in crate::storage::list_sorted(&*storage, "index/").expect("lists") {
        storage.delete(&object.name).expect("deletes");
    }
    opened()
        .name_packs(vec![DeltaPack { pack: info.hash, len: info.len, directory }])
        .expect("names a pack");
    let is_wrong = |repository: &Repository| {
        chunks.iter().filter(|(id, _)| repository.reader().chunk(*id).is_err()).count()
    };
    assert_eq!(is_wrong(&opened()), 2);

    for (dry_run, left) in [(true, 2), (false, 0)] {
        let options = IndexRepairOptions { dry_run, read_packs: true, without_missing: false };
        let repository = opened();
        let report = repair_index(&repository, &options, &author(), &runtime).expect("repairs");
        assert_eq!(report.corrected, [info.object_name()]);
        assert_eq!(is_wrong(&opened()), left);
    }
    let options = IndexRepairOptions { read_packs: true, ..IndexRepairOptions::default() };
    let report = repair_index(&opened(), &options, &author(), &runtime).expect("repairs");
    assert_eq!((report.corrected.len(), report.packs), (0, 1));
}
