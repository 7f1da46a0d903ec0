//! What a check takes.

use serde::{Deserialize, Serialize};

use crate::model::{BackupId, Subset};
use crate::repository::HeadCode;

/// How one check behaves. `Default` is what the command line does with no flags.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckOptions {
    /// How much of the stored data is read.
    pub read_data: ReadData,
    /// Only the manifests (and data) of these snapshots; `None` checks all.
    pub snapshots: Option<Vec<BackupId>>,
    /// A head code from paper: the record that it stands for, and all that it knows, must be there.
    pub expect_head: Option<HeadCode>,
    /// Most findings that are listed; the others are counted.
    pub findings_max: usize,
    /// Most files that are listed; the others are counted.
    pub files_max: usize,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            read_data: ReadData::None,
            snapshots: None,
            expect_head: None,
            findings_max: 1000,
            files_max: 1000,
        }
    }
}

/// How much of the stored data is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadData {
    /// None: structure only.
    #[default]
    None,
    /// Every pack.
    All,
    /// Some packs.
    Subset(Subset),
}

impl ReadData {
    /// What to pick, `None` if nothing is read.
    pub(super) fn subset(self) -> Option<Subset> {
        match self {
            Self::None => None,
            Self::All => Some(Subset::Part { number: 1, parts: 1 }),
            Self::Subset(subset) => Some(subset),
        }
    }
}
