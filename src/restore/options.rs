//! What a restore takes, as plain data.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::conflict::Asker;

/// How one restore behaves. `Default` is what the command line does with no flags, but for the
/// target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestoreOptions {
    /// The folder to restore into; made if it is missing. Symbolic links on the way to it are
    /// followed, those in it never.
    pub target: PathBuf,
    /// A path in the snapshot, raw bytes: the contents of this folder go straight into the target
    /// (a file goes there under its name). `None` makes all paths of the snapshot again below the
    /// target.
    pub subtree: Option<Vec<u8>>,
    /// Restore only what fits one of these patterns, or lies in a folder that does. Patterns are
    /// those of [`WalkOptions::exclude`](crate::source::WalkOptions::exclude), for paths in the
    /// snapshot. With `iinclude` both empty: everything.
    pub include: Vec<String>,
    /// The same, upper and lower case being equal.
    pub iinclude: Vec<String>,
    /// Leave out what fits one of these patterns.
    pub exclude: Vec<String>,
    /// The same, upper and lower case being equal.
    pub iexclude: Vec<String>,
    /// Restore only the entries with these paths in the snapshot, raw bytes, and what is in them,
    /// beside what the patterns to include choose.
    pub paths: Vec<Vec<u8>>,
    /// What happens to what is there already.
    pub overwrite: Overwrite,
    /// Who decides about conflicts, for [`Overwrite::Ask`]. In a dry run it may be `None`: then
    /// conflicts are counted and nothing is decided.
    #[serde(skip)]
    pub ask: Option<Asker>,
    /// Remove what is in restored folders and not in the snapshot.
    /// What the patterns of the backup left out stays, and so does the repository; where only one
    /// file is restored, all stays.
    pub delete: bool,
    /// Change nothing; say what would be done.
    pub dry_run: bool,
    /// Read everything again afterwards and compare it with the snapshot.
    pub verify: bool,
    /// Start even if the target seems to have too little room, as where files are compressed.
    pub ignore_room: bool,
    /// What becomes of zeros.
    pub sparse: SparsePolicy,
    /// Who owns what is restored.
    pub owner: OwnerPolicy,
    /// Threads that write files; `None` picks.
    pub threads: Option<NonZeroUsize>,
}

/// What happens to files that are there already. Folders are never in doubt: what is missing in
/// them is made. What is neither in the way nor in the snapshot stays
/// (but see [`RestoreOptions::delete`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overwrite {
    /// They become what the snapshot says. Their content is read and compared, and only the parts
    /// that differ are written.
    #[default]
    Always,
    /// The same, but a file with the size and modification time of the snapshot's is taken for
    /// equal unread.
    IfChanged,
    /// Only those that were modified before the snapshot's.
    ///
    /// In this mode and in the next, no file has its name before it is complete: what an
    /// interrupted restore leaves would be kept by the next one.
    IfNewer,
    /// None: only what is missing is restored.
    Never,
    /// What is there stays, and where that is not the same as in the snapshot the snapshot's is
    /// restored beside it, as `name (restored from 2026-11-01 12.00.03).ext`: the time is that of
    /// the snapshot, in UTC. The same restore run again makes no further copies.
    KeepBoth,
    /// Somebody is asked about each [`Conflict`](super::Conflict): see [`RestoreOptions::ask`].
    Ask,
}

/// What becomes of long runs of zeros in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SparsePolicy {
    /// Holes in files that had holes, space set aside in others.
    #[default]
    AsRecorded,
    /// Holes wherever the snapshot knows of zeros.
    Always,
    /// Space is set aside in all files.
    Never,
}

/// Who owns what is restored. Without root, only what the system permits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerPolicy {
    /// The user and group of the recorded name, or of the recorded number if this machine does
    /// not know the name.
    #[default]
    ByName,
    /// The recorded numbers.
    Numeric,
    /// Whoever restores.
    Skip,
}
