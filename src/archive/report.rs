//! What a backup run did.

use std::time::Duration;

use serde::Serialize;

use crate::model::{BackupId, BackupStrategy, MirrorPolicy};
use crate::repository::{Added, Snapshot};
use crate::storage::MirrorReport;

/// Counts of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BackupStats {
    /// Files that the parent does not have.
    pub files_new: u64,
    /// Files that differ from the parent's.
    pub files_changed: u64,
    /// Files that were not read, because nothing about them changed.
    pub files_unmodified: u64,
    /// Folders that the parent does not have.
    pub folders_new: u64,
    /// Folders that differ from the parent's.
    pub folders_changed: u64,
    /// Folders about which nothing changed.
    pub folders_unmodified: u64,
    /// Symbolic links, further names of files, devices and the like.
    pub others: u64,
    /// Bytes of all files.
    pub bytes_total: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Chunks and pages that were stored.
    pub chunks_added: u64,
    /// Their bytes before compression.
    pub bytes_added: u64,
    /// Bytes of the packs that hold them.
    pub bytes_stored: u64,
    /// What could not be read.
    pub errors: u64,
    /// What was noticed and is in the snapshot all the same.
    pub warnings: u64,
}

impl BackupStats {
    /// Takes in what was stored.
    pub(super) fn set_added(&mut self, added: &Added) {
        self.chunks_added = added.chunks;
        self.bytes_added = added.plain_bytes;
        self.bytes_stored = added.stored_bytes;
    }

    /// Adds another part of the run.
    pub(super) fn add(&mut self, other: &Self) {
        self.files_new += other.files_new;
        self.files_changed += other.files_changed;
        self.files_unmodified += other.files_unmodified;
        self.folders_new += other.folders_new;
        self.folders_changed += other.folders_changed;
        self.folders_unmodified += other.folders_unmodified;
        self.others += other.others;
        self.bytes_total += other.bytes_total;
        self.bytes_read += other.bytes_read;
        self.errors += other.errors;
        self.warnings += other.warnings;
    }
}

/// What a backup run did.
#[derive(Clone, Debug)]
pub struct BackupReport {
    /// The snapshot; `None` after a dry run.
    pub snapshot: Option<Snapshot>,
    /// Which kind it became: an incremental run without a parent is full.
    pub strategy: BackupStrategy,
    /// What it was compared with.
    pub parent: Option<BackupId>,
    /// Counts.
    pub stats: BackupStats,
    /// How long it took.
    pub duration: Duration,
    /// Packs that storage lost; what they held was stored again where the sources still have it.
    pub lost_packs: u64,
    /// Packs that an interrupted run had left.
    pub adopted_packs: u64,
    /// What became of the mirrors. One that missed the run makes the commit degraded.
    pub mirrors: MirrorReport,
}

impl BackupReport {
    /// Whether a mirror does not have the snapshot that was to have it.
    pub fn is_degraded(&self) -> bool {
        self.mirrors.policy != MirrorPolicy::Async && self.mirrors.missed().next().is_some()
    }

    /// Whether everything that was asked for is in the snapshot.
    pub fn is_complete(&self) -> bool {
        self.stats.errors == 0
    }
}
