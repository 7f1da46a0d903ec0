//! `larder config`: what a profile says, and whether it can be meant.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::snapshot;
use crate::cli::Finish;
use crate::cli::args::{GlobalArgs, location_from_file, parse_location};
use crate::cli::context::Context;
use crate::cli::output::plural;
use crate::cli::profile::{BackupFields, Profile};
use crate::error::{Error, Result};
use crate::manager::NewSchedule;
use crate::manager::schedule::{Calendar, check_job, parse_bandwidth};
use crate::model::ScheduleSpec;
use crate::source::Excludes;

const EXAMPLES: &str = "\
Examples:
  larder -P offsite config check        the profile of this name, and what it inherits from
  larder config check ./offsite.toml    a file
  larder -P offsite config check --secrets

Nothing is asked of storage. Files that are named have to be there; secrets are looked up only with
`--secrets`, as commands for them may ask a person. Ends with 2 if something is wrong.";

/// Look at profiles
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    Check(CheckArgs),
}

/// Read a profile and say what is wrong with it
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
struct CheckArgs {
    /// Name or path of a profile, instead of the one of `--profile`
    #[arg(value_name = "PROFILE")]
    name: Option<OsString>,

    /// Look up the secrets of storage too, and run the commands for them
    #[arg(long)]
    secrets: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Told {
    files: Vec<String>,
    ok: bool,
    problems: Vec<Problem>,
}

/// Something that cannot be meant.
#[derive(Serialize)]
struct Problem {
    what: String,
    hint: Option<String>,
}

impl Problem {
    fn of(error: &Error) -> Self {
        Self { what: error.in_full(), hint: error.hint() }
    }
}

pub(super) fn run(args: &ConfigArgs, context: &Context) -> Result<Finish> {
    let ConfigCommand::Check(args) = &args.command;
    let named;
    let profile = match &args.name {
        Some(name) => {
            named = Profile::named(name)?;
            &named
        }
        None => &context.profile,
    };
    if profile.files().is_empty() {
        return Err(Error::usage_hint(
            "there is no profile to check",
            "name one: `larder config check NAME`, or `larder -P NAME config check`",
        ));
    }
    let problems = problems(profile, args.secrets);
    let files = profile.files().iter().map(|file| file.display().to_string());
    let told = Told { files: files.collect(), ok: problems.is_empty(), problems };
    tell(&told, context)
}

fn tell(told: &Told, context: &Context) -> Result<Finish> {
    let out = &context.out;
    if out.json {
        out.object(told)?;
    } else {
        for (number, file) in told.files.iter().enumerate() {
            out.line(match number {
                0 => format!("profile   {file}"),
                _ => format!("  and     {file}"),
            })?;
        }
        for problem in &told.problems {
            out.line(format!("wrong     {}", problem.what))?;
            if let Some(hint) = &problem.hint {
                out.line(format!("          {hint}"))?;
            }
        }
        if told.ok {
            out.line("all of it can be meant")?;
        }
    }
    match told.problems.len() {
        0 => Ok(Finish::Done),
        number => {
            Err(Error::usage(format!("{} with the profile", plural(number as u64, "problem"))))
        }
    }
}

/// What is wrong beyond what reading it finds.
fn problems(profile: &Profile, with_secrets: bool) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut note = |result: Result<()>| found.extend(result.err().as_ref().map(Problem::of));
    let mut global = GlobalArgs::default();
    note(profile.fill(&mut global));
    if let Some(location) = &global.repository.repo {
        note(parse_location(location).map(|_| ()));
    }
    if let Some(file) = &global.repository.repository_file {
        note(location_from_file(file).map(|_| ()));
    }
    let files =
        [("key-file", &global.secret.key_file), ("password-file", &global.secret.password_file)];
    for (name, file) in files {
        note(file.as_deref().map_or(Ok(()), |file| is_there(name, file)));
    }
    let backup = profile.backup();
    for (name, paths) in [
        ("sources", &backup.sources),
        ("exclude-file", &backup.exclude_file),
        ("iexclude-file", &backup.iexclude_file),
    ] {
        paths.iter().for_each(|path| note(is_there(name, path)));
    }
    if *backup != BackupFields::default() {
        note(
            snapshot::options_of(&backup_somewhere(backup))
                .and_then(|o| Excludes::new(&o.walk).map(|_| ())),
        );
    }
    let mut names = HashSet::new();
    for schedule in profile.schedules() {
        let name = schedule.name.as_deref().unwrap_or_default();
        let named = |error: Error| match error {
            Error::Usage { message, hint } => {
                Error::Usage { message: format!("schedule `{name}`: {message}"), hint }
            }
            other => other,
        };
        note(check_schedule(schedule, &mut names).map_err(named));
    }
    if with_secrets {
        note(profile.access().map(|_| ()));
    }
    found
}

fn check_schedule<'p>(spec: &'p ScheduleSpec, names: &mut HashSet<&'p str>) -> Result<()> {
    let name = spec.name.as_deref().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Error::usage("one in a profile needs a `name`"))?;
    if !names.insert(name) {
        return Err(Error::usage("there are two of this name"));
    }
    let new = NewSchedule::from_spec(spec)?;
    Calendar::new(&new.timing)?;
    check_job(&spec.job)?;
    spec.bandwidth.as_deref().map_or(Ok(()), |text| parse_bandwidth(text).map(|_| ()))
}

fn is_there(field: &str, path: &Path) -> Result<()> {
    match path.symlink_metadata() {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::usage(format!("`{field}` names `{}`: {error}", path.display()))),
    }
}

/// The same; a base that others inherit from need not say what is backed up.
fn backup_somewhere(backup: &BackupFields) -> BackupFields {
    let mut backup = backup.clone();
    if backup.sources.is_empty() {
        backup.sources.push("/".into());
    }
    backup
}
