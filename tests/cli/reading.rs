//! `find`, `diff`, `dump`: what is in snapshots, without restoring them.

use std::collections::BTreeMap;
use std::io::Read;

use crate::support::{Person, person_with_data};

/// Two snapshots with a day's work between them.
fn person_with_history() -> Person {
    let person = person_with_data();
    person.settle();
    person.ok("-r repo snapshot data --host web");
    person.write("data/letter.txt", "Dear Ann, dear Ben,\n");
    person.write("data/photos/sun.jpg", [9; 2000]);
    std::fs::remove_file(person.path("data/link")).expect("removed");
    person.write("data/link", "no link any more");
    std::fs::remove_file(person.path("data/photos/.cache/thumb")).expect("removed");
    person.ok("-r repo snapshot data --host web");
    person
}

#[test]
fn find_looks_into_every_snapshot() {
    let person = person_with_history();
    insta::assert_snapshot!(person.ok("-r repo find *.jpg"));
    insta::assert_snapshot!(person.ok("-r repo find -i LETTER* --snapshot latest"));
    assert!(person.ok("-r repo find *.png").starts_with("nothing found in 2 snapshots"));
    let found = person.raw("-r repo --json find * --kind link");
    let found: serde_json::Value = serde_json::from_str(found.trim()).expect("one object");
    assert_eq!(found["kind"], "symbolic link");
    assert_eq!(person.ok("-r repo find * --larger-than 2500 --kind file").lines().count(), 4);
    insta::assert_snapshot!(person.run("-r repo find [b-a]"));
}

#[test]
fn diff_tells_what_happened() {
    let person = person_with_history();
    insta::assert_snapshot!(person.ok("-r repo diff latest~1 latest"));
    let folder = person.path("data/photos");
    let line = format!("-r repo diff latest~1:{0} latest:{0} --metadata", folder.display());
    insta::assert_snapshot!(person.ok(&line));
    let said = person.raw("-r repo --json diff latest~1 latest");
    let summary: serde_json::Value =
        serde_json::from_str(said.lines().last().expect("a line")).expect("an object");
    assert_eq!(summary["message_type"], "summary");
    assert_eq!(summary["added"]["files"], 1);
    assert_eq!(person.ok("-r repo diff latest latest"), "bytes <size> added, <size> removed\n");
}

#[test]
fn dump_prints_a_file() {
    let person = person_with_history();
    let file = person.path("data/letter.txt");
    let old = person.raw(&format!("-r repo dump latest~1:{}", file.display()));
    assert_eq!(old, "Dear Ann,\n");
    person.ok(&format!("-r repo dump latest:{} -o copy", file.display()));
    assert_eq!(std::fs::read(person.path("copy")).expect("a file"), b"Dear Ann, dear Ben,\n");
    // What is there stays there.
    let said = person.run(&format!("-r repo dump latest~1:{} -o copy", file.display()));
    assert_eq!(said.code, 1, "{said}");
    assert_eq!(std::fs::read(person.path("copy")).expect("a file"), b"Dear Ann, dear Ben,\n");
    let link = person.path("data/link");
    let said = person.run(&format!("-r repo dump latest~1:{}", link.display()));
    assert_eq!(said.code, 2, "{said}");
}

#[test]
fn dump_makes_an_archive_of_a_folder() {
    let person = person_with_data();
    let long = format!("data/{}/{}", "folder".repeat(15), "file".repeat(30));
    person.write(&long, "far down");
    std::fs::hard_link(person.path("data/letter.txt"), person.path("data/second")).expect("a link");
    person.ok("-r repo snapshot data");
    person.ok(&format!("-r repo dump latest:{} -o all.tar", person.path("data").display()));

    let mut archive = tar::Archive::new(std::fs::File::open(person.path("all.tar")).expect("made"));
    let mut found = BTreeMap::new();
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let path = String::from_utf8(entry.path_bytes().into_owned()).expect("text");
        let link = entry.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned());
        let mut content = String::new();
        entry.read_to_string(&mut content).expect("text");
        found.insert(path, link.unwrap_or(content));
    }
    assert_eq!(found["letter.txt"], "Dear Ann,\n");
    assert_eq!(found["link"], "letter.txt");
    assert_eq!(found["second"], "letter.txt");
    assert_eq!(found[long.strip_prefix("data/").expect("below")], "far down");
    assert!(found.contains_key("./") && found.contains_key("photos/.cache/"));
}

/// The system's own tar makes the same files of an archive, with attributes and times.
#[test]
fn archives_are_read_by_tar() {
    let person = person_with_data();
    person.settle();
    std::fs::write(person.path("data/größe"), "x").expect("a file");
    person.ok("-r repo snapshot data");
    person.ok(&format!("-r repo dump latest:{} -o all.tar", person.path("data").display()));
    std::fs::create_dir(person.path("out")).expect("a folder");
    let tar = std::process::Command::new("tar")
        .args(["-xf", "all.tar", "-C", "out"])
        .current_dir(person.home())
        .status();
    assert!(tar.expect("tar is installed").success());
    let modified =
        |name: &str| person.path(name).metadata().expect("there").modified().expect("a time");
    assert_eq!(modified("out/letter.txt"), modified("data/letter.txt"));
    assert_eq!(modified("out/größe"), modified("data/größe"), "to the nanosecond");
    assert_eq!(
        std::fs::read(person.path("out/photos/sea.jpg")).expect("a file"),
        std::fs::read(person.path("data/photos/sea.jpg")).expect("a file"),
    );
}
