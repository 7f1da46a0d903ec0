//! Schedules as people write them: what a text means, and those of a profile file.

use jiff::Timestamp;

use super::BackupManager;
use super::schedules::{NewSchedule, hex};
use crate::error::{Error, Result};
use crate::manager::schedule::Timing;
use crate::model::{BackupSchedule, Preset, RetentionPolicy, ScheduleSpec};

/// What came of bringing the schedules of a profile file up to date: their names.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ScheduleChanges {
    /// Made.
    pub added: Vec<String>,
    /// Changed.
    pub changed: Vec<String>,
    /// Removed, as the file does not name them any more.
    pub removed: Vec<String>,
}

impl NewSchedule {
    /// The schedule that `spec` means.
    ///
    /// # Errors
    /// [`Error::Usage`] if it says when not at all, or in several ways.
    pub fn from_spec(spec: &ScheduleSpec) -> Result<Self> {
        let preset = spec.preset;
        let timing = timing(spec)?;
        let is_cron = matches!(timing, Timing::Cron { .. });
        let has_own_rules = spec.keep.is_some() || spec.retention_days > 0;
        let keep = match (&spec.keep, preset) {
            (Some(keep), _) => keep.clone(),
            (None, Some(preset)) if !has_own_rules => preset.keep(),
            _ => RetentionPolicy::default(),
        };
        let usual_spread = preset.filter(|_| is_cron && !says_when(spec));
        Ok(Self {
            timing,
            backup_type: spec.backup_type,
            retention_days: spec.retention_days,
            max_retries: spec.max_retries,
            encryption_enabled: spec.encryption_enabled,
            enabled: spec.enabled,
            name: spec.name.clone(),
            job: spec.job.clone(),
            spread_minutes: spec
                .spread_minutes
                .unwrap_or_else(|| usual_spread.map_or(0, Preset::spread_minutes)),
            bandwidth: spec.bandwidth.clone(),
            hooks: spec.hooks.clone(),
            keep,
            rpo_hours: spec.rpo_hours.or(preset.map(Preset::rpo_hours)),
            priority: spec.priority,
        })
    }
}

fn says_when(spec: &ScheduleSpec) -> bool {
    spec.when.is_some() || spec.cron.is_some() || spec.interval_hours.is_some_and(|h| h > 0)
}

/// When a schedule runs, said in one of several ways.
fn timing(spec: &ScheduleSpec) -> Result<Timing> {
    let hours = spec.interval_hours.filter(|hours| *hours > 0);
    let timing: Timing = match (&spec.when, &spec.cron, hours, spec.preset) {
        (Some(when), None, None, _) => when.parse()?,
        (None, Some(cron), None, _) => Timing::cron(cron),
        (None, None, Some(hours), _) => hours.into(),
        (None, None, None, Some(preset)) => Timing::cron(preset.when()),
        (None, None, None, None) => {
            let hint = "give `when`, such as `@daily`, `6h` or `30 2 * * *`, or a `preset`";
            return Err(Error::usage_hint("a schedule does not say when it runs", hint));
        }
        _ => {
            let what = "a schedule says in several ways when it runs";
            return Err(Error::usage_hint(what, "leave one of `when`, `cron`, `interval_hours`"));
        }
    };
    match (timing, &spec.time_zone) {
        (timing, None) => Ok(timing),
        (Timing::Cron { expression, time_zone: None }, Some(zone)) => {
            Ok(Timing::cron_in(expression, zone))
        }
        (Timing::Cron { .. }, Some(_)) => Err(Error::usage("a schedule names its time zone twice")),
        (Timing::EveryHours(_), Some(_)) => Err(Error::usage_hint(
            "an interval has no time zone",
            "leave it out, or give a cron expression",
        )),
    }
}

impl BackupManager {
    /// Makes a schedule as people wrote it.
    ///
    /// # Errors
    /// As [`NewSchedule::from_spec`] and [`BackupManager::schedule_backup_with`].
    pub fn schedule_spec(&self, spec: &ScheduleSpec) -> Result<BackupSchedule> {
        self.schedule_backup_with(&NewSchedule::from_spec(spec)?)
    }

    /// What `old` becomes if it is to be as `spec` says: with its id and the time when it was made.
    ///
    /// # Errors
    /// As [`NewSchedule::from_spec`].
    pub fn schedule_from_spec(
        &self,
        old: &BackupSchedule,
        spec: &ScheduleSpec,
    ) -> Result<BackupSchedule> {
        let new = self.make_schedule(old.schedule_id.clone(), &NewSchedule::from_spec(spec)?);
        Ok(BackupSchedule { created_at: old.created_at, origin: old.origin.clone(), ..new })
    }

    /// Makes the schedules of the profile file `origin` what `wanted` says: those that are new are
    /// made, others changed, and those that the file does not name any more removed. One keeps its
    /// id, and with it all that is known of its runs, as long as it keeps its name; one that a
    /// person has paused stays so.
    ///
    /// # Errors
    /// [`Error::Usage`] for one without a name, two with the same, and as
    /// [`BackupManager::schedule_backup_with`]: nothing is changed then. [`Error::Local`] if they
    /// cannot be stored.
    pub fn sync_profile_schedules(
        &self,
        origin: &str,
        wanted: &[ScheduleSpec],
    ) -> Result<ScheduleChanges> {
        let known = self.schedules()?;
        let specs = wanted.iter().map(|spec| self.of_profile(origin, spec, &known));
        let specs: Vec<BackupSchedule> = specs.collect::<Result<_>>()?;
        for (at, one) in specs.iter().enumerate() {
            if specs[..at].iter().any(|other| other.schedule_id == one.schedule_id) {
                let what = format!("two schedules are called `{}`", one.title());
                return Err(Error::usage_hint(what, "give each a name of its own"));
            }
        }
        let mut changes = ScheduleChanges::default();
        let is_gone = |one: &&BackupSchedule| {
            one.origin.as_deref() == Some(origin)
                && specs.iter().all(|spec| spec.schedule_id != one.schedule_id)
        };
        for gone in known.iter().filter(is_gone) {
            self.remove_schedule(gone)?;
            changes.removed.push(gone.title());
        }
        for spec in specs {
            match known.iter().find(|one| one.schedule_id == spec.schedule_id) {
                None => {
                    self.add_schedule(&spec)?;
                    changes.added.push(spec.title());
                }
                Some(old) if *old != spec => {
                    self.change_schedule(&spec, Some(origin))?;
                    changes.changed.push(spec.title());
                }
                Some(_) => {}
            }
        }
        Ok(changes)
    }

    /// The schedule that a table of a profile means.
    fn of_profile(
        &self,
        origin: &str,
        spec: &ScheduleSpec,
        known: &[BackupSchedule],
    ) -> Result<BackupSchedule> {
        let Some(name) = &spec.name else {
            let hint = "give it a `name`: by that it is known again when it is changed";
            return Err(Error::usage_hint("a schedule in a profile has no name", hint));
        };
        let new = NewSchedule::from_spec(spec)?;
        let schedule = self.make_schedule(id_of(origin, name), &new);
        let old = known.iter().find(|one| one.schedule_id == schedule.schedule_id);
        let created_at: Timestamp = old.map_or(schedule.created_at, |old| old.created_at);
        let schedule = BackupSchedule {
            enabled: schedule.enabled && old.is_none_or(|old| old.enabled),
            created_at,
            origin: Some(origin.to_owned()),
            ..schedule
        };
        // Others of this file with that name are this one, or go.
        let others: Vec<BackupSchedule> =
            known.iter().filter(|one| one.origin.as_deref() != Some(origin)).cloned().collect();
        self.check_definition(&schedule, &others)?;
        Ok(schedule)
    }
}

fn id_of(origin: &str, name: &str) -> String {
    let hash = blake3::hash(format!("{origin}\n{name}").as_bytes());
    hex(&hash.as_bytes()[..8])
}
