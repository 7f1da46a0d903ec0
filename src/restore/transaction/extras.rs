//! What is in restored folders and not in the snapshot: which of it goes.
//!
//! The same rules as for the ordinary restore (`restore::delete`): only where the snapshot knows
//! all that a folder had, not what was left out or could not be read, not the repository, not in
//! other file systems.

use super::action::{Action, Found, What};
use super::walk::{State, Walk};
use crate::error::{Error, Result};
use crate::fsmeta::{self, OpenDir, Stat};
use crate::model::escape_bytes;
use crate::restore::delete::Names;
use crate::restore::target::split_path;

/// A folder that is being looked through.
struct Frame {
    path: Vec<u8>,
    found: Stat,
    /// What is in it and was not looked at yet.
    names: Vec<Vec<u8>>,
    /// Something in it stays, and so does it.
    stays: bool,
    /// What in it goes.
    goes: Vec<(Vec<u8>, Found)>,
}

/// What of a tree goes.
#[derive(Default)]
struct Removal {
    /// The topmost entries.
    goes: Vec<(Vec<u8>, Found)>,
    /// Folders that stay, and lose something.
    changed: Vec<(Vec<u8>, Found)>,
    /// Whether something stays.
    stays: bool,
}

impl Walk<'_, '_> {
    /// Plans the removal of what is in the folder at hand and not among `names`.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn plan_deletions(&mut self, names: &Names) -> Result<()> {
        let at = self.levels.len() - 1;
        let level = &self.levels[at];
        let State::Live { place, .. } = level.state else { return Ok(()) };
        let (path, included) = (level.path.clone(), level.included);
        let above = at.checked_sub(1).map(|above| self.levels[above].state);
        let is_mounted = matches!(above, Some(State::Live { place: above, .. }) if above != place);
        // The snapshot has an empty folder where another file system was mounted.
        if names.is_empty() && is_mounted {
            return Ok(());
        }
        let ctx = self.ctx;
        let local = |error| Error::local("read", ctx.target.join(&path), error);
        let dir = ctx.target.open_dir(&path, OpenDir::Read).map_err(local)?;
        let mut extra = Vec::new();
        fsmeta::read_dir_names(&dir, &mut Vec::new(), |name, _| {
            if !names.contains(name) {
                extra.push(name.to_vec());
            }
        })
        .map_err(local)?;
        if extra.is_empty() || ctx.protected.is_in_repository(&dir).map_err(local)? {
            return Ok(());
        }
        extra.sort_unstable();
        for name in extra {
            ctx.check()?;
            let full = join(&path, &name);
            if self.deletions.is_unread(&full) {
                continue;
            }
            let Some(found) = self.look(&full)? else { continue };
            if !ctx.selection.includes(&full, found.is_dir(), included) {
                continue;
            }
            let removal = self.removal(&full)?;
            if !removal.goes.is_empty() {
                self.choose_top(at, place);
            }
            for (path, found) in removal.goes {
                // A folder that loses something deeper down is among the changed ones itself.
                if split_path(&path).0 == &*self.levels[at].path {
                    self.act_in(at, place);
                }
                self.draft.counts.deleted += 1;
                let action = Action { path, place, found: Some(found), what: What::Delete };
                self.draft.push(&action, 0)?;
            }
            for (path, found) in removal.changed {
                let (_, now) = self.read_described(&path)?;
                let what = What::Folder { wanted: None, is_changed: true, is_other: false };
                let action = Action { path, place, found: Some(found), what };
                self.draft.push(&action, now.weight())?;
            }
        }
        Ok(())
    }

    /// Fails unless the folder at `path` may go as a whole.
    ///
    /// # Errors
    /// [`Error::Untouched`] if not, or what the system says.
    pub(super) fn check_removable(&mut self, path: &[u8]) -> Result<()> {
        let untouched = |what: &str, hint: &str| Error::Untouched {
            what: format!("`/{}` is a folder, and something else in the snapshot; {what}", {
                escape_bytes(path)
            }),
            hint: hint.into(),
        };
        if !self.ctx.options.delete {
            let local = |error| Error::local("read", self.ctx.target.join(path), error);
            let dir = self.ctx.target.open_dir(path, OpenDir::Read).map_err(local)?;
            let mut is_empty = true;
            fsmeta::read_dir_names(&dir, &mut Vec::new(), |_, _| is_empty = false)
                .map_err(local)?;
            if !is_empty {
                let hint = "remove what is in it with `--delete`, or leave it out with `--exclude`";
                return Err(untouched("there is something in it", hint));
            }
        }
        let removal = self.removal(path)?;
        if removal.stays {
            let hint = "leave it out with `--exclude`";
            return Err(untouched("what is in it has to stay", hint));
        }
        Ok(())
    }

    /// Looks through a tree: what of it goes. Depth costs neither stack nor open files.
    fn removal(&mut self, path: &[u8]) -> Result<Removal> {
        let (folder, name) = split_path(path);
        let mount = fsmeta::mount_of(self.dir(folder)?);
        let mount = mount.map_err(|error| self.local("look at", folder, error))?;
        let ctx = self.ctx;
        let top = Frame {
            path: folder.to_vec(),
            found: fsmeta::stat_fd(self.dir(folder)?)
                .map_err(|error| Error::local("look at", ctx.target.join(folder), error))?,
            names: vec![name.to_vec()],
            stays: false,
            goes: Vec::new(),
        };
        let mut removal = Removal::default();
        let mut frames = vec![top];
        while let Some(frame) = frames.last_mut() {
            ctx.check()?;
            let Some(name) = frame.names.pop() else {
                let Some(done) = frames.pop() else { break };
                match frames.last_mut() {
                    None => {
                        removal.goes.extend(done.goes);
                        removal.stays = done.stays;
                    }
                    Some(above) if done.stays => {
                        above.stays = true;
                        if !done.goes.is_empty() {
                            removal.changed.push((done.path, (&done.found).into()));
                        }
                        removal.goes.extend(done.goes);
                    }
                    Some(above) => above.goes.push((done.path, (&done.found).into())),
                }
                continue;
            };
            let path = join(&frame.path, &name);
            let local = |error| Error::local("look at", ctx.target.join(&path), error);
            let open = ctx.target.open_dir(&frame.path, OpenDir::Path).map_err(local)?;
            let found = match fsmeta::stat_at(&open, &name) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                found => found.map_err(local)?,
            };
            if ctx.selection.excludes(&path, found.is_dir()) || ctx.protected.covers(&path, &found)
            {
                frame.stays = true;
            } else if !found.is_dir() {
                frame.goes.push((path, (&found).into()));
            } else {
                let dir = fsmeta::open_dir_at(&open, &name, OpenDir::Read).map_err(local)?;
                if fsmeta::mount_of(&dir).map_err(local)? != mount {
                    ctx.ledger.warn(&path, "another file system is mounted there: it stays");
                    frame.stays = true;
                    continue;
                }
                let mut names = Vec::new();
                fsmeta::read_dir_names(&dir, &mut Vec::new(), |name, _| names.push(name.to_vec()))
                    .map_err(local)?;
                names.sort_unstable_by(|a, b| b.cmp(a));
                frames.push(Frame { path, found, names, stays: false, goes: Vec::new() });
            }
        }
        Ok(removal)
    }
}

/// The path of an entry in a folder.
pub(super) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}
