use proptest::prelude::*;

use super::*;
use crate::model::entry::{compare_paths, is_within};
use crate::tree::testing::{Lab, ancestors, dir, inline, path, tree};

fn collect(entries: impl Iterator<Item = Result<Entry>>) -> Vec<Entry> {
    entries.collect::<Result<_>>().expect("reads")
}

fn is_child(entry: &Entry, folder: &[u8]) -> bool {
    let start = if folder.is_empty() { 0 } else { folder.len() + 1 };
    entry.path != folder && is_within(&entry.path, folder) && !entry.path[start..].contains(&b'/')
}

#[test]
fn walks_agree_with_a_sorted_vector() {
    let lab = Lab::new();
    let config = ProptestConfig { cases: 64, ..ProptestConfig::default() };
    proptest!(config, |(all in tree(), other in path(), picks: [prop::sample::Index; 6])| {
        let manifest = lab.manifest(&all);
        let repository = &lab.repository;
        prop_assert_eq!(&collect(manifest.entries(repository)), &all);
        let mut places: Vec<Vec<u8>> = vec![Vec::new(), other];
        if !all.is_empty() {
            places.extend(picks.iter().map(|pick| pick.get(&all).path.clone()));
        }
        for place in &places {
            let from = all.iter().filter(|e| compare_paths(&e.path, place).is_ge()).cloned();
            prop_assert_eq!(collect(manifest.entries_from(repository, place)), from.collect::<Vec<_>>());
            let within = all.iter().filter(|e| is_within(&e.path, place)).cloned();
            prop_assert_eq!(collect(manifest.entries_within(repository, place)), within.collect::<Vec<_>>());
            let children: Vec<_> = all.iter().filter(|e| is_child(e, place)).cloned().collect();
            prop_assert_eq!(manifest.list(repository, place).expect("reads"), children);
            let found = all.iter().find(|e| e.path == *place).cloned();
            prop_assert_eq!(manifest.find(repository, place).expect("reads"), found);
        }
        let counts = manifest.counts(repository).expect("reads");
        let files = all.iter().filter(|e| e.kind == FileKind::File);
        prop_assert_eq!(counts, Counts {
            entries: all.len() as u64,
            files: files.clone().count() as u64,
            bytes: files.map(|e| e.size).sum(),
        });
    });
}

#[test]
fn skipping_leaves_out_exactly_the_folder() {
    let lab = Lab::new();
    let config = ProptestConfig { cases: 64, ..ProptestConfig::default() };
    proptest!(config, |(all in tree(), skips: u64)| {
        let manifest = lab.manifest(&all);
        let mut entries = manifest.entries(&lab.repository);
        let (mut walked, mut want) = (Vec::new(), all.clone());
        while let Some(entry) = entries.next().transpose().expect("reads") {
            if entry.kind == FileKind::Dir && skips >> (walked.len() % 64) & 1 == 1 {
                entries.skip_to_after(&entry.path);
                want.retain(|e| e.path == entry.path || !is_within(&e.path, &entry.path));
            }
            walked.push(entry);
        }
        prop_assert_eq!(walked, want);
    });
}

#[test]
fn a_lost_page_costs_its_entries_and_no_others() {
    let config = ProptestConfig { cases: 24, ..ProptestConfig::default() };
    proptest!(config, |(all in tree(), lost in 0..8_usize)| {
        let lab = Lab::new();
        let manifest = lab.store(|store| {
            store.lost_leaf = Some(lost);
            store.manifest(&all)
        });
        let (mut errors, mut read) = (0, Vec::new());
        for entry in manifest.entries(&lab.repository) {
            match entry {
                Ok(entry) => read.push(entry),
                Err(error) => {
                    prop_assert!(error.is_damage());
                    errors += 1;
                }
            }
        }
        prop_assert!(errors <= 1);
        let missing: Vec<_> = all.iter().filter(|e| !read.contains(e)).collect();
        prop_assert_eq!(missing.is_empty(), errors == 0);
        let first = all.iter().position(|e| Some(&e) == missing.first());
        for (at, entry) in missing.iter().enumerate() {
            prop_assert_eq!(&&all[first.expect("one is missing") + at], entry, "they are one run");
        }
        // What is directly in the root is listed as far as it was read.
        let listed = manifest.children(&lab.repository, b"").filter_map(Result::ok);
        let want = read.iter().filter(|e| is_child(e, b""));
        prop_assert_eq!(listed.collect::<Vec<_>>(), want.cloned().collect::<Vec<_>>());
    });
}

#[test]
fn entries_outside_any_folder_are_refused() {
    let lab = Lab::new();
    let all = [inline(b"a", b"1"), inline(b"a/b", b"2"), dir(b"c"), inline(b"c/d/e", b"3")];
    let bad = |all: &[Entry]| {
        let manifest = lab.manifest(all);
        manifest.entries(&lab.repository).filter(Result::is_err).count()
    };
    assert_eq!(bad(&all), 2);
    assert_eq!(bad(&all[2..3]), 0);
    assert_eq!(bad(&[inline(b"", b"no folder")]), 1);
    assert_eq!(ancestors(b"c/d/e").count(), 2);
}

/// Pages that are good by themselves but not where the page above puts them.
#[test]
fn pages_in_the_wrong_place_are_refused() {
    use crate::format::page::{Child, encode_inner, encode_leaf};
    let lab = Lab::new();
    let leaf = [inline(b"a", b"1"), inline(b"b", b"2")];
    let manifest = lab.store(|store| {
        let page = store.page(&encode_leaf(&leaf));
        let empty = store.page(&encode_leaf(&[]));
        let child =
            |last: &[u8], page| Child { last: last.into(), page, entries: 2, files: 2, bytes: 2 };
        let children = [child(b"b", page), child(b"c", page), child(b"d", empty)];
        Manifest::new(store.page(&encode_inner(1, &children)), 1)
    });
    let read: Vec<_> = manifest.entries(&lab.repository).collect();
    assert_eq!(read.iter().filter(|e| e.is_ok()).count(), 2);
    assert_eq!(read.iter().filter(|e| e.is_err()).count(), 2);
    let deeper = Manifest::new(manifest.root(), 9);
    assert!(deeper.entries(&lab.repository).all(|entry| entry.is_err()));
}
