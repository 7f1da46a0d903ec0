//! Schedules and restore tests from the command line.

use crate::support::Person;

fn person() -> Person {
    let person = Person::new();
    person.ok("repo init --encryption none");
    person.write("data/a", "content");
    person
}

#[test]
fn schedules_are_made_changed_and_removed() {
    let person = person();
    assert!(person.ok("schedule list").contains("no schedules"));
    person.ok("schedule add nightly data --when @daily --keep-daily 7 --rpo 30 --exclude *.tmp");
    person.ok("schedule add space --job forget --when @weekly --keep-monthly 12 --prune");
    let listed = person.ok("schedule list");
    assert!(listed.contains("nightly") && listed.contains("forget and prune"), "{listed}");

    let show = || -> serde_json::Value {
        serde_json::from_str(&person.ok("schedule show nightly")).expect("JSON")
    };
    let made = show();
    assert_eq!(made["rpo_hours"], 30);
    assert_eq!(made["job"]["excludes"][0], "*.tmp");
    assert_eq!(made["job"]["sources"][0], "~/data", "a path in full");

    person.ok("schedule edit nightly --when 6h --retries 5");
    let changed = show();
    assert_eq!((&changed["interval_hours"], &changed["max_retries"]), (&6.into(), &5.into()));
    assert_eq!(changed["job"], made["job"], "the rest stays");
    assert_eq!((&changed["keep"], &changed["schedule_id"]), (&made["keep"], &made["schedule_id"]));

    person.ok("schedule pause nightly");
    assert_eq!(show()["next_run"], serde_json::Value::Null);
    assert_eq!(person.run("schedule run nightly").code, 2, "it is paused");
    person.ok("schedule resume nightly");
    assert!(show()["next_run"].is_string());
    assert_eq!(person.ok("schedule next --count 3").lines().count(), 3);
    person.ok("schedule remove nightly");
    assert_ne!(person.run("schedule show nightly").code, 0);
    assert!(person.ok("schedule list").contains("space"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let person = person();
    for (words, part) in [
        ("add a data", "does not say when"),
        ("add a data --when 61h61", "61h61"),
        ("add a --job prune --when @daily data", "paths says nothing"),
        ("add a --job check --when @daily --tag x", "`--tag` says nothing"),
        ("add a --job forget --when @weekly", "keep"),
        ("edit nobody --when 6h", "nobody"),
    ] {
        let said = person.run(&format!("schedule {words}"));
        assert_ne!(said.code, 0, "{words}");
        assert!(said.stderr.contains(part), "{words}: {said}");
    }
    assert!(person.ok("schedule list").contains("no schedules"));
}

#[test]
fn a_drill_proves_that_files_come_back_and_finds_damage() {
    let person = person();
    // Small files are not in packs of data.
    let bytes: Vec<u8> =
        (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    person.write("data/b", bytes);
    person.ok("snapshot data");
    let said = person.ok("--json drill");
    assert!(said.contains("\"message_type\":\"drill\""), "{said}");
    let said = person.ok("drill");
    assert!(said.starts_with("PROVEN"), "{said}");
    for part in ["restored      2 files, ", "time          ", "failed        0 files"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("what to do") && !said.contains("[]"), "{said}");
    // What fits nothing proves nothing.
    let said = person.run("drill --budget 1");
    assert_eq!(said.code, 2, "{said}");
    assert!(said.stdout.starts_with("NOTHING PROVEN"), "{said}");
    assert!(said.stderr.contains("--budget"), "{said}");
    for pack in person.files(".local/share/larder/repository/data") {
        let mut bytes = std::fs::read(&pack).expect("is read");
        let at = bytes.len() / 3;
        bytes[at..at + 8].iter_mut().for_each(|byte| *byte ^= 0x5a);
        let _ = std::fs::remove_file(&pack);
        std::fs::write(&pack, bytes).expect("is written");
    }
    let said = person.run("drill");
    assert_eq!(said.code, 1);
    for part in ["FAILED", "failed        1 file\n", "/data/b: ", "what to do: ", "larder heal"] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
}
