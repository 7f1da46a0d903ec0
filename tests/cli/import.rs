//! `larder import`: archives as people and pipes give them.

use std::process::Command;

use crate::support::person_with_data;

#[test]
fn import_makes_a_snapshot() {
    let person = person_with_data();
    person.settle();
    let mut tar = Command::new("tar");
    let made = tar.args(["-czf", "old.tgz", "data"]).current_dir(person.home()).status();
    assert!(made.expect("tar is installed").success());
    insta::assert_snapshot!(person.ok("-r repo import old.tgz --host attic --tag old"));
    insta::assert_snapshot!(person.ok("-r repo snapshots"));
    let said = person.raw("-r repo --json import old.tgz --root /home/ann --time 2019-06-30");
    let summary: serde_json::Value =
        serde_json::from_str(said.lines().last().expect("a line")).expect("an object");
    assert_eq!((&summary["format"], &summary["files"]), (&"tar.gz".into(), &3.into()));
    assert_eq!(summary["folders_made_up"], 2);
    let listed = person.ok("-r repo ls latest~1 --recursive");
    assert!(listed.contains("home/ann/data/photos/sea.jpg"), "{listed}");
    assert!(person.raw("-r repo snapshots --path /home/ann").contains("2019-06-30"));
}

#[test]
fn import_reads_pipes() {
    let person = person_with_data();
    let tar = Command::new("tar").args(["-cf", "-", "data"]).current_dir(person.home()).output();
    let archive = tar.expect("tar is installed").stdout;
    let piped = |line: &str, input: &[u8]| {
        person.said(person.command(line).write_stdin(input).output().expect("starts"))
    };
    let said = piped("-r repo import - --name weekly.tar", &archive);
    assert_eq!(said.code, 0, "{said}");
    assert!(person.ok("-r repo snapshots").contains("import:weekly.tar"));
    let said = piped("-r repo import -", b"PK\x03\x04 and so on");
    assert_eq!(said.code, 2, "{said}");
    let said = piped("-r repo import -", &archive[..archive.len() / 2]);
    assert_eq!(said.code, 1, "{said}");
    assert!(said.stderr.contains("--keep-going"), "{said}");
    let said = piped("-r repo import - --keep-going", &archive[..3000]);
    assert_eq!(said.code, 3, "{said}");
}

#[test]
fn import_names_what_it_refuses() {
    let person = person_with_data();
    let make = "import tarfile, io; t = tarfile.open('bad.tar', 'w')\n\
                def add(n, b=b'x'):\n i = tarfile.TarInfo(n); i.size = len(b); t.addfile(i, io.BytesIO(b))\n\
                add('good'); add('../up'); add('good/below'); t.close()";
    let python = Command::new("python3").args(["-c", make]).current_dir(person.home()).status();
    assert!(python.expect("python3 is installed").success());
    insta::assert_snapshot!(person.run("-r repo import bad.tar --time 2026-01-01"));
    insta::assert_snapshot!(person.run("-r repo import repo/repo"));
    insta::assert_snapshot!(person.run("-r repo import data/letter.txt"));
}

/// Most archives have no member for the folder that everything lies in.
#[test]
fn imported_archives_are_listed() {
    let person = person_with_data();
    let mut tar = Command::new("tar");
    let made = tar.args(["-cf", "../old.tar", "letter.txt", "photos"]);
    let made = made.current_dir(person.path("data")).status();
    assert!(made.expect("tar is installed").success());
    person.ok("-r repo import old.tar");
    for what in ["latest", "latest:", "latest:/"] {
        assert_eq!(person.ok(&format!("-r repo ls {what}")), "/letter.txt\n/photos\n", "{what}");
    }
    let all = "/letter.txt\n/photos\n/photos/.cache\n/photos/.cache/thumb\n/photos/sea.jpg\n";
    assert_eq!(person.ok("-r repo ls latest --recursive"), all);
    assert_eq!(person.run("-r repo ls latest:nothing").code, 1);
    let dumped = person.command("-r repo dump latest:/").output().expect("starts");
    assert!(dumped.status.success(), "{dumped:?}");
}
