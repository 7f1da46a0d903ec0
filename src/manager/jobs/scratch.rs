//! A folder for what a restore test restores, removed in any case.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::manager::history::{Presence, ProcessMark};
use crate::runtime::Random;

/// Names whose folder it is.
const OWNER: &str = "owner.json";

/// A folder that only this user can look into, and that goes when it is dropped.
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new one in `folder`. What tests left whose process ended without a word is removed.
    ///
    /// # Errors
    /// [`Error::Local`].
    pub(super) fn new(folder: &Path, random: &Random) -> Result<Self> {
        let failed = |path: &Path, error| Error::local("create", path, error);
        let make = |path: &Path, recursive| {
            let made = fs::DirBuilder::new().recursive(recursive).mode(0o700).create(path);
            made.map_err(|error| failed(path, error))
        };
        make(folder, true)?;
        remove_left(folder);
        let path = folder.join(format!("{:016x}", random.next_u64()));
        make(&path, false)?;
        let scratch = Self { path };
        let owner = serde_json::to_vec(&ProcessMark::own()).expect("plain data");
        let mark = scratch.path.join(OWNER);
        fs::write(&mark, owner).map_err(|error| failed(&mark, error))?;
        Ok(scratch)
    }

    /// A folder in it that is not there yet.
    pub(super) fn folder(&self, number: usize) -> PathBuf {
        self.path.join(format!("series-{number}"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            tracing::warn!("`{}` is left of a restore test: {error}", self.path.display());
        }
    }
}

fn remove_left(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let owner = fs::read(path.join(OWNER)).ok();
        let owner = owner.and_then(|text| serde_json::from_slice::<ProcessMark>(&text).ok());
        if owner.is_some_and(|owner| owner.presence() == Presence::Gone)
            && let Err(error) = remove(&path)
        {
            tracing::warn!("`{}` is left of a restore test: {error}", path.display());
        }
    }
}

/// Removes a folder, also one in which restored folders must not be changed.
fn remove(path: &Path) -> std::io::Result<()> {
    if fs::remove_dir_all(path).is_ok() {
        return Ok(());
    }
    open_up(path);
    fs::remove_dir_all(path)
}

fn open_up(folder: &Path) {
    // What cannot be changed shows when it cannot be removed.
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let random = Random::seeded(1);
        let scratch = Scratch::new(folder.path(), &random).expect("is made");
        let locked = scratch.folder(0).join("locked");
        fs::create_dir_all(&locked).expect("is made");
        fs::write(locked.join("file"), "x").expect("is written");
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).expect("is set");
        let other = Scratch::new(folder.path(), &random).expect("another");
        assert!(locked.exists(), "that of one at work stays");
        // One whose process is gone goes with the next.
        let gone = ProcessMark { boot: "another".into(), ..ProcessMark::own() };
        let left = folder.path().join("left");
        fs::create_dir(&left).expect("is made");
        fs::write(left.join(OWNER), serde_json::to_vec(&gone).expect("text")).expect("is written");
        drop((scratch, other));
        drop(Scratch::new(folder.path(), &random).expect("a third"));
        assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 0);
    }
}
