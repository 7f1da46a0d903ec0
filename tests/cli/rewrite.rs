//! `rewrite`, as people use it.

use crate::support::person_with_data;

#[test]
fn paths_are_taken_out_of_snapshots() {
    let person = person_with_data();
    person.settle();
    person.ok("-r repo snapshot data --host web --quiet");
    insta::assert_snapshot!(person.ok("-r repo rewrite latest --exclude photos --dry-run"));
    insta::assert_snapshot!(person.ok("-r repo rewrite latest --exclude photos"));
    assert!(!person.ok("-r repo ls latest --recursive").contains("photos"));
    insta::assert_snapshot!(person.ok("-r repo rewrite --all --exclude photos --forget"));
    insta::assert_snapshot!(person.ok("-r repo snapshots"));
    person.ok("-r repo restore latest --target back");
    assert!(person.ok("-r repo check --read-data").starts_with("no damage found: "));
}

#[test]
fn tags_and_hosts_are_changed() {
    let person = person_with_data();
    person.ok("-r repo snapshot data --host web --tag a,b --quiet");
    person.ok("-r repo rewrite latest --set-tags c --set-host mail --forget");
    insta::assert_snapshot!(person.ok("-r repo snapshots --host mail --tag c"));
    let said = person.raw("-r repo --json rewrite latest --add-tag d");
    let said: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(said[0]["different"], true);
    assert_eq!(said[1]["rewritten"], 1);
    insta::assert_snapshot!(person.run("-r repo rewrite latest"));
    insta::assert_snapshot!(person.run("-r repo rewrite latest --exclude *"));
}

/// One snapshot in quarantine does not keep all others as they are.
#[test]
fn doubtful_snapshots_are_passed_over() {
    let person = person_with_data();
    person.ok("-r repo snapshot data --host web --tag a --quiet");
    person.ok("-r repo quarantine latest --reason forged?");
    person.ok("-r repo snapshot data --host web --tag b --quiet");
    let said = person.run("-r repo rewrite --all --add-tag c --forget");
    assert_eq!(said.code, 3, "{said}");
    assert!(said.stderr.contains("quarantined or suspect, and stays as it is"), "{said}");
    assert_eq!(person.raw("-r repo --json snapshots --tag c").lines().count(), 1);
    assert_eq!(person.raw("-r repo --json snapshots").lines().count(), 2);
    assert_eq!(person.run("-r repo rewrite latest~1 --add-tag c").code, 2);
}
