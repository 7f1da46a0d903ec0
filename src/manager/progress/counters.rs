//! What the engine's threads write to, on every file and chunk: atomics, and one lock that is
//! taken only when somebody wants to see the current file.

use std::path::Path;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64};

use parking_lot::Mutex;

use crate::runtime::Phase;

/// A count of all the work, taken from the parent or made beside the run.
#[derive(Default)]
pub(crate) struct Estimate {
    entries: AtomicU64,
    bytes: AtomicU64,
    known: AtomicBool,
}

impl Estimate {
    /// Tells the count.
    pub(crate) fn set(&self, entries: u64, bytes: u64) {
        self.entries.store(entries, Relaxed);
        self.bytes.store(bytes, Relaxed);
        self.known.store(true, Release);
    }

    /// Fills in what the run itself does not know yet.
    fn complete(&self, reading: &mut Reading) {
        if !reading.complete && self.known.load(Acquire) {
            reading.complete = true;
            reading.expected_entries = reading.expected_entries.max(self.entries.load(Relaxed));
            reading.expected_bytes = reading.expected_bytes.max(self.bytes.load(Relaxed));
        }
    }
}

/// The state of a run as numbers.
pub(crate) struct Counters {
    phase: AtomicU8,
    expected_entries: AtomicU64,
    expected_bytes: AtomicU64,
    /// No more work will be found: the sums above are final.
    complete: AtomicBool,
    done_entries: AtomicU64,
    done_bytes: AtomicU64,
    transferred_bytes: AtomicU64,
    /// Ready for storage, and not there yet.
    waiting_bytes: AtomicI64,
    warnings: AtomicU64,
    failures: AtomicU64,
    /// Set by the display when it would like to know the current file.
    current_wanted: AtomicBool,
    current: Mutex<Vec<u8>>,
    pub(crate) estimate: Estimate,
}

/// The counters at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) phase: Option<Phase>,
    pub(crate) expected_entries: u64,
    pub(crate) expected_bytes: u64,
    pub(crate) complete: bool,
    pub(crate) done_entries: u64,
    pub(crate) done_bytes: u64,
    pub(crate) transferred_bytes: u64,
    pub(crate) waiting_bytes: u64,
    pub(crate) warnings: u64,
    pub(crate) failures: u64,
    pub(crate) current: Vec<u8>,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            phase: AtomicU8::new(0),
            expected_entries: AtomicU64::new(0),
            expected_bytes: AtomicU64::new(0),
            complete: AtomicBool::new(false),
            done_entries: AtomicU64::new(0),
            done_bytes: AtomicU64::new(0),
            transferred_bytes: AtomicU64::new(0),
            waiting_bytes: AtomicI64::new(0),
            warnings: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            current_wanted: AtomicBool::new(true),
            current: Mutex::new(Vec::new()),
            estimate: Estimate::default(),
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        // These come after other work, and are counted anew.
        if matches!(
            phase,
            Phase::CheckingData
                | Phase::Repacking
                | Phase::Removing
                | Phase::Copying
                | Phase::Healing
        ) {
            self.complete.store(false, Relaxed);
            let counters = [
                &self.expected_entries,
                &self.expected_bytes,
                &self.done_entries,
                &self.done_bytes,
            ];
            counters.iter().for_each(|counter| counter.store(0, Relaxed));
        }
        self.phase.store(phase as u8, Relaxed);
    }

    pub(crate) fn expect(&self, entries: u64, bytes: u64) {
        self.expected_entries.fetch_add(entries, Relaxed);
        self.expected_bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn expect_no_more(&self) {
        self.complete.store(true, Relaxed);
    }

    pub(crate) fn done(&self, entries: u64, bytes: u64) {
        self.done_entries.fetch_add(entries, Relaxed);
        self.done_bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn transferred(&self, bytes: u64) {
        self.transferred_bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn waiting(&self, change: i64) {
        self.waiting_bytes.fetch_add(change, Relaxed);
    }

    pub(crate) fn warned(&self) {
        self.warnings.fetch_add(1, Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// Remembers `path` if the display asked since the last time, or else does nothing.
    pub(crate) fn current(&self, path: &Path) {
        use std::os::unix::ffi::OsStrExt;
        if self.current_wanted.load(Relaxed)
            && self.current_wanted.swap(false, Relaxed)
            && let Some(mut current) = self.current.try_lock()
        {
            current.clear();
            current.extend_from_slice(path.as_os_str().as_bytes());
        }
    }

    pub(crate) fn read(&self) -> Reading {
        self.current_wanted.store(true, Relaxed);
        let mut reading = Reading {
            phase: Phase::ALL.get(usize::from(self.phase.load(Relaxed))).copied(),
            // Done is read before expected, so that it never looks larger.
            done_entries: self.done_entries.load(Relaxed),
            done_bytes: self.done_bytes.load(Relaxed),
            complete: self.complete.load(Relaxed),
            expected_entries: self.expected_entries.load(Relaxed),
            expected_bytes: self.expected_bytes.load(Relaxed),
            transferred_bytes: self.transferred_bytes.load(Relaxed),
            waiting_bytes: u64::try_from(self.waiting_bytes.load(Relaxed)).unwrap_or(0),
            warnings: self.warnings.load(Relaxed),
            failures: self.failures.load(Relaxed),
            current: self.current.lock().clone(),
        };
        self.estimate.complete(&mut reading);
        reading
    }
}
