//! What a check takes.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::{BackupId, parse_bytes};
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

/// Which packs a partial check reads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subset {
    /// Packs drawn at random, this many percent of the bytes (above 0, up to 100).
    Percent(f64),
    /// Part `number` of `parts`, by the packs' names: all parts together are all packs.
    Part {
        /// 1 to `parts`.
        number: u32,
        /// Into how many parts the packs are divided.
        parts: u32,
    },
    /// Packs drawn at random, this many bytes.
    Bytes(u64),
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

/// Reads `5%`, `1/7` or a size such as `2G`.
impl FromStr for Subset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not like `5%`, `1/7` or `2G`");
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
            let fits = percent > 0.0 && percent <= 100.0;
            return if fits { Ok(Self::Percent(percent)) } else { Err(wrong()) };
        }
        if let Some((number, parts)) = text.split_once('/') {
            let number = number.trim().parse().map_err(|_| wrong())?;
            let parts = parts.trim().parse().map_err(|_| wrong())?;
            let fits = (1..=parts).contains(&number);
            return if fits { Ok(Self::Part { number, parts }) } else { Err(wrong()) };
        }
        match parse_bytes(text).map_err(|_| wrong())? {
            0 => Err(wrong()),
            bytes => Ok(Self::Bytes(bytes)),
        }
    }
}
