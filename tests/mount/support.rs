//! A mount in a process of its own, taken away whatever happens.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::person::Person;

/// Nothing here takes so long, unless it hangs.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Whether mounts can be tried here; says why if not.
pub(crate) fn is_possible() -> bool {
    let reason = match std::fs::File::options().read(true).write(true).open("/dev/fuse") {
        Ok(_) if succeeds(Command::new("fusermount3").arg("--version")) => return true,
        Ok(_) => "`fusermount3` (package fuse3) is missing".to_owned(),
        Err(error) => format!("`/dev/fuse` cannot be opened: {error}"),
    };
    println!("skipped: mounts, because {reason}");
    false
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// A `larder mount` that runs.
pub(crate) struct Mount {
    pub(crate) child: Child,
    pub(crate) folder: PathBuf,
    errors: PathBuf,
    /// Held open: the program says a word at its end.
    _stdout: BufReader<ChildStdout>,
}

impl Mount {
    /// Runs `larder -r repo mount LINE`, whose last word is a folder in the person's home, and
    /// waits until it is there.
    pub(crate) fn start(person: &Person, line: &str) -> Self {
        let name = line.split_whitespace().last().expect("a folder");
        let folder = person.path(name);
        std::fs::create_dir_all(&folder).unwrap_or_default();
        Self::run(person.process(&format!("-r repo mount {line}")), person, folder)
    }

    /// As [`Mount::start`], with a command that was prepared.
    pub(crate) fn run(mut command: Command, person: &Person, folder: PathBuf) -> Self {
        let errors = person.path(&format!("{}.err", folder.file_name().expect("a name").display()));
        let log = std::fs::File::create(&errors).expect("a file");
        let mut child =
            command.stdout(Stdio::piped()).stderr(log).spawn().expect("the program starts");
        let mut said = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        stdout.read_line(&mut said).expect("text");
        let mount = Self { child, folder, errors, _stdout: stdout };
        assert!(said.starts_with("mounted on"), "{said}{}", mount.errors());
        mount
    }

    /// The folder of the newest snapshot, and in it what was `name` in the person's home.
    pub(crate) fn latest(&self, person: &Person, name: &str) -> PathBuf {
        let source = person.path(name);
        self.folder.join("latest").join(source.strip_prefix("/").expect("absolute"))
    }

    /// What it said on standard error.
    pub(crate) fn errors(&self) -> String {
        std::fs::read_to_string(&self.errors).expect("text")
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(succeeds(Command::new("kill").args([&format!("-{name}"), &pid])));
    }

    /// Waits for its end and returns the exit code.
    pub(crate) fn code(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(start.elapsed() < LONG, "it does not end: {}", self.errors());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as Ctrl-C does.
    pub(crate) fn end(mut self) {
        self.signal("INT");
        assert_eq!(self.code(), Some(0), "{}", self.errors());
        assert!(!is_mounted(&self.folder));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if is_mounted(&self.folder) {
            let _ = Command::new("umount").arg("-l").arg(&self.folder).output();
            let _ = Command::new("fusermount3").arg("-uz").arg(&self.folder).output();
        }
    }
}

pub(crate) fn is_mounted(folder: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("text");
    mounts.lines().any(|line| line.split(' ').nth(4) == folder.to_str())
}

/// Runs a line of a shell in `folder` and returns what it printed.
pub(crate) fn shell(folder: &Path, line: &str) -> String {
    let output = try_shell(folder, line);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "`{line}` in `{}`: {}{}",
        folder.display(),
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// As [`shell`], also if it fails.
pub(crate) fn try_shell(folder: &Path, line: &str) -> Output {
    let mut command = Command::new("bash");
    command.args(["-c", line]).current_dir(folder).env("LC_ALL", "C");
    command.output().expect("a shell")
}
