//! The house's rules that no compiler knows: who may import whom, how long a file may be, who may
//! print. A rule worth having is worth a test.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers from the bottom up. Imports point to the same layer or a lower one.
const LAYERS: &[&[&str]] = &[
    &["model", "error", "runtime"],
    &["storage", "format", "codec", "crypto", "chunker", "fsmeta"],
    &["repository"],
    &["tree", "source"],
    &["commit"],
    OPERATIONS,
    &["manager"],
    &["cli", "server", "mount", "daemon"],
];

/// One operation each; they are strangers to each other.
const OPERATIONS: &[&str] =
    &["archive", "restore", "retention", "prune", "verify", "repair", "mirror", "view"];

/// Most lines of a file.
const LINES_MAX: usize = 450;

/// Files that may be longer, and why.
const LONG_FILES: &[(&str, &str)] = &[("fsmeta/tests.rs", "one case per kind of metadata")];

/// A source file: path below `src`, and its lines without comments.
struct Source {
    path: String,
    lines: Vec<String>,
}

impl Source {
    /// The name of the module at the top of the crate that the file belongs to.
    fn layer_name(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    fn is_root(&self) -> bool {
        matches!(self.path.as_str(), "lib.rs" | "main.rs")
    }

    /// How many modules the file is below the root of the crate.
    fn depth(&self) -> usize {
        let folders = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") { folders - 1 } else { folders }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("a readable folder");
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| entry.expect("readable").path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("readable text");
                let below = path.strip_prefix(&root).expect("below src");
                sources.push(Source {
                    path: below.to_str().expect("plain names").to_string(),
                    lines: text.lines().map(without_comment).collect(),
                });
            }
        }
    }
    assert!(sources.len() > 50, "the sources are found");
    sources
}

/// A line up to its comment. A `//` in a string cuts the line short, which hides no import.
fn without_comment(line: &str) -> String {
    line.split("//").next().unwrap_or_default().to_string()
}

/// The names at the top of the crate that some code names, by `crate::x`, `crate::{x, y::z}`, or
/// enough `super::` from a file `depth` modules below the root.
fn imports(code: &str, depth: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("crate::") {
        let is_word = rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        rest = &rest[at + "crate::".len()..];
        if !is_word {
            found.extend(first_names(rest));
        }
    }
    let up = "super::".repeat(depth);
    let mut rest = code;
    while let Some(at) = rest.find(&up) {
        let is_longer =
            rest[..at].ends_with("super::") || rest[at + up.len()..].starts_with("super::");
        rest = &rest[at + up.len()..];
        // In a module inside of the file the same words lead elsewhere: only known names count.
        if !is_longer {
            found.extend(first_names(rest).into_iter().filter(|name| layer(name).is_some()));
        }
    }
    found
}

/// The first name of a path, or those of all paths in braces.
fn first_names(code: &str) -> Vec<String> {
    let Some(group) = code.strip_prefix('{') else {
        let end = code.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len());
        return vec![code[..end].to_string()];
    };
    let mut names = Vec::new();
    let (mut depth, mut is_start) = (0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            c if is_start && !c.is_whitespace() => {
                names.extend(first_names(&group[at..]));
                is_start = false;
            }
            _ => {}
        }
    }
    names
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&name))
}

/// What is wrong with an import, if anything.
fn complaint(from: &str, to: &str) -> Option<String> {
    // Macros and the crate's own re-exports at its root.
    let to_layer = layer(to)?;
    let from_layer = layer(from)?;
    if to_layer > from_layer {
        return Some(format!("{from} imports {to}, which is above it"));
    }
    let are_strangers = OPERATIONS.contains(&from) && OPERATIONS.contains(&to) && from != to;
    are_strangers.then(|| format!("{from} imports {to}; operations are strangers"))
}

fn fail_on(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn imports_point_down() {
    let mut complaints = Vec::new();
    for source in sources().iter().filter(|source| !source.is_root()) {
        let from = source.layer_name();
        if layer(from).is_none() {
            complaints.push(format!("src/{}: `{from}` is in no layer", source.path));
        }
        for to in imports(&source.lines.join("\n"), source.depth()) {
            complaints.extend(complaint(from, &to).map(|c| format!("src/{}: {c}", source.path)));
        }
    }
    fail_on(&complaints);
}

#[test]
fn files_are_short() {
    let mut complaints = Vec::new();
    let sources = sources();
    for source in &sources {
        let lines = source.lines.len();
        let is_listed = LONG_FILES.iter().any(|(path, _)| *path == source.path);
        if lines > LINES_MAX && !is_listed {
            complaints.push(format!("src/{}: {lines} lines; split it by subject", source.path));
        }
        if lines <= LINES_MAX && is_listed {
            complaints.push(format!("src/{}: short now; take it off the list", source.path));
        }
    }
    for (path, _) in LONG_FILES.iter().filter(|(path, _)| sources.iter().all(|s| s.path != *path)) {
        complaints.push(format!("src/{path}: gone; take it off the list"));
    }
    fail_on(&complaints);
}

#[test]
fn only_the_command_line_prints() {
    let mut complaints = Vec::new();
    for source in sources() {
        let is_test = source.path.ends_with("tests.rs") || source.path.contains("/tests/");
        if matches!(source.layer_name(), "cli" | "main") || is_test {
            continue;
        }
        // Unit tests are at the end of a file.
        let code = source.lines.iter().take_while(|line| line.trim() != "#[cfg(test)]");
        for (number, line) in code.enumerate() {
            for print in ["println!", "eprintln!", "print!(", "eprint!(", "dbg!"] {
                let is_word = line.find(print).is_some_and(|at| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
                });
                if is_word {
                    complaints.push(format!("src/{}:{}: prints", source.path, number + 1));
                }
            }
        }
    }
    fail_on(&complaints);
}

/// Limits of bandwidth hold for every command, and every request is counted.
#[test]
fn commands_reach_storage_by_the_wire_alone() {
    let mut complaints = Vec::new();
    for source in sources() {
        if source.layer_name() != "cli" || source.path == "cli/wire.rs" {
            continue;
        }
        let past = ["storage::open", "storage::create", "location::open", "location::create"];
        for (number, line) in source.lines.iter().enumerate() {
            if past.iter().any(|call| line.contains(call)) {
                complaints.push(format!("src/{}:{}: use `wire`", source.path, number + 1));
            }
        }
    }
    fail_on(&complaints);
}

/// Tests that have to be there, by these names.
const NAMED_TESTS: [&str; 35] = [
    "create_full_backup",
    "create_incremental_backup",
    "restore_backup",
    "list_backups",
    "delete_backup",
    "backup_with_encryption",
    "backup_progress_tracking",
    "backup_failure_handling",
    "backup_size_calculation",
    "concurrent_backups",
    "point_in_time_recovery",
    "selective_restore",
    "recovery_verification",
    "rollback_on_error",
    "recovery_progress",
    "template_selective_restore",
    "recovery_conflict_resolution",
    "disaster_recovery_procedure",
    "schedule_backup",
    "automatic_execution",
    "retention_policy",
    "failed_backup_retry",
    "schedule_cancellation",
    "bandwidth_throttling",
    "schedule_modification",
    "local_storage",
    "cloud_storage_s3",
    "cloud_storage_azure",
    "backup_encryption",
    "storage_redundancy",
    "backup_verification",
    "checksum_validation",
    "corruption_detection",
    "complete_backup_restore_cycle",
    "disaster_recovery_workflow",
];

/// What was promised is tried by a test of its name, that nobody has switched off.
#[test]
fn tests_that_were_promised_are_there() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("a readable folder");
        for path in entries.map(|entry| entry.expect("readable").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a readable file");
                let lines: Vec<&str> = text.lines().map(str::trim).collect();
                let tests = lines.windows(2).filter(|pair| pair[0] == "#[test]");
                let names = tests.filter_map(|pair| pair[1].strip_prefix("fn ")?.split_once('('));
                found.extend(names.map(|(name, _)| name.to_owned()));
            }
        }
    }
    let missing: Vec<_> =
        NAMED_TESTS.iter().filter(|name| found.iter().all(|one| one != **name)).collect();
    assert!(missing.is_empty(), "no test is called so: {missing:?}");
}

/// The eyes of the tests above.
#[test]
fn imports_are_seen_in_every_form() {
    let seen = |code: &str| imports(code, 2).join(" ");
    assert_eq!(seen("use crate::tree::Manifest;"), "tree");
    assert_eq!(seen("let x = crate::model::ChunkId(id);"), "model");
    assert_eq!(
        seen("use crate::{error::Result, model::{Entry, Time},\n  archive};"),
        "error model archive"
    );
    assert_eq!(seen("use super::super::model::Entry;"), "model");
    assert_eq!(seen("use super::model::Entry;"), "");
    assert_eq!(seen("use super::super::super::model::Entry;"), "");
    assert_eq!(seen("pub(in crate::storage) fn f() {}"), "storage");
    assert_eq!(seen("use other_crate::archive;"), "");
    assert_eq!(
        complaint("tree", "archive").as_deref(),
        Some("tree imports archive, which is above it")
    );
    assert!(complaint("archive", "restore").is_some());
    assert!(complaint("archive", "tree").is_none());
    assert!(complaint("tree", "source").is_none());
}
