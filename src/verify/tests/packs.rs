use super::*;

#[test]
fn a_whole_repository_is_clean_and_everything_is_looked_at() {
    for suite in [Suite::Aes256, Suite::None] {
        let lab = Lab::with(suite);
        lab.snapshot(1, tree(1));
        lab.snapshot(2, tree(2));
        let report = lab.check_all();
        assert_eq!(report.findings, []);
        assert!(report.is_clean());
        let checked = report.checked;
        assert_eq!((checked.snapshots, checked.packs), (2, 4));
        // Root, four leaves, three list pages and one of attributes; then two changed ones.
        assert_eq!(checked.pages, 9 + 2, "{checked:?}");
        assert_eq!(checked.chunks_read, 8 + 11);
        let stored: u64 = lab
            .names("data/")
            .iter()
            .chain(&lab.names("meta/"))
            .map(|name| lab.storage.head(name).unwrap().len)
            .sum();
        assert_eq!((checked.packs_read, checked.bytes_read), (4, stored));
    }
}

#[test]
fn every_flipped_byte_of_every_object_is_found() {
    let lab = Lab::filled();
    for name in lab.storage.names() {
        let len = lab.storage.bytes(&name).unwrap().len();
        for at in [9, 100, len - 33, len - 1] {
            // Without these it is no repository or does not open, and check is not reached.
            if ["repo", "keys/", "keyring/", "config/"].iter().any(|f| name.starts_with(f)) {
                continue;
            }
            lab.storage.damage(&name, |bytes| bytes[at] ^= 0x10);
            let report = lab.check_all();
            assert!(!report.is_clean(), "{name} at {at}");
            lab.storage.damage(&name, |bytes| bytes[at] ^= 0x10);
        }
    }
    assert!(lab.check_all().is_clean());
}

#[test]
fn a_lost_pack_names_the_files_of_every_snapshot() {
    let lab = Lab::filled();
    // The first snapshot's data: all but the second version of one file.
    let by_size = |name: &String| lab.storage.bytes(name).unwrap().len();
    let pack = lab.names("data/").into_iter().max_by_key(by_size).unwrap();
    lab.storage.remove(&pack);
    let report = lab.check(&CheckOptions::default());
    assert_eq!(report.damaged, 1, "one finding for all that was in it: {:?}", report.findings);
    assert_eq!((&*report.findings[0].object, &*report.findings[0].what), (&*pack, "it is missing"));
    let [second, first] = &report.hits.snapshots[..] else { panic!("{:?}", report.hits) };
    let common = ["/src/a/linked", "/src/a/shared", "/src/b/%25", "/src/listed", "/src/z/link"];
    assert_eq!(paths(second), common);
    let all: Vec<&str> = [&common[..3], &["/src/changed"], &common[3..]].concat();
    assert_eq!(paths(first), all);
    assert_eq!(first.lost_bytes, 11 + 1_200_000 * 2 + 5000 + 36_000);
    let few = lab.check(&CheckOptions { files_max: 2, ..CheckOptions::default() });
    assert_eq!(few.hits.left_out, 9);
    assert_eq!(few.hits.snapshots.iter().map(|s| s.files.len()).sum::<usize>(), 2);
}

#[test]
fn one_bad_segment_hits_only_what_is_in_it() {
    let lab = Lab::filled();
    let repository = lab.open();
    repository.load_index().unwrap();
    let id = repository.constants().chunk_id(&noise(10, 1_200_000));
    let place = repository.index().find(&id.0).unwrap();
    let pack = repository.index().pack(place.pack).object_name();
    let segment = repository.index().segment(place.pack, place.segment_no).unwrap();
    lab.storage.damage(&pack, |bytes| bytes[segment.offset as usize + 80] ^= 1);
    assert!(lab.check(&CheckOptions::default()).is_clean(), "structure alone does not see it");
    let report = lab.check_all();
    assert_eq!(report.damaged, 2, "the pack's hash and the segment: {:?}", report.findings);
    for hit in &report.hits.snapshots {
        assert_eq!(paths(hit), ["/src/a/shared", "/src/b/%25"]);
    }
    assert_eq!(report.hits.snapshots.len(), 2);
}

#[test]
fn a_chunk_with_a_good_copy_is_not_lost() {
    let lab = Lab::filled();
    let pack = lab.names("data/").remove(0);
    let others = lab.storage.fork();
    lab.storage.remove(&pack);
    // Backing up again stores what is lost anew; the bad copy comes back beside it.
    lab.snapshot(3, tree(1));
    lab.snapshot(4, tree(2));
    assert_eq!(lab.check_all().hits, Hits::default(), "the new copies stand in");
    let mut bytes = others.bytes(&pack).unwrap().to_vec();
    bytes[90] ^= 1;
    lab.storage.replace(&pack, &bytes);
    let report = lab.check_all();
    assert!(report.damaged > 0);
    assert_eq!(report.hits, Hits::default(), "{:?}", report.findings);
}

#[test]
fn a_truncated_pack_keeps_what_is_before_its_end() {
    let lab = Lab::new();
    lab.snapshot(1, |maker| {
        let files = (0..8).map(|n| file(&format!("{n}"), vec![maker.chunk(&noise(n, 1_100_000))]));
        files.collect()
    });
    let pack = lab.names("data/").remove(0);
    lab.storage.damage(&pack, |bytes| bytes.truncate(bytes.len() / 2));
    let structure = lab.check(&CheckOptions::default());
    let lost = structure.hits.snapshots[0].file_count;
    assert!((3..=5).contains(&lost), "{:?}", structure.hits);
    let all = lab.check_all();
    assert_eq!(all.hits, structure.hits);
    assert_eq!(all.damaged, 2, "its length, its bytes: {:?}", all.findings);
}

#[test]
fn packs_of_an_interrupted_run_are_no_damage() {
    let lab = Lab::new();
    let repository = lab.open();
    let writer = repository.pack_writer(&WriterOptions::default(), &runtime(5));
    let mut segments = writer.segment_writer(SegmentUse::Files);
    let bytes = noise(1, 4000);
    segments.push(&repository.constants().chunk_id(&bytes).0, &bytes).unwrap();
    segments.flush().unwrap();
    drop(segments);
    writer.finish().unwrap();
    lab.names("index/").iter().for_each(|name| lab.storage.remove(name));
    let report = lab.check_all();
    assert!(report.is_clean());
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].severity, Severity::Note);
}

/// A bad sector below one object must not hide what is wrong with the others.
#[test]
fn unreadable_objects_are_damage_and_the_rest_is_checked() {
    let lab = Lab::filled();
    for folder in ["data/", "meta/", "index/", "snapshots/", "keys/", "config/"] {
        let name = lab.names(folder).remove(0);
        let report = lab.check_with_failing_reads(&name, StorageErrorKind::Permanent).unwrap();
        assert!(report.findings.iter().any(|f| f.object == name), "{:?}", report.findings);
        assert!(!report.is_clean());
    }
    let name = lab.names("data/").remove(0);
    let report = lab.check_with_failing_reads(&name, StorageErrorKind::Permanent).unwrap();
    assert_eq!(report.checked.packs_read, 3);
    assert!(!report.hits.snapshots.is_empty());
}

/// What could not be asked is not called damaged.
#[test]
fn storage_out_of_reach_ends_a_check() {
    let lab = Lab::filled();
    for folder in ["data/", "meta/", "index/", "snapshots/", "keys/"] {
        let result = lab.check_with_failing_reads(folder, StorageErrorKind::Temporary);
        assert!(matches!(result, Err(Error::Storage(_))), "{folder}");
    }
}

#[test]
fn a_cancelled_check_stops() {
    let lab = Lab::filled();
    let runtime = runtime(1);
    runtime.cancel.cancel();
    let result = check(&lab.open(), &CheckOptions::default(), &runtime);
    assert!(matches!(result, Err(Error::Cancelled { .. })));
}
