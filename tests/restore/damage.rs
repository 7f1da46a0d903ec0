//! Damaged repositories: the rest is restored, and what is hit is named.

use std::fs;

use larder::model::{Content, Entry, FileKind, Piece};
use larder::restore::RestoreOptions;

use crate::support::{Lab, entry, inline, noise};

fn data_packs(lab: &Lab) -> Vec<String> {
    lab.storage.names().into_iter().filter(|name| name.starts_with("data/")).collect()
}

#[test]
fn one_bad_byte_costs_one_segment_and_the_file_is_named() {
    let lab = Lab::new();
    let bytes = noise(12 << 20, 1);
    lab.write("large", &bytes);
    lab.write("small/one", noise(3_000, 2));
    let snapshot = lab.backup();
    // A seal that does not open spoils what is in its segment and nothing else.
    let pack = &data_packs(&lab)[0];
    lab.storage.damage(pack, |bytes| bytes[5_000_000] ^= 1);
    let report = lab.restore(&snapshot, &lab.options());
    assert_eq!((report.failed, report.created), (1, 2), "{report:?}");
    let failure = &report.failures[0];
    assert!(failure.path.ends_with(b"/large") && failure.path.starts_with(b"/"));
    assert!(failure.message.contains(pack.as_str()), "{}", failure.message);
    let [lost] = &failure.lost[..] else { panic!("{failure:?}") };
    assert!(lost.end - lost.start <= 4 << 20);
    let mut want = bytes.clone();
    want[lost.start as usize..lost.end as usize].fill(0);
    assert!(fs::read(lab.out("large")).expect("reads") == want);
    let time = |path| fs::metadata(path).expect("is there").modified().expect("has one");
    assert_ne!(time(lab.out("large")), time(lab.src("large")), "it must not pass for the original");

    // With the pack healed, the next run fetches what is missing.
    lab.storage.damage(pack, |bytes| bytes[5_000_000] ^= 1);
    let options =
        RestoreOptions { overwrite: larder::restore::Overwrite::IfChanged, ..lab.options() };
    let report = lab.restore_well(&snapshot, &options);
    assert_eq!((report.replaced, report.bytes_written), (1, lost.end - lost.start));
    lab.assert_identical();
}

#[test]
fn what_is_right_in_the_target_is_not_lost_with_the_repository() {
    let lab = Lab::new();
    lab.write("file", noise(10 << 20, 1));
    let snapshot = lab.backup();
    lab.restore_well(&snapshot, &lab.options());
    data_packs(&lab).iter().for_each(|pack| lab.storage.remove(pack));
    lab.restore_well(&snapshot, &lab.options());
    // And what is wrong stays as it is, where there is nothing better.
    let path = lab.out("file");
    let mut bytes = fs::read(&path).expect("reads");
    bytes[5 << 20] ^= 1;
    fs::write(&path, &bytes).expect("writes");
    let report = lab.restore(&snapshot, &lab.options());
    assert_eq!(report.failed, 1);
    assert!(fs::read(&path).expect("reads") == bytes);
}

#[test]
fn lost_and_truncated_packs_cost_only_what_is_in_them() {
    let lab = Lab::new();
    for n in 0..40 {
        lab.write(&format!("{n}"), noise(1 << 20, n));
    }
    let snapshot = lab.backup();
    let packs = data_packs(&lab);
    assert!(packs.len() > 2, "{}", packs.len());
    lab.storage.remove(&packs[0]);
    lab.storage.damage(&packs[1], |bytes| bytes.truncate(bytes.len() / 2));
    let report = lab.restore(&snapshot, &lab.options());
    assert!((1..40).contains(&report.failed), "{}", report.failed);
    assert_eq!(report.failures.len() as u64, report.failed);
    let mut good = 0;
    for n in 0..40 {
        let name = format!("/{n}");
        if !report.failures.iter().any(|failure| failure.path.ends_with(name.as_bytes())) {
            good += 1;
            assert!(fs::read(lab.out(&name[1..])).expect("reads") == noise(1 << 20, n));
        }
    }
    assert_eq!(good + report.failed, 40);
}

#[test]
fn another_copy_of_a_chunk_is_as_good() {
    let lab = Lab::new();
    let bytes = noise(300_000, 1);
    let id = lab.put_chunk(&bytes);
    let pieces = Content::Pieces(vec![Piece::Chunk(id, 300_000)]);
    let file = Entry { size: 300_000, content: pieces, ..entry("file", FileKind::File) };
    let snapshot = lab.handmade(&[vec![file]]);
    lab.put_chunk(&bytes);
    let packs = data_packs(&lab);
    assert_eq!(packs.len(), 2);
    for pack in &packs {
        let good = lab.storage.bytes(pack).expect("is there");
        lab.storage.damage(pack, |bytes| bytes[1_000] ^= 1);
        lab.restore_well(&snapshot, &lab.whole());
        assert!(fs::read(lab.out("file")).expect("reads") == bytes);
        fs::remove_file(lab.out("file")).expect("removes");
        lab.storage.remove(pack);
        lab.restore_well(&snapshot, &lab.whole());
        fs::remove_file(lab.out("file")).expect("removes");
        lab.storage.replace(pack, &good);
    }
}

/// Links to a damaged file share its damage, and each name is told.
#[test]
fn every_name_of_a_damaged_file_is_told() {
    let lab = Lab::new();
    lab.write("a", noise(100_000, 1));
    fs::hard_link(lab.src("a"), lab.src("b")).expect("links");
    let snapshot = lab.backup();
    data_packs(&lab).iter().for_each(|pack| lab.storage.remove(pack));
    let report = lab.restore(&snapshot, &lab.options());
    let mut names: Vec<_> = report.failures.iter().map(|f| f.path.last().copied()).collect();
    names.sort();
    assert_eq!(names, [Some(b'a'), Some(b'b')]);
}

#[test]
fn a_lost_page_costs_its_entries_and_nothing_is_deleted() {
    let mut lab = Lab::new();
    let dir = |path| entry(path, FileKind::Dir);
    let first = vec![dir("a"), inline("a/1", b"one"), inline("a/2", b"two")];
    let lost = vec![inline("a/3", b"three"), dir("a/d"), inline("a/d/1", b"gone")];
    let last = vec![inline("a/d/2", b"deep"), dir("b"), inline("b/1", b"one")];
    let pages = [first, lost.clone(), last];
    let mut snapshot = lab.handmade(&pages);
    snapshot.body.roots = vec![b"/a"[..].into(), b"/b"[..].into()];
    lab.restore_well(&snapshot, &lab.whole());
    fs::write(lab.out("b/extra"), b"x").expect("writes");
    let page = lab.repository.constants().page_id(&larder::format::page::encode_leaf(&lost));
    let location = lab.repository.index().find(&page.0).expect("is stored");
    lab.storage.remove(&lab.repository.index().pack(location.pack).object_name());
    lab.reopen();
    let options = RestoreOptions { delete: true, ..lab.whole() };
    let report = lab.restore(&snapshot, &options);
    assert_eq!((report.failed, report.deleted), (1, 1), "{report:?}");
    assert!(lab.out("a/3").exists() && !lab.out("b/extra").exists());
    fs::remove_dir_all(lab.out("")).expect("removes");
    let report = lab.restore(&snapshot, &options);
    assert_eq!(report.failed, 1, "{report:?}");
    assert_eq!(fs::read(lab.out("a/d/2")).expect("its folder is made all the same"), b"deep");
    assert_eq!(fs::read(lab.out("b/1")).expect("reads"), b"one");
}

#[test]
fn lists_of_pieces_may_be_lost_in_part() {
    use larder::format::list::{ListChild, encode_inner, encode_leaf};
    let lab = Lab::new();
    let parts: Vec<Vec<u8>> = (0..4).map(|n| noise(100_000, n)).collect();
    let leaves: Vec<Vec<u8>> = parts
        .chunks(2)
        .map(|parts| {
            let piece = |part: &Vec<u8>| Piece::Chunk(lab.put_chunk(part), part.len() as u32);
            encode_leaf(&parts.iter().map(piece).collect::<Vec<_>>())
        })
        .collect();
    // The second leaf is named, and not stored.
    let page = |bytes: &[u8]| lab.repository.constants().page_id(bytes);
    lab.put_page(&leaves[0]);
    let children: Vec<ListChild> = leaves
        .iter()
        .map(|leaf| ListChild { page: page(leaf), bytes: 200_000, pieces: 2 })
        .collect();
    let root = lab.put_page(&encode_inner(1, &children));
    let content = Content::List { root, depth: 1, pieces: 4 };
    let file = Entry { size: 400_000, content, ..entry("file", FileKind::File) };
    let snapshot = lab.handmade(&[vec![file, inline("other", b"x")]]);
    let report = lab.restore(&snapshot, &lab.whole());
    assert_eq!((report.failed, report.created), (1, 1));
    assert_eq!(report.failures[0].lost.len(), 1);
    assert_eq!(report.failures[0].lost[0], 200_000..400_000);
    let bytes = fs::read(lab.out("file")).expect("reads");
    assert!(bytes.len() == 400_000 && bytes[..100_000] == parts[0]);
    assert!(bytes[200_000..].iter().all(|byte| *byte == 0));
}
