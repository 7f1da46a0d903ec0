//! How far a recovery is: kept in its target, so that a run that was stopped is gone on with,
//! whatever happened to the machine meanwhile.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::plan::RecoverPlan;
use crate::error::{Error, Result};

/// The file in the target.
const NAME: &str = ".larder-recover.json";

/// Most bytes of it that are read.
const LEN_MAX: u64 = 64 << 20;

/// The form that this program writes and reads.
const VERSION: u32 = 1;

/// A recovery that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoverState {
    /// Of its form.
    version: u32,
    /// When it was begun, milliseconds since 1970.
    pub begun_ms: i64,
    /// What was asked for, in the words of whoever asked: another wish is another recovery.
    pub request: Vec<String>,
    /// What is done.
    pub plan: RecoverPlan,
    /// The steps that are done wholly.
    pub done: Vec<StepDone>,
}

/// A step that was done wholly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepDone {
    /// Its place in the plan, from 0.
    pub step: usize,
    /// The snapshot that was restored.
    pub snapshot: String,
    /// Files that were restored.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Entries that were read again and compared.
    pub verified: u64,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: i64,
}

impl RecoverState {
    /// A recovery that has not done anything yet.
    pub fn new(plan: RecoverPlan, request: Vec<String>, now_ms: i64) -> Self {
        Self { version: VERSION, begun_ms: now_ms, request, plan, done: Vec::new() }
    }

    /// The recovery that was begun in `target`, if any.
    ///
    /// # Errors
    /// [`Error::Local`] if its file cannot be read or is somebody else's, [`Error::Usage`] if it
    /// makes no sense.
    pub fn load(target: &Path) -> Result<Option<Self>> {
        let path = target.join(NAME);
        let text = match read_own(&path) {
            Err(error) if is_absent(&error) => return Ok(None),
            read => read.map_err(|error| Error::local("read", &path, error))?,
        };
        let wrong = |what: &dyn std::fmt::Display| {
            Error::usage_hint(
                format!("`{}` cannot be used: {what}", path.display()),
                "begin anew with `--restart`: what is restored already is not written again",
            )
        };
        let state: Self = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
        if state.version != VERSION || state.done.iter().any(|d| d.step >= state.plan.steps.len()) {
            return Err(wrong(&"another version of larder wrote it"));
        }
        Ok(Some(state))
    }

    /// Writes it down for good.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub fn save(&self, target: &Path) -> Result<()> {
        let path = target.join(NAME);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Internal { what: format!("a state as JSON: {error}") })?;
        replace(&path, &text).map_err(|error| Error::local("write", &path, error))
    }

    /// Removes it from `target`: nothing is left to be done.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub fn remove(target: &Path) -> Result<()> {
        let path = target.join(NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::local("remove", path, error))
            }
            _ => Ok(()),
        }
    }

    /// Has steps done again that were done without reading the files again: for a recovery that
    /// promises that of everything.
    pub fn forget_unverified(&mut self) {
        self.done.retain(|done| done.verified > 0);
    }

    /// How a step was done, if it was.
    pub fn done(&self, step: usize) -> Option<&StepDone> {
        self.done.iter().find(|done| done.step == step)
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Reads a file that nobody but this user can have written: it says what is written where, and
/// the target may be a folder that others write to.
fn read_own(path: &Path) -> io::Result<Vec<u8>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let flags = i32::try_from(flags).map_err(io::Error::other)?;
    let file = fs::File::options().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    let is_own = meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o022 == 0;
    if !meta.is_file() || !is_own {
        return Err(io::Error::new(ErrorKind::PermissionDenied, "it is not this user's alone"));
    }
    let mut text = Vec::new();
    file.take(LEN_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LEN_MAX {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// Puts a file of this content in the place of what is there, readable by its owner alone.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile_in(folder)?;
    let written = file.1.write_all(content).and_then(|()| file.1.sync_all());
    let placed = written
        .and_then(|()| fs::rename(&file.0, path))
        .and_then(|()| fs::File::open(folder)?.sync_all());
    placed.inspect_err(|_| _ = fs::remove_file(&file.0))
}

fn tempfile_in(folder: &Path) -> io::Result<(PathBuf, fs::File)> {
    let path = folder.join(format!("{NAME}.new"));
    // Left by a run that was killed.
    if let Err(error) = fs::remove_file(&path)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    let file = fs::File::options().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok((path, file))
}
