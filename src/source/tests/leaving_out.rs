//! What a walk leaves out.

use super::*;

/// Patterns, and what of the tree below is left by them.
#[test]
fn patterns_leave_out_what_they_say() {
    let tree = Tree::new(&[
        "src/a.o",
        "src/main.c",
        "src/target/debug/x",
        "src/Target.txt",
        "src/tmp/deep/er/cache/file",
        "src/é.o",
    ]);
    let all = [
        "src",
        "src/Target.txt",
        "src/a.o",
        "src/main.c",
        "src/target",
        "src/target/debug",
        "src/target/debug/x",
        "src/tmp",
        "src/tmp/deep",
        "src/tmp/deep/er",
        "src/tmp/deep/er/cache",
        "src/tmp/deep/er/cache/file",
        "src/é.o",
    ];
    let root = format!("/{}src", tree.prefix());
    let anchored = |rest: &str| format!("{root}{rest}");
    // Patterns, and how the names of what they leave out begin.
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &[]),
        (&["*.o"], &["src/a.o", "src/é.o"]),
        (&["target"], &["src/target"]),
        (&["target/debug"], &["src/target/debug"]),
        (&["src/*"], &["src/"]),
        (&["target/"], &["src/target"]),
        (&["main.c/"], &[]),
        (&["deep/**"], &["src/tmp/deep/"]),
        (&["tmp/**/cache"], &["src/tmp/deep/er/cache"]),
        (&["tmp/*/cache"], &[]),
        (&["**/er"], &["src/tmp/deep/er"]),
        (&["*.o", "!a.o"], &["src/é.o"]),
        (&["!a.o", "*.o"], &["src/a.o", "src/é.o"]),
        // What is in a folder that is left out cannot be taken back.
        (&["tmp", "!file"], &["src/tmp"]),
        (&["tmp/deep/*", "!er"], &[]),
        (&[&anchored("/a.o")], &["src/a.o"]),
        (&[&anchored("/*.o")], &["src/a.o", "src/é.o"]),
        (&[&anchored("/deep")], &[]),
        (&["/src/a.o"], &[]),
        (&["{a,main}.{o,c}"], &["src/a.o", "src/main.c"]),
        (&["[!a].o"], &[]),
        (&["é.o"], &["src/é.o"]),
        (&["??.o"], &["src/é.o"]),
        (&["[a-z].o"], &["src/a.o"]),
        (&["Target*"], &["src/Target.txt"]),
        (&["**"], &["src/"]),
    ];
    for (patterns, out) in cases {
        let exclude = patterns.iter().map(ToString::to_string).collect();
        let options = WalkOptions { exclude, ..Default::default() };
        let mut expected = all.to_vec();
        expected.retain(|path| {
            let below = |out: &&str| {
                path.strip_prefix(*out).is_some_and(|rest| {
                    (out.ends_with('/') && !rest.is_empty())
                        || rest.is_empty()
                        || rest.starts_with('/')
                })
            };
            !out.iter().any(below)
        });
        assert_eq!(tree.walk(&["src"], &options), expected, "{patterns:?}");
    }
    let options =
        WalkOptions { iexclude: vec!["TARGET*".into(), "É.O".into()], ..Default::default() };
    let left = tree.walk(&["src"], &options);
    assert!(!left.iter().any(|path| path.contains("arget") || path.contains('é')), "{left:?}");
    let options = WalkOptions {
        iexclude: vec!["TARGET".into(), "*.O".into()],
        exclude: vec!["!é.o".into()],
        ..Default::default()
    };
    let left = tree.walk(&["src"], &options);
    assert!(!left.contains(&"src/é.o".to_string()), "given after the others");
}

#[test]
fn names_that_are_not_text_are_left_out_too() {
    use std::ffi::OsStr;
    let tree = Tree::new(&["d/keep"]);
    fs::write(tree.path("d").join(OsStr::from_bytes(b"\xff\xfe.o")), b"").unwrap();
    for pattern in ["*.o", "/**/d/*.o", "d/??.o"] {
        let options = WalkOptions { exclude: vec![pattern.into()], ..Default::default() };
        assert_eq!(tree.walk(&["d"], &options), ["d", "d/keep"], "{pattern}");
    }
    let options = WalkOptions { iexclude: vec!["*.O".into()], ..Default::default() };
    assert_eq!(tree.walk(&["d"], &options), ["d", "d/keep"]);
}

/// What an in-place restore works with is no part of the tree, but a tree with it may be half
/// changed, which is said; a folder that only looks like it is taken.
#[test]
fn staging_folders_are_left_out_and_told_of() {
    let tree = Tree::new(&[
        "src/.larder-in-place-0123456789abcdef/new/a",
        "src/deep/.larder-in-place-00/journal",
        "src/.larder-in-place-notes/a",
        "src/.larder-in-place-12",
        "src/a",
    ]);
    let want = [
        "src",
        "src/.larder-in-place-0123456789abcdef!Staging",
        "src/.larder-in-place-12",
        "src/.larder-in-place-notes",
        "src/.larder-in-place-notes/a",
        "src/a",
        "src/deep",
        "src/deep/.larder-in-place-00!Staging",
    ];
    assert_eq!(tree.walk(&["src"], &WalkOptions::default()), want);
    // Somebody without a say over the folder made it: worth a remark only.
    let foreign = tree.path("src/deep/.larder-in-place-00");
    if std::os::unix::fs::chown(&foreign, Some(4321), None).is_err() {
        println!("skipped: only root gives folders away");
        return;
    }
    let walked = tree.walk(&["src"], &WalkOptions::default());
    assert_eq!(walked.last().expect("an entry"), "src/deep/.larder-in-place-00!ForeignStaging");
    std::os::unix::fs::chown(tree.path("src/deep"), Some(4321), None).unwrap();
    assert_eq!(tree.walk(&["src"], &WalkOptions::default()), want);
}

#[test]
fn wrong_patterns_are_named() {
    for pattern in ["a[", "{a", "", "!", "/", "./x", "a/../b", "x\\", "[z-a]"] {
        let options = WalkOptions { exclude: vec![pattern.into()], ..Default::default() };
        let source = SourcePath::new(Path::new("/usr/include")).unwrap();
        let error = Walk::start(&[source], &options, &Runtime::default()).err();
        let Some(Error::Usage { message, .. }) = error else { panic!("{pattern}: {error:?}") };
        assert!(message.starts_with(&format!("`{pattern}` is no pattern")), "{message}");
    }
    for marker in ["", "a/b", ":x", ".."] {
        let options = WalkOptions { exclude_if_present: vec![marker.into()], ..Default::default() };
        let source = SourcePath::new(Path::new("/usr/include")).unwrap();
        let error = Walk::start(&[source], &options, &Runtime::default()).err();
        assert!(matches!(error, Some(Error::Usage { .. })), "{marker}");
    }
}

#[test]
fn patterns_come_from_files() {
    let tree = Tree::new(&["d/a.o", "d/b.tmp", "d/C.TMP", "d/keep"]);
    tree.add("patterns", b"\xef\xbb\xbf# comment\r\n\r\n  *.o  \r\n");
    tree.add("ipatterns", b"*.tmp");
    let options = WalkOptions {
        exclude_file: vec![tree.path("patterns")],
        iexclude_file: vec![tree.path("ipatterns")],
        ..Default::default()
    };
    assert_eq!(tree.walk(&["d"], &options), ["d", "d/keep"]);
    let options = WalkOptions { exclude_file: vec![tree.path("none")], ..Default::default() };
    let source = SourcePath::new(&tree.path("d")).unwrap();
    let error = Walk::start(&[source], &options, &Runtime::default()).err();
    assert!(matches!(error, Some(Error::Local { action: "read", .. })));
}

/// What the user named is taken whatever the patterns say, and so is a source inside of what a
/// pattern leaves out of another source.
#[test]
fn sources_are_never_left_out() {
    let tree = Tree::new(&["home/.cache/junk", "home/.cache/keep/file", "home/doc"]);
    let options = WalkOptions { exclude: vec![".cache".into()], ..Default::default() };
    assert_eq!(
        tree.walk(&["home/.cache/keep"], &options),
        ["home", "home/.cache", "home/.cache/keep", "home/.cache/keep/file"]
    );
    assert_eq!(
        tree.walk(&["home", "home/.cache/keep"], &options),
        ["home", "home/.cache", "home/.cache/keep", "home/.cache/keep/file", "home/doc"]
    );
}

#[test]
fn marked_folders_keep_their_mark_only() {
    let tree = Tree::new(&["cache/junk", "other/file", "fake/file", "marked/sub/file", "x/file"]);
    tree.add("cache/CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55\n# more");
    tree.add("fake/CACHEDIR.TAG", b"Signature: something else");
    tree.add("marked/.nobackup", b"");
    tree.add("x/.mark", b"no backup please");
    tree.add("other/.mark", b"backup please");
    let options = WalkOptions { exclude_caches: true, ..Default::default() };
    assert_eq!(tree.walk(&["cache"], &options), ["cache", "cache/CACHEDIR.TAG"]);
    let exclude = vec!["*.TAG".into()];
    let without_tag = WalkOptions { exclude_caches: true, exclude, ..Default::default() };
    assert_eq!(tree.walk(&["cache"], &without_tag), ["cache"], "the tag counts nevertheless");
    assert_eq!(tree.walk(&["fake"], &options), ["fake", "fake/CACHEDIR.TAG", "fake/file"]);
    let options = WalkOptions {
        exclude_if_present: vec![".nobackup".into(), ".mark:no backup".into()],
        ..Default::default()
    };
    assert_eq!(
        tree.walk(&["marked", "other", "x"], &options),
        ["marked", "marked/.nobackup", "other", "other/.mark", "other/file", "x", "x/.mark"]
    );
}

#[test]
fn large_files_and_the_repository_are_left_out() {
    let tree = Tree::new(&["d/repo/data/pack", "d/small", "d/empty/"]);
    tree.add("d/large", &[0; 1001]);
    tree.add("d/just", &[0; 1000]);
    let options = WalkOptions { exclude_larger_than: Some(1000), ..Default::default() };
    let walked = tree.walk(&["d"], &options);
    assert!(walked.contains(&"d/just".into()) && !walked.contains(&"d/large".into()));
    let meta = tree.path("d/repo").metadata().unwrap();
    let exclude_ids = vec![FileId { dev: meta.dev(), inode: meta.ino() }];
    let options = WalkOptions { exclude_ids, ..Default::default() };
    assert_eq!(tree.walk(&["d"], &options), ["d", "d/empty", "d/just", "d/large", "d/small"]);
    assert_eq!(tree.walk(&["d/repo", "d/small"], &options), ["d", "d/repo!Entry", "d/small"]);
}

#[test]
fn git_ignore_files_count_when_asked_for() {
    let tree = Tree::new(&[
        "g/keep",
        "g/a.o",
        "g/sub/a.o",
        "g/sub/b.o",
        "g/build/x",
        "g/sub/build",
        "g/top",
        "g/sub/top",
    ]);
    tree.add("g/.gitignore", b"*.o\nbuild/\n/top\n# no\n");
    tree.add("g/sub/.gitignore", b"!b.o\n");
    let options = WalkOptions { git_ignore: true, ..Default::default() };
    assert_eq!(
        tree.walk(&["g"], &options),
        [
            "g",
            "g/.gitignore",
            "g/keep",
            "g/sub",
            "g/sub/.gitignore",
            "g/sub/b.o",
            "g/sub/build",
            "g/sub/top"
        ]
    );
    assert_eq!(tree.walk(&["g"], &WalkOptions::default()).len(), 13);
    tree.add("g/sub/.gitignore", b"{a\n!b.o\n");
    let walked = tree.walk(&["g"], &options);
    assert!(walked.contains(&"g/sub/.gitignore!Rules".into()));
    assert!(walked.contains(&"g/sub/b.o".into()), "the other lines count");
}

#[test]
fn nodump_flags_count_when_asked_for() {
    const NODUMP: u32 = 0x40;
    let tree = Tree::new(&["d/file", "d/no", "d/nodir/file"]);
    for (name, dir) in [("d/no", false), ("d/nodir", true)] {
        let file = fs::File::open(tree.path(name)).unwrap();
        let metadata = fsmeta::Metadata {
            kind: if dir { FileKind::Dir } else { FileKind::File },
            uid: None,
            gid: None,
            mode: 0o700,
            xattrs: None,
            mtime: fsmeta::Time::default(),
            atime: None,
            flags: Some(NODUMP),
        };
        if !fsmeta::apply(fsmeta::Target::open(&file), &metadata).is_empty() {
            println!("skipped: the file system of temporary files has no nodump flag");
            return;
        }
    }
    let options = WalkOptions { exclude_nodump: true, ..Default::default() };
    assert_eq!(tree.walk(&["d"], &options), ["d", "d/file"]);
}

#[test]
fn other_file_systems_are_left_out_when_asked_for() {
    let (dev, shm) = (Path::new("/dev"), Path::new("/dev/shm"));
    let id = |path: &Path| path.metadata().map(|meta| meta.dev()).ok();
    if id(shm).is_none() || id(dev) == id(shm) {
        println!("skipped: /dev/shm is no file system of its own");
        return;
    }
    let file = tempfile::Builder::new().prefix("larder-").tempfile_in(shm).unwrap();
    let inside = file.path().as_os_str().as_bytes()[1..].to_vec();
    let options = WalkOptions { one_file_system: true, ..Default::default() };
    let walked = |sources: &[PathBuf]| -> Vec<Vec<u8>> {
        start(sources, &options)
            .filter_map(|item| match item.unwrap() {
                Item::Entry(entry) => Some(entry.path),
                Item::Failed(_) => None,
            })
            .collect()
    };
    let paths = walked(&[dev.into()]);
    assert!(paths.contains(&b"dev/shm".to_vec()) && !paths.contains(&inside));
    let paths = walked(&[dev.into(), shm.into()]);
    assert!(paths.contains(&b"dev/null".to_vec()) && paths.contains(&inside), "named itself");
}
