//! What to start now, and when to look again. A pure function over plain data: no clock, no
//! storage, no threads.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::calendar::Calendar;
use crate::error::Error;
use crate::model::BackupSchedule;

/// A schedule and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleState {
    /// The schedule.
    pub schedule: BackupSchedule,
    /// Up to this time everything that was due was started, milliseconds since 1970: when the last
    /// regular run started, or when the schedule was made.
    pub settled_ms: i64,
    /// Attempts that failed of the run that is not done yet; 0 if the last one succeeded, or was
    /// given up.
    pub failed_attempts: u32,
    /// When the next attempt is made, milliseconds since 1970.
    pub retry_ms: Option<i64>,
    /// The run that goes on.
    pub running: Option<Running>,
    /// How the last run went.
    pub last: LastRun,
    /// How often the schedule was changed.
    pub changes: i64,
}

/// A run that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Since when, milliseconds since 1970.
    pub since_ms: i64,
    /// Whether somebody still works on it. Otherwise its process was broken off.
    pub is_alive: bool,
    /// Names who took it: only that one's run is ended with it.
    pub mark: String,
}

/// How the last run of a schedule went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastRun {
    /// When it started, milliseconds since 1970.
    pub started_ms: Option<i64>,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// When the last one that succeeded ended.
    pub succeeded_ms: Option<i64>,
    /// Why the last attempt failed; `None` if it succeeded.
    pub error: Option<String>,
}

/// A run that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Of which schedule.
    pub schedule_id: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// Since when it is due, milliseconds since 1970. Later than that by more than a moment, it is
    /// made up for: the machine was off, or busy.
    pub due_ms: i64,
    /// Whether it is a regular run, and no repetition.
    pub is_regular: bool,
    /// The highest goes first.
    pub priority: i32,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Decision {
    /// Start these, the highest priority first, and what is due longest first of those.
    pub start: Vec<Start>,
    /// Runs of these were broken off with their process.
    pub broken_off: Vec<String>,
    /// These were settled at a time that is not yet: somebody set the clock back.
    pub ahead: Vec<String>,
    /// These cannot run as they are.
    pub wrong: Vec<(String, Error)>,
    /// Look again at this time, milliseconds since 1970; `None` if nothing will ever be due.
    pub wake_ms: Option<i64>,
}

/// Decides at `now_ms`.
///
/// - What is paused or goes on is not started.
/// - However many runs were missed, one makes up for them.
/// - A run that failed is repeated at its time, unless the next regular one is due by then: that
///   begins anew.
pub fn due(states: &[ScheduleState], now_ms: i64) -> Decision {
    let mut decision = Decision::default();
    for state in states {
        let id = &state.schedule.schedule_id;
        match &state.running {
            Some(Running { is_alive: true, .. }) => continue,
            Some(Running { is_alive: false, .. }) => {
                decision.broken_off.push(id.clone());
                continue;
            }
            None => {}
        }
        if !state.schedule.enabled {
            continue;
        }
        if state.settled_ms > now_ms {
            decision.ahead.push(id.clone());
            continue;
        }
        let regular_ms = match regular_ms(state) {
            Ok(regular_ms) => regular_ms,
            Err(error) => {
                decision.wrong.push((id.clone(), error));
                continue;
            }
        };
        let is_due = |time_ms: Option<i64>| time_ms.filter(|time_ms| *time_ms <= now_ms);
        let start = |attempt, due_ms, is_regular| Start {
            schedule_id: id.clone(),
            attempt,
            due_ms,
            is_regular,
            priority: state.schedule.priority,
        };
        if let Some(due_ms) = is_due(regular_ms) {
            decision.start.push(start(1, due_ms, true));
        } else if let Some(due_ms) = is_due(state.retry_ms) {
            decision.start.push(start(state.failed_attempts.saturating_add(1), due_ms, false));
        } else {
            let next = regular_ms.into_iter().chain(state.retry_ms).min();
            decision.wake_ms = decision.wake_ms.into_iter().chain(next).min();
        }
    }
    let key = |start: &Start| (Reverse(start.priority), start.due_ms);
    decision.start.sort_by(|a, b| (key(a), &a.schedule_id).cmp(&(key(b), &b.schedule_id)));
    decision
}

/// The next regular run, which may have been missed.
///
/// # Errors
/// [`Error::Usage`] for a schedule that cannot run as it is.
pub fn regular_ms(state: &ScheduleState) -> Result<Option<i64>, Error> {
    let calendar = Calendar::of(&state.schedule)?;
    let settled = timestamp(state.settled_ms);
    Ok(calendar.next_after(settled, settled).map(|next| next.as_millisecond()))
}

pub(super) fn timestamp(time_ms: i64) -> Timestamp {
    let last = if time_ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(time_ms).unwrap_or(last)
}

#[cfg(test)]
mod tests;
