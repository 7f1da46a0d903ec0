//! Orphans: packs in storage that no index object names. Their own directories tell what is in
//! them, so an interrupted run is gone on with, and a lost index is made again.

use super::{Findings, Repository};
use crate::error::{Error, Result};
use crate::format::index::DeltaPack;
use crate::format::pack::PackType;
use crate::model::ObjectHash;
use crate::runtime::Runtime;
use crate::storage::in_parallel;

/// A pack as a listing shows it.
pub(super) type ListedPack = (ObjectHash, u64, PackType);

/// Directories that are read at once.
const READ_PACKS: usize = 64;
/// Packs and chunks that are named at once, about: bounds memory.
const NAMED_PACKS: usize = 1024;
const NAMED_CHUNKS: usize = 1 << 20;

/// What to do with orphans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Adopt {
    /// They are named in deltas.
    Yes,
    /// They are looked into, and nothing is written.
    LookOnly,
}

impl Repository {
    /// Takes orphans into the index: reads their directories and names them in deltas. A pack
    /// whose end does not open is left alone.
    pub(super) fn adopt(
        &self,
        orphans: &[ListedPack],
        adopt: Adopt,
        findings: &mut Findings,
        runtime: &Runtime,
    ) -> Result<()> {
        let mut packs: Vec<DeltaPack> = Vec::new();
        let mut chunks = 0;
        for part in orphans.chunks(READ_PACKS) {
            runtime.cancel.check()?;
            let read = in_parallel(&*self.storage, part, |(hash, len, pack_type)| {
                self.pack_directory(*hash, *len, *pack_type)
            });
            for ((hash, len, _), directory) in part.iter().zip(read) {
                match directory {
                    Ok(directory) => {
                        findings.adopted_packs += 1;
                        findings.adopted_bytes += len;
                        chunks += directory.lengths.len();
                        packs.push(DeltaPack { pack: *hash, len: *len, directory });
                    }
                    Err(error) if error.is_damage() => findings.bad.push(error),
                    // Gone since it was listed, or unreadable: nothing depends on it.
                    Err(Error::Storage(error)) => findings.bad.push(error.into()),
                    Err(error) => return Err(error),
                }
            }
            if adopt == Adopt::LookOnly {
                packs.clear();
            } else if packs.len() >= NAMED_PACKS || chunks >= NAMED_CHUNKS {
                self.name_packs(std::mem::take(&mut packs))?;
                chunks = 0;
            }
        }
        self.name_packs(packs)
    }
}
