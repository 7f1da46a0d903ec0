use proptest::prelude::*;

use super::*;
use crate::format::page::{Child, encode_inner, encode_leaf};
use crate::tree::testing::{Lab, dir, inline, path, tree};

fn walk(walk: &mut NumberedEntries, source: PageSource<'_>) -> Vec<(u64, Entry)> {
    let mut all = Vec::new();
    while let Some(entry) = walk.next(source) {
        let entry = entry.expect("reads");
        all.push((entry.number(), Entry::clone(&entry)));
    }
    all
}

fn number(all: &[Entry]) -> Vec<(u64, Entry)> {
    (0..).zip(all.iter().cloned()).collect()
}

#[test]
fn numbers_and_paths_agree_with_a_sorted_vector() {
    let lab = Lab::new();
    let config = ProptestConfig { cases: 64, ..ProptestConfig::default() };
    proptest!(config, |(all in tree(), other in path(), cache_bytes in 0..40_000_usize)| {
        let manifest = lab.manifest(&all);
        let cache = PageCache::new(cache_bytes);
        let source = PageSource { repository: &lab.repository, cache: &cache };
        let numbered = number(&all);
        let beyond = manifest.numbered(source, all.len() as u64).expect("reads");
        prop_assert!(beyond.is_none());
        prop_assert!(manifest.numbered(source, u64::MAX).expect("reads").is_none());
        for (at, entry) in &numbered {
            let found = manifest.numbered(source, *at).expect("reads").expect("is there");
            prop_assert_eq!((found.number(), &*found), (*at, entry));
            let found = manifest.find_numbered(source, &entry.path).expect("reads");
            prop_assert_eq!(found.map(|found| found.number()), Some(*at));
            let mut rest = NumberedEntries::from_number(source, manifest, *at).expect("reads");
            prop_assert_eq!(&walk(&mut rest, source)[..], &numbered[*at as usize..]);
        }
        let mut rest = NumberedEntries::from_path(manifest, &other);
        let from = all.partition_point(|entry| compare_paths(&entry.path, &other).is_lt());
        prop_assert_eq!(&walk(&mut rest, source)[..], &numbered[from..]);
        prop_assert!(cache.bytes() <= cache_bytes as u64);
    });
}

#[test]
fn skipping_leaves_out_exactly_the_folder() {
    let lab = Lab::new();
    let config = ProptestConfig { cases: 64, ..ProptestConfig::default() };
    proptest!(config, |(all in tree(), skips: u64)| {
        let manifest = lab.manifest(&all);
        let cache = PageCache::new(1 << 20);
        let source = PageSource { repository: &lab.repository, cache: &cache };
        let mut entries = NumberedEntries::from_path(manifest, b"");
        let (mut walked, mut want) = (Vec::new(), number(&all));
        while let Some(entry) = entries.next(source).transpose().expect("reads") {
            if skips >> (walked.len() % 64) & 1 == 1 && !entry.path.is_empty() {
                entries.skip_to_after(&entry.path);
                want.retain(|(_, e)| e.path == entry.path || !is_within(&e.path, &entry.path));
            }
            walked.push((entry.number(), Entry::clone(&entry)));
        }
        prop_assert_eq!(walked, want);
    });
}

#[test]
fn a_lost_page_costs_its_entries_and_no_numbers() {
    let config = ProptestConfig { cases: 24, ..ProptestConfig::default() };
    proptest!(config, |(all in tree(), lost in 0..8_usize)| {
        let lab = Lab::new();
        let manifest = lab.store(|store| {
            store.lost_leaf = Some(lost);
            store.manifest(&all)
        });
        let cache = PageCache::new(1 << 20);
        let source = PageSource { repository: &lab.repository, cache: &cache };
        let mut entries = NumberedEntries::from_path(manifest, b"");
        let (mut read, mut errors) = (Vec::new(), 0);
        while let Some(entry) = entries.next(source) {
            match entry {
                Ok(entry) => read.push((entry.number(), Entry::clone(&entry))),
                Err(error) => {
                    prop_assert!(error.is_damage());
                    errors += 1;
                }
            }
        }
        prop_assert!(errors <= 1);
        let numbered = number(&all);
        prop_assert_eq!(errors == 0, read.len() == all.len());
        prop_assert!(read.iter().all(|entry| numbered.contains(entry)));
        for (at, entry) in &numbered {
            let is_left = read.contains(&(*at, entry.clone()));
            let found = manifest.numbered(source, *at);
            prop_assert_eq!(found.is_ok(), is_left);
            prop_assert_eq!(manifest.find_numbered(source, &entry.path).is_ok(), is_left);
        }
    });
}

/// Inner pages that lie about those below them: what they lie about is not read, and nothing is
/// taken for something else.
#[test]
fn pages_that_are_not_what_is_said_of_them_are_refused() {
    let lab = Lab::new();
    let leaves = [
        vec![inline(b"a", b"1"), inline(b"b", b"2")],
        vec![inline(b"c", b"3"), inline(b"d", b"4"), inline(b"e", b"5")],
        vec![inline(b"f", b"6")],
    ];
    let all = leaves.concat();
    let manifest_with = |change: &dyn Fn(&mut Vec<Child>)| {
        lab.store(|store| {
            let mut children: Vec<Child> = leaves
                .iter()
                .map(|leaf| Child {
                    last: leaf.last().expect("some").path.as_slice().into(),
                    page: store.page(&encode_leaf(leaf)),
                    entries: leaf.len() as u64,
                    files: 0,
                    bytes: 0,
                })
                .collect();
            change(&mut children);
            Manifest::new(store.page(&encode_inner(1, &children)), 1)
        })
    };
    let readable = |manifest: Manifest| {
        let cache = PageCache::new(1 << 20);
        let source = PageSource { repository: &lab.repository, cache: &cache };
        let mut walk = NumberedEntries::from_path(manifest, b"");
        let (mut read, mut errors) = (Vec::new(), 0);
        while let Some(entry) = walk.next(source) {
            match entry {
                Ok(entry) => {
                    let again = manifest.numbered(source, entry.number()).expect("reads again");
                    assert_eq!(again.expect("is there").path, entry.path);
                    let found = manifest.find_numbered(source, &entry.path).expect("reads again");
                    assert_eq!(found.expect("is there").number(), entry.number());
                    read.push(Entry::clone(&entry));
                }
                Err(error) => {
                    assert!(error.is_damage());
                    errors += 1;
                }
            }
        }
        for number in (0..20).chain([u64::MAX - 1, u64::MAX]) {
            if let Ok(Some(entry)) = manifest.numbered(source, number) {
                assert!(read.contains(&entry));
            }
        }
        (read, errors)
    };
    assert_eq!(readable(manifest_with(&|_| {})), (all.clone(), 0));
    for count in [0, 1, 2, 4, 1 << 40] {
        let (read, errors) = readable(manifest_with(&|children| children[1].entries = count));
        assert_eq!(read, [&all[..2], &all[5..]].concat(), "{count}");
        assert_eq!(errors, 1);
    }
    let (read, errors) = readable(manifest_with(&|children| {
        children[0].entries = u64::MAX;
        children[1].entries = 2;
    }));
    assert_eq!((read.len(), errors), (0, 1), "more entries than numbers");
    let (read, errors) = readable(manifest_with(&|children| children[1].last = b"ee"[..].into()));
    assert_eq!((read.len(), errors), (3, 1), "another last path");
    let (read, errors) = readable(manifest_with(&|children| {
        let second = children[1].page;
        children[0] =
            Child { page: second, entries: 3, last: b"e"[..].into(), ..children[0].clone() };
        children[1] = Child {
            page: children[2].page,
            last: b"f"[..].into(),
            entries: 1,
            ..children[1].clone()
        };
        children.truncate(2);
        children.push(Child {
            page: second,
            entries: 3,
            last: b"g"[..].into(),
            files: 0,
            bytes: 0,
        });
    }));
    assert_eq!((read.len(), errors), (4, 1), "a page twice");
    // Deeper than it is: a leaf where an inner page should be.
    let root = manifest_with(&|_| {}).root();
    assert_eq!(readable(Manifest::new(root, 2)), (vec![], 1));
    assert_eq!(readable(Manifest::new(root, 0)), (vec![], 1));
}

#[test]
fn the_cache_is_bounded_and_keeps_shared_pages_once() {
    let lab = Lab::new();
    let mut all: Vec<Entry> = vec![dir(b"d")];
    all.extend((0..600).map(|n| inline(format!("d/f{n:03}").as_bytes(), &[b'x'; 100])));
    let first = lab.manifest(&all);
    all[300].mode = 0;
    let second = lab.manifest(&all);
    let read_all = |cache: &PageCache, manifest| {
        let source = PageSource { repository: &lab.repository, cache };
        assert_eq!(walk(&mut NumberedEntries::from_path(manifest, b""), source).len(), all.len());
        cache.bytes()
    };
    let large = PageCache::new(16 << 20);
    let one = read_all(&large, first);
    let both = read_all(&large, second);
    assert!(one > 600 * 300 && both > one && both < one + one / 10, "{one}, then {both}");
    for bytes in [0, 1, 1000, 20_000, 100_000] {
        let cache = PageCache::new(bytes);
        for manifest in [first, second, first] {
            assert!(read_all(&cache, manifest) <= bytes as u64);
        }
    }
}

#[test]
fn threads_share_a_cache() {
    let lab = Lab::new();
    let all: Vec<Entry> = (0..400).map(|n| inline(format!("f{n:03}").as_bytes(), b"x")).collect();
    let manifest = lab.manifest(&all);
    let cache = PageCache::new(20_000);
    let source = PageSource { repository: &lab.repository, cache: &cache };
    std::thread::scope(|scope| {
        for thread in 0..6_usize {
            let all = &all;
            scope.spawn(move || {
                for step in 0..400 {
                    let at = (step * 37 + thread * 61) % all.len();
                    let found = manifest.numbered(source, at as u64).expect("reads");
                    assert_eq!(*found.expect("is there"), all[at]);
                }
            });
        }
    });
}

/// A large folder of folders is listed without a look into them, and a listing that begins anew
/// for every few items reads no page twice.
#[test]
fn only_pages_that_are_needed_are_read() {
    let lab = Lab::new();
    let mut all = Vec::new();
    for folder in 0..40 {
        all.push(dir(format!("d{folder:02}").as_bytes()));
        all.extend((0..60).map(|n| inline(format!("d{folder:02}/f{n:02}").as_bytes(), b"")));
    }
    let manifest = lab.manifest(&all);
    let pages = |work: &dyn Fn(PageSource<'_>)| {
        let cache = PageCache::new(64 << 20);
        work(PageSource { repository: &lab.repository, cache: &cache });
        cache.pages()
    };
    let whole = pages(&|source| {
        walk(&mut NumberedEntries::from_path(manifest, b""), source);
    });
    let listed = pages(&|source| {
        let mut entries = NumberedEntries::from_path(manifest, b"");
        let mut folders = 0;
        while let Some(entry) = entries.next(source) {
            let entry = entry.expect("reads");
            entries.skip_to_after(&entry.path);
            folders += 1;
        }
        assert_eq!(folders, 40);
    });
    // One leaf for each folder and the pages that lead to them.
    assert!(listed < whole / 3 && listed < 40 * 4, "{listed} of {whole}");
    let one = pages(&|source| {
        assert!(manifest.numbered(source, 1234).expect("reads").is_some());
        assert!(manifest.find_numbered(source, &all[1234].path).expect("reads").is_some());
    });
    assert_eq!(one, usize::from(manifest.depth()) + 1);
}
