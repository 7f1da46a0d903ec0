//! Who is told how an operation goes.

use std::path::Path;

/// What an operation is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Unlocking the repository and loading its index.
    Opening,
    /// Walking the sources and storing what is new.
    BackingUp,
    /// Writing the last packs, the index and the snapshot.
    Committing,
    /// Deciding what has to be restored.
    Planning,
    /// Writing files.
    Restoring,
    /// Setting the times of folders, and other last steps.
    Finishing,
    /// Checking records and pages.
    CheckingStructure,
    /// Checking stored bytes.
    CheckingData,
    /// Merging index objects.
    MergingIndex,
    /// Making the index name all packs.
    RepairingIndex,
    /// Copying what can be read of damaged packs.
    SalvagingPacks,
    /// Writing what is left of damaged snapshots.
    RepairingSnapshots,
    /// Packing anew what is needed of packs that are mostly unused.
    Repacking,
    /// Removing what nothing needs.
    Removing,
    /// Extending the time for which storage keeps objects.
    Retaining,
    /// Waiting for objects that cannot be read at once.
    WarmingUp,
    /// Listing two places and comparing them.
    Comparing,
    /// Copying objects from one place to another.
    Copying,
    /// Replacing what is damaged or missing.
    Healing,
}

impl Phase {
    /// All phases, in the order of their numbers.
    pub const ALL: &[Self] = &[
        Self::Opening,
        Self::BackingUp,
        Self::Committing,
        Self::Planning,
        Self::Restoring,
        Self::Finishing,
        Self::CheckingStructure,
        Self::CheckingData,
        Self::MergingIndex,
        Self::RepairingIndex,
        Self::SalvagingPacks,
        Self::RepairingSnapshots,
        Self::Repacking,
        Self::Removing,
        Self::Retaining,
        Self::WarmingUp,
        Self::Comparing,
        Self::Copying,
        Self::Healing,
    ];

    /// Its name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::BackingUp => "backing_up",
            Self::Committing => "committing",
            Self::Planning => "planning",
            Self::Restoring => "restoring",
            Self::Finishing => "finishing",
            Self::CheckingStructure => "checking_structure",
            Self::CheckingData => "checking_data",
            Self::MergingIndex => "merging_index",
            Self::RepairingIndex => "repairing_index",
            Self::SalvagingPacks => "salvaging_packs",
            Self::RepairingSnapshots => "repairing_snapshots",
            Self::Repacking => "repacking",
            Self::Removing => "removing",
            Self::Retaining => "retaining",
            Self::WarmingUp => "warming_up",
            Self::Comparing => "comparing",
            Self::Copying => "copying",
            Self::Healing => "healing",
        }
    }

    /// What people call it: `backing up`.
    pub fn text(self) -> &'static str {
        match self {
            Self::Opening => "opening the repository",
            Self::BackingUp => "backing up",
            Self::Committing => "writing the snapshot",
            Self::Planning => "planning",
            Self::Restoring => "restoring",
            Self::Finishing => "finishing",
            Self::CheckingStructure => "checking structure",
            Self::CheckingData => "checking data",
            Self::MergingIndex => "merging the index",
            Self::RepairingIndex => "repairing the index",
            Self::SalvagingPacks => "salvaging packs",
            Self::RepairingSnapshots => "repairing snapshots",
            Self::Repacking => "packing anew",
            Self::Removing => "removing",
            Self::Retaining => "extending retentions",
            Self::WarmingUp => "waiting for cold storage",
            Self::Comparing => "comparing what is there",
            Self::Copying => "copying objects",
            Self::Healing => "healing",
        }
    }
}

/// Its name.
impl serde::Serialize for Phase {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What kind of trouble an [`Issue`] tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssueKind {
    /// Not what was hoped for, but nothing is missing from the result.
    Warning,
    /// This file or folder is not (wholly) in the result: exit code 3.
    Failed,
}

/// One file or thing that did not go as it should; the operation goes on.
#[derive(Clone, Debug)]
pub struct Issue {
    /// How bad it is.
    pub kind: IssueKind,
    /// The file, raw bytes, or what else it is about; empty if it is about the whole operation.
    pub path: Vec<u8>,
    /// What happened, lower case, without the path.
    pub message: String,
}

/// Is told how an operation goes, from any thread, often: implementations must be cheap.
///
/// All methods do nothing by default.
pub trait Progress: Send + Sync {
    /// The operation enters a phase.
    fn phase(&self, _phase: Phase) {}
    /// More work was found: this many more entries and bytes. A first sum may be an estimate.
    fn expect(&self, _entries: u64, _bytes: u64) {}
    /// This is about what there will be in all, long before all of it was found.
    fn estimate(&self, _entries: u64, _bytes: u64) {}
    /// Whether an estimate is worth a second look at all sources: somebody is watching.
    fn wants_estimate(&self) -> bool {
        false
    }
    /// No more work will be found.
    fn expect_no_more(&self) {}
    /// This much of it is done.
    fn done(&self, _entries: u64, _bytes: u64) {}
    /// A file is being worked on.
    fn current(&self, _path: &Path) {}
    /// So many bytes more are ready for storage and not there yet, or so many fewer.
    fn waiting(&self, _change: i64) {}
    /// Bytes went to (or came from) storage.
    fn transferred(&self, _bytes: u64) {}
    /// Something is wrong with one file; the operation goes on.
    fn issue(&self, _issue: &Issue) {}
    /// A line for people who asked for details: `path` was `verb`ed (`added`, `restored`, ...).
    fn detail(&self, _verb: &'static str, _path: &[u8]) {}
}

/// Tells nobody.
pub struct NoProgress;

impl Progress for NoProgress {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_numbered_in_their_order() {
        let numbers = Phase::ALL.iter().map(|phase| *phase as usize);
        assert!(numbers.eq(0..Phase::ALL.len()));
    }
}
