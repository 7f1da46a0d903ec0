//! Exchanges what a plan says for what was staged.
//!
//! Passes over the plan, each in the order of the plan:
//!
//! 1. What entries are like whose metadata, or whose content as folders, changes: written down.
//!    Folders are made usable.
//! 2. Further names of entries that stay, into the staged tree.
//! 3. Originals are set aside, staged entries get their places.
//! 4. Metadata of entries that stay; folders last, those deepest down first.
//!
//! Records go to the journal in batches, and are durable before the first action of their batch.

use std::io;

use serde_bytes::ByteBuf;

use super::action::{Action, What};
use super::described::{Described, Open};
use super::draft::InPlacePlan;
use super::journal::{BATCH, Record};
use super::options::Steps;
use super::staging::Stagings;
use super::undo::move_entry;
use super::walk::live_name;
use crate::error::{Error, Result};
use crate::fsmeta::{self, OpenDir, Stat, Unapplied};
use crate::model::{FileKind, escape_bytes};
use crate::restore::context::Context;
use crate::restore::nodes::find;
use crate::restore::target::split_path;

pub(super) struct Switch<'s, 'r> {
    pub(super) ctx: &'s Context<'r>,
    pub(super) plan: &'s InPlacePlan,
    pub(super) stagings: &'s mut Stagings,
    pub(super) steps: &'s Steps,
    /// Folders that were made usable and get no other metadata: what they were like.
    made_usable: Vec<(Vec<u8>, Described)>,
    /// The number of the next entry that is set aside.
    next: u64,
}

impl<'s, 'r> Switch<'s, 'r> {
    pub(super) fn new(
        ctx: &'s Context<'r>,
        plan: &'s InPlacePlan,
        stagings: &'s mut Stagings,
        steps: &'s Steps,
    ) -> Self {
        Self { ctx, plan, stagings, steps, made_usable: Vec::new(), next: 0 }
    }

    /// Does all of it, and commits. After an error everything has to be undone.
    ///
    /// # Errors
    /// What the system says, [`Error::Untouched`] if something changed since it was planned,
    /// [`Error::Cancelled`].
    pub(super) fn run(mut self) -> Result<()> {
        self.record(Record::Begin)?;
        self.sync()?;
        self.batches(
            |what| matches!(what, What::Describe(_) | What::Folder { .. }),
            Self::write_down,
        )?;
        self.batches(|what| matches!(what, What::Link { .. }), Self::link_all)?;
        self.batches(
            |what| {
                matches!(
                    what,
                    What::Put { .. } | What::Link { is_within: false, .. } | What::Delete
                )
            },
            Self::exchange,
        )?;
        self.batches(|what| matches!(what, What::Describe(_)), Self::describe)?;
        self.batches(|what| matches!(what, What::Folder { .. }), Self::describe)?;
        for (path, was) in std::mem::take(&mut self.made_usable) {
            self.give_mode_back(&path, &was)?;
        }
        self.ctx.check()?;
        for staging in &self.stagings.list {
            staging.sync(&self.ctx.target)?;
        }
        self.step("commit", b"")?;
        self.record(Record::Committed)?;
        self.sync()
    }

    fn batches(
        &mut self,
        fits: impl Fn(&What) -> bool,
        mut each: impl FnMut(&mut Self, &[Action]) -> Result<()>,
    ) -> Result<()> {
        let mut batch = Vec::new();
        for action in self.plan.all() {
            let action = action?;
            if fits(&action.what) {
                batch.push(action);
            }
            if batch.len() >= BATCH {
                each(self, &batch)?;
                batch.clear();
            }
        }
        if batch.is_empty() { Ok(()) } else { each(self, &batch) }
    }

    fn write_down(&mut self, batch: &[Action]) -> Result<()> {
        for action in batch {
            self.ctx.check()?;
            let (folder, name) = live_name(&action.path);
            let read = self.dir(folder).and_then(|dir| Described::read(dir, name));
            let (now, described) = read.map_err(|error| self.local("look at", action, error))?;
            let is_still = action.found.is_some_and(|found| match action.what {
                What::Folder { .. } => found.is_same_entry(&now),
                _ => found.is_still(&now),
            });
            if !is_still {
                return Err(changed(action));
            }
            self.record_was(&action.path, &now, &described)?;
            if let What::Folder { wanted: None, is_changed: true, .. } = action.what
                && needs_more(&now, &described)
            {
                self.made_usable.push((action.path.clone(), described));
            }
        }
        self.sync()?;
        for action in batch {
            let What::Folder { is_changed: true, .. } = action.what else { continue };
            self.step("make usable", &action.path)?;
            let (folder, name) = live_name(&action.path);
            let usable = self.dir(folder).and_then(|dir| {
                let found = fsmeta::stat_at(&dir, name)?;
                Open::entry(&dir, name, FileKind::Dir)?.make_usable(&found)
            });
            usable.map_err(|error| self.local("open", action, error))?;
        }
        Ok(())
    }

    fn link_all(&mut self, batch: &[Action]) -> Result<()> {
        for action in batch {
            self.ctx.check()?;
            let What::Link { first, identity, .. } = &action.what else { continue };
            self.step("link", &action.path)?;
            self.link(action, first, *identity)?;
            self.step("linked", &action.path)?;
        }
        Ok(())
    }

    /// Gives an entry that stays a further name in the staged tree.
    fn link(&mut self, action: &Action, first: &[u8], identity: (u64, u64)) -> Result<()> {
        let local = |this: &Self, error| this.local("link", action, error);
        let (folder, name) = split_path(first);
        let dir = self.dir(folder).map_err(|error| local(self, error))?;
        let (found, described) = Described::read(&dir, name).map_err(|error| local(self, error))?;
        if (found.dev, found.inode) != identity {
            return Err(changed(&Action { path: first.to_vec(), ..action.clone() }));
        }
        let (new_folder, new_name) = split_path(&action.path);
        let number = self.staging(action)?;
        let new = fsmeta::make_dirs_beneath(&self.stagings.list[number].new, new_folder);
        let new = new.map_err(|error| local(self, error))?;
        let (_, above) = Described::read(&new, b".").map_err(|error| local(self, error))?;
        let linked = match fsmeta::hard_link_at(&dir, name, &new, new_name) {
            // The one or the other is protected.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.record_was(first, &found, &described)?;
                self.sync()?;
                let link = || {
                    if matches!(found.kind, FileKind::File) {
                        Open::entry(&dir, name, found.kind)?.make_usable(&found)?;
                    }
                    let open = Open::entry(&new, b".", FileKind::Dir)?;
                    open.make_usable(&fsmeta::stat_fd(&new)?)?;
                    let linked = fsmeta::hard_link_at(&dir, name, &new, new_name);
                    described.apply(&dir, name)?;
                    linked
                };
                link()
            }
            result => result,
        };
        linked.and_then(|()| above.apply(&new, b".")).map_err(|error| local(self, error))?;
        Ok(())
    }

    /// Sets entries aside, and puts staged ones into their places.
    fn exchange(&mut self, batch: &[Action]) -> Result<()> {
        let first = self.next;
        let mut staged = Vec::with_capacity(batch.len());
        for action in batch {
            let folder = self.staging(action)? as u32;
            let found = self.staged(action, folder as usize)?;
            staged.push(found);
            if matches!(action.what, What::Put { is_device: true, .. }) && found.is_none() {
                // The system did not permit to make it: what is there stays.
                continue;
            }
            let path = ByteBuf::from(action.path.clone());
            if let Some(found) = action.found {
                let identity = (found.dev, found.inode);
                let number = self.next;
                self.next += 1;
                self.record(Record::Aside { path: path.clone(), identity, folder, number })?;
            }
            if let Some(found) = found {
                let identity = (found.dev, found.inode);
                self.record(Record::Put { path, identity, folder, from: from(action).cloned() })?;
            }
        }
        self.sync()?;
        let mut number = first;
        for (action, staged) in batch.iter().zip(staged) {
            self.ctx.check()?;
            if matches!(action.what, What::Put { is_device: true, .. }) && staged.is_none() {
                continue;
            }
            let (folder, _) = split_path(&action.path);
            let dir = self.dir(folder).map_err(|error| self.local("open", action, error))?;
            if action.found.is_some() {
                self.step("set aside", &action.path)?;
                self.set_aside(action, &dir, number)?;
                self.step("was set aside", &action.path)?;
                number += 1;
            }
            if let Some(staged) = staged {
                self.step("put", &action.path)?;
                self.put(action, &staged, &dir)?;
                self.step("was put", &action.path)?;
            }
            if let Some(shown) = action.shown() {
                self.ctx.runtime.progress.detail(shown.change.done(), &shown.path);
            }
        }
        Ok(())
    }

    /// What was staged for an action; `None` for one that needs nothing.
    fn staged(&self, action: &Action, number: usize) -> Result<Option<Stat>> {
        let is_device = match action.what {
            What::Put { is_device, .. } => is_device,
            What::Link { .. } => false,
            _ => return Ok(None),
        };
        let (folder, name) = split_path(from(action).map_or(&action.path, |from| from));
        let new = &self.stagings.list[number].new;
        let found = fsmeta::open_dir_beneath(new, folder, OpenDir::Path)
            .and_then(|dir| find(&dir, name))
            .map_err(|error| self.local("find what was staged for", action, error))?;
        if found.is_none() && !is_device {
            let path = escape_bytes(&action.path);
            return Err(Error::Internal { what: format!("`/{path}` was not staged") });
        }
        Ok(found)
    }

    fn set_aside(
        &mut self,
        action: &Action,
        dir: &std::os::fd::OwnedFd,
        number: u64,
    ) -> Result<()> {
        let local = |this: &Self, error| this.local("set aside", action, error);
        let (_, name) = split_path(&action.path);
        let now = find(dir, name).map_err(|error| local(self, error))?;
        let now = now.filter(|now| action.found.is_some_and(|found| found.is_still(now)));
        let Some(now) = now else { return Err(changed(action)) };
        let folder = self.staging(action)?;
        let aside = number.to_string();
        let rename = |this: &Self| {
            let old = &this.stagings.list[folder].old;
            fsmeta::rename_at(dir, name, old, aside.as_bytes())
        };
        match rename(self) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                // It is protected: what it is like has to be known before that changes.
                let read = Described::read(dir, name).map_err(|error| local(self, error))?;
                self.record_was(&action.path, &read.0, &read.1)?;
                self.sync()?;
                let old = &self.stagings.list[folder].old;
                move_entry((dir, name, &now), (old, aside.as_bytes()))
                    .map_err(|error| local(self, error))
            }
            result => result.map_err(|error| local(self, error)),
        }
    }

    fn put(&self, action: &Action, staged: &Stat, dir: &std::os::fd::OwnedFd) -> Result<()> {
        let local = |error| self.local("put in its place", action, error);
        let number = self.staging(action)?;
        let (folder, staged_name) = split_path(from(action).map_or(&action.path, |from| from));
        let new = fsmeta::open_dir_beneath(&self.stagings.list[number].new, folder, OpenDir::Path);
        let new = new.map_err(local)?;
        let (_, name) = split_path(&action.path);
        match move_entry((&new, staged_name, staged), (dir, name)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(changed(action)),
            result => result.map_err(local),
        }
    }

    fn describe(&mut self, batch: &[Action]) -> Result<()> {
        for action in batch {
            self.ctx.check()?;
            let wanted = match &action.what {
                What::Describe(wanted) => wanted,
                What::Folder { wanted: Some(wanted), .. } => wanted,
                _ => continue,
            };
            self.step("describe", &action.path)?;
            let (folder, name) = live_name(&action.path);
            let applied = self.dir(folder).and_then(|dir| wanted.apply(&dir, name));
            let unapplied = applied.map_err(|error| self.local("describe", action, error))?;
            self.take(action, unapplied)?;
            self.step("described", &action.path)?;
            if let Some(shown) = action.shown() {
                self.ctx.runtime.progress.detail(shown.change.done(), &shown.path);
            }
        }
        Ok(())
    }

    /// What the system does not permit is reported; a full or failing disk ends everything.
    fn take(&self, action: &Action, unapplied: Vec<Unapplied>) -> Result<()> {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let eio = rustix::io::Errno::IO.raw_os_error();
        let is_grave = |error: &io::Error| {
            matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
                || error.raw_os_error() == Some(eio)
        };
        if let Some(at) = unapplied.iter().position(|one| is_grave(&one.error)) {
            let error = unapplied.into_iter().nth(at).map(|one| one.error);
            let error = error.unwrap_or_else(|| StorageFull.into());
            return Err(self.local("describe", action, error));
        }
        self.ctx.ledger.unapplied(&action.path, unapplied);
        Ok(())
    }

    /// Gives a folder that only leads to something its mode and flags again; it keeps its times.
    fn give_mode_back(&self, path: &[u8], was: &Described) -> Result<()> {
        let (folder, name) = live_name(path);
        let give = || -> io::Result<()> {
            let dir = self.dir(folder)?;
            let (now, _) = Described::read(&dir, name)?;
            was.with_times(now.mtime, now.atime).apply(&dir, name)?;
            Ok(())
        };
        give().map_err(|error| Error::local("describe", self.ctx.target.join(path), error))
    }

    fn record_was(&mut self, path: &[u8], now: &Stat, described: &Described) -> Result<()> {
        self.record(Record::Was {
            path: ByteBuf::from(path),
            identity: (now.dev, now.inode),
            described: Box::new(described.clone()),
        })
    }

    fn record(&mut self, record: Record) -> Result<()> {
        let added = self.stagings.journal.append(&record);
        added.map_err(|error| self.journal_error(error))
    }

    fn sync(&mut self) -> Result<()> {
        let synced = self.stagings.journal.sync(self.steps);
        synced.map_err(|error| self.journal_error(error))
    }

    fn journal_error(&self, error: io::Error) -> Error {
        let path = self.stagings.list.first().map(|first| self.ctx.target.join(&first.path));
        Error::local("write the journal in", path.unwrap_or_default(), error)
    }

    fn step(&self, step: &str, path: &[u8]) -> Result<()> {
        self.steps
            .at(step)
            .map_err(|error| Error::local("change", self.ctx.target.join(path), error))
    }

    fn staging(&self, action: &Action) -> Result<usize> {
        let number = self.stagings.number(action.place);
        number.ok_or_else(|| Error::Internal { what: "a place without a staging folder".into() })
    }

    fn dir(&self, path: &[u8]) -> io::Result<std::os::fd::OwnedFd> {
        self.ctx.target.open_dir(path, OpenDir::Path)
    }

    fn local(&self, what: &'static str, action: &Action, error: io::Error) -> Error {
        Error::local(what, self.ctx.target.join(&action.path), error)
    }
}

fn from(action: &Action) -> Option<&ByteBuf> {
    match &action.what {
        What::Put { from, .. } => from.as_ref(),
        _ => None,
    }
}

/// Whether working in a folder takes a change of its mode or flags.
fn needs_more(now: &Stat, described: &Described) -> bool {
    described.flags.is_some_and(|flags| flags != 0)
        || (!fsmeta::is_root() && now.mode & 0o700 != 0o700)
}

fn changed(action: &Action) -> Error {
    let path = escape_bytes(&action.path);
    Error::Busy { what: format!("`/{path}` was changed by something else meanwhile") }
}
