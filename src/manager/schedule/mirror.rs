//! The definitions of schedules in a file of their own, beside the database.

use std::fs::{self, File};
use std::io::{Read, Write};
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

    /// What was saved last. A file that cannot be read is no schedule, and no reason to fail.
    pub(super) fn load(&self) -> Vec<BackupSchedule> {
        let Some(path) = &self.0 else { return Vec::new() };
        let mut text = Vec::new();
        let read = File::open(path).and_then(|file| file.take(LEN_MAX).read_to_end(&mut text));
        match read {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => tracing::warn!("could not read `{}`: {error}", path.display()),
            Ok(_) => {}
        }
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!("`{}` holds no schedules: {error}", path.display());
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
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let new = path.with_extension(format!("{}-{number}.new", std::process::id()));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, path)
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
