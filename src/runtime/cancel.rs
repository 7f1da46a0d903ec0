//! Asking a running operation to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::error::{Error, Result};

/// Tells an operation on other threads to stop. Checked per chunk and per storage call, so work
/// that is done stays done. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicI32>);

const RUNNING: i32 = 0;
const CANCELLED: i32 = -1;

impl CancelToken {
    /// Asks for the end.
    pub fn cancel(&self) {
        self.set(CANCELLED);
    }

    /// Asks for the end because of a signal; its number decides the exit code.
    pub fn cancel_by_signal(&self, signal: i32) {
        self.set(signal);
    }

    fn set(&self, value: i32) {
        // The first reason stays: a second Ctrl-C changes nothing.
        let _ = self.0.compare_exchange(RUNNING, value, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Whether the end was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed) != RUNNING
    }

    /// Fails with [`Error::Cancelled`] once the end was asked for.
    pub fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
            RUNNING => Ok(()),
            CANCELLED => Err(Error::Cancelled { signal: None }),
            signal => Err(Error::Cancelled { signal: Some(signal) }),
        }
    }
}
