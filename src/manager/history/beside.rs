//! A copy of what must outlive the database, in a small file of its own beside it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::model::RepoId;

/// The file is never longer.
const LEN_MAX: u64 = 4 << 20;

/// The copy for one repository; none where the database is in memory.
pub(crate) struct Beside {
    path: Option<PathBuf>,
    /// What is in it, as the file is named and people call it.
    what: &'static str,
}

impl Beside {
    /// The copy of `what` beside `database`.
    pub(crate) fn new(what: &'static str, database: Option<PathBuf>, repository: RepoId) -> Self {
        let folder = database.as_deref().and_then(Path::parent).map(Path::to_path_buf);
        let path = folder.map(|folder| folder.join(format!("{what}-{repository}.json")));
        Self { path, what }
    }

    /// What was saved last. A file that cannot be read holds nothing, and is no reason to fail: it is
    /// set aside if it is damaged, and `warn` is told.
    pub(crate) fn load<T: DeserializeOwned>(&self, warn: impl Fn(String)) -> Vec<T> {
        let (Some(path), what) = (&self.path, self.what) else { return Vec::new() };
        let mut text = Vec::new();
        let read = File::open(path).and_then(|file| file.take(LEN_MAX).read_to_end(&mut text));
        match read {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                warn(format!("could not read the {what} in `{}`: {error}", path.display()));
                return Vec::new();
            }
            Ok(_) => {}
        }
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            let aside = path.with_extension("json.damaged");
            // Where it cannot be renamed it is read, and told of, again.
            let _ = fs::rename(path, &aside);
            warn(format!(
                "the copy of the {what} was damaged ({error}) and is now `{}`: make the {what} anew",
                aside.display()
            ));
            Vec::new()
        })
    }

    /// Saves all of them. That there are none is not saved: it is what a database says that was
    /// lost. Whoever removed the last one says [`Beside::remove`].
    ///
    /// # Errors
    /// [`Error::Local`] if the file cannot be written; the one of before is left then.
    pub(crate) fn save<T: Serialize>(&self, all: &[T]) -> Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let Some(path) = &self.path else { return Ok(()) };
        if all.is_empty() {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(all).expect("plain data");
        if text.len() as u64 > LEN_MAX {
            let error = std::io::Error::other(format!("there are too many {}", self.what));
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

    /// There are none any more.
    ///
    /// # Errors
    /// [`Error::Local`] if the file cannot be removed.
    pub(crate) fn remove(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::local("remove", path, error))
            }
            _ => Ok(()),
        }
    }
}
