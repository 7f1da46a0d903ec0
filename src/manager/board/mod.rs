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

#[cfg(test)]
mod tests;
