//! `larder user`, `larder token` and `larder audit`.

use crate::support::{Person, private};

/// What commands change about who may come in is in the audit log, without passwords and tokens.
#[test]
fn changes_of_users_and_tokens_are_in_the_audit_log() {
    let person = Person::new();
    private(&person.write("password", "four words and more\n"));
    person.ok("user add ann --role admin --new-password-file password");
    person.ok("user passwd ann --new-password-file password");
    person.ok("token add grafana --role viewer");
    let token = person.raw("token add deploy --role operator");
    person.ok("token remove grafana");
    person.ok("user list");
    let listed = person.raw("audit list --json");
    let entries: Vec<serde_json::Value> =
        listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let what: Vec<&str> =
        entries.iter().map(|entry| entry["what"].as_str().expect("text")).collect();
    assert_eq!(
        what,
        [
            "larder user add ann",
            "larder user passwd ann",
            "larder token add grafana",
            "larder token add deploy",
            "larder token remove grafana",
        ]
    );
    assert_eq!(entries[0]["detail"], "role admin");
    assert!(entries.iter().all(|entry| entry["who"].is_string()), "{listed}");
    assert!(!listed.contains("four words") && !listed.contains(token.trim()), "{listed}");
    assert!(person.raw("audit verify").contains("5 entries follow from each other"));
    // What was refused changed nothing.
    assert_ne!(person.run("user add ann --role admin --new-password-file password").code, 0);
    assert!(person.raw("audit verify").contains("5 entries"));
}
