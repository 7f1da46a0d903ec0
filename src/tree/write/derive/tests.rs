use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;
use crate::repository::{Added, WriterOptions};
use crate::tree::testing::{Lab, ancestors, dir, entry, inline, tree};

/// Stores a manifest as a backup would.
fn store(lab: &Lab, entries: &[Entry]) -> ManifestRoot {
    let runtime = Runtime::default();
    let packs = lab.repository.pack_writer(&WriterOptions::default(), &runtime);
    let mut writer = ManifestWriter::new(&lab.repository, &packs);
    entries.iter().for_each(|entry| writer.push(entry.clone()).expect("pushes"));
    let root = writer.finish().expect("finishes");
    packs.finish().expect("uploads");
    root
}

struct Outcome {
    derived: Derived,
    added: Added,
    lost: Vec<Lost>,
    entries: Vec<Entry>,
}

fn run(lab: &Lab, old: Manifest, mut decide: impl FnMut(&mut Entry) -> Verdict) -> Outcome {
    let runtime = Runtime::default();
    let packs = lab.repository.pack_writer(&WriterOptions::default(), &runtime);
    let mut lost = Vec::new();
    let derivation = Derivation {
        decide: &mut |entry| Ok(decide(entry)),
        on_lost: &mut |part| {
            lost.push(part);
            Ok(())
        },
    };
    let derived = derive(&lab.repository, old, PagesTo::Packs(&packs), derivation, &runtime)
        .expect("derives");
    let added = packs.finish().expect("uploads");
    let manifest = Manifest::new(derived.manifest.root, derived.manifest.depth);
    let entries = manifest.entries(&lab.repository).collect::<Result<_>>().expect("readable");
    Outcome { derived, added, lost, entries }
}

fn manifest(root: ManifestRoot) -> Manifest {
    Manifest::new(root.root, root.depth)
}

/// Makes hard links of some files of the tree: in each group of equal content the later ones
/// link to the first.
fn linked(mut entries: Vec<Entry>, picks: &[u8]) -> Vec<Entry> {
    let mut firsts: HashMap<u8, (Vec<u8>, u64)> = HashMap::new();
    for (entry, pick) in entries.iter_mut().zip(picks.iter().cycle()) {
        if entry.kind != FileKind::File || *pick > 3 {
            continue;
        }
        entry.nlink = 9;
        match firsts.get(pick) {
            None => _ = firsts.insert(*pick, (entry.path.clone(), entry.size)),
            Some((first, size)) => {
                entry.link_to = Some(first.clone());
                entry.size = *size;
                entry.content = Content::None;
            }
        }
    }
    entries
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Nothing dropped and nothing changed: the same root, and not a page is stored twice.
    #[test]
    fn identity_gives_the_same_root(
        entries in tree(),
        picks in prop::collection::vec(0..8_u8, 1..9),
    ) {
        let lab = Lab::new();
        let entries = linked(entries, &picks);
        let old = store(&lab, &entries);
        let outcome = run(&lab, manifest(old), |_| Verdict::Keep);
        prop_assert_eq!(outcome.derived.manifest, old);
        prop_assert_eq!(outcome.added, Added::default());
        prop_assert_eq!(outcome.derived.changed + outcome.derived.dropped, 0);
    }

    /// Whatever is dropped: what is kept keeps its folders and its content, and the manifest is
    /// the one that a backup of just that would have.
    #[test]
    fn what_is_kept_keeps_folders_and_content(
        entries in tree(),
        picks in prop::collection::vec(0..8_u8, 1..9),
        drops in prop::collection::vec(any::<bool>(), 1..30),
    ) {
        let lab = Lab::new();
        let entries = linked(entries, &picks);
        let old = store(&lab, &entries);
        let dropped: BTreeSet<&[u8]> = entries
            .iter()
            .zip(drops.iter().cycle())
            .filter(|(_, drop)| **drop)
            .map(|(entry, _)| &entry.path[..])
            .collect();
        let outcome = run(&lab, manifest(old), |entry| {
            if dropped.contains(&entry.path[..]) { Verdict::Drop } else { Verdict::Keep }
        });

        let mut kept: BTreeSet<Vec<u8>> = BTreeSet::new();
        for entry in entries.iter().filter(|entry| !dropped.contains(&entry.path[..])) {
            kept.insert(entry.path.clone());
            kept.extend(ancestors(&entry.path).map(<[u8]>::to_vec));
            let root = entries.first().filter(|first| first.path.is_empty());
            kept.extend(root.map(|root| root.path.clone()));
        }
        let contents: HashMap<&[u8], &Content> =
            entries.iter().map(|entry| (&entry.path[..], &entry.content)).collect();
        let mut firsts: HashMap<&[u8], &[u8]> = HashMap::new();
        let mut wanted = Vec::new();
        for entry in entries.iter().filter(|entry| kept.contains(&entry.path)) {
            let group = entry.link_to.as_ref().unwrap_or(&entry.path);
            let mut new = entry.clone();
            match firsts.get(&group[..]) {
                Some(first) => new.link_to = Some(first.to_vec()),
                None => {
                    firsts.insert(group, &entry.path);
                    new.link_to = None;
                    new.content = contents[&group[..]].clone();
                }
            }
            wanted.push(new);
        }
        prop_assert_eq!(&outcome.entries, &wanted);
        prop_assert_eq!(outcome.derived.manifest, store(&lab, &wanted));
        prop_assert_eq!(outcome.derived.dropped as usize, entries.len() - wanted.len());
        prop_assert!(outcome.lost.is_empty());
    }
}

/// Content that is of no use is refused for every name: none of a group comes through.
#[test]
fn a_group_whose_content_is_dropped_goes_with_all_its_names() {
    let lab = Lab::new();
    let named = |path: &[u8], first: Option<&[u8]>| Entry {
        nlink: 3,
        link_to: first.map(<[u8]>::to_vec),
        content: first.map_or(Content::Inline(b"bad".to_vec()), |_| Content::None),
        ..inline(path, b"bad")
    };
    let entries = [dir(b""), named(b"a", None), named(b"b", Some(b"a")), named(b"c", Some(b"a"))];
    let old = store(&lab, &entries);
    let mut seen = Vec::new();
    let outcome = run(&lab, manifest(old), |entry| {
        seen.push(entry.path.clone());
        let is_bad = entry.content == Content::Inline(b"bad".to_vec());
        if is_bad { Verdict::Drop } else { Verdict::Keep }
    });
    assert_eq!(seen, [&b""[..], b"a", b"b", b"c"]);
    assert_eq!(outcome.entries, [dir(b"")]);
    assert_eq!(outcome.derived.dropped, 3);
}

/// A lost page costs its entries, and the names of files whose content stood in it.
#[test]
fn a_lost_page_costs_what_is_in_it() {
    let lab = Lab::new();
    let mut entries = vec![dir(b"")];
    for folder in 0..40_u32 {
        let path = format!("f{folder:02}").into_bytes();
        entries.push(dir(&path));
        for file in 0..6_u32 {
            let mut path = path.clone();
            path.extend(format!("/{file}").into_bytes());
            entries.push(Entry { nlink: 2, ..inline(&path, b"bytes") });
        }
    }
    // Each folder has a second name in the last folder for its third file.
    entries.push(dir(b"g"));
    for folder in 0..40_u32 {
        let first = format!("f{folder:02}/3").into_bytes();
        let path = format!("g/{folder:02}").into_bytes();
        entries.push(Entry {
            nlink: 2,
            size: 5,
            link_to: Some(first),
            ..entry(&path, FileKind::File)
        });
    }
    for leaf in 0..20 {
        let old = lab.store(|store| {
            store.lost_leaf = Some(leaf);
            store.manifest(&entries)
        });
        let outcome = run(&lab, old, |_| Verdict::Keep);
        let Some(Lost::Pages(pages, _)) = outcome.lost.first() else { panic!("pages are lost") };
        let lost: Vec<&Entry> =
            entries.iter().filter(|entry| pages.contains(&entry.path)).collect();
        assert_eq!(pages.entries, Some(lost.len() as u64));
        let is_kept = |entry: &&Entry| {
            !lost.contains(entry)
                && !entry.link_to.as_ref().is_some_and(|first| pages.contains(first))
        };
        let kept: Vec<&Entry> = entries.iter().filter(is_kept).collect();
        let found: Vec<&Entry> =
            outcome.entries.iter().filter(|entry| !pages.contains(&entry.path)).collect();
        assert_eq!(found, kept, "leaf {leaf}");
        // Beside these there are only folders that were made up for what is in them.
        let made_up: Vec<&Entry> =
            outcome.entries.iter().filter(|entry| pages.contains(&entry.path)).collect();
        assert_eq!(made_up.len() as u64, outcome.derived.made_up);
        assert!(made_up.iter().all(|entry| entry.kind == FileKind::Dir && entry.mode == 0o700));
    }
}
