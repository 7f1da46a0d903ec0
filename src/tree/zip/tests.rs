use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::Arc;

use super::*;
use crate::model::{Owner, Piece, Time, Xattr};
use crate::tree::testing::{Issues, Lab, dir, entry, inline};

fn zip(lab: &Lab, manifest: &Manifest, folder: &[u8]) -> (Vec<u8>, ZipStats, Vec<Issue>) {
    let issues = Arc::new(Issues::default());
    let runtime = Runtime { progress: Arc::clone(&issues) as _, ..Runtime::default() };
    let mut bytes = Vec::new();
    let options = ZipOptions::default();
    let stats = write_zip(&lab.repository, manifest, folder, &mut bytes, &options, &runtime);
    let issues = issues.all();
    let stats = stats.expect("writes");
    assert_eq!(stats.archive_bytes, bytes.len() as u64);
    (bytes, stats, issues)
}

/// Runs a program in `folder`, which has to be content and quiet.
fn tool(folder: &Path, program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .current_dir(folder)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .output()
        .unwrap_or_else(|error| panic!("{program} is not installed: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && errors.is_empty(), "{program}: {errors}{said}");
    said
}

/// All programs that have to read an archive do.
fn check_with_tools(folder: &Path, archive: &[u8]) {
    fs::write(folder.join("archive.zip"), archive).expect("writes");
    let said = tool(folder, "unzip", &["-tq", "archive.zip"]);
    assert!(said.starts_with("No errors detected"), "{said}");
    let said = tool(folder, "7z", &["t", "-bd", "archive.zip"]);
    assert!(said.contains("Everything is Ok") && !said.contains("Warning"), "{said}");
    let test = "import zipfile; print(zipfile.ZipFile('archive.zip').testzip())";
    assert_eq!(tool(folder, "python3", &["-c", test]).trim(), "None");
    tool(folder, "bsdtar", &["-tf", "archive.zip"]);
}

fn owned(mut entries: Vec<Entry>) -> Vec<Entry> {
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    for entry in &mut entries {
        entry.owner = Arc::new(Owner { uid, gid, ..Owner::default() });
    }
    entries
}

#[test]
fn unzip_extracts_what_was_in_the_snapshot() {
    let lab = Lab::new();
    let entries = lab.store(|store| {
        let body: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
        let mut random = vec![0; 900_000];
        crate::runtime::Random::seeded(3).fill(&mut random);
        let body = store.chunk(&body);
        let file = |path: &[u8], pieces: Vec<Piece>| Entry {
            size: pieces.iter().map(Piece::len).sum(),
            content: Content::Pieces(pieces),
            ..entry(path, FileKind::File)
        };
        let random = store.chunk(&random);
        owned(vec![
            dir(b"d"),
            file(b"d/blocks", vec![body, Piece::Hole(3 << 20), random, body, Piece::Hole(100)]),
            Entry { mode: 0o4711, nlink: 2, ..inline(b"d/first", b"linked") },
            Entry {
                content: Content::Inline(b"../some/where".to_vec()),
                mode: 0o777,
                ..entry(b"d/link", FileKind::Symlink)
            },
            entry(b"d/pipe", FileKind::Fifo),
            file(b"d/random", vec![random]),
            Entry {
                mode: 0o4711,
                link_to: Some(b"d/first".to_vec()),
                nlink: 2,
                size: 6,
                ..entry(b"d/second", FileKind::File)
            },
            Entry { mode: 0o600, ..file(b"d/small", vec![body]) },
            Entry {
                xattrs: XattrsRef::Inline(vec![Xattr {
                    name: b"user.a".to_vec(),
                    value: b"b".to_vec(),
                }]),
                mtime: Time { secs: 1 << 33, nanos: 0 },
                ..inline("größe".as_bytes(), b"text")
            },
            inline(b"raw\xff", b"odd"),
        ])
    });
    let manifest = lab.manifest(&entries);
    let (archive, stats, issues) = zip(&lab, &manifest, b"");
    assert_eq!((stats.entries, stats.failed, stats.left_out), (9, 0, 1));
    assert_eq!((stats.without_attributes, stats.raw_names), (1, 1));
    assert_eq!(issues.iter().map(|i| i.kind).collect::<Vec<_>>(), [IssueKind::Warning; 3]);

    let folder = tempfile::tempdir().expect("a folder");
    check_with_tools(folder.path(), &archive);
    // unzip restores names, modes, times and links.
    let said = Command::new("unzip")
        .current_dir(folder.path())
        .args(["-qX", "-K", "archive.zip"])
        .env("LC_ALL", "C.UTF-8")
        .status();
    assert!(said.expect("unzip is installed").success());
    // Debian's unzip drops bytes that are not UTF-8, also from archives that `zip` made.
    tool(folder.path(), "bsdtar", &["-xf", "archive.zip", "raw*"]);
    for entry in entries.iter().filter(|e| e.kind != FileKind::Fifo) {
        let path = folder.path().join(OsString::from_vec(entry.path.clone()));
        let stat = fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        if entry.kind == FileKind::Symlink {
            assert_eq!(fs::read_link(&path).expect("a link"), Path::new("../some/where"));
            continue;
        }
        if entry.path != b"raw\xff" {
            assert_eq!(stat.mode() & 0o7777, entry.mode, "{path:?}");
        }
        if i32::try_from(entry.mtime.secs).is_ok() {
            assert_eq!(stat.mtime(), entry.mtime.secs, "{path:?}");
        }
        if entry.kind == FileKind::File {
            let mut file = FileReader::open(&lab.repository, &manifest, entry).expect("opens");
            let mut want = Vec::new();
            file.read_to_end(&mut want).expect("reads");
            assert!(fs::read(&path).expect("reads") == want, "{path:?}");
        }
    }
}

#[test]
fn names_begin_below_the_folder() {
    let lab = Lab::new();
    let manifest = lab.manifest(&[dir(b""), dir(b"b"), dir(b"b/c"), inline(b"b/c/own", b"xy")]);
    let names = |folder: &[u8]| {
        let (bytes, ..) = zip(&lab, &manifest, folder);
        let archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("reads");
        archive.file_names().map(|n| n.expect("text").into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(b""), ["b/", "b/c/", "b/c/own"]);
    assert_eq!(names(b"b"), ["c/", "c/own"]);
    assert_eq!(names(b"b/c/own"), ["own"]);
    assert_eq!(names(b"b/c").len(), 1);
}

#[test]
fn what_is_lost_is_told_and_zeros_stand_in_its_place() {
    let lab = Lab::new();
    let manifest = lab.store(|store| {
        let good = store.chunk(b"good");
        let lost = Piece::Chunk(crate::model::ChunkId([1; 32]), 1000);
        let file = |path: &[u8], pieces: Vec<Piece>| Entry {
            size: pieces.iter().map(Piece::len).sum(),
            content: Content::Pieces(pieces),
            ..entry(path, FileKind::File)
        };
        store.manifest(&[
            file(b"a", vec![good, lost, good]),
            file(b"b", vec![good, Piece::Hole(2 << 20), lost, good]),
            inline(b"c", b"last"),
        ])
    });
    let (bytes, stats, issues) = zip(&lab, &manifest, b"");
    assert_eq!((stats.entries, stats.failed), (3, 2));
    assert!(issues[0].message.starts_with("1000 of 1008 bytes are lost"), "{issues:?}");
    let folder = tempfile::tempdir().expect("a folder");
    check_with_tools(folder.path(), &bytes);
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("reads");
    let mut content = |name: &str| {
        let mut bytes = Vec::new();
        archive.by_name(name).expect("is there").read_to_end(&mut bytes).expect("reads");
        bytes
    };
    assert_eq!(content("a"), [&b"good"[..], &[0; 1000], b"good"].concat());
    assert!(content("b") == [&b"good"[..], &vec![0; (2 << 20) + 1000], b"good"].concat());
    assert_eq!(content("c"), b"last");
}

/// More entries and bytes than the fields of old can count.
#[test]
fn large_archives_have_zip64_records() {
    let lab = Lab::new();
    let size = (4 << 30) + 12_345;
    let mut entries: Vec<Entry> = vec![
        Entry { size, sparse: true, ..entry(b"hole", FileKind::File) },
        inline(b"next", b"behind it"),
    ];
    entries.extend((0..66_000).map(|n| entry(format!("z{n:05}").as_bytes(), FileKind::File)));
    let manifest = lab.manifest(&entries);
    let (bytes, stats, _) = zip(&lab, &manifest, b"");
    assert_eq!((stats.entries, stats.bytes), (66_002, size + 9));
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("archive.zip"), &bytes).expect("writes");
    let list = "import zipfile; a = zipfile.ZipFile('archive.zip'); i = a.infolist(); \
                print(len(i), i[0].file_size, a.read('next'), a.read('z65999'))";
    let said = tool(folder.path(), "python3", &["-c", list]);
    assert_eq!(said.trim(), format!("66002 {size} b'behind it' b''"));
    let said = tool(folder.path(), "unzip", &["-l", "archive.zip"]);
    assert!(said.contains("66002 files") && said.contains(&size.to_string()));
    // Programs that inflate the whole hole take their time.
    if std::env::var_os("LARDER_TEST_LONG").is_some() {
        check_with_tools(folder.path(), &bytes);
    }
}

#[test]
fn a_cancelled_archive_ends() {
    let lab = Lab::new();
    let manifest = lab.manifest(&[inline(b"a", b"1")]);
    let runtime = Runtime::default();
    runtime.cancel.cancel();
    let options = ZipOptions::default();
    let ended = write_zip(&lab.repository, &manifest, b"", &mut Vec::new(), &options, &runtime);
    assert!(matches!(ended, Err(Error::Cancelled { .. })));
}
