//! What a prune is asked, and what it says.

use std::path::PathBuf;

use serde::Serialize;

use crate::model::{BackupId, SessionId, rfc3339};
use crate::repository::Author;

/// Milliseconds of an hour.
pub(super) const HOUR_MS: i64 = 3_600_000;
/// Data of snapshots forgotten less than this ago is kept, if nothing else is said.
pub const GRACE_DEFAULT_MS: i64 = 7 * 24 * HOUR_MS;
/// Ids of living chunks that are held in memory; more go to temporary files.
const LIVING_IN_MEMORY: usize = 16 << 20;

/// How much of what is stored may be unused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxUnused {
    /// Of the bytes of all packs.
    Percent(f64),
    /// In all.
    Bytes(u64),
}

impl MaxUnused {
    /// The same in bytes, for packs of `used` bytes that live.
    pub(super) fn bytes(self, used: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            // p = unused / (used + unused)
            Self::Percent(percent) if percent >= 100.0 => u64::MAX,
            Self::Percent(percent) => (percent / (100.0 - percent) * used as f64) as u64,
        }
    }

    /// Whether nothing may be unused.
    pub(super) fn is_none(self) -> bool {
        match self {
            Self::Percent(percent) => percent <= 0.0,
            Self::Bytes(bytes) => bytes == 0,
        }
    }
}

/// How a prune works.
#[derive(Clone, Debug)]
pub struct PruneOptions {
    /// Who prunes.
    pub author: Author,
    /// Data of snapshots forgotten less than this ago is kept. 0 does everything at once, while no
    /// session is open.
    pub grace_ms: i64,
    /// Packs are packed anew until no more than this is unused.
    pub max_unused: MaxUnused,
    /// At most so many bytes are packed anew in one run, but one pack if there is reason to.
    pub max_repack: Option<u64>,
    /// Bytes of a new pack; `None` takes the repository's.
    pub pack_target: Option<u64>,
    /// Packs anew what is sealed with keys that are not current any more.
    pub reseal_old_epochs: bool,
    /// Goes on though records are missing from the log: somebody has looked at it.
    pub accept_history: bool,
    /// Goes on though another prune seems to be at work: it may do its work twice.
    pub ignore_lease: bool,
    /// Packs anew also packs of data in storage that cannot be read at once.
    pub repack_cold: bool,
    /// Whether a plan names the files that would be lost for good.
    pub list_lost: bool,
    /// Where temporary files go that large repositories need.
    pub temporary: PathBuf,
    /// Ids of living chunks held in memory.
    pub living_in_memory: usize,
}

impl PruneOptions {
    /// What the command line does without options.
    pub fn new(author: Author) -> Self {
        Self {
            author,
            grace_ms: GRACE_DEFAULT_MS,
            max_unused: MaxUnused::Percent(5.0),
            max_repack: None,
            pack_target: None,
            reseal_old_epochs: false,
            accept_history: false,
            ignore_lease: false,
            repack_cold: false,
            list_lost: true,
            temporary: std::env::temp_dir(),
            living_in_memory: LIVING_IN_MEMORY,
        }
    }

    /// Whether everything is done at once.
    pub(super) fn is_immediate(&self) -> bool {
        self.grace_ms <= 0
    }
}

/// A number of packs and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many.
    pub packs: u64,
    /// Their bytes in storage.
    pub bytes: u64,
}

impl Tally {
    /// Counts one pack more.
    pub fn add(&mut self, bytes: u64) {
        self.packs += 1;
        self.bytes += bytes;
    }
}

/// What a prune waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// The session; `None` if only time has to pass.
    pub session: Option<SessionId>,
    /// What for, in words: `snapshot on laptop (process 4711)`.
    pub what: String,
    /// Since when the session is open, or since when time passes; by storage's clock.
    #[serde(rename = "since", serialize_with = "rfc3339")]
    pub since_ms: Option<i64>,
    /// When this waiting ends, if it is known.
    #[serde(rename = "until", serialize_with = "rfc3339")]
    pub until_ms: Option<i64>,
}

/// A file that no living snapshot has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostFile {
    /// The forgotten snapshot that has it: the newest of them.
    pub snapshot: BackupId,
    /// Its path, from `/`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

/// Files whose content is in no living snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LostFiles {
    /// How many, each path and content once.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// They, up to a million.
    pub files: Vec<LostFile>,
}

/// What a prune would do, or did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PrunePlan {
    /// Packs that stay as they are.
    pub keep: Tally,
    /// Packs of which nothing is needed.
    pub delete: Tally,
    /// Packs of which the rest is packed anew.
    pub repack: Tally,
    /// What is packed anew, as it will be stored.
    pub written: Tally,
    /// Whether `written` is what a run writes to the byte: then so is `freed_bytes`.
    pub exact: bool,
    /// Bytes of packs that storage has less afterwards.
    pub freed_bytes: i64,
    /// Packs that nothing needs and that are left alone: too young, or of an open session.
    pub young: Tally,
    /// Packs that earlier prunes condemned and that still wait.
    pub condemned: Tally,
    /// Bytes in packs that stay and are not needed, about.
    pub unused_bytes: u64,
    /// Forgotten snapshots whose data goes.
    pub snapshots: Vec<BackupId>,
    /// What cannot be had back once it is done.
    pub lost: LostFiles,
    /// What has to happen before packs are deleted.
    pub waits: Vec<Wait>,
    /// When the earliest run can finish what is condemned, milliseconds since 1970 by storage's
    /// clock; `None` if there is nothing to finish, or nobody knows.
    #[serde(rename = "finish", serialize_with = "rfc3339")]
    pub finish_ms: Option<i64>,
    /// What people should know of.
    pub warnings: Vec<String>,
}

/// Until when storage keeps what it refuses to delete, milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Retained {
    /// When the first of it can be deleted.
    pub first_ms: i64,
    /// When the last of it can.
    pub last_ms: i64,
}

/// What a prune did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PruneReport {
    /// What it decided.
    pub plan: PrunePlan,
    /// Packs that were deleted.
    pub deleted: Tally,
    /// Packs that storage refused to delete: nothing uses them.
    pub retained: Tally,
    /// Until when storage keeps those, as far as it says.
    pub retained_until: Option<Retained>,
    /// Records and other small objects that storage refused to delete: the first of each kind, as
    /// the others are not tried then.
    pub retained_others: u64,
    /// Whether storage keeps what it deleted as old versions: they take room until a rule of the
    /// service's own removes them.
    pub keeps_versions: bool,
    /// Condemned packs that were kept after all: something needs them again.
    pub rescued: Tally,
    /// Packs that were written.
    pub written: Tally,
    /// Packs that are condemned now and wait.
    pub condemned: Tally,
    /// Log records that were deleted.
    pub records: u64,
    /// Other objects that were deleted: old sessions, fences, drop lists, ...
    pub others: u64,
}
