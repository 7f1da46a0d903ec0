//! Runs that mirrors miss: what backups, lists and exit codes say, by each policy.

use crate::support::{Person, Said, person_with_snapshot};

/// With a mirror `attic` in the folder `one`, and more to back up.
fn person_with_mirror() -> Person {
    let person = person_with_snapshot();
    person.ok("-r repo mirror add attic ./one");
    person.write("data/new.txt", "more\n");
    person
}

/// The place of a mirror cannot be written (rights would not stop everybody who runs tests).
fn break_off(person: &Person, place: &str) {
    std::fs::rename(person.path(place), person.path("away")).expect("renames");
    person.write(place, "no folder");
}

fn mend(person: &Person, place: &str) {
    std::fs::remove_file(person.path(place)).expect("removes");
    std::fs::rename(person.path("away"), person.path(place)).expect("renames");
}

#[track_caller]
fn says(said: &Said, code: i32, words: &[&str]) {
    assert_eq!(said.code, code, "{said}");
    for word in words {
        assert!(said.stdout.contains(word) || said.stderr.contains(word), "{word}: {said}");
    }
}

#[test]
fn a_run_that_a_mirror_missed_is_told_of_until_a_sync() {
    let person = person_with_mirror();
    break_off(&person, "one");
    let said = person.run("-r repo snapshot data --host web");
    says(&said, 3, &["saved in", "the mirror `attic` does not have", "`larder mirror sync`"]);
    let said = person.run("-r repo snapshot data --host web --json");
    says(&said, 3, &["\"degraded\":true", "\"name\":\"attic\",\"complete\":false,\"why\":\""]);
    // Whoever looks is told, on this machine and on one that remembers nothing.
    let behind = "the mirror `attic` is behind since";
    for line in ["snapshots", "backups", "repo info"] {
        says(&person.run(&format!("-r repo {line}")), 0, &[behind]);
    }
    std::fs::remove_dir_all(person.path(".local")).expect("forgets");
    says(&person.run("-r repo snapshots"), 0, &[behind]);
    mend(&person, "one");
    says(&person.run("-r repo mirror list"), 3, &["lacks"]);
    assert!(person.ok("-r repo mirror sync").contains("copied"));
    for line in ["snapshots", "backups", "repo info"] {
        let said = person.run(&format!("-r repo {line}"));
        assert!(said.code == 0 && !said.stderr.contains("attic"), "{said}");
    }
    let said = person.ok("-r repo snapshot data --host web --json");
    assert!(said.contains("\"degraded\":false") && said.contains("\"complete\":true"), "{said}");
    assert_eq!(person.ok("-r one snapshots"), person.ok("-r repo snapshots"));
}

#[test]
fn a_quorum_refuses_before_the_commit_if_there_are_too_few() {
    let person = person_with_mirror();
    let before = person.ok("-r repo snapshots");
    break_off(&person, "one");
    let said = person.run("-r repo snapshot data --host web --mirror-policy quorum");
    says(&said, 1, &["only 1 of 2 copies", "`larder mirror list`"]);
    assert_eq!(person.ok("-r repo snapshots"), before);
    // One of two mirrors may be away.
    person.ok("-r repo mirror add cellar ./two");
    let said = person.run("-r repo snapshot data --host web --mirror-policy quorum");
    says(&said, 3, &["the mirror `attic` does not have"]);
    assert_eq!(person.ok("-r two snapshots"), person.ok("-r repo snapshots"));
    mend(&person, "one");
    // By the environment, and by what the repository says.
    let run = |line: &str, policy: &str| {
        let mut command = person.command(line);
        person.said(command.env("LARDER_MIRROR_POLICY", policy).output().expect("runs"))
    };
    says(&run("-r repo snapshot data --host web", "quorum"), 0, &["saved in"]);
    says(&run("-r repo snapshot data --host web", "most"), 2, &["most"]);
    person.ok("-r repo mirror policy quorum");
    for place in ["one", "two"] {
        std::fs::remove_dir_all(person.path(place)).expect("removes");
    }
    says(&person.run("-r repo snapshot data --host web"), 1, &["only 1 of 3 copies"]);
}

/// They get the snapshot after its commit, in the same command; or nothing, and it is said.
#[test]
fn mirrors_are_written_after_the_run_by_the_policy_async() {
    let person = person_with_mirror();
    let line = "-r repo snapshot data --host web --mirror-policy async";
    let said = person.run(&format!("{line} --no-mirror-sync"));
    let waits = "note: the mirror `attic` waits for `larder mirror sync` (policy async)";
    says(&said, 0, &["saved in", waits]);
    says(&person.run("-r repo mirror list"), 3, &["lacks"]);
    let said = person.run("-r repo snapshots");
    says(&said, 0, &[waits]);
    assert!(!said.stderr.contains("warning"), "{said}");
    let said = person.run(&format!("{line} --no-mirror-sync --json"));
    says(&said, 0, &["\"degraded\":false", "\"message_type\":\"note\""]);
    let said = person.run(&format!("{line} --json"));
    says(&said, 0, &["\"degraded\":false", "\"name\":\"attic\",\"complete\":true"]);
    assert!(!said.stderr.contains("attic"), "{said}");
    assert!(person.ok("-r repo mirror list").contains("complete"));
    assert!(!person.run("-r repo snapshots").stderr.contains("attic"));
    assert_eq!(person.ok("-r one snapshots"), person.ok("-r repo snapshots"));
    // One that is away is no failure of the run, and what keeps it is said.
    break_off(&person, "one");
    let said = person.run(line);
    says(&said, 0, &["saved in", "the mirror `attic` does not have what this run wrote", "~/one"]);
    mend(&person, "one");
    person.ok("-r repo mirror sync");
    assert!(!person.run("-r repo snapshots").stderr.contains("attic"));
}
