//! `restore --in-place` and `rollback`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{latest, person_with_snapshot};

#[test]
fn a_tree_is_restored_where_it_came_from() {
    let person = person_with_snapshot();
    person.write("data/letter.txt", "spoiled");
    person.write("data/extra.txt", "not in the snapshot");
    fs::remove_file(person.path("data/photos/sea.jpg")).expect("removes");
    let source = latest(&person, "data");
    let line = format!("-r repo restore {source} --in-place --delete");
    insta::assert_snapshot!(person.run(&format!("{line} --dry-run -v")));
    assert_eq!(fs::read(person.path("data/letter.txt")).expect("a file"), b"spoiled");
    insta::assert_snapshot!(person.run(&format!("{line} --verify")));
    assert_eq!(fs::read(person.path("data/letter.txt")).expect("a file"), b"Dear Ann,\n");
    assert!(person.path("data/photos/sea.jpg").exists());
    assert!(!person.path("data/extra.txt").exists());
    insta::assert_snapshot!(person.run(&line));
}

#[test]
fn a_target_and_in_place_exclude_each_other() {
    let person = person_with_snapshot();
    let said = person.run("-r repo restore latest --in-place --target back");
    assert_eq!(said.code, 2, "{said}");
    let said = person.run("-r repo restore latest");
    assert_eq!(said.code, 2, "{said}");
}

/// A tree that a killed in-place restore left half changed is saved, but as no good backup.
#[test]
fn a_backup_of_a_half_changed_tree_is_partial() {
    let person = person_with_snapshot();
    let staging = person.path("data/.larder-in-place-0123456789abcdef");
    fs::create_dir_all(staging.join("old")).expect("makes");
    fs::set_permissions(&staging, fs::Permissions::from_mode(0o700)).expect("a mode");
    let said = person.run("-r repo snapshot data --host web");
    assert_eq!(said.code, 3, "{said}");
    let rollback = format!("larder rollback {}`", "~/data");
    assert!(said.stderr.contains(&rollback), "{said}");
    fs::remove_dir_all(&staging).expect("removes");
    person.ok("-r repo snapshot data --host web");
}

/// What an in-place restore left that was killed before it had a journal.
#[test]
fn remains_are_listed_and_removed() {
    let person = person_with_snapshot();
    insta::assert_snapshot!(person.run("rollback"));
    let staging = person.path("data/.larder-in-place-0123456789abcdef");
    fs::create_dir_all(staging.join("new")).expect("makes");
    fs::set_permissions(&staging, fs::Permissions::from_mode(0o700)).expect("a mode");
    fs::write(staging.join("new/half"), b"half").expect("writes");
    let said = person.run(&format!("-r repo restore {} -t data", latest(&person, "data")));
    assert_eq!(said.code, 1, "{said}");
    assert!(said.stderr.contains("hint: `larder rollback"), "{said}");
    assert!(!said.stderr.contains("wait for it"), "{said}");
    insta::assert_snapshot!(person.run("rollback data --dry-run"));
    assert!(staging.exists());
    insta::assert_snapshot!(person.run("rollback data --json"));
    assert!(!staging.exists());
}

/// Originals that nothing tells of any more: nothing is removed, and that is an error.
#[test]
fn originals_without_a_journal_are_left_alone() {
    let person = person_with_snapshot();
    let staging = person.path("data/.larder-in-place-0123456789abcdef");
    fs::create_dir_all(staging.join("old")).expect("makes");
    fs::set_permissions(&staging, fs::Permissions::from_mode(0o700)).expect("a mode");
    fs::write(staging.join("old/0"), b"mine").expect("writes");
    let restore = format!("-r repo restore {} --in-place", latest(&person, "data"));
    for line in ["rollback data", "rollback data --dry-run", "rollback data --json", &restore] {
        let said = person.run(line);
        assert_eq!(said.code, 1, "{said}");
        assert!(said.stderr.contains("its journal is missing"), "{said}");
        assert_eq!(fs::read(staging.join("old/0")).expect("stays"), b"mine");
    }
    fs::set_permissions(&staging, fs::Permissions::from_mode(0o755)).expect("a mode");
    let said = person.run("rollback data");
    assert_eq!(said.code, 1, "{said}");
    assert!(said.stderr.contains("is not yours, or open to others"), "{said}");
    assert!(!said.stdout.contains("unfinished"), "{said}");
}
