//! `recover`: what it says, and where it takes things from.

use std::process::Stdio;

use crate::support::{Person, private};

/// A person with two series and a kit, who has lost everything else.
fn person() -> Person {
    let person = Person::new();
    person.write("data/letter.txt", "Dear Ann,\n");
    person.write("etc/fstab", "/dev/sda1 / ext4\n");
    private(&person.write("pw", "correct horse battery staple"));
    person.ok("-r repo --password-file pw repo init");
    person.ok("-r repo --password-file pw snapshot data --host web");
    person.ok("-r repo --password-file pw snapshot etc --host web --tag recover:10");
    person.ok("-r repo --password-file pw kit --output kit");
    for folder in [".cache", ".local", "data", "etc"] {
        std::fs::remove_dir_all(person.path(folder)).expect("lost");
    }
    person
}

#[test]
fn everything_comes_back_from_a_kit() {
    let person = person();
    insta::assert_snapshot!(person.run("recover --kit kit.txt --dry-run"));
    insta::assert_snapshot!(person.run("recover --kit kit.html --target back --verify"));
    let report = std::fs::read_to_string(person.path("back/larder-recovery-report.txt"));
    assert!(report.expect("a report").contains("Everything that was asked for is restored."));
    let restored = person.files("back").iter().filter(|p| p.ends_with("etc/fstab")).count();
    assert_eq!(restored, 1);
}

#[test]
fn a_kit_can_be_typed_and_a_code_stand_in_a_file() {
    let person = person();
    let kit = std::fs::read_to_string(person.path("kit.txt")).expect("a kit");
    let code = kit.lines().find_map(|line| line.strip_prefix("Recovery code")).expect("a code");
    // What a camera makes of the QR code, with the repository at another place now.
    std::fs::rename(person.path("repo"), person.path("moved")).expect("moved");
    let typed = format!("LARDER RECOVERY KIT\nRecovery code: {}\n", code.trim().to_lowercase());
    let output =
        person.command("-r moved recover --kit - --target typed").write_stdin(typed).output();
    assert_eq!(person.said(output.expect("runs")).code, 0);
    private(&person.write("code", code.trim()));
    person.ok("-r moved recover --recovery-code-file code --target from-file");
    person.ok("-r moved --password-file pw recover --target from-password --path etc");
    assert_eq!(person.files("typed").len(), 3);
    assert_eq!(person.files("from-file").len(), 3);
    assert_eq!(person.files("from-password").len(), 2);
    insta::assert_snapshot!(person.run("recover --kit kit.txt --target back"));
    insta::assert_snapshot!(person.run("recover --target back"));
}

#[test]
fn plans_are_written_and_never_over_a_file() {
    let person = person();
    let plan = person.ok("recover --kit kit.txt --write-plan -");
    insta::assert_snapshot!(plan);
    person.ok("recover --kit kit.txt --write-plan plan.toml");
    assert_eq!(person.run("recover --kit kit.txt --write-plan plan.toml").code, 1);
    let json = person.raw("--json recover --kit kit.txt --plan plan.toml --target back");
    let types: Vec<String> = json
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .filter_map(|object| object["message_type"].as_str().map(str::to_owned))
        .filter(|kind| kind != "status")
        .collect();
    assert_eq!(types, ["repository", "plan", "step", "step", "summary"]);
}

/// What cannot work is said, and what may still help.
#[test]
fn nothing_to_recover_and_no_key_are_explained() {
    let person = Person::new();
    private(&person.write("pw", "correct horse battery staple"));
    person.ok("-r repo --password-file pw repo init");
    person.ok("-r repo --password-file pw kit --output kit.txt");
    let said = person.run("recover --kit kit.txt --target back");
    assert!(said.stderr.contains("no snapshot at all"), "{said}");
    assert!(said.stderr.contains("larder undelete"), "{said}");
    std::fs::remove_dir_all(person.path("repo/keys")).expect("removed");
    let said = person.run("recover --kit kit.txt --target back");
    assert!(said.stderr.contains("bring the folder `keys/` back"), "{said}");
}

/// Without a terminal nothing is asked, and nothing hangs.
#[test]
fn nothing_is_asked_where_nobody_can_answer() {
    let person = person();
    let mut process = person.process("recover --target back");
    let output = process.stdin(Stdio::null()).output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    let output = person.process("-r repo recover --target back").stdin(Stdio::null()).output();
    assert_eq!(output.expect("runs").status.code(), Some(12));
}
