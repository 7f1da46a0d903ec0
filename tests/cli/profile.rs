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
