//! `quickstart`: from nothing to a verified backup.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Person, private};

#[test]
fn a_first_backup_takes_one_command() {
    let person = Person::new();
    person.write("data/letter.txt", "Dear Ann,\n");
    person.settle();
    insta::assert_snapshot!(person.run("quickstart data"));
    // From now on nothing needs to be said: repository and key are found.
    assert_eq!(person.ok("snapshots").lines().count(), 2);
    let again = person.ok("quickstart data");
    assert!(again.contains("no damage found: 1 snapshot"), "{again}");
    assert!(!again.contains("recovery kit"), "{again}");

    for file in person.files(".config/larder/keys") {
        let mode = file.metadata().expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn the_kit_opens_the_backups_when_the_key_is_lost() {
    let person = Person::new();
    person.write("data/letter.txt", "Dear Ann,\n");
    person.ok("-r disk/backup quickstart data --kit kit.txt");
    let kit = std::fs::read_to_string(person.path("kit.txt")).expect("the kit");
    let mode = person.path("kit.txt").metadata().expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::remove_dir_all(person.path(".config")).expect("lost");
    assert_eq!(person.run("-r disk/backup snapshots").code, 12);

    let code = kit.lines().find_map(|line| line.strip_prefix("Recovery code"));
    private(&person.write("code", code.expect("a code").trim()));
    person.ok("-r disk/backup --password-file code restore latest --target back");
    let letter = person.files("back").pop().expect("a file");
    assert_eq!(std::fs::read(letter).expect("a file"), b"Dear Ann,\n");
}

#[test]
fn nothing_is_made_for_sources_that_are_missing() {
    let person = Person::new();
    insta::assert_snapshot!(person.run("quickstart nothing"));
    assert!(!person.path(".local").exists() && !person.path("larder-recovery-kit.txt").exists());
}

/// A password in the environment is that of something else: the key just made opens it.
#[test]
fn quickstart_does_not_take_a_password_that_lies_around() {
    let person = Person::new();
    person.write("data/a", "content");
    let run = person.command("-r new quickstart data").env("LARDER_PASSWORD", "other").output();
    let run = run.expect("it runs");
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
}
