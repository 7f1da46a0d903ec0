//! `snapshot`, `snapshots`, `ls`, `check`, `repo stats`: into the repository, and a look at it.

use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use crate::support::person_with_data;

fn lines(text: &str) -> Vec<serde_json::Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
}

#[test]
fn a_backup_tells_what_it_did() {
    let person = person_with_data();
    person.settle();
    insta::assert_snapshot!(person.ok("-r repo snapshot data --host web --tag first"));
    insta::assert_snapshot!(
        person.ok("-r repo backup data --host web --ignore-ctime --description again")
    );
    insta::assert_snapshot!(person.ok("-r repo snapshots"));
    insta::assert_snapshot!(person.ok("-r repo snapshots --latest 1 --group-by host"));
    insta::assert_snapshot!(person.ok("-r repo check"));
    assert!(person.ok("-r repo check --read-data").starts_with("no damage found: 2 snapshots"));
    assert!(person.ok("-r repo repo stats").contains("2 snapshots"));
}

#[test]
fn a_dry_run_stores_nothing() {
    let person = person_with_data();
    insta::assert_snapshot!(person.ok("-r repo snapshot data --host web --dry-run -v"));
    assert_eq!(person.ok("-r repo snapshots"), "");
}

#[test]
fn json_has_a_summary_at_the_end() {
    let person = person_with_data();
    let said = person.raw("-r repo --json snapshot data");
    let last = lines(&said).pop().expect("a line");
    assert_eq!(last["message_type"], "summary");
    assert_eq!(last["files_new"], 3);
    let id = last["snapshot_id"].as_str().expect("an id");
    let listed = lines(&person.raw("-r repo --json snapshots"));
    assert_eq!(listed[0]["id"], id);
    assert_eq!(listed[0]["strategy"], "full");
    let entries = lines(&person.raw("-r repo --json ls latest --recursive"));
    assert_eq!(entries.len(), 6);
    let check = lines(&person.raw("-r repo --json check")).pop().expect("a line");
    assert_eq!(check["damaged"], 0);
}

#[test]
fn ls_lists_folders_and_files() {
    let person = person_with_data();
    person.ok("-r repo snapshot data --exclude .cache");
    insta::assert_snapshot!(person.ok("-r repo ls latest"));
    insta::assert_snapshot!(person.ok("-r repo ls latest --recursive"));
    let folder = person.home().to_string_lossy().into_owned();
    let long = person.ok(&format!("-r repo ls latest:{folder}/data -l"));
    assert!(long.contains("data/link -> letter.txt"), "{long}");
    assert!(long.contains("-rw-r--r-- "), "{long}");
    insta::assert_snapshot!(person.run("-r repo ls latest:nothing/there"));
    insta::assert_snapshot!(person.run("-r repo ls abcdef"));
    insta::assert_snapshot!(person.run("-r repo ls Latest"));
}

#[test]
fn missing_sources_are_named() {
    let person = person_with_data();
    let said = person.run("-r repo snapshot data nothing --quiet");
    insta::assert_snapshot!(said);
    insta::assert_snapshot!(person.run("-r repo snapshot nothing"));
    assert!(person.ok("-r repo snapshots").contains("full!"));
}

#[test]
fn wrong_patterns_and_sizes_are_refused() {
    let person = person_with_data();
    insta::assert_snapshot!(person.run("-r repo snapshot data --exclude a[b"));
    insta::assert_snapshot!(person.run("-r repo snapshot data --exclude-larger-than much"));
    insta::assert_snapshot!(person.run("-r repo check --read-data-subset 8/7"));
    insta::assert_snapshot!(person.run("-r repo ls --at someday"));
}

#[test]
fn lists_and_streams_are_sources_too() {
    let person = person_with_data();
    person.write("list", "data/photos\n\n# no comment in a list of paths\n");
    let said = person.run("-r repo snapshot --files-from-verbatim list");
    assert_eq!(said.code, 3, "`#` begins a path there: {said}");
    person.ok("-r repo snapshot --files-from list");
    assert!(person.ok("-r repo ls latest --recursive").contains("photos/sea.jpg"));

    let mut command = person.command("-r repo snapshot --stdin dump/db.sql");
    command.write_stdin("create table t;").assert().success();
    assert_eq!(person.ok("-r repo ls latest"), "/dump/db.sql\n");
}

/// Names are any bytes; what a terminal could take for a command is escaped.
#[test]
fn strange_names_are_shown_and_found() {
    let person = person_with_data();
    let name = std::ffi::OsStr::from_bytes(b"data/\xff\x1b[2J%41");
    std::fs::write(person.home().join(name), "x").expect("a file");
    person.ok("-r repo snapshot data");
    let listed = person.ok("-r repo ls latest");
    let line = listed.lines().find(|line| line.contains("%FF")).expect("the name");
    assert!(line.ends_with("/data/%FF%1B[2J%2541"), "{line}");
    let home = person.home().to_string_lossy().into_owned();
    assert_eq!(
        person.ok(&format!("-r repo ls latest:{}", line.replace('~', &home))),
        format!("{line}\n")
    );
}

/// A reader that has seen enough (`larder ls | head`) is no error.
#[test]
fn a_closed_pipe_ends_quietly() {
    let person = person_with_data();
    for number in 0..3000 {
        person.write(&format!("data/many/a-rather-long-name-to-fill-the-pipe-{number}"), "");
    }
    person.ok("-r repo snapshot data --quiet");
    let mut ls = person.process("-r repo ls latest --recursive");
    let mut child = ls.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// Ctrl-C ends a run with its own exit code, and the next run goes on.
#[test]
fn signals_end_a_run_cleanly() {
    let person = person_with_data();
    let mut snapshot = person.process("-r repo snapshot --stdin endless");
    let stdin = Stdio::piped();
    let mut child = snapshot.stdin(stdin).stderr(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    let pid = rustix::process::Pid::from_child(&child);
    let mut sent = false;
    // The stream goes on until the program stops to read it.
    let block = [0x5a; 1 << 16];
    for round in 0_u32.. {
        use std::io::Write;
        if stdin.write_all(&block).is_err() {
            break;
        }
        if round > 100 && !sent {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("sent");
            sent = true;
        }
    }
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(143), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(person.ok("-r repo snapshots"), "");
    person.ok("-r repo snapshot data");
    assert!(person.ok("-r repo check --read-data").starts_with("no damage found"));
}

#[test]
fn damage_is_named_and_ends_with_1() {
    let person = person_with_data();
    person.ok("-r repo snapshot data --host web");
    for pack in person.files("repo/data") {
        std::fs::remove_file(pack).expect("removed");
    }
    let said = person.run("-r repo check");
    assert_eq!(said.code, 1, "{said}");
    assert!(said.stdout.contains("snapshot <digits> of host web"), "{said}");
    assert!(said.stdout.contains("~/data/photos/sea.jpg lacks <size>"), "{said}");
    assert!(said.stdout.contains("damage found: "), "{said}");
}

/// What is written where: results on standard output, all else on standard error.
#[test]
fn logs_and_progress_lines_go_to_standard_error() {
    let person = person_with_data();
    let mut command = person.command("-r repo snapshot data");
    let output = command.env("LARDER_LOG", "debug").output().expect("starts");
    let said = person.said(output);
    assert!(said.stdout.starts_with("snapshot <digits> saved"), "{said}");
}
