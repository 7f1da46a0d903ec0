//! What this machine remembers of its runs: an SQLite file in the state folder.
//!
//! A cache beside the repository's truth. A completed backup is a snapshot of the repository; what
//! only this file knows is which runs failed, were broken off, go on or wait. Losing it loses that
//! and nothing else, and so no trouble with it ends a backup: a file that is damaged is set aside
//! and made anew, one that cannot be used is done without, both with a warning.
//!
//! Schedules are stored in the same file: [`Database`] hands out its connection.

mod beside;
mod database;
mod migrations;
mod process;
mod runs;
mod setup;

pub(crate) use beside::Beside;
pub use database::Database;
pub(crate) use process::INTERRUPTED;
pub use process::{Presence, ProcessMark};
pub use runs::{NewRun, Run, RunEnd, RunHistory, RunQuery, RunStats};

#[cfg(test)]
mod tests;
