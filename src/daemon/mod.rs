//! A program that runs for days: it looks after repositories, runs their schedules and answers
//! over HTTP.
//!
//! | Module | Subject |
//! |---|---|
//! | `settings` | how it works, as a profile says it |
//! | `watch` | opens a repository as soon as it can be, and runs its schedules |
//! | `run` | from the start to the end of the process |
//! | `priority` | giving way to other programs |
//! | `supervisor` | what the system's service manager hears |
//!
//! What goes on is in the [`board`](crate::manager::board). Not here: what a job does
//! (`manager`), what is answered (`server`), and where the settings and secrets come from (`cli`).

mod priority;
mod run;
mod settings;
mod supervisor;
mod watch;

pub use priority::lower_priority;
pub use run::{Daemon, DaemonOptions};
pub use settings::ServeSettings;
