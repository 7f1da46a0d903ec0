//! Bundles: `larder export --format larder`, every command that reads on one, `larder import`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Person, person_with_data, private};

const OPENS: &str = "--password-file word";
/// The repository that bundles are made of.
const HOME: &str = "-r safe --key-file key";

fn person_with_bundle() -> Person {
    let person = person_with_data();
    person.settle();
    person.write("word", "the word for it\n");
    private(&person.path("word"));
    person.ok("-r safe repo init --new-key-file key --no-recovery");
    for tag in ["first", "second"] {
        person.write("data/letter.txt", format!("Dear {tag},\n"));
        person.ok(&format!("{HOME} snapshot data --host web --tag {tag} --quiet"));
    }
    person.ok(&format!("{HOME} export --all -o medium/carry.larder --to-password-file word"));
    person
}

/// How many snapshots there are.
fn listed(person: &Person, repository: &str) -> usize {
    person.ok(&format!("{repository} snapshots")).lines().count() - 1
}

#[test]
fn bundles_are_made_of_snapshots() {
    let person = person_with_bundle();
    let word = "--to-password-file word";
    insta::assert_snapshot!(person.ok(&format!("{HOME} export latest~1 -o one.larder {word}")));
    insta::assert_snapshot!(person.run(&format!("{HOME} export latest -o one.larder {word}")));
    person.ok(&format!("{HOME} export latest latest~1 -o one.larder --force {word} --level 19"));
    assert_eq!(listed(&person, &format!("-r one.larder {OPENS}")), 2);
    // Nothing says what shall open it, and what it is for others.
    insta::assert_snapshot!(person.run(&format!("{HOME} export latest -o two.larder")));
    insta::assert_snapshot!(person.run(&format!("{HOME} export latest latest~1 -o two.zip")));
    insta::assert_snapshot!(person.run(&format!("{HOME} export latest -o two.zip {word}")));
    for (line, code) in [
        ("export latest --format larder -o -", 2),
        ("export latest:data -o two.larder", 2),
        ("export latest -o safe/two.larder", 2),
        ("export latest -o two.larder --level 23", 2),
        ("export --all --tag none -o two.larder", 2),
    ] {
        let said = person.run(&format!("{HOME} {line} {word}"));
        assert_eq!(said.code, code, "{line}: {said}");
    }
    assert!(!person.path("two.larder").exists() && !person.path("two.zip").exists());
    let said = person.raw(&format!("{HOME} --json export latest --format larder {word}"));
    let summary: serde_json::Value =
        serde_json::from_str(said.lines().last().expect("a line")).expect("an object");
    assert_eq!((&summary["format"], &summary["encryption"]), (&"larder".into(), &"aes256".into()));
}

/// On a medium that cannot be written.
#[test]
fn everything_that_reads_works_on_a_bundle() {
    let person = person_with_bundle();
    let bundle = person.path("medium/carry.larder");
    fs::set_permissions(&bundle, fs::Permissions::from_mode(0o400)).expect("sets a mode");
    fs::set_permissions(person.path("medium"), fs::Permissions::from_mode(0o500)).expect("sets");
    let ok = |line: &str| person.ok(&format!("-r medium/carry.larder {OPENS} {line}"));
    insta::assert_snapshot!(ok("snapshots"));
    let data = person.path("data").display().to_string();
    assert!(ok("ls latest").contains("letter.txt"));
    assert_eq!(ok(&format!("dump latest:{data}/letter.txt")), "Dear second,\n");
    assert_eq!(ok(&format!("dump latest~1:{data}/letter.txt")), "Dear first,\n");
    assert!(ok("find letter.txt").contains("letter.txt"));
    assert!(ok("diff latest~1 latest").contains("letter.txt"));
    assert!(ok(&format!("history {data}/letter.txt")).contains("letter.txt"));
    assert!(ok("check --read-data").starts_with("no damage found: 2 snapshots"));
    assert!(ok("repo info").contains("carry.larder"));
    assert!(ok("repo stats").contains("snapshots"));
    assert!(ok("key list").contains("password"));
    assert!(ok("restore latest --target back --verify").contains("verified"));
    let letter = person.path(&format!("back{data}/letter.txt"));
    assert_eq!(fs::read_to_string(letter).expect("is there"), "Dear second,\n");
    ok("export latest -o out.zip");
    person.ok(&format!("-r medium/carry.larder {OPENS} copy --all --to safe --to-key-file key"));
    assert_eq!(listed(&person, HOME), 2, "they are there already");
    assert_eq!(person.files("medium").len(), 1, "nothing was written beside it");
}

#[test]
fn nothing_writes_to_a_bundle() {
    let person = person_with_bundle();
    let before = fs::read(person.path("medium/carry.larder")).expect("reads");
    let run = |line: &str| person.run(&format!("-r medium/carry.larder {OPENS} {line}"));
    insta::assert_snapshot!(run("snapshot data"));
    for line in [
        "forget latest",
        "forget --keep-last 1 --min-age 0",
        "prune",
        "pin latest",
        "rewrite latest --exclude letter.txt",
        "key add --new-password-file word",
        "repair index",
        "repo rekey",
    ] {
        let said = run(line);
        assert_ne!(said.code, 0, "{line}: {said}");
        assert!(said.stderr.contains("can only be read"), "{line}: {said}");
    }
    let said = run("repo init --encryption none");
    assert_ne!(said.code, 0, "{said}");
    assert_eq!(fs::read(person.path("medium/carry.larder")).expect("reads"), before);
}

#[test]
fn bundles_are_imported_once() {
    let person = person_with_bundle();
    let from = "medium/carry.larder --from-password-file word";
    person.ok("-r second repo init --password-file word --no-recovery");
    let second = format!("-r second {OPENS}");
    insta::assert_snapshot!(person.ok(&format!("{second} import {from} --dry-run")));
    insta::assert_snapshot!(person.ok(&format!("{second} import {from} --snapshot latest~1")));
    insta::assert_snapshot!(person.ok(&format!("{second} import {from}")));
    let said = person.ok(&format!("{second} --json import {from}"));
    assert!(said.contains("\"outcome\":\"already_there\""), "{said}");
    assert!(said.contains("\"skipped\":2"), "{said}");
    // Where it comes from.
    insta::assert_snapshot!(person.ok(&format!("{HOME} import {from}")));
    // What only archives can be asked for is not passed over in silence.
    for option in ["--name x", "--max-size 1GiB", "--max-entries 5", "--max-ratio 7", "--host x"] {
        let said = person.run(&format!("{HOME} import {from} {option}"));
        assert_eq!(said.code, 2, "{option}: {said}");
        assert!(said.stderr.contains("is a bundle"), "{said}");
    }
    person.ok(&format!("{HOME} forget latest"));
    insta::assert_snapshot!(person.ok(&format!("{HOME} import {from}")));

    insta::assert_snapshot!(person.run(&format!("{HOME} import medium/carry.larder")));
    insta::assert_snapshot!(person.run(&format!("{HOME} import data/letter.txt")));
    person.write("wrong", "no\n");
    private(&person.path("wrong"));
    let said = person.run(&format!("{HOME} import medium/carry.larder --from-password-file wrong"));
    assert_eq!(said.code, 12, "{said}");
    assert_eq!(person.run(&format!("{HOME} import nowhere.larder")).code, 1);
}

#[test]
fn a_damaged_bundle_says_so_and_gives_what_is_whole() {
    let person = person_with_bundle();
    let path = person.path("medium/carry.larder");
    let bytes = fs::read(&path).expect("reads");
    fs::write(&path, &bytes[..bytes.len() - 100]).expect("writes");
    let said = person.run(&format!("-r medium/carry.larder {OPENS} restore latest --target back"));
    assert_eq!(said.code, 0, "{said}");
    assert!(said.stderr.contains("the bundle is damaged"), "{said}");
    let said = person.run(&format!("-r medium/carry.larder {OPENS} check"));
    assert_ne!(said.code, 0, "{said}");
    person.ok("-r second repo init --password-file word --no-recovery");
    let from = "medium/carry.larder --from-password-file word";
    let said = person.run(&format!("-r second {OPENS} import {from}"));
    assert_eq!(said.code, 3, "{said}");
    assert!(said.stdout.contains("2 snapshots imported"), "{said}");
    // A beginning that is gone is no reason to import nothing.
    let mut headless = bytes.clone();
    headless[..16].fill(0);
    fs::write(&path, &headless).expect("writes");
    person.ok("-r third repo init --password-file word --no-recovery");
    let said = person.run(&format!("-r third {OPENS} import {from}"));
    assert_eq!(said.code, 3, "{said}");
    assert!(said.stdout.contains("2 snapshots imported"), "{said}");
    // What is no bundle any more is one if somebody says so.
    let mut bytes = bytes[..bytes.len() - 100].to_vec();
    bytes[..16].fill(0);
    fs::write(&path, &bytes).expect("writes");
    assert_eq!(person.run(&format!("-r medium/carry.larder {OPENS} snapshots")).code, 2);
    assert_eq!(listed(&person, &format!("-r bundle:medium/carry.larder {OPENS}")), 2);
    person.ok("-r fourth repo init --password-file word --no-recovery");
    let keys = "--from-password-file word";
    // Its name says so, or keys that only bundles have.
    let said = person.run(&format!("-r fourth {OPENS} import medium/carry.larder {keys}"));
    assert_eq!(said.code, 3, "{said}");
    assert!(said.stdout.contains("2 snapshots imported"), "{said}");
}

#[test]
fn without_encryption_a_bundle_has_none_and_says_so() {
    let person = person_with_data();
    person.settle();
    person.ok("-r open repo init --encryption none");
    person.ok("-r open snapshot data --quiet");
    insta::assert_snapshot!(person.ok("-r open export latest -o open.larder"));
    assert_eq!(listed(&person, "-r open.larder"), 1);
    person.ok("-r second repo init --encryption none");
    assert!(person.ok("-r second import open.larder").contains("1 snapshot imported"));
}

/// A bundle takes no backups: one that was tried is none that failed.
#[test]
fn what_is_refused_by_a_bundle_is_no_failed_run() {
    let person = person_with_bundle();
    let bundle = format!("-r medium/carry.larder {OPENS}");
    let said = person.run(&format!("{bundle} snapshot data --quiet"));
    assert_ne!(said.code, 0, "{said}");
    assert!(said.stderr.contains("can only be read"), "{said}");
    assert!(person.ok(&format!("{bundle} stats")).contains("success rate  100 %"));
}
