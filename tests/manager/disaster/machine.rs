//! A computer that can be lost: the program in a home folder of its own, and a disk beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Dice, TreeCopy};

pub(crate) const PASSWORD: &str = "correct horse battery staple";

pub(crate) struct Machine {
    place: TempDir,
}

impl Machine {
    /// With a repository on its disk that `pw` opens.
    pub(crate) fn new() -> Self {
        let machine = Self { place: tempfile::tempdir().expect("a folder") };
        std::fs::create_dir(machine.path("home")).expect("a folder");
        machine.write("home/pw", PASSWORD.as_bytes());
        machine.private("home/pw");
        machine.ok("--password-file pw repo init");
        machine
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub(crate) fn private(&self, name: &str) {
        use std::os::unix::fs::PermissionsExt;
        let only_me = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(self.path(name), only_me).expect("a mode");
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("below")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }

    /// A file that no compression makes smaller.
    pub(crate) fn write_noise(&self, name: &str, len: usize, seed: u64) {
        let bytes = Dice::seeded(seed).noise(len);
        self.write(name, &bytes);
    }

    /// The program in the home folder, with the words of `line`.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
        self.surround(&mut command);
        command.env("LARDER_REPOSITORY", self.path("disk")).args(line.split_whitespace());
        command
    }

    /// Gives a command the home folder and nothing of the machine that runs the tests.
    pub(crate) fn surround(&self, command: &mut Command) {
        command.env_clear().current_dir(self.path("home"));
        command.env("HOME", self.path("home")).env("TZ", "UTC").env("PATH", "/usr/bin:/bin");
    }

    #[track_caller]
    pub(crate) fn output(&self, line: &str) -> Output {
        self.command(line).output().expect("the program starts")
    }

    #[track_caller]
    pub(crate) fn ok(&self, line: &str) -> String {
        self.ends(line, 0)
    }

    /// Runs it, expects an exit code, and returns what it printed.
    #[track_caller]
    pub(crate) fn ends(&self, line: &str, code: i32) -> String {
        let output = self.output(line);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "`larder {line}`:\n{out}\n{err}");
        out
    }

    /// The object of this type among the lines of JSON.
    #[track_caller]
    pub(crate) fn json(&self, line: &str, code: i32, message_type: &str) -> Value {
        let out = self.ends(&format!("--json {line}"), code);
        let objects = out.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        let found = objects.into_iter().find(|one: &Value| one["message_type"] == message_type);
        found.unwrap_or_else(|| panic!("no `{message_type}` in {out}"))
    }

    /// Backs up a folder and returns the snapshot's id.
    #[track_caller]
    pub(crate) fn backup(&self, folder: &str, more: &str) -> String {
        let folder = self.path(folder);
        let line = format!("--password-file pw snapshot {} {more}", folder.display());
        let summary = self.json(&line, 0, "summary");
        summary["snapshot_id"].as_str().expect("an id").to_owned()
    }

    /// All objects below a folder of the repository.
    pub(crate) fn objects(&self, folder: &str) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.path("disk").join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.insert(path);
                }
            }
        }
        found
    }

    /// Everything but the disk with the repository is gone; kits that were printed are typed in
    /// again, into the home folder of a new machine.
    pub(crate) fn lose(&self, kits: &[&str]) {
        let kept: BTreeMap<&str, Vec<u8>> = kits
            .iter()
            .map(|kit| (*kit, std::fs::read(self.path("home").join(kit)).expect("a kit")))
            .collect();
        for name in ["home", "source"] {
            std::fs::remove_dir_all(self.path(name)).ok();
        }
        std::fs::create_dir(self.path("home")).expect("a folder");
        for (kit, content) in kept {
            self.write(&format!("home/{kit}"), &content);
            self.private(&format!("home/{kit}"));
        }
    }

    /// A folder of this machine as it is now.
    pub(crate) fn copy_of(&self, name: &str) -> TreeCopy {
        TreeCopy::of_folder(&self.path(name))
    }

    /// What a recovery into `target` has made of a folder of this machine.
    pub(crate) fn recovered(&self, target: &str, name: &str) -> TreeCopy {
        let below = self.path(name);
        let below = below.strip_prefix("/").expect("absolute");
        TreeCopy::of_folder(&self.path(target).join(below))
    }
}

/// Turns bits in the middle of a file.
pub(crate) fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(path, bytes).expect("a file");
}
