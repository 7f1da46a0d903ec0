//! How many runs go on at the same time, over all repositories of a program.

use std::sync::Arc;

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use super::runner::Message;

/// So many runs at the same time. Clones share everything.
#[derive(Clone)]
pub struct Slots(Arc<Mutex<State>>);

struct State {
    max: usize,
    used: usize,
    /// Schedulers to be told when a place becomes free.
    waiting: Vec<Sender<Message>>,
}

/// A place that a run has. Given back when it is dropped.
pub(super) struct Slot(Slots);

impl Slots {
    /// So many, one at least.
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Mutex::new(State { max: max.max(1), used: 0, waiting: Vec::new() })))
    }

    /// How many are used now.
    pub fn used(&self) -> usize {
        self.0.lock().used
    }

    /// Takes a place. If there is none, `back` is told when there may be one.
    pub(super) fn take(&self, back: &Sender<Message>) -> Option<Slot> {
        let mut state = self.0.lock();
        if state.used < state.max {
            state.used += 1;
            return Some(Slot(self.clone()));
        }
        if !state.waiting.iter().any(|other| other.same_channel(back)) {
            state.waiting.push(back.clone());
        }
        None
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.used -= 1;
        for waiting in std::mem::take(&mut state.waiting) {
            // Who has messages looks anyway, and who is gone needs no place.
            let _ = waiting.try_send(Message::Wake);
        }
    }
}
