//! `restore`: out of the repository again.

use crate::support::{Person, latest, person_with_snapshot};

#[test]
fn a_folder_comes_back_as_it_was() {
    let person = person_with_snapshot();
    let said =
        person.run(&format!("-r repo restore {} --target back --verify", latest(&person, "data")));
    insta::assert_snapshot!(said);
    assert_eq!(std::fs::read(person.path("back/letter.txt")).expect("a file"), b"Dear Ann,\n");
    let link = std::fs::read_link(person.path("back/link")).expect("a link");
    assert_eq!(link.as_os_str(), "letter.txt");
    assert!(person.path("back/photos/.cache/thumb").exists());
}

#[test]
fn without_a_path_the_full_paths_are_made_again() {
    let person = person_with_snapshot();
    person.ok("-r repo restore latest --target back --include *.txt");
    let home = person.home().strip_prefix("/").expect("absolute").to_owned();
    let back = person.path("back").join(home).join("data");
    assert!(back.join("letter.txt").exists());
    assert!(!back.join("photos/sea.jpg").exists());
}

#[test]
fn a_dry_run_changes_nothing() {
    let person = person_with_snapshot();
    let line = format!("-r repo restore {} --target back --dry-run", latest(&person, "data"));
    insta::assert_snapshot!(person.run(&line));
    assert!(!person.path("back").exists());
}

#[test]
fn overwriting_and_deleting_are_asked_for() {
    let person = person_with_snapshot();
    let source = latest(&person, "data");
    person.write("back/letter.txt", "mine");
    person.write("back/other.txt", "mine too");
    person.ok(&format!("-r repo restore {source} --target back --overwrite never"));
    assert_eq!(std::fs::read(person.path("back/letter.txt")).expect("a file"), b"mine");
    let said = person.run(&format!("-r repo restore {source} --target back --overwrite ask"));
    assert_eq!(said.code, 2, "{said}");
    assert!(said.stderr.contains("no terminal"), "{said}");
    person.ok(&format!("-r repo restore {source} --target back --overwrite keep-both"));
    assert_eq!(std::fs::read(person.path("back/letter.txt")).expect("a file"), b"mine");
    let beside = |name: &&std::path::PathBuf| name.to_string_lossy().contains("(restored from ");
    assert_eq!(person.files("back").iter().filter(beside).count(), 1);
    person.ok(&format!("-r repo restore {source} --target back --delete"));
    assert_eq!(std::fs::read(person.path("back/letter.txt")).expect("a file"), b"Dear Ann,\n");
    assert!(!person.path("back/other.txt").exists());
}

#[test]
fn json_counts_what_was_done() {
    let person = person_with_snapshot();
    let said =
        person.raw(&format!("-r repo --json restore {} --target back", latest(&person, "data")));
    let summary: serde_json::Value =
        serde_json::from_str(said.lines().last().expect("a line")).expect("an object");
    assert_eq!(summary["message_type"], "summary");
    assert_eq!(summary["files"], 3);
    assert_eq!(summary["failed"], 0);
}

#[test]
fn damaged_files_are_named_and_the_rest_restored() {
    let person = person_with_snapshot();
    for pack in person.files("repo/data") {
        std::fs::remove_file(pack).expect("removed");
    }
    let said = person.run(&format!("-r repo restore {} --target back", latest(&person, "data")));
    assert_eq!(said.code, 3, "{said}");
    assert!(said.stderr.contains("photos/sea.jpg"), "{said}");
    // Small files stand in the manifest.
    assert_eq!(std::fs::read(person.path("back/letter.txt")).expect("a file"), b"Dear Ann,\n");
}

#[test]
fn what_cannot_be_restored_from_or_to_is_named() {
    let person = person_with_snapshot();
    insta::assert_snapshot!(person.run("-r repo restore latest:nowhere --target back"));
    person.write("file", "");
    insta::assert_snapshot!(person.run("-r repo restore latest --target file"));
    insta::assert_snapshot!(person.run("-r repo restore latest"));
    insta::assert_snapshot!(person.run("-r repo restore latest --target back --include [z-a]"));
}

/// Killed in the middle, and run again: it goes on, and says how much was there already.
#[test]
fn a_killed_restore_goes_on_when_it_is_run_again() {
    let person = Person::new();
    person.ok("-r repo repo init --encryption none");
    for n in 0..800_u32 {
        let bytes: Vec<u8> = n.to_le_bytes().iter().copied().cycle().take(20_000).collect();
        person.write(&format!("data/{}/{n}", n / 20), bytes);
    }
    person.settle();
    person.ok("-r repo snapshot data --host web");
    let line = format!("-r repo restore {} --target back", latest(&person, "data"));
    for overwrite in ["always", "keep-both"] {
        let line = format!("{line} --overwrite {overwrite}");
        let mut running = person.process(&line).spawn().expect("starts");
        let begun = std::time::Instant::now();
        while person.path("back").read_dir().map_or(0, Iterator::count) < 6
            && begun.elapsed().as_secs() < 60
        {
            std::thread::yield_now();
        }
        running.kill().expect("is killed");
        running.wait().expect("ended");
        let said = person.raw(&format!("--json {line} --verify"));
        let summary: serde_json::Value =
            serde_json::from_str(said.lines().last().expect("a line")).expect("an object");
        let number = |name: &str| summary[name].as_u64().expect("a number");
        assert_eq!(
            (number("failed"), number("replaced") > 300, number("kept_both")),
            (0, false, 0)
        );
        assert_eq!(number("verified"), 840, "{summary}");
        assert!(number("unchanged") > 0, "{summary}");
        for n in 0..800 {
            let name = format!("{}/{n}", n / 20);
            let read = |top: &str| std::fs::read(person.path(top).join(&name)).expect("a file");
            assert_eq!(read("back"), read("data"), "{name}");
        }
        let names = person.files("back");
        assert_eq!(names.len(), 800, "nothing is left over");
        std::fs::remove_dir_all(person.path("back")).expect("removes");
    }
}

#[test]
fn what_is_asked_for_can_be_verified_first() {
    let person = person_with_snapshot();
    let source = latest(&person, "data");
    let said = person.ok(&format!("-r repo restore {source} --target back --verify-first"));
    assert!(said.contains("verified") && said.contains("first"), "{said}");
    for pack in person.files("repo/data") {
        std::fs::remove_file(pack).expect("removed");
    }
    std::fs::remove_dir_all(person.path("back")).expect("removed");
    for how in ["", "=structure", "=data"] {
        let line = format!("-r repo restore {source} --target back --verify-first{how}");
        let said = person.run(&line);
        assert_eq!(said.code, 1, "{said}");
        assert!(said.stderr.contains("sea.jpg"), "{said}");
        assert!(said.stderr.contains("nothing was restored"), "{said}");
        assert!(!person.path("back").exists());
    }
    // What is not lost can be had.
    let only = person.path("data/letter.txt");
    let line =
        format!("-r repo restore latest --only {} --target one --verify-first", only.display());
    person.ok(&line);
    assert_eq!(person.files("one").len(), 1);
}

#[test]
fn times_without_a_snapshot_name_the_oldest() {
    let person = person_with_snapshot();
    for what in ["", "latest ", "latest:home "] {
        let said = person.run(&format!("-r repo restore {what}--at 2001-01-01 --target back"));
        assert_eq!(said.code, 2, "{said}");
        assert!(said.stderr.contains("the oldest is"), "{said}");
    }
    assert!(!person.path("back").exists());
    person.ok("-r repo restore --at now --target back");
    let said = person.ok("-r repo timeline");
    assert!(said.contains("1 snapshot in 1 hour"), "{said}");
    let said = person.raw("-r repo --json timeline --hours 0");
    let hour: serde_json::Value = serde_json::from_str(said.trim()).expect("an object");
    assert_eq!((hour["message_type"].as_str(), hour["count"].as_u64()), (Some("hour"), Some(1)));
    let said = person.ok("-r repo timeline --at 2001-01-01");
    assert!(said.contains("0 snapshots in 0 hours"), "{said}");
}
