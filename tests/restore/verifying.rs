//! Reading again what was restored.

use larder::format::list::encode_leaf;
use larder::model::{Content, Entry, FileKind, Piece, Time};
use larder::restore::{Overwrite, RestoreOptions};

use crate::support::{Lab, entry, inline, noise};

/// In a live tree a file may change between the looks at its names.
#[test]
fn names_of_one_file_may_differ_in_size_and_time() {
    let lab = Lab::new();
    let first = Entry { nlink: 3, ..inline("a", b"content") };
    let later = |path, size, secs| Entry {
        nlink: 3,
        size,
        mtime: Time { secs, nanos: 0 },
        link_to: Some(b"a".to_vec()),
        ..entry(path, FileKind::File)
    };
    let pages = [vec![first], vec![later("b", 9, 2_000_000), later("c", 0, 3_000_000)]];
    let snapshot = lab.handmade(&pages);
    for (exclude, files) in [(vec![], 3), (vec!["a".into()], 2)] {
        let target = lab.out(&files.to_string());
        let options = RestoreOptions { exclude, verify: true, target, ..lab.whole() };
        let report = lab.restore_well(&snapshot, &options);
        assert_eq!((report.created, report.verified), (files, files), "{report:?}");
    }
}

/// What cannot be compared is named, and the rest is compared.
#[test]
fn a_lost_page_fails_one_entry_and_the_rest_is_compared() {
    let mut lab = Lab::new();
    let parts = [noise(100_000, 1), noise(100_000, 2)];
    let pieces: Vec<Piece> =
        parts.iter().map(|part| Piece::Chunk(lab.put_chunk(part), part.len() as u32)).collect();
    let root = lab.put_page(&encode_leaf(&pieces));
    let content = Content::List { root, depth: 0, pieces: 2 };
    let long = Entry { size: 200_000, content, ..entry("long", FileKind::File) };
    let snapshot = lab.handmade(&[vec![long, inline("other", b"x"), inline("z", b"z")]]);
    lab.restore_well(&snapshot, &lab.whole());
    let location = lab.repository.index().find(&root.0).expect("is stored");
    lab.storage.remove(&lab.repository.index().pack(location.pack).object_name());
    lab.reopen();
    // Files that look equal are not read, so the page is missed only when they are compared.
    let overwrite = Overwrite::IfChanged;
    let options = RestoreOptions { verify: true, overwrite, ..lab.whole() };
    let report = lab.restore(&snapshot, &options);
    assert_eq!((report.unchanged, report.failed, report.verified), (3, 1, 2), "{report:?}");
    assert!(report.failures[0].path.ends_with(b"/long"), "{report:?}");
}
