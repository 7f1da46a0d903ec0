//! Makes hard links, once the files that they are links to are there.

use std::io;
use std::sync::Arc;

use super::arbiter::Placement;
use super::entries::with_content_of_first;
use super::existing::{self, Verdict, judge};
use super::files::Identity;
use super::ledger::Outcome;
use super::links::{LeaderKey, LeaderState, link};
use super::nodes::find;
use super::plan::Planner;
use super::target::{Dir, split_path};
use crate::fsmeta::{self, OpenDir};
use crate::model::{Entry, escape_bytes};

/// A further name of something that is restored before.
pub(super) struct LinkTask {
    pub(super) dir: Arc<Dir>,
    pub(super) name: Box<[u8]>,
    /// Its group.
    pub(super) key: LeaderKey,
    pub(super) entry: Box<Entry>,
    /// What becomes of what is there, if that was decided before.
    pub(super) decided: Option<Box<Placement>>,
}

/// What became of a link.
enum Linked {
    As(Outcome),
    /// It cannot be a link here: it becomes a file of its own.
    Not(io::Error),
}

impl LinkTask {
    /// About how much memory it takes.
    pub(super) fn weight(entry: &Entry) -> usize {
        let link_to = entry.link_to.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + size_of::<Entry>() + 2 * entry.path.len() + link_to
    }
}

impl Planner<'_, '_> {
    /// Makes a link. If the file that it is a link to is not there, it gets content of its own and
    /// takes that one's place.
    pub(super) fn make_link(&mut self, task: LinkTask) {
        let path = task.dir.join(&task.name);
        let leader = self.ctx.leaders.get(&task.key);
        let Some(leader) = leader.filter(|leader| leader.state != LeaderState::Missing) else {
            return self.restore_alone(task, &path);
        };
        match self.try_make_link(&task, &path, &leader.path) {
            Ok(Linked::As(Outcome::Skipped)) => self.ctx.ledger.entry(Outcome::Skipped, &path),
            Ok(Linked::As(_)) if leader.state == LeaderState::Damaged => {
                let first = self.ctx.ledger.shown(&leader.path);
                let first = escape_bytes(&first).into_owned();
                self.ctx.ledger.fail(&path, format!("parts are lost, as of `{first}`"));
            }
            Ok(Linked::As(outcome)) => self.ctx.ledger.entry(outcome, &path),
            Ok(Linked::Not(error)) => {
                let text = format!("it is a file of its own now and no hard link: {error}");
                self.ctx.ledger.warn(&path, text);
                self.restore_alone(task, &path);
            }
            Err(error) => self.ctx.local_failure("link", &path, error),
        }
    }

    fn try_make_link(&mut self, task: &LinkTask, path: &[u8], leader: &[u8]) -> io::Result<Linked> {
        let ctx = self.ctx;
        if !task.dir.exists {
            return Ok(Linked::As(Outcome::Created));
        }
        let is_beside = task.decided.as_ref().is_some_and(|placement| placement.beside.is_some());
        let mut outcome = if is_beside { Outcome::KeptBoth } else { Outcome::Created };
        let attributes = self.attributes(&task.entry);
        let dir = self.worker.dirs.get(&ctx.target, &task.dir)?;
        if !task.dir.is_fresh
            && let Some(found) = find(dir, &task.name)?
        {
            let (folder, leader_name) = split_path(leader);
            let first = ctx
                .target
                .open_dir(folder, OpenDir::Path)
                .and_then(|folder| fsmeta::stat_at(&folder, leader_name));
            if first.is_ok_and(|first| Identity::from(&first) == Identity::from(&found)) {
                return Ok(Linked::As(Outcome::Unchanged));
            }
            let verdict = match &task.decided {
                Some(placement) => placement.verdict,
                None => judge(ctx.options.overwrite, &task.entry, &found),
            };
            match verdict {
                Verdict::Leave => return Ok(Linked::As(Outcome::Skipped)),
                Verdict::Free => return Err(io::ErrorKind::AlreadyExists.into()),
                Verdict::Same | Verdict::Compare | Verdict::Replace => {}
            }
            outcome = Outcome::Replaced;
            if !ctx.options.dry_run {
                existing::remove(ctx, dir, path, &task.name)?;
            }
        }
        if ctx.options.dry_run {
            return Ok(Linked::As(outcome));
        }
        match link(&ctx.target, leader, &attributes, dir, &task.name) {
            Ok(()) => Ok(Linked::As(outcome)),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(error),
            Err(error) => Ok(Linked::Not(error)),
        }
    }

    /// Restores a link as a file of its own, here and now.
    fn restore_alone(&mut self, task: LinkTask, path: &[u8]) {
        let whole = match with_content_of_first(self.ctx, &self.manifest, &task.entry) {
            Ok(whole) => whole,
            Err(error) => return self.ctx.ledger.fail(path, error),
        };
        // Planned into a window of its own, which never leaves this thread.
        let window = std::mem::take(&mut self.window);
        let window_bytes = std::mem::replace(&mut self.window_bytes, usize::MAX);
        let decided = task.decided.map(|placement| *placement);
        let planned = self.plan_content(whole, task.dir, &task.name, Some(task.key), decided);
        self.window_bytes = window_bytes;
        let own = std::mem::replace(&mut self.window, window);
        if let Err(error) = planned {
            return self.ctx.stop.set(error);
        }
        let wrong = self.worker.compare(own.compare);
        for part in own.parts.into_iter().chain(wrong) {
            self.worker.fetch_one(&part);
        }
        for small in own.small {
            self.worker.small(small);
        }
    }
}
