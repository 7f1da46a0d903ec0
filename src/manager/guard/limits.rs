//! What counts as far behind, as a profile may say it.

use serde::Deserialize;

/// A number from `LEAST` to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Within<const LEAST: u32, const MOST: u32>(u32);

/// A share in percent.
pub type Percent = Within<1, 100>;

impl<const LEAST: u32, const MOST: u32> Within<LEAST, MOST> {
    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }

    pub(super) fn as_f64(self) -> f64 {
        f64::from(self.0)
    }
}

/// Refuses what is outside.
impl<const LEAST: u32, const MOST: u32> TryFrom<i64> for Within<LEAST, MOST> {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        let within = u32::try_from(number).ok().filter(|number| (LEAST..=MOST).contains(number));
        within.map(Self).ok_or_else(|| format!("it has to be a number from {LEAST} to {MOST}"))
    }
}

/// When a snapshot is unlike all before it. A share has to reach its limit, and to leave behind
/// what is usual in its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct GuardLimits {
    /// Files that were there before and are gone; one that was only moved is not.
    pub files_gone_percent: Percent,
    /// Files with other content.
    pub files_changed_percent: Percent,
    /// Bytes that no snapshot had before.
    pub bytes_new_percent: Percent,
    /// New bytes that cannot be compressed.
    pub bytes_incompressible_percent: Percent,
    /// So many times what was most before is more than usual.
    pub times_usual: Within<1, 1000>,
    /// So many snapshots of a series have to be there before one is judged.
    pub least_snapshots: Within<2, 1000>,
    /// Of series with fewer files, files are not judged.
    pub least_files: u64,
    /// Less new content is not judged, bytes.
    pub least_bytes: u64,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self {
            files_gone_percent: Within(25),
            files_changed_percent: Within(50),
            bytes_new_percent: Within(50),
            bytes_incompressible_percent: Within(15),
            times_usual: Within(3),
            least_snapshots: Within(4),
            least_files: 20,
            least_bytes: 1 << 20,
        }
    }
}
