//! Retention and cold storage, as far as folders tell: messages, arguments, commands of the user's.

use crate::support::{Person, person_with_data};

/// Runs a line that fails with this code, and returns what it said.
#[track_caller]
fn fails(person: &Person, code: i32, line: &str) -> String {
    let said = person.run(line);
    assert_eq!(said.code, code, "`{line}`: {}{}", said.stdout, said.stderr);
    said.stderr
}

#[test]
fn what_has_no_locks_says_so() {
    let person = person_with_data();
    person.ok("-r repo snapshot data");
    let said = fails(&person, 2, "-r repo repo retain --for 30d");
    assert!(said.contains("cannot keep objects from being deleted"), "{said}");
    assert!(said.contains("default retention"), "{said}");
    for wrong in ["", "--for", "--until 2001-01-01", "--for 0s", "--for 3d --mode soft"] {
        fails(&person, 2, &format!("-r repo repo retain {wrong}"));
    }
}

#[test]
fn a_command_warms_up_what_a_restore_needs() {
    let person = person_with_data();
    // Small files lie in pages, which are never cold.
    person.write("data/large", (0..40_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    person.ok("-r repo snapshot data");
    let said = fails(&person, 2, "-r repo warm-up latest --wait");
    assert!(said.contains("--warm-up-wait"), "{said}");
    let said = fails(&person, 2, "-r repo warm-up latest");
    assert!(said.contains("--warm-up-command"), "{said}");
    let said = fails(&person, 2, "-r repo warm-up latest --warm-up-command true");
    assert!(said.contains("{name}"), "{said}");
    fails(&person, 1, "-r repo warm-up latest:nothing/there --dry-run");
    fails(&person, 2, "-r repo warm-up latest --all");
    let said = person.ok("-r repo warm-up latest --dry-run");
    assert!(said.contains("needed   <number> packs") && !said.contains("asked"), "{said}");

    // Words without spaces, as lines of these tests are cut at them.
    let command = "--warm-up-command cat<{file}>>asked --warm-up-wait 0s";
    let said = person.ok(&format!("-r repo warm-up latest {command}"));
    assert!(said.contains("asked    for") && said.contains("can be read now"), "{said}");
    let said = person.ok(&format!("-r repo restore latest --target back --warm-up {command}"));
    assert!(said.contains("restored"), "{said}");
    let asked = std::fs::read_to_string(person.path("asked")).expect("the command ran");
    let lines: Vec<&str> = asked.lines().collect();
    assert_eq!(lines.len(), 2, "{asked}");
    assert!(lines.iter().all(|line| line.starts_with("data/")), "{asked}");
    let said = fails(&person, 1, "-r repo warm-up latest --warm-up-command false<{file}");
    assert!(said.contains("the warm-up command"), "{said}");
}

/// Small things here, data there; if the near place is lost, the other one is a full repository.
#[test]
fn data_goes_to_another_place() {
    let person = Person::new();
    person.write("data/large", (0..80_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    let init = "-r near repo init --encryption none --data";
    let said = fails(&person, 2, &format!("{init} near"));
    assert!(said.contains("that of the repository"), "{said}");
    person.ok(&format!("{init} far"));
    person.ok("-r near snapshot data");
    assert!(person.files("far/data").len() == 1 && !person.path("near/data").exists());
    let stats: serde_json::Value =
        serde_json::from_str(&person.raw("-r near repo stats --json")).expect("an object");
    let side = |name: &str| stats["sides"][name].as_u64().expect("a number");
    assert!(side("hot_bytes") > 0 && side("cold_bytes") > side("hot_bytes"), "{stats}");
    assert!(person.ok("-r near repo stats").contains("cold"));
    assert!(person.ok("-r near repo info").contains("data        ~/far"));
    person.ok("-r near check --read-data");

    std::fs::rename(person.path("far"), person.path("away")).expect("moves");
    let said = fails(&person, 1, "-r near snapshots");
    assert!(said.contains("~/far") && said.contains("cannot be reached"), "{said}");
    std::fs::rename(person.path("away"), person.path("far")).expect("moves");
    let said = fails(&person, 1, "-r other repo init --encryption none --data far");
    assert!(said.contains("already a repository"), "{said}");

    std::fs::remove_dir_all(person.path("near")).expect("is lost");
    person.ok("-r far restore latest --target back");
    person.ok("-r far check --read-data");
    person.ok("-r far snapshot data");
}

/// A bucket is moved: by a copy, and by whatever its owner did.
#[test]
fn data_moves_to_another_place() {
    let person = Person::new();
    person.write("data/large", (0..80_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    person.ok("-r near repo init --encryption none --data far");
    person.ok("-r near snapshot data");
    let said = person.ok("-r near repo data-place further");
    assert!(said.contains("is at ~/further from now on"), "{said}");
    assert!(said.contains("nothing is written to ~/far any more"), "{said}");
    assert!(person.ok("-r near repo info").contains("data        ~/further"));
    std::fs::remove_dir_all(person.path("far")).expect("is not needed any more");
    person.ok("-r near check --read-data");
    person.ok("-r further check --read-data");

    std::fs::rename(person.path("further"), person.path("moved")).expect("moves");
    let said = fails(&person, 1, "-r near snapshots");
    assert!(said.contains("larder repo data-place"), "{said}");
    let said = fails(&person, 1, "-r near repo data-place elsewhere");
    assert!(said.contains("--no-copy"), "{said}");
    person.ok("-r near repo data-place moved --no-copy");
    person.ok("-r near check --read-data");
    let said = fails(&person, 2, "-r near repo data-place moved");
    assert!(said.contains("is there as `data`"), "{said}");
    person.ok("-r whole repo init --encryption none");
    let said = fails(&person, 2, "-r whole repo data-place elsewhere");
    assert!(said.contains("repo init --data"), "{said}");
}
