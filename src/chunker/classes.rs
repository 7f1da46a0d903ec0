//! Which chunk sizes a file gets.
//!
//! Only the size of the file decides, never its content, name or age: unchanged content must keep
//! its cut points.

use super::table::GearTable;
use super::{Chunker, ChunkerParams, ParamsError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The parameters for files of some sizes. The repository configuration stores a list of them.
///
/// As a stored record: an array of `below` and the record of the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeClass {
    /// Files of fewer bytes than this, and not of an earlier class. `u64::MAX` in the last class.
    pub below: u64,
    /// How they are cut.
    pub params: ChunkerParams,
}

/// What a file counts as whose size is not known when its chunking starts (standard input).
const UNKNOWN_SIZE: u64 = 1 << 30;

/// The classes of a new repository, chosen by measurement (SPEC.md, "Chunk decision").
///
/// Files from 64 MiB are mostly disk images and databases: scattered small writes cost about one
/// chunk each, so chunks are small. Below, whole files change, and above 1 TiB the index counts.
pub fn default_size_classes() -> Vec<SizeClass> {
    [(64 << 20, 256 << 10), (1 << 40, 64 << 10), (u64::MAX, 256 << 10)]
        .map(|(below, avg)| SizeClass {
            below,
            params: ChunkerParams::for_average(avg).expect("a power of two inside the limits"),
        })
        .into()
}

/// One chunker per size class, over one secret table. Clones share the table.
#[derive(Clone)]
pub struct Chunkers(Vec<(u64, Chunker)>);

impl Chunkers {
    /// Makes the gear table from the repository's chunker secret, for all classes.
    ///
    /// # Errors
    /// [`ParamsError`] if a class cannot be used, the classes do not rise, or the last does not
    /// end at `u64::MAX`.
    pub fn new(secret: &[u8; 32], classes: &[SizeClass]) -> Result<Self, ParamsError> {
        let rising = classes.windows(2).all(|pair| pair[0].below < pair[1].below);
        if !rising || classes.last().is_none_or(|last| last.below != u64::MAX) {
            return Err(ParamsError::Classes);
        }
        let table = Arc::new(GearTable::derive(secret));
        classes
            .iter()
            .map(|class| Ok((class.below, Chunker::with_table(table.clone(), class.params)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The chunker for a file of `size` bytes; `None` (standard input) counts as 1 GiB.
    pub fn for_size(&self, size: Option<u64>) -> &Chunker {
        let size = size.unwrap_or(UNKNOWN_SIZE);
        let class = self.0.partition_point(|(below, _)| *below <= size);
        &self.0[class.min(self.0.len() - 1)].1
    }

    /// The longest chunk of any class, in bytes: what a reader's buffer must be able to hold.
    pub fn max_len(&self) -> usize {
        self.0.iter().map(|(_, chunker)| chunker.params().max as usize).max().unwrap_or(0)
    }
}
