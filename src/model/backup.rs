//! The public record of one backup run, and statistics over all of them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BackupId, BackupStrategy, ObjectHash};

/// One run of a backup: completed, going on, or failed. A completed run has exactly one snapshot,
/// with the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct Backup {
    /// Its id, and that of its snapshot.
    pub backup_id: BackupId,
    /// When the run started.
    pub timestamp: Timestamp,
    /// Which kind it is; of a run that is not completed, which kind it was to become.
    pub backup_type: BackupStrategy,
    /// Templates (files) in the snapshot; 0 while there is none.
    pub template_count: u64,
    /// Bytes of these files.
    pub total_size: u64,
    /// Bytes that the run added to the repository, compressed and sealed. What earlier backups had
    /// stored is not stored again, so this is small even for large snapshots.
    pub compressed_size: u64,
    /// How the repository seals what it stores.
    pub encryption: Encryption,
    /// BLAKE3 of the stored snapshot record, in hex: `b3sum` of the object
    /// [`Backup::object_name`] prints the same. The record names the root of the manifest by its
    /// hash, that names all pages, and these name all chunks, so it vouches for every byte. `None`
    /// while there is no snapshot.
    pub checksum: Option<ObjectHash>,
    /// The snapshot that decided what had to be read.
    pub parent_backup_id: Option<BackupId>,
    /// How far it is.
    pub status: BackupStatus,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When the run ended, or `None` while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// The stored object whose hash is [`Backup::checksum`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_name: Option<String>,
    /// The host whose files they are.
    #[serde(default)]
    pub host: String,
    /// What was backed up: absolute paths, escaped where they are no text.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<String>,
    /// A text.
    #[serde(default)]
    pub description: String,
    /// Files that could not be read and are not in the snapshot.
    #[serde(default)]
    pub errors: u64,
    /// Whether no rule forgets it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub pinned: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// How far a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum BackupStatus {
    /// It waits for its turn.
    Pending,
    /// It is running.
    InProgress,
    /// Its snapshot is committed.
    Completed,
    /// It ended without a snapshot.
    Failed,
}

impl BackupStatus {
    /// The name used in JSON, in tables and in the history.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

impl BackupStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pending, Self::InProgress, Self::Completed, Self::Failed];
}

/// Its name.
impl std::fmt::Display for BackupStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Reads its name.
impl std::str::FromStr for BackupStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is not pending, in_progress, completed or failed"))
    }
}

/// How a repository seals what it stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// Not at all: whoever reads the storage reads the files.
    None,
    /// AES-256-GCM-SIV.
    Aes256,
}

/// Statistics over the backups of a repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct BackupStats {
    /// Completed backups that are there.
    pub total_backups: u64,
    /// Bytes of the files of all of them, as if each was restored by itself.
    pub total_size: u64,
    /// When the oldest was made; `None` if there is none.
    pub oldest_backup: Option<Timestamp>,
    /// When the newest was made; `None` if there is none.
    pub newest_backup: Option<Timestamp>,
    /// How long a completed run took on average, milliseconds.
    pub avg_backup_duration_ms: u64,
    /// Completed runs among all that ended, as far as the history of this machine and the
    /// snapshots tell: 0 to 1. 1 if there were none.
    pub success_rate: f64,
    /// Runs that failed, as far as the history of this machine knows.
    #[serde(default)]
    pub failed_backups: u64,
    /// Bytes that storage holds for all of them: deduplicated, compressed, sealed.
    #[serde(default)]
    pub stored_size: u64,
}
