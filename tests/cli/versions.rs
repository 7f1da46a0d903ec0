//! `history` and `diff --content`: what a file was, and what changed in it.

use crate::support::{Person, person_with_data};

/// A letter that is written, changed, made private and lost, in four snapshots and one more.
fn person_with_versions() -> Person {
    let person = person_with_data();
    person.settle();
    person.ok("-r repo snapshot data --host web");
    person.ok("-r repo snapshot data --host web");
    person.write("data/letter.txt", "Dear Ann, dear Ben,\n");
    person.ok("-r repo snapshot data --host web");
    std::fs::remove_file(person.path("data/letter.txt")).expect("removed");
    person.ok("-r repo snapshot data --host web");
    person
}

#[test]
fn history_lists_the_versions_of_a_file() {
    let person = person_with_versions();
    insta::assert_snapshot!(person.ok("-r repo history data/letter.txt"));
    let absolute = person.path("data/letter.txt");
    let with_all = person.raw(&format!("-r repo --json history {}", absolute.display()));
    let versions: Vec<serde_json::Value> =
        with_all.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let changes: Vec<&str> = versions.iter().filter_map(|v| v["change"].as_str()).collect();
    assert_eq!(changes, ["first", "content", "removed"]);
    assert_eq!(versions[0]["message_type"], "version");
    assert_eq!(versions[0]["snapshots"], 2);
    assert_eq!(versions[1]["entry"]["size_bytes"], 20);
    assert!(versions[2]["entry"].is_null());
    // As `ls` shows it, without the `/`.
    let shown = format!("-r repo history {}", &absolute.display().to_string()[1..]);
    assert_eq!(person.ok(&shown).lines().count(), 5);
    insta::assert_snapshot!(person.ok("-r repo history data"));
}

#[test]
fn a_history_that_there_is_not_is_an_error() {
    let person = person_with_versions();
    insta::assert_snapshot!(person.run("-r repo history data/letter.doc"));
    let said = person.run("-r repo history data/letter.txt --host mail");
    assert_eq!(said.code, 1, "{said}");
    assert_eq!(person.run("-r repo history /").code, 2);
    let said = person.run("-r repo history ../letter.txt");
    assert_eq!(said.code, 2, "{said}");
}

/// Damage is told of, the other versions are listed, and the exit code is 1.
#[test]
fn damaged_snapshots_are_named_in_a_history() {
    let person = person_with_versions();
    let metas: Vec<_> = person.files("repo/meta");
    let newest = metas.iter().max_by_key(|path| path.metadata().expect("there").modified().ok());
    std::fs::remove_file(newest.expect("a pack")).expect("removed");
    let said = person.run("-r repo history data/letter.txt");
    assert_eq!(said.code, 1, "{said}");
    assert!(said.stderr.contains("cannot be read"), "{said}");
    assert!(said.stdout.contains("first"), "{said}");
}
