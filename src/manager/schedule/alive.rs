//! Which scheduler a run belongs to, and whether that one still works on it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::manager::history::{Presence, ProcessMark};

/// The schedulers of this process.
static ALIVE: Mutex<Option<HashSet<u64>>> = Mutex::new(None);

/// No number is given twice.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Names a scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    process: ProcessMark,
    /// Which one of this process.
    number: u64,
}

/// A scheduler says so often that it is there, in milliseconds.
pub(super) const RENEW_EVERY_MS: u64 = 60_000;

/// Whoever was not heard of for so long is gone, if it cannot be told otherwise.
const SILENT_MAX_MS: u64 = 10 * RENEW_EVERY_MS;

/// Keeps the mark of a scheduler alive.
pub(super) struct Life {
    mark: Mark,
    /// The same as it is stored.
    text: String,
}

impl Life {
    /// A new mark.
    pub(super) fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        ALIVE.lock().get_or_insert_default().insert(number);
        let mark = Mark { process: ProcessMark::own(), number };
        let text = serde_json::to_string(&mark).expect("plain data");
        Self { mark, text }
    }

    /// The mark, as it is stored.
    pub(super) fn mark(&self) -> &str {
        &self.text
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(alive) = ALIVE.lock().as_mut() {
            alive.remove(&self.mark.number);
        }
    }
}

/// Whether the scheduler of a mark may still work on what it took. Of one of another machine or
/// container that cannot be told: it may as long as it is heard of. `silent_ms` is how long it was
/// not, or how far ahead its clock was.
pub(super) fn is_alive(mark: &Mark, silent_ms: u64) -> bool {
    match mark.process.presence() {
        Presence::Gone => false,
        Presence::Unknown => silent_ms <= SILENT_MAX_MS,
        Presence::Here if mark.process == ProcessMark::own() => {
            ALIVE.lock().as_ref().is_some_and(|alive| alive.contains(&mark.number))
        }
        Presence::Here => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_lives_as_long_as_its_scheduler() {
        let (first, second) = (Life::new(), Life::new());
        assert_ne!(first.mark(), second.mark());
        let mark: Mark = serde_json::from_str(first.mark()).expect("as it was stored");
        assert!(is_alive(&mark, 0) && is_alive(&second.mark, u64::MAX));
        drop(first);
        assert!(!is_alive(&mark, 0) && is_alive(&second.mark, u64::MAX));
    }
}
