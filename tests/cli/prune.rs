//! `prune`: what it says before and after, and when it refuses.

use crate::support::{Person, person_with_data};

fn summary(person: &Person, line: &str) -> serde_json::Value {
    let raw = person.raw(line);
    let last = raw.lines().last().expect("a line");
    serde_json::from_str(last).expect("an object")
}

fn pack_bytes(person: &Person) -> u64 {
    let mut bytes = 0;
    let mut folders = vec![person.path("repo/data"), person.path("repo/meta")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("lists").flatten() {
            let meta = entry.metadata().expect("is there");
            if meta.is_dir() { folders.push(entry.path()) } else { bytes += meta.len() }
        }
    }
    bytes
}

/// A dry run names what is lost and how much is freed, and that is what a run then does.
#[test]
fn a_dry_run_says_what_a_run_does() {
    let person = person_with_data();
    person.write("data/gone.txt", "only here ".repeat(5_000));
    person.ok("-r repo snapshot data --host web --quiet");
    std::fs::remove_file(person.path("data/gone.txt")).expect("removes");
    person.ok("-r repo snapshot data --host web --quiet");
    person.ok("-r repo forget latest~1");
    let said = person.ok("-r repo prune --dry-run --grace 0 --max-unused 0");
    assert!(said.contains("would be lost for good"), "{said}");
    assert!(said.contains("gone.txt"), "{said}");
    let dry = summary(&person, "-r repo --json prune --dry-run --grace 0 --max-unused 0");
    assert_eq!(dry["dry_run"], true);
    assert_eq!(dry["exact"], true);
    let lost = dry["lost"]["files"].as_array().expect("files");
    assert!(lost.iter().any(|file| file["path"].as_str().is_some_and(|p| p.ends_with("gone.txt"))));
    let before = pack_bytes(&person);
    let kept = person.ok("-r repo prune");
    assert!(kept.contains("nothing to do"), "it was forgotten just now: {kept}");
    assert_eq!(pack_bytes(&person), before);
    let done = summary(&person, "-r repo --json prune --grace 0 --max-unused 0");
    assert_eq!(done["plan"]["freed_bytes"], dry["freed_bytes"]);
    assert_eq!(before - pack_bytes(&person), dry["freed_bytes"].as_u64().expect("a number"));
    assert!(person.ok("-r repo check --read-data").starts_with("no damage found: 1 snapshot"));
    person.ok("-r repo restore latest --target back");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let person = person_with_data();
    for line in ["--max-unused 120%", "--max-unused some", "--grace soon", "--max-repack -1"] {
        assert_eq!(person.run(&format!("-r repo prune {line}")).code, 2, "{line}");
    }
    assert_eq!(person.run("-r nowhere prune").code, 10);
}
