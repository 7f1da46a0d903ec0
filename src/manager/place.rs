//! Whether a path of this machine lies in the folder of a repository.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::storage::Location;

/// Whether `path`, which need not exist, is the folder of the repository or lies in it, by whatever
/// name. No path lies in a repository that is not in a folder of this machine.
///
/// # Errors
/// [`Error::Local`] if that cannot be found out.
pub(super) fn is_in_repository(repository: &Repository, path: &Path) -> Result<bool> {
    let Ok(location) = Location::parse(repository.location()) else { return Ok(false) };
    let Some(folder) = location.as_path() else { return Ok(false) };
    let id = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
    // A repository in memory, or somewhere else by now, has no folder.
    let Ok(repository) = std::fs::metadata(folder).map(id) else { return Ok(false) };
    let failed = |error| Error::local("find the place of", path, error);
    // What does not exist yet would be made in the nearest folder that does.
    let mut nearest = std::path::absolute(path).map_err(failed)?;
    while !nearest.exists() && nearest.pop() {}
    let nearest = nearest.canonicalize().map_err(failed)?;
    Ok(nearest.ancestors().any(|folder| std::fs::metadata(folder).map(id).ok() == Some(repository)))
}
