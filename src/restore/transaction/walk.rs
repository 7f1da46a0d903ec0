//! Walks the manifest and the live tree together, and decides what has to be done.
//!
//! Nothing is changed. What cannot be done wholly ends the plan with an error: a transaction does
//! all or nothing.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use super::action::{Action, What};
use super::described::Described;
use super::draft::{Draft, InPlacePlan};
use crate::error::{Error, Result};
use crate::fsmeta::{self, OpenDir, Stat};
use crate::model::entry::is_within;
use crate::model::{Entry, FileKind, escape_bytes};
use crate::repository::Reader;
use crate::repository::Snapshot;
use crate::restore::attributes::Attributes;
use crate::restore::context::Context;
use crate::restore::delete::{Deletions, Names};
use crate::restore::links::LeaderKey;
use crate::restore::options::Overwrite;
use crate::restore::room::written;
use crate::restore::target::split_path;
use crate::tree::{Manifest, load_xattrs};

/// Makes a plan.
pub(super) struct Walk<'c, 'r> {
    pub(super) ctx: &'c Context<'r>,
    pub(super) manifest: Manifest,
    pub(super) reader: Reader<'r>,
    pub(super) deletions: Deletions,
    /// The sources of the snapshot.
    roots: Vec<Vec<u8>>,
    /// Only what is in this folder, or is this entry, is restored.
    within: Vec<u8>,
    pub(super) draft: Draft,
    /// The folders that lead to the entry at hand; the target is the first.
    pub(super) levels: Vec<Level>,
    /// The first member of each group of hard links, by staging folder.
    pub(super) groups: HashMap<(LeaderKey, u32), Leading>,
    /// Files with several names that stay, and for which group.
    pub(super) claimed: HashMap<(u64, u64), LeaderKey>,
    /// The folder that was open last.
    open: Option<(Vec<u8>, OwnedFd)>,
    pub(super) buffer: Vec<u8>,
}

/// What the further names of a group of hard links are linked to.
#[derive(Clone, Debug)]
pub(super) enum Leading {
    /// An entry that is there and stays.
    Kept { path: Vec<u8>, identity: (u64, u64) },
    /// One that is staged.
    Staged,
}

/// A folder on the way to the entry at hand.
pub(super) struct Level {
    pub(super) path: Box<[u8]>,
    /// All that is in it is asked for.
    pub(super) included: bool,
    /// What it shall have, if that is asked for.
    wanted: Option<Attributes>,
    /// What the snapshot has in it; `None` if nothing is deleted.
    names: Option<Names>,
    pub(super) state: State,
}

/// What is there of a folder.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// It is there.
    Live { place: u32, found: Stat, is_changed: bool },
    /// It is not there, and only made if something in it is asked for.
    Missing,
    /// Something else has its name.
    Blocked,
    /// It is made in a staging folder, if `is_wanted` with all that is in it.
    Staged { place: u32, is_wanted: bool },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Entry,
    AfterFolder,
}

impl<'c, 'r> Walk<'c, 'r> {
    /// `subtree` is the path in the snapshot that alone is restored; empty for everything.
    ///
    /// # Errors
    /// [`Error::Local`] if the target cannot be looked at.
    pub(super) fn new(ctx: &'c Context<'r>, snapshot: &Snapshot, subtree: &[u8]) -> Result<Self> {
        let plain = |path: &[u8]| path.strip_prefix(b"/").unwrap_or(path).to_vec();
        let mut walk = Self {
            ctx,
            manifest: Manifest::of(snapshot),
            reader: ctx.repository.reader(),
            deletions: Deletions::new(ctx, snapshot),
            roots: snapshot.body.roots.iter().map(|root| plain(&root.0)).collect(),
            within: subtree.to_vec(),
            draft: Draft::new(),
            levels: Vec::new(),
            groups: HashMap::new(),
            claimed: HashMap::new(),
            open: None,
            buffer: Vec::new(),
        };
        let look = |error| Error::local("look at", ctx.target.join(b""), error);
        let dir = ctx.target.fd().map_err(look)?;
        let found = fsmeta::stat_fd(dir).map_err(look)?;
        let block = fsmeta::space(dir).map_err(look)?.block;
        let place = walk.draft.place(fsmeta::mount_of(dir).map_err(look)?, block);
        let included = walk.is_asked_for(b"");
        walk.levels.push(Level {
            path: Box::default(),
            included,
            wanted: None,
            names: walk.names_of(b"", included),
            state: State::Live { place, found, is_changed: false },
        });
        Ok(walk)
    }

    /// Walks everything.
    ///
    /// # Errors
    /// What cannot be read, or cannot be done.
    pub(super) fn run(mut self) -> Result<InPlacePlan> {
        let mut entries = self.manifest.entries(self.ctx.repository);
        while let Some(entry) = entries.next() {
            self.ctx.check()?;
            let entry = entry?;
            let path = (entry.kind == FileKind::Dir).then(|| entry.path.clone());
            if self.visit(entry)? == Next::AfterFolder
                && let Some(path) = path
            {
                entries.skip_to_after(&path);
            }
        }
        while !self.levels.is_empty() {
            self.close_level()?;
        }
        Ok(self.draft.finish())
    }

    fn visit(&mut self, entry: Entry) -> Result<Next> {
        if entry.path.is_empty() {
            // Only the root of a backup of everything is an image of the target.
            if self.is_asked_for(b"") && self.gives_metadata() {
                let wanted = self.attributes(&entry)?;
                self.levels[0].wanted = Some(wanted);
            }
            return Ok(Next::Entry);
        }
        let is_dir = entry.kind == FileKind::Dir;
        let is_on_the_way = is_within(&self.within, &entry.path);
        if !is_on_the_way && !is_within(&entry.path, &self.within) {
            return Ok(Next::AfterFolder);
        }
        let (folder, name) = split_path(&entry.path);
        self.climb_to(folder, &entry.path)?;
        let level = self.levels.last_mut().ok_or_else(stray)?;
        if let Some(names) = &mut level.names {
            names.push(name);
        }
        let folder_included = level.included;
        let selection = &self.ctx.selection;
        if selection.excludes(&entry.path, is_dir) {
            return Ok(Next::AfterFolder);
        }
        let included = self.is_asked_for(&entry.path)
            && selection.includes(&entry.path, is_dir, folder_included);
        if is_dir {
            return self.visit_dir(&entry, included);
        }
        if included {
            self.plan_entry(entry)?;
        }
        Ok(Next::Entry)
    }

    /// Whether an entry is in the subtree, and not only above what was backed up: folders on the
    /// way to a source are made where they are missing, and left as they are else.
    fn is_asked_for(&self, path: &[u8]) -> bool {
        let is_above = || self.roots.iter().any(|root| is_within(root, path));
        is_within(path, &self.within)
            && (self.roots.iter().any(|root| is_within(path, root)) || !is_above())
    }

    /// Whether folders that are there get the metadata of the snapshot.
    fn gives_metadata(&self) -> bool {
        self.ctx.options.overwrite != Overwrite::Never
    }

    fn names_of(&self, path: &[u8], included: bool) -> Option<Names> {
        (included && self.deletions.may_delete_in(path)).then(Names::default)
    }

    /// A name in the folder at hand that is not in the snapshot, and stays.
    pub(super) fn keep_name(&mut self, name: &[u8]) {
        if let Some(names) = self.levels.last_mut().and_then(|level| level.names.as_mut()) {
            names.keep(name);
        }
    }

    fn climb_to(&mut self, folder: &[u8], path: &[u8]) -> Result<()> {
        while self.levels.len() > 1
            && self.levels.last().is_some_and(|level| !is_within(folder, &level.path))
        {
            self.close_level()?;
        }
        match self.levels.last() {
            Some(level) if *level.path == *folder => Ok(()),
            _ => {
                let what = format!("`/{}` lies in no folder", escape_bytes(path));
                Err(Error::damaged("manifest", what))
            }
        }
    }

    /// What the snapshot says of an entry beside its content.
    pub(super) fn attributes(&mut self, entry: &Entry) -> Result<Attributes> {
        let xattrs = load_xattrs(&mut self.reader, entry)?;
        Ok(Attributes::of(entry, Some(xattrs), &self.ctx.owners))
    }

    fn visit_dir(&mut self, entry: &Entry, included: bool) -> Result<Next> {
        let path = &entry.path;
        let mut wanted = None;
        let parent = self.levels.last().ok_or_else(stray)?.state;
        let state = match parent {
            State::Live { place, .. } => match self.look(path)? {
                Some(found) if found.is_dir() => {
                    if self.ctx.protected.is_repository(&found) {
                        self.ctx
                            .ledger
                            .warn(path, "it is the repository: nothing is changed there");
                        self.draft.counts.skipped += 1;
                        return Ok(Next::AfterFolder);
                    }
                    if included && self.gives_metadata() {
                        wanted = Some(self.attributes(entry)?);
                    }
                    self.live(path, found)?
                }
                Some(_) if !included => State::Blocked,
                None if !included => State::Missing,
                found => match self.plan_folder(entry, place, found)? {
                    Some(state) => state,
                    None => return Ok(Next::AfterFolder),
                },
            },
            State::Missing | State::Blocked if !included => State::Missing,
            State::Missing | State::Blocked | State::Staged { .. } => {
                if included {
                    let place = self.make_levels()?;
                    self.stage(place, entry)?;
                    self.draft.counts.created += 1;
                    State::Staged { place, is_wanted: true }
                } else {
                    State::Missing
                }
            }
        };
        let names = match state {
            State::Live { .. } => self.names_of(path, included),
            _ => None,
        };
        self.levels.push(Level { path: path.as_slice().into(), included, wanted, names, state });
        Ok(Next::Entry)
    }

    fn live(&mut self, path: &[u8], found: Stat) -> Result<State> {
        let dir = self.dir(path)?;
        let looked = fsmeta::mount_of(dir).and_then(|mount| Ok((mount, fsmeta::space(dir)?)));
        let (mount, space) = looked.map_err(|error| self.local("look at", path, error))?;
        let place = self.draft.place(mount, space.block);
        Ok(State::Live { place, found, is_changed: false })
    }

    /// Makes sure that the last folder is there or staged: those that only lead to something are
    /// made now. Returns its staging folder.
    pub(super) fn make_levels(&mut self) -> Result<u32> {
        for at in 1..self.levels.len() {
            let path = self.levels[at].path.clone();
            let place = match (self.levels[at - 1].state, self.levels[at].state) {
                (_, State::Live { .. } | State::Staged { .. }) => continue,
                (State::Live { .. }, State::Blocked) => return Err(self.blocked(&path)),
                (State::Live { place, .. }, _) => {
                    self.act_in(at - 1, place);
                    let action = Action { path: path.to_vec(), place, found: None, what: put() };
                    self.draft.push(&action, 0)?;
                    place
                }
                (State::Staged { place, .. }, _) => place,
                (State::Missing | State::Blocked, _) => return Err(stray()),
            };
            let staging = self.draft.at(place);
            staging.only.make(&path);
            staging.bytes += staging.block;
            self.draft.counts.created += 1;
            self.levels[at].state = State::Staged { place, is_wanted: false };
        }
        match self.levels.last().map(|level| level.state) {
            Some(State::Live { place, .. } | State::Staged { place, .. }) => Ok(place),
            _ => Err(stray()),
        }
    }

    fn blocked(&self, path: &[u8]) -> Error {
        let shown = escape_bytes(path);
        Error::Untouched {
            what: format!("`/{shown}` is no folder here, and leads to what is to be restored"),
            hint: "restore into another folder with `--target`".into(),
        }
    }

    /// Takes note that an entry is staged: with all that is in it, if it is a folder.
    ///
    /// # Errors
    /// If it cannot be read how many bytes it takes up.
    pub(super) fn stage(&mut self, place: u32, entry: &Entry) -> Result<()> {
        let is_covered = self
            .levels
            .last()
            .is_some_and(|level| matches!(level.state, State::Staged { is_wanted: true, .. }));
        let mut bytes = 0;
        if entry.kind == FileKind::File && entry.link_to.is_none() {
            bytes = written(self.ctx.repository, self.ctx.options.sparse, entry)?;
            self.draft.counts.files += 1;
            self.draft.counts.bytes += entry.size;
        }
        let staging = self.draft.at(place);
        // A block for what the file system keeps about it.
        staging.bytes += bytes.next_multiple_of(staging.block) + staging.block;
        if !is_covered {
            staging.only.want(&entry.path);
        }
        Ok(())
    }

    /// Takes note that the folder at level `at` changes, and chooses where the staging folder of
    /// its mount goes: the topmost folder that is asked for, or the one at hand.
    pub(super) fn act_in(&mut self, at: usize, in_place: u32) {
        if let State::Live { is_changed, .. } = &mut self.levels[at].state {
            *is_changed = true;
        }
        self.choose_top(at, in_place);
    }

    /// The same, if nothing is exchanged there, and only metadata changes.
    pub(super) fn choose_top(&mut self, at: usize, in_place: u32) {
        if self.draft.at(in_place).top.is_some() {
            return;
        }
        let is_fit = |level: &&Level| {
            level.included && matches!(level.state, State::Live { place, .. } if place == in_place)
        };
        let top = self.levels.iter().find(is_fit).unwrap_or(&self.levels[at]).path.to_vec();
        self.draft.at(in_place).top = Some(top);
    }

    fn close_level(&mut self) -> Result<()> {
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let (names, wanted) = (level.names.take(), level.wanted.take());
        if let Some(names) = names
            && matches!(level.state, State::Live { .. })
        {
            self.plan_deletions(&names)?;
        }
        let at = self.levels.len() - 1;
        let Level { path, included, state, .. } = &self.levels[at];
        let (path, included, state) = (path.clone(), *included, *state);
        if let State::Live { place, found, is_changed } = state {
            let (_, now) = self.read_described(&path)?;
            let wanted = wanted.map(|wanted| Box::new(Described::wanted(&wanted)));
            let is_other = wanted.as_ref().is_some_and(|wanted| !now.is_as(wanted));
            if is_other && !is_changed {
                // The staging folder holds the journal, even if nothing else.
                self.choose_top(at, place);
            }
            match (included && !path.is_empty(), is_other) {
                (_, true) => self.draft.counts.described += 1,
                (true, false) => self.draft.counts.unchanged += 1,
                (false, false) => {}
            }
            if is_changed || is_other {
                let what = What::Folder { wanted, is_changed, is_other };
                let action =
                    Action { path: path.to_vec(), place, found: Some((&found).into()), what };
                self.draft.push(&action, now.weight())?;
            }
        }
        self.levels.pop();
        Ok(())
    }

    /// What a live entry has beside its content.
    pub(super) fn read_described(&mut self, path: &[u8]) -> Result<(Stat, Described)> {
        let (folder, name) = live_name(path);
        let dir = self.dir(folder)?;
        Described::read(dir, name).map_err(|error| self.local("look at", path, error))
    }

    /// What is there, if anything is.
    pub(super) fn look(&mut self, path: &[u8]) -> Result<Option<Stat>> {
        let (folder, name) = split_path(path);
        let found = crate::restore::nodes::find(self.dir(folder)?, name);
        found.map_err(|error| self.local("look at", path, error))
    }

    /// Opens a live folder.
    pub(super) fn dir(&mut self, path: &[u8]) -> Result<&OwnedFd> {
        if self.open.as_ref().is_none_or(|(known, _)| known != path) {
            let open = self.ctx.target.open_dir(path, OpenDir::Path);
            let open = open.map_err(|error| self.local("open", path, error))?;
            self.open = Some((path.to_vec(), open));
        }
        self.open.as_ref().map(|(_, fd)| fd).ok_or_else(stray)
    }

    pub(super) fn local(&self, action: &'static str, path: &[u8], error: std::io::Error) -> Error {
        Error::local(action, self.ctx.target.join(path), error)
    }
}

/// The folder and name by which a live entry is reached: the target is in itself.
pub(super) fn live_name(path: &[u8]) -> (&[u8], &[u8]) {
    if path.is_empty() { (b"", b".") } else { split_path(path) }
}

/// What is staged gets its path.
pub(super) fn put() -> What {
    What::Put { from: None, is_device: false }
}

fn stray() -> Error {
    Error::Internal { what: "a plan lost its way".into() }
}
