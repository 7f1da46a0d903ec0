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
    pub(crate) location: String,
    pub(crate) secrets: Vec<(String, String)>,
    /// What opens its repository, unless that is not encrypted.
    key_file: Option<PathBuf>,
}

/// Arguments: a line without quotes, or one by one.
pub(crate) trait Words {
    fn words(&self) -> Vec<&str>;
}

impl Words for str {
    fn words(&self) -> Vec<&str> {
        self.split_whitespace().collect()
    }
}

impl Words for String {
    fn words(&self) -> Vec<&str> {
        self.as_str().words()
    }
}

impl<const N: usize> Words for [&str; N] {
    fn words(&self) -> Vec<&str> {
        self.to_vec()
    }
}

impl Words for Vec<&str> {
    fn words(&self) -> Vec<&str> {
        self.clone()
    }
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
        let key_file = Some(home.path().join("key"));
        Self { home, location: server.location(path), secrets: server.secrets(), key_file }
    }

    /// With a folder `data`, and a repository without encryption at this location, to be made.
    pub(crate) fn plain(location: String, secrets: Vec<(String, String)>) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(home.path().join("data")).expect("a folder");
        Self { home, location, secrets, key_file: None }
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
    pub(crate) fn command<W: Words + ?Sized>(&self, arguments: &W) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
        command.env_clear().current_dir(self.home.path());
        command.env("HOME", self.home.path()).env("PATH", "/usr/bin:/bin").env("TZ", "UTC");
        command.env("NO_PROXY", "127.0.0.1").envs(self.secrets.iter().map(|(n, v)| (n, v)));
        command.env("LARDER_REPOSITORY", &self.location);
        command.envs(self.key_file.iter().map(|file| ("LARDER_KEY_FILE", file)));
        command.args(arguments.words());
        command
    }

    /// Runs it to its end. What it says never holds a secret.
    pub(crate) fn run<W: Words + ?Sized>(&self, arguments: &W) -> Run {
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
    pub(crate) fn ok<W: Words + ?Sized>(&self, arguments: &W) -> Run {
        let run = self.run(arguments);
        let line = arguments.words().join(" ");
        assert_eq!(run.code, 0, "`larder {line}`: {}{}", run.stdout, run.stderr);
        run
    }

    /// The same, with the object that it prints last.
    #[track_caller]
    pub(crate) fn summary<W: Words + ?Sized>(&self, arguments: &W) -> Value {
        self.ok(&[vec!["--json"], arguments.words()].concat()).summary()
    }

    /// Makes the repository and its key file.
    #[track_caller]
    pub(crate) fn init(&self) {
        let key_file = self.key_file.as_ref().and_then(|file| file.to_str()).expect("a key file");
        self.ok(&["repo", "init", "--new-key-file", key_file]);
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

    /// Writes a file of random bytes below `data`.
    pub(crate) fn write(&self, name: &str, seed: u64, len: usize) {
        let random = larder::runtime::Random::seeded(seed);
        let bytes: Vec<u8> = (0..len / 32 + 1).flat_map(|_| random.bytes::<32>()).collect();
        std::fs::write(self.path("data").join(name), &bytes[..len]).expect("writes");
    }

    /// Restores `latest` into a new folder and compares it with `data`.
    #[track_caller]
    pub(crate) fn assert_restores(&self, target: &str) {
        self.ok(&format!("restore latest:{} --target {target}", self.shown("data")));
        for entry in std::fs::read_dir(self.path("data")).expect("lists").flatten() {
            let restored = std::fs::read(self.path(target).join(entry.file_name()));
            let original = std::fs::read(entry.path()).expect("reads");
            assert!(restored.expect("restored") == original, "{:?}", entry.file_name());
        }
    }

    /// A path below the home folder as snapshots name it.
    pub(crate) fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string().trim_start_matches('/').to_owned()
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
