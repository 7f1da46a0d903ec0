//! Whether the target has room for what is going to be written: found out before anything is.
//!
//! What the snapshot has in all is known at once and mostly fits. Only if it does not, the
//! manifest is walked and what is in the target already is taken off.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::options::{Overwrite, RestoreOptions, SparsePolicy};
use super::selected::Selected;
use super::selection::Selection;
use super::target::split_path;
use crate::error::{Error, Result};
use crate::fsmeta::{self, OpenDir, Space, Stat};
use crate::model::{Content, Entry, FileKind, Piece, format_bytes};
use crate::repository::{Repository, Snapshot};
use crate::runtime::CancelToken;
use crate::tree::{Manifest, Pieces};

/// Fails if the file system of `target`, or of the first folder above it that is there, has less
/// than `needed` bytes for this user.
///
/// # Errors
/// [`Error::Local`], with a reason of the kind `StorageFull` if there is too little.
pub(super) fn require(target: &Path, needed: u64) -> Result<()> {
    let available = space_of(target)?.available;
    if needed <= available {
        return Ok(());
    }
    let text = format!(
        "{} are needed and {} are free; `--no-room-check` tries it all the same",
        format_bytes(needed),
        format_bytes(available)
    );
    Err(Error::local("restore to", target, io::Error::new(io::ErrorKind::StorageFull, text)))
}

/// The space in the file system of `target`, or of the first folder above it that is there.
///
/// # Errors
/// [`Error::Local`].
pub(super) fn space_of(target: &Path) -> Result<Space> {
    let failed = |error| Error::local("look at", target, error);
    fsmeta::space(&open_existing(target).map_err(failed)?).map_err(failed)
}

/// Opens a folder, or the first one above it that is there.
///
/// # Errors
/// What the system says.
pub(super) fn open_existing(target: &Path) -> io::Result<OwnedFd> {
    let absolute = std::path::absolute(target)?;
    let root = fsmeta::open_root()?;
    let mut missing = io::Error::from(io::ErrorKind::NotFound);
    for folder in absolute.ancestors() {
        match fsmeta::open_dir_path_at(&root, folder.as_os_str().as_bytes()) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                missing = error;
            }
            result => return result,
        }
    }
    Err(missing)
}

/// The room that a restore needs, and that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that the target will take up more than now, at most.
    pub needed: u64,
    /// Bytes that its file system has for this user.
    pub available: u64,
}

/// The room that the restore needs which `options` describe. Reads the manifest of what is asked
/// for, and looks at what the target has of it.
///
/// # Errors
/// [`Error::Usage`] for options that make no sense, [`Error::Local`] if the target cannot be
/// looked at, and what reading the manifest fails with; parts of it that are lost count nothing.
pub fn room_for(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    cancel: &CancelToken,
) -> Result<Room> {
    let mut selection = Selection::new(options)?;
    let from = selection.subtree().to_vec();
    if super::find_path(repository, snapshot, &from)? != FileKind::Dir {
        selection.widen_to_parent();
    }
    let space = space_of(&options.target)?;
    let estimate = Estimate::new(repository, options, &space);
    let needed = estimate.needed(snapshot, &selection, &from, cancel)?;
    Ok(Room { needed, available: space.available })
}

/// Fails if there is no room for what a restore is going to write.
///
/// # Errors
/// As [`require`], and what reading the manifest fails with; parts of it that are lost count
/// nothing.
pub(super) fn check(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    selection: &Selection,
    from: &[u8],
    cancel: &CancelToken,
) -> Result<()> {
    let space = space_of(&options.target)?;
    let body = &snapshot.body;
    let at_most = body.bytes.saturating_add(body.entries.saturating_mul(space.block));
    if at_most <= space.available {
        return Ok(());
    }
    let estimate = Estimate::new(repository, options, &space);
    require(&options.target, estimate.needed(snapshot, selection, from, cancel)?)
}

struct Estimate<'r> {
    repository: &'r Repository,
    options: &'r RestoreOptions,
    /// Files take up whole blocks.
    block: u64,
    /// `None` if it is not there.
    target: Option<OwnedFd>,
}

impl<'r> Estimate<'r> {
    fn new(repository: &'r Repository, options: &'r RestoreOptions, space: &Space) -> Self {
        let target = open_existing(&options.target).ok().filter(|_| options.target.is_dir());
        Self { repository, options, block: space.block.max(1), target }
    }

    /// Bytes that files will take up beyond what is there now. What is removed or gets shorter
    /// does not count: the new is there before the old is gone.
    fn needed(
        &self,
        snapshot: &Snapshot,
        selection: &Selection,
        from: &[u8],
        cancel: &CancelToken,
    ) -> Result<u64> {
        let mut needed = 0_u64;
        let mut dir: Option<(Vec<u8>, Option<OwnedFd>)> = None;
        for entry in Selected::new(self.repository, &Manifest::of(snapshot), selection, from) {
            cancel.check()?;
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if super::context::is_loss(&error) => continue,
                Err(error) => return Err(error),
            };
            if entry.kind != FileKind::File || entry.link_to.is_some() {
                continue;
            }
            let Some(relative) = selection.relative(&entry.path) else { continue };
            let (folder, name) = split_path(relative);
            if dir.as_ref().is_none_or(|(path, _)| path != folder) {
                dir = Some((folder.to_vec(), self.open(folder)));
            }
            let there = dir.as_ref().and_then(|(_, fd)| fd.as_ref());
            let there = there.and_then(|fd| fsmeta::stat_at(fd, name).ok());
            needed = needed.saturating_add(self.growth(&entry, there.as_ref())?);
        }
        Ok(needed)
    }

    /// Bytes that an entry takes up more than what is under its name.
    fn growth(&self, entry: &Entry, there: Option<&Stat>) -> Result<u64> {
        let taken_up = match (self.options.overwrite, there) {
            (_, None) => 0,
            (Overwrite::Never, Some(_)) => return Ok(0),
            (Overwrite::IfNewer, Some(found)) if entry.mtime <= found.mtime => return Ok(0),
            // What stays makes no room; of the same size it is mostly the same.
            (Overwrite::KeepBoth, Some(found)) if found.size != entry.size => 0,
            (_, Some(found)) if found.kind == FileKind::File => found.blocks.saturating_mul(512),
            (_, Some(_)) => 0,
        };
        let bytes = written(self.repository, self.options.sparse, entry)?;
        let bytes = bytes.next_multiple_of(self.block);
        Ok(bytes.saturating_sub(taken_up))
    }

    fn open(&self, folder: &[u8]) -> Option<OwnedFd> {
        let target = self.target.as_ref()?;
        fsmeta::open_dir_beneath(target.as_fd(), folder, OpenDir::Path).ok()
    }
}

/// Bytes that a file takes up: those of its holes only if they are filled.
///
/// # Errors
/// What reading its list of pieces fails with; what is lost of that counts nothing.
pub(super) fn written(repository: &Repository, sparse: SparsePolicy, entry: &Entry) -> Result<u64> {
    let has_holes = match sparse {
        SparsePolicy::AsRecorded => entry.sparse,
        SparsePolicy::Always => true,
        SparsePolicy::Never => false,
    };
    // Sizes come from the manifest, and no file system has longer files.
    let size = entry.size.min(1 << 62);
    let listed = matches!(entry.content, Content::List { .. } | Content::None);
    let pieces: Vec<Piece> = match &entry.content {
        _ if !has_holes => return Ok(size),
        Content::Pieces(pieces) => pieces.clone(),
        _ if !listed => return Ok(size),
        _ => Vec::new(),
    };
    let mut bytes = 0_u64;
    let listed = listed.then(|| Pieces::new(repository, entry)).into_iter().flatten();
    for piece in pieces.into_iter().map(Ok).chain(listed) {
        match piece {
            Ok(Piece::Chunk(_, len)) => bytes += u64::from(len),
            Ok(Piece::Hole(_)) => {}
            Err(error) if super::context::is_loss(&error) => return Ok(bytes),
            Err(error) => return Err(error),
        }
    }
    Ok(bytes.min(size))
}
