//! The folders that lead to the entry at hand: made when they are needed, closed when they end.

use std::sync::Arc;

use super::arbiter::Trouble;
use super::attributes::Attributes;
use super::delete::Names;
use super::ledger::Outcome;
use super::options::Overwrite;
use super::plan::Planner;
use super::target::{Dir, split_path};
use crate::error::Error;
use crate::model::entry::is_within;

/// A folder on the way to the entry at hand.
pub(super) struct Level {
    /// Relative to the target.
    pub(super) path: Box<[u8]>,
    /// All that is in it is asked for.
    pub(super) included: bool,
    pub(super) attributes: Option<Attributes>,
    pub(super) made: Made,
    /// What the snapshot has in it; `None` if nobody asks, or nobody knows.
    pub(super) names: Option<Names>,
}

pub(super) enum Made {
    /// Not as long as nothing in it is asked for.
    NotYet,
    Yes(Arc<Dir>),
    /// Something else is there and stays.
    Skipped,
    /// It could not be made.
    Failed,
}

/// A folder that ended.
pub(super) struct ClosedDir {
    pub(super) dir: Arc<Dir>,
    /// `None` if those it has stay.
    pub(super) attributes: Option<Attributes>,
    pub(super) included: bool,
    /// What the snapshot has in it; `None` if nobody asks, or nobody knows.
    pub(super) names: Option<Names>,
}

impl Planner<'_, '_> {
    /// Whether the last folder has no place because something else is there and stays.
    pub(super) fn is_skipped(&self) -> bool {
        self.levels.last().is_some_and(|level| matches!(level.made, Made::Skipped))
    }

    /// Closes the folders that do not lead to `folder`. Returns whether the last one is `folder`
    /// itself then, as it must be.
    pub(super) fn climb_to(&mut self, folder: &[u8]) -> bool {
        while self.levels.len() > 1
            && self.levels.last().is_some_and(|level| !is_within(folder, &level.path))
        {
            self.close_level();
        }
        let Some(level) = self.levels.last() else { return false };
        if *level.path == *folder {
            return true;
        }
        if !self.pages_lost {
            return false;
        }
        // Folders of a lost page are made all the same, so that what is in them has a place.
        let included = level.included;
        let start = level.path.len() + usize::from(!level.path.is_empty());
        let ends = (start..folder.len()).filter(|at| folder[*at] == b'/').chain([folder.len()]);
        for end in ends.collect::<Vec<_>>() {
            let path = &folder[..end];
            let full = self.ctx.selection.absolute(path);
            let included = self.ctx.selection.includes(&full, true, included);
            self.levels.push(Level {
                path: path.into(),
                included,
                attributes: None,
                made: Made::NotYet,
                names: None,
            });
        }
        true
    }

    pub(super) fn close_level(&mut self) {
        let Some(level) = self.levels.pop() else { return };
        if let Made::Yes(dir) = level.made {
            let Level { attributes, included, names, .. } = level;
            self.window.closed.push(ClosedDir { dir, attributes, included, names });
        }
    }

    /// Nothing is known of the entries in a page that is lost, only that they may be in any of the
    /// folders at hand: nothing may be deleted in those.
    pub(super) fn lose_page(&mut self, error: &Error) {
        self.pages_lost = true;
        for level in &mut self.levels {
            level.names = None;
        }
        let path = self.levels.last().map(|level| &*level.path).unwrap_or_default();
        let message = format!("what is in it is not all known: {error}");
        self.ctx.ledger.fail(path, message);
    }

    /// Makes the folders that lead to the entry at hand, where they are not there. Returns the
    /// last one, or `None` if one could not be made.
    pub(super) fn make_levels(&mut self) -> Option<Arc<Dir>> {
        let last = self.levels.len().checked_sub(1)?;
        let first = self.levels.iter().rposition(|level| !matches!(level.made, Made::NotYet))?;
        for at in first + 1..=last {
            if self.ctx.is_stopped() {
                return None;
            }
            let made = match &self.levels[at - 1].made {
                Made::Yes(parent) => {
                    let parent = Arc::clone(parent);
                    self.make_level(&parent, at)
                }
                Made::Skipped => {
                    self.ctx.ledger.entry(Outcome::Skipped, &self.levels[at].path);
                    Made::Skipped
                }
                Made::Failed | Made::NotYet => {
                    self.ctx.ledger.fail(&self.levels[at].path, "its folder could not be made");
                    Made::Failed
                }
            };
            self.levels[at].made = made;
        }
        match &self.levels[last].made {
            Made::Yes(dir) => Some(Arc::clone(dir)),
            _ => None,
        }
    }

    /// Something in the folder at hand was restored under another name: see to it that it is found
    /// again, and not deleted.
    pub(super) fn keep_beside(&mut self, path: Vec<u8>, beside: &[u8]) {
        self.ctx.renamed.insert(path, beside);
        if let Some(names) = self.levels.last_mut().and_then(|level| level.names.as_mut()) {
            names.keep(beside);
        }
    }

    fn make_level(&mut self, parent: &Dir, at: usize) -> Made {
        let id = self.new_id();
        let level = &self.levels[at];
        let (_, name) = split_path(&level.path);
        let mut path = parent.join(name);
        // One that was there and only leads to something keeps its metadata.
        let keeps = !level.included || self.ctx.options.overwrite == Overwrite::Never;
        let mtime = level.attributes.as_ref().map(|attributes| attributes.mtime);
        let full = self.ctx.selection.absolute(&level.path);
        let made = match self.worker.make_dir(parent, &path, name, &full, mtime) {
            Ok(made) => made,
            Err(Trouble::Local(error)) => {
                self.ctx.local_failure("create", &path, error);
                return Made::Failed;
            }
            // The planner looks at this before it goes on.
            Err(Trouble::End(error)) => {
                self.ctx.stop.set(error);
                return Made::Failed;
            }
        };
        let is_beside = parent.is_beside || made.beside.is_some();
        if let Some(beside) = &made.beside {
            let taken = std::mem::replace(&mut path, parent.join(beside));
            self.ctx.renamed.insert(taken, beside);
            if let Some(names) = at.checked_sub(1).and_then(|at| self.levels[at].names.as_mut()) {
                names.keep(beside);
            }
        }
        self.ctx.ledger.entry(made.outcome, &path);
        let level = &mut self.levels[at];
        match made.outcome {
            Outcome::Skipped | Outcome::Undecided => return Made::Skipped,
            Outcome::Unchanged if keeps => level.attributes = None,
            Outcome::Unchanged => self.worker.make_usable(parent, split_path(&path).1),
            _ => level.names = None,
        }
        // A new folder inherits from the one that it is in.
        let is_fresh = made.outcome != Outcome::Unchanged;
        let is_plain = is_fresh && parent.is_plain;
        let exists = made.exists;
        // Whatever else is in it is somebody's, not the snapshot's.
        if is_beside {
            level.names = None;
        }
        let dir = Arc::new(Dir { is_fresh, is_plain, exists, is_beside, ..Dir::new(&path, id) });
        if exists {
            self.worker.dirs.enter(&self.ctx.target, parent, &dir);
        }
        Made::Yes(dir)
    }
}
