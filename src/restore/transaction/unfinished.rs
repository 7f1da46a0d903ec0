//! Finds in-place restores that did not come to their end, and brings them there: back, or after
//! the commit forward.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::clean::{folders_now, remove_staging};
use super::extras::join;
use super::journal::{self, Records};
use super::options::Steps;
use super::registry::{self, Entry, KeptFolder};
use super::report::{InPlaceState, Unfinished};
use super::undo::{Undone, undo};
use crate::error::{Error, Result};
use crate::fsmeta::{self, OpenDir};
use crate::restore::target::{Target, split_path};
use crate::source::{STAGING_PREFIX, is_staging_name};

/// An in-place restore that did not come to its end.
pub(super) struct Remains {
    pub(super) shown: Unfinished,
    tree: Target,
    entry: Entry,
    state_dir: Option<PathBuf>,
    /// `None` if it had none yet, or none any more.
    records: Option<Records>,
}

impl Remains {
    /// All that the registry knows, and whatever lies in `dir` and the folders above it. Of what
    /// the registry knows only what has to do with `dir`, if there is one.
    ///
    /// # Errors
    /// What cannot be read. A tree that is gone, or not mounted, is passed over.
    pub(super) fn find(dir: Option<&Path>, state_dir: Option<&Path>) -> Result<Vec<Self>> {
        let dir = dir.map(absolute).transpose()?;
        let mut found: Vec<Self> = Vec::new();
        for entry in state_dir.map(registry::list).transpose()?.unwrap_or_default() {
            let target = entry.target();
            let concerns = |dir: &PathBuf| {
                entry.folders().iter().any(|(path, _)| {
                    let folder = target.join(OsStr::from_bytes(split_path(path).0));
                    folder.starts_with(dir) || dir.starts_with(&folder)
                })
            };
            if dir.as_ref().is_none_or(concerns)
                && let Some(remains) = Self::open(entry, state_dir)?
            {
                found.push(remains);
            }
        }
        for above in dir.iter().flat_map(|dir| dir.ancestors()) {
            for name in staging_names(above) {
                let Some(entry) = entry_of(&above.join(OsStr::from_bytes(&name)))? else {
                    continue;
                };
                if found.iter().all(|known| known.entry.id != entry.id)
                    && let Some(remains) = Self::open(entry, state_dir)?
                {
                    found.push(remains);
                }
            }
        }
        Ok(found)
    }

    /// What is left of the restore that `entry` tells of; `None` if its target is gone.
    ///
    /// # Errors
    /// What cannot be read.
    pub(super) fn open(entry: Entry, state_dir: Option<&Path>) -> Result<Option<Self>> {
        let target = entry.target();
        let folders = entry.folders();
        let Ok(dir) = File::open(&target) else { return Ok(None) };
        let tree = Target::of(&target, dir)?;
        let first = folders.first().map(|(path, _)| path.clone()).unwrap_or_default();
        let mut is_running = false;
        let mut records = None;
        if let Some(file) = open_journal(&tree, &first)? {
            let local = |error| Error::local("read the journal in", tree.join(&first), error);
            is_running = !fsmeta::try_lock(&file, false).map_err(local)?;
            records = Records::read(file).map_err(local)?;
        }
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
        Ok(Some(Self { shown, tree, entry, state_dir, records }))
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
    match there.ancestors().find(|folder| !staging_names(folder).is_empty()) {
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

/// The names of the staging folders in a folder; none if it cannot be read.
pub(super) fn staging_names(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().as_bytes().to_vec());
    names.filter(|name| is_staging_name(name)).collect()
}

/// What a staging folder that was found by its name tells of its restore.
fn entry_of(folder: &Path) -> Result<Option<Entry>> {
    let name = folder.file_name().map(OsStr::as_bytes).unwrap_or_default();
    let Some(id) = name.strip_prefix(STAGING_PREFIX.as_bytes()) else { return Ok(None) };
    let id = String::from_utf8_lossy(id).into_owned();
    let mut primary = folder.to_path_buf();
    if let Ok(lead) = std::fs::read(folder.join("primary")) {
        let lead = PathBuf::from(OsStr::from_bytes(&lead));
        if lead.is_absolute() && lead.file_name() == folder.file_name() && lead.is_dir() {
            primary = lead;
        }
    }
    let local = |error| Error::local("read the journal in", &primary, error);
    let journal = match File::open(primary.join(OsStr::from_bytes(journal::NAME))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        file => Records::read(file.map_err(local)?).map_err(local)?,
    };
    if let Some(records) = journal {
        let header = &records.header;
        let folders: Vec<KeptFolder> = header
            .folders
            .iter()
            .map(|folder| (join(&folder.top, folder.name.as_bytes()), folder.above.clone()))
            .collect();
        return Ok(Some(Entry::new(&id, &header.target, &folders)));
    }
    // Nothing was exchanged: it goes, and the folder that it is in stays as it is.
    let (Some(above), Some(name)) = (folder.parent(), folder.file_name()) else { return Ok(None) };
    let local = |error| Error::local("look at", above, error);
    let dir = File::open(above).map_err(local)?;
    let (_, now) = super::described::Described::read(&dir, b".").map_err(local)?;
    let folders = [(name.as_bytes().to_vec(), now)];
    Ok(Some(Entry::new(&id, above.as_os_str().as_bytes(), &folders)))
}

fn open_journal(tree: &Target, staging: &[u8]) -> Result<Option<File>> {
    let dir = match tree.open_dir(staging, OpenDir::Path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        dir => dir.map_err(|error| Error::local("open", tree.join(staging), error))?,
    };
    match fsmeta::open_file_at(&dir, journal::NAME) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => {
            let file = file.map_err(|error| Error::local("open", tree.join(staging), error))?;
            Ok(Some(file))
        }
    }
}

/// A folder without symbolic links in its path.
fn absolute(dir: &Path) -> Result<PathBuf> {
    std::fs::canonicalize(dir).map_err(|error| Error::local("open", dir, error))
}
