//! Finds in-place restores that did not come to their end, and brings them there: back, or after
//! the commit forward.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::clean::{folders_now, remove_staging};
use super::extras::join;
use super::journal::{self, Folder, Records};
use super::named::{Named, holds_originals, look_at, open_journal, open_staging, staging_names};
use super::options::Steps;
use super::registry::{self, Entry, KeptFolder};
use super::report::{InPlaceState, Undecided, Unfinished};
use super::undo::{Undone, undo};
use crate::error::{Error, Result};
use crate::fsmeta::{self, OpenDir};
use crate::restore::target::{Target, split_path};
use crate::source::STAGING_PREFIX;

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
    /// What has the name of a staging folder and is not ours.
    pub(super) left_alone: Vec<PathBuf>,
    /// What is ours, and cannot be brought to its end: something is missing.
    pub(super) undecided: Vec<Undecided>,
}

impl Finds {
    fn has(&self, id: &str) -> bool {
        self.remains.iter().any(|known| known.entry.id == id)
    }

    fn add_undecided(&mut self, undecided: Undecided) {
        // What lies there says more than what is remembered of it.
        self.undecided.retain(|known| known.id != undecided.id);
        self.undecided.push(undecided);
    }

    /// Adds what the registry remembers.
    fn add_known(&mut self, entry: Entry, state_dir: &Path) {
        let (id, folder, path) = (entry.id.clone(), folder_of(&entry), entry.path(state_dir));
        match Remains::open(entry, Some(state_dir)) {
            Ok(remains) => self.remains.push(remains),
            Err(why) => {
                let path = path.display();
                let what = format!(
                    "the in-place restore {id} is left as it is: {why}; if that is gone for good, \
                     remove `{path}`"
                );
                self.add_undecided(Undecided { id, folder, what });
            }
        }
    }

    /// Adds a staging folder that was found by its name.
    fn add_named(&mut self, above: &Path, name: &[u8], known: &[Entry], state_dir: Option<&Path>) {
        let path = above.join(OsStr::from_bytes(name));
        let id = name.strip_prefix(STAGING_PREFIX.as_bytes()).unwrap_or(name);
        let id = String::from_utf8_lossy(id).into_owned();
        if self.has(&id) {
            return;
        }
        let opened = match look_at(above, name) {
            Named::Foreign => return self.left_alone.push(path),
            Named::Undecided(why) => Err(why),
            Named::Of(mut entry) => {
                // The registry may know more of how it ended.
                let is_committed = known.iter().any(|known| known.id == id && known.is_committed);
                if is_committed {
                    *entry = entry.committed(&entry.folders());
                }
                Remains::open(*entry, state_dir)
            }
        };
        match opened {
            Ok(remains) => {
                self.undecided.retain(|known| known.id != id);
                self.remains.push(remains);
            }
            Err(why) => {
                let what = format!("`{}` is left as it is: {why}", path.display());
                self.add_undecided(Undecided { id, folder: above.to_path_buf(), what });
            }
        }
    }
}

/// A staging folder, as it is now.
enum Place {
    There(OwnedFd),
    /// Nothing of it is left where it was.
    Gone,
    /// The folder that it was in is not there, or another one.
    Unknown,
}

impl Remains {
    /// All that the registry knows, and whatever lies in `dir` and the folders above it. Of what
    /// the registry knows only what has to do with `dir`, if there is one.
    ///
    /// # Errors
    /// If `dir` or the registry cannot be read.
    pub(super) fn find(dir: Option<&Path>, state_dir: Option<&Path>) -> Result<Finds> {
        let dir = dir.map(absolute).transpose()?;
        let mut finds = Finds::default();
        let known = state_dir.map(registry::list).transpose()?.unwrap_or_default();
        for (entry, state_dir) in known.iter().zip(state_dir.into_iter().cycle()) {
            let target = entry.target();
            let concerns = |dir: &PathBuf| {
                entry.folders().iter().any(|kept| {
                    let folder = target.join(OsStr::from_bytes(split_path(&kept.path).0));
                    folder.starts_with(dir) || dir.starts_with(&folder)
                })
            };
            if dir.as_ref().is_none_or(concerns) {
                finds.add_known(entry.clone(), state_dir);
            }
        }
        for above in dir.iter().flat_map(|dir| dir.ancestors()) {
            for name in staging_names(above) {
                finds.add_named(above, &name, &known, state_dir);
            }
        }
        Ok(finds)
    }

    /// What is left of the restore that `entry` tells of. Where that cannot be said for sure, the
    /// error says why, and what to do: then nothing may be touched.
    pub(super) fn open(
        entry: Entry,
        state_dir: Option<&Path>,
    ) -> std::result::Result<Self, String> {
        let target = entry.target();
        let folders = entry.folders();
        let shown = |path: &[u8]| target.join(OsStr::from_bytes(path)).display().to_string();
        let dir = File::open(&target)
            .map_err(|error| format!("`{}` cannot be opened: {error}", target.display()))?;
        let tree = Target::of(&target, dir).map_err(|error| error.in_full())?;
        let (mut is_running, mut held, mut records) = (false, Vec::new(), None);
        let (mut unknown, mut originals) = (Vec::new(), Vec::new());
        let mut is_first_there = false;
        for (number, kept) in folders.iter().enumerate() {
            let failed = |error: io::Error| format!("`{}`: {error}", shown(&kept.path));
            let staging = match place(&tree, kept).map_err(failed)? {
                Place::There(staging) => staging,
                Place::Gone => continue,
                Place::Unknown => {
                    unknown.push(format!("`{}`", shown(&kept.path)));
                    continue;
                }
            };
            // Its process holds it, from the moment in which it is made.
            is_running |= !fsmeta::try_lock(&staging, false).unwrap_or(true);
            if holds_originals(&staging).map_err(failed)? {
                originals.push(format!("`{}/old`", shown(&kept.path)));
            }
            if number == 0 {
                is_first_there = true;
                if let Some(file) = open_journal(&staging, journal::NAME).map_err(failed)? {
                    is_running |= !fsmeta::try_lock(&file, false).unwrap_or(true);
                    records = Records::read(file).map_err(failed)?;
                }
            }
            held.push(staging);
        }
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            return Err(format!(
                "{unknown} should be there and is not (not mounted?); mount what belongs there, or name the \
                 folder where it is now"
            ));
        }
        if let Some(records) = &mut records {
            records.rebase(&entry.base()).map_err(|error| error.to_string())?;
            let folder = |folder: &Folder| join(&folder.top, folder.name.as_bytes());
            let is_it = records.header.id == entry.id
                && records
                    .header
                    .folders
                    .iter()
                    .map(folder)
                    .eq(folders.iter().map(|k| k.path.clone()));
            if !is_it {
                let first = folders.first().map(|first| shown(&first.path)).unwrap_or_default();
                return Err(format!("the journal in `{first}` tells of another restore"));
            }
        }
        let state = match &records {
            _ if entry.is_committed => InPlaceState::Committed,
            Some(records) if records.is_committed => InPlaceState::Committed,
            Some(records) if records.has_begun => InPlaceState::Switching,
            // The journal is older than all that is set aside, and goes last.
            _ if !originals.is_empty() && !is_running => {
                let (originals, folder) = (originals.join(", "), folder_of(&entry));
                let journal = folders.first().map(|first| shown(&first.path)).unwrap_or_default();
                return Err(format!(
                    "the journal in `{journal}` is missing or damaged, and originals of \
                     `{}` are set aside in {originals}",
                    folder.display()
                ));
            }
            None if !is_first_there && !held.is_empty() && !is_running => {
                let journal = folders.first().map(|first| shown(&first.path)).unwrap_or_default();
                return Err(format!("its journal is gone with `{journal}`"));
            }
            _ => InPlaceState::Staging,
        };
        let shown = Unfinished {
            id: entry.id.clone(),
            folders: folders.iter().map(|kept| tree.join(&kept.path)).collect(),
            target,
            state,
            is_running,
        };
        let state_dir = state_dir.map(Path::to_path_buf);
        Ok(Self { shown, tree, entry, state_dir, records, held })
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
                if self.records.as_ref().is_some_and(|records| records.is_damaged) {
                    let error = io::Error::other(
                        "part of it is damaged; all that the rest tells of was undone, so look \
                         through the tree before you remove the staging folders",
                    );
                    let journal = self.tree.join(&folders[0].path).join("journal");
                    return Err(self.failed(&Error::local("read", journal, error)));
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
        let failed =
            |path, error| self.failed(&Error::local("remove", self.tree.join(path), error));
        if self.shown.state != InPlaceState::Committed {
            // Whatever came of undoing it: what is still set aside is never thrown away.
            for staging in &self.held {
                match holds_originals(staging) {
                    Ok(false) => {}
                    Ok(true) => {
                        let error = io::Error::other(
                            "originals are still set aside in `old`, and the journal does not \
                             say where they belong",
                        );
                        return Err(failed(&folders[0].path, error));
                    }
                    Err(error) => return Err(failed(&folders[0].path, error)),
                }
            }
        }
        // That with the journal last.
        for KeptFolder { path, above, .. } in folders.iter().rev() {
            let removed = remove_staging(&self.tree, path, Some(above), steps);
            removed.map_err(|error| failed(path, error))?;
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
        folder_of(&self.entry)
    }
}

/// The folder that the first staging folder is in.
pub(super) fn folder_of(entry: &Entry) -> PathBuf {
    let first = entry.folders().first().map(|kept| split_path(&kept.path).0.to_vec());
    entry.target().join(OsStr::from_bytes(&first.unwrap_or_default()))
}

/// What became of a staging folder.
///
/// # Errors
/// If something else is there, or what the system says.
fn place(tree: &Target, kept: &KeptFolder) -> io::Result<Place> {
    use io::ErrorKind::{NotADirectory, NotFound};
    let (above, name) = split_path(&kept.path);
    let above = match tree.open_dir(above, OpenDir::Path) {
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => {
            return Ok(Place::Unknown);
        }
        above => above?,
    };
    let found = fsmeta::stat_fd(&above)?;
    let staging = match fsmeta::open_dir_at(&above, name, OpenDir::Read) {
        // Numbers of devices change; but then there is no telling.
        Err(error) if error.kind() == NotFound => {
            let is_same = (found.dev, found.inode) == kept.identity;
            return Ok(if is_same { Place::Gone } else { Place::Unknown });
        }
        staging => staging?,
    };
    // Its mode is not asked for: not every file system keeps one, and this folder is known.
    if !fsmeta::is_own(&fsmeta::stat_fd(&staging)?) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is not ours"));
    }
    if found.inode != kept.identity.1 {
        return Err(io::Error::other("it is a copy, or the folder that it is in is another one"));
    }
    Ok(Place::There(staging))
}

/// Fails if an in-place restore did not come to its end in a folder, or in one above it.
///
/// # Errors
/// [`Error::Busy`] if it is at work, otherwise [`Error::Untouched`].
pub(in crate::restore) fn refuse_unfinished(target: &Path) -> Result<()> {
    let Some(there) = target.ancestors().find(|folder| folder.is_dir()) else { return Ok(()) };
    let Ok(there) = std::fs::canonicalize(there) else { return Ok(()) };
    for folder in there.ancestors() {
        for name in staging_names(folder) {
            let Ok(Some(staging)) = open_staging(folder, &name) else { continue };
            if !fsmeta::try_lock(&staging, true).unwrap_or(true) {
                return Err(busy(folder));
            }
            let folder = folder.display();
            return Err(Error::Untouched {
                what: format!("an in-place restore did not come to its end in `{folder}`"),
                hint: format!("`larder rollback {folder}` brings it there"),
            });
        }
    }
    Ok(())
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
