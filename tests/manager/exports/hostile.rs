//! Archives that mean harm, and archives that are broken: nothing gets where it must not, nothing
//! panics, and there is no snapshot of half an archive.

use std::io::Write;

use larder::manager::{ImportLimits, ImportReport, ImportRequest};
use larder::repository::Repository;
use larder::runtime::IssueKind;
use proptest::prelude::*;

use super::imports::{check, copy_of, import_with, try_import};
use super::*;
use crate::support::{Lab, LabOptions};

pub(super) fn shop() -> Shop {
    Shop::with(crate::shop::ShopOptions {
        suite: larder::crypto::Suite::None,
        ..Default::default()
    })
}

/// A repository in memory, for what is tried often.
pub(super) struct Quick {
    lab: Lab,
    repository: Repository,
}

impl Quick {
    pub(super) fn new() -> Self {
        let options = LabOptions {
            suite: larder::crypto::Suite::None,
            samples: false,
            entries: 0,
            ..LabOptions::default()
        };
        let lab = Lab::with(1, options);
        let repository = lab.open();
        Self { lab, repository }
    }

    pub(super) fn import(&self, bytes: &[u8], keep_going: bool) -> Result<ImportReport, Error> {
        let path = self.lab.scratch("archive");
        fs::write(&path, bytes).expect("writes");
        let runtime = self.lab.runtime();
        let request = ImportRequest { keep_going, runtime, ..ImportRequest::new(path) };
        larder::manager::import(&self.repository, &request)
    }

    pub(super) fn snapshots(&self) -> usize {
        self.repository.snapshots().expect("lists").snapshots.len()
    }

    fn check(&self) {
        use larder::verify::{CheckOptions, ReadData, check};
        let all = CheckOptions { read_data: ReadData::All, ..CheckOptions::default() };
        let report = check(&self.lab.open(), &all, &self.lab.runtime()).expect("checks");
        assert!(report.is_clean(), "{report:?}");
    }
}

/// A header of a tar archive, with a right checksum.
fn header(name: &[u8], kind: u8, size: u64, link: &[u8]) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000644\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[136..148].copy_from_slice(b"14000000000\0");
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    seal(&mut block);
    block
}

fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A member with its content.
pub(super) fn member(name: &[u8], kind: u8, content: &[u8], link: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, kind, content.len() as u64, link).to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub(super) fn tar_of(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 1024]].concat()
}

fn write(shop: &Shop, name: &str, bytes: &[u8]) -> PathBuf {
    let path = shop.path(name);
    fs::write(&path, bytes).expect("writes");
    path
}

/// Runs a Python script that writes the archive `name`.
pub(super) fn python(shop: &Shop, name: &str, script: &str) -> PathBuf {
    let path = shop.path(name);
    let head = "import sys, zipfile, struct, zlib; name = sys.argv[1]\n";
    tool(&shop.path("."), "python3", &["-c", &format!("{head}{script}"), text(&path)]);
    path
}

fn paths(shop: &Shop, report: &ImportReport) -> Vec<String> {
    let copy = copy_of(shop, report);
    let paths = copy.0.keys().filter(|path| !path.is_empty());
    paths.map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}

fn refused(issues: &[Issue]) -> Vec<String> {
    let failed = issues.iter().filter(|issue| issue.kind == IssueKind::Failed);
    failed.map(|issue| String::from_utf8_lossy(&issue.path).into_owned()).collect()
}

fn snapshots(shop: &Shop) -> usize {
    shop.open().snapshots().expect("lists").snapshots.len()
}

#[test]
fn names_cannot_lead_out() {
    let shop = shop();
    let deep = [&b"d/".repeat(49)[..], b"x"].concat();
    let archive = tar_of(&[
        member(b"good", b'0', b"1", b""),
        member(b"/etc/passwd", b'0', b"2", b""),
        member(b"../up", b'0', b"3", b""),
        member(b"a/../../up", b'0', b"4", b""),
        member(b"..", b'5', b"", b""),
        member(b"link", b'2', b"", b"/etc"),
        member(b"link/passwd", b'0', b"5", b""),
        member(b"good/below", b'0', b"6", b""),
        member(b"hard", b'1', b"", b"../../etc/shadow"),
        member(b"nowhere", b'1', b"", b"not/there"),
        member(b"nowhere/below", b'0', b"7", b""),
        member(b"self", b'1', b"", b"self"),
        member(b"folder/", b'5', b"", b""),
        member(b"to folder", b'1', b"", b"folder"),
        member(b"", b'0', b"8", b""),
        member(b"./", b'0', b"", b""),
        member(&deep, b'0', b"9", b""),
    ]);
    let archive = write(&shop, "a.tar", &archive);
    let (report, issues) = import_with(&shop, &archive, |request| request.root = Vec::new());
    let manager = shop.manager();
    let repository = manager.repository();
    repository.load_index().expect("loads");
    let entries = larder::tree::Manifest::of(&report.snapshot).entries(repository);
    let paths: Vec<Vec<u8>> = entries.map(|entry| entry.expect("reads").path).collect();
    let top: Vec<&[u8]> =
        paths.iter().map(Vec::as_slice).filter(|p| !p.starts_with(b"d")).collect();
    let want: [&[u8]; 6] = [b"", b"etc", b"etc/passwd", b"folder", b"good", b"link"];
    assert_eq!(top, want);
    assert_eq!(refused(&issues).len(), 10, "{issues:?}");
    let (below, issues) = import_with(&shop, &archive, |_| {});
    assert_eq!((below.failed, refused(&issues).len()), (10, 10), "{issues:?}");
    assert!(report.snapshot.body.partial && report.snapshot.body.error_count == 10);
    check(&shop);
}

#[test]
fn zip_names_cannot_lead_out_either() {
    let shop = shop();
    let archive = python(
        &shop,
        "a.zip",
        "z = zipfile.ZipFile(name, 'w')
for n in ['good', '../up', '/abs/x', 'a/../../up', 'c:\\\\win']:
    z.writestr(n, 'x')
link = zipfile.ZipInfo('link'); link.create_system = 3; link.external_attr = 0o120777 << 16
z.writestr(link, '/etc'); z.writestr('link/passwd', 'x')
dev = zipfile.ZipInfo('dev'); dev.create_system = 3; dev.external_attr = 0o060600 << 16
z.writestr(dev, '')
z.close()",
    );
    let (report, issues) = import_with(&shop, &archive, |_| {});
    assert_eq!(paths(&shop, &report), ["abs", "abs/x", "c:\\win", "good", "link"]);
    assert_eq!(refused(&issues).len(), 4, "{issues:?}");
    check(&shop);
}

/// The bomb of overlapping entries (David Fifield, 2019): many entries, one body.
#[test]
fn entries_that_overlap_are_refused() {
    let shop = shop();
    let archive = python(
        &shop,
        "bomb.zip",
        "z = zipfile.ZipFile(name, 'w', zipfile.ZIP_DEFLATED); z.writestr('a', b'0' * 1000000); z.close()
b = open(name, 'rb').read()
at = b.index(b'PK\\x01\\x02'); end = b.index(b'PK\\x05\\x06')
record = b[at:end]
records = b''.join(record.replace(b'a', bytes([65 + n]), 1) for n in range(20))
tail = struct.pack('<IHHHHIIH', 0x06054b50, 0, 0, 20, 20, len(records), at, 0)
open(name, 'wb').write(b[:at] + records + tail)",
    );
    let (ran, _) = try_import(&shop, &archive, |_| {});
    let error = ran.expect_err("refused");
    assert!(chain(&error).contains("overlap"), "{}", chain(&error));
    assert_eq!(snapshots(&shop), 0);
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let source = error.source().map(chain).unwrap_or_default();
    format!("{error}: {source}")
}

#[test]
fn bombs_end_at_their_limits() {
    let shop = shop();
    let bomb = python(
        &shop,
        "bomb.zip",
        "z = zipfile.ZipFile(name, 'w', zipfile.ZIP_DEFLATED)
z.writestr('a', b'0' * 30000000); z.close()",
    );
    let limit =
        |max_bytes, max_entries| ImportLimits { max_bytes, max_entries, ..Default::default() };
    let small = |name: &Path, limits| try_import(&shop, name, |request| request.limits = limits).0;
    let error = small(&bomb, limit(20_000_000, 100)).expect_err("too large");
    assert!(error.hint().expect("a hint").contains("--max-size"), "{error}");
    small(&bomb, limit(30_000_000, 100)).expect("just fits");

    let zeros = vec![0; 4 << 20];
    let tar = tar_of(&[member(b"zeros", b'0', &zeros, b"")]);
    for (name, bytes) in [
        ("bomb.tar.zst", zstd::encode_all(&tar[..], 3).expect("compresses")),
        ("bomb.tar.gz", {
            let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            gz.write_all(&tar).expect("compresses");
            gz.finish().expect("compresses")
        }),
    ] {
        let path = write(&shop, name, &bytes);
        let error = small(&path, limit(1 << 20, 100)).expect_err("too large");
        assert!(matches!(error, Error::Usage { .. }), "{error}");
    }
    // Holes cost nothing to write down, and count all the same.
    let mut sparse = header(b"holes", b'S', 0, b"");
    sparse[257..265].copy_from_slice(b"ustar  \0");
    sparse[483..495].copy_from_slice(b"77777777777\0");
    seal(&mut sparse);
    let holes = write(&shop, "holes.tar", &tar_of(&[sparse.to_vec()]));
    assert!(small(&holes, limit((8 << 30) + 4096, 100)).is_ok());
    assert!(small(&holes, limit(8 << 30, 100)).is_err());
    // So do entries, and folders that are made up.
    let names: Vec<Vec<u8>> =
        (0..50).map(|n| member(format!("f{n}/x").as_bytes(), b'0', b"", b"")).collect();
    let many = write(&shop, "many.tar", &tar_of(&names));
    let error = small(&many, limit(1 << 30, 99)).expect_err("too many");
    assert!(error.hint().expect("a hint").contains("--max-entries"), "{error}");
}

/// What an archive says of lengths is not believed: nothing is allocated for it.
#[test]
fn huge_lengths_are_only_words() {
    let shop = shop();
    let mut huge = header(b"huge", b'0', 0, b"");
    huge[124..136].copy_from_slice(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
    seal(&mut huge);
    let mut wrong = header(b"wrong", b'0', 0, b"");
    wrong[124..136].copy_from_slice(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
    seal(&mut wrong);
    let long = |kind: u8, size: u64| {
        let mut block = header(b"././@LongLink", kind, 0, b"");
        block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        seal(&mut block);
        block
    };
    for (number, block) in
        [huge, wrong, long(b'L', 8_000_000_000), long(b'x', 8_000_000_000)].into_iter().enumerate()
    {
        let path = write(&shop, &format!("huge{number}.tar"), &tar_of(&[block.to_vec()]));
        let (ran, _) = try_import(&shop, &path, |_| {});
        assert!(matches!(ran, Err(Error::Local { .. })), "{number}: {ran:?}");
    }
    // A map of a sparse file with 2^60 parts, and one whose parts overlap.
    for map in ["1152921504606846976\n0\n1\n", "2\n0\n10\n5\n10\n", "1\n0\n99\n", "x\n"] {
        let record = |key: &str, value: &str| {
            let len = key.len() + value.len() + 5;
            format!("{len:02} {key}={value}\n")
        };
        let records = record("GNU.sparse.major", "1")
            + &record("GNU.sparse.minor", "0")
            + &record("GNU.sparse.realsize", "100");
        let mut content = map.as_bytes().to_vec();
        content.resize(512, 0);
        content.extend_from_slice(&[b'x'; 20]);
        let archive = tar_of(&[
            member(b"pax", b'x', records.as_bytes(), b""),
            member(b"sparse", b'0', &content, b""),
        ]);
        let path = write(&shop, "map.tar", &archive);
        let (ran, _) = try_import(&shop, &path, |_| {});
        assert!(ran.is_err(), "{map}");
    }
    let zip = python(
        &shop,
        "sizes.zip",
        "z = zipfile.ZipFile(name, 'w', zipfile.ZIP_DEFLATED)
z.writestr('short', 'x' * 100); z.writestr('long', 'y' * 5000); z.writestr('good', 'z'); z.close()
b = bytearray(open(name, 'rb').read())
at = b.index(b'PK\\x01\\x02'); struct.pack_into('<I', b, at + 24, 0xfffffff0)
at = b.index(b'PK\\x01\\x02', at + 4); struct.pack_into('<I', b, at + 24, 10)
open(name, 'wb').write(b)",
    );
    let (report, issues) = import_with(&shop, &zip, |_| {});
    assert_eq!(paths(&shop, &report), ["good"]);
    assert_eq!(refused(&issues).len(), 2, "{issues:?}");
    check(&shop);
}

/// Wherever an archive was cut off, it is noticed, and nothing is imported.
#[test]
fn archives_that_were_cut_off_are_not_imported() {
    let shop = shop();
    let content = crate::shop::noise(3, 1500);
    let tar = tar_of(&[
        member(b"a", b'0', &content, b""),
        member(b"folder/", b'5', b"", b""),
        member(b"folder/b", b'0', b"text", b""),
    ]);
    let end = tar.len() - 1024;
    let quick = Quick::new();
    for len in (512..=end).step_by(256) {
        let error = quick.import(&tar[..len], false).expect_err("is cut off");
        assert!(chain(&error).contains("--keep-going"), "{len}: {}", chain(&error));
    }
    assert_eq!(quick.snapshots(), 0);
    let zst = zstd::encode_all(&tar[..], 3).expect("compresses");
    let zip = python(
        &shop,
        "whole.zip",
        "z = zipfile.ZipFile(name, 'w'); z.writestr('a', 'x' * 300); z.writestr('b', 'y'); z.close()",
    );
    let zip = fs::read(zip).expect("reads");
    for (name, bytes) in [("cut.tar.zst", &zst), ("cut.zip", &zip)] {
        for len in (1..bytes.len()).step_by(7).chain([bytes.len() - 1]) {
            assert!(quick.import(&bytes[..len], false).is_err(), "{name} {len}");
        }
    }
    assert_eq!(quick.snapshots(), 0);
    // What can be read can be had.
    let path = write(&shop, "cut.tar", &tar[..end - 700]);
    let (report, issues) = import_with(&shop, &path, |request| request.keep_going = true);
    assert_eq!(paths(&shop, &report), ["a", "folder"]);
    assert!(report.damage.is_some() && report.snapshot.body.partial, "{issues:?}");
    check(&shop);
}

/// A bad block in the middle of a tar: what is behind it is found again.
#[test]
fn what_is_behind_damage_is_found_with_keep_going() {
    let shop = shop();
    let mut tar = tar_of(&[
        member(b"a", b'0', b"1", b""),
        member(b"b", b'0', b"2", b""),
        member(b"c", b'0', b"3", b""),
    ]);
    tar[1024] ^= 0xff;
    let path = write(&shop, "bad.tar", &tar);
    let (ran, _) = try_import(&shop, &path, |_| {});
    assert!(matches!(ran, Err(Error::Local { .. })), "{ran:?}");
    let (report, _) = import_with(&shop, &path, |request| request.keep_going = true);
    assert_eq!(paths(&shop, &report), ["a", "c"]);
    assert!(shop.manager().import_backup(&path).is_err());
}

/// A flipped bit is an error, a file that is left out, or a file with other metadata, but never a
/// panic, a snapshot that cannot be read, or content that does not match its sum.
#[test]
fn flipped_bits_do_no_harm() {
    let shop = shop();
    let zip = python(
        &shop,
        "whole.zip",
        "z = zipfile.ZipFile(name, 'w', zipfile.ZIP_DEFLATED); z.writestr('a', 'x' * 300); z.writestr('f/b', 'yes'); z.close()",
    );
    let zip = fs::read(zip).expect("reads");
    let tar = tar_of(&[member(b"a", b'0', b"text", b""), member(b"f/b", b'1', b"", b"a")]);
    let zst = zstd::encode_all(&tar[..], 3).expect("compresses");
    // The long form flips something in every byte.
    let is_long = std::env::var_os("LARDER_TEST_LONG").is_some();
    for (bytes, step) in [(&zip, 5), (&tar, 19), (&zst, 3)] {
        let quick = Quick::new();
        let mut made = 0;
        for at in (0..bytes.len()).step_by(if is_long { 1 } else { step }) {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            made += usize::from(quick.import(&bad, false).is_ok());
        }
        assert_eq!(quick.snapshots(), made);
        quick.check();
    }
}

#[test]
fn what_lies_in_the_repository_is_not_imported_into_it() {
    let shop = shop();
    let inside = shop.repository_folder().join("a.tar");
    fs::write(&inside, tar_of(&[member(b"a", b'0', b"1", b"")])).expect("writes");
    let alias = shop.path("alias.tar");
    std::os::unix::fs::symlink(&inside, &alias).expect("a link");
    for path in [&inside, &alias] {
        let (ran, _) = try_import(&shop, path, |_| {});
        assert!(ran.expect_err("refused").to_string().contains("the repository itself"));
    }
    let (ran, _) = try_import(&shop, &shop.repository_folder(), |_| {});
    assert!(matches!(ran, Err(Error::Usage { .. })));
    let (ran, _) = try_import(&shop, &shop.source(), |_| {});
    assert!(ran.expect_err("a folder").hint().expect("a hint").contains("larder snapshot"));
    let (ran, _) = try_import(&shop, &shop.path("missing"), |_| {});
    assert!(matches!(ran, Err(Error::Local { .. })));
    let empty = write(&shop, "empty.tar", &[0; 1024]);
    assert!(matches!(try_import(&shop, &empty, |_| {}).0, Err(Error::Usage { .. })));
    let (ran, _) = try_import(&shop, &write(&shop, "some.txt", b"hello"), |_| {});
    assert!(matches!(ran, Err(Error::Usage { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever follows the first bytes of an archive.
    #[test]
    fn random_bytes_never_panic(
        kind in 0..7_usize,
        bytes in proptest::collection::vec(any::<u8>(), 0..3000),
    ) {
        let block = header(b"name", b"0x SLg1"[kind], 700, b"");
        let zip_end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x40\0\0\0\x04\0\0\0\0\0";
        let tar = [&block[..], &bytes, &[0; 1024]].concat();
        let archive = match kind {
            0 => [b"PK\x03\x04", &bytes[..], zip_end].concat(),
            1 => [b"PK\x03\x04PK\x01\x02", &bytes[..bytes.len().min(60)], zip_end].concat(),
            2 => [b"\x1f\x8b\x08\0\0\0\0\0\0\0", &bytes[..]].concat(),
            3 => [b"\x28\xb5\x2f\xfd", &bytes[..]].concat(),
            4 => zstd::encode_all(&tar[..], 1).expect("compresses"),
            _ => tar,
        };
        for keep_going in [false, true] {
            let _ = QUICK.with(|quick| quick.import(&archive, keep_going));
        }
    }
}

thread_local! {
    static QUICK: Quick = Quick::new();
}
