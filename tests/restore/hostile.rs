//! Manifests made to harm: nothing outside the target is touched, nothing panics.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use larder::model::entry::compare_paths;
use larder::model::{ChunkId, Content, Entry, FileKind, Piece, Xattr, XattrsRef};
use larder::restore::RestoreOptions;
use proptest::prelude::*;

use crate::support::{Lab, describe, entry, inline};

fn symlink(path: &str, target: &str) -> Entry {
    Entry { content: Content::Inline(target.into()), ..entry(path, FileKind::Symlink) }
}

fn link(path: &str, to: &str) -> Entry {
    Entry { link_to: Some(to.into()), nlink: 2, ..entry(path, FileKind::File) }
}

#[test]
fn nothing_is_written_through_a_link_of_the_same_manifest() {
    let lab = Lab::new();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let target = elsewhere.path().to_str().expect("is text");
    let snapshot = lab.handmade(&[vec![symlink("a", target), inline("a/evil", b"evil")]]);
    for _ in 0..2 {
        let report = lab.restore(&snapshot, &lab.whole());
        assert_eq!(report.failed, 1, "{report:?}");
        assert!(lab.out("a").is_symlink());
    }
    assert_eq!(fs::read_dir(elsewhere.path()).expect("lists").count(), 0);
}

#[test]
fn paths_that_lead_out_are_refused() {
    for path in ["../evil", "a/../../evil", "/evil", ".", "..", "a//b", "a/"] {
        let lab = Lab::new();
        let pages = [vec![inline("0", b"good")], vec![inline(path, b"evil")]];
        let snapshot = lab.handmade(&pages);
        let report = lab.restore(&snapshot, &lab.whole());
        assert_eq!((report.failed, report.created), (1, 1), "{path} {report:?}");
        assert!(!lab.out("../evil").exists() && !lab.out("evil").exists());
    }
}

/// A hard link to a file that the manifest does not restore would hand it to the manifest's owner
/// and mode.
#[test]
fn links_lead_only_to_what_was_restored() {
    let lab = Lab::new();
    let evil = Entry { mode: 0o777, ..link("evil", "precious") };
    let snapshot = lab.handmade(&[vec![evil.clone()]]);
    fs::create_dir(lab.out("")).expect("makes");
    fs::write(lab.out("precious"), b"secret").expect("writes");
    fs::set_permissions(lab.out("precious"), fs::Permissions::from_mode(0o600)).expect("sets");
    let report = lab.restore(&snapshot, &lab.whole());
    assert_eq!(report.failed, 1);
    let meta = fs::metadata(lab.out("precious")).expect("is there");
    assert_eq!((meta.nlink(), meta.mode() & 0o777), (1, 0o600));
    // Nor to a file that the manifest names and the selection leaves out.
    let precious = Entry { nlink: 2, ..inline("precious", b"other") };
    let snapshot = lab.handmade(&[vec![evil, precious]]);
    let exclude = vec!["precious".into()];
    let report = lab.restore_well(&snapshot, &RestoreOptions { exclude, ..lab.whole() });
    assert_eq!(report.created, 1);
    assert_eq!(fs::read(lab.out("evil")).expect("reads"), b"other");
    assert_eq!(fs::read(lab.out("precious")).expect("reads"), b"secret");
}

#[test]
fn circles_and_nonsense_fail_by_name() {
    let lab = Lab::new();
    let chunk = lab.put_chunk(&[7; 5_000]);
    let pieces = |path, pieces: Vec<Piece>| {
        let size = pieces.iter().map(Piece::len).sum();
        Entry { size, content: Content::Pieces(pieces), ..entry(path, FileKind::File) }
    };
    let long_name = "n".repeat(300);
    let cases = vec![
        link("circle-1", "circle-2"),
        link("circle-2", "circle-1"),
        Entry { size: 1 << 62, sparse: true, ..entry("huge", FileKind::File) },
        link("itself", "itself"),
        inline(&long_name, b"x"),
        pieces("longer", vec![Piece::Chunk(chunk, 6_000)]),
        pieces("shorter", vec![Piece::Chunk(chunk, 4_000)]),
        symlink("to-nowhere", ""),
        pieces("unknown", vec![Piece::Chunk(ChunkId([9; 32]), 100), Piece::Hole(7)]),
        symlink("with-nul", "a\0b"),
        entry("without-number", FileKind::BlockDevice),
        inline("zz-good", b"good"),
    ];
    let count = cases.len() as u64;
    let snapshot = lab.handmade(&[cases]);
    let report = lab.restore(&snapshot, &lab.whole());
    assert_eq!((report.failed, report.created), (count - 1, 1), "{report:?}");
    assert_eq!(fs::read(lab.out("zz-good")).expect("reads"), b"good");
}

#[test]
fn metadata_that_no_system_takes_is_summed_up() {
    let lab = Lab::new();
    let xattr = |name: &str| Xattr { name: name.into(), value: b"nonsense".to_vec() };
    let mut file = inline("file", b"content");
    file.xattrs = XattrsRef::Inline(vec![xattr("nonsense"), xattr("system.posix_acl_access")]);
    file.owner = std::sync::Arc::new(larder::model::Owner {
        uid: u32::MAX,
        gid: u32::MAX,
        ..Default::default()
    });
    file.inode_flags = !0x30;
    file.mtime.secs = i64::MIN;
    let snapshot = lab.handmade(&[vec![file]]);
    let report = lab.restore(&snapshot, &lab.whole());
    assert!(report.is_complete() && !report.unapplied.is_empty(), "{report:?}");
    assert_eq!(fs::read(lab.out("file")).expect("reads"), b"content");
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let path = prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4);
    let name = || prop::sample::select(vec!["a", "b", "c", "a/b", "a/a", "../x", "b/c", ""]);
    let kind = prop::sample::select(vec![
        FileKind::File,
        FileKind::File,
        FileKind::Dir,
        FileKind::Dir,
        FileKind::Symlink,
        FileKind::Fifo,
        FileKind::Socket,
    ]);
    (path, kind, name(), prop::option::weighted(0.2, name()), 0_u64..3, 0_u32..0o10000).prop_map(
        |(path, kind, target, to, nlink, mode)| {
            let mut made = entry(&path.join("/"), kind);
            (made.nlink, made.mode) = (nlink, mode);
            made.link_to = to.map(|to| to.as_bytes().to_vec());
            if matches!(kind, FileKind::File | FileKind::Symlink) && made.link_to.is_none() {
                made.content = Content::Inline(target.into());
                made.size = if kind == FileKind::File { target.len() as u64 } else { 0 };
            }
            made
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the manifest says, in whatever target: what is beside it stays as it is.
    #[test]
    fn nothing_outside_the_target_changes(
        first in prop::collection::vec(any_entry(), 1..12),
        second in prop::collection::vec(any_entry(), 1..12),
        delete: bool,
    ) {
        let lab = Lab::new();
        let beside = lab.src("../beside");
        fs::create_dir_all(beside.join("a/b")).expect("makes");
        fs::write(beside.join("a/c"), b"precious").expect("writes");
        let before = describe(&beside);
        for mut entries in [first, second] {
            entries.sort_by(|a, b| compare_paths(&a.path, &b.path));
            entries.dedup_by(|a, b| a.path == b.path);
            let mut snapshot = lab.handmade(&[entries]);
            snapshot.body.roots = vec![b"/"[..].into()];
            let options = RestoreOptions { delete, verify: true, ..lab.whole() };
            lab.restore(&snapshot, &options);
        }
        prop_assert_eq!(describe(&beside), before);
    }
}
