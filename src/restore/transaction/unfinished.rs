//! Finds in-place restores that did not come to their end, and brings them there: back, or after
//! the commit forward.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::clean::{folders_now, remove_staging};
use super::journal::Records;
use super::named::{entry_of, is_ours, is_private, open_journal, staging_names};
use super::options::Steps;
use super::registry::{self, Entry, KeptFolder};
use super::report::{InPlaceState, Unfinished};
use super::undo::{Undone, undo};
use crate::error::{Error, Result};
use crate::fsmeta::{self, OpenDir};
use crate::model::FileKind;
use crate::restore::target::{Target, split_path};

/// An in-place restore that did not come to its end.
pub(super) struct Remains {
    pub(super) shown: Unfinished,
    tree: Target,
    entry: Entry,
    state_dir: Option<PathBuf>,
    /// `None` if it had none yet, or none any more.
    records: Option<Records>,
    /// The staging folders, so that nobody else does the same.
    held: Vec<OwnedFd>,
}

impl Drop for Remains {
    fn drop(&mut self) {
        self.held.iter().for_each(fsmeta::unlock);
    }
}

/// What was found of restores that did not come to their end.
#[derive(Default)]
pub(super) struct Finds {
    pub(super) remains: Vec<Remains>,
    /// What has the name of a staging folder and is not ours, or tells of something else.
    pub(super) left_alone: Vec<PathBuf>,
}

impl Finds {
    fn add(&mut self, entry: Entry, state_dir: Option<&Path>) -> Result<()> {
        if self.remains.iter().any(|known| known.entry.id == entry.id) {
            return Ok(());
        }
        let folders: Vec<PathBuf> = entry
            .folders()
            .iter()
            .map(|(path, _)| entry.target().join(OsStr::from_bytes(path)))
            .collect();
        match Remains::open(entry, state_dir)? {
            Some(remains) => self.remains.push(remains),
            None => self.left_alone.extend(folders.into_iter().filter(|folder| folder.exists())),
        }
        Ok(())
    }
}

impl Remains {
    /// All that the registry knows, and whatever lies in `dir` and the folders above it. Of what
    /// the registry knows only what has to do with `dir`, if there is one.
    ///
    /// # Errors
    /// What cannot be read. A tree that is gone, or not mounted, is passed over.
    pub(super) fn find(dir: Option<&Path>, state_dir: Option<&Path>) -> Result<Finds> {
        let dir = dir.map(absolute).transpose()?;
        let mut finds = Finds::default();
        for entry in state_dir.map(registry::list).transpose()?.unwrap_or_default() {
            let target = entry.target();
            let concerns = |dir: &PathBuf| {
                entry.folders().iter().any(|(path, _)| {
                    let folder = target.join(OsStr::from_bytes(split_path(path).0));
                    folder.starts_with(dir) || dir.starts_with(&folder)
                })
            };
            if dir.as_ref().is_none_or(concerns) {
                finds.add(entry, state_dir)?;
            }
        }
        for above in dir.iter().flat_map(|dir| dir.ancestors()) {
            for name in staging_names(above) {
                match entry_of(above, &name)? {
                    Some(entry) => finds.add(entry, state_dir)?,
                    None => finds.left_alone.push(above.join(OsStr::from_bytes(&name))),
                }
            }
        }
        Ok(finds)
    }

    /// What is left of the restore that `entry` tells of; `None` if its target is gone, or a
    /// staging folder is not ours.
    ///
    /// # Errors
    /// What cannot be read.
    pub(super) fn open(entry: Entry, state_dir: Option<&Path>) -> Result<Option<Self>> {
        let target = entry.target();
        let folders = entry.folders();
        let Ok(dir) = File::open(&target) else { return Ok(None) };
        let tree = Target::of(&target, dir)?;
        let (mut is_running, mut held, mut records) = (false, Vec::new(), None);
        for (number, (path, _)) in folders.iter().enumerate() {
            let local = |error| Error::local("read the journal in", tree.join(path), error);
            let staging = match tree.open_dir(path, OpenDir::Read) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
                staging => staging.map_err(local)?,
            };
            if !is_private(&fsmeta::stat_fd(&staging).map_err(local)?, FileKind::Dir) {
                return Ok(None);
            }
            // Its process holds it, from the moment in which it is made.
            is_running |= !fsmeta::try_lock(&staging, false).unwrap_or(true);
            if number == 0
                && let Some(file) = open_journal(&staging).map_err(local)?
            {
                is_running |= !fsmeta::try_lock(&file, false).unwrap_or(true);
                records = Records::read(file).map_err(local)?;
            }
            held.push(staging);
        }
        // A journal of something else is none.
        let records = records.filter(|records| records.header.id == entry.id);
        let state = match &records {
            Some(records) if records.is_committed => InPlaceState::Committed,
            None if entry.is_committed => InPlaceState::Committed,
            Some(records) if records.has_begun => InPlaceState::Switching,
            _ => InPlaceState::Staging,
        };
        let shown = Unfinished {
            id: entry.id.clone(),
            folders: folders.iter().map(|(path, _)| tree.join(path)).collect(),
            target,
            state,
            is_running,
        };
        let state_dir = state_dir.map(Path::to_path_buf);
        Ok(Some(Self { shown, tree, entry, state_dir, records, held }))
    }

    /// Brings it to its end: undoes what was exchanged, or finishes the removal of what was set
    /// aside.
    ///
    /// # Errors
    /// [`Error::Busy`] if its process is at work, [`Error::RollbackFailed`].
    pub(super) fn settle(self, steps: &Steps) -> Result<Undone> {
        if self.shown.is_running {
            return Err(busy(&self.shown.target));
        }
        let mut undone = Undone::default();
        let mut folders = self.entry.folders();
        match self.shown.state {
            InPlaceState::Staging => {}
            InPlaceState::Switching => {
                if let Some(records) = &self.records {
                    undone = undo(&self.tree, records, steps).map_err(|e| self.failed(&e))?;
                }
                // What stands in somebody else's way is kept for another try.
                if !undone.conflicts.is_empty() {
                    return Ok(undone);
                }
            }
            InPlaceState::Committed if !self.entry.is_committed => {
                folders = folders_now(&self.tree, &folders);
                let entry = self.entry.committed(&folders);
                if let Some(state_dir) = &self.state_dir {
                    registry::write(state_dir, &entry)?;
                }
            }
            InPlaceState::Committed => {}
        }
        self.clean(&folders, steps)?;
        Ok(undone)
    }

    fn clean(&self, folders: &[KeptFolder], steps: &Steps) -> Result<()> {
        for (path, above) in folders.iter().rev() {
            let removed = remove_staging(&self.tree, path, Some(above), steps);
            removed.map_err(|error| {
                self.failed(&Error::local("remove", self.tree.join(path), error))
            })?;
        }
        match &self.state_dir {
            Some(state_dir) => registry::remove(state_dir, &self.entry.id),
            None => Ok(()),
        }
    }

    fn failed(&self, error: &Error) -> Error {
        let mut what = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            what = format!("{what}: {cause}");
            source = cause.source();
        }
        Error::RollbackFailed { what, folder: self.folder(), source: None }
    }

    /// The folder that the first staging folder is in: a name for all of it.
    pub(super) fn folder(&self) -> PathBuf {
        let first = self.entry.folders().first().map(|(path, _)| split_path(path).0.to_vec());
        self.tree.join(&first.unwrap_or_default())
    }
}

/// Fails if an in-place restore did not come to its end in a folder, or in one above it.
///
/// # Errors
/// [`Error::Busy`].
pub(in crate::restore) fn refuse_unfinished(target: &Path) -> Result<()> {
    let Some(there) = target.ancestors().find(|folder| folder.is_dir()) else { return Ok(()) };
    let Ok(there) = std::fs::canonicalize(there) else { return Ok(()) };
    match there
        .ancestors()
        .find(|folder| staging_names(folder).iter().any(|name| is_ours(folder, name)))
    {
        None => Ok(()),
        Some(folder) => {
            let folder = folder.display();
            let what = format!(
                "an in-place restore is not at its end in `{folder}`; if none is at work there, \
                 `larder rollback {folder}` brings it there"
            );
            Err(Error::Busy { what })
        }
    }
}

/// Somebody else restores in place there.
pub(super) fn busy(folder: &Path) -> Error {
    let what = format!("another in-place restore is at work in `{}`", folder.display());
    Error::Busy { what }
}

/// A folder without symbolic links in its path.
fn absolute(dir: &Path) -> Result<PathBuf> {
    std::fs::canonicalize(dir).map_err(|error| Error::local("open", dir, error))
}
