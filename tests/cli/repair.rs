//! `repair`: what people read when something is broken, and the exit codes.

use std::path::PathBuf;

use crate::support::{Person, person_with_data};

/// Two snapshots, each with a file of its own.
fn person_with_snapshots() -> Person {
    let person = person_with_data();
    person.settle();
    person.ok("-r repo snapshot data");
    person.write("data/second.bin", [3; 5000]);
    person.settle();
    person.ok("-r repo snapshot data");
    person
}

/// The pack that a second backup made.
fn newest_data_pack(person: &Person) -> PathBuf {
    let time = |path: &PathBuf| std::fs::metadata(path).and_then(|m| m.modified()).expect("a time");
    person.files("repo/data").into_iter().max_by_key(time).expect("a pack")
}

fn flip(path: &PathBuf, at: usize) {
    let mut bytes = std::fs::read(path).expect("a file");
    bytes[at] ^= 1;
    std::fs::remove_file(path).expect("removes");
    std::fs::write(path, bytes).expect("writes");
}

fn json(person: &Person, line: &str) -> (i32, serde_json::Value) {
    let output = person.command(line).output().expect("the program starts");
    let text = String::from_utf8(output.stdout).expect("text");
    let last = text.lines().last().expect("a summary");
    (output.status.code().expect("a code"), serde_json::from_str(last).expect("an object"))
}

#[test]
fn nothing_to_repair_is_said_and_is_no_error() {
    let person = person_with_snapshots();
    assert!(person.ok("-r repo repair index").contains("names every readable pack already"));
    assert!(person.ok("-r repo repair packs").contains("no damaged packs: nothing to do"));
    assert!(person.ok("-r repo repair snapshots").contains("nothing to do"));
}

#[test]
fn a_lost_index_is_made_again() {
    let person = person_with_snapshots();
    for file in person.files("repo/index") {
        std::fs::remove_file(file).expect("removes");
    }
    let would = person.ok("-r repo repair index --dry-run");
    assert!(would.contains("would be taken into the index"), "{would}");
    assert!(person.files("repo/index").is_empty());
    let did = person.ok("-r repo repair index");
    assert!(did.contains(" taken into the index"), "{did}");
    person.ok("-r repo check --read-data");
    let pack = newest_data_pack(&person);
    std::fs::remove_file(pack).expect("removes");
    let said = person.run("-r repo repair index");
    assert_eq!(said.code, 1, "{said}");
    assert!(said.stdout.contains("packs that are missing in storage:"), "{said}");
}

/// The order of the manual: check, packs, backup; and what a script sees of it.
#[test]
fn a_damaged_pack_is_healed_by_repair_and_backup() {
    let person = person_with_snapshots();
    let pack = newest_data_pack(&person);
    flip(&pack, 100);
    let said = person.run("-r repo check --read-data");
    assert_eq!(said.code, 1, "{said}");
    assert!(said.stdout.contains("`larder repair packs data/"), "{said}");

    let (code, would) = json(&person, "-r repo --json repair packs --dry-run");
    assert_eq!((code, &would["dry_run"]), (3, &true.into()));
    let (code, did) = json(&person, "-r repo --json repair packs");
    assert_eq!(code, 3);
    assert_eq!(did["packs"][0]["state"], "damaged");
    let file = did["hits"]["snapshots"][0]["files"][0]["path"].as_str().expect("a path");
    assert!(file.ends_with("data/second.bin"), "{file}");

    person.ok("-r repo snapshot data");
    let said = person.ok("-r repo check --read-data");
    assert!(said.contains("it is known to be damaged"), "{said}");
    person.ok("-r repo restore latest --target back");
    let name = pack.file_name().and_then(|name| name.to_str()).expect("a name");
    person.ok(&format!("-r repo repair packs {}", &name[..8]));
    assert_eq!(person.run("-r repo repair packs zz").code, 1);
}

#[test]
fn what_is_lost_for_good_is_listed_and_the_rest_is_kept() {
    let person = person_with_snapshots();
    std::fs::remove_file(newest_data_pack(&person)).expect("removes");
    let said = person.run("-r repo repair snapshots --dry-run");
    assert_eq!(said.code, 3, "{said}");
    let said = person.run("-r repo repair snapshots");
    assert_eq!(said.code, 3, "{said}");
    assert!(said.stdout.contains("lost: ~/data/second.bin"), "{said}");
    let list = person.raw("-r repo --json snapshots");
    assert_eq!(list.lines().count(), 3);
    assert!(list.lines().last().expect("a line").contains("\"repaired\""), "{list}");
    person.ok("-r repo restore latest --target back");
    let (code, again) = json(&person, "-r repo --json repair snapshots");
    assert_eq!((code, &again["snapshots"][0]["outcome"]), (3, &"already_repaired".into()));
    let again = person.run("-r repo repair snapshots --keep-partial");
    assert!(again.stdout.contains("changes nothing in what was repaired before"), "{again}");
}

/// A pack that was damaged, and that somebody put back from a mirror after a repair.
#[test]
fn a_pack_that_was_put_back_is_taken_in_again() {
    let person = person_with_snapshots();
    let pack = newest_data_pack(&person);
    let whole = std::fs::read(&pack).expect("a pack");
    flip(&pack, 100);
    assert_eq!(person.run("-r repo repair packs").code, 3);
    std::fs::remove_file(&pack).expect("removes");
    std::fs::write(&pack, whole).expect("writes");

    // Nobody relies on it yet, and the way out is told.
    let said = person.run("-r repo check --read-data");
    assert_eq!(said.code, 1, "{said}");
    assert!(said.stdout.contains("if it was put back from a copy since"), "{said}");
    let said = person.run("-r repo repair snapshots --dry-run");
    assert!(said.stderr.contains("run `larder repair packs`"), "{said}");

    let (code, would) = json(&person, "-r repo --json repair packs --dry-run");
    assert_eq!((code, &would["packs"][0]["state"]), (3, &"returned".into()));
    let said = person.ok("-r repo repair packs");
    assert!(said.contains("packs that are whole again"), "{said}");
    person.ok("-r repo check --read-data");
    assert!(person.ok("-r repo repair snapshots").contains("nothing to do"));
    person.ok("-r repo restore latest --target back");
}

/// The check that a repair starts with finds more than packs with wrong bytes.
#[test]
fn a_repair_of_packs_does_not_hide_what_else_is_damaged() {
    let person = person_with_snapshots();
    let pack = newest_data_pack(&person);
    std::fs::remove_file(&pack).expect("removes");
    for line in ["-r repo repair packs --dry-run", "-r repo repair packs"] {
        let said = person.run(line);
        assert_eq!(said.code, 3, "{said}");
        assert!(said.stdout.contains("it is missing"), "{said}");
        assert!(said.stdout.contains("data/second.bin lacks"), "{said}");
        assert!(!said.stdout.contains("nothing to do"), "{said}");
    }
    let record = person.files("repo/snapshots").pop().expect("a record");
    flip(&record, 70);
    let said = person.run("-r repo repair packs");
    assert_eq!(said.code, 1, "{said}");
}

/// What stands in packs that no index names is not lost, though the check cannot see it.
#[test]
fn snapshots_in_packs_without_an_index_lack_nothing() {
    let person = person_with_snapshots();
    for file in person.files("repo/index") {
        std::fs::remove_file(file).expect("removes");
    }
    for line in ["-r repo repair snapshots --dry-run", "-r repo repair snapshots"] {
        let said = person.ok(line);
        assert!(said.contains("lacks nothing"), "{said}");
    }
    assert_eq!(person.raw("-r repo --json snapshots").lines().count(), 2);
    person.ok("-r repo check --read-data");
}
