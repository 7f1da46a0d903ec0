//! What archives say of files beside their content: hostile amounts of it, rights, odd values.

use larder::manager::ImportReport;
use larder::model::Entry;

use super::hostile::{Quick, member, python, shop, tar_of};
use super::imports::{import, import_with, try_import};
use super::*;

/// A record of an extended header.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + len.to_string().len() != len {
        len = rest + len.to_string().len();
    }
    [format!("{len} {key}=").as_bytes(), value, b"\n"].concat()
}

/// A member that bears an attribute of so many bytes.
fn attribute(kind: u8, number: usize, len: usize) -> Vec<u8> {
    let key = format!("SCHILY.xattr.user.n{number}");
    member(b"pax", kind, &record(&key, &vec![b'v'; len]), b"")
}

fn entry(shop: &Shop, report: &ImportReport, name: &str) -> Entry {
    let manager = shop.manager();
    let repository = manager.repository();
    repository.load_index().expect("loads");
    let path = [&shop.source_in_snapshot()[..], b"/", name.as_bytes()].concat();
    let found = larder::tree::Manifest::of(&report.snapshot).find(repository, &path);
    found.expect("reads").expect("is there")
}

/// Each header is small enough; together they must be too.
#[test]
fn extended_headers_do_not_pile_up() {
    for kind in [b'x', b'g'] {
        let quick = Quick::new();
        let mut members: Vec<_> = (0..3).map(|n| attribute(kind, n, 2 << 20)).collect();
        members.push(member(b"file", b'0', b"1", b""));
        let error = quick.import(&tar_of(&members), false).expect_err("too much");
        let said = super::hostile::chain(&error);
        assert!(said.contains("extended headers"), "{said}");
        assert_eq!(quick.snapshots(), 0);
    }
    // Many that replace each other are none too many.
    let quick = Quick::new();
    let times: Vec<_> = (0..5000)
        .map(|n| member(b"pax", b'g', &record("mtime", format!("{n}").as_bytes()), b""))
        .chain([member(b"file", b'0', b"1", b"")])
        .collect();
    quick.import(&tar_of(&times), false).expect("imports");
}

/// A right that was taken from all is not given back by an archive.
#[test]
fn zip_members_without_any_right_stay_so() {
    let shop = shop();
    let archive = python(
        &shop,
        "rights.zip",
        "z = zipfile.ZipFile(name, 'w')
def add(n, mode):
    i = zipfile.ZipInfo(n); i.create_system = 3; i.external_attr = mode << 16; z.writestr(i, b'')
add('shadow', 0o100000); add('closed/', 0o040000); add('plain', 0o100640); z.close()
b = bytearray(open(name, 'rb').read())
z = zipfile.ZipFile(name, 'a'); i = zipfile.ZipInfo('silent'); i.create_system = 0
z.writestr(i, b''); z.filelist[-1].external_attr = 0; z.close()",
    );
    let report = import(&shop, &archive);
    let modes = ["shadow", "closed", "plain", "silent"].map(|n| entry(&shop, &report, n).mode);
    assert_eq!(modes, [0, 0, 0o640, 0o644]);
}

/// The list of files stands at the end of a zip: no option brings back what was cut off with it.
#[test]
fn a_zip_without_its_end_says_what_helps() {
    let shop = shop();
    let make = "z = zipfile.ZipFile(name, 'w'); z.writestr('a', 'x' * 300); z.close()";
    let path = python(&shop, "cut.zip", make);
    let bytes = fs::read(&path).expect("reads");
    fs::write(&path, &bytes[..320]).expect("writes");
    for keep_going in [false, true] {
        let (ran, _) = try_import(&shop, &path, |request| request.keep_going = keep_going);
        let said = super::hostile::chain(&ran.expect_err("no list"));
        assert!(said.contains("zip -FF") && !said.contains("--keep-going"), "{said}");
    }
}

/// A value that means nothing costs the member that value, and nobody anything else.
#[test]
fn a_senseless_time_is_left_out_and_told() {
    let shop = shop();
    let odd = |name: &[u8], value: &[u8]| {
        let header = member(b"pax", b'x', &record("mtime", value), b"");
        [header, member(name, b'0', b"1", b"")].concat()
    };
    let archive = tar_of(&[
        odd(b"nan", b"nan"),
        odd(b"far", b"99999999999999999999999"),
        odd(b"good", b"7.5"),
    ]);
    let path = shop.path("odd.tar");
    fs::write(&path, archive).expect("writes");
    let (report, issues) = import_with(&shop, &path, |_| {});
    assert_eq!((report.failed, report.warnings), (0, 2), "{issues:?}");
    assert!(report.is_complete() && issues.len() == 2);
    assert!(issues.iter().all(|issue| issue.message.contains("mtime")), "{issues:?}");
    assert_eq!(entry(&shop, &report, "good").mtime, Time { secs: 7, nanos: 500_000_000 });
    assert_eq!(entry(&shop, &report, "nan").mtime.secs, 0o14_000_000_000);
}
