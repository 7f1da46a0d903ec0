//! How many threads, how many questions at once, how much the kernel reads ahead.

use std::path::Path;
use std::time::Duration;

/// Storage that takes more calls at once than this is one where calls wait for a network.
const LOCAL_CALLS: usize = 4;
/// A kernel's question is refused after this long: whoever asked must not hang for ever.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the kernel reads ahead of a program that reads in order, where it may be changed. Its
/// questions are as long as that, up to 1 MiB.
const READ_AHEAD_KIB: u32 = 1024;

/// How a session is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuning {
    /// Questions of read-ahead that the kernel asks at once.
    pub(super) max_background: u16,
    /// Threads that answer: those of read-ahead leave some for others.
    pub(super) threads: usize,
    /// How long a question may have no answer.
    pub(super) patience: Duration,
    /// The kernel is told that nothing needs to be opened.
    pub(super) opens_nothing: bool,
}

impl Tuning {
    /// For storage that takes so many calls at once.
    pub(super) fn for_storage(calls: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let (background, others) = match calls > LOCAL_CALLS {
            true => (32, 16),
            false => (2 * cores.clamp(2, 8), 8),
        };
        Self {
            max_background: background as u16,
            // Elsewhere the library knows sessions of one thread only.
            threads: if cfg!(target_os = "linux") { background + others } else { 1 },
            patience: PATIENCE,
            opens_nothing: cfg!(target_os = "linux"),
        }
    }
}

/// Has the kernel read ahead in longer steps. Only root may ask for that, and without it all works.
#[cfg(target_os = "linux")]
pub(super) fn read_farther_ahead(folder: &Path) {
    use rustix::fs::{major, minor, stat};
    let Ok(found) = stat(folder) else { return };
    let (major, minor) = (major(found.st_dev), minor(found.st_dev));
    let setting = format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb");
    if let Err(error) = std::fs::write(&setting, READ_AHEAD_KIB.to_string()) {
        tracing::debug!("`{setting}` stays as it is: {error}");
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn read_farther_ahead(_folder: &Path) {
    let _ = READ_AHEAD_KIB;
}
