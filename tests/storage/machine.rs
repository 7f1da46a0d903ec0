//! A machine that backs up to a service: the program itself, with a home folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::servers::Server;
use crate::support::TreeCopy;

/// Runs the program with nothing of this machine's settings, and secrets in the environment.
pub(crate) struct Machine {
    home: TempDir,
    location: String,
    secrets: Vec<(String, String)>,
    key_file: PathBuf,
}

/// How a run ended and what it said.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Machine {
    /// With its own repository at `path` on the server, and its own key file, both to be made.
    pub(crate) fn new(server: &dyn Server, path: &str) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let key_file = home.path().join("key");
        Self { home, location: server.location(path), secrets: server.secrets(), key_file }
    }

    /// Another machine with the same repository and key.
    pub(crate) fn beside(&self) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let (location, secrets) = (self.location.clone(), self.secrets.clone());
        Self { home, location, secrets, key_file: self.key_file.clone() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The program, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
        command.env_clear().current_dir(self.home.path());
        command.env("HOME", self.home.path()).env("PATH", "/usr/bin:/bin").env("TZ", "UTC");
        command.env("NO_PROXY", "127.0.0.1").envs(self.secrets.iter().map(|(n, v)| (n, v)));
        command.env("LARDER_REPOSITORY", &self.location).env("LARDER_KEY_FILE", &self.key_file);
        command.args(arguments);
        command
    }

    /// Runs it to its end. What it says never holds a secret.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.ended(self.command(arguments).output().expect("the program starts"))
    }

    /// What an ended run has said.
    pub(crate) fn ended(&self, output: Output) -> Run {
        let run = Run {
            code: output.status.code().expect("not ended by a signal"),
            stdout: String::from_utf8_lossy(&output.stdout).into(),
            stderr: String::from_utf8_lossy(&output.stderr).into(),
        };
        for (name, secret) in self.secrets.iter().filter(|(name, _)| !name.contains("_FILE")) {
            let is_word = !name.ends_with("_USER") && !name.ends_with("_ID");
            let said = run.stdout.contains(secret) || run.stderr.contains(secret);
            assert!(!(is_word && said), "{name} is said: {run:?}");
        }
        run
    }

    /// Runs it and expects that all is well.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "`larder {}`: {}{}", arguments.join(" "), run.stdout, run.stderr);
        run
    }

    /// The same, with the object that it prints last.
    #[track_caller]
    pub(crate) fn summary(&self, arguments: &[&str]) -> Value {
        self.ok(&[&["--json"], arguments].concat()).summary()
    }

    /// Makes the repository and its key file.
    #[track_caller]
    pub(crate) fn init(&self) {
        self.ok(&["repo", "init", "--new-key-file", self.key_file.to_str().expect("plain")]);
    }

    /// Backs up a folder.
    #[track_caller]
    pub(crate) fn back_up(&self, folder: &Path) -> Value {
        self.summary(&["snapshot", folder.to_str().expect("plain")])
    }

    /// What a snapshot of `folder` holds, by restoring it.
    #[track_caller]
    pub(crate) fn restored(&self, snapshot: &str, folder: &Path) -> TreeCopy {
        let target = tempfile::tempdir().expect("a folder");
        let to = target.path().to_str().expect("plain");
        self.ok(&["-q", "restore", snapshot, "--target", to]);
        TreeCopy::of_folder(&target.path().join(folder.strip_prefix("/").expect("absolute")))
    }

    /// Reads all that is stored, and expects no damage.
    #[track_caller]
    pub(crate) fn check_all(&self) -> Value {
        let checked = self.summary(&["check", "--read-data"]);
        assert_eq!(checked["findings"].as_array().map(Vec::len), Some(0), "{checked}");
        checked
    }

    /// Ids of the snapshots that are there, oldest first.
    #[track_caller]
    pub(crate) fn snapshots(&self) -> Vec<String> {
        let listed = self.ok(&["--json", "snapshots"]).stdout;
        let ids = listed.lines().map(|line| id(&parsed(line), "id"));
        ids.collect()
    }
}

impl Run {
    /// The object that was printed last.
    #[track_caller]
    pub(crate) fn summary(&self) -> Value {
        parsed(self.stdout.lines().last().unwrap_or_default())
    }
}

#[track_caller]
fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// A text of an object.
#[track_caller]
pub(crate) fn id(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("{field}: {value}")).to_owned()
}

/// A number of an object.
#[track_caller]
pub(crate) fn number(value: &Value, field: &str) -> u64 {
    let found = field.split('.').fold(value, |value, part| &value[part]);
    found.as_u64().unwrap_or_else(|| panic!("{field}: {value}"))
}
