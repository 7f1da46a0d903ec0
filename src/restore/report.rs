//! What a restore did.

use std::ops::Range;

use serde::{Serialize, Serializer};

use crate::model::escape_bytes;

/// Counts, and what did not go as it should. Entries are files, folders, links and all else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// Entries that were not there.
    pub created: u64,
    /// Entries that were there and are another now.
    pub replaced: u64,
    /// Entries that were there with the right content. (Their owner, mode and so on are as in the
    /// snapshot now.)
    pub unchanged: u64,
    /// Entries that were removed because the snapshot does not have them.
    pub deleted: u64,
    /// Entries that were left as they are, because of the overwrite mode or because this system
    /// cannot make them.
    pub skipped: u64,
    /// Entries that were restored beside what is there, under another name. What is in a folder
    /// that was made so counts as created.
    pub kept_both: u64,
    /// In a dry run: entries that somebody has to be asked about.
    pub undecided: u64,
    /// Entries that are not, or not wholly, as in the snapshot.
    pub failed: u64,
    /// Regular files among those created, replaced and unchanged.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were written, or would be.
    pub bytes_written: u64,
    /// Entries that were read again and compared.
    pub verified: u64,
    /// What failed, in no particular order; [`FAILURES_KEPT`] at most.
    pub failures: Vec<RestoreFailure>,
    /// Owners, attributes and the like that the system did not take.
    pub unapplied: Vec<UnappliedSummary>,
}

/// Most failures that a report keeps. All are counted, and all are told to the progress.
pub const FAILURES_KEPT: usize = 100_000;

/// Something that is not, or not wholly, as in the snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreFailure {
    /// Its path in the snapshot, with `/` in front.
    #[serde(serialize_with = "as_text")]
    pub path: Vec<u8>,
    /// What happened.
    pub message: String,
    /// The bytes of the file that could not be restored. They are zeros in a file that was not
    /// there, and as they were in one that was. Empty if no part is in doubt, or the whole.
    pub lost: Vec<Range<u64>>,
}

/// One kind of metadata that the system did not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnappliedSummary {
    /// What: `owner`, `attribute user.x`, ...
    pub aspect: String,
    /// On how many entries.
    pub count: u64,
    /// One of them: its path in the snapshot, with `/` in front.
    #[serde(serialize_with = "as_text")]
    pub example: Vec<u8>,
    /// What the system said about that one.
    pub reason: String,
}

impl RestoreReport {
    /// Whether everything that was asked for is as in the snapshot. What the system did not
    /// permit ([`RestoreReport::unapplied`]) does not count.
    pub fn is_complete(&self) -> bool {
        self.failed == 0
    }
}

fn as_text<S: Serializer>(path: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&escape_bytes(path))
}
