//! The file that an export becomes: complete under its name, or not there at all.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};

use crate::error::{Error, Result};
use crate::runtime::Runtime;

/// Whether a file that is there may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    /// It may not.
    Keep,
    /// It was asked for.
    Replace,
}

/// A file under a temporary name, which is removed unless [`NewFile::finish`] gives it its own.
/// Only its owner may read it: what backups protect lies in it in the open.
pub(super) struct NewFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    existing: Existing,
    is_finished: bool,
}

impl NewFile {
    /// Starts to write the file `path`; its folder is made if it is missing.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is there already, [`Error::Local`].
    pub(super) fn create(path: &Path, existing: Existing, runtime: &Runtime) -> Result<Self> {
        let name = path.file_name().ok_or_else(|| {
            Error::usage_hint(
                format!("`{}` is no name for a file", path.display()),
                "give the path of the file to write",
            )
        })?;
        if path.is_dir() {
            return Err(Error::usage_hint(
                format!("`{}` is a folder", path.display()),
                "give the path of the file to write",
            ));
        }
        if existing == Existing::Keep && path.symlink_metadata().is_ok() {
            return Err(is_there(path));
        }
        let folder = folder_of(path);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|e| Error::local("create", folder, e))?;
        let number = u64::from_le_bytes(runtime.random.bytes());
        let temporary = folder.join(format!(".{:.100}.{number:016x}.part", name.display()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(|e| Error::local("create", &temporary, e))?;
        Ok(Self { file, temporary, path: path.to_path_buf(), existing, is_finished: false })
    }

    /// Makes it durable and gives it its name.
    ///
    /// # Errors
    /// [`Error::Usage`] if somebody made a file of that name meanwhile, [`Error::Local`].
    pub(super) fn finish(mut self) -> Result<()> {
        let local = |e: io::Error| Error::local("write", &self.path, e);
        self.file.sync_all().map_err(local)?;
        match self.existing {
            Existing::Replace => std::fs::rename(&self.temporary, &self.path),
            Existing::Keep => rename_to_new(&self.temporary, &self.path),
        }
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => is_there(&self.path),
            _ => Error::local("create", &self.path, error),
        })?;
        let folder = folder_of(&self.path);
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(local)?;
        self.is_finished = true;
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Renames, unless there is something of the new name.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            // A file system that cannot do that: a second name fails if there is one.
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        Err(error) => Err(error.into()),
    }
}

fn is_there(path: &Path) -> Error {
    Error::usage_hint(
        format!("there is already a file `{}`", path.display()),
        "choose another name, or replace it with `--force`",
    )
}
