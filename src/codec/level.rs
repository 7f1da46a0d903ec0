//! How hard to compress: what people write, and what zstd gets.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use zstd::zstd_safe::CParameter;

/// Levels behind the names, chosen on real corpora (SPEC.md, "Chunk decision").
const FAST: i32 = 1;
const DEFAULT: i32 = 3;
const MAX: i32 = 12;

/// Levels that zstd has and that make sense for a backup.
const LEVELS: std::ops::RangeInclusive<i32> = 1..=22;

/// The level for what looks random: 6 GB/s there, and it still finds repeats.
pub(super) const QUICK: i32 = 1;

/// From this level on, trying in vain costs more than a look at some samples: zstd passes random
/// data at 4.6 GB/s at level 3, 2.4 at level 5, 0.8 at level 12 and 0.01 at level 19.
pub(super) const PROBE_FROM: i32 = 5;

/// Window for the largest segments, as a power of two.
const SEGMENT_WINDOW_LOG: u32 = 22;

/// How hard to compress. A client's choice for what it writes, no part of the format.
///
/// Written as `none`, `fast`, `default`, `max`, or a zstd level from 1 to 22.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Compression {
    /// Everything is stored as it is.
    None,
    /// A zstd level.
    Level(i32),
}

impl Compression {
    /// Fastest backups.
    pub const FAST: Self = Self::Level(FAST);
    /// What zstd's fast strategies give at most: level 5 costs twice the time for 3 to 8 %.
    pub const DEFAULT: Self = Self::Level(DEFAULT);
    /// Eight times slower than the default for 8 to 15 %; higher levels go by their number.
    pub const MAX: Self = Self::Level(MAX);
}

impl Default for Compression {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A text that names no compression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no compression: use none, fast, default, max or a level from 1 to 22")]
pub struct ParseCompressionError(String);

impl FromStr for Compression {
    type Err = ParseCompressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "fast" => Ok(Self::FAST),
            "default" => Ok(Self::DEFAULT),
            "max" => Ok(Self::MAX),
            _ => match text.parse() {
                Ok(level) if LEVELS.contains(&level) => Ok(Self::Level(level)),
                _ => Err(ParseCompressionError(text.into())),
            },
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::None => f.pad("none"),
            Self::FAST => f.pad("fast"),
            Self::DEFAULT => f.pad("default"),
            Self::MAX => f.pad("max"),
            Self::Level(level) => level.fmt(f),
        }
    }
}

impl TryFrom<String> for Compression {
    type Error = ParseCompressionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Compression> for String {
    fn from(compression: Compression) -> Self {
        compression.to_string()
    }
}

/// What zstd gets for a level. No checksum: the sealed unit around the frame has a tag.
///
/// The window covers a whole segment of 4 MiB where the level's own would be smaller and the tables
/// can reach that far. The trimmed short-match table of level 3 stays in the cache: 5 % faster for
/// 0.2 % more bytes.
pub(super) fn parameters(level: i32) -> Vec<CParameter> {
    let mut parameters = vec![
        CParameter::CompressionLevel(level),
        CParameter::ContentSizeFlag(true),
        CParameter::ChecksumFlag(false),
    ];
    if level >= DEFAULT {
        parameters.push(CParameter::WindowLog(SEGMENT_WINDOW_LOG));
    }
    if level == DEFAULT {
        parameters.push(CParameter::ChainLog(15));
    }
    parameters
}
