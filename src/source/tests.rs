//! The walker against a naive one, on made-up and on real trees.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::*;
use crate::fsmeta::FileKind;
use crate::runtime::Runtime;

fn walk(sources: &[&Path], options: &WalkOptions) -> Vec<Item> {
    let sources: Vec<_> = sources.iter().map(|path| SourcePath::new(path).unwrap()).collect();
    let walk = Walk::start(&sources, options, &Runtime::default()).unwrap();
    walk.map(|item| item.unwrap()).collect()
}

fn entries(items: Vec<Item>) -> Vec<WalkEntry> {
    let entry = |item| match item {
        Item::Entry(entry) => entry,
        Item::Failed(failure) => panic!("{failure:?}"),
    };
    items.into_iter().map(entry).collect()
}

/// Every path below and including `root`, with its inode and kind.
fn naive(root: &Path, found: &mut BTreeMap<Vec<u8>, (u64, bool)>) {
    use std::os::unix::fs::MetadataExt;
    let meta = root.symlink_metadata().unwrap();
    let path = root.as_os_str().as_bytes()[1..].to_vec();
    found.insert(path, (meta.ino(), meta.is_dir()));
    if meta.is_dir() {
        for entry in fs::read_dir(root).unwrap() {
            naive(&entry.unwrap().path(), found);
        }
    }
}

#[test]
fn walking_a_real_tree_finds_what_a_naive_walk_finds() {
    let root = Path::new("/usr/include");
    let mut expected = BTreeMap::new();
    naive(root, &mut expected);
    for threads in [0, 1, 4] {
        let options = WalkOptions { threads: Some(threads), ..Default::default() };
        let walked = entries(walk(&[root], &options));
        assert!(walked.is_sorted_by(|a, b| compare_paths(&a.path, &b.path).is_lt()));
        let (above, below): (Vec<_>, Vec<_>) =
            walked.into_iter().partition(|entry| entry.path.len() < "usr/include".len());
        assert_eq!(above.iter().map(|e| &e.path[..]).collect::<Vec<_>>(), [&b""[..], b"usr"]);
        let below: BTreeMap<_, _> = below
            .into_iter()
            .map(|e| (e.path, (e.stat.inode, e.stat.kind == FileKind::Dir)))
            .collect();
        assert!(below == expected, "{threads} threads");
    }
}
