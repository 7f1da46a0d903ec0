use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::entry::is_within;
use crate::model::{Content, Owner, Piece, Time};
use crate::tree::testing::{Lab, dir, entry, inline, path, tree};

type Found = BTreeMap<Vec<u8>, DifferenceKind>;

fn run(lab: &Lab, old: (Manifest, &[u8]), new: (Manifest, &[u8])) -> (Found, DiffSummary) {
    let mut found = Found::new();
    let mut last: Option<Vec<u8>> = None;
    let side = |(manifest, folder)| DiffSide { manifest, folder };
    let summary = diff(&lab.repository, side(old), side(new), &mut |difference| {
        assert!(last.as_ref().is_none_or(|last| compare_paths(last, difference.path).is_lt()));
        last = Some(difference.path.to_vec());
        found.insert(difference.path.to_vec(), difference.kind);
        Ok(())
    });
    (found, summary.expect("compares"))
}

/// What differs, by looking at everything.
fn naive(old: &[Entry], old_folder: &[u8], new: &[Entry], new_folder: &[u8]) -> Found {
    let map = |entries: &[Entry], folder: &[u8]| -> BTreeMap<Vec<u8>, Entry> {
        let within = entries.iter().filter(|e| is_within(&e.path, folder));
        within.map(|e| (below(&e.path, folder).to_vec(), e.clone())).collect()
    };
    let (old, new) = (map(old, old_folder), map(new, new_folder));
    let mut found = Found::new();
    for (path, entry) in &old {
        let kind = match new.get(path) {
            None => DifferenceKind::Removed,
            Some(other) if other.kind != entry.kind => DifferenceKind::TypeChanged,
            Some(other) if other.content != entry.content => DifferenceKind::Modified,
            Some(other) if other.mode != entry.mode => DifferenceKind::Metadata,
            Some(_) => continue,
        };
        found.insert(path.clone(), kind);
    }
    let added = new.keys().filter(|path| !old.contains_key(*path));
    found.extend(added.map(|path| (path.clone(), DifferenceKind::Added)));
    found
}

#[test]
fn comparisons_agree_with_one_of_everything() {
    let lab = Lab::new();
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8), 0..6);
    let config = ProptestConfig { cases: 96, ..ProptestConfig::default() };
    proptest!(config, |(old in tree(), other in tree(), edits in edits, edited: bool, a in path(), b in path())| {
        // Either an edited tree or an unrelated one.
        let mut new = if edited { old.clone() } else { other };
        for (place, edit) in edits {
            if new.is_empty() {
                break;
            }
            let at = place.index(new.len());
            match edit {
                0 => new[at].mode ^= 0o111,
                1 if new[at].kind == FileKind::File => {
                    new[at] = Entry { mode: new[at].mode, ..inline(&new[at].path.clone(), b"edited") };
                }
                2 => {
                    let gone = new[at].path.clone();
                    new.retain(|e| !is_within(&e.path, &gone));
                }
                // Changes that do not count.
                _ => (new[at].inode, new[at].ctime.secs, new[at].atime) = (77, 3, Some(Time::default())),
            }
        }
        let (before, after) = (lab.manifest(&old), lab.manifest(&new));
        let (found, summary) = run(&lab, (before, b""), (after, b""));
        prop_assert_eq!(&found, &naive(&old, b"", &new, b""));
        let count = |kind| found.values().filter(|k| **k == kind).count() as u64;
        let sum = |t: Tally| t.files + t.dirs + t.others;
        prop_assert_eq!(sum(summary.added), count(DifferenceKind::Added));
        prop_assert_eq!(sum(summary.removed), count(DifferenceKind::Removed));
        prop_assert_eq!(sum(summary.modified), count(DifferenceKind::Modified));
        prop_assert_eq!(sum(summary.metadata), count(DifferenceKind::Metadata));
        prop_assert_eq!(sum(summary.type_changed), count(DifferenceKind::TypeChanged));
        // Two folders of other names.
        let has = |entries: &[Entry], path: &[u8]| entries.iter().any(|e| e.path == path);
        for (a, b) in [(&a, &b), (&a, &a)] {
            if has(&old, a) && has(&new, b) {
                prop_assert_eq!(run(&lab, (before, a), (after, b)).0, naive(&old, a, &new, b));
            }
        }
    });
}

#[test]
fn pages_that_both_have_are_not_read() {
    let all: Vec<Entry> = (0..500).map(|n| inline(format!("f{n:03}").as_bytes(), b"")).collect();
    let mut edited = all.clone();
    edited.remove(250);
    edited[400].mode = 0;
    let lab = Lab::new();
    // A leaf that both have is lost: nobody notices.
    let (old, new) = lab.store(|store| {
        store.lost_leaf = Some(3);
        (store.manifest(&all), store.manifest(&edited))
    });
    let (found, summary) = run(&lab, (old, b""), (new, b""));
    assert_eq!(found[&b"f250"[..]], DifferenceKind::Removed);
    assert_eq!(found[&b"f401"[..]], DifferenceKind::Metadata);
    assert_eq!((found.len(), summary.removed.files, summary.metadata.files), (2, 1, 1));
    // Against something else it counts.
    let empty = lab.manifest(&[]);
    let side = |manifest| DiffSide { manifest, folder: b"" };
    let failed = diff(&lab.repository, side(old), side(empty), &mut |_| Ok(()));
    assert!(failed.is_err_and(|error| error.is_damage()));
}

#[test]
fn metadata_is_told_field_by_field() {
    let lab = Lab::new();
    let old = inline(b"f", b"x");
    let owner = Arc::new(Owner { uid: 1, ..Owner::default() });
    let device = |minor| Entry { device: Some((1, minor)), ..entry(b"f", FileKind::CharDevice) };
    let check = |old: &Entry, new: &Entry| {
        let (old, new) =
            (lab.manifest(std::slice::from_ref(old)), lab.manifest(std::slice::from_ref(new)));
        let side = |manifest| DiffSide { manifest, folder: b"" };
        let mut told = None;
        diff(&lab.repository, side(old), side(new), &mut |d| {
            told = Some((d.kind, d.fields));
            Ok(())
        })
        .expect("compares");
        told
    };
    let none = Fields::default();
    let metadata = |fields| Some((DifferenceKind::Metadata, fields));
    assert_eq!(check(&old, &Entry { nlink: 9, ..old.clone() }), None);
    assert_eq!(
        check(&old, &Entry { owner, ..old.clone() }),
        metadata(Fields { owner: true, ..none })
    );
    assert_eq!(
        check(&old, &Entry { inode_flags: 8, mode: 0, ..old.clone() }),
        metadata(Fields { flags: true, mode: true, ..none })
    );
    let modified = Some((DifferenceKind::Modified, none));
    assert_eq!(check(&device(1), &device(2)), modified);
    assert_eq!(check(&device(1), &device(1)), None);
}

#[test]
fn missing_folders_are_named() {
    let lab = Lab::new();
    let manifest = lab.manifest(&[dir(b"a")]);
    let side = |folder| DiffSide { manifest, folder };
    let error = diff(&lab.repository, side(b"a"), side(b"b"), &mut |_| Ok(())).expect_err("no b");
    assert!(matches!(error, Error::NotFound { what: "path", name } if name == "/b"));
}

#[test]
fn hard_links_are_compared_by_the_content_of_their_group() {
    let lab = Lab::new();
    let first = Entry { nlink: 2, ..inline(b"a", b"one") };
    let link = |to: &[u8]| Entry {
        path: b"b".to_vec(),
        content: Content::None,
        link_to: Some(to.to_vec()),
        ..first.clone()
    };
    let alone = Entry { path: b"b".to_vec(), ..first.clone() };
    let linked = lab.manifest(&[first.clone(), link(b"a")]);
    let copied = lab.manifest(&[first.clone(), alone]);
    let (found, _) = run(&lab, (linked, b""), (copied, b""));
    assert_eq!(found, Found::from([(b"b".to_vec(), DifferenceKind::Metadata)]));
    let edited = Entry { mtime: Time { secs: 1, nanos: 0 }, ..inline(b"a", b"two") };
    let edited_link = Entry { mtime: edited.mtime, ..link(b"a") };
    let changed = lab.manifest(&[edited, edited_link]);
    let (found, summary) = run(&lab, (linked, b""), (changed, b""));
    assert_eq!(found.len(), 2);
    assert_eq!(summary.modified.files, 2);
    assert_eq!((summary.added_bytes, summary.removed_bytes), (3, 3));
}

#[test]
fn changed_bytes_are_those_of_chunks_that_only_one_side_has() {
    let lab = Lab::new();
    let (old, new, lost) = lab.store(|store| {
        let mut pieces: Vec<Piece> = (0..200_u32).map(|n| store.chunk(&n.to_le_bytes())).collect();
        let file = |content| Entry { size: 800, content, ..entry(b"f", FileKind::File) };
        let old = file(store.list(&pieces, 8));
        pieces[77] = store.chunk(b"abcd");
        pieces[150] = Piece::Hole(4);
        let new = file(store.list(&pieces, 8));
        pieces[3] = store.chunk(b"much");
        (old, new, file(Content::Pieces(pieces)))
    });
    let bytes = |a: &Entry, b: &Entry| changed_bytes(&lab.repository, a, b).expect("reads");
    assert_eq!(bytes(&old, &new), (4, 8));
    assert_eq!(bytes(&new, &old), (8, 4));
    assert_eq!(bytes(&old, &old), (0, 0));
    assert_eq!(bytes(&new, &lost), (4, 4));
    assert_eq!(bytes(&inline(b"f", b"hello"), &inline(b"f", b"hey")), (3, 5));
}
