//! Makes folders in the target.

use std::io;

use super::arbiter::Trouble;
use super::existing::{self, Verdict};
use super::ledger::Outcome;
use super::nodes::find;
use super::target::Dir;
use super::worker::Worker;
use crate::fsmeta::{self, Metadata, OpenDir, Target as MetaTarget};
use crate::model::{FileKind, Time};

/// What became of a folder.
pub(super) struct MadeDir {
    pub(super) outcome: Outcome,
    /// Whether it is there now, which it may not be in a dry run.
    pub(super) exists: bool,
    /// The name that it has because its own is taken by something that stays.
    pub(super) beside: Option<Box<[u8]>>,
}

impl Worker<'_, '_> {
    /// Makes a folder, or takes the one that is there. Something else in its way, be it a symbolic
    /// link to a folder, gives way as the overwrite mode says. `path` is the folder's in the target,
    /// `full` that in the snapshot.
    ///
    /// # Errors
    /// What the system says, and whatever else keeps it from being decided.
    pub(super) fn make_dir(
        &mut self,
        parent: &Dir,
        path: &[u8],
        name: &[u8],
        full: &[u8],
        mtime: Option<Time>,
    ) -> Result<MadeDir, Trouble> {
        let ctx = self.ctx;
        let dry_run = ctx.options.dry_run;
        if !parent.exists {
            return Ok(made(Outcome::Created, false));
        }
        let dir = self.dirs.get(&ctx.target, parent)?;
        if !dry_run {
            match fsmeta::create_dir_at(dir, name) {
                Ok(()) => return Ok(made(Outcome::Created, true)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && !parent.is_fresh => {}
                Err(error) => return Err(error.into()),
            }
        }
        let Some(found) = find(dir, name)? else { return Ok(made(Outcome::Created, false)) };
        if ctx.protected.is_repository(&found) {
            let text = "the repository is there: nothing is restored into it";
            return Err(io::Error::other(text).into());
        }
        if found.is_dir() {
            return Ok(made(Outcome::Unchanged, true));
        }
        let placement = ctx.arbiter.decide_dir(dir, name, full, mtime, &found)?;
        let beside = placement.beside;
        match placement.verdict {
            Verdict::Leave if placement.is_undecided => return Ok(made(Outcome::Undecided, false)),
            Verdict::Leave => return Ok(made(Outcome::Skipped, false)),
            Verdict::Same => return Ok(MadeDir { beside, ..made(Outcome::Unchanged, true) }),
            _ => {}
        }
        if let Some(beside) = beside {
            if !dry_run {
                fsmeta::create_dir_at(dir, &beside)?;
            }
            return Ok(MadeDir { beside: Some(beside), ..made(Outcome::KeptBoth, !dry_run) });
        }
        if dry_run {
            return Ok(made(Outcome::Replaced, false));
        }
        existing::remove(ctx, dir, path, name)?;
        fsmeta::create_dir_at(dir, name)?;
        Ok(made(Outcome::Replaced, true))
    }

    /// Takes from a folder that was there what would keep us from working in it. Its metadata is
    /// set at the end. What cannot be changed shows when something is made in it.
    pub(super) fn make_usable(&mut self, parent: &Dir, name: &[u8]) {
        const ALL: u32 = 0o700;
        let Ok(dir) = self.dirs.get(&self.ctx.target, parent) else { return };
        if self.ctx.options.dry_run {
            return;
        }
        let Ok(held) = fsmeta::open_path_at(dir, name) else { return };
        let Ok(found) = fsmeta::stat_fd(&held) else { return };
        if !self.ctx.is_root && found.mode & ALL != ALL {
            let metadata = Metadata {
                kind: FileKind::Dir,
                uid: None,
                gid: None,
                mode: found.mode | ALL,
                xattrs: None,
                mtime: found.mtime,
                atime: None,
                flags: None,
            };
            fsmeta::apply(MetaTarget::path(&held), &metadata);
        }
        if let Ok(open) = fsmeta::open_dir_at(dir, name, OpenDir::Read) {
            let _ = fsmeta::clear_protection(&open);
        }
    }
}

fn made(outcome: Outcome, exists: bool) -> MadeDir {
    MadeDir { outcome, exists, beside: None }
}
