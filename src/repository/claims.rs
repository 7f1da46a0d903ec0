//! What one run is about to store: the first worker that meets a new chunk stores it, the others
//! need not.
//!
//! Claims belong to a run. Those of a run that failed, or of a dry run, say nothing to the next.

use std::collections::HashSet;

use parking_lot::Mutex;

use super::Index;

const SHARDS: usize = 64;

/// The claims of one run, shared by its threads.
#[derive(Debug)]
pub struct Claims(Vec<Mutex<HashSet<[u8; 32]>>>);

impl Default for Claims {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }
}

impl Claims {
    /// Says that the caller is about to store an id. `false`: no need to, it is in the index, or
    /// another thread of the run is about to.
    pub fn claim(&self, index: &Index, id: &[u8; 32]) -> bool {
        // Known chunks are the common case of a later backup: look there first, without a lock.
        index.find(id).is_none() && self.shard(id).lock().insert(*id)
    }

    /// Whether an id need not be stored.
    pub fn contains(&self, index: &Index, id: &[u8; 32]) -> bool {
        index.find(id).is_some() || self.shard(id).lock().contains(id)
    }

    /// Forgets ids that are in the index now: so memory does not grow with the run.
    pub(super) fn forget<'i>(&self, ids: impl Iterator<Item = &'i [u8; 32]>) {
        for id in ids {
            self.shard(id).lock().remove(id);
        }
    }

    fn shard(&self, id: &[u8; 32]) -> &Mutex<HashSet<[u8; 32]>> {
        &self.0[usize::from(id[1]) % SHARDS]
    }
}
