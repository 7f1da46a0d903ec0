//! Last steps: length and metadata of files, metadata of folders.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::context::Context;
use super::existing;
use super::files::{FileTask, Origin};
use super::ledger::Outcome;
use super::levels::ClosedDir;
use super::links::LeaderState;
use super::worker::Worker;
use crate::fsmeta::{self, OpenDir, Stat, Target as MetaTarget};
use crate::model::Time;
use crate::runtime::Clock;

impl Worker<'_, '_> {
    /// Everything of a file that can be restored is in it: gives it its length and metadata.
    pub(super) fn finish(&mut self, file: &Arc<FileTask>, open: Option<File>) {
        if file.has_failed() {
            return self.discard(file);
        }
        let lost = file.take_lost();
        if !self.ctx.options.dry_run
            && let Err(error) = self.complete(file, open, lost.is_some())
        {
            file.fail(self.ctx, "restore", error);
            return self.discard(file);
        }
        match lost {
            None => self.ctx.ledger.file(outcome(file), &file.path(), file.size),
            Some((ranges, reason)) => {
                self.ctx.leaders.set(file.leads, LeaderState::Damaged);
                let message = format!("parts are lost: {reason}");
                self.ctx.ledger.fail_parts(&file.path(), &message, ranges);
            }
        }
    }

    fn complete(&mut self, file: &FileTask, open: Option<File>, damaged: bool) -> io::Result<()> {
        let open = match open {
            Some(open) => open,
            None if file.origin == Origin::InPlace && !file.is_touched() && !damaged => {
                return self.complete_untouched(file);
            }
            None => self.open(file)?,
        };
        if file.origin == Origin::InPlace {
            let stat = fsmeta::stat_fd(&open)?;
            if stat.size != file.size {
                fsmeta::set_len(&open, file.size)?;
            }
            return self.apply_existing(file, &open, &stat, damaged);
        }
        if (!file.is_one_piece || damaged) && fsmeta::stat_fd(&open)?.size != file.size {
            fsmeta::set_len(&open, file.size)?;
        }
        let plain = file.dir.is_plain;
        if !damaged && !file.is_staged {
            let unapplied = file.attributes.apply_new(MetaTarget::open(&open), plain);
            self.ctx.ledger.unapplied(&file.path(), unapplied);
            return Ok(());
        }
        let mut attributes = file.attributes.clone();
        if damaged {
            // With the recorded time, the damaged file would be taken for the real one.
            attributes.mtime = now(self.ctx);
        }
        if file.is_staged {
            // What is protected could not be renamed any more.
            let flags = std::mem::take(&mut attributes.flags);
            attributes.apply_new(MetaTarget::open(&open), plain);
            self.give_name(file)?;
            attributes.flags = flags;
        }
        let unapplied = attributes.apply_new(MetaTarget::open(&open), plain);
        self.ctx.ledger.unapplied(&file.path(), unapplied);
        Ok(())
    }

    /// Gives a complete file its name, in place of what has it.
    fn give_name(&mut self, file: &FileTask) -> io::Result<()> {
        let dir = self.dirs.get(&self.ctx.target, &file.dir)?;
        let work_name = file.work_name();
        if file.origin == Origin::New {
            match fsmeta::rename_new_at(dir, &work_name, dir, &file.name) {
                // A file system that cannot promise that nothing came between.
                Err(error) if is_no_answer(&error) => {}
                result => return result,
            }
        }
        match fsmeta::rename_at(dir, &work_name, dir, &file.name) {
            // A folder, or something protected.
            Err(_) if file.origin == Origin::Replace => {
                existing::remove(self.ctx, dir, &file.path(), &file.name)?;
                fsmeta::rename_at(dir, &work_name, dir, &file.name)
            }
            result => result,
        }
    }

    /// Removes a file that failed before it got its name.
    fn discard(&mut self, file: &FileTask) {
        if file.is_staged
            && let Ok(dir) = self.dirs.get(&self.ctx.target, &file.dir)
        {
            let _ = fsmeta::remove_file_at(dir, &file.work_name());
        }
    }

    /// Its content was right, but for what is beyond its end.
    fn complete_untouched(&mut self, file: &FileTask) -> io::Result<()> {
        let dir = self.dirs.get(&self.ctx.target, &file.dir)?;
        let stat = fsmeta::stat_at(dir, &file.name)?;
        if stat.size != file.size {
            let open = self.open(file)?;
            fsmeta::set_len(&open, file.size)?;
            file.touch();
            return self.apply_existing(file, &open, &stat, false);
        }
        match fsmeta::open_file_at(dir, &file.name) {
            Ok(open) => self.apply_existing(file, &open, &stat, false),
            // A file that may not be read can be described all the same.
            Err(_) => {
                let held = fsmeta::open_path_at(dir, &file.name)?;
                let unapplied = file.attributes.apply_held(MetaTarget::path(&held));
                self.ctx.ledger.unapplied(&file.path(), unapplied);
                Ok(())
            }
        }
    }

    fn apply_existing(
        &self,
        file: &FileTask,
        open: &File,
        stat: &Stat,
        damaged: bool,
    ) -> io::Result<()> {
        let mut attributes = file.attributes.clone();
        if damaged {
            attributes.mtime = now(self.ctx);
        }
        // Writing has moved the times since it was described.
        let stat = if file.is_touched() { fsmeta::stat_fd(open)? } else { *stat };
        self.ctx.ledger.unapplied(&file.path(), attributes.apply_existing(open, &stat));
        Ok(())
    }
}

fn is_no_answer(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

fn outcome(file: &FileTask) -> Outcome {
    match file.origin {
        Origin::New if file.is_beside => Outcome::KeptBoth,
        Origin::New => Outcome::Created,
        Origin::Replace => Outcome::Replaced,
        Origin::InPlace if file.is_touched() => Outcome::Replaced,
        Origin::InPlace => Outcome::Unchanged,
    }
}

fn now(ctx: &Context<'_>) -> Time {
    let clock: &dyn Clock = &*ctx.runtime.clock;
    let ns = clock.now_ns();
    let secs = i64::try_from(ns.div_euclid(1_000_000_000)).unwrap_or_default();
    Time { secs, nanos: ns.rem_euclid(1_000_000_000) as u32 }
}

/// Gives a folder its metadata, once nothing in it changes any more.
pub(super) fn finish_dir(ctx: &Context<'_>, closed: &ClosedDir) {
    let Some(attributes) = &closed.attributes else { return };
    if ctx.options.dry_run {
        return;
    }
    let path = &closed.dir.path;
    let applied = ctx
        .target
        .open_dir(path, OpenDir::Read)
        .map(File::from)
        .and_then(|open| {
            let stat = fsmeta::stat_fd(&open)?;
            Ok(attributes.apply_existing(&open, &stat))
        })
        .or_else(|error| match error.kind() {
            // A folder that may not be read can be described all the same.
            io::ErrorKind::PermissionDenied => {
                let held = ctx.target.open_dir(path, OpenDir::Path)?;
                Ok(attributes.apply_held(MetaTarget::path(&held)))
            }
            _ => Err(error),
        });
    match applied {
        Ok(unapplied) => ctx.ledger.unapplied(path, unapplied),
        Err(error) => ctx.local_failure("finish", path, error),
    }
}
