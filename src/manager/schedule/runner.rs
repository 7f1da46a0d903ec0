//! The thread that starts what is due.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::alive::{Life, RENEW_EVERY_MS};
use super::decide::{Decision, ScheduleState, Start, due};
use super::events::ScheduleEvent;
use super::retry::is_worth_retrying;
use super::scheduler::SchedulerOptions;
use super::slots::Slot;
use super::store::{Ended, Store};
use super::work::{Assignment, Done, Work};
use crate::error::{Error, Result};
use crate::manager::BackupManager;
use crate::runtime::CancelToken;

/// The schedules are looked at so often at least: others change them, and clocks are set.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is said of a run whose process ended without a word.
const BROKEN_OFF: &str = "interrupted: its process ended before it did";

pub(super) enum Message {
    /// Look at clock and schedules.
    Wake,
    /// A run ended.
    Ended { schedule_id: String, attempt: u32, result: Result<Done> },
    /// Let this run end.
    CancelRun(String),
    /// Start nothing more, and end with the last run.
    Stop { cancel_runs: bool },
}

/// A run that goes on.
struct Run {
    state: ScheduleState,
    cancel: CancelToken,
    /// Its place among the runs of all repositories.
    _slot: Option<Slot>,
}

/// An end that could not be stored yet.
struct Unsaved {
    schedule_id: String,
    attempt: u32,
    mark: String,
    ended: Ended,
}

pub(super) struct Runner {
    pub(super) manager: BackupManager,
    pub(super) options: SchedulerOptions,
    pub(super) work: Work,
    pub(super) messages: Receiver<Message>,
    /// For the threads of runs.
    pub(super) back: Sender<Message>,
    pub(super) life: Life,
    running: HashMap<String, Run>,
    unsaved: Vec<Unsaved>,
    /// What people were told last, so that they are told once.
    told: HashMap<Option<String>, String>,
    is_stopping: bool,
    /// When it last said that its runs go on, milliseconds since 1970.
    renewed_ms: i64,
}

impl Runner {
    pub(super) fn new(
        manager: BackupManager,
        options: SchedulerOptions,
        work: Work,
        messages: Receiver<Message>,
        back: Sender<Message>,
    ) -> Self {
        Self {
            manager,
            options,
            work,
            messages,
            back,
            life: Life::new(),
            running: HashMap::new(),
            unsaved: Vec::new(),
            told: HashMap::new(),
            is_stopping: false,
            renewed_ms: 0,
        }
    }

    /// Works until it is stopped.
    pub(super) fn run(mut self) {
        if let Err(error) = self.store().refresh_mirror(self.now_ms()) {
            self.warn(None, error.in_full());
        }
        loop {
            self.save_again();
            self.renew();
            let wait = if self.is_stopping { LOOK_EVERY } else { self.look() };
            if self.is_stopping && self.running.is_empty() {
                return;
            }
            match self.messages.recv_timeout(wait) {
                Ok(Message::Wake) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Ended { schedule_id, attempt, result }) => {
                    self.ended(schedule_id, attempt, result);
                }
                Ok(Message::CancelRun(schedule_id)) => {
                    if let Some(run) = self.running.get(&schedule_id) {
                        run.cancel.cancel();
                    }
                }
                Ok(Message::Stop { cancel_runs }) => self.stop(cancel_runs),
                Err(RecvTimeoutError::Disconnected) => self.stop(true),
            }
        }
    }

    fn stop(&mut self, cancel_runs: bool) {
        self.is_stopping = true;
        if cancel_runs {
            self.running.values().for_each(|run| run.cancel.cancel());
        }
    }

    fn store(&self) -> Store<'_> {
        Store::new(self.manager.database(), self.manager.repository().id())
    }

    fn now_ms(&self) -> i64 {
        self.manager.options().runtime.clock.now_ms()
    }

    /// Says that what runs here goes on.
    fn renew(&mut self) {
        let now_ms = self.now_ms();
        if self.running.is_empty() || now_ms.abs_diff(self.renewed_ms) < RENEW_EVERY_MS {
            return;
        }
        match self.store().renew(self.life.mark(), now_ms) {
            Ok(()) => self.renewed_ms = now_ms,
            Err(error) => self.warn(None, error.in_full()),
        }
    }

    /// Starts what is due, and returns how long there is nothing to do.
    fn look(&mut self) -> Duration {
        let now_ms = self.now_ms();
        let states = match self.store().all(now_ms) {
            Ok(states) => states,
            Err(error) => {
                self.warn(None, format!("schedules cannot be read: {}", error.in_full()));
                return LOOK_EVERY;
            }
        };
        for warning in self.manager.database().take_warnings() {
            self.warn(None, warning);
        }
        let decision = due(&states, now_ms);
        self.put_right(&decision, &states, now_ms);
        let state_of = |id: &str| states.iter().find(|state| state.schedule.schedule_id == id);
        for start in &decision.start {
            if self.running.len() >= self.options.max_parallel.max(1) {
                break;
            }
            if let Some(state) = state_of(&start.schedule_id) {
                self.start(state, start, now_ms);
            }
        }
        let wake_ms = decision.wake_ms.map_or(i64::MAX, |wake_ms| wake_ms.saturating_sub(now_ms));
        Duration::from_millis(wake_ms.max(1).unsigned_abs()).min(LOOK_EVERY)
    }

    /// What the decision found that is not as it should be.
    fn put_right(&mut self, decision: &Decision, states: &[ScheduleState], now_ms: i64) {
        for (id, error) in &decision.wrong {
            self.warn(Some(id), format!("it cannot run as it is: {}", error.in_full()));
        }
        for id in &decision.ahead {
            let settled = self.store().settle(id, now_ms);
            self.warn(Some(id), "the clock was set back".into());
            self.warn_of(Some(id), settled);
        }
        let mut is_changed = !decision.ahead.is_empty();
        for id in &decision.broken_off {
            let state = states.iter().find(|state| state.schedule.schedule_id == *id);
            let Some((state, run)) = state.and_then(|s| Some((s, s.running.as_ref()?))) else {
                continue;
            };
            if self.running.contains_key(id) && run.mark == self.life.mark() {
                // It could not say for a while that it is there.
                continue;
            }
            is_changed = true;
            let attempt = state.failed_attempts.saturating_add(1);
            // Whoever was broken off by a restart of the machine did not fail: there is one more
            // attempt, even for a schedule without repetitions.
            let may_retry = attempt <= state.schedule.max_retries.max(1);
            let ended =
                Ended::Failed { error: BROKEN_OFF.into(), retry_ms: may_retry.then_some(now_ms) };
            self.tell_failed(id, attempt, &ended);
            self.save(id.clone(), attempt, run.mark.clone(), ended);
        }
        if is_changed {
            // What follows from it is for the next look.
            let _ = self.back.try_send(Message::Wake);
        }
    }

    fn start(&mut self, state: &ScheduleState, start: &Start, now_ms: i64) {
        let id = &start.schedule_id;
        if self.running.contains_key(id) {
            return;
        }
        let slot = match &self.options.slots {
            None => None,
            Some(slots) => match slots.take(&self.back) {
                Some(slot) => Some(slot),
                None => return,
            },
        };
        match self.store().claim(state, start, self.life.mark(), now_ms) {
            Ok(true) => {}
            // Somebody else was faster, or it was changed just now.
            Ok(false) => return,
            Err(error) => return self.warn(Some(id), error.in_full()),
        }
        self.told.remove(&Some(id.clone()));
        let cancel = CancelToken::default();
        let assignment = Assignment {
            schedule: state.schedule.clone(),
            attempt: start.attempt,
            cancel: cancel.clone(),
        };
        self.tell(&ScheduleEvent::Started {
            schedule_id: id.clone(),
            attempt: start.attempt,
            due_ms: start.due_ms,
        });
        self.running.insert(id.clone(), Run { state: state.clone(), cancel, _slot: slot });
        let (work, back, attempt) = (Arc::clone(&self.work), self.back.clone(), start.attempt);
        let schedule_id = id.clone();
        let spawned = std::thread::Builder::new().name("schedule".into()).spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| work(&assignment)));
            let panicked = || Err(Error::Internal { what: "a scheduled run panicked".into() });
            let result = result.unwrap_or_else(|_| panicked());
            // Nobody listens any more only if the scheduler itself is gone.
            let _ = back.send(Message::Ended { schedule_id, attempt, result });
        });
        if let Err(error) = spawned {
            let what = format!("no thread for a scheduled run: {error}");
            self.ended(id.clone(), attempt, Err(Error::Internal { what }));
        }
    }

    fn ended(&mut self, schedule_id: String, attempt: u32, result: Result<Done>) {
        let Some(run) = self.running.remove(&schedule_id) else { return };
        let ended = match result {
            Ok(done) => {
                for warning in done.warnings {
                    self.warn(Some(&schedule_id), warning);
                }
                self.tell(&ScheduleEvent::Succeeded {
                    schedule_id: schedule_id.clone(),
                    backup_id: done.backup_id,
                    forgotten: done.forgotten,
                });
                Ended::Succeeded
            }
            Err(_) if self.is_stopping && run.cancel.is_cancelled() => {
                self.tell(&ScheduleEvent::Stopped { schedule_id: schedule_id.clone() });
                Ended::Stopped
            }
            Err(error) => {
                let again = attempt <= run.state.schedule.max_retries && is_worth_retrying(&error);
                let random = &self.manager.options().runtime.random;
                let delay_ms = || self.options.retry.delay_ms(attempt, random);
                let retry_ms = again.then(|| self.now_ms().saturating_add(delay_ms()));
                let ended = Ended::Failed { error: error.in_full(), retry_ms };
                self.tell_failed(&schedule_id, attempt, &ended);
                ended
            }
        };
        let mark = self.life.mark().to_owned();
        self.save(schedule_id, attempt, mark, ended);
    }

    fn save(&mut self, schedule_id: String, attempt: u32, mark: String, ended: Ended) {
        let saved = self.store().end(&schedule_id, attempt, &mark, &ended, self.now_ms());
        if let Err(error) = saved {
            self.warn(Some(&schedule_id), error.in_full());
            self.unsaved.push(Unsaved { schedule_id, attempt, mark, ended });
        }
    }

    /// Stores what could not be stored before.
    fn save_again(&mut self) {
        for Unsaved { schedule_id, attempt, mark, ended } in std::mem::take(&mut self.unsaved) {
            self.save(schedule_id, attempt, mark, ended);
        }
    }

    fn tell_failed(&self, schedule_id: &str, attempt: u32, ended: &Ended) {
        if let Ended::Failed { error, retry_ms } = ended {
            self.tell(&ScheduleEvent::Failed {
                schedule_id: schedule_id.into(),
                attempt,
                error: error.clone(),
                retry_ms: *retry_ms,
            });
        }
    }

    fn warn_of(&mut self, schedule_id: Option<&str>, result: Result<()>) {
        if let Err(error) = result {
            self.warn(schedule_id, error.in_full());
        }
    }

    /// Tells of trouble, once until it is another one.
    fn warn(&mut self, schedule_id: Option<&str>, message: String) {
        let schedule_id = schedule_id.map(str::to_owned);
        if self.told.get(&schedule_id) == Some(&message) {
            return;
        }
        self.told.insert(schedule_id.clone(), message.clone());
        self.tell(&ScheduleEvent::Warning { schedule_id, message });
    }

    fn tell(&self, event: &ScheduleEvent) {
        tracing::info!(?event, "scheduler");
        if let Some(on_event) = &self.options.on_event {
            // A listener that panics is not to end the schedules.
            let _ = catch_unwind(AssertUnwindSafe(|| on_event(event)));
        }
    }
}
