//! The program on a storage service, with an empty home folder.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// A machine that uses one repository without encryption, or several one after the other.
pub(crate) struct Program {
    home: TempDir,
    pub(crate) repository: String,
    pub(crate) secrets: Vec<(String, String)>,
}

/// How a run ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    pub(crate) fn new(repository: String, secrets: Vec<(String, String)>) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(home.path().join("data")).expect("a folder");
        Self { home, repository, secrets }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file of random bytes below `data`.
    pub(crate) fn write(&self, name: &str, seed: u64, len: usize) {
        let random = larder::runtime::Random::seeded(seed);
        let bytes: Vec<u8> = (0..len / 32 + 1).flat_map(|_| random.bytes::<32>()).collect();
        std::fs::write(self.path("data").join(name), &bytes[..len]).expect("writes");
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
        command.env_clear().current_dir(self.home.path());
        command.env("HOME", self.home.path()).env("PATH", "/usr/bin:/bin").env("TZ", "UTC");
        command.env("LARDER_REPOSITORY", &self.repository).env("NO_PROXY", "127.0.0.1");
        command.envs(self.secrets.iter().cloned()).args(line.split_whitespace());
        let output = command.output().expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran {
            code: output.status.code().expect("not ended by a signal"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    #[track_caller]
    pub(crate) fn ok(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!(ran.code, 0, "`larder {line}`: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// The last object that a run with `--json` prints.
    #[track_caller]
    pub(crate) fn json(&self, line: &str) -> Value {
        let said = self.ok(&format!("{line} --json"));
        let last = said.lines().last().expect("a line");
        serde_json::from_str(last).expect("an object")
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
}
