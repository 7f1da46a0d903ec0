//! `history` and `diff --content`: what a file was, and what changed in it.

use crate::support::{Person, person_with_data};

/// A letter that is written, changed, made private and lost, in four snapshots and one more.
fn person_with_versions() -> Person {
    let person = person_with_data();
    person.settle();
    person.ok("-r repo snapshot data --host web");
    person.ok("-r repo snapshot data --host web");
    person.write("data/letter.txt", "Dear Ann, dear Ben,\n");
    person.ok("-r repo snapshot data --host web");
    std::fs::remove_file(person.path("data/letter.txt")).expect("removed");
    person.ok("-r repo snapshot data --host web");
    person
}

#[test]
fn history_lists_the_versions_of_a_file() {
    let person = person_with_versions();
    insta::assert_snapshot!(person.ok("-r repo history data/letter.txt"));
    let absolute = person.path("data/letter.txt");
    let with_all = person.raw(&format!("-r repo --json history {}", absolute.display()));
    let versions: Vec<serde_json::Value> =
        with_all.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let changes: Vec<&str> = versions.iter().filter_map(|v| v["change"].as_str()).collect();
    assert_eq!(changes, ["first", "content", "removed"]);
    assert_eq!(versions[0]["message_type"], "version");
    assert_eq!(versions[0]["snapshots"], 2);
    assert_eq!(versions[1]["entry"]["size_bytes"], 20);
    assert!(versions[2]["entry"].is_null());
    // As `ls` shows it, without the `/`.
    let shown = format!("-r repo history {}", &absolute.display().to_string()[1..]);
    assert_eq!(person.ok(&shown).lines().count(), 5);
    insta::assert_snapshot!(person.ok("-r repo history data"));
}

#[test]
fn a_history_that_there_is_not_is_an_error() {
    let person = person_with_versions();
    insta::assert_snapshot!(person.run("-r repo history data/letter.doc"));
    let said = person.run("-r repo history data/letter.txt --host mail");
    assert_eq!(said.code, 1, "{said}");
    assert_eq!(person.run("-r repo history /").code, 2);
    let said = person.run("-r repo history ../letter.txt");
    assert_eq!(said.code, 2, "{said}");
}

/// Damage is told of, the other versions are listed, and the exit code is 1.
#[test]
fn damaged_snapshots_are_named_in_a_history() {
    let person = person_with_versions();
    let metas: Vec<_> = person.files("repo/meta");
    let newest = metas.iter().max_by_key(|path| path.metadata().expect("there").modified().ok());
    std::fs::remove_file(newest.expect("a pack")).expect("removed");
    let said = person.run("-r repo history data/letter.txt");
    assert_eq!(said.code, 1, "{said}");
    assert!(said.stderr.contains("cannot be read"), "{said}");
    assert!(said.stdout.contains("first"), "{said}");
}

/// Two snapshots of texts, a link, something binary and something large.
fn person_with_texts() -> Person {
    let person = person_with_data();
    person.write("data/poem", (1..20).map(|n| format!("line {n}\n")).collect::<String>());
    person.write("data/bytes", b"\0one");
    person.write("data/large", "large\n".repeat(1000));
    person.settle();
    person.ok("-r repo snapshot data --host web");
    let poem: String = (1..22).filter(|n| *n != 5).map(|n| format!("line {n}\n")).collect();
    person.write("data/poem", poem.trim_end());
    person.write("data/bytes", b"\0two");
    person.write("data/large", "large\n".repeat(1001));
    person.write("data/new", b"\x1b[2Jhostile\n\xff\n");
    std::fs::remove_file(person.path("data/letter.txt")).expect("removed");
    std::fs::remove_file(person.path("data/link")).expect("removed");
    std::os::unix::fs::symlink("elsewhere", person.path("data/link")).expect("a link");
    person.ok("-r repo snapshot data --host web");
    person
}

#[test]
fn diff_prints_what_changed_in_texts() {
    let person = person_with_texts();
    let said = person.ok("-r repo diff latest~1 latest --content --content-max 2K");
    insta::assert_snapshot!(said.replace('\x1b', "<escape>"));
    let one = person.path("data/poem");
    let said = person.ok(&format!("-r repo diff latest~1 latest --content {}", one.display()));
    insta::assert_snapshot!(said);
    let both = format!("-r repo diff latest~1:{0} latest:{0} --content", one.display());
    assert_eq!(person.ok(&both), said);
    assert_eq!(person.run(&format!("-r repo diff latest~1:home latest {}", one.display())).code, 2);
    assert_eq!(person.run("-r repo diff latest~1 latest --content-max 2K").code, 2);
}

/// `patch` makes the new file of the old one and what was printed.
#[test]
fn differences_are_patches() {
    let person = person_with_texts();
    let one = person.path("data/poem");
    let said = person.raw(&format!("-r repo diff latest~1 latest --content {}", one.display()));
    person.write("change", said);
    std::fs::write(
        person.path("old"),
        person.raw(&format!("-r repo dump latest~1:{}", one.display())),
    )
    .expect("a file");
    let patch = std::process::Command::new("patch")
        .args(["old", "change", "-o", "made", "--quiet"])
        .current_dir(person.home())
        .status();
    let Ok(status) = patch else { return };
    assert!(status.success());
    let read = |path: &str| std::fs::read_to_string(person.path(path)).expect("a file");
    assert_eq!(read("made"), read("data/poem"));
}

#[test]
fn differences_in_json_have_their_lines() {
    let person = person_with_texts();
    let said = person.raw("-r repo --json diff latest~1 latest --content --content-max 2K");
    let kinds: Vec<(String, String)> = said
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("an object"))
        .filter(|object| object["message_type"] == "change")
        .map(|object| {
            let path = object["path"].as_str().expect("a path").rsplit('/').next();
            let content = &object["content"];
            let mut kind = content["kind"].as_str().unwrap_or("-").to_owned();
            if let Some(line) = content["hunks"][0]["lines"].as_array().and_then(|l| l.last()) {
                kind = format!("{kind} {line}");
            }
            (path.unwrap_or_default().to_owned(), kind)
        })
        .collect();
    let of = |name: &str| &kinds.iter().find(|(path, _)| path == name).expect("changed").1;
    assert_eq!(of("bytes"), "binary");
    assert_eq!(of("large"), "too_large");
    assert_eq!(of("new"), r#"text {"change":"added","newline":true,"text_escaped":"%FF"}"#);
    assert_eq!(of("link"), r#"text {"change":"added","newline":false,"text":"elsewhere"}"#);
}

/// `%` in a name is itself; only what is no name as it was typed may be one that was shown.
#[test]
fn names_with_percent_signs_have_a_history_of_their_own() {
    let person = person_with_data();
    person.write("data/a b", "one");
    person.write("data/a%20b", "four");
    person.write("data/c d", "eleven chars");
    person.write("data/..%2F..%2Fe", "e");
    person.settle();
    person.ok("-r repo snapshot data --host web");
    let folder = person.path("data").display().to_string();
    let of = |path: &str| {
        let said = person.raw(&format!("-r repo --json history {path}"));
        let version: serde_json::Value = serde_json::from_str(said.trim()).expect("one version");
        version["path"].as_str().expect("a path").rsplit("data/").next().expect("it").to_owned()
    };
    assert_eq!(of("data/a%20b"), "a%2520b");
    assert_eq!(of("data/a%2520b"), "a%2520b");
    assert_eq!(of(&format!("{}/a%2520b", &folder[1..])), "a%2520b");
    assert_eq!(of(&format!("{folder}/a%20b")), "a%2520b");
    assert_eq!(of("data/c%20d"), "c d");
    assert_eq!(of("data/..%2F..%2Fe"), "..%252F..%252Fe");
}

/// `patch` and `git apply` find the files by the names in a patch, whatever is in them.
#[test]
fn names_of_patches_are_found() {
    let names =
        ["x y.txt", "p%q", "50%25", "caf\u{e9}", "say \"hi\"", "back\\slash", "new\nline", "t\tab"];
    let person = person_with_data();
    let write = |text: &str| names.map(|name| person.write(&format!("data/{name}"), text));
    write("one\ntwo\nthree\n");
    person.settle();
    person.ok("-r repo snapshot data --host web");
    write("one\n2\nthree\n");
    person.ok("-r repo snapshot data --host web");
    let change = person.raw("-r repo diff latest~1 latest --content");
    person.write("change", change);
    let folder = person.path("data").display().to_string();
    let strip = format!("-p{}", folder.split('/').count());
    for (program, args) in [
        ("patch", vec![&*strip, "--quiet", "-i", "../change"]),
        ("git", vec!["apply", &strip, "../change"]),
    ] {
        write("one\ntwo\nthree\n");
        let mut command = std::process::Command::new(program);
        let Ok(ran) = command.args(args).current_dir(&folder).output() else { continue };
        assert!(ran.status.success(), "{program}: {ran:?}");
        for name in names {
            let text = std::fs::read_to_string(person.path("data").join(name)).expect("a file");
            assert_eq!(text, "one\n2\nthree\n", "{program}: {name:?}");
        }
    }
}
