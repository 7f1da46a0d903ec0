//! How much a repository takes up, for `statfs`.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::View;

/// How long the sums hold: they are over all packs.
const HOLDS_FOR: Duration = Duration::from_secs(60);

/// What a repository takes up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes of all packs, as stored.
    pub bytes: u64,
    /// How many snapshots are shown.
    pub snapshots: u64,
}

/// The space that was found last.
#[derive(Default)]
pub(super) struct SpaceMemory(Mutex<Option<(Instant, u64)>>);

impl SpaceMemory {
    pub(super) fn get(&self, view: &View) -> Space {
        let snapshots = match &view.snapshots {
            Some(snapshots) => snapshots.get().all.len() as u64,
            None => 1,
        };
        let mut known = self.0.lock();
        let bytes = match *known {
            Some((since, bytes)) if since.elapsed() < HOLDS_FOR => bytes,
            _ => {
                let packs = view.repository.index().packs();
                let bytes = packs.iter().map(|(_, pack)| pack.len).fold(0, u64::saturating_add);
                *known = Some((Instant::now(), bytes));
                bytes
            }
        };
        Space { bytes, snapshots }
    }
}
