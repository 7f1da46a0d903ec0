use proptest::prelude::*;

use super::*;
use crate::tree::testing::{Lab, dir, inline, path, tree};

fn query(patterns: &[&str]) -> FindQuery {
    FindQuery {
        patterns: patterns.iter().map(ToString::to_string).collect(),
        ..FindQuery::default()
    }
}

fn found(lab: &Lab, manifest: &Manifest, query: FindQuery) -> Vec<Entry> {
    let mut finder = Finder::new(&lab.repository, query).expect("compiles");
    search(&mut finder, manifest)
}

fn search(finder: &mut Finder<'_>, manifest: &Manifest) -> Vec<Entry> {
    let mut entries = Vec::new();
    finder
        .search(manifest, &mut |entry| {
            entries.push(entry?.clone());
            Ok(())
        })
        .expect("searches");
    entries
}

#[test]
fn searches_agree_with_a_filter_over_all_entries() {
    let lab = Lab::new();
    let config = ProptestConfig { cases: 64, ..ProptestConfig::default() };
    proptest!(config, |(trees in prop::collection::vec(tree(), 1..4), folder in path(), at_root: bool, limits: [u64; 2])| {
        let folder = if at_root { Vec::new() } else { folder };
        let wanted = FindQuery {
            folder: folder.clone(),
            kinds: vec![FileKind::File, FileKind::Symlink],
            size_max: Some(limits[0] % 3),
            ..query(&["*a*", "/a/**", "0*/"])
        };
        let mut finder = Finder::new(&lab.repository, wanted).expect("compiles");
        // Each tree twice: what was kept must give the same.
        for all in trees.iter().chain(&trees) {
            let manifest = lab.manifest(all);
            let fits = |entry: &&Entry| {
                is_within(&entry.path, &folder)
                    && entry.kind == FileKind::File
                    && entry.size <= limits[0] % 3
                    && (entry.name().contains(&b'a') || entry.path.starts_with(b"a/"))
            };
            let want: Vec<_> = all.iter().filter(fits).cloned().collect();
            prop_assert_eq!(search(&mut finder, &manifest), want);
        }
    });
}

#[test]
fn patterns_fit_names_ends_of_paths_and_whole_paths() {
    let lab = Lab::new();
    let all = [
        dir(b"a"),
        inline(b"a/Report.ODT", b""),
        dir(b"a/docs"),
        inline(b"a/docs/report.odt", b""),
        dir(b"docs"),
        inline(b"docs/\xc3\x84rger", b""),
        inline(b"docs/\xff\xfe", b""),
    ];
    let manifest = lab.manifest(&all);
    let paths = |query: FindQuery| -> Vec<usize> {
        let found = found(&lab, &manifest, query);
        found.iter().map(|e| all.iter().position(|a| a == e).expect("one of them")).collect()
    };
    assert_eq!(paths(query(&["report.odt"])), [3]);
    assert_eq!(paths(FindQuery { ignore_case: true, ..query(&["REPORT.*"]) }), [1, 3]);
    assert_eq!(paths(query(&["docs/*"])), [3, 5, 6]);
    assert_eq!(paths(query(&["/docs/*"])), [5, 6]);
    assert_eq!(paths(query(&["docs/"])), [2, 4]);
    assert_eq!(paths(query(&["/docs"])), [4]);
    assert_eq!(paths(query(&["??"])), [6]);
    assert_eq!(paths(FindQuery { ignore_case: true, ..query(&["ärger"]) }), [5]);
    assert_eq!(paths(query(&[])).len(), 7);
    let mtime = all[0].mtime;
    let later = Time { secs: mtime.secs + 1, ..mtime };
    assert_eq!(paths(FindQuery { mtime_min: Some(mtime), ..query(&[]) }).len(), 7);
    assert!(paths(FindQuery { mtime_min: Some(later), ..query(&[]) }).is_empty());
    assert!(paths(FindQuery { mtime_max: Some(Time::default()), ..query(&[]) }).is_empty());
    for wrong in ["", "/", "a[", "{a"] {
        let error = Finder::new(&lab.repository, query(&[wrong])).err().expect("no pattern");
        assert!(matches!(error, Error::Usage { .. }), "{wrong}");
    }
}

#[test]
fn a_lost_page_is_told_for_every_snapshot_and_the_rest_found() {
    let lab = Lab::new();
    let all: Vec<Entry> = (0..60).map(|n| inline(format!("f{n:02}").as_bytes(), b"")).collect();
    let manifest = lab.store(|store| {
        store.lost_leaf = Some(1);
        store.manifest(&all)
    });
    let mut finder = Finder::new(&lab.repository, query(&["f*"])).expect("compiles");
    for _ in 0..2 {
        let (mut good, mut bad) = (0, 0);
        finder
            .search(&manifest, &mut |entry| {
                match entry {
                    Ok(_) => good += 1,
                    Err(error) => {
                        assert!(error.is_damage());
                        bad += 1;
                    }
                }
                Ok(())
            })
            .expect("goes on");
        assert_eq!(bad, 1);
        assert!((40..60).contains(&good));
    }
}

#[test]
fn pages_that_snapshots_share_are_read_once() {
    let lab = Lab::new();
    let mut all: Vec<Entry> =
        (0..400).map(|n| inline(format!("f{n:03}").as_bytes(), b"")).collect();
    let first = lab.manifest(&all);
    all[200].mode = 0;
    let second = lab.manifest(&all);
    let mut finder = Finder::new(&lab.repository, query(&["f2*"])).expect("compiles");
    assert_eq!(search(&mut finder, &first).len(), 100);
    let read = finder.pages_read();
    assert!(read > 60);
    assert_eq!(search(&mut finder, &first).len(), 100);
    assert_eq!(finder.pages_read(), read);
    assert_eq!(search(&mut finder, &second).len(), 100);
    assert!(finder.pages_read() - read <= u64::from(second.depth()) + 1);
}

#[test]
fn only_the_pages_of_the_folder_are_read() {
    let lab = Lab::new();
    let mut all = Vec::new();
    for folder in 0..30 {
        all.push(dir(format!("d{folder:02}").as_bytes()));
        all.extend((0..30).map(|n| inline(format!("d{folder:02}/f{n:02}").as_bytes(), b"")));
    }
    let manifest = lab.manifest(&all);
    let wanted = FindQuery { folder: b"d17".to_vec(), ..query(&["f0*"]) };
    let mut finder = Finder::new(&lab.repository, wanted).expect("compiles");
    assert_eq!(search(&mut finder, &manifest).len(), 10);
    assert!(finder.pages_read() < 40, "{}", finder.pages_read());
}
