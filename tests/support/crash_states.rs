//! What a crash can leave of a run whose writes were recorded.

use std::collections::BTreeSet;

use larder::storage::MemoryStorage;
use larder::storage::record::{Write, apply};

/// One state that a crash can leave: which writes are there, and how many bytes of the last.
pub(crate) struct CrashState {
    pub(crate) done: Vec<usize>,
    pub(crate) torn: Option<(usize, usize)>,
}

/// Every state that a crash can leave: for each moment all writes that had ended, and any of those
/// that were under way, the last of them whole or torn.
pub(crate) fn crash_states(writes: &[Write]) -> Vec<CrashState> {
    let moments: BTreeSet<u64> =
        writes.iter().flat_map(|w| [w.started, w.finished]).flat_map(|t| [t, t + 1]).collect();
    let mut seen = BTreeSet::new();
    for moment in moments {
        let numbers = 0..writes.len();
        let ended: Vec<usize> = numbers.clone().filter(|n| writes[*n].finished < moment).collect();
        let under_way: Vec<usize> = numbers
            .filter(|n| writes[*n].started < moment && writes[*n].finished >= moment)
            .collect();
        for subset in 0..1u32 << under_way.len() {
            let mut done = ended.clone();
            let chosen = under_way.iter().enumerate().filter(|(bit, _)| subset & (1 << bit) != 0);
            done.extend(chosen.map(|(_, n)| *n));
            done.sort_unstable();
            seen.insert(done);
        }
    }
    let mut states = Vec::new();
    for done in seen {
        if let Some(last) = done.last().copied()
            && let Some(bytes) = &writes[last].bytes
        {
            for keep in [0, bytes.len() / 2, bytes.len() - 1] {
                states.push(CrashState { done: done.clone(), torn: Some((last, keep)) });
            }
        }
        states.push(CrashState { done, torn: None });
    }
    states
}

impl CrashState {
    pub(crate) fn apply(&self, writes: &[Write], storage: &MemoryStorage) {
        for n in &self.done {
            apply(&writes[*n], storage);
            if let Some((torn, keep)) = self.torn
                && torn == *n
            {
                storage.damage(&writes[*n].name, |bytes| bytes.truncate(keep));
            }
        }
    }

    pub(crate) fn describe(&self, writes: &[Write]) -> String {
        let names: Vec<_> = self.done.iter().map(|n| writes[*n].name.as_str()).collect();
        format!("after {names:?}, torn {:?}", self.torn.map(|(_, keep)| keep))
    }
}
