//! The files that were read last. The kernel is told that nothing needs to be opened, which saves
//! two questions for each file; so nobody says when a file is not read any more, either.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::view::{NodeId, OpenFile};

/// Files that are kept open.
const OPEN_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Files {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: HashMap<NodeId, (Arc<OpenFile>, u64)>,
    tick: u64,
}

impl Files {
    pub(super) fn get(&self, node: NodeId) -> Option<Arc<OpenFile>> {
        let mut state = self.state.lock();
        state.tick += 1;
        let tick = state.tick;
        let (file, used) = state.open.get_mut(&node)?;
        *used = tick;
        Some(Arc::clone(file))
    }

    /// Keeps a file. Returns the one that is kept, if another thread opened it at the same time.
    pub(super) fn keep(&self, node: NodeId, file: OpenFile) -> Arc<OpenFile> {
        let mut state = self.state.lock();
        if state.open.len() >= OPEN_MAX {
            state.close_oldest(node);
        }
        state.tick += 1;
        let tick = state.tick;
        let (kept, used) = state.open.entry(node).or_insert_with(|| (Arc::new(file), tick));
        *used = tick;
        Arc::clone(kept)
    }

    /// Closes the file that was used longest ago, for one that needs its room.
    pub(super) fn make_room(&self, for_node: NodeId) {
        self.state.lock().close_oldest(for_node);
    }

    pub(super) fn close(&self, node: NodeId) {
        self.state.lock().open.remove(&node);
    }
}

impl State {
    fn close_oldest(&mut self, not: NodeId) {
        let others = self.open.iter().filter(|(node, _)| **node != not);
        let oldest = others.min_by_key(|(_, (_, used))| *used).map(|(node, _)| *node);
        if let Some(oldest) = oldest {
            self.open.remove(&oldest);
        }
    }
}
