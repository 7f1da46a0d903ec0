//! What goes on in a program that runs for days, and what went on before: jobs and events.
//!
//! | Module | Subject |
//! |---|---|
//! | `bus`, `event` | what happens, numbered, for whoever listens; the newest can be asked for again |
//! | `job` | a job as it is shown |
//! | `live` | jobs of this process: progress, cancelling |
//! | `store` | jobs of before, and their logs, in the database |
//!
//! Not here: what a job does (`schedule`, `server`), and who is told of it (`notify`).

mod bus;
mod event;
mod job;
mod live;
mod store;

pub use bus::{EventBus, Missed};
pub use event::{Event, Happening};
pub use job::{
    JobId, JobKind, JobOutcome, JobPage, JobQuery, JobStatus, JobView, LogLevel, LogLine,
};
pub use live::{Board, JobHandle, NewJob};

use jiff::Timestamp;

use crate::error::Result;
use crate::manager::history::Database;
use crate::model::RepoId;

/// The newest job of this kind on a repository that ended well or badly by itself, as
/// [`last_success`].
///
/// # Errors
/// As [`Database::with`].
pub fn last_ended(
    database: &Database,
    repository: RepoId,
    name: &str,
    kind: JobKind,
) -> Result<Option<JobView>> {
    store::Store::new(database).last_ended(repository, name, kind)
}

/// When the newest job of this kind on a repository that went well ended, whoever did it on this
/// machine. `name` is what people call the repository; it finds jobs that old programs remembered.
///
/// # Errors
/// As [`Database::with`].
pub fn last_success(
    database: &Database,
    repository: RepoId,
    name: &str,
    kind: JobKind,
) -> Result<Option<Timestamp>> {
    let ended_ms = store::Store::new(database).last_success(repository, name, kind)?;
    Ok(ended_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()))
}

#[cfg(test)]
mod tests;
