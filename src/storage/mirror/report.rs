//! What became of the mirrors in a run, for whoever tells people.

use crate::model::MirrorPolicy;

/// What a run did with the mirrors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorReport {
    /// What was asked of them.
    pub policy: MirrorPolicy,
    /// Every mirror.
    pub mirrors: Vec<MirrorState>,
    /// Objects that were read from a mirror, because the repository's own copy was missing,
    /// damaged or out of reach: the first of them, each once.
    pub elsewhere: Vec<ReadElsewhere>,
    /// How many there were in all.
    pub elsewhere_count: u64,
}

impl MirrorReport {
    /// The mirrors that do not have what this run wrote.
    pub fn missed(&self) -> impl Iterator<Item = &MirrorState> {
        self.mirrors.iter().filter(|mirror| mirror.left.is_some())
    }
}

/// What became of one mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorState {
    /// What people call it.
    pub name: String,
    /// Where it is.
    pub location: String,
    /// Why it was not written to; `None` if it has all that the run wrote, or the run wrote
    /// nothing.
    pub left: Option<String>,
    /// Whether it was only left for later: it is written after the run, or lacks too much for a
    /// commit to wait for it.
    pub is_behind: bool,
    /// Whether it was left because it has snapshots that the primary knows nothing of: they are to
    /// be brought there first.
    pub is_newer: bool,
    /// Whether it has everything that the primary has. Only known after a run that wrote.
    pub is_complete: bool,
    /// Objects that it had lacked and that were copied to it.
    pub caught_up: u64,
    /// Objects that were deleted from the primary and not from it.
    pub missed_deletes: Vec<String>,
}

/// An object that was read from a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadElsewhere {
    /// The object.
    pub object: String,
    /// The name of the mirror.
    pub mirror: String,
    /// What was wrong with the copy of the primary.
    pub why: String,
}
