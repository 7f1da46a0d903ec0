//! What becomes of one entry: it is made, takes the place of another, gets other metadata, or is
//! right already.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use super::action::{Action, What};
use super::described::Described;
use super::walk::{Leading, State, Walk, put};
use crate::error::{Error, Result};
use crate::fsmeta::{self, OpenDir, Stat};
use crate::model::{Content, Entry, FileKind, Piece, escape_bytes};
use crate::restore::arbiter::{Placement, Trouble};
use crate::restore::entries::with_content_of_first;
use crate::restore::existing::{Verdict, is_right};
use crate::restore::links::{LeaderKey, Leaders};
use crate::restore::nodes::is_same_node;
use crate::restore::target::split_path;
use crate::tree::Pieces;

/// Where an entry goes.
struct Goal {
    path: Vec<u8>,
    /// What is there.
    found: Option<Stat>,
    verdict: Verdict,
}

impl Walk<'_, '_> {
    /// Plans a folder that is asked for and not there; `found` has its name. `None` if that stays,
    /// and the folder is not restored.
    ///
    /// # Errors
    /// [`Error::Untouched`] if something is in its way that cannot go.
    pub(super) fn plan_folder(
        &mut self,
        entry: &Entry,
        place: u32,
        found: Option<Stat>,
    ) -> Result<Option<State>> {
        let mut goal = Goal { path: entry.path.clone(), found, verdict: Verdict::Free };
        if let Some(found) = &found {
            let ctx = self.ctx;
            let (_, name) = split_path(&entry.path);
            let dir = self.folder_of(&entry.path)?;
            let mtime = Some(entry.mtime);
            let placed = ctx.arbiter.decide_dir(dir.as_fd(), name, &entry.path, mtime, found);
            goal = self.goal(entry, placed)?;
        }
        match goal.verdict {
            // A copy beside what stays that was restored before is not looked into.
            Verdict::Leave | Verdict::Same | Verdict::Compare => {
                self.draft.counts.skipped += 1;
                return Ok(None);
            }
            Verdict::Free | Verdict::Replace => {}
        }
        self.exchange(entry, place, &goal, put())?;
        Ok(Some(State::Staged { place, is_wanted: true }))
    }

    /// What was decided about an entry, where something has its name.
    fn goal(&mut self, entry: &Entry, placed: Result<Placement, Trouble>) -> Result<Goal> {
        let placement = placed.map_err(|trouble| match trouble {
            Trouble::Local(error) => self.local("look at", &entry.path, error),
            Trouble::End(error) => error,
        })?;
        let Placement { verdict, found, beside, .. } = placement;
        let mut path = entry.path.clone();
        if let Some(beside) = beside {
            let (folder, _) = split_path(&entry.path);
            path = super::extras::join(folder, &beside);
            self.keep_name(&beside);
        }
        Ok(Goal { path, found, verdict })
    }

    fn decide(&mut self, entry: &Entry, found: Option<Stat>) -> Result<Goal> {
        let Some(found) = found else {
            return Ok(Goal { path: entry.path.clone(), found: None, verdict: Verdict::Free });
        };
        let ctx = self.ctx;
        let (_, name) = split_path(&entry.path);
        let dir = self.folder_of(&entry.path)?;
        let placed = ctx.arbiter.decide(dir.as_fd(), name, entry, &found);
        self.goal(entry, placed)
    }

    fn folder_of(&self, path: &[u8]) -> Result<std::os::fd::OwnedFd> {
        let (folder, _) = split_path(path);
        let open = self.ctx.target.open_dir(folder, OpenDir::Path);
        open.map_err(|error| self.local("open", folder, error))
    }

    /// Plans an entry that is no folder and is asked for.
    ///
    /// # Errors
    /// What cannot be read, or cannot be done.
    pub(super) fn plan_entry(&mut self, entry: Entry) -> Result<()> {
        let place = self.make_levels()?;
        let is_live = matches!(self.levels.last().map(|l| l.state), Some(State::Live { .. }));
        let found = if is_live { self.look(&entry.path)? } else { None };
        let own = (entry.nlink > 1).then(|| Leaders::key(&entry.path));
        let Some(first) = &entry.link_to else {
            return self.plan_content(&entry, place, found, own, is_live);
        };
        let key = Leaders::key(first);
        let leading = self.groups.get(&(key, place)).cloned();
        if let Some(Leading::Kept { identity, .. }) = &leading
            && found.is_some_and(|found| *identity == (found.dev, found.inode))
        {
            self.draft.counts.unchanged += 1;
            return Ok(());
        }
        let Some(leading) = leading else {
            // The first of the group is not restored here: this one takes its place.
            let whole = with_content_of_first(self.ctx, &self.manifest, &entry)?;
            return self.plan_content(&whole, place, found, Some(key), is_live);
        };
        let goal = match found {
            Some(_) if self.ctx.arbiter.compares_first() => {
                let whole = with_content_of_first(self.ctx, &self.manifest, &entry)?;
                self.decide(&whole, found)?
            }
            _ => self.decide(&entry, found)?,
        };
        if goal.verdict == Verdict::Leave {
            self.draft.counts.skipped += 1;
            return Ok(());
        }
        match leading {
            Leading::Staged if is_live => self.exchange(&entry, place, &goal, put()),
            Leading::Staged => {
                self.draft.counts.created += 1;
                self.stage(place, &entry)
            }
            Leading::Kept { path, identity } => {
                let what = What::Link { first: path.into(), identity, is_within: !is_live };
                self.draft.at(place).only.leave_out(&entry.path);
                self.change(place, &goal, what, is_live)
            }
        }
    }

    /// Plans an entry with content of its own; `leads` is the group whose others are linked to it.
    fn plan_content(
        &mut self,
        entry: &Entry,
        place: u32,
        found: Option<Stat>,
        leads: Option<LeaderKey>,
        is_live: bool,
    ) -> Result<()> {
        let goal = self.decide(entry, found)?;
        if goal.verdict == Verdict::Leave {
            self.draft.counts.skipped += 1;
            return Ok(());
        }
        if let Some(found) = goal.found
            && self.is_kept(entry, &goal, &found, leads)?
        {
            if let Some(key) = leads {
                let identity = (found.dev, found.inode);
                if found.nlink > 1 {
                    self.claimed.insert(identity, key);
                }
                let path = goal.path.clone();
                self.groups.insert((key, place), Leading::Kept { path, identity });
            }
            return self.describe(entry, place, &goal.path, &found);
        }
        if let Some(key) = leads {
            self.groups.insert((key, place), Leading::Staged);
        }
        if is_live {
            let what = What::Put { from: None, is_device: entry.kind.is_device() };
            return self.exchange(entry, place, &goal, what);
        }
        self.draft.counts.created += 1;
        self.stage(place, entry)
    }

    /// Whether what is there has the right content, and may stay.
    fn is_kept(
        &mut self,
        entry: &Entry,
        goal: &Goal,
        found: &Stat,
        leads: Option<LeaderKey>,
    ) -> Result<bool> {
        let identity = (found.dev, found.inode);
        let is_claimed = self.claimed.get(&identity).is_some_and(|key| Some(*key) != leads);
        // What has other names would change under those too.
        if entry.kind != found.kind || is_claimed || (found.nlink > 1 && entry.nlink <= 1) {
            return Ok(false);
        }
        let (_, name) = split_path(&goal.path);
        let dir = self.folder_of(&goal.path)?;
        if entry.kind != FileKind::File {
            let same = is_same_node(&dir, name, entry, found);
            return same.map_err(|error| self.local("look at", &goal.path, error));
        }
        match goal.verdict {
            Verdict::Same => return Ok(true),
            Verdict::Replace if found.nlink > 1 => return Ok(false),
            _ => {}
        }
        if entry.size != found.size {
            return Ok(false);
        }
        match fsmeta::open_file_at(&dir, name) {
            Ok(file) => self.has_content(&file, entry),
            // What cannot be read is made anew.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
            Err(error) => Err(self.local("open", &goal.path, error)),
        }
    }

    /// Whether a file of the right length has the content of an entry.
    fn has_content(&mut self, file: &File, entry: &Entry) -> Result<bool> {
        let ctx = self.ctx;
        let read = |error| Error::local("read", ctx.target.join(&entry.path), error);
        ctx.ledger.current(&entry.path);
        if let Content::Inline(bytes) = &entry.content {
            let mut found = vec![0; bytes.len()];
            return match file.read_exact_at(&mut found, 0) {
                Ok(()) => Ok(found == *bytes),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
                Err(error) => Err(read(error)),
            };
        }
        let mut at = 0;
        let mut is_at = |piece: &Piece, buffer: &mut Vec<u8>| {
            let right = is_right(ctx.repository, file, at, piece, buffer).map_err(read);
            at += piece.len();
            right
        };
        // One reader of pages for each file would cost more than most files do.
        if let Content::Pieces(pieces) = &entry.content {
            for piece in pieces {
                ctx.check()?;
                if !is_at(piece, &mut self.buffer)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        for piece in Pieces::new(ctx.repository, entry) {
            ctx.check()?;
            if !is_at(&piece?, &mut self.buffer)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Plans the metadata of an entry whose content is right, at this path of the tree.
    fn describe(&mut self, entry: &Entry, place: u32, path: &[u8], found: &Stat) -> Result<()> {
        let wanted = Described::wanted(&self.attributes(entry)?);
        let (now_found, now) = self.read_described(path)?;
        self.ctx.ledger.bytes_done(entry.size);
        if now.is_as(&wanted) {
            self.draft.counts.unchanged += 1;
            return Ok(());
        }
        if (now_found.dev, now_found.inode) != (found.dev, found.inode) {
            return Err(changed(path));
        }
        self.choose_top(self.levels.len() - 1, place);
        self.draft.counts.described += 1;
        let action = Action {
            path: path.to_vec(),
            place,
            found: Some(found.into()),
            what: What::Describe(Box::new(wanted)),
        };
        self.draft.push(&action, now.weight())
    }

    /// Plans that an entry is staged and takes its place in a live folder.
    fn exchange(&mut self, entry: &Entry, place: u32, goal: &Goal, what: What) -> Result<()> {
        let what = match what {
            What::Put { is_device, .. } if goal.path != entry.path => {
                What::Put { from: Some(entry.path.clone().into()), is_device }
            }
            what => what,
        };
        self.change(place, goal, what, true)?;
        self.stage(place, entry)
    }

    /// Plans that something gets its path in the tree, in a folder that is there if `is_live`.
    fn change(&mut self, place: u32, goal: &Goal, what: What, is_live: bool) -> Result<()> {
        match &goal.found {
            None => self.draft.counts.created += 1,
            Some(found) => {
                if found.is_dir() {
                    self.check_removable(&goal.path)?;
                }
                self.draft.counts.replaced += 1;
            }
        }
        if is_live {
            self.act_in(self.levels.len() - 1, place);
        }
        let found = goal.found.as_ref().map(Into::into);
        let action = Action { path: goal.path.clone(), place, found, what };
        self.draft.push(&action, 0)
    }
}

/// Something moved while we looked.
fn changed(path: &[u8]) -> Error {
    Error::Busy { what: format!("`/{}` changed while it was looked at", escape_bytes(path)) }
}
