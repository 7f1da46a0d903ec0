//! The guide has an example for every public method of the library's front door.

use std::fs;
use std::path::{Path, PathBuf};

const FRONT_DOOR: [&str; 3] = ["BackupManager", "RecoveryManager", "Scheduler"];

fn sources() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manager")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("lists").flatten() {
            let path = entry.path();
            if path.is_dir() { &mut folders } else { &mut files }.push(path);
        }
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files
}

/// The public methods in the `impl` blocks of the front door.
fn methods(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_inside = false;
    for line in code.lines() {
        if line.starts_with("impl") {
            is_inside = FRONT_DOOR.iter().any(|name| line == format!("impl {name} {{"));
        }
        let name = line.strip_prefix("    pub fn ").and_then(|rest| rest.split(['(', '<']).next());
        found.extend(name.filter(|_| is_inside).map(str::to_owned));
    }
    found
}

#[test]
fn every_method_has_an_example() {
    let guide = include_str!("../../src/manager/guide.md");
    let mut missing = Vec::new();
    let mut count = 0;
    for path in sources() {
        let code = fs::read_to_string(&path).expect("reads");
        for name in methods(&code) {
            count += 1;
            let is_shown =
                [format!(".{name}("), format!("::{name}(")].iter().any(|call| guide.contains(call));
            if !is_shown {
                missing.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(count > 30, "{count} methods are found");
    assert!(missing.is_empty(), "not in src/manager/guide.md:\n{}", missing.join("\n"));
}
