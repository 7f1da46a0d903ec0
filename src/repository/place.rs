//! Where on this machine a repository is, so that nobody backs it up into itself or restores into
//! it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Repository;
use crate::model::{Place, PlaceRole};
use crate::storage::Location;

impl Repository {
    /// Its folder, if it is one of this machine.
    pub fn folder(&self) -> Option<PathBuf> {
        let location = Location::parse(self.location()).ok()?;
        location.as_path().map(Path::to_path_buf)
    }

    /// Its mirrors, without the place where it is open: a mirror that is used alone names itself.
    pub fn other_mirrors(&self) -> Vec<Place> {
        let places = self.places().all.into_iter();
        places.filter(|place| place.role == PlaceRole::Mirror && !self.is_at(place)).collect()
    }

    /// Whether this is the place where it is open.
    pub(super) fn is_at(&self, place: &Place) -> bool {
        is_same_place(&place.location, self.location())
    }

    /// Its folder and those of its further locations, as far as they are on this machine.
    pub fn folders(&self) -> Vec<PathBuf> {
        let places = self.places();
        let further = places.all.iter().filter_map(|place| Location::parse(&place.location).ok());
        let further = further.filter_map(|location| location.as_path().map(Path::to_path_buf));
        self.folder().into_iter().chain(further).collect()
    }

    /// Whether `path` is its folder (or that of a mirror) or lies in it, by whatever way: links and
    /// mounts count for what they lead to. What is not there yet counts as a part of the folder that
    /// it would be in.
    pub fn contains_path(&self, path: &Path) -> bool {
        self.folders().iter().any(|folder| is_within(path, folder))
    }

    /// Whether its folder lies in `path`, but is not `path` itself.
    pub fn is_below(&self, path: &Path) -> bool {
        self.folder().is_some_and(|folder| !is_within(path, &folder) && is_within(&folder, path))
    }
}

/// Whether two locations are one place: by name, and folders by what they lead to.
pub(super) fn is_same_place(one: &str, other: &str) -> bool {
    let folder = |location: &str| {
        let location = Location::parse(location).ok()?;
        id(location.as_path()?)
    };
    one == other || folder(one).is_some_and(|id| folder(other) == Some(id))
}

/// The device of a file or folder, and its number there.
fn id(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Whether `path` is `folder` or lies in it. What cannot be looked at is not.
fn is_within(path: &Path, folder: &Path) -> bool {
    let Some(folder) = id(folder) else { return false };
    let Ok(path) = std::path::absolute(path) else { return false };
    let Some(there) = path.ancestors().find_map(|above| above.canonicalize().ok()) else {
        return false;
    };
    there.ancestors().any(|above| id(above) == Some(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_what_is_not_there_yet_count_for_where_they_lead() {
        let home = tempfile::tempdir().expect("a folder");
        let repository = home.path().join("repository");
        std::fs::create_dir_all(repository.join("data")).expect("a folder");
        std::os::unix::fs::symlink(&repository, home.path().join("link")).expect("a link");
        let within = |path: &str| is_within(&home.path().join(path), &repository);
        assert!(within("repository") && within("repository/data") && within("repository/new/x"));
        assert!(within("link/data/new"));
        assert!(!within("") && !within("repository-2") && !within("other/repository"));
        assert!(!is_within(&repository, &home.path().join("nowhere")));
        let shown = |path: &str| home.path().join(path).to_string_lossy().into_owned();
        assert!(is_same_place(&shown("repository"), &shown("link")));
        assert!(is_same_place("s3://bucket/a", "s3://bucket/a"));
        assert!(!is_same_place(&shown("repository"), "s3://bucket/a"));
        assert!(!is_same_place(&shown("nowhere"), &shown("nothing")));
    }
}
