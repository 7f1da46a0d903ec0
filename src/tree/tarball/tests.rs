use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::process::Command;
use std::sync::Arc;

use super::*;
use crate::fsmeta;
use crate::model::{Owner, PageId, Piece, Time, XattrsRef};
use crate::tree::testing::{Issues, Lab, dir, entry, inline};

fn tar(lab: &Lab, manifest: &Manifest, folder: &[u8]) -> (Vec<u8>, TarStats, Vec<Issue>) {
    let issues = Arc::new(Issues::default());
    let runtime = Runtime { progress: Arc::clone(&issues) as _, ..Runtime::default() };
    let mut bytes = Vec::new();
    let stats = write_tar(&lab.repository, manifest, folder, &mut bytes, &runtime).expect("writes");
    let issues = issues.all();
    (bytes, stats, issues)
}

/// Runs the system's tar on an archive in `folder`.
fn system_tar(folder: &Path, archive: &[u8], args: &[&str]) -> String {
    fs::write(folder.join("archive.tar"), archive).expect("writes");
    let output = Command::new("tar")
        .current_dir(folder)
        .args(["--numeric-owner", "--warning=no-timestamp", "-f", "archive.tar"])
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC")
        .output()
        .expect("GNU tar is installed");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn os(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

/// Entries that belong to whoever runs the test, so that anybody can extract them.
fn owned(mut entries: Vec<Entry>) -> Vec<Entry> {
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    for entry in &mut entries {
        entry.owner = Arc::new(Owner { uid, gid, ..Owner::default() });
    }
    entries
}

#[test]
fn gnu_tar_extracts_what_was_in_the_snapshot() {
    let lab = Lab::new();
    let long = [b"d/".to_vec(), vec![b'n'; 120]].concat();
    let sparse_len: u64 = 3 << 20;
    let entries = lab.store(|store| {
        let body: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let pieces =
            vec![Piece::Hole(1 << 20), store.chunk(&body), Piece::Hole(100), store.chunk(b"end")];
        let rest = sparse_len - pieces.iter().map(Piece::len).sum::<u64>();
        let whole = vec![store.chunk(&body), Piece::Hole(70_000)];
        let file = |path: &[u8], pieces: Vec<Piece>, sparse| Entry {
            size: pieces.iter().map(Piece::len).sum(),
            content: Content::Pieces(pieces),
            sparse,
            ..entry(path, FileKind::File)
        };
        let mut holes = pieces.clone();
        holes.push(Piece::Hole(rest));
        owned(vec![
            Entry { mtime: Time { secs: 1_500_000_000, nanos: 123_456_789 }, ..dir(b"d") },
            Entry { mtime: Time { secs: -5, nanos: 250_000_000 }, ..inline(b"d/ old", b"1969") },
            file(b"d/body", whole, false),
            Entry { mode: 0o4711, nlink: 2, ..inline(b"d/first", b"linked") },
            Entry {
                content: Content::Inline(vec![b't'; 150]),
                ..entry(b"d/link", FileKind::Symlink)
            },
            entry(&long, FileKind::File),
            entry(b"d/pipe", FileKind::Fifo),
            Entry {
                mode: 0o4711,
                link_to: Some(b"d/first".to_vec()),
                nlink: 2,
                size: 6,
                ..entry(b"d/second", FileKind::File)
            },
            entry(b"d/socket", FileKind::Socket),
            file(b"d/sparse", holes, true),
            Entry { size: 500_000, sparse: true, ..entry(b"d/sparse-all", FileKind::File) },
            Entry {
                xattrs: XattrsRef::Inline(vec![Xattr {
                    name: b"user.a=b%".to_vec(),
                    value: b"\0bin\nary".to_vec(),
                }]),
                ..inline(b"d/\xff\n", b"odd")
            },
        ])
    });
    let manifest = lab.manifest(&entries);
    let (archive, stats, issues) = tar(&lab, &manifest, b"");
    assert_eq!((stats.entries, stats.failed), (11, 0));
    assert_eq!((issues.len(), issues[0].kind), (1, IssueKind::Warning));

    let folder = tempfile::tempdir().expect("a folder");
    let listed = system_tar(folder.path(), &archive, &["-tv"]);
    assert_eq!(listed.lines().count(), 11, "{listed}");
    assert!(listed.contains("3145728") && listed.contains("link to d/first"), "{listed}");
    system_tar(folder.path(), &archive, &["-xp", "--xattrs", "--xattrs-include=*"]);
    for entry in entries.iter().filter(|e| e.kind != FileKind::Socket) {
        let path = folder.path().join(os(&entry.path));
        let stat = fs::symlink_metadata(&path).expect("is there");
        assert_eq!(
            (stat.mtime(), stat.mtime_nsec() as u32),
            (entry.mtime.secs, entry.mtime.nanos),
            "{path:?}"
        );
        match entry.kind {
            FileKind::Symlink => {
                assert_eq!(fs::read_link(&path).expect("a link").as_os_str().len(), 150);
                continue;
            }
            FileKind::Fifo => assert!(stat.file_type().is_fifo()),
            FileKind::File => {
                let mut file = FileReader::open(&lab.repository, &manifest, entry).expect("opens");
                let mut want = Vec::new();
                file.read_to_end(&mut want).expect("reads");
                assert!(fs::read(&path).expect("reads") == want, "{path:?}");
                assert_eq!(stat.nlink(), entry.nlink);
            }
            _ => {}
        }
        assert_eq!(stat.mode() & 0o7777, entry.mode, "{path:?}");
    }
    for name in ["d/sparse", "d/sparse-all"] {
        let stat = fs::symlink_metadata(folder.path().join(name)).expect("is there");
        assert!(stat.blocks() * 512 < stat.size(), "{name} has holes");
    }
    // Where the file system of the test takes none, tar said so on standard error.
    let odd = fs::File::open(folder.path().join(os(b"d/\xff\n"))).expect("opens");
    let xattrs = fsmeta::read_xattrs_fd(&odd).expect("lists").list;
    assert!(xattrs.iter().any(|x| x.name == b"user.a=b%" && x.value == b"\0bin\nary"));
}

#[test]
fn names_begin_below_the_folder_and_links_stay_inside() {
    let lab = Lab::new();
    let link = |path: &[u8], to: &[u8]| Entry {
        link_to: Some(to.to_vec()),
        size: 5,
        ..entry(path, FileKind::File)
    };
    let manifest = lab.manifest(&[
        dir(b"a"),
        inline(b"a/first", b"hello"),
        dir(b"b"),
        dir(b"b/c"),
        inline(b"b/c/own", b"xy"),
        link(b"b/c/own2", b"b/c/own"),
        link(b"b/c/x", b"a/first"),
        link(b"b/c/y", b"a/first"),
    ]);
    let read = |folder: &[u8]| -> Vec<(String, String, String)> {
        let (bytes, stats, _) = tar(&lab, &manifest, folder);
        assert_eq!(stats.failed, 0);
        let mut archive = tar::Archive::new(&bytes[..]);
        let members = archive.entries().expect("reads").map(|member| {
            let mut member = member.expect("reads");
            let name = String::from_utf8(member.path_bytes().into_owned()).expect("text");
            let link = member.link_name_bytes().unwrap_or_default().into_owned();
            let mut text = String::new();
            member.read_to_string(&mut text).expect("reads");
            (name, String::from_utf8(link).expect("text"), text)
        });
        members.collect()
    };
    let row = |name: &str, link: &str, text: &str| (name.into(), link.into(), text.into());
    assert_eq!(
        read(b"b/c"),
        [
            row("./", "", ""),
            row("own", "", "xy"),
            row("own2", "own", ""),
            row("x", "", "hello"),
            row("y", "x", ""),
        ]
    );
    assert_eq!(read(b"a/first"), [row("first", "", "hello")]);
    assert_eq!(read(b"b/c/x"), [row("x", "", "hello")]);
    assert_eq!(read(b"").len(), 8);
    assert_eq!(read(b"")[1].0, "a/first");
    let runtime = Runtime::default();
    let error = write_tar(&lab.repository, &manifest, b"b/d", &mut Vec::new(), &runtime);
    assert!(matches!(error, Err(Error::NotFound { what: "path", .. })));
}

#[test]
fn what_is_lost_is_told_and_does_not_shift_the_rest() {
    let lab = Lab::new();
    let manifest = lab.store(|store| {
        let good = store.chunk(b"good");
        let lost = Piece::Chunk(crate::model::ChunkId([1; 32]), 1000);
        let file = |path: &[u8], pieces: Vec<Piece>| Entry {
            size: pieces.iter().map(Piece::len).sum(),
            content: Content::Pieces(pieces),
            ..entry(path, FileKind::File)
        };
        let xattrs = XattrsRef::Page(PageId([2; 32]));
        store.manifest(&[
            file(b"a", vec![good, lost, good]),
            Entry { xattrs, ..inline(b"b", b"inline") },
            inline(b"c", b"last"),
        ])
    });
    let (bytes, stats, issues) = tar(&lab, &manifest, b"");
    assert_eq!((stats.entries, stats.failed, stats.bytes), (3, 2, 1008 + 6 + 4));
    let failed: Vec<_> = issues.iter().map(|i| (i.kind, i.path.as_slice())).collect();
    assert_eq!(failed, [(IssueKind::Failed, &b"a"[..]), (IssueKind::Failed, b"b")]);
    assert!(issues[0].message.starts_with("1000 of 1008 bytes are lost"));
    let mut archive = tar::Archive::new(&bytes[..]);
    let contents = archive.entries().expect("reads").map(|member| {
        let mut content = Vec::new();
        member.expect("reads").read_to_end(&mut content).expect("reads");
        content
    });
    let want = [[&b"good"[..], &[0; 1000], b"good"].concat(), b"inline".to_vec(), b"last".to_vec()];
    assert_eq!(contents.collect::<Vec<_>>(), want);
}

/// The sizes and numbers of other machines: more than fits into the fields of old.
#[test]
fn large_numbers_are_listed_as_they_are() {
    let lab = Lab::new();
    let owner =
        Owner { uid: 3_000_000_000, gid: 2_097_152, user: vec![b'u'; 40], group: Vec::new() };
    let tib: u64 = 1 << 40;
    let manifest = lab.manifest(&[
        Entry {
            owner: Arc::new(owner),
            size: tib,
            sparse: true,
            mtime: Time { secs: 1 << 34, nanos: 0 },
            ..entry(b"huge", FileKind::File)
        },
        Entry { device: Some((259, 1_048_575)), ..entry(b"node", FileKind::BlockDevice) },
    ]);
    let (archive, ..) = tar(&lab, &manifest, b"");
    assert!(archive.len() < 16 << 10);
    let folder = tempfile::tempdir().expect("a folder");
    let listed = system_tar(folder.path(), &archive, &["-tv", "--full-time"]);
    for text in ["3000000000/2097152", "1099511627776", "2514-05-30", "259,1048575"] {
        assert!(listed.contains(text), "{text} in {listed}");
    }
    // Without holes left out, ten gigabytes need a size that eleven octal digits cannot hold.
    let huge = entry(b"f", FileKind::File);
    let member = Member {
        entry: &huge,
        entry_type: EntryType::Regular,
        name: b"f".to_vec(),
        link: Vec::new(),
        size: 10 << 30,
        sparse_size: None,
        xattrs: &[],
    };
    let blocks = member.encode();
    let header = tar::Header::from_byte_slice(&blocks[blocks.len() - 512..]);
    assert_eq!(header.entry_size().expect("a size"), 10 << 30);
    assert!(blocks.windows(17).any(|w| w == b"size=10737418240\n"));
}

#[test]
fn a_cancelled_archive_ends() {
    let lab = Lab::new();
    let manifest = lab.manifest(&[inline(b"a", b"1")]);
    let runtime = Runtime::default();
    runtime.cancel.cancel();
    let ended = write_tar(&lab.repository, &manifest, b"", &mut Vec::new(), &runtime);
    assert!(matches!(ended, Err(Error::Cancelled { .. })));
}
