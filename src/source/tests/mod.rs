//! The walker against a naive one, on made-up and on real trees.

mod leaving_out;

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::error::Error;
use crate::fsmeta::{self, FileKind};
use crate::model::entry::compare_paths;
use crate::runtime::Runtime;

fn start(sources: &[PathBuf], options: &WalkOptions) -> Walk {
    let sources: Vec<_> = sources.iter().map(|path| SourcePath::new(path).unwrap()).collect();
    Walk::start(&sources, options, &Runtime::default()).unwrap()
}

fn entries(items: impl IntoIterator<Item = crate::error::Result<Item>>) -> Vec<WalkEntry> {
    let entry = |item: crate::error::Result<Item>| match item.unwrap() {
        Item::Entry(entry) => entry,
        Item::Failed(failure) => panic!("{failure:?}"),
    };
    items.into_iter().map(entry).collect()
}

/// Every path below and including `root`, with its inode and kind.
fn naive(root: &Path, found: &mut BTreeMap<Vec<u8>, (u64, bool)>) {
    let meta = root.symlink_metadata().unwrap();
    let path = root.as_os_str().as_bytes()[1..].to_vec();
    found.insert(path, (meta.ino(), meta.is_dir()));
    if meta.is_dir() {
        for entry in fs::read_dir(root).unwrap() {
            naive(&entry.unwrap().path(), found);
        }
    }
}

fn check_against_naive(root: &Path, options: &WalkOptions) {
    let mut expected = BTreeMap::new();
    naive(root, &mut expected);
    for above in root.ancestors().skip(1) {
        let meta = above.symlink_metadata().unwrap();
        let path = above.as_os_str().as_bytes()[1..].to_vec();
        expected.insert(path, (meta.ino(), meta.is_dir()));
    }
    let walked = entries(start(&[root.to_path_buf()], options));
    assert!(walked.is_sorted_by(|a, b| compare_paths(&a.path, &b.path).is_lt()));
    let walked: BTreeMap<_, _> = walked
        .into_iter()
        .map(|entry| (entry.path, (entry.stat.inode, entry.stat.kind == FileKind::Dir)))
        .collect();
    assert!(walked == expected, "with {options:?}");
}

fn threads(threads: usize) -> WalkOptions {
    WalkOptions { threads: Some(threads), ..Default::default() }
}

#[test]
fn walking_a_real_tree_finds_what_a_naive_walk_finds() {
    for count in [0, 1, 4] {
        check_against_naive(Path::new("/usr/include"), &threads(count));
    }
}

/// A tree in a temporary folder; paths that end in `/` are folders.
struct Tree(TempDir);

impl Tree {
    fn new(paths: &[&str]) -> Self {
        let tree = Self(TempDir::with_prefix("larder-walk-").unwrap());
        for path in paths {
            tree.add(path, path.as_bytes());
        }
        tree
    }

    fn add(&self, path: &str, content: &[u8]) {
        let full = self.path(path);
        if path.ends_with('/') {
            fs::create_dir_all(full).unwrap();
        } else {
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, content).unwrap();
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(path)
    }

    fn prefix(&self) -> String {
        format!("{}/", self.path("").to_str().unwrap().trim_matches('/'))
    }

    /// What a walk of these sources in it finds below the temporary folder, failures with a `!`.
    fn walk(&self, sources: &[&str], options: &WalkOptions) -> Vec<String> {
        let sources: Vec<_> = sources.iter().map(|source| self.path(source)).collect();
        let shown = |item| match item {
            Item::Entry(entry) => String::from_utf8(entry.path).unwrap(),
            Item::Failed(failure) => {
                format!("{}!{:?}", String::from_utf8(failure.path).unwrap(), failure.kind)
            }
        };
        let prefix = self.prefix();
        start(&sources, options)
            .map(|item| shown(item.unwrap()))
            .filter_map(|path| path.strip_prefix(&prefix).map(String::from))
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn walking_a_random_tree_finds_what_a_naive_walk_finds(
        paths in proptest::collection::vec("([a-c\u{1}.é-]{1,3}/){0,5}[a-c.é-]{0,3}x", 0..60),
        threads in 0..4_usize,
        look_ahead in 1..20_usize,
    ) {
        let tree = Tree::new(&["top/"]);
        for path in paths {
            let full = tree.path("top").join(&path);
            if path.split('/').any(|name| name == "." || name == "..") {
                continue;
            }
            // What is in the way stays.
            let _ = fs::create_dir_all(full.parent().unwrap());
            let _ = fs::write(full, b"");
        }
        let look_ahead = NonZeroUsize::new(look_ahead);
        let options = WalkOptions { threads: Some(threads), look_ahead, ..Default::default() };
        check_against_naive(&tree.path("top"), &options);
    }
}

#[test]
fn large_directories_come_in_order_too() {
    let tree = Tree::new(&[]);
    for number in 0..2100 {
        tree.add(&format!("d/{number}"), b"");
    }
    tree.add("d/1000.d/x", b"");
    for count in [0, 3] {
        check_against_naive(&tree.path("d"), &threads(count));
    }
}

/// A chain of folders, more levels than descriptors may be open, and a path of 10,000 bytes.
fn deep_chain(levels: usize) -> TempDir {
    let temp = TempDir::with_prefix("larder-deep-").unwrap();
    let name = temp.path().as_os_str().as_bytes();
    let mut at = fsmeta::open_dir_path_at(rustix::fs::CWD, name).unwrap();
    for _ in 0..levels {
        fsmeta::create_dir_at(&at, b"d").unwrap();
        fsmeta::create_file_at(&at, b"file").unwrap();
        at = fsmeta::open_dir_at(&at, b"d", fsmeta::OpenDir::Path).unwrap();
    }
    temp
}

#[test]
fn the_depth_of_a_tree_has_no_limit() {
    const LEVELS: usize = 5000;
    let temp = deep_chain(LEVELS);
    for count in [0, 2] {
        let mut files = 0;
        let mut longest = 0;
        for entry in entries(start(&[temp.path().to_path_buf()], &threads(count))) {
            longest = longest.max(entry.path.len());
            if entry.stat.kind == FileKind::File {
                assert_eq!(entry.stat_again().unwrap().inode, entry.stat.inode);
                entry.open().unwrap();
                files += 1;
            }
        }
        assert_eq!(files, LEVELS);
        assert!(longest >= 2 * LEVELS);
    }
    // Dropping one in the middle is no problem either.
    let mut walk = start(&[temp.path().to_path_buf()], &threads(2));
    let some: Vec<_> = walk.by_ref().take(100).collect();
    drop(walk);
    drop(some);
}

#[test]
fn sources_are_joined_and_their_parents_come_along() {
    let tree = Tree::new(&["a/b/c/file", "a/b/other", "a-b/file", "x"]);
    let none = WalkOptions::default();
    assert_eq!(tree.walk(&["a/b/c"], &none), ["a", "a/b", "a/b/c", "a/b/c/file"]);
    assert_eq!(
        tree.walk(&["x", "a/b", "a-b/../a/b/c/file", "a-b/"], &none),
        ["a", "a/b", "a/b/c", "a/b/c/file", "a/b/other", "a-b", "a-b/file", "x"]
    );
}

#[test]
fn a_link_is_taken_as_a_link_unless_it_ends_in_a_slash() {
    let tree = Tree::new(&["real/dir/file"]);
    symlink("real", tree.path("link")).unwrap();
    let none = WalkOptions::default();
    assert_eq!(tree.walk(&["link"], &none), ["link"]);
    assert_eq!(tree.walk(&["link/"], &none), ["link", "link/dir", "link/dir/file"]);
    // On the way to a source it is followed.
    assert_eq!(tree.walk(&["link/dir"], &none), ["link", "link/dir", "link/dir/file"]);
    let followed = entries(start(&[tree.path("link/dir")], &none));
    assert!(followed.iter().all(|entry| entry.stat.kind != FileKind::Symlink));
    assert!(followed.last().unwrap().open().is_ok());
    // It cannot be a link and a folder at once.
    assert_eq!(tree.walk(&["link", "link/dir"], &none), ["link", "link/dir!SourceMissing"]);
}

#[test]
fn missing_sources_are_told() {
    let tree = Tree::new(&["there", "file"]);
    let none = WalkOptions::default();
    assert_eq!(
        tree.walk(&["there", "gone/x", "gone/y", "file/z"], &none),
        ["file", "file/z!SourceMissing", "gone/x!SourceMissing", "gone/y!SourceMissing", "there"]
    );
    let gone = SourcePath::new(&tree.path("gone")).unwrap();
    let result = Walk::start(&[gone], &none, &Runtime::default());
    assert!(matches!(result, Err(Error::SourcesMissing { paths }) if paths.len() == 1));
}

#[test]
fn a_source_may_be_given_from_the_current_folder() {
    let base = Path::new("/base/dir");
    let source = |path: &str| {
        let source = SourcePath::relative_to(Path::new(path), base).unwrap();
        (source.to_path().to_str().unwrap().to_owned(), source.follows_link())
    };
    assert_eq!(source("x"), ("/base/dir/x".into(), false));
    assert_eq!(source("./x//y/"), ("/base/dir/x/y".into(), true));
    assert_eq!(source("../../../x"), ("/x".into(), false));
    assert_eq!(source("/a/../b"), ("/b".into(), false));
    assert_eq!(source("."), ("/base/dir".into(), true));
    assert_eq!(source("/"), ("/".into(), true));
    assert!(SourcePath::relative_to(Path::new(""), base).is_err());
}

#[test]
fn what_vanishes_while_we_look_is_told_as_vanished() {
    let tree = Tree::new(&["a/inside"]);
    for number in 0..600 {
        tree.add(&format!("b/{number:04}"), b"");
    }
    let mut walk = start(&[tree.path("")], &threads(0));
    let mut kinds = Vec::new();
    while let Some(item) = walk.next_item().unwrap() {
        match item {
            Item::Failed(failure) => kinds.push(failure.kind),
            Item::Entry(entry) if entry.path.ends_with(b"/a") => {
                fs::remove_dir_all(tree.path("a")).unwrap();
            }
            // By now the names of all are known.
            Item::Entry(entry) if entry.path.ends_with(b"/0000") => {
                fs::remove_file(tree.path("b/0599")).unwrap();
            }
            Item::Entry(_) => {}
        }
    }
    assert_eq!(kinds, [FailureKind::Vanished, FailureKind::Vanished]);
}

/// A folder that is swapped for a link after we looked at it is not followed.
#[test]
fn a_folder_that_becomes_a_link_is_not_entered() {
    let tree = Tree::new(&["a/inside", "secret/file"]);
    let mut walk = start(&[tree.path("a")], &threads(0));
    let mut seen = Vec::new();
    while let Some(item) = walk.next_item().unwrap() {
        match item {
            Item::Entry(entry) if entry.path.ends_with(b"/a") => {
                fs::remove_dir_all(tree.path("a")).unwrap();
                symlink("secret", tree.path("a")).unwrap();
            }
            Item::Entry(entry) => seen.push(entry.path),
            Item::Failed(failure) => assert_eq!(failure.kind, FailureKind::Content),
        }
    }
    assert!(!seen.iter().any(|path| path.ends_with(b"file")));
}

#[test]
fn an_unreadable_directory_costs_its_content_only() {
    if rustix::process::geteuid().is_root() {
        println!("skipped as root: nothing is unreadable");
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let tree = Tree::new(&["closed/x", "open/x"]);
    fs::set_permissions(tree.path("closed"), fs::Permissions::from_mode(0o0)).unwrap();
    let walked = tree.walk(&["closed", "open"], &WalkOptions::default());
    fs::set_permissions(tree.path("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(walked, ["closed", "closed!Content", "open", "open/x"]);
}

#[test]
fn a_cancelled_walk_is_not_taken_for_a_finished_one() {
    let runtime = Runtime::default();
    let source = SourcePath::new(Path::new("/usr/include")).unwrap();
    let mut walk = Walk::start(&[source], &WalkOptions::default(), &runtime).unwrap();
    assert!(walk.next_item().is_ok());
    runtime.cancel.cancel();
    assert!(matches!(walk.next_item(), Err(Error::Cancelled { .. })));
}

#[test]
fn lists_of_sources_are_read() {
    let tree = Tree::new(&["a.c", "b.c", ".c", "d/x.c", "e/x.c", "odd name"]);
    let base = tree.path("");
    let read = |list: &[u8], kind| -> Vec<String> {
        read_source_list(list, kind, &base)
            .unwrap()
            .into_iter()
            .map(|source| {
                let path = source.to_path();
                path.strip_prefix(&base).unwrap_or(&path).to_str().unwrap().to_owned()
            })
            .collect()
    };
    let patterns = b"# list\n*.c\n\n  [de]/x.c \r\nodd name\nnone*\n/abs/olute\n";
    assert_eq!(
        read(patterns, SourceListKind::Patterns),
        ["a.c", "b.c", "d/x.c", "e/x.c", "odd name", "none*", "/abs/olute"]
    );
    assert_eq!(read(b"*.c\n# x\n\n y ", SourceListKind::Verbatim), ["*.c", "# x", " y "]);
    assert_eq!(read(b"a\nb\0c\0", SourceListKind::Raw), ["a\nb", "c"]);
    let error = read_source_list(b"a[*", SourceListKind::Patterns, &base).unwrap_err();
    assert!(error.to_string().contains("`a[*`"), "{error}");
}

#[test]
fn entries_lead_to_what_they_are() {
    let tree = Tree::new(&["d/file"]);
    symlink("nowhere", tree.path("d/link")).unwrap();
    rustix::fs::setxattr(tree.path("d/file"), "user.a", b"1", rustix::fs::XattrFlags::empty())
        .unwrap();
    for entry in entries(start(&[tree.path("d")], &WalkOptions::default())) {
        match entry.name() {
            b"file" => {
                let content = std::io::read_to_string(entry.open().unwrap()).unwrap();
                assert_eq!(content, "d/file");
                assert_eq!(entry.xattrs().unwrap().list[0].name, b"user.a");
                assert_eq!(entry.flags().unwrap(), 0);
            }
            b"link" => {
                assert_eq!(entry.read_link().unwrap(), b"nowhere");
                assert!(entry.open().is_err());
                assert!(entry.xattrs().unwrap().list.is_empty());
            }
            _ => {
                assert_eq!(entry.stat.kind, FileKind::Dir);
                assert!(entry.xattrs().is_ok() && entry.flags().is_ok());
                assert_eq!(entry.stat_again().unwrap().inode, entry.stat.inode);
            }
        }
    }
}
