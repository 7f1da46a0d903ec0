//! What does not need a repository: help, usage errors, completions, manual pages.

use crate::support::Person;

#[test]
fn help_tells_the_commands_and_exit_codes() {
    insta::assert_snapshot!(Person::new().ok("--help"));
}

#[test]
fn usage_errors_exit_with_2() {
    insta::assert_snapshot!(Person::new().run("snapshto"));
}

#[test]
fn usage_errors_are_json_where_asked_for() {
    let said = Person::new().run("--json snapshto");
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    let error: serde_json::Value = serde_json::from_str(&said.stderr).expect("one object");
    assert_eq!(error["message_type"], "error");
    assert_eq!(error["code"], 2);
}

#[test]
fn every_shell_gets_completions() {
    let person = Person::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(person.ok(&format!("completions {shell}")).contains("larder"), "{shell}");
    }
}

#[test]
fn manual_pages_come_one_or_all() {
    let person = Person::new();
    assert!(person.ok("man completions").contains(".TH larder-completions 1"));
    person.ok("man --output pages");
    let pages = std::fs::read_dir(person.path("pages")).expect("the folder is made").count();
    assert!(pages >= 3, "{pages} pages");
    let page = person.path("pages/larder-runbook-lost-machine.7");
    let page = std::fs::read_to_string(page).expect("a page");
    assert_eq!(person.ok("man runbook lost-machine"), page);
    let said = person.run("man nonsense");
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("no command `nonsense`"), "{said}");
}

#[test]
fn runbooks_are_listed_and_printed() {
    let person = Person::new();
    insta::assert_snapshot!(person.ok("runbook"));
    let text = person.ok("runbook lost-machine");
    assert!(text.starts_with("THE COMPUTER IS LOST\n") && text.contains("\n    larder recover"));
    assert!(person.ok("runbook lost-machine --markdown").contains("```sh\n"));
    assert_eq!(person.ok("runbook ransomware --man"), person.ok("man runbook ransomware"));
    assert_eq!(person.run("runbook nonsense").code, 2);
}
