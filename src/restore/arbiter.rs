//! Decides what becomes of an entry whose name is taken: by the overwrite mode, by comparing, or
//! by asking. Every way of restoring decides here.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use super::beside::Besides;
use super::conflict::{Asker, Conflict, ConflictSide, Resolution};
use super::context::is_loss;
use super::existing::{Verdict, is_right, judge};
use super::nodes::{find, is_same_node};
use super::options::{Overwrite, RestoreOptions};
use crate::error::{Error, Result};
use crate::fsmeta::{self, Stat};
use crate::model::{Content, Entry, FileKind, Piece, Time};
use crate::repository::{Repository, Snapshot};
use crate::runtime::CancelToken;
use crate::tree::{Manifest, Pieces};

/// Where an entry goes, and what becomes of what is there.
#[derive(Clone, Debug)]
pub(super) struct Placement {
    pub(super) verdict: Verdict,
    /// What is under the name that it gets.
    pub(super) found: Option<Stat>,
    /// The name that it gets because its own is taken by something that stays.
    pub(super) beside: Option<Box<[u8]>>,
    /// Nobody was there to ask, as in a dry run: the verdict is to leave what is there.
    pub(super) is_undecided: bool,
}

impl Placement {
    /// Its name is free.
    pub(super) fn free() -> Self {
        Self { verdict: Verdict::Free, found: None, beside: None, is_undecided: false }
    }

    fn here(verdict: Verdict, found: &Stat) -> Self {
        Self { verdict, found: Some(*found), beside: None, is_undecided: false }
    }
}

/// Why nothing could be decided.
#[derive(Debug)]
pub(super) enum Trouble {
    /// About this entry alone.
    Local(io::Error),
    /// It ends the restore.
    End(Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Local(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::End(error)
    }
}

/// Decides for one restore.
pub(super) struct Arbiter<'r> {
    repository: &'r Repository,
    manifest: Manifest,
    overwrite: Overwrite,
    ask: Option<&'r Asker>,
    cancel: &'r CancelToken,
    besides: Besides,
}

/// Names that are tried for something that is restored beside: more copies nobody wants.
const NUMBERS_MAX: u32 = 1_000;

impl<'r> Arbiter<'r> {
    /// For a restore of `snapshot`.
    ///
    /// # Errors
    /// [`Error::Usage`] if somebody has to be asked and nobody is there, but in a dry run.
    pub(super) fn new(
        repository: &'r Repository,
        snapshot: &Snapshot,
        options: &'r RestoreOptions,
        cancel: &'r CancelToken,
    ) -> Result<Self> {
        let ask = options.ask.as_ref();
        if options.overwrite == Overwrite::Ask && ask.is_none() && !options.dry_run {
            return Err(Error::usage_hint(
                "conflicts cannot be asked about: nobody is there to answer",
                "choose another overwrite mode, such as keep-both",
            ));
        }
        Ok(Self {
            repository,
            manifest: Manifest::of(snapshot),
            overwrite: options.overwrite,
            ask,
            cancel,
            besides: Besides::new(snapshot.time_ms()),
        })
    }

    /// Whether what is there has to be compared before anything else is done, and the answers come
    /// in the order of the manifest.
    pub(super) fn compares_first(&self) -> bool {
        matches!(self.overwrite, Overwrite::KeepBoth | Overwrite::Ask)
    }

    /// Decides about an entry that is no folder, with the content that it shall have (a hard link
    /// with that of the first of its group). `found` is what `name` in `dir` is.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(super) fn decide(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
        found: &Stat,
    ) -> Result<Placement, Trouble> {
        if !self.compares_first() {
            return Ok(Placement::here(judge(self.overwrite, entry, found), found));
        }
        if self.is_equal(dir, name, entry, found)? {
            return Ok(Placement::here(settled(entry, found), found));
        }
        Ok(match self.resolve(&entry.path, side_of(entry), found)? {
            None => Placement { is_undecided: true, ..Placement::here(Verdict::Leave, found) },
            Some(Resolution::Skip) => Placement::here(Verdict::Leave, found),
            Some(Resolution::Overwrite) => {
                // Other names of it may come later, and must look as they do now.
                let shared = found.nlink > 1;
                let verdict = if shared { Verdict::Replace } else { judge_always(entry, found) };
                Placement::here(verdict, found)
            }
            Some(Resolution::KeepBoth) => {
                self.place_beside(dir, name, &entry.path, false, |name, found| {
                    Ok(self.is_equal(dir, name, entry, found)?.then(|| settled(entry, found)))
                })?
            }
        })
    }

    /// Decides about a folder with this path and time in the snapshot, where `found` is no folder.
    /// A verdict of [`Verdict::Same`] means that the folder is there.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(super) fn decide_dir(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        mtime: Option<Time>,
        found: &Stat,
    ) -> Result<Placement, Trouble> {
        let verdict = match self.overwrite {
            Overwrite::Never => Verdict::Leave,
            Overwrite::IfNewer if mtime.is_none_or(|mtime| mtime <= found.mtime) => Verdict::Leave,
            Overwrite::IfNewer | Overwrite::Always | Overwrite::IfChanged => Verdict::Replace,
            Overwrite::KeepBoth | Overwrite::Ask => {
                let mtime = mtime.unwrap_or_default();
                let stored = ConflictSide { kind: FileKind::Dir, size: 0, mtime };
                match self.resolve(path, stored, found)? {
                    None => {
                        let here = Placement::here(Verdict::Leave, found);
                        return Ok(Placement { is_undecided: true, ..here });
                    }
                    Some(Resolution::Skip) => Verdict::Leave,
                    Some(Resolution::Overwrite) => Verdict::Replace,
                    Some(Resolution::KeepBoth) => {
                        return self.place_beside(dir, name, path, true, |_, found| {
                            Ok(found.is_dir().then_some(Verdict::Same))
                        });
                    }
                }
            }
        };
        Ok(Placement::here(verdict, found))
    }

    /// What a person says; `None` if nobody can be asked.
    fn resolve(
        &self,
        path: &[u8],
        stored: ConflictSide,
        found: &Stat,
    ) -> Result<Option<Resolution>, Trouble> {
        if self.overwrite == Overwrite::KeepBoth {
            return Ok(Some(Resolution::KeepBoth));
        }
        let Some(asker) = self.ask else { return Ok(None) };
        let size = if found.kind == FileKind::File { found.size } else { 0 };
        let found = ConflictSide { kind: found.kind, size, mtime: found.mtime };
        Ok(Some(asker.ask(&Conflict { path: path.to_vec(), found, stored })?))
    }

    /// The first name that is free, or has already what is wanted: `is_it` says what becomes of
    /// that then. Names that the snapshot has in this folder are not taken away from it.
    fn place_beside(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        is_dir: bool,
        is_it: impl Fn(&[u8], &Stat) -> Result<Option<Verdict>, Trouble>,
    ) -> Result<Placement, Trouble> {
        let folder = &path[..path.len().saturating_sub(name.len())];
        for number in 1..=NUMBERS_MAX {
            let beside = self.besides.name(name, is_dir, number);
            let found = find(dir, &beside)?;
            let verdict = match &found {
                None => Some(Verdict::Free),
                Some(found) => is_it(&beside, found)?,
            };
            let Some(verdict) = verdict else { continue };
            if self.has(&[folder, &beside].concat())? {
                continue;
            }
            let beside = Some(beside.into_boxed_slice());
            return Ok(Placement { verdict, found, beside, is_undecided: false });
        }
        Err(io::Error::other("there are too many restored copies beside it already").into())
    }

    /// Whether the snapshot has something there. What is lost is not there.
    fn has(&self, path: &[u8]) -> Result<bool> {
        match self.manifest.find(self.repository, path) {
            Err(error) if is_loss(&error) => Ok(false),
            result => Ok(result?.is_some()),
        }
    }

    /// Whether what is there has the kind and the content of the entry. What cannot be read, here
    /// or in the repository, does not.
    fn is_equal(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
        found: &Stat,
    ) -> Result<bool> {
        if entry.kind != found.kind {
            return Ok(false);
        }
        if entry.kind != FileKind::File {
            return Ok(is_same_node(dir, name, entry, found).unwrap_or(false));
        }
        if entry.size != found.size {
            return Ok(false);
        }
        self.has_content(dir, name, entry)
    }

    fn has_content(&self, dir: impl AsFd, name: &[u8], entry: &Entry) -> Result<bool> {
        let Ok(file) = fsmeta::open_file_at(dir, name) else { return Ok(false) };
        let mut buffer = Vec::new();
        let mut is_piece = |at: u64, piece: Piece| -> Result<bool> {
            self.cancel.check()?;
            Ok(is_right(self.repository, &file, at, &piece, &mut buffer).unwrap_or(false))
        };
        let mut at = 0_u64;
        match &entry.content {
            Content::Inline(bytes) => {
                let mut found = vec![0; bytes.len()];
                Ok(file.read_exact_at(&mut found, 0).is_ok() && found == *bytes)
            }
            Content::Pieces(pieces) => {
                for piece in pieces {
                    if !is_piece(at, *piece)? {
                        return Ok(false);
                    }
                    at = at.saturating_add(piece.len());
                }
                Ok(true)
            }
            Content::None | Content::List { .. } => {
                for piece in Pieces::new(self.repository, entry) {
                    let piece = match piece {
                        Ok(piece) => piece,
                        Err(error) if is_loss(&error) => return Ok(false),
                        Err(error) => return Err(error),
                    };
                    if !is_piece(at, piece)? {
                        return Ok(false);
                    }
                    at = at.saturating_add(piece.len());
                }
                Ok(true)
            }
        }
    }
}

/// The verdict for something with the right content.
fn settled(entry: &Entry, found: &Stat) -> Verdict {
    match judge_always(entry, found) {
        Verdict::Replace => Verdict::Replace,
        _ => Verdict::Same,
    }
}

fn judge_always(entry: &Entry, found: &Stat) -> Verdict {
    judge(Overwrite::Always, entry, found)
}

fn side_of(entry: &Entry) -> ConflictSide {
    ConflictSide { kind: entry.kind, size: entry.size, mtime: entry.mtime }
}
