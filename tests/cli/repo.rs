//! `repo` and `key`: making repositories, and what opens them.

use crate::support::{Person, private};

#[test]
fn init_with_a_password_prints_a_recovery_code() {
    let person = Person::new();
    let password = person.write("pw", "secret\n");
    private(&password);
    insta::assert_snapshot!(person.run("-r repo --password-file pw repo init"));
    insta::assert_snapshot!(person.run("-r repo --password-file pw repo init"));
    insta::assert_snapshot!(person.ok("-r repo --password-file pw repo info"));
    insta::assert_snapshot!(person.ok("-r repo --password-file pw key list"));
}

#[test]
fn a_recovery_code_opens_where_a_password_is_asked_for() {
    let person = Person::new();
    private(&person.write("pw", "secret"));
    let said = person.raw("-r repo --password-file pw --json repo init");
    let made: serde_json::Value = serde_json::from_str(&said).expect("an object");
    private(&person.write("code", made["recovery_code"].as_str().expect("a code").to_lowercase()));
    assert!(person.ok("-r repo --password-file code key list").contains("(in use)"));

    let new = person.raw("-r repo --password-file pw --json key recovery");
    assert_ne!(new, said);
    let said = person.run("-r repo --password-file code key list");
    assert_eq!(said.code, 12, "{said}");
    assert!(said.stderr.contains("recovery code opens none"), "{said}");
}

#[test]
fn key_files_are_made_added_and_removed() {
    let person = Person::new();
    person.ok("-r repo repo init --new-key-file first.key --no-recovery");
    person.ok("-r repo --key-file first.key key add --new-key-file second.key --label laptop");
    insta::assert_snapshot!(person.ok("-r repo --key-file second.key key list"));
    // A key file is never written over: it may be the only one that opens something.
    let said = person.run("-r repo --key-file first.key key add --new-key-file second.key");
    assert_eq!(said.code, 1, "{said}");

    let keys = person.raw("-r repo --key-file second.key --json key list");
    let keys: Vec<serde_json::Value> =
        keys.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let first = keys.iter().find(|key| key["in_use"] == false).expect("the first key");
    person.ok(&format!(
        "-r repo --key-file second.key key remove {}",
        first["id"].as_str().expect("an id")
    ));
    assert_eq!(person.run("-r repo --key-file first.key key list").code, 12);
    let second = keys.iter().find(|key| key["in_use"] == true).expect("the second key");
    let said = person.run(&format!(
        "-r repo --key-file second.key key remove {}",
        second["id"].as_str().expect("an id")
    ));
    assert_eq!(said.code, 2, "nobody locks themselves out: {said}");
}

#[test]
fn passwords_are_changed() {
    let person = Person::new();
    private(&person.write("old", "old password"));
    private(&person.write("new", "new password"));
    person.ok("-r repo --password-file old repo init");
    person.ok("-r repo --password-file old key passwd --new-password-file new");
    assert_eq!(person.run("-r repo --password-file old repo info").code, 12);
    person.ok("-r repo --password-command 'cat_new' repo info"
        .replace("'cat_new'", "cat<new")
        .as_str());
}

/// The machine stopped before the old key object was deleted: the list says so.
#[test]
fn a_password_change_that_was_interrupted_shows_in_the_list() {
    let person = Person::new();
    private(&person.write("old", "old password"));
    private(&person.write("new", "new password"));
    person.ok("-r repo --password-file old repo init --no-recovery");
    let old = person.files("repo/keys").remove(0);
    let bytes = std::fs::read(&old).expect("a key");
    person.ok("-r repo --password-file old key passwd --new-password-file new");
    std::fs::write(&old, bytes).expect("writes");
    let said = person.ok("-r repo --password-file old key list");
    assert!(said.contains("(stored 2 times)"), "{said}");
    person.ok("-r repo --password-file new key passwd --new-password-file new");
    let said = person.ok("-r repo --password-file new key list");
    assert!(!said.contains("stored"), "{said}");
    assert_eq!(person.run("-r repo --password-file old key list").code, 12);
}

#[test]
fn password_commands_see_no_password() {
    let person = Person::new();
    private(&person.write("pw", "secret"));
    person.ok("-r repo --password-file pw repo init");
    let mut command = person.command("-r repo --password-command env>seen;cat<pw repo info");
    for name in ["LARDER_PASSWORD", "LARDER_TO_PASSWORD", "LARDER_LIKE_PASSWORD"] {
        command.env(name, "hunter2");
    }
    command.env("OTHER", "stays").assert().success();
    let seen = std::fs::read_to_string(person.path("seen")).expect("was written");
    assert!(seen.contains("OTHER=stays") && !seen.contains("hunter2"), "{seen}");
}

/// In pieces smaller than a pack: each run seals one anew, and says what is left.
#[test]
fn old_data_is_sealed_anew_in_small_pieces() {
    let person = Person::new();
    private(&person.write("pw", "secret"));
    person.ok("-r repo --password-file pw repo init --no-recovery");
    for number in 0..3 {
        let text: String = (0..3000).map(|line| format!("{number} {}\n", line * line)).collect();
        person.write(&format!("data/letter {number}"), text);
        person.ok("-r repo --password-file pw snapshot data");
    }
    person.ok("-r repo --password-file pw repo rekey");
    let mut waiting = 0;
    for round in 0..20 {
        let said =
            person.raw("-r repo --password-file pw --json repo rekey --re-encrypt --max-repack 1");
        let said: serde_json::Value = serde_json::from_str(&said).expect("an object");
        let number = |name: &str| said[name].as_u64().expect("a number");
        assert!(number("waiting_bytes") > waiting, "round {round}: {said}");
        waiting = number("waiting_bytes");
        if number("old_bytes") == waiting {
            assert!(round >= 3, "{said}");
            let info = "-r repo --password-file pw repo rekey --re-encrypt --max-repack 1";
            assert!(!person.ok(info).contains("left"));
            person.ok("-r repo --password-file pw check --read-data");
            return;
        }
    }
    panic!("it came to no end");
}

/// Somebody leaves: new keys for all others, the old data sealed anew, in the words people see.
#[test]
fn somebody_leaves_and_the_keys_are_changed() {
    let person = Person::new();
    private(&person.write("pw", "secret"));
    let said = person.raw("-r repo --password-file pw --json repo init");
    let made: serde_json::Value = serde_json::from_str(&said).expect("an object");
    private(&person.write("code", made["recovery_code"].as_str().expect("a code")));
    person.ok("-r repo --password-file pw key add --new-key-file eve.key --label eve");
    std::fs::create_dir(person.path("data")).expect("makes a folder");
    person.write("data/letter", "Dear Ann,\n".repeat(1000));
    let said = person.ok("-r repo --password-file pw snapshot data");
    assert!(said.contains("never tried"), "{said}");
    let said = person.ok("-r repo --password-file pw key recovery --test --code-file code");
    assert!(said.contains("opens the repository"), "{said}");
    let said = person.ok("-r repo --password-file pw repo info");
    assert!(!said.contains("never tried"), "{said}");

    let keys = person.raw("-r repo --password-file pw --json key list");
    let eve = keys.lines().find(|line| line.contains("eve")).expect("her key");
    let eve: serde_json::Value = serde_json::from_str(eve).expect("an object");
    let eve = eve["id"].as_str().expect("an id");
    insta::assert_snapshot!(
        person.run(&format!("-r repo --password-file pw repo rekey --remove {eve} --dry-run"))
    );
    person.ok("-r repo --key-file eve.key snapshots");
    insta::assert_snapshot!(
        person.run(&format!("-r repo --password-file pw repo rekey --remove {eve}"))
    );
    assert_eq!(person.run("-r repo --key-file eve.key snapshots").code, 12);
    assert_eq!(person.run("-r repo --password-file code snapshots").code, 12, "the kit is void");
    let tested = "-r repo --password-file pw key recovery --test --code-file code";
    assert_eq!(person.run(tested).code, 12);
    let info = person.ok("-r repo --password-file pw repo info");
    assert!(info.contains("rekeyed     1 time") && info.contains("never tried"), "{info}");
    insta::assert_snapshot!(person.run("-r repo --password-file pw repo rekey --re-encrypt"));
    person.ok("-r repo --password-file pw check --read-data");
    let said = person.run("-r repo --password-file pw repo rekey --re-encrypt --remove 00");
    assert_eq!(said.code, 2, "{said}");
}

#[test]
fn unencrypted_repositories_say_so_and_ask_for_nothing() {
    let person = Person::new();
    insta::assert_snapshot!(person.run("-r repo repo init --encryption none"));
    assert!(person.ok("-r repo repo info").contains("encryption  none"));
}

#[test]
fn what_is_missing_is_named_with_its_exit_code() {
    let person = Person::new();
    insta::assert_snapshot!(person.run("-r nothing repo info"));
    person.write("file", "");
    insta::assert_snapshot!(person.run("-r file repo info"));
    person.write("full/of/things", "");
    private(&person.write("pw", "secret"));
    insta::assert_snapshot!(person.run("-r full --password-file pw repo init"));
    person.ok("-r repo --password-file pw repo init");
    insta::assert_snapshot!(person.run("-r repo repo info"));
    insta::assert_snapshot!(person.run("-r repo --json repo info"));
    private(&person.write("empty", "\n"));
    insta::assert_snapshot!(person.run("-r repo --password-file empty repo info"));
    insta::assert_snapshot!(person.run("-r repo --key-file pw repo info"));
    insta::assert_snapshot!(person.run("-r s3://bucket:secret@host/x repo info"));
}

/// Secrets are for owners only, and others' eyes are warned of.
#[test]
fn files_that_others_can_read_are_warned_of() {
    let person = Person::new();
    person.write("pw", "secret");
    let said = person.run("-r repo --password-file pw repo init");
    assert!(said.stderr.contains("others can read it"), "{said}");
    let said = person.run("-q -r repo --password-file pw repo info");
    assert_eq!(said.stderr, "");
}

#[test]
fn a_place_is_probed_without_a_repository() {
    let person = Person::new();
    std::fs::create_dir(person.path("place")).expect("a folder");
    let said = person.ok("repo probe place");
    assert!(
        said.contains("ok       create once") && said.contains("fit for a repository"),
        "{said}"
    );
    let json = person.ok("repo probe place --json");
    let json: serde_json::Value = serde_json::from_str(&json).expect("one object");
    assert_eq!((&json["message_type"], &json["verdict"]), (&"probe".into(), &"good".into()));
    // A repository can be made there afterwards.
    person.write("pw", "correct horse battery");
    person.ok("-r place --password-file pw repo init");
    person.ok("-r place repo probe");
    assert_eq!(person.run("repo probe nowhere").code, 10);
}
