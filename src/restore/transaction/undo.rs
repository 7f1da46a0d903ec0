//! Undoes what a journal says was, or may have been, done.
//!
//! The journal is read backwards. Whether an action was taken is decided by looking: an entry is
//! recognised by its inode number, wherever it is. So all of it may be interrupted and repeated,
//! any number of times. It takes no room: entries are renamed, metadata goes where it was.

use std::io;

use serde_bytes::ByteBuf;

use super::described::{Described, Open};
use super::journal::{Record, Records};
use super::options::Steps;
use super::report::RollbackConflict;
use super::staging::Staging;
use super::walk::live_name;
use crate::error::{Error, Result};
use crate::fsmeta::{self, OpenDir, Stat};
use crate::model::FileKind;
use crate::restore::nodes::find;
use crate::restore::target::{Target, split_path};

/// What was undone.
#[derive(Debug, Default)]
pub(super) struct Undone {
    pub(super) count: u64,
    pub(super) conflicts: Vec<RollbackConflict>,
}

/// Undoes everything of a journal. The staging folders stay.
///
/// # Errors
/// [`Error::Local`] for the first thing that could not be undone; it may be tried again.
pub(super) fn undo(tree: &Target, records: &Records, steps: &Steps) -> Result<Undone> {
    let mut undo = Undo {
        tree,
        folders: Vec::new(),
        devices: Vec::new(),
        steps,
        done: Undone::default(),
        first_error: None,
    };
    for folder in &records.header.folders {
        let path = super::extras::join(&folder.top, folder.name.as_bytes());
        // One that is gone was removed because all that was in it is back.
        let open = match Staging::open(tree, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            open => Some(open.map_err(|error| Error::local("open", tree.join(&path), error))?),
        };
        if let Some(open) = &open {
            let now =
                open.device().map_err(|error| Error::local("open", tree.join(&path), error))?;
            undo.devices.push((folder.identity.0, now));
            open.release_reserve();
        }
        undo.folders.push(open);
    }
    undo.make_usable(records)?;
    undo.move_back(records)?;
    undo.describe(records)?;
    if let Some(error) = undo.first_error {
        return Err(error);
    }
    for folder in undo.folders.iter().flatten() {
        folder.sync(tree)?;
    }
    Ok(undo.done)
}

struct Undo<'u> {
    tree: &'u Target,
    folders: Vec<Option<Staging>>,
    /// What the numbers of devices were, and are: a restart, another system or another mount
    /// changes them.
    devices: Vec<(u64, u64)>,
    steps: &'u Steps,
    done: Undone,
    /// What went wrong first: all else is undone nevertheless.
    first_error: Option<Error>,
}

impl Undo<'_> {
    fn read(&self, records: &Records, number: usize) -> Result<Record> {
        let path = || self.tree.join(b"");
        records.get(number).map_err(|error| Error::local("read the journal of", path(), error))
    }

    /// Folders that were made usable may have got their old mode back by an earlier try; deepest
    /// last, so that what is in them can be reached.
    fn make_usable(&mut self, records: &Records) -> Result<()> {
        for number in (0..records.len()).rev() {
            let Record::Was { path, identity, described } = self.read(records, number)? else {
                continue;
            };
            if described.kind() != FileKind::Dir {
                continue;
            }
            let usable = self.usable(&path, identity, &described);
            self.note("open", &path, usable)?;
        }
        Ok(())
    }

    fn usable(&self, path: &[u8], identity: (u64, u64), was: &Described) -> io::Result<()> {
        let is_protected = was.flags.is_some_and(|flags| flags != 0);
        if !is_protected && (fsmeta::is_root() || was.mode & 0o700 == 0o700) {
            return Ok(());
        }
        let (folder, name) = live_name(path);
        let dir = self.tree.open_dir(folder, OpenDir::Path)?;
        match find(&dir, name)? {
            Some(found) if self.is(&found, identity) => {
                Open::entry(&dir, name, FileKind::Dir)?.make_usable(&found)
            }
            // It was set aside: it comes back below.
            _ => Ok(()),
        }
    }

    fn move_back(&mut self, records: &Records) -> Result<()> {
        for number in (0..records.len()).rev() {
            let (path, moved) = match self.read(records, number)? {
                Record::Put { path, identity, folder, from } => {
                    let moved = self.take_out(&path, identity, folder, from.as_ref());
                    (path, moved)
                }
                Record::Aside { path, identity, folder, number } => {
                    let moved = self.bring_back(&path, identity, folder, number);
                    (path, moved)
                }
                _ => continue,
            };
            self.note("bring back", &path, moved)?;
        }
        Ok(())
    }

    /// Takes a staged entry out of the tree again.
    fn take_out(
        &mut self,
        path: &[u8],
        identity: (u64, u64),
        folder: u32,
        from: Option<&ByteBuf>,
    ) -> io::Result<()> {
        let Some(Some(staging)) = self.folders.get(folder as usize) else { return Ok(()) };
        let (above, name) = split_path(path);
        let dir = self.tree.open_dir(above, OpenDir::Path)?;
        let Some(found) = find(&dir, name)?.filter(|found| self.is(found, identity)) else {
            return Ok(());
        };
        self.steps.at("take out")?;
        let (new_above, new_name) = split_path(from.map_or(path, |from| from));
        let new = fsmeta::make_dirs_beneath(&staging.new, new_above)?;
        move_entry((&dir, name, &found), (&new, new_name))?;
        self.done.count += 1;
        self.steps.at("taken out")
    }

    /// Brings an entry back that was set aside.
    fn bring_back(
        &mut self,
        path: &[u8],
        identity: (u64, u64),
        folder: u32,
        number: u64,
    ) -> io::Result<()> {
        use io::ErrorKind::{NotADirectory, NotFound};
        let (above, name) = split_path(path);
        let dir = match self.tree.open_dir(above, OpenDir::Path) {
            // The folder that it was in is gone, or not a folder any more.
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => None,
            dir => Some(dir?),
        };
        let there = dir.as_ref().map(|dir| find(dir, name)).transpose()?.flatten();
        if there.as_ref().is_some_and(|there| self.is(there, identity)) {
            return Ok(());
        }
        let old_name = number.to_string();
        let mut kept_at = None;
        if let Some(Some(staging)) = self.folders.get(folder as usize) {
            let kept = find(&staging.old, old_name.as_bytes())?;
            if let Some(found) = kept.filter(|found| found.inode == identity.1) {
                if let (None, Some(dir)) = (&there, &dir) {
                    self.steps.at("bring back")?;
                    move_entry((&staging.old, old_name.as_bytes(), &found), (dir, name))?;
                    self.done.count += 1;
                    return self.steps.at("brought back");
                }
                let old = super::extras::join(&staging.path, b"old");
                kept_at = Some(self.tree.join(&super::extras::join(&old, old_name.as_bytes())));
            }
        }
        // Neither in its place nor set aside: somebody else moved it, or took its place.
        self.done.conflicts.push(RollbackConflict { path: self.tree.join(path), kept_at });
        Ok(())
    }

    /// Gives entries their old metadata, folders last and those deepest down first.
    fn describe(&mut self, records: &Records) -> Result<()> {
        let all = records.len();
        for (number, is_for_dirs) in
            (0..all).rev().map(|at| (at, false)).chain((0..all).map(|at| (at, true)))
        {
            let Record::Was { path, identity, described } = self.read(records, number)? else {
                continue;
            };
            if (described.kind() == FileKind::Dir) == is_for_dirs {
                let done = self.describe_one(&path, identity, &described);
                self.note("describe", &path, done)?;
            }
        }
        Ok(())
    }

    fn describe_one(
        &mut self,
        path: &[u8],
        identity: (u64, u64),
        was: &Described,
    ) -> io::Result<()> {
        let (folder, name) = live_name(path);
        let dir = self.tree.open_dir(folder, OpenDir::Path)?;
        if find(&dir, name)?.is_none_or(|found| !self.is(&found, identity)) {
            return Ok(());
        }
        self.steps.at("give back")?;
        let unapplied = was.apply(&dir, name)?;
        self.done.count += 1;
        self.steps.at("given back")?;
        unapplied.into_iter().next().map_or(Ok(()), |first| Err(first.error))
    }

    /// Keeps the first error, and goes on: the more is undone the better.
    fn note(&mut self, action: &'static str, path: &[u8], result: io::Result<()>) -> Result<()> {
        let Err(error) = result else { return Ok(()) };
        // What is gone with its folder was removed by somebody else.
        if error.kind() != io::ErrorKind::NotFound && self.first_error.is_none() {
            self.first_error = Some(Error::local(action, self.tree.join(path), error));
        }
        Ok(())
    }

    fn is(&self, found: &Stat, (device, inode): (u64, u64)) -> bool {
        let now =
            self.devices.iter().find(|(was, _)| *was == device).map_or(device, |(_, now)| *now);
        (found.dev, found.inode) == (now, inode)
    }
}

/// An open folder, a name in it, and what the system says about that.
type Named<'n> = (&'n std::os::fd::OwnedFd, &'n [u8], &'n Stat);

/// Renames an entry to a name that must be free, even if it is protected: what it had it has
/// afterwards.
///
/// # Errors
/// What the system says.
pub(super) fn move_entry(
    (dir, name, found): Named<'_>,
    (new_dir, new_name): (&std::os::fd::OwnedFd, &[u8]),
) -> io::Result<()> {
    match rename_new(dir, name, new_dir, new_name) {
        Err(error)
            if error.kind() == io::ErrorKind::PermissionDenied
                && matches!(found.kind, FileKind::File | FileKind::Dir) =>
        {
            let (_, before) = Described::read(dir, name)?;
            Open::entry(dir, name, found.kind)?.make_usable(found)?;
            let moved = rename_new(dir, name, new_dir, new_name);
            match &moved {
                Ok(()) => before.apply(new_dir, new_name)?,
                Err(_) => before.apply(dir, name)?,
            };
            moved
        }
        result => result,
    }
}

fn rename_new(
    dir: &std::os::fd::OwnedFd,
    name: &[u8],
    new_dir: &std::os::fd::OwnedFd,
    new_name: &[u8],
) -> io::Result<()> {
    match fsmeta::rename_new_at(dir, name, new_dir, new_name) {
        // A file system that cannot promise that nothing came between.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
        {
            if find(new_dir, new_name)?.is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fsmeta::rename_at(dir, name, new_dir, new_name)
        }
        result => result,
    }
}
