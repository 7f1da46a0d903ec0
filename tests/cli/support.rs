//! Runs the program in a folder of its own, with nothing of this machine's settings.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

/// A person with an empty home folder.
pub(crate) struct Person {
    home: TempDir,
}

/// How a run ended and what it said, with everything that changes from run to run replaced.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Person {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a temporary folder") }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home().join(name)
    }

    /// Makes a file below the home folder.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("below home")).expect("a folder");
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// The program, started in the home folder.
    pub(crate) fn command(&self, line: &str) -> Command {
        Command::from_std(self.process(line))
    }

    /// The same, for tests that talk with it while it runs.
    pub(crate) fn process(&self, line: &str) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_larder"));
        command.env_clear().current_dir(self.home());
        command.env("HOME", self.home()).env("PATH", "/usr/bin:/bin").env("TZ", "UTC");
        command.args(line.split_whitespace());
        command
    }

    /// All files below a folder of the home folder.
    pub(crate) fn files(&self, name: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.path(name)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let entry = entry.expect("an entry");
                let is_dir = entry.file_type().expect("a type").is_dir();
                if is_dir { &mut folders } else { &mut files }.push(entry.path());
            }
        }
        files.sort();
        files
    }

    /// Makes all files below `data` old: what changed just before a run is read again in the next.
    pub(crate) fn settle(&self) {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        for path in self.files("data").iter().filter(|path| !path.is_symlink()) {
            let file = std::fs::File::options().write(true).open(path).expect("a file");
            file.set_modified(time).expect("a new time");
        }
    }

    /// Runs the program with the words of `line`.
    pub(crate) fn run(&self, line: &str) -> Said {
        self.said(self.command(line).output().expect("the program starts"))
    }

    /// Runs the program and expects that all is well.
    pub(crate) fn ok(&self, line: &str) -> String {
        let said = self.run(line);
        assert_eq!(said.code, 0, "`larder {line}`: {}{}", said.stdout, said.stderr);
        said.stdout
    }

    /// Runs the program, expects that all is well, and returns what it printed as it is.
    pub(crate) fn raw(&self, line: &str) -> String {
        let output = self.command(line).output().expect("the program starts");
        assert!(output.status.success(), "`larder {line}`: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    pub(crate) fn said(&self, output: Output) -> Said {
        let text = |bytes: Vec<u8>| self.without_changes(&String::from_utf8_lossy(&bytes));
        Said {
            code: output.status.code().expect("not ended by a signal"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Replaces what is different in every run: folders, ids, times, codes.
    fn without_changes(&self, text: &str) -> String {
        let mut text = text.replace(&*self.home().to_string_lossy(), "~");
        for (pattern, replacement) in [
            (r"\b(?:[A-Z0-9]{5}-){7}[A-Z0-9]{5}\b", "CODES-..."),
            (r"\bin \d+(\.\d+)? s\b", "in <seconds>"),
            (r" +\b\d+(\.\d+)? ([KMG]i)?B\b", " <size>"),
            (r"(?m)^\d+(\.\d+)? ([KMG]i)?B\b", "<size>"),
            (r" +(Size|Added)\b", " $1"),
            (r"\b\d+ (entr|chunk|pack|object)(y|ies|s)?\b", "<number> ${1}s"),
            (r"folders  \d+ with other metadata", "folders  <number> with other metadata"),
            (r"folders  \d+ new, \d+ changed, \d+ unmodified", "folders  <numbers>"),
            (r"(?m)^new       /[^\n]*\n", ""),
            (r"\b(head +|head code +)([a-z]+ ){7}[a-z]+", "$1<words>"),
            (r#","storage":\{[^}]*\}"#, r#","storage":{...}"#),
            (r"(?m)^storage   [^\n]*$", "storage   <requests>"),
            (r"\b[0-9a-f]{64}\b", "<64 digits>"),
            (r"\b[0-9a-f]{32}\b", "<32 digits>"),
            (r"\b[0-9a-f]{8}\b", "<digits>"),
            (r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+00:00", "YYYY-MM-DD hh:mm:ss +00:00"),
            (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "<time>"),
        ] {
            let pattern = regex::Regex::new(pattern).expect("a pattern");
            text = pattern.replace_all(&text, replacement).into_owned();
        }
        text
    }
}

/// A person with a repository that needs no password, and a folder `data`.
pub(crate) fn person_with_data() -> Person {
    let person = Person::new();
    person.ok("-r repo repo init --encryption none");
    person.write("data/letter.txt", "Dear Ann,\n");
    person.write("data/photos/sea.jpg", [7; 3000]);
    person.write("data/photos/.cache/thumb", "small");
    std::os::unix::fs::symlink("letter.txt", person.path("data/link")).expect("a link");
    person
}

/// The same, with one snapshot of it.
pub(crate) fn person_with_snapshot() -> Person {
    let person = person_with_data();
    person.settle();
    person.ok("-r repo snapshot data --host web");
    person
}

/// `latest:` and the path of `name` in the home folder.
pub(crate) fn latest(person: &Person, name: &str) -> String {
    format!("latest:{}", person.path(name).display())
}

/// Takes the rights of everybody but the owner.
pub(crate) fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("permissions");
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}
