//! A snapshot seen from recovery.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::BackupId;

/// Most template ids that a [`RecoveryPoint`] lists itself.
pub const TEMPLATE_IDS_MAX: usize = 1_000;

/// A state that files can be brought back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub struct RecoveryPoint {
    /// The time of that state: when the backup started.
    pub timestamp: Timestamp,
    /// The backup that has it.
    pub backup_id: BackupId,
    /// The first templates (files) by path, escaped where they are no text;
    /// [`TEMPLATE_IDS_MAX`] at most.
    pub template_ids: Vec<String>,
    /// What the snapshot says about itself, or which sources it has.
    pub description: String,
    /// Whether all that it needs is there, as far as known without reading it: it is not in
    /// quarantine, not suspect, and its manifest can be opened.
    pub is_available: bool,
    /// Whether there are more templates than [`RecoveryPoint::template_ids`] lists.
    #[serde(default)]
    pub truncated: bool,
    /// How many templates there are.
    #[serde(default)]
    pub template_count: u64,
    /// Bytes of all templates.
    #[serde(default)]
    pub total_size: u64,
    /// The host whose files they are.
    #[serde(default)]
    pub host: String,
    /// What was backed up.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<String>,
}
