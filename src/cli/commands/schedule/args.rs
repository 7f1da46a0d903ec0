//! What a schedule is to be, from options.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::super::policy::PolicyArgs;
use super::super::shared::{size, strategy};
use crate::error::{Error, Result};
use crate::model::{
    BackupSchedule, BackupStrategy, CheckJob, ForgetJob, Hook, Job, MirrorSyncJob, Preset,
    RestoreTestJob, RetentionPolicy, ScheduleSpec, escape_bytes,
};
use crate::repository::SnapshotList;
use crate::source::SourcePath;
use crate::tree::SnapshotFilter;

/// Everything about a schedule but its name. What is not given stays as it is.
#[derive(Args, Debug)]
pub(super) struct SaidArgs {
    /// Files and folders of a backup, instead of those of the daemon's profile
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// When it runs: `6h`, `@daily`, `30 2 * * 1-5`, `TZ=Europe/Berlin 0 22 * * *`
    #[arg(long, value_name = "WHEN")]
    when: Option<String>,

    /// Times and keep rules that go together: hourly or daily
    #[arg(long, value_name = "NAME", conflicts_with = "when")]
    preset: Option<Preset>,

    /// What it does
    #[arg(long, value_name = "JOB", value_parser = PossibleValuesParser::new(Job::KINDS))]
    job: Option<String>,

    /// Kind of backup
    #[arg(long, value_name = "STRATEGY", value_parser = strategy())]
    strategy: Option<BackupStrategy>,

    /// Leave out what fits the pattern (may be repeated)
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// Tag of its snapshots (may be repeated)
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tag: Vec<String>,

    /// How often a run that failed is tried again
    #[arg(long, value_name = "N")]
    retries: Option<u32>,

    /// Runs are spread over so many minutes, so that machines do not start at the same moment
    #[arg(long, value_name = "MINUTES")]
    spread: Option<u32>,

    /// Limits of transfers while it goes on, of other jobs of the repository too: `2M`,
    /// `08:00-18:00 2M, else unlimited`
    #[arg(long = "its-bandwidth", value_name = "PLAN")]
    its_bandwidth: Option<String>,

    /// A backup is missing if the newest good one is older than so many hours
    #[arg(long, value_name = "HOURS")]
    rpo: Option<u32>,

    /// Of what is due at the same time, the highest is first
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    priority: Option<i32>,

    /// Shell command before each run; if it fails, the run is not made
    #[arg(long, value_name = "COMMAND")]
    before: Option<String>,

    /// Shell command after each run, however it ended
    #[arg(long, value_name = "COMMAND")]
    after: Option<String>,

    /// Shell command after a run that failed
    #[arg(long, value_name = "COMMAND")]
    on_failure: Option<String>,

    /// With `--job forget`: give the space back, too
    #[arg(long)]
    prune: bool,

    /// With `--job check`: read all stored bytes within so many days, a part each time; 0: all of
    /// them each time
    #[arg(long, value_name = "DAYS")]
    period: Option<u32>,

    /// With `--job restore_test`: bytes of the sample at most
    #[arg(long, value_name = "SIZE", value_parser = size)]
    budget: Option<u64>,

    /// With `--job restore_test`: files of the sample at most
    #[arg(long, value_name = "N")]
    files: Option<u32>,

    /// With `--job mirror_sync`: a mirror, instead of all (may be repeated)
    #[arg(long, value_name = "NAME")]
    mirror: Vec<String>,

    #[command(flatten)]
    keep: PolicyArgs,
}

impl SaidArgs {
    /// Changes `spec` to what is said.
    ///
    /// # Errors
    /// [`Error::Usage`] for what does not go with the job, and for paths and rules that are none.
    pub(super) fn apply(&self, spec: &mut ScheduleSpec) -> Result<()> {
        if self.when.is_some() || self.preset.is_some() {
            spec.when.clone_from(&self.when);
            (spec.cron, spec.interval_hours, spec.time_zone) = (None, None, None);
            spec.preset = self.preset;
        }
        if let Some(kind) = self.job.as_deref().filter(|kind| *kind != spec.job.kind()) {
            spec.job = job_of(kind)?;
        }
        let keep = self.policy()?;
        self.apply_to_job(spec, keep)?;
        spec.backup_type = self.strategy.unwrap_or(spec.backup_type);
        spec.max_retries = self.retries.unwrap_or(spec.max_retries);
        spec.spread_minutes = self.spread.or(spec.spread_minutes);
        spec.bandwidth = self.its_bandwidth.clone().or(spec.bandwidth.take());
        spec.rpo_hours = self.rpo.or(spec.rpo_hours);
        spec.priority = self.priority.unwrap_or(spec.priority);
        for (hook, line) in [
            (&mut spec.hooks.before, &self.before),
            (&mut spec.hooks.after, &self.after),
            (&mut spec.hooks.on_failure, &self.on_failure),
        ] {
            if let Some(line) = line {
                *hook = Some(Hook::shell(line)).filter(|_| !line.is_empty());
            }
        }
        Ok(())
    }

    fn apply_to_job(&self, spec: &mut ScheduleSpec, keep: Option<RetentionPolicy>) -> Result<()> {
        let is_given = [
            ("paths", !self.paths.is_empty(), "backup"),
            ("`--exclude`", !self.exclude.is_empty(), "backup"),
            ("`--tag`", !self.tag.is_empty(), "backup"),
            ("`--strategy`", self.strategy.is_some(), "backup"),
            ("`--prune`", self.prune, "forget"),
            ("`--period`", self.period.is_some(), "check"),
            ("`--budget`", self.budget.is_some(), "restore_test"),
            ("`--files`", self.files.is_some(), "restore_test"),
            ("`--mirror`", !self.mirror.is_empty(), "mirror_sync"),
        ];
        let kind = spec.job.kind();
        if let Some((name, ..)) = is_given.iter().find(|(_, given, of)| *given && *of != kind) {
            return Err(Error::usage(format!("{name} says nothing to a schedule of `{kind}`")));
        }
        match &mut spec.job {
            Job::Backup(job) => {
                if !self.paths.is_empty() {
                    job.sources = self.sources()?;
                }
                replace(&mut job.excludes, &self.exclude);
                replace(&mut job.tags, &self.tag);
                spec.keep = keep.or(spec.keep.take());
            }
            Job::Forget(job) => {
                job.keep = keep.unwrap_or_else(|| job.keep.clone());
                job.prune |= self.prune;
            }
            Job::Check(job) => job.period_days = self.period.or(job.period_days),
            Job::MirrorSync(job) => replace(&mut job.names, &self.mirror),
            Job::RestoreTest(job) => {
                job.budget_bytes = self.budget.unwrap_or(job.budget_bytes);
                job.files = self.files.unwrap_or(job.files);
            }
            Job::Prune | Job::Heal => {}
        }
        Ok(())
    }

    fn sources(&self) -> Result<Vec<String>> {
        let full = |path: &PathBuf| {
            SourcePath::new(path)?;
            let path = std::path::absolute(path)
                .map_err(|error| Error::local("find", "the current folder", error))?;
            Ok(escape_bytes(path.as_os_str().as_bytes()).into_owned())
        };
        self.paths.iter().map(full).collect()
    }

    fn policy(&self) -> Result<Option<RetentionPolicy>> {
        if self.keep.is_empty() {
            return Ok(None);
        }
        // Single snapshots are kept by a pin: no rule of a schedule names one.
        self.keep.policy(&SnapshotList::default(), &SnapshotFilter::default()).map(Some)
    }
}

fn replace(list: &mut Vec<String>, said: &[String]) {
    if !said.is_empty() {
        list.clear();
        list.extend_from_slice(said);
    }
}

fn job_of(kind: &str) -> Result<Job> {
    Ok(match kind {
        "backup" => Job::default(),
        "forget" => Job::Forget(ForgetJob::default()),
        "prune" => Job::Prune,
        "check" => Job::Check(CheckJob::default()),
        "mirror_sync" => Job::MirrorSync(MirrorSyncJob::default()),
        "heal" => Job::Heal,
        "restore_test" => Job::RestoreTest(RestoreTestJob::default()),
        _ => return Err(Error::usage(format!("there is no job `{kind}`"))),
    })
}

/// A schedule as it would have to be written to become what it is.
pub(super) fn spec_of(schedule: &BackupSchedule) -> ScheduleSpec {
    let old = schedule.clone();
    ScheduleSpec {
        name: old.name,
        preset: None,
        when: None,
        cron: old.cron,
        interval_hours: Some(old.interval_hours).filter(|hours| *hours > 0),
        time_zone: old.time_zone,
        enabled: old.enabled,
        job: old.job,
        backup_type: old.backup_type,
        retention_days: old.retention_days,
        keep: Some(old.keep),
        max_retries: old.max_retries,
        encryption_enabled: Some(old.encryption_enabled),
        spread_minutes: Some(old.spread_minutes),
        bandwidth: old.bandwidth,
        hooks: old.hooks,
        rpo_hours: old.rpo_hours,
        priority: old.priority,
    }
}
