//! `larder schedule`: what the daemon does, and when.

mod args;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cli::Finish;
use crate::cli::context::Context;
use crate::cli::output::{Align, Table, iso_ms, local_ms, plural};
use crate::error::{Error, Result};
use crate::manager::BackupManager;
use crate::manager::schedule::{ScheduleState, regular_ms};
use crate::model::{BackupSchedule, ScheduleSpec};
use args::{SaidArgs, spec_of};

const EXAMPLES: &str = "\
Examples:
  larder schedule add home --preset hourly ~/documents
  larder schedule add nightly --when '30 2 * * *' /home /etc --keep-daily 14 --rpo 30
  larder schedule add proof --job restore_test --when '@weekly' --budget 1G
  larder schedule add bytes --job check --when '@daily' --period 30
  larder schedule add space --job forget --when '@weekly' --keep-daily 14 --keep-monthly 12 --prune
  larder schedule edit nightly --when '0 4 * * *'
  larder schedule next

`larder serve` runs them, also those that are made or changed while it runs. Schedules belong to this
machine and the repository; those of a profile (`[[schedule]]`) are changed there. A time that was
missed is made up for once. `--tag`, `--exclude`, paths and rules that are given to `edit` replace
those of before; a command that is given as '' is none.";

/// Say what `larder serve` does, and when
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ScheduleArgs {
    #[command(subcommand)]
    command: ScheduleCommand,
}

#[derive(Subcommand, Debug)]
enum ScheduleCommand {
    /// Make a schedule
    #[command(
        after_help = "Examples:\n  larder schedule add nightly --when '30 2 * * *' /home --keep-daily 14"
    )]
    Add {
        /// What to call it
        #[arg(value_name = "NAME")]
        name: String,

        #[command(flatten)]
        said: Box<SaidArgs>,

        /// Make it paused
        #[arg(long)]
        paused: bool,
    },
    /// List the schedules, how their last runs went, and the next ones
    #[command(after_help = "Examples:\n  larder schedule list")]
    List,
    /// Show a schedule as JSON
    #[command(after_help = "Examples:\n  larder schedule show nightly")]
    Show(NamedArgs),
    /// Change a schedule
    #[command(
        after_help = "Examples:\n  larder schedule edit nightly --when '0 4 * * *' --retries 5"
    )]
    Edit {
        #[command(flatten)]
        named: NamedArgs,

        #[command(flatten)]
        said: Box<SaidArgs>,
    },
    /// Start no more runs until it is resumed
    #[command(after_help = "Examples:\n  larder schedule pause nightly")]
    Pause(NamedArgs),
    /// Go on with runs; what was missed meanwhile is not made up for
    #[command(after_help = "Examples:\n  larder schedule resume nightly")]
    Resume(NamedArgs),
    /// Remove a schedule; its backups stay
    #[command(after_help = "Examples:\n  larder schedule remove nightly")]
    Remove(NamedArgs),
    /// Let the daemon make a run now
    #[command(after_help = "Examples:\n  larder schedule run nightly")]
    Run(NamedArgs),
    /// The runs that come next
    #[command(after_help = "Examples:\n  larder schedule next --count 20")]
    Next {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 10)]
        count: usize,
    },
}

#[derive(Args, Debug)]
struct NamedArgs {
    /// Name or id of a schedule
    #[arg(value_name = "SCHEDULE")]
    schedule: String,
}

/// A schedule in JSON.
#[derive(Serialize)]
struct Told<'s> {
    #[serde(flatten)]
    schedule: &'s BackupSchedule,
    is_running: bool,
    next_run: Option<String>,
    last_started: Option<String>,
    last_succeeded: Option<String>,
    last_error: Option<&'s str>,
}

pub(super) fn run(args: ScheduleArgs, context: &Context) -> Result<Finish> {
    let manager = context.manager(context.open()?)?;
    let done = work(args.command, &manager, context);
    context.warn_of_history(&manager);
    done.map(|()| Finish::Done)
}

fn work(command: ScheduleCommand, manager: &BackupManager, context: &Context) -> Result<()> {
    let out = &context.out;
    match command {
        ScheduleCommand::Add { name, said, paused } => {
            let mut spec =
                ScheduleSpec { name: Some(name), enabled: !paused, ..ScheduleSpec::default() };
            said.apply(&mut spec)?;
            let made = manager.schedule_spec(&spec)?;
            said_of(manager, &made, "made", context)
        }
        ScheduleCommand::Edit { named, said } => {
            let old = manager.schedule(&named.schedule)?;
            let mut spec = spec_of(&old);
            said.apply(&mut spec)?;
            manager.update_schedule(&manager.schedule_from_spec(&old, &spec)?)?;
            let new = manager.schedule(&old.schedule_id)?;
            said_of(manager, &new, "changed", context)
        }
        ScheduleCommand::List => list(manager, context),
        ScheduleCommand::Show(named) => {
            let id = manager.schedule(&named.schedule)?.schedule_id;
            for state in manager.schedule_states()? {
                if state.schedule.schedule_id == id {
                    out.object(&told(manager, &state)?)?;
                }
            }
            Ok(())
        }
        ScheduleCommand::Pause(named) => {
            let old = manager.schedule(&named.schedule)?;
            manager.pause_schedule(&old.schedule_id)?;
            said_of(manager, &manager.schedule(&old.schedule_id)?, "paused", context)
        }
        ScheduleCommand::Resume(named) => {
            let old = manager.schedule(&named.schedule)?;
            manager.resume_schedule(&old.schedule_id)?;
            said_of(manager, &manager.schedule(&old.schedule_id)?, "resumed", context)
        }
        ScheduleCommand::Remove(named) => {
            let old = manager.schedule(&named.schedule)?;
            manager.cancel_schedule(&old.schedule_id)?;
            out.note(format!("schedule `{}` removed; its backups stay", old.title()))
        }
        ScheduleCommand::Run(named) => {
            let old = manager.schedule(&named.schedule)?;
            manager.run_schedule(&old.schedule_id)?;
            let title = old.title();
            out.note(format!("`{title}` is due now: `larder serve` makes the run when it looks"))
        }
        ScheduleCommand::Next { count } => next(manager, count, context),
    }
}

fn said_of(
    manager: &BackupManager,
    schedule: &BackupSchedule,
    what: &str,
    context: &Context,
) -> Result<()> {
    let states = manager.schedule_states()?;
    let state = states.iter().find(|s| s.schedule.schedule_id == schedule.schedule_id);
    let state = state
        .ok_or_else(|| Error::NotFound { what: "schedule", name: schedule.schedule_id.clone() })?;
    if context.out.json {
        return context.out.object(&told(manager, state)?);
    }
    context.out.note(format!("schedule `{}` {what}: {}", schedule.title(), schedule.job))?;
    let next = next_ms(manager, state)?;
    let next = next.map_or_else(|| "never: it is paused".to_owned(), local_ms);
    context.out.note(format!("  {}, next run {next}", when(schedule)))?;
    context.out.note("  `larder serve` runs it")
}

fn list(manager: &BackupManager, context: &Context) -> Result<()> {
    let states = manager.schedule_states()?;
    if context.out.json {
        return states.iter().try_for_each(|state| context.out.object(&told(manager, state)?));
    }
    if states.is_empty() {
        return context.out.note("there are no schedules: `larder schedule add` makes one");
    }
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("WHEN", Align::Left),
        ("NEXT RUN", Align::Left),
        ("LAST RUN", Align::Left),
        ("WHAT", Align::Left),
    ]);
    for state in &states {
        let schedule = &state.schedule;
        let last = match (&state.running, state.last.started_ms, &state.last.error) {
            (Some(run), ..) if run.is_alive => format!("running since {}", local_ms(run.since_ms)),
            (_, None, _) => "-".to_owned(),
            (_, Some(ms), None) => format!("ok {}", local_ms(ms)),
            (_, Some(ms), Some(_)) => format!("failed {}", local_ms(ms)),
        };
        let next = match next_ms(manager, state)? {
            Some(ms) => local_ms(ms),
            None => "paused".to_owned(),
        };
        table.row(vec![
            schedule.name.clone().unwrap_or_else(|| schedule.schedule_id.clone()),
            when(schedule),
            next,
            last,
            schedule.job.to_string(),
        ]);
    }
    for line in table.lines() {
        context.out.line(line)?;
    }
    for state in &states {
        if let Some(error) = &state.last.error {
            context.out.warn(&format!("`{}` failed: {error}", state.schedule.title()));
        }
    }
    context.out.note(plural(states.len() as u64, "schedule"))
}

fn next(manager: &BackupManager, count: usize, context: &Context) -> Result<()> {
    let schedules = manager.schedules()?;
    for run in manager.next_runs(count)? {
        let of = schedules.iter().find(|schedule| schedule.schedule_id == run.schedule_id);
        let title = of.map(BackupSchedule::title).unwrap_or_default();
        let ms = run.time.as_millisecond();
        match context.out.json {
            true => context.out.object(&serde_json::json!({
                "time": iso_ms(ms), "schedule_id": run.schedule_id, "name": title,
            }))?,
            false => context.out.line(format!("{}  {title}", local_ms(ms)))?,
        }
    }
    Ok(())
}

fn told<'s>(manager: &BackupManager, state: &'s ScheduleState) -> Result<Told<'s>> {
    Ok(Told {
        schedule: &state.schedule,
        is_running: state.running.as_ref().is_some_and(|run| run.is_alive),
        next_run: next_ms(manager, state)?.and_then(iso_ms),
        last_started: state.last.started_ms.and_then(iso_ms),
        last_succeeded: state.last.succeeded_ms.and_then(iso_ms),
        last_error: state.last.error.as_deref(),
    })
}

/// The next run; now, if it was missed. None of a schedule that is paused.
fn next_ms(manager: &BackupManager, state: &ScheduleState) -> Result<Option<i64>> {
    if !state.schedule.enabled {
        return Ok(None);
    }
    let now_ms = manager.options().runtime.clock.now_ms();
    let next = regular_ms(state)?.into_iter().chain(state.retry_ms).min();
    Ok(next.map(|ms| ms.max(now_ms)))
}

/// When it runs, as people write it.
fn when(schedule: &BackupSchedule) -> String {
    match (&schedule.cron, &schedule.time_zone) {
        (None, _) => format!("every {}", plural(u64::from(schedule.interval_hours), "hour")),
        (Some(cron), None) => cron.clone(),
        (Some(cron), Some(zone)) => format!("{cron} ({zone})"),
    }
}
