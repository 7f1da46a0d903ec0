//! Threads for work that waits for storage: async tasks must not.

use std::thread;

use crossbeam_channel::Sender;
use tokio::sync::oneshot;

use crate::error::{Error, Result};

type Job = Box<dyn FnOnce() + Send>;

/// A number of threads that do what tasks hand to them.
pub(super) struct Threads(Sender<Job>);

impl Threads {
    /// Starts `count` threads. They end when this is dropped and their work is done.
    ///
    /// # Errors
    /// [`Error::Local`] if the system gives no threads.
    pub(super) fn start(count: usize) -> Result<Self> {
        let (jobs, queue) = crossbeam_channel::unbounded::<Job>();
        for _ in 0..count {
            let queue = queue.clone();
            let work = move || queue.iter().for_each(|job| job());
            let thread = thread::Builder::new().name("answers".into()).spawn(work);
            thread.map_err(|error| Error::local("start", "a thread for answers", error))?;
        }
        Ok(Self(jobs))
    }

    /// Runs `work` on one of the threads; `None` if it did not come to its end.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = oneshot::channel();
        // Nobody may wait any more: the client went away.
        let job = Box::new(move || _ = done.send(work()));
        self.0.send(job).ok()?;
        result.await.ok()
    }

    /// Runs `work` on one of the threads; nobody waits for it.
    #[cfg(feature = "serve")]
    pub(super) fn send(&self, work: impl FnOnce() + Send + 'static) {
        // The threads end with this, so they take it.
        let _ = self.0.send(Box::new(work));
    }
}
