//! Tests that stop a process in the middle, or let single system calls fail, from outside: this
//! test program starts itself again, and the child writes objects.

use super::tests::{is_tmp_empty, names, open};
use crate::storage::{PutMode, Storage, list_sorted};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const FOLDER: &str = "STORAGE_TEST_FOLDER";
const OBJECT_LEN: usize = 3 << 20;

/// Not a test of its own: what the child does. Writes objects until it is killed, or the one it
/// was asked for.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let storage = open(Path::new(&folder));
    let mode = match std::env::var("STORAGE_TEST_MODE").as_deref() {
        Ok("once") => PutMode::CreateOnce,
        Ok("content") => PutMode::Content,
        _ => {
            for at in 0_u32.. {
                let bytes = vec![at as u8; OBJECT_LEN];
                storage
                    .put(&format!("data/{:02x}/{at}", at % 3), &[&bytes], PutMode::Content)
                    .unwrap();
                eprintln!("stored");
            }
            return;
        }
    };
    match storage.put("data/00/a", &[b"some ", b"bytes"], mode) {
        Ok(()) => eprintln!("stored"),
        Err(error) => eprintln!("failed {:?}", error.kind),
    }
}

/// The command that runs [`child`], behind `wrapper`.
fn child_command(wrapper: &[&str], folder: &Path) -> Command {
    let this = std::env::current_exe().unwrap();
    let test = "storage::local::crash_tests::child";
    let line: Vec<&OsStr> = wrapper
        .iter()
        .map(OsStr::new)
        .chain([this.as_os_str()])
        .chain([test, "--exact", "--nocapture"].map(OsStr::new))
        .collect();
    let mut command = Command::new(line[0]);
    command.args(&line[1..]).env(FOLDER, folder).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// What the child said about its one object.
fn outcome(mut command: Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| line.starts_with("stored") || line.starts_with("failed"));
    line.unwrap_or_else(|| panic!("the child said: {said}")).into()
}

#[test]
fn a_killed_writer_leaves_whole_objects() {
    for rounds in [1, 4, 9] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = child_command(&[], dir.path()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        for _ in 0..rounds {
            while said.next().unwrap().unwrap() != "stored" {}
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let storage = open(dir.path());
        let all = list_sorted(&storage, "data/").unwrap();
        assert!(all.len() >= rounds, "what was reported is there");
        for meta in all {
            let bytes = storage.get(&meta.name, OBJECT_LEN as u64).unwrap();
            assert_eq!(bytes.len(), OBJECT_LEN, "{}", meta.name);
            assert!(bytes.iter().all(|byte| *byte == bytes[0]), "{}", meta.name);
        }
    }
}

/// The limit of a process on the length of files, with the signal that comes with it ignored.
#[test]
fn a_limit_on_file_length_is_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"];
    let mut command = child_command(&limited, dir.path());
    command.env("STORAGE_TEST_MODE", "content");
    assert_eq!(outcome(command), "failed Full");
    assert!(names(&open(dir.path())).is_empty() && is_tmp_empty(dir.path()));
}

/// Lets the n-th call of each kind fail, for every n a write has. Whatever fails, the object is
/// whole or absent, no temporary file stays, and writing it again succeeds.
#[test]
fn every_failing_system_call_is_noticed() {
    let strace = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    if !strace.is_ok_and(|status| status.success()) {
        eprintln!("skipped: strace is not installed or not allowed");
        return;
    }
    for (calls, times, error, kind) in [
        ("fsync", 4, "EIO", "Permanent"),
        ("writev", 1, "EIO", "Permanent"),
        ("writev", 1, "ENOSPC", "Full"),
        ("mkdirat", 3, "EACCES", "Denied"),
        ("renameat,renameat2", 1, "EIO", "Permanent"),
    ] {
        for (mode, nth) in
            ["content", "once"].into_iter().flat_map(|mode| (1..=times).map(move |n| (mode, n)))
        {
            let dir = tempfile::tempdir().unwrap();
            let inject = format!("inject={calls}:error={error}:when={nth}");
            let wrapper = ["strace", "-f", "-o", "/dev/null", "-e", &inject];
            let mut command = child_command(&wrapper, dir.path());
            command.env("STORAGE_TEST_MODE", mode);
            let case = format!("{mode}, {calls} number {nth}: {error}");
            assert_eq!(outcome(command), format!("failed {kind}"), "{case}");

            let storage = open(dir.path());
            assert!(is_tmp_empty(dir.path()), "{case}");
            let is_last_sync = calls == "fsync" && nth == times;
            let left = names(&storage);
            assert_eq!(left.len(), usize::from(is_last_sync), "{case}: {left:?}");
            storage.put("data/00/a", &[b"some bytes"], PutMode::Content).unwrap();
            assert_eq!(storage.get("data/00/a", 10).unwrap(), b"some bytes");
        }
    }
}

/// Without `renameat2` and without hard links, as on shares mounted through FUSE.
#[test]
fn creating_once_works_on_lesser_file_systems() {
    let strace = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    if !strace.is_ok_and(|status| status.success()) {
        eprintln!("skipped: strace is not installed or not allowed");
        return;
    }
    for injects in [
        vec!["inject=renameat2:error=EINVAL"],
        vec!["inject=renameat2:error=EINVAL:when=1", "inject=linkat:error=EPERM"],
    ] {
        let dir = tempfile::tempdir().unwrap();
        for expected in ["stored", "failed Exists"] {
            let mut wrapper = vec!["strace", "-f", "-o", "/dev/null"];
            wrapper.extend(injects.iter().flat_map(|inject| ["-e", inject]));
            let mut command = child_command(&wrapper, dir.path());
            command.env("STORAGE_TEST_MODE", "once");
            assert_eq!(outcome(command), expected, "{injects:?}");
            assert!(is_tmp_empty(dir.path()));
            assert_eq!(names(&open(dir.path())), ["data/00/a"]);
        }
    }
}
