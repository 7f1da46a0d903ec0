//! Profiles: what they say instead of options, and what they are refused for.

use std::os::unix::fs::PermissionsExt;

use crate::support::Person;

/// Writes a profile with these permissions.
fn profile(person: &Person, name: &str, text: &str, mode: u32) {
    let path = person.write(name, text);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
}

#[test]
fn a_profile_says_which_repository_and_what_opens_it() {
    let person = Person::new();
    profile(
        &person,
        ".config/larder/home.toml",
        "repository = \"~/backups\"\npassword-file = \"password\"\n",
        0o644,
    );
    profile(&person, ".config/larder/password", "correct horse battery\n", 0o600);
    person.write("data/a", "content");
    person.ok("-P home repo init");
    person.ok("--profile home snapshot data");
    assert!(person.path("backups/repo").is_file());
    assert!(person.ok("-P .config/larder/home.toml snapshots").contains("/data"));
    let by_variable = person.command("snapshots").env("LARDER_PROFILE", "home").ok();
    assert!(by_variable.is_ok(), "{by_variable:?}");

    // An option and a variable win over it.
    assert_eq!(person.run("-P home -r elsewhere snapshots").code, 10);
    let said = person.command("-P home snapshots").env("LARDER_PASSWORD", "wrong").output();
    assert_eq!(said.expect("it runs").status.code(), Some(12));
}

#[test]
fn a_profile_that_cannot_be_trusted_is_refused() {
    let person = Person::new();
    let said = person.run("-P nowhere snapshots");
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains(".config/larder/nowhere.toml"), "{said}");

    let secret = "repository = \"x\"\n[secrets]\nAWS_SECRET_ACCESS_KEY = \"hunter2\"\n";
    profile(&person, "p.toml", secret, 0o644);
    let said = person.run("-P ./p.toml snapshots");
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("chmod 600") && !said.stderr.contains("hunter2"), "{said}");

    profile(&person, "q.toml", "password-command = \"echo x\"", 0o666);
    let said = person.run("-P ./q.toml snapshots");
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("changed by others"), "{said}");

    profile(&person, "r.toml", "repo = \"x\"", 0o600);
    let said = person.run("-P ./r.toml snapshots");
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("line 1") && said.stderr.contains("`repo`"), "{said}");
}

#[test]
fn a_profile_says_what_is_backed_up() {
    let person = Person::new();
    let text = "inherit = \"base\"\n[backup]\nsources = [\"~/data\"]\nexclude = [\"*.tmp\"]\n";
    profile(&person, ".config/larder/home.toml", text, 0o600);
    let base = "repository = \"~/backups\"\npassword-file = \"password\"\n[backup]\ntags = [\"nightly\"]\n";
    profile(&person, ".config/larder/base.toml", base, 0o600);
    profile(&person, ".config/larder/password", "correct horse battery\n", 0o600);
    person.write("data/a", "content");
    person.write("data/b.tmp", "content");
    person.write("other/c", "content");
    person.ok("-P home repo init");
    person.ok("-P home snapshot");
    let listed = person.ok("-P home ls latest");
    assert!(listed.contains("data/a") && !listed.contains("b.tmp"), "{listed}");
    assert!(person.ok("-P home snapshots").contains("nightly"));
    // What is given counts.
    person.ok("-P home snapshot other --tag mine");
    let listed = person.ok("-P home find c");
    assert!(listed.contains("other/c"), "{listed}");
    let said = person.run("-P base snapshot");
    assert_eq!(said.code, 2, "{said}");
    assert!(said.stderr.contains("nothing is said of what to back up"), "{said}");
}

#[test]
fn profiles_are_checked() {
    let person = Person::new();
    let good = "repository = \"~/backups\"\npassword-command = \"exit 1\"\n\
                [secrets]\nKEY = { command = \"exit 1\" }\n[backup]\nsources = [\"~/data\"]\n";
    profile(&person, ".config/larder/home.toml", good, 0o600);
    person.write("data/a", "content");
    assert!(person.ok("-P home config check").contains("home.toml"));
    // Commands for secrets are run only if that is wanted.
    let said = person.run("config check home --secrets");
    assert_eq!(said.code, 2, "{said}");
    assert!(said.stdout.contains("KEY"), "{said}");

    let bad = "repository = \"nothing://x\"\nlimit-upload = \"fast\"\n[backup]\n\
               sources = [\"gone\"]\ncompression = \"hard\"\n";
    profile(&person, "bad.toml", bad, 0o600);
    let said = person.run("config check ./bad.toml");
    assert_eq!(said.code, 2, "{said}");
    for part in ["fast", "gone", "compression"] {
        assert!(said.stdout.contains(part), "{part}: {said}");
    }
    let schedules =
        "[[schedule]]\nname = \"a\"\nwhen = \"30 2 * * 8\"\n[[schedule]]\nwhen = \"6h\"\n";
    profile(&person, "schedules.toml", schedules, 0o600);
    let said = person.run("config check ./schedules.toml");
    assert_eq!(said.code, 2, "{said}");
    for part in ["schedule `a`: `30 2 * * 8`", "needs a `name`"] {
        assert!(said.stdout.contains(part), "{part}: {said}");
    }
    profile(&person, "worse.toml", "[backup]\nsources = [\"a\",\n  7]\n", 0o600);
    let said = person.run("config check ./worse.toml");
    assert_eq!(said.code, 2, "{said}");
    assert!(said.stderr.contains("line 3, column 3"), "{said}");
    assert_eq!(person.run("config check").code, 2, "which one?");
}
