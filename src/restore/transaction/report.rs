//! What an in-place restore would do, did, or left to be undone.

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::error::Error;
use crate::model::escape_bytes;
use crate::restore::UnappliedSummary;

/// What becomes of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is not there: it is made, a folder with all that is in it.
    Create,
    /// It is there with another content or kind: the snapshot's takes its place.
    Replace,
    /// Only owner, mode, times, attributes or flags change.
    Describe,
    /// The snapshot does not have it: it is removed, a folder with all that is in it.
    Delete,
}

impl Change {
    /// The word for it in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Describe => "describe",
            Self::Delete => "delete",
        }
    }

    /// The word for it when it is done.
    pub(super) fn done(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Replace => "replaced",
            Self::Describe => "described",
            Self::Delete => "deleted",
        }
    }
}

/// One action of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InPlaceAction {
    /// What is done.
    pub change: Change,
    /// To which path, with `/` in front: the path in the snapshot.
    #[serde(serialize_with = "as_text")]
    pub path: Vec<u8>,
}

/// Sums of a plan, and of what was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InPlaceCounts {
    /// Entries that are not there.
    pub created: u64,
    /// Entries that are there and become another.
    pub replaced: u64,
    /// Entries of which only owner, mode, times, attributes or flags change.
    pub described: u64,
    /// Entries that are as in the snapshot already.
    pub unchanged: u64,
    /// Entries that the snapshot does not have; those in a removed folder are not counted.
    pub deleted: u64,
    /// Entries that stay as they are because of the overwrite mode, or because nothing may be
    /// changed there.
    pub skipped: u64,
    /// Regular files among those created and replaced.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl InPlaceCounts {
    /// Whether nothing has to be done.
    pub fn is_nothing(&self) -> bool {
        self.created + self.replaced + self.described + self.deleted == 0
    }
}

/// What an in-place restore did, or in a dry run would have done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InPlaceReport {
    /// What became of the entries.
    #[serde(flatten)]
    pub counts: InPlaceCounts,
    /// Bytes that were written to the staging folders.
    pub bytes_written: u64,
    /// Entries that were read again and compared.
    pub verified: u64,
    /// Unfinished restores that were rolled back, or cleaned up after, before this one began.
    pub rolled_back: u64,
    /// Owners, attributes and the like that the system did not take.
    pub unapplied: Vec<UnappliedSummary>,
    /// Staging folders that could not be removed; the next start tries again.
    pub left_behind: Vec<PathBuf>,
}

/// How far an in-place restore came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InPlaceState {
    /// It has changed nothing yet: its staging folders are removed.
    Staging,
    /// It was exchanging entries: they are changed back.
    Switching,
    /// Everything is as in the snapshot: what was set aside is removed.
    Committed,
}

/// An in-place restore that did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unfinished {
    /// Its number: the end of the names of its staging folders.
    pub id: String,
    /// The folder that stood for the root of the snapshot's paths.
    pub target: PathBuf,
    /// Its staging folders, that with the journal first.
    pub folders: Vec<PathBuf>,
    /// How far it came.
    pub state: InPlaceState,
    /// Whether its process is still at work: then nothing is to be done about it.
    pub is_running: bool,
}

/// What a rollback did, or in a dry run would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RollbackReport {
    /// The restores that were unfinished.
    pub unfinished: Vec<Unfinished>,
    /// Entries that have their old place or metadata again.
    pub undone: u64,
    /// What could not be brought back because something else took its place meanwhile.
    pub conflicts: Vec<RollbackConflict>,
    /// What has the name of a staging folder, and was left alone: it is not ours (another user
    /// has to roll it back).
    pub left_alone: Vec<PathBuf>,
    /// What is ours and was left as it is, because something is missing that would say what to do.
    /// The tree may be half exchanged there: this is an error.
    pub undecided: Vec<Undecided>,
}

/// An in-place restore that can neither be rolled back nor cleaned up after as things are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Undecided {
    /// Its number: the end of the names of its staging folders.
    pub id: String,
    /// A folder that it has to do with.
    pub folder: PathBuf,
    /// What is missing, and what to do.
    pub what: String,
}

impl From<Undecided> for Error {
    fn from(undecided: Undecided) -> Self {
        let Undecided { folder, what, .. } = undecided;
        Self::RollbackFailed { what, folder, source: None }
    }
}

/// Something that a rollback could not bring back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RollbackConflict {
    /// Its path in the tree.
    pub path: PathBuf,
    /// Where it is now; `None` if it is gone.
    pub kept_at: Option<PathBuf>,
}

fn as_text<S: Serializer>(path: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&escape_bytes(path))
}
