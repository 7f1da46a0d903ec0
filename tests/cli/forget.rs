//! `forget`, `undelete`, `pin`, `quarantine`, and what `snapshots` shows of them.

use crate::support::{Person, person_with_data};

fn lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
}

fn ids(person: &Person, line: &str) -> Vec<String> {
    let listed = lines(&person.raw(line));
    listed.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
}

fn person_with_snapshots() -> Person {
    let person = person_with_data();
    for tag in ["first", "second", "third"] {
        person.write("data/letter.txt", format!("Dear {tag},\n"));
        person.ok(&format!("-r repo snapshot data --host web --tag {tag} --quiet"));
    }
    person
}

#[test]
fn rules_tell_why_and_forgetting_can_be_undone() {
    let person = person_with_snapshots();
    insta::assert_snapshot!(person.ok("-r repo forget --keep-last 1 --keep-tag first"));
    let by_rule = "-r repo forget --keep-last 1 --keep-tag first --min-age 0";
    insta::assert_snapshot!(person.ok(&format!("{by_rule} --dry-run")));
    assert_eq!(ids(&person, "-r repo --json snapshots").len(), 3, "a dry run changes nothing");
    let before = ids(&person, "-r repo --json snapshots");
    insta::assert_snapshot!(person.ok(by_rule));
    insta::assert_snapshot!(person.ok("-r repo snapshots --forgotten"));
    assert_eq!(ids(&person, "-r repo --json snapshots --forgotten"), [before[1].clone()]);
    assert_eq!(ids(&person, "-r repo --json snapshots").len(), 2);
    person.ok(&format!("-r repo undelete {}", before[1]));
    assert_eq!(ids(&person, "-r repo --json snapshots"), before);
    person.ok(&format!("-r repo restore {} --target back", before[1]));
    assert!(person.ok("-r repo check --read-data").starts_with("no damage found: 3 snapshots"));
}

#[test]
fn decisions_in_json_have_their_reasons() {
    let person = person_with_snapshots();
    let said = lines(&person.raw("-r repo --json forget --keep-last 2 --min-age 0"));
    assert_eq!(said[0]["message_type"], "group");
    assert_eq!(said[0]["host"], "web");
    let decisions = said[0]["decisions"].as_array().expect("decisions");
    assert_eq!(decisions.len(), 3);
    assert_eq!(decisions[0]["action"], "forget");
    assert_eq!(decisions[2]["action"], "keep");
    assert_eq!(decisions[2]["reasons"][0], "last 1 of 2");
    assert_eq!(said[1]["forgotten"].as_array().expect("ids").len(), 1);
}

#[test]
fn pinned_snapshots_stay() {
    let person = person_with_snapshots();
    person.ok("-r repo pin latest~2 --reason keepsake");
    insta::assert_snapshot!(person.ok("-r repo snapshots"));
    insta::assert_snapshot!(person.run("-r repo forget latest~2"));
    insta::assert_snapshot!(person.ok("-r repo forget --keep-last 1 --min-age 0"));
    insta::assert_snapshot!(person.ok("-r repo unpin latest~1"));
    insta::assert_snapshot!(person.ok("-r repo forget latest~1"));
}

#[test]
fn quarantined_snapshots_do_not_count() {
    let person = person_with_snapshots();
    person.ok("-r repo quarantine latest --reason forged");
    let said = person.ok("-r repo forget --keep-last 1 --min-age 0");
    assert!(said.contains("quarantined: forged"), "{said}");
    assert!(person.ok("-r repo snapshots").contains("second"));
    person.ok("-r repo quarantine --clear latest");
    let said = person.ok("-r repo quarantine --clear latest");
    assert!(said.contains("nothing to clear"), "{said}");
}

/// Whatever nobody can have meant is refused before anything happens.
#[test]
fn wrong_arguments_forget_nothing() {
    let person = person_with_snapshots();
    let mut all = String::new();
    for line in [
        "forget",
        "forget --keep-last 0",
        "forget --keep-within 0d",
        "forget --keep-within soon",
        "forget --keep-last unlimited --keep-daily 3",
        "forget --keep-last 1 latest",
        "forget --min-age 1h latest",
        "forget --keep-tag typo --min-age 0",
        "forget --keep-tag typo,",
        "forget --keep-last 1 --group-by colour",
        "forget ffffffffffff",
        "forget latest latest~7",
        "forget latest latest~1 latest~2",
        "forget latest:etc",
        "undelete latest",
        "pin",
    ] {
        let said = person.run(&format!("-r repo {line}"));
        let error = said.stderr.lines().take_while(|line| !line.is_empty());
        let error: Vec<&str> = error.collect();
        all.push_str(&format!("{line}\n  {} {}\n", said.code, error.join("\n    ")));
    }
    insta::assert_snapshot!(all);
    assert_eq!(ids(&person, "-r repo --json snapshots").len(), 3);
    let everything = person.run("-r repo forget latest latest~1 latest~2 --allow-empty");
    assert_eq!(everything.code, 0, "{everything}");
    assert_eq!(person.ok("-r repo snapshots"), "");
    person.ok("-r repo undelete --all");
    assert_eq!(ids(&person, "-r repo --json snapshots").len(), 3);
}

/// One digit fits several ids sooner or later.
#[test]
fn ambiguous_ids_forget_nothing() {
    let person = person_with_snapshots();
    for _ in 0..14 {
        person.ok("-r repo snapshot data --host web --quiet");
    }
    let all = ids(&person, "-r repo --json snapshots");
    let digit = "0123456789abcdef"
        .chars()
        .find(|digit| all.iter().filter(|id| id.starts_with(*digit)).count() > 1)
        .expect("17 ids and 16 digits");
    let said = person.run(&format!("-r repo forget {digit} latest"));
    assert_eq!(said.code, 1, "{said}");
    assert!(said.stderr.contains("fits"), "{said}");
    assert_eq!(ids(&person, "-r repo --json snapshots"), all);
}

/// Forgetting and pruning in one command; what is pruned cannot be had back.
#[test]
fn forget_can_prune() {
    let person = person_with_snapshots();
    let said = person.ok("-r repo forget --keep-last 1 --min-age 0 --prune --dry-run");
    assert!(said.contains("larder prune --dry-run"), "{said}");
    // The grace keeps what was forgotten just now.
    person.ok("-r repo forget latest~2 --prune");
    person.ok("-r repo undelete --all");
    person.ok("-r repo forget --keep-last 1 --min-age 0 --prune --grace 0 --max-unused 0");
    assert_eq!(person.ok("-r repo snapshots --forgotten"), "");
    assert!(person.ok("-r repo check --read-data").starts_with("no damage found: 1 snapshot,"));
    person.ok("-r repo restore latest --target back");
    let said = person.run("-r repo forget --keep-last 1 --grace 0");
    assert_eq!(said.code, 2, "{said}");
}

/// A snapshot made from one that is pruned keeps its time.
#[test]
fn rewritten_snapshots_stay_in_time_when_the_original_is_gone() {
    let person = person_with_snapshots();
    person.ok("-r repo rewrite --all --exclude photos --forget");
    person.ok("-r repo prune --grace 0 --max-unused 0");
    assert_eq!(person.ok("-r repo snapshots --forgotten"), "");
    assert_eq!(ids(&person, "-r repo --json snapshots").len(), 3);
    assert!(!person.ok("-r repo snapshots").contains("out of time"));
    assert!(person.ok("-r repo check --read-data").starts_with("no damage found: 3 snapshots"));
}
