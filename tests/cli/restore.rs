//! `restore`: out of the repository again.

use crate::support::{Person, person_with_data};

fn person_with_snapshot() -> Person {
    let person = person_with_data();
    person.settle();
    person.ok("-r repo snapshot data --host web");
    person
}

/// `latest:` and the path of `name` in the home folder.
fn latest(person: &Person, name: &str) -> String {
    format!("latest:{}", person.path(name).display())
}

#[test]
fn a_folder_comes_back_as_it_was() {
    let person = person_with_snapshot();
    let said =
        person.run(&format!("-r repo restore {} --target back --verify", latest(&person, "data")));
    insta::assert_snapshot!(said);
    assert_eq!(std::fs::read(person.path("back/letter.txt")).expect("a file"), b"Dear Ann,\n");
    let link = std::fs::read_link(person.path("back/link")).expect("a link");
    assert_eq!(link.as_os_str(), "letter.txt");
    assert!(person.path("back/photos/.cache/thumb").exists());
}

#[test]
fn without_a_path_the_full_paths_are_made_again() {
    let person = person_with_snapshot();
    person.ok("-r repo restore latest --target back --include *.txt");
    let home = person.home().strip_prefix("/").expect("absolute").to_owned();
    let back = person.path("back").join(home).join("data");
    assert!(back.join("letter.txt").exists());
    assert!(!back.join("photos/sea.jpg").exists());
}

#[test]
fn a_dry_run_changes_nothing() {
    let person = person_with_snapshot();
    let line = format!("-r repo restore {} --target back --dry-run", latest(&person, "data"));
    insta::assert_snapshot!(person.run(&line));
    assert!(!person.path("back").exists());
}

#[test]
fn overwriting_and_deleting_are_asked_for() {
    let person = person_with_snapshot();
    let source = latest(&person, "data");
    person.write("back/letter.txt", "mine");
    person.write("back/other.txt", "mine too");
    person.ok(&format!("-r repo restore {source} --target back --overwrite never"));
    assert_eq!(std::fs::read(person.path("back/letter.txt")).expect("a file"), b"mine");
    let said = person.run(&format!("-r repo restore {source} --target back --overwrite ask"));
    assert_eq!(said.code, 2, "{said}");
    assert!(said.stderr.contains("no terminal"), "{said}");
    person.ok(&format!("-r repo restore {source} --target back --overwrite keep-both"));
    assert_eq!(std::fs::read(person.path("back/letter.txt")).expect("a file"), b"mine");
    let beside = |name: &&std::path::PathBuf| name.to_string_lossy().contains("(restored from ");
    assert_eq!(person.files("back").iter().filter(beside).count(), 1);
    person.ok(&format!("-r repo restore {source} --target back --delete"));
    assert_eq!(std::fs::read(person.path("back/letter.txt")).expect("a file"), b"Dear Ann,\n");
    assert!(!person.path("back/other.txt").exists());
}

#[test]
fn json_counts_what_was_done() {
    let person = person_with_snapshot();
    let said =
        person.raw(&format!("-r repo --json restore {} --target back", latest(&person, "data")));
    let summary: serde_json::Value =
        serde_json::from_str(said.lines().last().expect("a line")).expect("an object");
    assert_eq!(summary["message_type"], "summary");
    assert_eq!(summary["files"], 3);
    assert_eq!(summary["failed"], 0);
}

#[test]
fn damaged_files_are_named_and_the_rest_restored() {
    let person = person_with_snapshot();
    for pack in person.files("repo/data") {
        std::fs::remove_file(pack).expect("removed");
    }
    let said = person.run(&format!("-r repo restore {} --target back", latest(&person, "data")));
    assert_eq!(said.code, 3, "{said}");
    assert!(said.stderr.contains("photos/sea.jpg"), "{said}");
    // Small files stand in the manifest.
    assert_eq!(std::fs::read(person.path("back/letter.txt")).expect("a file"), b"Dear Ann,\n");
}

#[test]
fn what_cannot_be_restored_from_or_to_is_named() {
    let person = person_with_snapshot();
    insta::assert_snapshot!(person.run("-r repo restore latest:nowhere --target back"));
    person.write("file", "");
    insta::assert_snapshot!(person.run("-r repo restore latest --target file"));
    insta::assert_snapshot!(person.run("-r repo restore latest"));
    insta::assert_snapshot!(person.run("-r repo restore latest --target back --include [z-a]"));
}
