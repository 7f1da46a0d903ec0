//! `tests/second_reader.py` reads the golden repositories: it was written from SPEC.md alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::golden::{code_of, expected, folder};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// Runs the reader; `None` if this machine has no Python.
fn read(repository: &str, secret: &[&str], arguments: &[&str]) -> Option<Vec<u8>> {
    let python = Command::new("python3").arg("--version").output();
    if python.is_err() {
        #[allow(clippy::print_stdout)] // the test runner shows it
        {
            println!("skipped: there is no python3 here");
        }
        return None;
    }
    let output = Command::new("bash")
        .arg(script("second_reader.sh"))
        .arg(folder().join(repository))
        .args(secret)
        .args(arguments)
        .output()
        .expect("starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{repository} {arguments:?}: {errors}");
    Some(output.stdout)
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// The secrets of a repository as arguments.
fn secrets(repository: &str, expected: &Value) -> Vec<Vec<String>> {
    if repository == "none" {
        return vec![Vec::new()];
    }
    let secret = |flag: &str, name: &str| vec![flag.to_string(), text(&expected[name]).to_string()];
    vec![
        secret("--password", "password"),
        secret("--key-file-text", "key_file"),
        secret("--recovery-code", code_of(repository)),
    ]
}

#[test]
fn it_lists_snapshots_with_every_secret() {
    let expected = expected();
    for repository in ["encrypted", "rekeyed", "none"] {
        for secret in secrets(repository, &expected) {
            let secret: Vec<&str> = secret.iter().map(String::as_str).collect();
            let Some(output) = read(repository, &secret, &["snapshots"]) else { return };
            let list: Vec<Value> = serde_json::from_slice(&output).expect("JSON");
            let ids: Vec<&str> = list.iter().map(|snapshot| text(&snapshot["id"])).collect();
            let known: Vec<&str> =
                expected[repository].as_array().expect("ids").iter().map(text).collect();
            assert_eq!(ids, known);
            assert!(list.iter().all(|snapshot| snapshot["host"] == "pantry"));
        }
    }
}

/// Every entry of every snapshot, with the hash of what is in it.
#[test]
fn it_reads_everything() {
    let expected = expected();
    let root = &text(&expected["source"])[1..];
    for repository in ["encrypted", "rekeyed", "none"] {
        let secret = secrets(repository, &expected).remove(0);
        let secret: Vec<&str> = secret.iter().map(String::as_str).collect();
        for (number, tree) in ["first", "second"].into_iter().enumerate() {
            let id = text(&expected[repository][number]);
            let Some(output) = read(repository, &secret, &["list", id, root]) else { return };
            let found: Value = serde_json::from_slice(&output).expect("JSON");
            let wanted = expected[tree].as_object().expect("nodes");
            let found = found.as_object().expect("nodes");
            assert_eq!(found.len(), wanted.len());
            for (path, node) in wanted {
                assert_eq!(found.get(path), Some(node), "{repository}, {tree}: `{path}`");
            }
        }
    }
}

#[test]
fn it_extracts_a_file_byte_for_byte() {
    let expected = expected();
    let secret = ["--password", text(&expected["password"])];
    let path = format!("{}/long", &text(&expected["source"])[1..]);
    let id = text(&expected["encrypted"][0]);
    let Some(bytes) = read("encrypted", &secret, &["extract", id, &path]) else { return };
    let node = &expected["first"]["long"];
    assert_eq!(bytes.len() as u64, node["size"].as_u64().expect("a size"));
    assert_eq!(blake3::hash(&bytes).to_hex().as_str(), text(&node["blake3"]));
    assert!(bytes.starts_with(b"0: 0\n1: 9e3779\n"));
}
