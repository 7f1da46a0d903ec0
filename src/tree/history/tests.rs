use proptest::prelude::*;

use super::*;
use crate::format::log::SourceError;
use crate::model::FileKind;
use crate::tree::Manifest;
use crate::tree::testing::{Lab, dir, entry, inline, path, tree};

fn snapshots(lab: &Lab, states: &[Vec<Entry>]) -> Vec<Snapshot> {
    let manifests = states.iter().map(|entries| lab.manifest(entries));
    (0..).zip(manifests).map(|(number, manifest)| lab.snapshot(number, manifest)).collect()
}

fn run(lab: &Lab, snapshots: &[Snapshot], path: &[u8]) -> Result<PathHistory> {
    history(&lab.repository, snapshots, path, &CancelToken::default())
}

/// The versions as: first snapshot, how many, what changed.
fn shape(found: &PathHistory) -> Vec<(u8, u64, VersionChange)> {
    let versions = found.series.iter().flat_map(|series| &series.versions);
    versions.map(|v| (v.first.id.0[0], v.snapshots, v.change)).collect()
}

fn mode(mode: u32, entry: Entry) -> Entry {
    Entry { mode, ..entry }
}

#[test]
fn a_life_of_a_file() {
    let lab = Lab::new();
    let link = |target: &[u8]| Entry {
        content: crate::model::Content::Inline(target.to_vec()),
        ..entry(b"a", FileKind::Symlink)
    };
    let touched = Entry { ctime: crate::model::Time { secs: 9, nanos: 9 }, ..inline(b"a", b"two") };
    let states = [
        vec![inline(b"b", b"")],
        vec![inline(b"a", b"one"), inline(b"b", b"")],
        vec![inline(b"a", b"one"), inline(b"b", b"other")],
        vec![inline(b"a", b"two")],
        vec![touched],
        vec![mode(0o600, inline(b"a", b"two"))],
        vec![],
        vec![inline(b"b", b"")],
        vec![link(b"b")],
        vec![link(b"c")],
        vec![dir(b"a"), inline(b"a/b", b"")],
    ];
    let found = run(&lab, &snapshots(&lab, &states), b"a").expect("has a history");
    let none = Fields::default();
    let metadata = VersionChange::Metadata(Fields { mode: true, ..none });
    let want = [
        (1, 2, VersionChange::Appeared),
        (3, 2, VersionChange::Content(none)),
        (5, 1, metadata),
        (6, 2, VersionChange::Removed),
        (8, 1, VersionChange::Appeared),
        (9, 1, VersionChange::Content(none)),
        (10, 1, VersionChange::Kind),
    ];
    assert_eq!(shape(&found), want);
    let version = &found.series[0].versions[1];
    assert_eq!((version.first.time_ms, version.last.time_ms), (3, 4));
    assert_eq!(version.entry.as_ref().map(|entry| entry.size), Some(3));
}

#[test]
fn a_folder_changes_with_what_is_in_it() {
    let lab = Lab::new();
    let states = [
        vec![dir(b"d"), inline(b"d/a", b"1"), inline(b"d-", b"")],
        vec![dir(b"d"), inline(b"d/a", b"1"), inline(b"d-", b"beside it")],
        vec![dir(b"d"), dir(b"d/e"), inline(b"d/e/f", b""), inline(b"d/a", b"1")],
        vec![dir(b"d"), dir(b"d/e"), mode(0o600, inline(b"d/e/f", b"")), inline(b"d/a", b"1")],
        vec![mode(0o700, dir(b"d")), dir(b"d/e"), inline(b"d/e/f", b""), inline(b"d/a", b"2")],
    ];
    let states = states.map(|mut entries| {
        entries.sort_by(|a, b| crate::model::entry::compare_paths(&a.path, &b.path));
        entries
    });
    let found = run(&lab, &snapshots(&lab, &states), b"d").expect("has a history");
    let none = Fields::default();
    let want = [
        (0, 2, VersionChange::First),
        (2, 1, VersionChange::Content(none)),
        (3, 1, VersionChange::Metadata(none)),
        (4, 1, VersionChange::Content(Fields { mode: true, ..none })),
    ];
    assert_eq!(shape(&found), want);
    let inside = found.series[0].versions[1].inside.expect("is told");
    assert_eq!((inside.added.files, inside.added.dirs, inside.removed.files), (1, 1, 0));
}

#[test]
fn hard_links_have_the_content_of_their_group() {
    let lab = Lab::new();
    let state = |content: &[u8], inode| {
        let link = Entry {
            link_to: Some(b"a".to_vec()),
            size: content.len() as u64,
            inode,
            ..entry(b"b", FileKind::File)
        };
        vec![Entry { inode, ..inline(b"a", content) }, link]
    };
    let alone = vec![Entry { inode: 5, ..inline(b"b", b"two") }];
    let states = [state(b"one", 1), state(b"one", 2), state(b"two", 3), alone];
    let found = run(&lab, &snapshots(&lab, &states), b"b").expect("has a history");
    let none = Fields::default();
    let want = [
        (0, 2, VersionChange::First),
        (2, 1, VersionChange::Content(none)),
        (3, 1, VersionChange::Metadata(Fields { links: true, ..none })),
    ];
    assert_eq!(shape(&found), want);
}

/// Damage hides one snapshot, not the versions before and after it, and not other snapshots.
#[test]
fn snapshots_that_cannot_be_read_are_gaps() {
    let lab = Lab::new();
    let many = |content: &[u8]| {
        let paths = (0..40).map(|number| format!("f{number:02}").into_bytes());
        paths.map(|path| inline(&path, content)).collect::<Vec<_>>()
    };
    let good = lab.manifest(&many(b"one"));
    let other = lab.manifest(&many(b"two"));
    for lost in 0..4 {
        let bad = lab.store(|store| {
            store.lost_leaf = Some(lost);
            store.manifest(&many(b"lost"))
        });
        let all: Vec<Snapshot> = [good, bad, good, bad, other]
            .into_iter()
            .zip(0..)
            .map(|(manifest, number)| lab.snapshot(number, manifest))
            .collect();
        let hit: Vec<Vec<u8>> = (0..40)
            .map(|number| format!("f{number:02}").into_bytes())
            .filter(|path| bad.find(&lab.repository, path).is_err())
            .collect();
        assert!(!hit.is_empty());
        for path in &hit {
            let found = run(&lab, &all, path).expect("has a history");
            let gaps: Vec<u8> = found.series[0].gaps.iter().map(|g| g.snapshot.id.0[0]).collect();
            assert_eq!(gaps, [1, 3]);
            let want =
                [(0, 2, VersionChange::First), (4, 1, VersionChange::Content(Fields::default()))];
            assert_eq!(shape(&found), want);
        }
        let hidden = run(&lab, &all[1..2], &hit[0]).expect("nobody knows whether it is there");
        assert!(hidden.series[0].versions.is_empty() && hidden.series[0].has_damage());
    }
}

/// A folder whose first snapshot is damaged inside is told of all the same.
#[test]
fn damage_inside_of_a_folder_is_blamed_on_the_right_snapshot() {
    let lab = Lab::new();
    let many = |content: &[u8]| {
        let paths = (0..40).map(|number| format!("d/f{number:02}").into_bytes());
        let files = paths.map(|path| inline(&path, content));
        std::iter::once(dir(b"d")).chain(files).collect::<Vec<_>>()
    };
    let (one, two) = (lab.manifest(&many(b"one")), lab.manifest(&many(b"two")));
    let bad = lab.store(|store| {
        store.lost_leaf = Some(2);
        store.manifest(&many(b"lost"))
    });
    let all = |manifests: &[Manifest]| -> Vec<Snapshot> {
        (0..).zip(manifests).map(|(number, manifest)| lab.snapshot(number, *manifest)).collect()
    };
    let content = VersionChange::Content(Fields::default());
    let found = run(&lab, &all(&[one, bad, one, two]), b"d").expect("has a history");
    assert_eq!(shape(&found), [(0, 2, VersionChange::First), (3, 1, content)]);
    assert_eq!(found.series[0].gaps.len(), 1);
    let found = run(&lab, &all(&[bad, one, one]), b"d").expect("has a history");
    assert_eq!(shape(&found), [(0, 1, VersionChange::First), (1, 2, content)]);
}

#[test]
fn what_could_not_be_backed_up_was_not_removed() {
    let lab = Lab::new();
    let with = vec![dir(b"d"), inline(b"d/a", b"1")];
    let states = [with.clone(), vec![dir(b"d")], with];
    let mut all = snapshots(&lab, &states);
    all[1]
        .body
        .errors
        .push(SourceError { path: b"d/a"[..].into(), message: "permission denied".into() });
    let found = run(&lab, &all, b"d/a").expect("has a history");
    assert_eq!(shape(&found), [(0, 2, VersionChange::First)]);
    assert!(!found.series[0].has_damage());
    assert!(matches!(&found.series[0].gaps[0].reason,
        GapReason::NotBackedUp(why) if why == "permission denied"));
}

#[test]
fn series_have_histories_of_their_own() {
    let lab = Lab::new();
    let states = [vec![inline(b"a", b"1")], vec![inline(b"a", b"2")], vec![inline(b"a", b"1")]];
    let mut all = snapshots(&lab, &states);
    all[1].body.series = ObjectHash([7; 32]);
    let found = run(&lab, &all, b"a").expect("has a history");
    assert_eq!(shape(&found), [(0, 2, VersionChange::First), (1, 1, VersionChange::First)]);
    assert!(matches!(run(&lab, &all, b"b"), Err(Error::NotFound { what: "path", .. })));
    assert!(matches!(run(&lab, &all, b""), Err(Error::Usage { .. })));
    let cancelled = CancelToken::default();
    cancelled.cancel();
    let told = history(&lab.repository, &all, b"a", &cancelled);
    assert!(matches!(told, Err(Error::Cancelled { .. })));
}

/// The same as comparing the entry in each snapshot with that in the one before; and equal
/// snapshots cost nothing.
#[test]
fn histories_agree_with_looking_at_every_snapshot() {
    let lab = Lab::new();
    let config = ProptestConfig { cases: 64, ..ProptestConfig::default() };
    let states = prop::collection::vec(tree(), 1..6);
    proptest!(config, |(states in states, again in 1..4_usize, path in path())| {
        let states: Vec<Vec<Entry>> =
            states.iter().flat_map(|state| std::iter::repeat_n(state.clone(), again)).collect();
        let all = snapshots(&lab, &states);
        let paths = states.iter().flatten().map(|entry| &entry.path).chain([&path]);
        for path in paths.filter(|path| !path.is_empty()).take(12) {
            let at = |state: &Vec<Entry>| state.iter().find(|entry| entry.path == *path).cloned();
            if states.iter().all(|state| at(state).is_none()) {
                prop_assert!(run(&lab, &all, path).is_err());
                continue;
            }
            let within = |state: &Vec<Entry>| -> Vec<Entry> {
                let is_in = |e: &&Entry| crate::model::entry::is_within(&e.path, path);
                state.iter().filter(is_in).cloned().collect()
            };
            let mut want = Vec::new();
            for (number, state) in states.iter().enumerate() {
                let before = (number > 0).then(|| within(&states[number - 1]));
                let now = within(state);
                let was_there = before.as_ref().is_some_and(|before| !before.is_empty());
                if before.as_ref() != Some(&now) && (was_there || !now.is_empty()) {
                    want.push((number as u8, at(state)));
                }
            }
            let found = run(&lab, &all, path).expect("has a history");
            let versions = found.series[0].versions.iter();
            let got: Vec<_> =
                versions.map(|v| (v.first.id.0[0], v.entry.as_deref().cloned())).collect();
            prop_assert_eq!(got, want);
            let depth = all.iter().map(|s| u64::from(s.body.depth) + 1).sum::<u64>();
            prop_assert!(found.pages_read <= depth / again as u64);
        }
    });
}
