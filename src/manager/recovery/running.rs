//! A recovery on a thread of its own.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;

use super::{RecoveryManager, RecoveryReport, RecoveryRequest};
use crate::error::{Error, Result};
use crate::manager::progress::{EventProgress, ProgressEvent};
use crate::runtime::{CancelToken, Progress, Runtime};

/// A recovery that runs on a thread of its own. Dropping this leaves it running; it ends with the
/// process at the latest.
pub struct RunningRecovery {
    cancel: CancelToken,
    events: Receiver<ProgressEvent>,
    thread: JoinHandle<Result<RecoveryReport>>,
}

impl RecoveryManager {
    /// Starts a recovery on a thread of its own. The progress of the request is told, too.
    ///
    /// # Errors
    /// [`Error::Internal`] if the system gives no thread.
    pub fn start(&self, request: &RecoveryRequest) -> Result<RunningRecovery> {
        let runtime = self.runtime_of(request);
        let (progress, events) = EventProgress::channel();
        let progress = Arc::new(progress.and(Arc::clone(&runtime.progress)));
        let cancel = runtime.cancel.clone();
        let told = Arc::clone(&progress) as Arc<dyn Progress>;
        let mut request = request.clone();
        request.runtime = Some(Runtime { progress: told, ..runtime });
        let manager = self.clone();
        let thread = std::thread::Builder::new()
            .name("recovery".into())
            .spawn(move || {
                let result = manager.restore(&request);
                progress.end();
                result
            })
            .map_err(|e| Error::Internal { what: format!("no thread for a recovery: {e}") })?;
        Ok(RunningRecovery { cancel, events, thread })
    }
}

impl RunningRecovery {
    /// How it goes: events until it ends. Whoever does not read them misses the oldest; the
    /// recovery never waits.
    pub fn events(&self) -> &Receiver<ProgressEvent> {
        &self.events
    }

    /// Asks it to end. The same request again goes on from there.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// As [`RecoveryManager::restore`]; [`Error::Internal`] if it panicked.
    pub fn wait(self) -> Result<RecoveryReport> {
        let panicked = || Error::Internal { what: "a thread that restores panicked".into() };
        self.thread.join().unwrap_or_else(|_| Err(panicked()))
    }
}
