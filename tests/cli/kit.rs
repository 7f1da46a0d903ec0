//! `kit`: the page for the drawer.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Person, person_with_data, private};

/// A person with a password, in the file `pw`.
fn person() -> Person {
    let person = Person::new();
    private(&person.write("pw", "correct horse battery staple"));
    person.ok("-r repo --password-file pw repo init");
    person
}

#[test]
fn a_kit_is_a_page_and_a_text() {
    let person = person();
    insta::assert_snapshot!(person.run("-r repo --password-file pw kit"));
    for name in ["larder-recovery-kit.html", "larder-recovery-kit.txt"] {
        let mode = person.path(name).metadata().expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    // The next one has other names, and the code of the first is void.
    person.ok("-r repo --password-file pw kit");
    let kit = |name: &str| std::fs::read_to_string(person.path(name)).expect("a kit");
    let code = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("Recovery code"));
        line.expect("a code").trim().to_owned()
    };
    private(&person.write("first", code(&kit("larder-recovery-kit.txt"))));
    private(&person.write("second", code(&kit("larder-recovery-kit-2.txt"))));
    assert_eq!(person.run("-r repo --password-file first snapshots").code, 12);
    person.ok("-r repo --password-file second snapshots");
}

#[test]
fn a_kit_on_standard_output_leaves_no_file() {
    let person = person();
    let text = person.raw("-r repo --password-file pw kit --stdout --also-at /mnt/copy");
    assert!(text.starts_with("LARDER RECOVERY KIT\n"), "{text}");
    assert!(text.contains("\nAlso at         /mnt/copy\n"), "{text}");
    assert!(text.contains('\u{2588}'), "{text}");
    assert!(!person.path("larder-recovery-kit.txt").exists());
    let json = person.raw("-r repo --password-file pw --json kit --stdout");
    assert!(json.contains("\"recovery_code\":\""), "{json}");
    let json = person.raw("-r repo --password-file pw --json kit");
    assert!(json.contains("\"new_code\":true") && !json.contains("recovery_code"), "{json}");
}

#[test]
fn a_kit_is_never_written_over_and_keeps_the_code_where_it_cannot_be_written() {
    let person = person();
    person.ok("-r repo --password-file pw kit --output a.txt");
    let slots = person.files("repo/keys");
    insta::assert_snapshot!(person.run("-r repo --password-file pw kit --output a.txt"));
    insta::assert_snapshot!(person.run("-r repo --password-file pw kit --output a.pdf"));
    assert_eq!(person.run("-r repo --password-file pw kit --output missing/a.txt").code, 1);
    assert_eq!(person.files("repo/keys"), slots, "the code on paper stays, and no other is left");
    // A full standard output is a kit that nobody has.
    let full = std::fs::File::options().write(true).open("/dev/full").expect("a device");
    let mut printing = person.process("-r repo --password-file pw kit --stdout");
    assert!(!printing.stdout(full).status().expect("runs").success());
    assert_eq!(person.files("repo/keys"), slots);
    // Nor does it change with `--keep-code`.
    let kept = person.raw("-r repo --password-file pw kit --stdout --keep-code");
    assert!(kept.contains("Recovery code   _____-"), "{kept}");
    assert_eq!(person.files("repo/keys"), slots);
}

#[test]
fn repositories_without_encryption_need_no_code() {
    let person = person_with_data();
    let kit = person.raw("-r repo kit --stdout");
    assert!(!kit.contains("Recovery code"), "{kit}");
}
