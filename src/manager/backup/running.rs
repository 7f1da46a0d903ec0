//! A backup on a thread of its own.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;

use super::BackupManager;
use super::create::{BackupRequest, new_run};
use crate::archive::BackupReport;
use crate::error::{Error, Result};
use crate::manager::history::RunEnd;
use crate::manager::progress::{EventProgress, ProgressEvent};
use crate::model::{BackupId, BackupStatus};
use crate::runtime::{CancelToken, Progress, Runtime};

/// A backup that runs on a thread of its own. Dropping this leaves it running; it ends with the
/// process at the latest.
pub struct RunningBackup {
    id: BackupId,
    cancel: CancelToken,
    events: Receiver<ProgressEvent>,
    thread: JoinHandle<Result<BackupReport>>,
}

impl BackupManager {
    /// Starts a backup on a thread of its own. It is listed at once.
    ///
    /// The progress of the request is told, too; its cancel token is the one of the run, so a
    /// token that several requests share stops all of them.
    ///
    /// # Errors
    /// [`Error::Internal`] if the system gives no thread.
    pub fn start_backup(&self, request: &BackupRequest) -> Result<RunningBackup> {
        let (progress, events) = EventProgress::channel();
        let progress = Arc::new(progress.and(Arc::clone(&request.runtime.progress)));
        let mut request = request.clone();
        request.runtime =
            Runtime { progress: Arc::clone(&progress) as Arc<dyn Progress>, ..request.runtime };
        let random = &request.runtime.random;
        let id = *request.options.id.get_or_insert_with(|| BackupId(random.bytes()));
        let cancel = request.runtime.cancel.clone();
        let is_listed = !request.options.dry_run;
        let waiting =
            is_listed.then(|| self.remember(&new_run(id, &request, BackupStatus::Pending)));
        let manager = self.clone();
        let spawned = std::thread::Builder::new().name("backup".into()).spawn(move || {
            let result = manager.run(&request, BackupStatus::Pending);
            progress.end();
            result
        });
        match (spawned, waiting) {
            (Ok(thread), waiting) => {
                // The thread tells the rest.
                waiting.into_iter().for_each(std::mem::forget);
                Ok(RunningBackup { id, cancel, events, thread })
            }
            (Err(error), waiting) => {
                let what = format!("no thread for a backup: {error}");
                waiting.into_iter().for_each(|mut run| run.finish(&RunEnd::Failed(what.clone())));
                Err(Error::Internal { what })
            }
        }
    }
}

impl RunningBackup {
    /// Its id, and that of its snapshot.
    pub fn id(&self) -> BackupId {
        self.id
    }

    /// How it goes: events until it ends. Whoever does not read them misses the oldest; the run
    /// never waits.
    pub fn events(&self) -> &Receiver<ProgressEvent> {
        &self.events
    }

    /// Asks it to end. What it stored until then is not stored again by the next run.
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
    /// As [`BackupManager::create_backup_with`]; [`Error::Internal`] if it panicked.
    pub fn wait(self) -> Result<BackupReport> {
        let panicked = || Error::Internal { what: "a thread that backs up panicked".into() };
        self.thread.join().unwrap_or_else(|_| Err(panicked()))
    }
}
