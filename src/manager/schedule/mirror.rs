//! The definitions of schedules in a file of their own, beside the database.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::model::{BackupSchedule, RepoId};

/// The file is never longer: some ten thousand schedules.
const LEN_MAX: u64 = 4 << 20;

/// The copy of one repository's schedules; none where the database is in memory.
pub(super) struct Mirror(Option<PathBuf>);

impl Mirror {
    /// The copy beside `database`.
    pub(super) fn new(database: Option<PathBuf>, repository: RepoId) -> Self {
        let folder = database.as_deref().and_then(Path::parent).map(Path::to_path_buf);
        Self(folder.map(|folder| folder.join(format!("schedules-{repository}.json"))))
    }

    /// What was saved last. A file that cannot be read is no schedule, and no reason to fail: it is
    /// set aside if it is damaged, and `warn` is told.
    pub(super) fn load(&self, warn: impl Fn(String)) -> Vec<BackupSchedule> {
        let Some(path) = &self.0 else { return Vec::new() };
        let mut text = Vec::new();
        let read = File::open(path).and_then(|file| file.take(LEN_MAX).read_to_end(&mut text));
        match read {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                warn(format!("could not read the schedules in `{}`: {error}", path.display()));
                return Vec::new();
            }
            Ok(_) => {}
        }
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            let aside = path.with_extension("json.damaged");
            // Where it cannot be renamed it is read, and told of, again.
            let _ = fs::rename(path, &aside);
            warn(format!(
                "the copy of the schedules was damaged ({error}) and is now `{}`: make the \
                 schedules anew",
                aside.display()
            ));
            Vec::new()
        })
    }

    /// Saves all of them. That there are none is not saved: it is what a database says that was
    /// lost. Whoever removed the last one says [`Mirror::remove`].
    ///
    /// # Errors
    /// [`Error::Local`] if the file cannot be written; the one of before is left then.
    pub(super) fn save(&self, schedules: &[BackupSchedule]) -> Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let Some(path) = &self.0 else { return Ok(()) };
        if schedules.is_empty() {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(schedules).expect("plain data");
        if text.len() as u64 > LEN_MAX {
            let error = std::io::Error::other("there are too many schedules");
            return Err(Error::local("write", path, error));
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let new = path.with_extension(format!("{}-{number}.new", std::process::id()));
        let write = || -> std::io::Result<()> {
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        write().map_err(|error| {
            // Half a copy is of no use; what made it fail is what counts.
            let _ = fs::remove_file(&new);
            Error::local("write", path, error)
        })
    }

    /// There are no schedules any more.
    ///
    /// # Errors
    /// [`Error::Local`] if the file cannot be removed.
    pub(super) fn remove(&self) -> Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::local("remove", path, error))
            }
            _ => Ok(()),
        }
    }
}
