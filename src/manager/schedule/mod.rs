//! Backups that repeat.
//!
//! | Module | Subject |
//! |---|---|
//! | `timing`, `calendar`, `spread` | when: intervals, cron expressions, time zones; how late on which machine |
//! | `check` | what makes no sense is refused |
//! | `decide` | what to start now, and when to look again: a pure function over plain data |
//! | `store`, `alive` | where schedules live, and who works on which |
//! | `retry` | which failures are tried again |
//! | `work`, `keep` | what a run does: a backup, and then what the schedule keeps |
//! | `scheduler`, `runner`, `slots` | the thread that does all this, and how many runs go on at once |
//!
//! A schedule belongs to this machine and one repository. A run that starts is claimed in the
//! database in one statement, so that of several schedulers one makes it, and a run that was broken
//! off with its process is known as such by the mark it left.
//!
//! Not here: the methods of [`BackupManager`](super::BackupManager) that make and change schedules
//! (`manager/backup/schedules.rs`).

mod alive;
mod calendar;
mod check;
mod decide;
mod events;
mod keep;
mod retry;
mod runner;
mod scheduler;
mod slots;
mod spread;
mod store;
mod timing;
mod work;

pub use calendar::{Calendar, timing_of};
pub use check::{check_job, check_schedule, parse_bandwidth};
pub use decide::{Decision, LastRun, Running, ScheduleState, Start, due, regular_ms};
pub use events::{EventSink, ScheduleEvent};
pub use keep::{forget_old, schedule_tag};
pub use retry::{RetryDelays, is_worth_retrying};
pub use scheduler::{Scheduler, SchedulerOptions};
pub use slots::Slots;
pub use spread::{SPREAD_MINUTES_MAX, late_ms};
pub use timing::{INTERVAL_HOURS_MAX, Timing};
pub use work::{Assignment, Done, Work};

pub(crate) use spread::own_machine;
pub(crate) use store::Store;
pub(crate) use work::check_encryption;
