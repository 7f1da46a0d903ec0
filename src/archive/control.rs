//! What the threads of a run share to stop together, and to keep step.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};

/// Jobs that may be under way between the emitter and the collector.
const WINDOW: u64 = 512;

/// Stops all threads of a run, and keeps the emitter from running too far ahead of the collector.
#[derive(Default)]
pub(super) struct Control {
    stopped: AtomicBool,
    over: AtomicBool,
    failure: Mutex<Option<Error>>,
    collected: Mutex<u64>,
    moved: Condvar,
}

impl Control {
    /// Ends the run; the first reason counts.
    pub(super) fn stop(&self, error: Error) {
        self.failure.lock().get_or_insert(error);
        self.stopped.store(true, Ordering::SeqCst);
        // With the lock held once, nobody is between looking at the flag and waiting.
        drop(self.collected.lock());
        self.moved.notify_all();
    }

    /// Held by a thread while it works for the run.
    pub(super) fn stop_on_panic(&self) -> PanicGuard<'_> {
        PanicGuard(self)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Everything was collected.
    pub(super) fn finish(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether everything was collected.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Fails if the run was stopped, with the first reason. Asked once, by the collector.
    pub(super) fn check(&self) -> Result<()> {
        if !self.is_stopped() {
            return Ok(());
        }
        Err(self.failure.lock().take().unwrap_or(Error::Cancelled { signal: None }))
    }

    /// All jobs below `next` are in the manifest.
    pub(super) fn collected(&self, next: u64) {
        *self.collected.lock() = next;
        self.moved.notify_all();
    }

    /// Waits until job `seq` is not too far ahead.
    pub(super) fn wait_for_window(&self, seq: u64) {
        let mut collected = self.collected.lock();
        while seq >= *collected + WINDOW && !self.is_stopped() {
            self.moved.wait(&mut collected);
        }
    }
}

/// Stops the run if its thread panics: the others would wait for it for ever.
pub(super) struct PanicGuard<'c>(&'c Control);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop(Error::Internal { what: "a thread of the backup panicked".into() });
        }
    }
}
