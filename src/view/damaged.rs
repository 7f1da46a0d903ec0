//! Chunks that were found damaged: whoever reads on past damage asks for the same chunk hundreds of
//! times.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::Error;
use crate::model::ChunkId;

/// How long a damaged chunk is not read again. Not longer, as it may be healed meanwhile.
const DAMAGED_FOR: Duration = Duration::from_secs(10);
/// How many such chunks are remembered.
const DAMAGED_MAX: usize = 10_000;

/// When chunks were found damaged, and why.
#[derive(Default)]
pub(super) struct DamagedChunks(Mutex<HashMap<ChunkId, (Instant, String, String)>>);

impl DamagedChunks {
    /// Why a chunk need not be read again now.
    pub(super) fn get(&self, id: ChunkId, now: Instant) -> Option<Error> {
        let known = self.0.lock();
        let (since, object, what) = known.get(&id)?;
        let is_known = now.saturating_duration_since(*since) < DAMAGED_FOR;
        is_known.then(|| Error::damaged(object, what))
    }

    /// Remembers why a chunk could not be read, if that is damage of its bytes.
    pub(super) fn note(&self, id: ChunkId, error: &Error, now: Instant) {
        let Error::Damaged { object, what } = error else { return };
        let mut known = self.0.lock();
        if known.len() >= DAMAGED_MAX {
            known.clear();
        }
        known.insert(id, (now, object.clone(), what.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_remembered_for_a_while_and_an_outage_is_not() {
        let (chunks, now) = (DamagedChunks::default(), Instant::now());
        let [damaged, away] = [ChunkId([1; 32]), ChunkId([2; 32])];
        chunks.note(damaged, &Error::damaged("data/1", "a test"), now);
        chunks.note(away, &Error::Busy { what: "a test".into() }, now);
        let soon = now + DAMAGED_FOR / 2;
        let error = chunks.get(damaged, soon).expect("remembered");
        assert_eq!(error.to_string(), "`data/1` is damaged: a test");
        assert!(chunks.get(away, soon).is_none());
        assert!(chunks.get(damaged, now + DAMAGED_FOR).is_none(), "it may be healed by now");
    }
}
