//! Which packs a restore reads: for storage where they have to be asked for first.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::files::Part;
use super::options::RestoreOptions;
use super::plan::Planner;
use super::rehearse::{Rehearsal, nowhere};
use super::window::Window;
use super::worker::SmallTask;
use crate::error::Result;
use crate::format::pack::PackType;
use crate::model::Piece;
use crate::repository::{Repository, Snapshot};
use crate::runtime::Runtime;

/// A pack of data: its name in storage, and its length.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NeededPack {
    /// The object.
    pub name: String,
    /// Its bytes in storage.
    pub len: u64,
}

/// The packs of data that the restore that `options` describe reads, into an empty folder; sorted
/// by name. Reads all pages that it would read, and no data.
///
/// # Errors
/// As [`restore`](super::restore()), but for all about the target.
pub fn needed_packs(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    runtime: &Runtime,
) -> Result<Vec<NeededPack>> {
    let found = Arc::new(Mutex::new(BTreeMap::new()));
    let (options, runtime) = nowhere(options, runtime);
    let rehearsal = Rehearsal::Packs(Arc::clone(&found));
    super::start(repository, snapshot, &options, Some(rehearsal), &runtime)?;
    let found = std::mem::take(&mut *found.lock());
    Ok(found.into_iter().map(|(name, len)| NeededPack { name, len }).collect())
}

/// All packs of data that the index names.
///
/// # Errors
/// Storage's.
pub fn all_packs(repository: &Repository) -> Result<Vec<NeededPack>> {
    for error in repository.load_index()? {
        tracing::warn!("part of the index is lost: {error}");
    }
    let packs = repository.index().packs().into_iter();
    let mut all: Vec<NeededPack> = packs
        .filter(|(_, info)| info.pack_type == PackType::Data)
        .map(|(_, info)| NeededPack { name: info.object_name(), len: info.len })
        .collect();
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

impl Planner<'_, '_> {
    /// In place of reading and writing the parts of a window, notes the packs that have them.
    pub(super) fn note_packs(&mut self, window: &mut Window, found: &Mutex<BTreeMap<String, u64>>) {
        let index = self.ctx.repository.index();
        for Part { file, piece, .. } in std::mem::take(&mut window.parts) {
            if let Piece::Chunk(id, _) = piece
                && let Some(place) = index.find(&id.0)
            {
                let pack = index.pack(place.pack);
                if pack.pack_type == PackType::Data {
                    found.lock().entry(pack.object_name()).or_insert(pack.len);
                }
            }
            self.ctx.ledger.bytes_done(piece.len());
            self.release(&file);
        }
        for task in std::mem::take(&mut window.small) {
            match task {
                SmallTask::Bytes(file, bytes) => {
                    self.ctx.ledger.bytes_done(bytes.len() as u64);
                    self.release(&file);
                }
                other => window.small.push(other),
            }
        }
    }
}
