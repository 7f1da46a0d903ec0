//! Where the programs are, and what a test does without them.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Where `install.sh` puts what is not a package of the system.
pub(crate) fn home() -> PathBuf {
    match env::var_os("LARDER_TEST_SERVERS") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-servers"),
    }
}

/// A program that `install.sh` has put below its folder.
pub(crate) fn installed(name: &str, path: &str) -> Option<PathBuf> {
    let program = home().join(path);
    if program.exists() { Some(program) } else { skip(name, "it is not installed") }
}

/// A program of the system.
pub(crate) fn of_system(name: &str, program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    match folders.map(|folder| folder.join(program)).find(|path| path.exists()) {
        Some(found) => Some(found),
        None => skip(name, &format!("there is no `{program}` on this machine")),
    }
}

/// Says that a test does nothing for want of a server.
///
/// # Panics
/// If the server has to be there.
#[allow(clippy::print_stdout)]
pub(crate) fn skip<T>(name: &str, reason: &str) -> Option<T> {
    assert!(!is_required(name), "{name} was installed, and cannot be used: {reason}");
    let absent = fs::read_to_string(home().join("absent.txt")).unwrap_or_default();
    let why = absent.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    let why = why.map_or(String::new(), |why| format!("; the installation said: {why}"));
    println!("skipped: {name} because {reason}{why}");
    None
}

fn is_required(name: &str) -> bool {
    let installed = fs::read_to_string(home().join("installed.txt")).unwrap_or_default();
    env::var_os("LARDER_TEST_REQUIRE_SERVERS").is_some_and(|value| value == "1")
        && installed.lines().any(|line| line == name)
}
