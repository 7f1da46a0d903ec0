//! `copy`: into a repository with keys of its own.

use crate::support::{Person, person_with_data, private};

fn person_with_two_repositories() -> Person {
    let person = person_with_data();
    person.settle();
    person.write("password", "another secret\n");
    private(&person.path("password"));
    person.ok("-r second repo init --password-file password --json");
    for tag in ["first", "second"] {
        person.write("data/letter.txt", format!("Dear {tag},\n"));
        person.ok(&format!("-r repo snapshot data --host web --tag {tag} --quiet"));
    }
    person
}

#[test]
fn snapshots_are_copied_once() {
    let person = person_with_two_repositories();
    let to = "--to second --to-password-file password";
    insta::assert_snapshot!(person.ok(&format!("-r repo copy --all {to} --dry-run")));
    insta::assert_snapshot!(person.ok(&format!("-r repo copy latest~1 {to}")));
    insta::assert_snapshot!(person.ok(&format!("-r repo copy --all {to}")));
    insta::assert_snapshot!(person.ok(&format!("-r repo copy --all {to}")));
    let there = "-r second --password-file password";
    insta::assert_snapshot!(person.ok(&format!("{there} snapshots")));
    let checked = person.ok(&format!("{there} check --read-data"));
    assert!(checked.starts_with("no damage found: 2 snapshots"), "{checked}");
    let restored = person.ok(&format!("{there} restore latest --target back --verify"));
    assert!(restored.contains("verified"), "{restored}");
    // The copies are in time, and rules count them.
    let said = person.ok(&format!("{there} forget --keep-last 1 --min-age 0"));
    assert!(said.contains("1 snapshot forgotten, 1 kept"), "{said}");
    insta::assert_snapshot!(person.ok(&format!("-r repo copy --all {to}")));
}

#[test]
fn the_destination_has_variables_of_its_own() {
    let person = person_with_two_repositories();
    let mut command = person.command("-r repo copy latest --json");
    command.env("LARDER_TO_REPOSITORY", "second").env("LARDER_TO_PASSWORD", "another secret");
    let said = person.said(command.output().expect("starts"));
    assert_eq!(said.code, 0, "{said}");
    assert!(said.stdout.contains("\"outcome\":\"copied\""), "{said}");
    let mut command = person.command("-r repo copy latest --to second");
    command.env("LARDER_TO_PASSWORD", "a wrong one");
    let said = person.said(command.output().expect("starts"));
    assert_eq!(said.code, 12, "{said}");
    insta::assert_snapshot!(person.run("-r repo copy latest"));
    insta::assert_snapshot!(person.run("-r repo copy latest --to repo"));
}

/// Between repositories that are alike nothing is cut anew, and ids are the same.
#[test]
fn a_repository_can_be_made_like_another() {
    let person = person_with_two_repositories();
    let like = "--like second --like-password-file password";
    let said = person.run(&format!("-r third repo init --encryption none {like}"));
    assert_eq!(said.code, 2, "{said}");
    person.ok(&format!("-r third repo init --new-key-file key {like} --json"));
    let copy = "--json copy --all";
    person.ok(&format!("-r repo {copy} --to second --to-password-file password"));
    let said = person
        .raw(&format!("-r second --password-file password {copy} --to third --to-key-file key"));
    assert!(said.contains("\"same_ids\":true"), "{said}");
    assert!(said.contains("\"copied\":2"), "{said}");
    let checked = person.ok("-r third --key-file key check --read-data");
    assert!(checked.starts_with("no damage found: 2 snapshots"), "{checked}");
    let said = person.run("-r fourth repo init --like-key-file key --encryption none");
    assert_eq!(said.code, 2, "{said}");
}
