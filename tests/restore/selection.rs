//! Parts of snapshots.

use std::fs;

use larder::error::Error;
use larder::restore::{RestoreOptions, restore};

use crate::support::Lab;

fn lab() -> (Lab, larder::repository::Snapshot) {
    let lab = Lab::new();
    for path in ["docs/a.txt", "docs/b.md", "docs/old/c.txt", "src/main.rs", "src/D.TXT", "top.txt"]
    {
        lab.write(path, path);
    }
    let snapshot = lab.backup();
    (lab, snapshot)
}

fn files(lab: &Lab) -> Vec<String> {
    let all = crate::support::describe(&lab.out(""));
    let files = all.iter().filter(|(_, text)| text.starts_with("File"));
    files.map(|(path, _)| String::from_utf8(path.clone()).expect("is text")).collect()
}

#[test]
fn patterns_choose() {
    let strings = |list: &[&str]| list.iter().map(|text| (*text).to_string()).collect::<Vec<_>>();
    type Case<'c> = (&'c [&'c str], &'c [&'c str], &'c [&'c str], &'c [&'c str]);
    let cases: [Case<'_>; 6] = [
        (&["*.txt"], &[], &[], &["docs/a.txt", "docs/old/c.txt", "top.txt"]),
        (&[], &["*.txt"], &[], &["docs/a.txt", "docs/old/c.txt", "src/D.TXT", "top.txt"]),
        (&["docs"], &[], &["old/"], &["docs/a.txt", "docs/b.md"]),
        (&[], &[], &["docs", "*.rs"], &["src/D.TXT", "top.txt"]),
        (&["src/main.rs"], &[], &[], &["src/main.rs"]),
        (
            &[],
            &[],
            &["*.txt", "!c.txt"],
            &["docs/b.md", "docs/old/c.txt", "src/D.TXT", "src/main.rs"],
        ),
    ];
    let (lab, snapshot) = lab();
    for (include, iinclude, exclude, want) in cases {
        let options = RestoreOptions {
            include: strings(include),
            iinclude: strings(iinclude),
            exclude: strings(exclude),
            verify: true,
            ..lab.options()
        };
        lab.restore_well(&snapshot, &options);
        assert_eq!(files(&lab), want, "{include:?} {iinclude:?} {exclude:?}");
        fs::remove_dir_all(lab.out("")).expect("removes");
    }
}

/// Folders that nothing is asked for in are not made.
#[test]
fn only_needed_folders_are_made() {
    let (lab, snapshot) = lab();
    let options = RestoreOptions { include: vec!["*.rs".into()], ..lab.options() };
    lab.restore_well(&snapshot, &options);
    assert!(lab.out("src").is_dir() && !lab.out("docs").exists());
    let stat = |path: std::path::PathBuf| fs::metadata(path).expect("is there").modified().ok();
    assert_eq!(stat(lab.src("src")), stat(lab.out("src")), "with their times");
}

#[test]
fn hard_links_find_their_content_outside_the_selection() {
    let lab = Lab::new();
    lab.write("a/first", vec![7; 100_000]);
    fs::create_dir(lab.src("b")).expect("makes");
    for name in ["b/second", "b/third"] {
        fs::hard_link(lab.src("a/first"), lab.src(name)).expect("links");
    }
    let snapshot = lab.backup();
    let options = RestoreOptions { exclude: vec!["first".into()], verify: true, ..lab.options() };
    lab.restore_well(&snapshot, &options);
    let meta =
        |path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(lab.out(path)).expect("is there"));
    assert_eq!(fs::read(lab.out("b/third")).expect("reads"), vec![7; 100_000]);
    assert_eq!(meta("b/second"), meta("b/third"));
    let mut inner = lab.options();
    inner.subtree.as_mut().expect("has one").extend_from_slice(b"/b");
    inner.target = lab.out("inner");
    lab.restore_well(&snapshot, &inner);
    assert_eq!(meta("inner/second"), meta("inner/third"));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_written() {
    let (lab, snapshot) = lab();
    let try_it = |options: RestoreOptions| {
        restore(&lab.repository, &snapshot, &options, &lab.runtime).expect_err("refuses")
    };
    let bad = try_it(RestoreOptions { include: vec!["[".into()], ..lab.options() });
    assert!(matches!(bad, Error::Usage { .. }), "{bad}");
    let bad = try_it(RestoreOptions { subtree: Some(b"a/../b".to_vec()), ..lab.options() });
    assert!(matches!(bad, Error::Usage { .. }), "{bad}");
    let bad = try_it(RestoreOptions { subtree: Some(b"no/such".to_vec()), ..lab.options() });
    assert!(matches!(bad, Error::PathMissing { .. }), "{bad}");
    assert!(!lab.out("").exists());
    fs::write(lab.src("../file"), b"x").expect("writes");
    let bad = try_it(RestoreOptions { target: lab.src("../file"), ..lab.options() });
    assert!(matches!(bad, Error::Usage { .. }), "{bad}");
}
