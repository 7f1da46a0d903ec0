//! [`Scheduler`]: runs the schedules of a manager in this process.

use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};

use super::events::EventSink;
use super::retry::RetryDelays;
use super::runner::{Message, Runner};
use super::slots::Slots;
use super::work::{Work, backup_work};
use crate::error::{Error, Result};
use crate::manager::BackupManager;
use crate::model::Age;
use crate::retention::{MIN_AGE, RetentionPolicy};

/// Messages that wait for the scheduler at most.
const MESSAGES_MAX: usize = 64;

/// How a [`Scheduler`] works.
#[derive(Clone)]
pub struct SchedulerOptions {
    /// Runs of different schedules at the same time at most. Runs of one schedule never overlap.
    pub max_parallel: usize,
    /// Places that this scheduler shares with others: those of other repositories.
    pub slots: Option<Slots>,
    /// How long a failed run waits before it is tried again.
    pub retry: RetryDelays,
    /// What is kept beside what `retention_days` of a schedule keeps; nothing more by default.
    pub keep: RetentionPolicy,
    /// No backup is forgotten before storage has shown it for so long.
    pub min_age: Age,
    /// Who is told what happens.
    pub on_event: Option<EventSink>,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        Self {
            max_parallel: 2,
            slots: None,
            retry: RetryDelays::default(),
            keep: RetentionPolicy::default(),
            min_age: MIN_AGE,
            on_event: None,
        }
    }
}

/// Runs the schedules of a [`BackupManager`] on threads of this process, until it is stopped or
/// dropped.
///
/// What it knows is stored with the schedules, so a new one in the same or another process goes on
/// where the last one stopped: runs that were missed are made up for once, runs that were broken
/// off are made again, failed ones are tried again at their time. Several may run at once, in
/// several processes, too: each run is made by one of them.
pub struct Scheduler {
    manager: BackupManager,
    messages: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Scheduler {
    /// Starts to make the backups that the schedules want.
    ///
    /// # Errors
    /// [`Error::Internal`] if the system gives no thread. Whatever goes wrong later is told to
    /// [`SchedulerOptions::on_event`], and runs go on.
    pub fn start(manager: &BackupManager, options: SchedulerOptions) -> Result<Self> {
        let work = backup_work(manager, &options.keep, options.min_age);
        Self::start_with(manager, options, work)
    }

    /// As [`Scheduler::start`], but what a run does is `work`.
    ///
    /// # Errors
    /// As [`Scheduler::start`].
    pub fn start_with(
        manager: &BackupManager,
        options: SchedulerOptions,
        work: Work,
    ) -> Result<Self> {
        let (messages, inbox) = bounded(MESSAGES_MAX);
        let runner = Runner::new(manager.clone(), options, work, inbox, messages.clone());
        let thread = std::thread::Builder::new()
            .name("scheduler".into())
            .spawn(move || runner.run())
            .map_err(|error| Error::Internal { what: format!("no thread: {error}") })?;
        Ok(Self { manager: manager.clone(), messages, thread: Some(thread) })
    }

    /// Whose schedules it runs.
    pub fn manager(&self) -> &BackupManager {
        &self.manager
    }

    /// Looks at the clock and the schedules now. It does so every few seconds anyway; this is for
    /// whoever changed something and does not want to wait.
    pub fn wake(&self) {
        // If there are messages it looks at them, and then at the schedules.
        let _ = self.messages.try_send(Message::Wake);
    }

    /// Asks the run of a schedule to end, if one goes on. It counts as failed and is not tried
    /// again; the next regular run is made.
    pub fn cancel_run(&self, schedule_id: &str) {
        let _ = self.messages.send(Message::CancelRun(schedule_id.into()));
    }

    /// Ends at once: runs that go on are cancelled and shown as failed, and the next scheduler
    /// makes them again. Returns when they have ended.
    pub fn stop(mut self) {
        self.end(true);
    }

    /// Starts nothing more, and returns when the runs that go on have ended.
    pub fn finish(mut self) {
        self.end(false);
    }

    fn end(&mut self, cancel_runs: bool) {
        let Some(thread) = self.thread.take() else { return };
        // It may have ended already, by a panic: nothing to stop then.
        let _ = self.messages.send(Message::Stop { cancel_runs });
        let _ = thread.join();
    }
}

/// As [`Scheduler::stop`].
impl Drop for Scheduler {
    fn drop(&mut self) {
        self.end(true);
    }
}
