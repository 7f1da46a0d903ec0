//! Refuses schedules that make no sense, before they are stored.

use super::calendar::{Calendar, timing_of};
use super::spread::SPREAD_MINUTES_MAX;
use crate::error::{Error, Result};
use crate::model::{BackupJob, BackupSchedule, Hook, HookCommand, Job, unescape};
use crate::source::{Excludes, WalkOptions};
use crate::storage::BandwidthPlan;

/// The longest name, in bytes.
const NAME_LEN_MAX: usize = 100;
/// A hook may take a day at most.
const HOOK_SECONDS_MAX: u32 = 24 * 3600;
/// A rotating check takes ten years at most.
const PERIOD_DAYS_MAX: u32 = 3660;
/// No schedule has more sources, or patterns.
const TEXTS_MAX: usize = 1_000;
/// The longest source, pattern or command, in bytes.
const TEXT_LEN_MAX: usize = 16 << 10;

/// Refuses what nobody can mean.
///
/// # Errors
/// [`Error::Usage`] that says what, and what to try.
pub fn check_schedule(schedule: &BackupSchedule) -> Result<()> {
    Calendar::new(&timing_of(schedule)?)?;
    check_name(schedule)?;
    check_spread(schedule)?;
    if let Some(text) = &schedule.bandwidth {
        parse_bandwidth(text)?;
    }
    schedule.hooks.all().try_for_each(|(name, hook)| check_hook(name, hook))?;
    if !schedule.keep.is_empty() {
        schedule.keep.check()?;
        if !matches!(schedule.job, Job::Backup(_)) {
            return Err(Error::usage_hint(
                "keep rules of a schedule are about its own backups, and it makes none",
                "write them into the `forget` job itself, as its `keep`",
            ));
        }
    }
    if schedule.rpo_hours == Some(0) {
        return Err(Error::usage_hint("`rpo_hours` is 0", "leave it out if nobody is to be told"));
    }
    check_job(&schedule.job)
}

/// Reads limits of a schedule's transfers: one for all times, or a plan.
///
/// # Errors
/// [`Error::Usage`].
pub fn parse_bandwidth(text: &str) -> Result<BandwidthPlan> {
    let fixed = format!("else {text}").parse();
    fixed.or_else(|_| text.parse()).map_err(|what| {
        let hint = "limits look like `2M`, `up 1M down 4M` or `08:00-18:00 2M, else unlimited`";
        Error::usage_hint(format!("the bandwidth `{text}` makes no sense: {what}"), hint)
    })
}

fn check_name(schedule: &BackupSchedule) -> Result<()> {
    match schedule.name.as_deref() {
        Some(name) if name.trim().is_empty() || name.len() > NAME_LEN_MAX => {
            let hint = format!("give 1 to {NAME_LEN_MAX} bytes, or none");
            Err(Error::usage_hint("the name of a schedule is empty or too long", hint))
        }
        Some(name) if name.chars().any(char::is_control) => {
            Err(Error::usage("the name of a schedule holds a control character"))
        }
        _ => Ok(()),
    }
}

fn check_spread(schedule: &BackupSchedule) -> Result<()> {
    let minutes = schedule.spread_minutes;
    if minutes > SPREAD_MINUTES_MAX {
        let hint = format!("give {SPREAD_MINUTES_MAX} at most: a day");
        return Err(Error::usage_hint(format!("a spread of {minutes} minutes is too long"), hint));
    }
    match minutes > 0 && schedule.cron.is_none() {
        true => Err(Error::usage_hint(
            "an interval has no spread",
            "intervals count from when each schedule was made; give a cron expression such as \
             `@daily` to spread runs",
        )),
        false => Ok(()),
    }
}

fn check_hook(name: &str, hook: &Hook) -> Result<()> {
    let (is_empty, len) = match &hook.command {
        HookCommand::Shell(line) => (line.trim().is_empty(), line.len()),
        HookCommand::Words(words) => {
            (words.first().is_none_or(String::is_empty), words.iter().map(String::len).sum())
        }
    };
    if is_empty || len > TEXT_LEN_MAX {
        let what = format!("the command of the hook `{name}` is empty or too long");
        return Err(Error::usage_hint(what, "give a line for the shell, or leave the hook out"));
    }
    match (1..=HOOK_SECONDS_MAX).contains(&hook.timeout_s) {
        true => Ok(()),
        false => Err(Error::usage_hint(
            format!("the hook `{name}` may take {} seconds", hook.timeout_s),
            format!("give 1 to {HOOK_SECONDS_MAX}"),
        )),
    }
}

/// Refuses a job that nobody can mean.
///
/// # Errors
/// [`Error::Usage`].
pub fn check_job(job: &Job) -> Result<()> {
    match job {
        Job::Backup(job) => check_backup(job),
        Job::Forget(job) => job.keep.check(),
        Job::Check(job) if job.period_days.is_some_and(|days| days > PERIOD_DAYS_MAX) => {
            let hint = format!("give {PERIOD_DAYS_MAX} at most");
            Err(Error::usage_hint("a check over so many days never ends", hint))
        }
        Job::RestoreTest(job) if job.budget_bytes == 0 || job.files == 0 => Err(Error::usage_hint(
            "a restore test of nothing proves nothing",
            "give some bytes and files, or leave them out",
        )),
        Job::Check(_) | Job::MirrorSync(_) | Job::RestoreTest(_) | Job::Prune | Job::Heal => Ok(()),
    }
}

fn check_backup(job: &BackupJob) -> Result<()> {
    let texts = [&job.sources, &job.excludes, &job.exclude_files, &job.tags];
    let is_long = |text: &String| text.len() > TEXT_LEN_MAX;
    if texts.iter().any(|list| list.len() > TEXTS_MAX || list.iter().any(is_long)) {
        return Err(Error::usage(format!(
            "a backup has at most {TEXTS_MAX} sources, patterns and tags of {TEXT_LEN_MAX} bytes"
        )));
    }
    let paths = job.sources.iter().chain(&job.exclude_files);
    if let Some(path) = paths.map(|text| unescape(text)).find(|path| !path.starts_with(b"/")) {
        return Err(Error::usage_hint(
            format!("`{}` is no absolute path", crate::model::escape_bytes(&path)),
            "schedules run in no particular folder: begin it with `/`",
        ));
    }
    if job.tags.iter().any(|tag| tag.is_empty() || tag.contains(',')) {
        return Err(Error::usage_hint(
            "a tag is empty or holds a comma",
            "give each tag by itself",
        ));
    }
    let patterns = WalkOptions { exclude: job.excludes.clone(), ..WalkOptions::default() };
    Excludes::new(&patterns).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CheckJob, ForgetJob, Hooks, RestoreTestJob};

    fn schedule() -> BackupSchedule {
        BackupSchedule { cron: Some("@daily".into()), ..BackupSchedule::default() }
    }

    #[test]
    fn what_makes_sense_is_taken() {
        check_schedule(&schedule()).expect("a plain one");
        let job = BackupJob {
            sources: vec!["/home".into(), "/a%FFb".into()],
            excludes: vec!["*.o".into()],
            ..BackupJob::default()
        };
        let full = BackupSchedule {
            name: Some("nightly".into()),
            job: Job::Backup(job),
            spread_minutes: 60,
            bandwidth: Some("08:00-18:00 2M, else unlimited".into()),
            hooks: Hooks { before: Some(Hook::shell("sync")), ..Hooks::default() },
            keep: crate::model::Preset::Hourly.keep(),
            rpo_hours: Some(3),
            ..schedule()
        };
        check_schedule(&full).expect("all of it");
        for text in ["2M", "up 1M down 4M", "unlimited", "mon-fri 08:00-18:00 2M"] {
            parse_bandwidth(text).expect(text);
        }
    }

    #[test]
    fn what_nobody_can_mean_is_refused_in_words() {
        let hook = |line: &str, timeout_s| Hooks {
            after: Some(Hook { timeout_s, ..Hook::shell(line) }),
            ..Hooks::default()
        };
        let backup = |job: BackupJob| BackupSchedule { job: Job::Backup(job), ..schedule() };
        let with = |job: Job| BackupSchedule { job, ..schedule() };
        let keep = crate::model::Preset::Daily.keep();
        for (wrong, word) in [
            (BackupSchedule::default(), "interval"),
            (BackupSchedule { name: Some(" ".into()), ..schedule() }, "name"),
            (BackupSchedule { spread_minutes: 9_999, ..schedule() }, "spread"),
            (
                BackupSchedule { spread_minutes: 5, cron: None, interval_hours: 6, ..schedule() },
                "interval",
            ),
            (BackupSchedule { bandwidth: Some("fast".into()), ..schedule() }, "bandwidth"),
            (BackupSchedule { hooks: hook("", 5), ..schedule() }, "after"),
            (BackupSchedule { hooks: hook("sync", 0), ..schedule() }, "seconds"),
            (BackupSchedule { rpo_hours: Some(0), ..schedule() }, "rpo_hours"),
            (BackupSchedule { keep, ..with(Job::Prune) }, "own backups"),
            (
                backup(BackupJob { sources: vec!["home".into()], ..BackupJob::default() }),
                "absolute",
            ),
            (backup(BackupJob { excludes: vec!["[".into()], ..BackupJob::default() }), "["),
            (backup(BackupJob { tags: vec!["a,b".into()], ..BackupJob::default() }), "comma"),
            (with(Job::Forget(ForgetJob::default())), "no rule"),
            (with(Job::Check(CheckJob { period_days: Some(99_999) })), "never ends"),
            (
                with(Job::RestoreTest(RestoreTestJob { files: 0, ..RestoreTestJob::default() })),
                "proves nothing",
            ),
        ] {
            let error = check_schedule(&wrong).expect_err(word);
            assert!(matches!(error, Error::Usage { .. }), "{error}");
            assert!(error.in_full().contains(word), "{word}: {error}");
        }
    }
}
