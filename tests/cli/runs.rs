//! The history of runs: what failed is listed, and nothing depends on it.

use crate::support::{Person, person_with_data};

fn json(person: &Person, line: &str) -> Vec<serde_json::Value> {
    let text = person.raw(&format!("-r repo --json {line}"));
    text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
}

/// How a run ended, without times and sizes that are different in every run.
fn steady(said: crate::support::Said) -> String {
    let text = regex::Regex::new(r"\b\d+\.\d+( s|x)\b").expect("a pattern");
    text.replace_all(&said.to_string(), "<n>$1").into_owned()
}

#[test]
fn backups_and_stats_tell_of_runs_that_failed() {
    let person = person_with_data();
    person.ok("-r repo snapshot data --host web --tag first --quiet");
    let failed = person.run("-r repo snapshot nowhere --host web --quiet");
    assert_eq!(failed.code, 1, "{failed}");
    insta::assert_snapshot!(steady(person.run("-r repo backups --status failed")));
    let backups = json(&person, "backups");
    let status: Vec<_> = backups.iter().map(|backup| backup["status"].as_str()).collect();
    assert_eq!(status, [Some("failed"), Some("completed")]);
    assert_eq!(backups[1]["template_count"], 3);
    assert_eq!(backups[1]["encryption"], "none");
    assert_eq!(backups[1]["tags"][0], "first");
    assert!(backups[0]["error"].as_str().is_some_and(|error| error.contains("nowhere")));
    assert_eq!(json(&person, "backups --limit 1").len(), 1);
    assert_eq!(json(&person, "backups --tag first").len(), 1);
    assert_eq!(json(&person, "backups --host other").len(), 0);
    assert_eq!(person.run("-r repo backups --status bad").code, 2);
    assert!(person.ok("-r repo backups --limit 1").contains("1 older"));

    // The checksum is the hash of the named object.
    let object = backups[1]["object_name"].as_str().expect("a name");
    let bytes = std::fs::read(person.path("repo").join(object)).expect("a stored file");
    assert_eq!(backups[1]["checksum"], blake3::hash(&bytes).to_hex().as_str());

    insta::assert_snapshot!(steady(person.run("-r repo stats")));
    let stats = &json(&person, "stats")[0];
    assert_eq!((&stats["total_backups"], &stats["failed_backups"]), (&1.into(), &1.into()));
    assert_eq!(stats["success_rate"], 0.5);
    assert_eq!(stats["newest_backup"], backups[1]["timestamp"]);
}

/// Ctrl-C and `kill -9` leave a run that is listed as failed, and the next run works.
#[cfg(target_os = "linux")]
#[test]
fn interrupted_runs_are_listed() {
    use std::io::Write;
    use std::process::Stdio;
    let person = person_with_data();
    for signal in ["INT", "KILL"] {
        let mut process = person
            .process("-r repo --quiet snapshot --stdin never-ends")
            .stdin(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut stdin = process.stdin.take().expect("is a pipe");
        stdin.write_all(b"some bytes").expect("writes");
        let running = || {
            json(&person, "backups --status in_progress")
                .iter()
                .any(|backup| backup["sources"][0] == "stdin:never-ends")
        };
        while !running() {
            assert!(process.try_wait().expect("asks").is_none(), "it runs");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let kill = std::process::Command::new("kill")
            .args([format!("-{signal}"), process.id().to_string()])
            .status();
        assert!(kill.expect("kills").success());
        drop(stdin);
        process.wait().expect("ends");
        let failed = json(&person, "backups --status failed");
        let error = failed[0]["error"].as_str().expect("a reason");
        assert!(error.starts_with("interrupted"), "{error}");
    }
    assert_eq!(json(&person, "backups --status failed").len(), 2);
    person.ok("-r repo snapshot data --quiet");
    assert_eq!(json(&person, "backups").len(), 3);
}

/// A history that is damaged, or cannot be written, is told of once and ends nothing.
#[test]
fn a_bad_history_ends_no_backup() {
    let person = person_with_data();
    person.ok("-r repo snapshot data --quiet");
    let state = person.path(".local/state/larder");
    for name in ["history.sqlite", "history.sqlite-wal"] {
        std::fs::write(state.join(name), "this is no database").expect("writes");
    }
    let said = person.run("-r repo snapshot data");
    assert_eq!(said.code, 0, "{said}");
    assert!(said.stderr.contains("history.sqlite.damaged-"), "{said}");
    assert_eq!(person.run("-r repo backups").stderr, "");
    assert_eq!(json(&person, "backups").len(), 2, "snapshots are the repository's");

    for entry in std::fs::read_dir(&state).expect("lists").flatten() {
        if entry.file_name().to_string_lossy().starts_with("history.") {
            std::fs::remove_file(entry.path()).expect("removes");
        }
    }
    std::fs::create_dir(state.join("history.sqlite")).expect("something is in its place");
    let said = person.run("-r repo snapshot data");
    assert_eq!(said.code, 0, "{said}");
    assert!(said.stderr.contains("failed runs are not remembered"), "{said}");
    assert_eq!(json(&person, "backups").len(), 3);
}

/// Failed runs that cannot be listed are not passed over in silence.
#[test]
fn a_history_that_cannot_be_read_is_told_of() {
    let person = person_with_data();
    person.ok("-r repo snapshot data --quiet");
    let path = person.path(".local/state/larder/history.sqlite");
    let history = rusqlite::Connection::open(path).expect("opens");
    history.execute_batch("DROP TABLE runs").expect("is there");
    drop(history);
    for command in ["backups", "stats"] {
        let said = person.run(&format!("-r repo {command}"));
        assert_eq!(said.code, 0, "{said}");
        assert!(said.stderr.contains("failed runs are not listed"), "{said}");
    }
}

/// The repository is never backed up into itself.
#[test]
fn sources_in_the_repository_are_refused() {
    let person = person_with_data();
    insta::assert_snapshot!(person.run("-r repo snapshot repo/data"));
    let said = person.run("-r repo snapshot . --quiet --exclude .local --exclude .cache");
    assert_eq!(said.code, 0, "{said}");
    let said = person.run("-r repo snapshot . --exclude .local --exclude .cache");
    assert!(said.stderr.contains("`~/repo` is left out: it is the repository itself"), "{said}");
    let listed = person.ok("-r repo ls latest -R");
    assert!(listed.contains("letter.txt") && !listed.contains("repo/"), "{listed}");
    let said = person.run("-r repo snapshot . --exclude /*/repo --exclude .local --exclude .cache");
    assert!(said.stderr.is_empty() || said.code == 0, "{said}");
}
