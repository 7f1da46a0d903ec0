use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::format::page::{Child, encode_inner, encode_leaf};
use crate::model::Entry;
use crate::model::entry::is_within;
use crate::model::{PageId, Piece};
use crate::tree::testing::{Lab, ancestors, dir, entry, inline, tree};

fn view_of(lab: &Lab, manifest: Manifest) -> View {
    let snapshot = Box::new(lab.snapshot(1, manifest));
    let show = Shown::One { snapshot, path: Vec::new() };
    let options = ViewOptions { show, cache_bytes: 30_000, ..ViewOptions::default() };
    View::new(Arc::clone(&lab.repository), options).expect("opens")
}

/// What a listing gives, and how often it fails. Begins a new listing after every `step` items.
fn list(view: &View, node: NodeId, step: usize) -> (Vec<FolderItem>, usize) {
    let (mut items, mut errors, mut from) = (Vec::new(), 0, 0);
    loop {
        let mut folder = view.open_folder(node).expect("opens a folder");
        for number in 0.. {
            if number == step {
                break;
            }
            match folder.next(view, from) {
                Ok(Some(item)) => {
                    from = item.cursor;
                    items.push(item);
                }
                Ok(None) => return (items, errors),
                Err(error) => {
                    assert!(error.is_damage());
                    errors += 1;
                    // Whoever asks again must not take it for the end.
                    for _ in 0..3 {
                        let again = folder.next(view, from).expect_err("still lost");
                        assert_eq!(again.to_string(), error.to_string());
                    }
                    return (items, errors);
                }
            }
        }
    }
}

/// All that can be reached, by path, and how many listings told of damage.
fn reach(view: &View, step: usize) -> (BTreeMap<Vec<u8>, Attributes>, usize) {
    let (mut all, mut errors) = (BTreeMap::new(), 0);
    let mut todo = vec![(Vec::new(), NodeId::ROOT)];
    while let Some((path, node)) = todo.pop() {
        let (items, failed) = list(view, node, step);
        errors += failed;
        for item in items {
            let path = match path.is_empty() {
                true => item.name.clone(),
                false => [&path[..], &item.name].join(&b'/'),
            };
            assert_eq!(
                view.lookup(node, &item.name).expect("looks up").as_ref(),
                Some(&item.attributes)
            );
            assert_eq!(view.attributes(item.attributes.node).expect("a node"), item.attributes);
            if item.attributes.kind == FileKind::Dir {
                todo.push((path.clone(), item.attributes.node));
            }
            assert!(all.insert(path, item.attributes).is_none(), "listed twice");
        }
    }
    (all, errors)
}

/// The paths of entries, and the folders that they lie in.
fn with_folders<'e>(all: impl IntoIterator<Item = &'e Entry>) -> BTreeMap<Vec<u8>, FileKind> {
    let mut paths = BTreeMap::new();
    for entry in all {
        for folder in ancestors(&entry.path) {
            paths.entry(folder.to_vec()).or_insert(FileKind::Dir);
        }
        paths.insert(entry.path.clone(), entry.kind);
    }
    paths.remove(&Vec::new());
    paths
}

#[test]
fn all_entries_are_seen_whatever_the_listings() {
    let lab = Lab::new();
    let config = ProptestConfig { cases: 48, ..ProptestConfig::default() };
    proptest!(config, |(all in tree(), step in 1..9_usize)| {
        let view = view_of(&lab, lab.manifest(&all));
        let (seen, errors) = reach(&view, step);
        prop_assert_eq!(errors, 0);
        let kinds: BTreeMap<_, _> = seen.iter().map(|(path, a)| (path.clone(), a.kind)).collect();
        prop_assert_eq!(kinds, with_folders(&all));
        let nodes: std::collections::HashSet<_> = seen.values().map(|a| a.node).collect();
        prop_assert_eq!(nodes.len(), seen.len());
        for entry in all.iter().filter(|entry| !entry.path.is_empty()) {
            let found = &seen[&entry.path];
            prop_assert_eq!((found.mode, found.mtime), (entry.mode, entry.mtime));
        }
    });
}

#[test]
fn a_lost_page_costs_its_entries_and_no_others() {
    let config = ProptestConfig { cases: 48, ..ProptestConfig::default() };
    proptest!(config, |(all in tree(), lost in 0..8_usize, step in 3..9_usize)| {
        let lab = Lab::new();
        let manifest = lab.store(|store| {
            store.lost_leaf = Some(lost);
            store.manifest(&all)
        });
        let entries = manifest.entries(&lab.repository);
        let left: Vec<Entry> = entries.filter_map(Result::ok).collect();
        let view = view_of(&lab, manifest);
        let (seen, errors) = reach(&view, usize::MAX);
        let kinds: BTreeMap<_, _> = seen.iter().map(|(path, a)| (path.clone(), a.kind)).collect();
        prop_assert_eq!(kinds, with_folders(&left));
        prop_assert_eq!(errors == 0, left.len() == all.len());
        // Other listings, other places to begin at.
        prop_assert_eq!(&reach(&view, step).0, &seen);
        for entry in all.iter().filter(|entry| !left.contains(entry) && !entry.path.is_empty()) {
            let folder = match entry.path.iter().rposition(|byte| *byte == b'/') {
                Some(end) => seen.get(&entry.path[..end]).map(|folder| folder.node),
                None => Some(NodeId::ROOT),
            };
            let Some(folder) = folder else { continue };
            if let Ok(found) = view.lookup(folder, entry.name()) {
                let is_below = left.iter().any(|other| is_within(&other.path, &entry.path));
                prop_assert_eq!(found.is_some(), is_below, "unknown is not the same as not there");
            }
        }
    });
}

/// Pages made up of anything that decodes: whatever they say, listings end and nothing is seen twice.
#[test]
fn no_manifest_is_endless() {
    let child = (0..4_usize, 0..4_u64, any::<bool>());
    let inner = prop::collection::vec((prop::collection::vec(child, 1..5), 1..3_u8), 0..4);
    let config = ProptestConfig { cases: 64, ..ProptestConfig::default() };
    proptest!(config, |(trees in prop::collection::vec(tree(), 1..4), inner in inner, depth in 0..4_u8)| {
        let lab = Lab::new();
        let manifest = lab.store(|store| {
            let mut pages: Vec<(PageId, Vec<u8>, u64)> = trees
                .iter()
                .map(|all| {
                    let last = all.last().map(|e| e.path.clone()).unwrap_or_default();
                    (store.page(&encode_leaf(all)), last, all.len() as u64)
                })
                .collect();
            for (children, level) in inner {
                let mut made: Vec<Child> = children
                    .into_iter()
                    .map(|(page, more, is_honest)| {
                        let (page, last, entries) = pages[page % pages.len()].clone();
                        let entries = if is_honest { entries } else { entries.wrapping_sub(more) };
                        Child { last: last[..].into(), page, entries, files: 0, bytes: 0 }
                    })
                    .collect();
                made.sort_by(|a, b| crate::model::entry::compare_paths(&a.last.0, &b.last.0));
                let last = made.last().map(|c| c.last.0.clone()).unwrap_or_default();
                let entries = made.iter().fold(0, |sum: u64, c| sum.wrapping_add(c.entries));
                pages.push((store.page(&encode_inner(level, &made)), last, entries));
            }
            let (root, ..) = pages[pages.len() - 1];
            Manifest::new(root, depth)
        });
        let view = view_of(&lab, manifest);
        let mut seen = 0;
        let mut todo = vec![NodeId::ROOT];
        while let Some(node) = todo.pop() {
            let (items, _) = list(&view, node, 7);
            for item in items {
                seen += 1;
                prop_assert!(seen < 10_000, "it does not end");
                let _ = view.lookup(node, &item.name);
                let _ = view.xattrs(item.attributes.node);
                if item.attributes.kind == FileKind::Dir {
                    todo.push(item.attributes.node);
                }
            }
        }
    });
}

#[test]
fn names_of_a_hard_link_are_one_node() {
    let lab = Lab::new();
    let link = |path: &[u8], first: &[u8]| Entry {
        link_to: Some(first.to_vec()),
        nlink: 3,
        size: 5,
        ..entry(path, FileKind::File)
    };
    let all = [
        Entry { nlink: 3, ..inline(b"a", b"12345") },
        dir(b"d"),
        link(b"d/b", b"a"),
        link(b"d/lost", b"nowhere"),
        link(b"d/wrong", b"d"),
        link(b"z", b"a"),
    ];
    let view = view_of(&lab, lab.manifest(&all));
    let (seen, _) = reach(&view, usize::MAX);
    let first = &seen[&b"a"[..]];
    assert_eq!((first.nlink, first.size), (3, 5));
    assert_eq!(&seen[&b"d/b"[..]], first);
    assert_eq!(&seen[&b"z"[..]], first);
    for lost in [&b"d/lost"[..], b"d/wrong"] {
        assert_ne!(seen[lost].node, first.node);
    }
}

#[test]
fn sizes_are_those_of_the_source() {
    let lab = Lab::new();
    let chunk = Piece::Chunk(crate::model::ChunkId([7; 32]), 5000);
    let sparse = |path: &[u8], content| Entry {
        size: 1 << 20,
        sparse: true,
        content,
        ..entry(path, FileKind::File)
    };
    let hole = Piece::Hole((1 << 20) - 5000);
    let list = Content::List { root: PageId([1; 32]), depth: 1, pieces: 300 };
    let all = [
        Entry { size: 1 << 63, ..entry(b"hostile", FileKind::File) },
        inline(b"inline", b"12345"),
        Entry {
            content: Content::Inline(b"to/there".to_vec()),
            ..entry(b"link", FileKind::Symlink)
        },
        sparse(b"one hole", Content::None),
        sparse(b"sparse", Content::Pieces(vec![hole, chunk])),
        sparse(b"sparse list", list),
        Entry { device: Some((8, 1)), ..entry(b"tty", FileKind::CharDevice) },
    ];
    let view = view_of(&lab, lab.manifest(&all));
    let (seen, _) = reach(&view, usize::MAX);
    let size = |name: &[u8]| (seen[name].size, seen[name].blocks);
    assert_eq!(size(b"inline"), (5, 8));
    assert_eq!(size(b"link"), (8, 0));
    assert_eq!(size(b"one hole"), (1 << 20, 0));
    assert_eq!(size(b"sparse"), (1 << 20, 16));
    let (len, blocks) = size(b"sparse list");
    assert!(len == 1 << 20 && blocks * 512 < len, "programs look for holes then");
    assert_eq!(size(b"hostile").0, i64::MAX as u64);
    assert_eq!(seen[&b"tty"[..]].device, Some((8, 1)));
    assert_eq!(view.read_link(seen[&b"link"[..]].node).expect("a target"), b"to/there");
    assert!(matches!(view.read_link(seen[&b"inline"[..]].node), Err(Error::Usage { .. })));
    assert!(matches!(view.open_folder(seen[&b"inline"[..]].node), Err(Error::Usage { .. })));
    assert_eq!(view.lookup(seen[&b"inline"[..]].node, b"x").expect("looks"), None);
}

#[test]
fn only_names_are_looked_up() {
    let lab = Lab::new();
    let all = [dir(b"d"), inline(b"d/e", b""), inline(b"d/f\xff", b"")];
    let view = view_of(&lab, lab.manifest(&all));
    for name in [&b""[..], b".", b"..", b"/d", b"d/e", b"d\0", b"x"] {
        assert_eq!(view.lookup(NodeId::ROOT, name).expect("looks"), None, "{name:?}");
    }
    let folder = view.lookup(NodeId::ROOT, b"d").expect("looks").expect("is there").node;
    assert!(view.lookup(folder, b"f\xff").expect("looks").is_some());
    for node in [0, 2, 99, u64::MAX, folder.0 + 7, folder.0 | 1 << 35] {
        let error = view.attributes(NodeId(node)).expect_err("no such node");
        assert!(is_gone(&error), "{node}: {error}");
    }
}

#[test]
fn one_folder_is_shown_as_the_root() {
    let lab = Lab::new();
    let all = [dir(b"d"), Entry { mode: 0o700, ..dir(b"d/e") }, inline(b"d/e/f", b"1")];
    let snapshot = lab.snapshot(1, lab.manifest(&all));
    let open = |path: &[u8]| {
        let show = Shown::One { snapshot: Box::new(snapshot.clone()), path: path.to_vec() };
        View::new(Arc::clone(&lab.repository), ViewOptions { show, ..ViewOptions::default() })
    };
    let view = open(b"d/e").expect("opens");
    let root = view.attributes(NodeId::ROOT).expect("a node");
    assert_eq!((root.node, root.mode), (NodeId::ROOT, 0o700));
    let file = view.lookup(NodeId::ROOT, b"f").expect("looks").expect("is there");
    assert_eq!(list(&view, NodeId::ROOT, usize::MAX).0[0].attributes, file);
    assert!(matches!(open(b"d/e/f"), Err(Error::Usage { .. })));
    assert!(matches!(open(b"d/x"), Err(Error::PathMissing { .. })));
    assert_eq!(view.space().snapshots, 1);
}

/// As many as somebody may have in one folder: every item is found from the one before.
#[test]
fn a_large_folder_is_listed_in_parts() {
    let lab = Lab::new();
    let mut all = vec![dir(b"d")];
    all.extend((0..20_000).map(|n| inline(format!("d/f{n:05}").as_bytes(), b"")));
    all.push(inline(b"e", b""));
    let manifest = lab.store(|store| {
        store.page_len = 200;
        store.manifest(&all)
    });
    let view = view_of(&lab, manifest);
    let folder = view.lookup(NodeId::ROOT, b"d").expect("looks").expect("is there").node;
    for step in [100, usize::MAX] {
        let (items, errors) = list(&view, folder, step);
        assert_eq!((items.len(), errors), (20_000, 0));
        assert!(items.is_sorted_by(|a, b| a.name < b.name && a.cursor < b.cursor));
    }
    assert!(view.cache.bytes() <= 30_000);
}
