//! Making, changing and cancelling schedules. Running them is for a
//! [`Scheduler`](crate::manager::schedule::Scheduler).

use jiff::Timestamp;

use super::BackupManager;
use crate::error::{Error, Result};
use crate::manager::schedule::{
    Calendar, ScheduleState, Store, Timing, check_encryption, check_schedule, timing_of,
};
use crate::model::{BackupSchedule, BackupStrategy, Encryption, Hooks, Job, RetentionPolicy};

/// Ids are this many random bytes, in hex.
const ID_LEN: usize = 8;

/// A schedule that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSchedule {
    /// When it runs.
    pub timing: Timing,
    /// Which kind of backup it makes.
    pub backup_type: BackupStrategy,
    /// Days for which each of its backups is kept, beside whatever else keeps it; 0 forgets none.
    pub retention_days: u32,
    /// How often a run that failed is tried again.
    pub max_retries: u32,
    /// Whether it refuses to run against a repository that is not encrypted. `None`: if this one
    /// is.
    pub encryption_enabled: Option<bool>,
    /// Whether it runs; otherwise it is made paused.
    pub enabled: bool,
    /// What people call it; no two of a repository have the same.
    pub name: Option<String>,
    /// What it does.
    pub job: Job,
    /// Minutes that runs of a cron expression are spread over.
    pub spread_minutes: u32,
    /// Limits of its transfers (see [`BackupSchedule::bandwidth`]).
    pub bandwidth: Option<String>,
    /// Commands around each attempt.
    pub hooks: Hooks,
    /// What is kept of its own backups.
    pub keep: RetentionPolicy,
    /// Hours after which a backup is missing.
    pub rpo_hours: Option<u32>,
    /// Of what is due at the same time, the highest is first.
    pub priority: i32,
}

impl NewSchedule {
    /// Incremental backups that are all kept; a failed run is tried again three times.
    pub fn new(timing: impl Into<Timing>) -> Self {
        Self {
            timing: timing.into(),
            backup_type: BackupStrategy::Incremental,
            retention_days: 0,
            max_retries: 3,
            encryption_enabled: None,
            enabled: true,
            name: None,
            job: Job::default(),
            spread_minutes: 0,
            bandwidth: None,
            hooks: Hooks::default(),
            keep: RetentionPolicy::default(),
            rpo_hours: None,
            priority: 0,
        }
    }
}

/// A run that will come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextRun {
    /// Of which schedule.
    pub schedule_id: String,
    /// When; now if it was missed.
    pub time: Timestamp,
}

impl BackupManager {
    /// Makes a schedule of incremental backups: so many hours apart, or when a cron expression or
    /// `@daily` and its like say. Returns its id.
    ///
    /// It runs while a [`Scheduler`](crate::manager::schedule::Scheduler) does, in this process or
    /// another one with the same state folder.
    ///
    /// # Errors
    /// As [`BackupManager::schedule_backup_with`].
    pub fn schedule_backup(&self, timing: impl Into<Timing>, max_retries: u32) -> Result<String> {
        let new = NewSchedule { max_retries, ..NewSchedule::new(timing) };
        Ok(self.schedule_backup_with(&new)?.schedule_id)
    }

    /// Makes a schedule.
    ///
    /// # Errors
    /// [`Error::Usage`] for a time that makes no sense or never comes, and for one that wants
    /// encryption of a repository without; [`Error::Local`] if it cannot be stored, as while the
    /// state folder cannot be used.
    pub fn schedule_backup_with(&self, new: &NewSchedule) -> Result<BackupSchedule> {
        let runtime = &self.options().runtime;
        let id: [u8; ID_LEN] = runtime.random.bytes();
        let schedule = self.make_schedule(hex(&id), new);
        self.add_schedule(&schedule)?;
        Ok(schedule)
    }

    /// The schedule of this id that `new` means.
    pub(super) fn make_schedule(&self, schedule_id: String, new: &NewSchedule) -> BackupSchedule {
        let (interval_hours, cron, time_zone) = match new.timing.clone() {
            Timing::EveryHours(hours) => (hours, None, None),
            Timing::Cron { expression, time_zone } => (0, Some(expression), time_zone),
        };
        let is_encrypted = self.encryption() != Encryption::None;
        BackupSchedule {
            schedule_id,
            enabled: new.enabled,
            interval_hours,
            backup_type: new.backup_type,
            retention_days: new.retention_days,
            max_retries: new.max_retries,
            encryption_enabled: new.encryption_enabled.unwrap_or(is_encrypted),
            created_at: now(self),
            cron,
            time_zone,
            name: new.name.clone(),
            job: new.job.clone(),
            spread_minutes: new.spread_minutes,
            bandwidth: new.bandwidth.clone(),
            hooks: new.hooks.clone(),
            keep: new.keep.clone(),
            rpo_hours: new.rpo_hours,
            priority: new.priority,
            origin: None,
        }
    }

    pub(super) fn add_schedule(&self, schedule: &BackupSchedule) -> Result<()> {
        self.check_definition(schedule, &self.schedules()?)?;
        self.store().add(schedule, self.options().runtime.clock.now_ms())
    }

    pub(super) fn check_definition(
        &self,
        schedule: &BackupSchedule,
        all: &[BackupSchedule],
    ) -> Result<()> {
        check_schedule(schedule)?;
        check_encryption(self, schedule)?;
        let is_same = |other: &&BackupSchedule| {
            other.schedule_id != schedule.schedule_id
                && other.name.is_some()
                && other.name == schedule.name
        };
        match all.iter().find(is_same) {
            Some(other) => Err(Error::usage_hint(
                format!("there is a schedule called `{}` already", other.title()),
                "give another name, or change that one: `larder schedule edit`",
            )),
            None => Ok(()),
        }
    }

    /// All schedules, oldest first.
    ///
    /// # Errors
    /// [`Error::Local`] if they cannot be read.
    pub fn schedules(&self) -> Result<Vec<BackupSchedule>> {
        Ok(self.schedule_states()?.into_iter().map(|state| state.schedule).collect())
    }

    /// All schedules and how far they are, oldest first.
    ///
    /// # Errors
    /// As [`BackupManager::schedules`].
    pub fn schedule_states(&self) -> Result<Vec<ScheduleState>> {
        self.store().all(self.options().runtime.clock.now_ms())
    }

    /// The schedule of this name or id, or whose id begins so.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`], and as [`BackupManager::schedules`].
    pub fn schedule(&self, id: &str) -> Result<BackupSchedule> {
        let mut found = self.schedules()?;
        let is_named = |one: &BackupSchedule| one.name.as_deref() == Some(id);
        if let Some(at) = found.iter().position(is_named) {
            return Ok(found.swap_remove(at));
        }
        found.retain(|schedule| !id.is_empty() && schedule.schedule_id.starts_with(id));
        match found.len() {
            0 => Err(missing(id)),
            1 => Ok(found.remove(0)),
            count => Err(Error::Ambiguous { what: "schedule", name: id.into(), count }),
        }
    }

    /// Changes a schedule into what is given, by its id. A run that goes on is not touched; one
    /// that failed is not repeated. A new time counts from now, an interval from the last run.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none of this id, and as
    /// [`BackupManager::schedule_backup_with`].
    pub fn update_schedule(&self, schedule: &BackupSchedule) -> Result<()> {
        self.change_schedule(schedule, None)
    }

    /// As [`BackupManager::update_schedule`], for whoever speaks for the profile file `origin`.
    pub(super) fn change_schedule(
        &self,
        schedule: &BackupSchedule,
        origin: Option<&str>,
    ) -> Result<()> {
        let id = &schedule.schedule_id;
        let all = self.schedules()?;
        let old = all.iter().find(|one| one.schedule_id == *id).ok_or_else(|| missing(id))?;
        let is_pause = *old == BackupSchedule { enabled: old.enabled, ..schedule.clone() };
        if !is_pause {
            refuse_origin(old, origin)?;
        }
        let timing = timing_of(schedule)?;
        self.check_definition(schedule, &all)?;
        // Runs of before the change, or of while it was paused, were not missed.
        let is_interval = schedule.cron.is_none();
        let goes_on = old.enabled
            && old.spread_minutes == schedule.spread_minutes
            && timing_of(old).is_ok_and(|old| old == timing);
        let now_ms = self.options().runtime.clock.now_ms();
        let settled_ms = (!is_interval && !goes_on).then_some(now_ms);
        match self.store().update(schedule, settled_ms, now_ms)? {
            true => Ok(()),
            false => Err(missing(id)),
        }
    }

    /// Pauses a schedule: nothing is started until it is resumed. A run that goes on is not
    /// touched.
    ///
    /// # Errors
    /// As [`BackupManager::schedule`].
    pub fn pause_schedule(&self, id: &str) -> Result<()> {
        let schedule = self.schedule(id)?;
        self.update_schedule(&BackupSchedule { enabled: false, ..schedule })
    }

    /// Resumes a schedule that was paused. What it would have run meanwhile is not made up for; an
    /// interval that has passed since the last run is due at once.
    ///
    /// # Errors
    /// As [`BackupManager::schedule`].
    pub fn resume_schedule(&self, id: &str) -> Result<()> {
        let schedule = self.schedule(id)?;
        self.update_schedule(&BackupSchedule { enabled: true, ..schedule })
    }

    /// Wants a run of a schedule now, beside its regular ones. The next scheduler that looks makes
    /// it.
    ///
    /// # Errors
    /// As [`BackupManager::schedule`]; [`Error::Usage`] if it is paused.
    pub fn run_schedule(&self, id: &str) -> Result<()> {
        let schedule = self.schedule(id)?;
        if !schedule.enabled {
            return Err(Error::usage_hint(
                format!("schedule {} is paused", schedule.schedule_id),
                "resume it first, or make a backup without it",
            ));
        }
        let now_ms = self.options().runtime.clock.now_ms();
        match self.store().run_now(&schedule.schedule_id, now_ms)? {
            true => Ok(()),
            false => Err(missing(id)),
        }
    }

    /// Cancels one schedule: it is gone. Its backups stay; a run that goes on is not touched.
    ///
    /// # Errors
    /// As [`BackupManager::schedule`].
    pub fn cancel_schedule(&self, id: &str) -> Result<()> {
        let schedule = self.schedule(id)?;
        refuse_origin(&schedule, None)?;
        self.remove_schedule(&schedule)
    }

    pub(super) fn remove_schedule(&self, schedule: &BackupSchedule) -> Result<()> {
        let now_ms = self.options().runtime.clock.now_ms();
        match self.store().remove(Some(&schedule.schedule_id), now_ms)? {
            0 => Err(missing(&schedule.schedule_id)),
            _ => Ok(()),
        }
    }

    /// Cancels all schedules of this repository on this machine, and returns how many there were.
    ///
    /// # Errors
    /// [`Error::Local`] if they cannot be removed.
    pub fn cancel_scheduled_backup(&self) -> Result<usize> {
        self.store().remove(None, self.options().runtime.clock.now_ms())
    }

    /// The next `count` runs of all schedules that are not paused, each taken to start on time and
    /// to succeed.
    ///
    /// # Errors
    /// As [`BackupManager::schedules`].
    pub fn next_runs(&self, count: usize) -> Result<Vec<NextRun>> {
        let now = now(self);
        let mut runs = Vec::new();
        for state in self.schedule_states()? {
            let schedule = &state.schedule;
            let Ok(calendar) = Calendar::of(schedule) else { continue };
            let settled = Timestamp::from_millisecond(state.settled_ms).unwrap_or(now);
            let retry = state.retry_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
            // A run that was missed is made now.
            let missed = calendar.next_after(settled, settled).filter(|next| *next < now);
            let from = if missed.is_some() { now } else { settled };
            let regular = calendar.runs_after(from, from);
            let all = missed.map(|_| now).into_iter().chain(retry).chain(regular);
            if schedule.enabled {
                runs.extend(all.take(count).map(|time| NextRun {
                    schedule_id: schedule.schedule_id.clone(),
                    time: time.max(now),
                }));
            }
        }
        runs.sort_by(|a, b| (a.time, &a.schedule_id).cmp(&(b.time, &b.schedule_id)));
        runs.truncate(count);
        Ok(runs)
    }

    fn store(&self) -> Store<'_> {
        Store::new(self.database(), self.repository().id())
    }
}

fn now(manager: &BackupManager) -> Timestamp {
    let now_ms = manager.options().runtime.clock.now_ms();
    Timestamp::from_millisecond(now_ms).unwrap_or(Timestamp::MAX)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a profile says is changed there, and by nobody else.
fn refuse_origin(schedule: &BackupSchedule, origin: Option<&str>) -> Result<()> {
    match schedule.origin.as_deref() {
        Some(file) if Some(file) != origin => Err(Error::usage_hint(
            format!("schedule `{}` is made by the profile `{file}`", schedule.title()),
            format!("change it in `{file}`; pausing and resuming it works here, too"),
        )),
        _ => Ok(()),
    }
}

fn missing(id: &str) -> Error {
    Error::NotFound { what: "schedule", name: id.into() }
}
