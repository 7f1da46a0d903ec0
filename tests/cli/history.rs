//! A repository that was rolled back, or hides something: who notices, and what they do.

use std::fs;
use std::path::Path;

use crate::support::{Person, person_with_data, private};

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let (path, name) = entry.map(|e| (e.path(), e.file_name())).expect("an entry");
        if path.is_dir() {
            copy_tree(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).expect("copies");
        }
    }
}

/// Puts a copy of the repository in place of what is there.
fn roll_back(person: &Person, copy: &str) {
    fs::remove_dir_all(person.home().join("repo")).expect("removes");
    copy_tree(&person.home().join(copy), &person.home().join("repo"));
}

fn head_code(person: &Person) -> String {
    let info = person.raw("-r repo --json repo info");
    let info: serde_json::Value = serde_json::from_str(&info).expect("an object");
    info["head_code"].as_str().expect("a code").to_owned()
}

fn snapshots(person: &Person) -> usize {
    person.raw("-r repo --json snapshots").lines().count()
}

/// A person with two snapshots, and a copy of the repository from before the second.
fn rolled_back() -> (Person, String) {
    let person = person_with_data();
    person.ok("-r repo snapshot data --host web --quiet");
    copy_tree(&person.home().join("repo"), &person.home().join("earlier"));
    person.ok("-r repo snapshot data --host web --quiet");
    let code = head_code(&person);
    roll_back(&person, "earlier");
    (person, code)
}

#[test]
fn a_rolled_back_repository_is_told_of_by_every_command() {
    let (person, _) = rolled_back();
    insta::assert_snapshot!(person.run("-r repo snapshots"));
    insta::assert_snapshot!(person.run("-r repo check"));
    insta::assert_snapshot!(person.run("-r repo forget --keep-last 1"));
    for line in [
        "-r repo ls latest",
        "-r repo find letter.txt",
        "-r repo restore latest --target back",
        "-r repo repo stats",
        "-r repo repo info",
        "-r repo snapshot data --host web",
        "-r repo pin latest",
        "-r repo --quiet snapshots",
    ] {
        let said = person.run(line);
        assert!(said.stderr.contains("is missing"), "`{line}`: {said}");
        assert_eq!(said.code, 0, "`{line}`: {said}");
    }
    let said = person.run("-r repo --json snapshots");
    assert!(said.stderr.contains("\"message_type\":\"history\""), "{said}");
}

#[test]
fn what_is_accepted_is_not_told_of_again() {
    let (person, _) = rolled_back();
    person.ok("-r repo snapshot data --host web --quiet");
    assert_eq!(person.run("-r repo forget latest~1").code, 1);
    let said = person.run("-r repo forget latest~1 --accept-history");
    assert_eq!((said.code, snapshots(&person)), (0, 1), "{said}");
    for line in ["-r repo snapshots", "-r repo check"] {
        let said = person.run(line);
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said}");
    }
    // Whoever comes without a memory sees the same.
    fs::remove_dir_all(person.home().join(".local/state/larder")).expect("forgets");
    let said = person.run("-r repo check");
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said}");
}

#[test]
fn a_head_code_tells_a_machine_without_memory() {
    let (person, code) = rolled_back();
    fs::remove_dir_all(person.home().join(".local/state/larder")).expect("forgets");
    let said = person.run("-r repo check");
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "nobody can know: {said}");
    let check = |code: &str| {
        let mut command = person.command("-r repo check --expect-head");
        person.said(command.arg(code).output().expect("starts"))
    };
    insta::assert_snapshot!(check(&code));
    let current = head_code(&person);
    assert_ne!(current, code);
    for written in [current.clone(), current.to_uppercase(), current.replace(' ', "-")] {
        let said = check(&written);
        assert_eq!(said.code, 0, "{said}");
    }
    insta::assert_snapshot!(check("one two three"));
    // Whoever writes down a new recovery code writes the head code beside it.
    let person_with_key = Person::new();
    private(&person_with_key.write("pw", "secret\n"));
    person_with_key.write("letter.txt", "Dear Ann,\n");
    person_with_key.ok("-r repo --password-file pw repo init");
    person_with_key.ok("-r repo --password-file pw snapshot letter.txt");
    let said = person_with_key.raw("-r repo --password-file pw key recovery");
    let info = person_with_key.raw("-r repo --password-file pw --json repo info");
    let code = said.rsplit_once("`: ").expect("a head code").1.trim().to_owned();
    assert!(info.contains(&code), "{said}{info}");
    // It still holds when the repository has grown, and when a snapshot below it is gone.
    person.ok("-r repo snapshot data --host web --quiet");
    assert_eq!(check(&current).code, 0);
}

#[test]
fn a_hidden_snapshot_fails_a_check_with_a_newer_code() {
    let person = person_with_data();
    for _ in 0..3 {
        person.ok("-r repo snapshot data --host web --quiet");
    }
    let code = head_code(&person);
    let folder = person.home().join("repo/snapshots");
    let client = fs::read_dir(&folder).expect("a folder").next().expect("a client").expect("it");
    let records = fs::read_dir(client.path()).expect("a folder").map(|e| e.expect("it").path());
    let second = records.into_iter().find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("00000002-"))
    });
    fs::remove_file(second.expect("the second record")).expect("removes");
    fs::remove_dir_all(person.home().join(".local/state/larder")).expect("forgets");
    let mut command = person.command("-r repo check --expect-head");
    insta::assert_snapshot!(person.said(command.arg(code).output().expect("starts")));
}

#[test]
fn a_copied_machine_says_so_and_goes_on() {
    let person = person_with_data();
    person.ok("-r repo snapshot data --host web --quiet");
    let state = person.home().join(".local/state");
    copy_tree(&state.join("larder"), &person.home().join("image"));
    person.ok("-r repo snapshot data --host web --quiet");
    fs::remove_dir_all(state.join("larder")).expect("removes");
    copy_tree(&person.home().join("image"), &state.join("larder"));
    insta::assert_snapshot!(person.run("-r repo snapshots").stderr);
    person.ok("-r repo snapshot data --host web --quiet");
    let said = person.run("-r repo check");
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said}");
    assert_eq!(snapshots(&person), 3);
}

/// Nothing is copied into a repository that hides what it has, unless somebody has looked.
#[test]
fn copies_go_only_where_nothing_is_hidden() {
    let (person, _) = rolled_back();
    person.write("password", "another secret\n");
    private(&person.path("password"));
    person.ok("-r second repo init --password-file password --json");
    person.ok("-r second --password-file password snapshot data --host mail --quiet");
    let from = "-r second --password-file password copy --all --to repo";
    let said = person.run(from);
    assert_eq!(said.code, 1, "{said}");
    assert!(said.stderr.contains("destination"), "{said}");
    let said = person.run(&format!("{from} --accept-history"));
    assert_eq!(said.code, 0, "{said}");
}
