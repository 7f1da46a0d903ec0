//! A command of the user's that asks a service for packs.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::model::quoted;
use crate::restore::NeededPack;
use crate::runtime::CancelToken;

/// Stands for the name of an object: the command runs once for each.
const NAME: &str = "{name}";
/// Stands for a file with the names of all objects, one a line: the command runs once.
const FILE: &str = "{file}";

/// A shell command with `{name}` or `{file}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmUpCommand {
    command: String,
    is_batch: bool,
}

impl WarmUpCommand {
    /// Takes a command for `/bin/sh`.
    ///
    /// # Errors
    /// [`Error::Usage`] if it has neither `{name}` nor `{file}`, or both.
    pub fn new(command: &str) -> Result<Self> {
        let (by_name, is_batch) = (command.contains(NAME), command.contains(FILE));
        if by_name == is_batch {
            return Err(Error::usage_hint(
                "a command that asks for packs has to say for which",
                "write `{name}` where the name of an object belongs, or `{file}` for a file with \
                 all names, one a line",
            ));
        }
        Ok(Self { command: command.into(), is_batch })
    }

    /// Runs it for `packs`.
    ///
    /// # Errors
    /// [`Error::Local`] if it cannot be run or says that it failed; [`Error::Cancelled`].
    pub(super) fn run(&self, packs: &[NeededPack], cancel: &CancelToken) -> Result<()> {
        if packs.is_empty() {
            return Ok(());
        }
        if self.is_batch {
            let failed = |error| Error::local("write", "a list of names", error);
            let mut file = NamesFile::create().map_err(failed)?;
            file.fill(packs).map_err(failed)?;
            cancel.check()?;
            return run_shell(
                &self.command.replace(FILE, &quoted(&file.path.display().to_string())),
            );
        }
        for pack in packs {
            cancel.check()?;
            // Names of objects hold nothing that a shell takes for anything else.
            run_shell(&self.command.replace(NAME, &pack.name))?;
        }
        Ok(())
    }
}

fn run_shell(command: &str) -> Result<()> {
    // Its text may hold secrets, and its output is for people: not among results.
    let what = "the warm-up command";
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(std::io::stderr());
    let status = shell.status().map_err(|error| Error::local("run", what, error))?;
    match status.success() {
        true => Ok(()),
        false => {
            let ended = std::io::Error::other(format!("it ended with {status}"));
            Err(Error::local("run", what, ended))
        }
    }
}

/// A file with names that goes when it is dropped.
struct NamesFile {
    path: std::path::PathBuf,
    file: std::fs::File,
}

impl NamesFile {
    fn create() -> std::io::Result<Self> {
        let random = crate::runtime::Random::os().next_u64();
        let path = std::env::temp_dir().join(format!("larder-names-{random:016x}"));
        let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Self { path, file })
    }

    fn fill(&mut self, packs: &[NeededPack]) -> std::io::Result<()> {
        let mut writer = std::io::BufWriter::new(&self.file);
        for pack in packs {
            writeln!(writer, "{}", pack.name)?;
        }
        writer.flush()
    }
}

impl Drop for NamesFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packs() -> Vec<NeededPack> {
        let pack = |name: &str| NeededPack { name: name.into(), len: 1 };
        vec![pack("data/aa/1"), pack("data/bb/2")]
    }

    #[test]
    fn commands_run_for_each_name_or_once_for_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out");
        let run = |command: &str| {
            let _ = std::fs::remove_file(&out);
            let command = command.replace("OUT", &out.display().to_string());
            let ran = WarmUpCommand::new(&command)?.run(&packs(), &CancelToken::default());
            ran.map(|()| std::fs::read_to_string(&out).unwrap_or_default())
        };
        assert_eq!(run("echo ask {name} >> OUT").expect("runs"), "ask data/aa/1\nask data/bb/2\n");
        assert_eq!(run("cat {file} >> OUT").expect("runs"), "data/aa/1\ndata/bb/2\n");
        assert!(run("exit 3 # {name}").expect_err("fails").to_string().contains("warm-up command"));
        assert_eq!(run("true").expect_err("names nothing").exit_code(), 2);
        assert_eq!(run("true {name} {file}").expect_err("which?").exit_code(), 2);
        let none = WarmUpCommand::new("exit 1 # {file}").expect("a command");
        none.run(&[], &CancelToken::default()).expect("nothing to ask for");
    }
}
