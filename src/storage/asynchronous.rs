//! Where the asynchronous clients of services run.
//!
//! The only file that owns an async runtime and the only one that calls `block_on`: everything
//! above is threads. One runtime serves all storages of the process and starts with the first
//! call, so a program that uses local folders alone never has it.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};

/// Threads that drive connections; the calling threads drive their own requests.
const RUNTIME_THREADS: usize = 2;

/// Waits for `work` on this thread.
///
/// # Errors
/// What keeps it from being begun, in words.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, String> {
    runtime().map(|runtime| runtime.block_on(work))
}

/// The runtime of the process.
fn runtime() -> Result<&'static Runtime, String> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    if Handle::try_current().is_ok() {
        // Waiting there would stop other tasks, and tokio panics rather than allow it.
        return Err("storage was called from an async task; call it from a thread".into());
    }
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name("storage")
            .enable_all()
            .build()
            .map_err(|error| format!("could not start the threads for it: {error}"))
    });
    runtime.as_ref().map_err(String::clone)
}
