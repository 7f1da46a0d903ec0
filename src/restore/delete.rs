//! Removes what is in restored folders and not in the snapshot.
//!
//! Only in folders whose whole content the snapshot knows: not in those that merely lead to a
//! source, not where a page of the manifest is lost, not what could not be read or was left out
//! when the snapshot was made, not the repository, and not in other file systems. Symbolic links are removed, never followed.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;

use super::context::Context;
use super::files::Identity;
use super::ledger::Outcome;
use super::levels::ClosedDir;
use super::target::split_path;
use crate::fsmeta::{self, OpenDir};
use crate::model::FileKind;
use crate::model::entry::is_within;
use crate::repository::Snapshot;

/// Where the snapshot permits deletions.
pub(super) struct Deletions {
    /// The sources; none if nothing is deleted.
    roots: Vec<Vec<u8>>,
    /// What could not be read when the snapshot was made.
    unread: Vec<Vec<u8>>,
}

impl Deletions {
    pub(super) fn new(ctx: &Context<'_>, snapshot: &Snapshot) -> Self {
        let nowhere = Self { roots: Vec::new(), unread: Vec::new() };
        if !ctx.options.delete {
            return nowhere;
        }
        let body = &snapshot.body;
        if body.error_count > body.errors.len() as u64 {
            let text = "nothing is deleted: more could not be read when the snapshot was made \
                        than it tells by name";
            ctx.ledger.warn(b"", text);
            return nowhere;
        }
        let plain = |path: &[u8]| path.strip_prefix(b"/").unwrap_or(path).to_vec();
        Self {
            roots: body.roots.iter().map(|root| plain(&root.0)).collect(),
            unread: body.errors.iter().map(|error| plain(&error.path.0)).collect(),
        }
    }

    /// Whether something in a folder of the snapshot may be deleted.
    pub(super) fn may_delete_in(&self, path: &[u8]) -> bool {
        self.roots.iter().any(|root| is_within(path, root))
    }

    /// Whether an entry with this path, or something in it, could not be read when the snapshot
    /// was made.
    pub(super) fn is_unread(&self, path: &[u8]) -> bool {
        self.unread.iter().any(|unread| is_within(unread, path) || is_within(path, unread))
    }

    /// Removes what is in a folder of the target and not among `names`.
    pub(super) fn clean(&self, ctx: &Context<'_>, closed: &ClosedDir, names: &Names) {
        let dir = &closed.dir;
        let path = ctx.selection.absolute(&dir.path);
        if !dir.exists || dir.is_fresh || !self.may_delete_in(&path) {
            return;
        }
        if let Err(error) = self.try_clean(ctx, closed, names) {
            ctx.local_failure("delete what does not belong in", &dir.path, error);
        }
    }

    fn try_clean(&self, ctx: &Context<'_>, closed: &ClosedDir, names: &Names) -> io::Result<()> {
        let path = &closed.dir.path;
        let dir = ctx.target.open_dir(path, OpenDir::Read)?;
        let dev = fsmeta::stat_fd(&dir)?.dev;
        // The snapshot has an empty folder where another file system was mounted.
        if names.is_empty() && !path.is_empty() && fsmeta::stat_at(&dir, b"..")?.dev != dev {
            return Ok(());
        }
        let mut extra = Vec::new();
        fsmeta::read_dir_names(&dir, &mut Vec::new(), |name, _| {
            if !names.contains(name) {
                extra.push(name.to_vec());
            }
        })?;
        if extra.is_empty() || ctx.protected.is_in_repository(&dir)? {
            return Ok(());
        }
        extra.sort_unstable();
        for name in extra {
            if ctx.is_stopped() {
                break;
            }
            let path = closed.dir.join(&name);
            let full = ctx.selection.absolute(&path);
            if self.is_unread(&full) {
                continue;
            }
            let is_dir = match fsmeta::stat_at(&dir, &name) {
                Ok(found) => found.is_dir(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if ctx.selection.includes(&full, is_dir, closed.included)
                && let Err(error) = delete_tree(ctx, &path)
            {
                ctx.local_failure("delete", &path, error);
            }
        }
        Ok(())
    }
}

/// A folder that is being emptied.
struct Frame {
    path: Vec<u8>,
    identity: Identity,
    /// What is in it and was not looked at yet.
    names: Vec<Vec<u8>>,
    /// Something in it stays, and so does it.
    stays: bool,
}

/// Removes an entry of the target and all that is in it, but for what the selection leaves out,
/// what is protected and what is in other file systems. Returns whether nothing stayed.
///
/// Depth costs neither stack nor open files: only the folder at hand is open.
///
/// # Errors
/// What the system says.
pub(super) fn delete_tree(ctx: &Context<'_>, path: &[u8]) -> io::Result<bool> {
    let (folder, name) = split_path(path);
    let top = ctx.target.open_dir(folder, OpenDir::Path)?;
    let dev = fsmeta::stat_at(&top, name)?.dev;
    let mut frames = vec![Frame {
        path: folder.to_vec(),
        identity: Identity::from(&fsmeta::stat_fd(&top)?),
        names: vec![name.to_vec()],
        stays: false,
    }];
    let mut open = top;
    while let Some(frame) = frames.last_mut() {
        if ctx.is_stopped() {
            return Ok(false);
        }
        let Some(name) = frame.names.pop() else {
            let stays = frame.stays;
            let Some(emptied) = frames.pop().filter(|_| !frames.is_empty()) else {
                return Ok(!stays);
            };
            let (_, name) = split_path(&emptied.path);
            open = fsmeta::open_dir_at(&open, b"..", OpenDir::Path)?;
            let above = Identity::from(&fsmeta::stat_fd(&open)?);
            if frames.last().is_none_or(|frame| frame.identity != above) {
                return Err(io::Error::other("somebody moved it while it was deleted"));
            }
            if !stays {
                if !ctx.options.dry_run {
                    fsmeta::remove_dir_at(&open, name)?;
                }
                ctx.ledger.entry(Outcome::Deleted, &emptied.path);
            } else if let Some(above) = frames.last_mut() {
                above.stays = true;
            }
            continue;
        };
        let path = if frame.path.is_empty() {
            name.clone()
        } else {
            [&frame.path[..], b"/", &name].concat()
        };
        let found = fsmeta::stat_at(&open, &name)?;
        let full = ctx.selection.absolute(&path);
        if ctx.selection.excludes(&full, found.is_dir()) || ctx.protected.covers(&full, &found) {
            frame.stays = true;
        } else if found.dev != dev {
            ctx.ledger.warn(&path, "another file system is mounted there: nothing is deleted");
            frame.stays = true;
        } else if found.is_dir() {
            open = fsmeta::open_dir_at(&open, &name, OpenDir::Read)?;
            let mut names = Vec::new();
            fsmeta::read_dir_names(&open, &mut Vec::new(), |name, _| names.push(name.to_vec()))?;
            names.sort_unstable_by(|a, b| b.cmp(a));
            let identity = Identity::from(&found);
            frames.push(Frame { path, identity, names, stays: false });
        } else {
            if !ctx.options.dry_run {
                remove_file(&open, &name)?;
            }
            ctx.ledger.entry(Outcome::Deleted, &path);
        }
    }
    Ok(true)
}

/// Removes an entry that is no folder, even a protected one.
///
/// # Errors
/// What the system says.
pub(super) fn remove_file(dir: impl AsFd, name: &[u8]) -> io::Result<()> {
    match fsmeta::remove_file_at(&dir, name) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // A fifo would not open, and a device must not be.
            if fsmeta::stat_at(&dir, name)?.kind != FileKind::File {
                return Err(error);
            }
            fsmeta::clear_protection(&fsmeta::open_file_at(&dir, name)?)?;
            fsmeta::remove_file_at(&dir, name)
        }
        result => result,
    }
}

/// The names in a folder, in the order of the manifest, which is that of bytes.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Names that the restore gave beside those in the snapshot.
    kept: HashSet<Box<[u8]>>,
}

impl Names {
    /// Adds the next name. Returns about how much memory that takes.
    pub(super) fn push(&mut self, name: &[u8]) -> usize {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
        name.len() + size_of::<usize>()
    }

    /// Whether a folder of the target holds nothing else.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn are_all_in(&self, dir: impl AsFd) -> io::Result<bool> {
        let mut all = true;
        fsmeta::read_dir_names(dir, &mut Vec::new(), |name, _| all &= self.contains(name))?;
        Ok(all)
    }

    /// Adds a name that is not in the snapshot and stays.
    pub(super) fn keep(&mut self, name: &[u8]) {
        self.kept.insert(name.into());
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }

    /// Whether this is one of them.
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        if self.kept.contains(name) {
            return true;
        }
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).cmp(name) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        let mut names = Names::default();
        for name in ["a", "a-b", "a.b", "b"] {
            names.push(name.as_bytes());
        }
        for name in ["a", "a-b", "a.b", "b"] {
            assert!(names.contains(name.as_bytes()), "{name}");
        }
        for name in ["", "a.", "ab", "c"] {
            assert!(!names.contains(name.as_bytes()), "{name}");
        }
        assert!(!Names::default().contains(b"a"));
    }
}
