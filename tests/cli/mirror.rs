//! `mirror` and `heal`: as people meet them, with folders.

use crate::support::{Person, Said, person_with_snapshot, private};

/// The first pack of data at a place.
fn pack(person: &Person, place: &str) -> std::path::PathBuf {
    let files = person.files(&format!("{place}/data"));
    files.first().expect("a pack").clone()
}

fn damage(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).expect("reads");
    bytes[100] ^= 1;
    std::fs::write(path, bytes).expect("writes");
}

#[track_caller]
fn failed(said: &Said, code: i32, what: &str) {
    assert_eq!(said.code, code, "{said}");
    assert!(said.stdout.contains(what) || said.stderr.contains(what), "{what}: {said}");
}

#[test]
fn a_mirror_is_added_filled_listed_and_removed() {
    let person = person_with_snapshot();
    let list = || person.run("-r repo mirror list").stdout;
    assert!(list().contains("no mirrors"));
    person.ok("-r repo mirror add attic ./one");
    person.ok("-r repo mirror add cellar ./two --no-sync");
    let said = list();
    assert!(said.contains("attic") && said.contains("complete"), "{said}");
    assert!(said.contains("cellar") && said.contains("lacks"), "{said}");
    assert!(said.contains("policy: all"), "{said}");
    let said = person.run("-r repo mirror list --json");
    for what in ["\"state\":\"complete\"", "\"state\":\"incomplete\"", "\"policy\":\"all\""] {
        failed(&said, 3, what);
    }
    // RFC 3339, as all times are.
    assert!(
        said.stdout.contains("\"last_write\":\"<time>\"") && !said.stdout.contains("_ms"),
        "{said}"
    );
    person.ok("-r repo mirror sync cellar");
    assert!(!person.ok("-r repo mirror list").contains("lacks"), "{}", list());
    // One is a repository when nothing else is left.
    std::fs::rename(person.path("repo"), person.path("gone")).expect("renames");
    assert!(person.ok("-r one check --read-data").contains("no damage found"));
    person.ok("-r two restore latest --target back --verify");
    std::fs::rename(person.path("gone"), person.path("repo")).expect("renames");
    // One that is gone does not hide the other.
    std::fs::rename(person.path("one"), person.path("away")).expect("renames");
    let said = list();
    assert!(said.contains("unreachable") && said.contains("complete"), "{said}");
    failed(&person.run("-r repo mirror list --json"), 3, "\"state\":\"unreachable\"");
    failed(&person.run("-r repo mirror sync"), 3, "attic");
    failed(&person.run("-r repo mirror sync attic"), 10, "is the disk mounted?");
    failed(&person.run("-r repo mirror scrub attic"), 10, "`larder mirror remove attic`");
    let said = person.ok("-r repo mirror remove attic");
    assert!(said.contains("stays"), "{said}");
    assert!(!list().contains("attic") && person.path("away/repo").exists());
    failed(&person.run("-r repo mirror remove attic"), 2, "there are: cellar");
    person.ok("-r repo mirror policy async");
    assert_eq!(person.ok("-r repo mirror policy"), "async\n");
    assert!(person.ok("-r repo mirror policy --json").contains("\"policy\":\"async\""));
    assert!(person.ok("-r repo repo info").contains("async"));
    assert!(person.ok("-r repo repo info --json").contains("\"mirror_policy\":\"async\""));
    failed(&person.run("-r repo mirror policy some"), 2, "some");
}

/// The folder below a disk that is not mounted.
#[test]
fn an_empty_place_is_not_filled_without_being_asked() {
    let person = person_with_snapshot();
    person.ok("-r repo mirror add attic ./one");
    std::fs::rename(person.path("one"), person.path("away")).expect("renames");
    for is_there in [false, true] {
        if is_there {
            std::fs::create_dir(person.path("one")).expect("makes");
        }
        failed(&person.run("-r repo mirror sync attic"), 10, "is the disk mounted?");
        failed(&person.run("-r repo mirror scrub attic"), 10, "is the disk mounted?");
        failed(&person.run("-r repo snapshot data --host web"), 3, "is the disk mounted?");
        person.run("-r repo heal");
        person.ok("-r repo mirror policy quorum");
        person.ok("-r repo mirror policy all");
    }
    assert!(person.files("one").is_empty());
    failed(&person.run("-r repo mirror sync nosuch"), 2, "there are: attic");
    person.ok("-r repo mirror sync attic --anew");
    assert!(person.ok("-r one check --read-data").contains("no damage found"));
}

/// Keys that are removed are still at a mirror that is left out.
#[test]
fn a_mirror_that_keeps_a_removed_key_is_named() {
    let person = person_with_snapshot();
    person.write("password", "a good secret\n");
    person.write("next", "another secret\n");
    for name in ["password", "next"] {
        private(&person.path(name));
    }
    person.ok("-r safe repo init --password-file password --json");
    person.ok("-r safe mirror add attic ./one --password-file password");
    std::fs::rename(person.path("one"), person.path("away")).expect("renames");
    let line = "-r safe key passwd --password-file password --new-password-file next";
    failed(&person.run(line), 3, "still opens the copy at");
}

#[test]
fn places_that_are_no_mirrors_are_refused() {
    let person = person_with_snapshot();
    person.ok("-r other repo init --encryption none");
    for (line, what) in [
        ("x ./repo", "is where the repository"),
        ("x ./repo/sub", "is where the repository"),
        ("x .", "is where the repository"),
        ("x ./other", "another repository"),
        ("Ä ./one", "cannot be the name"),
        ("x ftp://host/x", "is no kind of storage"),
    ] {
        failed(&person.run(&format!("-r repo mirror add {line}")), 2, what);
    }
    failed(&person.run("-r repo mirror add x ./data"), 1, "not empty");
    assert!(person.ok("-r repo mirror list").contains("no mirrors"));
    // A mirror in a source is left out of it, as the repository itself is.
    person.ok("-r repo mirror add inside ./data/mirror");
    person.ok("-r repo snapshot data --host web");
    assert!(!person.ok("-r repo ls latest").contains("data/mirror/repo"));
    failed(&person.run("-r repo snapshot data/mirror"), 2, "in the repository");
}

/// Nobody is asked for a password, and there is none.
#[test]
fn places_are_synchronised_and_scrubbed_without_a_password() {
    let person = person_with_snapshot();
    person.write("password", "a good secret\n");
    private(&person.path("password"));
    person.ok("-r safe repo init --password-file password --json");
    person.ok("-r safe snapshot data --host web --password-file password");
    person.ok("mirror sync --from safe --to copy");
    assert!(person.ok("mirror sync --from safe --to copy").contains("nothing to copy"));
    assert!(person.ok("mirror scrub ./copy").contains("no damage found"));
    assert!(person.ok("-r copy check --password-file password").contains("no damage found"));
    failed(&person.run("mirror sync --from safe --to repo"), 2, "another repository");
    failed(&person.run("mirror sync --from nowhere --to new"), 10, "no repository");
    assert!(!person.path("new").exists());
    damage(&pack(&person, "safe"));
    failed(&person.run("-r safe mirror scrub"), 1, "its bytes are not those");
    failed(&person.run("mirror scrub ./safe --json"), 1, "\"bad\":[{");
    failed(&person.run("mirror sync --from safe --to third"), 1, "not copied");
    failed(&person.run("-r safe heal --from ./copy --dry-run"), 1, "would heal");
    assert!(person.ok("-r safe heal --from ./copy").contains("no damage is left"));
    person.ok("mirror scrub ./safe");
    let said = person.ok("mirror sync --from safe --to third --json");
    assert!(said.contains("\"message_type\":\"summary\"") && said.contains("\"bad\":[]"));
}

#[test]
fn damage_is_healed_from_mirrors_and_proved() {
    let person = person_with_snapshot();
    failed(&person.run("-r repo heal"), 2, "no mirrors");
    person.ok("-r repo mirror add attic ./one");
    damage(&pack(&person, "repo"));
    failed(&person.run("-r repo check --read-data"), 1, "`larder heal` takes what is damaged");
    assert!(person.ok("-r repo kit --stdout").contains("~/one"), "the kit names the mirror");
    // Known as damaged, and put right nevertheless.
    person.run("-r repo repair packs");
    let said = person.ok("-r repo heal");
    assert!(said.contains("healed data/") && said.contains("relied on again"), "{said}");
    assert!(person.ok("-r repo check --read-data").contains("no damage found"));
    std::fs::remove_file(pack(&person, "repo")).expect("removes");
    damage(person.files("one/meta").first().expect("a pack"));
    failed(&person.run("-r repo mirror scrub attic"), 1, "its bytes are not those");
    let said = person.ok("-r repo heal --from attic --json");
    assert!(said.contains("\"left\":[]"), "{said}");
    person.ok("-r repo mirror scrub attic");
    person.ok("-r one restore latest --target back --verify");
    // What nobody has whole stays named.
    let lost = pack(&person, "repo");
    damage(&lost);
    damage(&pack(&person, "one"));
    failed(&person.run("-r repo heal"), 1, "no place has it whole");
}

/// What the index lacks comes back, and a record never without what it names.
#[test]
fn an_older_state_and_a_lost_index_object_are_healed() {
    let person = person_with_snapshot();
    person.ok("-r repo mirror add attic ./one");
    let copied = std::process::Command::new("cp")
        .args(["-a", "repo", "old"])
        .current_dir(person.path("."))
        .status();
    assert!(copied.expect("copies").success());
    person.write("data/new.txt", "more\n".repeat(1000));
    person.ok("-r repo snapshot data --host web");
    let index = person.files("repo/index");
    std::fs::remove_file(index.first().expect("an index object")).expect("removes");
    let said = person.ok("-r repo heal");
    assert!(said.contains("healed index/"), "{said}");
    assert_eq!(person.files("repo/index"), index);
    assert!(person.ok("-r repo check --read-data").contains("no damage found"));
    // An older state in its place: the newer snapshot comes back with all that it needs.
    for (from, to) in [("repo", "gone"), ("old", "repo")] {
        std::fs::rename(person.path(from), person.path(to)).expect("renames");
    }
    let said = person.ok("-r repo heal");
    assert!(said.contains("healed index/") && said.contains("healed snapshots/"), "{said}");
    assert!(person.ok("-r repo check --read-data").contains("no damage found"));
    person.ok("-r repo restore latest --target back --verify");
    // With neither index nor packs anywhere, the record stays away.
    let records = person.files("repo/snapshots");
    std::fs::remove_file(records.last().expect("a record")).expect("removes");
    std::fs::remove_dir_all(person.path("repo/index")).expect("removes");
    std::fs::remove_dir_all(person.path("one/index")).expect("removes");
    let said = person.run("-r repo heal");
    failed(&said, 1, "the index does not name the root");
    failed(&said, 1, "it is not put back alone");
    assert_eq!(person.files("repo/snapshots").len(), records.len() - 1);
}

/// A mirror that is used alone does not take itself for its own mirror, by whatever name.
#[test]
fn a_mirror_that_is_used_alone_is_not_its_own_mirror() {
    let person = person_with_snapshot();
    person.ok("-r repo mirror add attic ./one");
    person.ok("-r repo mirror add cellar ./two");
    std::fs::rename(person.path("repo"), person.path("gone")).expect("renames");
    std::os::unix::fs::symlink(person.path("one"), person.path("link")).expect("a link");
    for place in ["./one", "./link"] {
        let listed = person.run(&format!("-r {place} mirror list")).stdout;
        assert!(!listed.contains("attic") && listed.contains("cellar"), "{listed}");
        let said = person.run(&format!("-r {place} mirror sync attic"));
        failed(&said, 2, "is the place where the repository is open");
        // The other one gets it too, and nothing was left out.
        let said = person.ok(&format!("-r {place} snapshot data --host web --json"));
        assert!(said.contains("\"degraded\":false") && !said.contains("attic"), "{said}");
        person.ok(&format!("-r {place} heal"));
    }
    assert!(person.ok("-r two check").contains("no damage found"));
    person.ok("-r one mirror remove attic");
    assert!(!person.ok("-r two mirror list").contains("attic"));
}

/// Near and far are one repository, and a mirror holds all of it.
#[test]
fn a_repository_with_its_data_elsewhere_has_mirrors() {
    let person = person_with_snapshot();
    person.ok("-r near repo init --encryption none --data ./far");
    person.ok("-r near snapshot data --host web");
    person.ok("-r near mirror add attic ./copy");
    assert!(person.ok("-r near mirror list").contains("complete"));
    person.write("data/new.txt", "more\n".repeat(100));
    let said = person.ok("-r near snapshot data --host web --json");
    assert!(said.contains("\"degraded\":false"), "{said}");
    assert!(person.ok("-r near mirror sync").contains("nothing to copy"));
    assert!(!person.path("near/data").exists());
    assert_eq!(person.files("far/data").len(), person.files("copy/data").len());
    person.ok("-r near mirror scrub attic");
    damage(&pack(&person, "far"));
    failed(&person.run("-r near check --read-data"), 1, "damage");
    assert!(person.ok("-r near heal").contains("no damage is left"));
    assert!(person.ok("-r near check --read-data").contains("no damage found"));
    // Both are lost. The copy is whole, and at another place than it says.
    for place in ["near", "far"] {
        std::fs::remove_dir_all(person.path(place)).expect("removes");
    }
    person.ok("-r copy restore latest --target back --verify");
    std::fs::rename(person.path("copy"), person.path("moved")).expect("renames");
    assert!(person.ok("-r moved check --read-data").contains("no damage found"));
}

/// When the repository is gone, whoever recovers is told of its mirrors: by this machine, or by the
/// kit. What they hold is all.
#[test]
fn a_recovery_is_led_to_the_mirrors() {
    let person = person_with_snapshot();
    person.ok("-r repo mirror add attic ./one");
    person.ok("-r repo kit --output kit");
    std::fs::rename(person.path("repo"), person.path("gone")).expect("renames");
    let said = person.run("-r repo recover --target back");
    failed(&said, 10, "try `-r ~/one`");
    std::fs::remove_dir_all(person.path(".local")).expect("forgets");
    let said = person.run("-r repo recover --kit kit.txt --target back");
    failed(&said, 10, "~/one");
    let said = person.run("recover --kit kit.txt --target back");
    assert_eq!(said.code, 0, "{said}");
    assert!(said.stderr.contains("not at `~/repo`"), "{said}");
    assert!(person.files("back").iter().any(|path| path.ends_with("data/letter.txt")));
}
