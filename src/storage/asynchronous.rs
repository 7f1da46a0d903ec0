//! Where the asynchronous clients of services run.
//!
//! The only file that owns an async runtime and the only one that calls `block_on`: everything
//! above is threads. One runtime serves all storages of the process and starts with the first
//! call, so a program that uses local folders alone never has it.
//!
//! A cancelled run does not wait for a service that says nothing: what a thread waits for inside
//! of [`Waits::during`](super::waiting::Waits::during) ends soon after the cancellation.

use std::future::Future;
use std::pin::pin;
use std::sync::OnceLock;

use futures_util::future::{Either, select};
use tokio::runtime::{Builder, Handle, Runtime};

use super::waiting;
use crate::error::StorageErrorKind;

/// Threads that drive connections; the calling threads drive their own requests.
const RUNTIME_THREADS: usize = 2;

/// Why nothing came of a wait.
#[derive(Debug)]
pub(super) struct NotDone {
    pub(super) kind: StorageErrorKind,
    pub(super) what: &'static str,
}

/// Waits for `work` on this thread.
///
/// # Errors
/// What keeps it from being begun, in words, or that the run was cancelled meanwhile.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, NotDone> {
    let runtime = runtime().map_err(|what| NotDone { kind: StorageErrorKind::Permanent, what })?;
    runtime.block_on(async {
        match select(pin!(work), pin!(waiting::over())).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(_) => {
                let what = "the run was cancelled while this waited for an answer";
                Err(NotDone { kind: StorageErrorKind::Temporary, what })
            }
        }
    })
}

/// The runtime of the process.
fn runtime() -> Result<&'static Runtime, &'static str> {
    static RUNTIME: OnceLock<Result<Runtime, String>> = OnceLock::new();
    if Handle::try_current().is_ok() {
        // Waiting there would stop other tasks, and tokio panics rather than allow it.
        return Err("storage was called from an async task; call it from a thread");
    }
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name("storage")
            .enable_all()
            .build()
            .map_err(|error| format!("could not start the threads for it: {error}"))
    });
    runtime.as_ref().map_err(String::as_str)
}
