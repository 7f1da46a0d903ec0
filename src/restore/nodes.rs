//! Symbolic links, fifos, sockets and devices.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::attributes::Attributes;
use super::existing::{self, Verdict, judge};
use super::ledger::Outcome;
use super::links::{LeaderKey, LeaderState};
use super::target::Dir;
use super::worker::Worker;
use crate::fsmeta::{self, Aspect, Stat, Target as MetaTarget, Unapplied};
use crate::model::{Content, Entry, FileKind};

/// An entry that is neither a file nor a folder.
pub(super) struct NodeTask {
    pub(super) dir: Arc<Dir>,
    pub(super) name: Box<[u8]>,
    pub(super) entry: Entry,
    pub(super) attributes: Attributes,
    /// Other names may be linked to it.
    pub(super) leads: Option<LeaderKey>,
    /// What becomes of what is there, if that was decided before.
    pub(super) decided: Option<Verdict>,
    /// Its name is not that in the snapshot.
    pub(super) is_beside: bool,
}

impl Worker<'_, '_> {
    /// Makes a link, fifo, socket or device, or gives the one that is there its metadata.
    pub(super) fn make_node(&mut self, node: NodeTask) {
        let path = node.dir.join(&node.name);
        match self.try_make_node(&node, &path) {
            Ok(Some(outcome)) => {
                if outcome == Outcome::Skipped {
                    self.ctx.leaders.set(node.leads, LeaderState::Missing);
                }
                self.ctx.ledger.entry(outcome, &path);
            }
            // The system does not permit it: part of the summary.
            Ok(None) => {
                self.ctx.leaders.set(node.leads, LeaderState::Missing);
                self.ctx.ledger.entry(Outcome::Skipped, &path);
            }
            Err(error) => {
                self.ctx.leaders.set(node.leads, LeaderState::Missing);
                self.ctx.local_failure("create", &path, error);
            }
        }
    }

    fn try_make_node(&mut self, node: &NodeTask, path: &[u8]) -> io::Result<Option<Outcome>> {
        let ctx = self.ctx;
        let dry_run = ctx.options.dry_run;
        if !node.dir.exists {
            return Ok(Some(Outcome::Created));
        }
        let dir = self.dirs.get(&ctx.target, &node.dir)?;
        let mut outcome = if node.is_beside { Outcome::KeptBoth } else { Outcome::Created };
        if !node.dir.is_fresh
            && let Some(found) = find(dir, &node.name)?
        {
            let verdict =
                node.decided.unwrap_or_else(|| judge(ctx.options.overwrite, &node.entry, &found));
            match verdict {
                Verdict::Leave => return Ok(Some(Outcome::Skipped)),
                Verdict::Free => return Err(io::ErrorKind::AlreadyExists.into()),
                Verdict::Compare | Verdict::Same
                    if is_same_node(dir, &node.name, &node.entry, &found)? =>
                {
                    if !dry_run && !node.attributes.matches(&found) {
                        let held = fsmeta::open_path_at(dir, &node.name)?;
                        let unapplied = node.attributes.apply_held(MetaTarget::path(&held));
                        ctx.ledger.unapplied(path, unapplied);
                    }
                    return Ok(Some(Outcome::Unchanged));
                }
                _ => outcome = Outcome::Replaced,
            }
            if !dry_run {
                existing::remove(ctx, dir, path, &node.name)?;
            }
        }
        if dry_run {
            return Ok(Some(outcome));
        }
        match create(dir, node) {
            Err(error)
                if node.entry.kind.is_device()
                    && matches!(
                        error.kind(),
                        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported
                    ) =>
            {
                let unapplied = Unapplied { aspect: Aspect::Device, error };
                ctx.ledger.unapplied(path, vec![unapplied]);
                return Ok(None);
            }
            created => created?,
        }
        let held = fsmeta::open_path_at(dir, &node.name)?;
        let plain = node.dir.is_plain;
        let unapplied = node.attributes.apply_new(MetaTarget::path(&held), plain);
        ctx.ledger.unapplied(path, unapplied);
        Ok(Some(outcome))
    }
}

/// What is under a name, if anything is.
pub(super) fn find(dir: impl AsFd, name: &[u8]) -> io::Result<Option<Stat>> {
    match fsmeta::stat_at(dir, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => Ok(Some(found?)),
    }
}

/// Whether what is there, of the same kind, is the same link, device or the like.
///
/// # Errors
/// What the system says.
pub(super) fn is_same_node(
    dir: impl AsFd,
    name: &[u8],
    entry: &Entry,
    found: &Stat,
) -> io::Result<bool> {
    Ok(match entry.kind {
        FileKind::Symlink => fsmeta::read_link_at(dir, name)? == link_target(entry),
        FileKind::CharDevice | FileKind::BlockDevice => {
            entry.device == Some((found.rdev_major, found.rdev_minor))
        }
        _ => true,
    })
}

fn create(dir: impl AsFd, node: &NodeTask) -> io::Result<()> {
    let kind = node.entry.kind;
    if kind == FileKind::Symlink {
        return fsmeta::create_symlink_at(dir, &node.name, link_target(&node.entry));
    }
    let (major, minor) = match node.entry.device {
        None if kind.is_device() => return Err(io::Error::other("its device number is missing")),
        device => device.unwrap_or_default(),
    };
    fsmeta::create_special_at(dir, &node.name, kind, major, minor)
}

/// Where a symbolic link leads to.
pub(super) fn link_target(entry: &Entry) -> &[u8] {
    match &entry.content {
        Content::Inline(target) => target,
        _ => b"",
    }
}
