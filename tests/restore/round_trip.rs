//! Backup and restore give the same tree.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use larder::fsmeta;

use crate::support::{Lab, noise};

/// A tree with something of everything.
fn furnish(lab: &Lab) {
    lab.write("empty", b"");
    lab.write("short", b"a few bytes");
    lab.write("a/file", noise(5_000, 1));
    lab.write("a/twin", noise(5_000, 1));
    lab.write("a.b", b"between");
    lab.write("a-b/c/d", noise(100_000, 2));
    lab.write("large", noise(6 << 20, 3));
    lab.write("odd/\u{e9}\u{1f980} name\n", b"x");
    fs::create_dir_all(lab.src("no/files/here")).expect("makes");
    symlink("../nowhere", lab.src("a/link")).expect("links");
    fs::hard_link(lab.src("a/file"), lab.src("z-linked")).expect("links");
    fs::hard_link(lab.src("a/file"), lab.src("a-b/linked")).expect("links");
    fs::set_permissions(lab.src("short"), fs::Permissions::from_mode(0o4751)).expect("sets");
    fs::set_permissions(lab.src("no/files"), fs::Permissions::from_mode(0o1555)).expect("sets");
    let sparse = File::create(lab.src("sparse")).expect("creates");
    sparse.write_all_at(b"begin", 0).expect("writes");
    sparse.write_all_at(b"middle", 10 << 20).expect("writes");
    sparse.set_len(50 << 20).expect("grows");
    lab.write("zeros", vec![0; 3 << 20]);
    let fifo = lab.src("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("runs").success());
    let old = File::open(lab.src("a.b")).expect("opens");
    let before_1970 = std::time::SystemTime::UNIX_EPOCH - std::time::Duration::from_nanos(1_500);
    old.set_modified(before_1970).expect("sets");
}

#[test]
fn a_tree_comes_back_to_the_last_attribute() {
    let lab = Lab::new();
    furnish(&lab);
    let snapshot = lab.backup();
    let report = lab.restore_well(&snapshot, &lab.options());
    lab.assert_identical();
    assert_eq!((report.replaced, report.unchanged, report.skipped), (0, 0, 0));
    assert_eq!(report.bytes, snapshot.body.bytes);
    let sparse = fs::metadata(lab.out("sparse")).expect("is there");
    assert!(sparse.blocks() * 512 < 1 << 20, "holes are holes: {}", sparse.blocks());
    let zeros = fs::metadata(lab.out("zeros")).expect("is there");
    assert!(zeros.blocks() * 512 >= 3 << 20, "what was no hole is none: {}", zeros.blocks());
}

#[test]
fn a_second_restore_changes_nothing() {
    let lab = Lab::new();
    furnish(&lab);
    let snapshot = lab.backup();
    lab.restore_well(&snapshot, &lab.options());
    let ctime = |path: &str| {
        let meta = fs::symlink_metadata(lab.out(path)).expect("is there");
        (meta.ctime(), meta.ctime_nsec(), meta.ino())
    };
    let paths = ["short", "a/file", "large", "sparse", "a/link", "fifo", "z-linked", "no/files"];
    let before: Vec<_> = paths.iter().map(|path| ctime(path)).collect();
    let report = lab.restore_well(&snapshot, &lab.options());
    assert_eq!((report.created, report.replaced, report.deleted), (0, 0, 0), "{report:?}");
    assert_eq!(report.bytes_written, 0);
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(ctime(path), before, "{path}");
    }
    lab.assert_identical();
}

#[test]
fn verification_passes_for_what_was_restored() {
    let lab = Lab::new();
    furnish(&lab);
    let snapshot = lab.backup();
    let options = larder::restore::RestoreOptions { verify: true, ..lab.options() };
    let report = lab.restore_well(&snapshot, &options);
    assert_eq!(report.verified + 1, snapshot_entries(&snapshot, &lab));
}

/// Entries from the source down.
fn snapshot_entries(snapshot: &larder::repository::Snapshot, lab: &Lab) -> u64 {
    let above = lab.src("").components().count() as u64 - 1;
    snapshot.body.entries - above
}

#[test]
fn whole_paths_are_made_again_without_a_subtree() {
    let lab = Lab::new();
    lab.write("a/b", b"content");
    let snapshot = lab.backup();
    let options = larder::restore::RestoreOptions { subtree: None, ..lab.options() };
    lab.restore_well(&snapshot, &options);
    let inside = lab.out("").join(lab.src("a/b").strip_prefix("/").expect("is absolute"));
    assert_eq!(fs::read(inside).expect("reads"), b"content");
}

#[test]
fn a_single_file_goes_into_the_target() {
    let lab = Lab::new();
    lab.write("a/b", b"content");
    lab.write("a/c", b"other");
    let snapshot = lab.backup();
    let mut options = lab.options();
    options.subtree.as_mut().expect("has one").extend_from_slice(b"/a/b");
    lab.restore_well(&snapshot, &options);
    assert_eq!(fs::read(lab.out("b")).expect("reads"), b"content");
    assert!(!lab.out("c").exists());
}

#[test]
fn a_tib_with_three_bytes_takes_a_moment() {
    const TIB: u64 = 1 << 40;
    let lab = Lab::new();
    let file = File::create(lab.src("huge")).expect("creates");
    for at in [0, TIB / 2, TIB - 1] {
        file.write_all_at(b"!", at).expect("writes");
    }
    let snapshot = lab.backup();
    for _ in 0..2 {
        let options = larder::restore::RestoreOptions { verify: true, ..lab.options() };
        lab.restore_well(&snapshot, &options);
        let out = File::open(lab.out("huge")).expect("opens");
        let mut byte = [0];
        out.read_exact_at(&mut byte, TIB / 2).expect("reads");
        assert_eq!(&byte, b"!");
        let meta = out.metadata().expect("describes");
        assert!(meta.len() == TIB && meta.blocks() < 4096);
    }
}

/// Paths that no single call takes.
#[test]
fn very_long_paths_come_back() {
    let lab = Lab::new();
    let name = vec![b'n'; 250];
    let mut dir: std::os::fd::OwnedFd = File::open(lab.src("")).expect("opens").into();
    for _ in 0..40 {
        fsmeta::create_dir_at(&dir, &name).expect("makes");
        dir = fsmeta::open_dir_at(&dir, &name, fsmeta::OpenDir::Path).expect("opens");
    }
    let file = fsmeta::create_file_at(&dir, b"\xff\xfe").expect("creates");
    file.write_all_at(b"deep", 0).expect("writes");
    let snapshot = lab.backup();
    lab.restore_well(&snapshot, &lab.options());
    lab.assert_identical();
}
