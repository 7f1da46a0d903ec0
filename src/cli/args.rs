//! The arguments of the program as a whole. Each command's own are beside its code, in
//! [`commands`](super::commands).

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser};
use jiff::SignedDuration;

use super::commands::Command;
use super::mirrors::MirrorArgs;
use crate::error::{Error, Result};
use crate::storage::throttle::{Limits, Rate, parse_rate};
use crate::storage::{BandwidthPlan, Location};

const EXAMPLES: &str = "\
Examples:
  larder quickstart ~/Documents              the first backup, with keys and a recovery kit
  larder -r /mnt/disk/backup repo init       make a repository
  larder -r /mnt/disk/backup snapshot /home  back up
  larder -r /mnt/disk/backup snapshots       list the backups
  larder -r /mnt/disk/backup restore latest --target /tmp/back

Exit codes:
  0 done   1 failed, or damage found   2 wrong arguments   3 finished, but not all files
  10 no repository   11 repository busy   12 wrong password or key   130, 143 interrupted

`larder help COMMAND` tells more, with examples.";

/// Deduplicated, encrypted backups that can be restored.
#[derive(Debug, Parser)]
#[command(
    name = "larder",
    version,
    after_help = EXAMPLES,
    max_term_width = 100,
    arg_required_else_help = true,
    subcommand_required = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Profile: a name in your configuration folder, or the path of a file [env: LARDER_PROFILE]
    #[arg(short = 'P', long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<OsString>,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,

    #[command(flatten)]
    pub(crate) secret: SecretArgs,

    #[command(flatten)]
    pub(crate) bandwidth: BandwidthArgs,

    #[command(flatten)]
    pub(crate) patience: PatienceArgs,

    #[command(flatten)]
    pub(crate) mirrors: MirrorArgs,

    /// Print JSON: results on standard output, messages and errors on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Print a line for each file
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,

    /// Print without colours [env: NO_COLOR]
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

/// Which repository.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RepositoryArgs {
    /// Repository: a path or URL; without it, the one in your data folder [env: LARDER_REPOSITORY]
    #[arg(short, long, global = true, value_name = "LOCATION")]
    pub(crate) repo: Option<OsString>,

    /// File whose first line is the repository's location [env: LARDER_REPOSITORY_FILE]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "repo")]
    pub(crate) repository_file: Option<PathBuf>,

    /// Folder for the local cache [env: LARDER_CACHE_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,

    /// Work without a local cache: slower to start
    #[arg(long, global = true, conflicts_with = "cache_dir")]
    pub(crate) no_cache: bool,
}

/// What opens it. Passwords are never arguments: other users could read them.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SecretArgs {
    /// File whose first line is the password [env: LARDER_PASSWORD_FILE, or LARDER_PASSWORD]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// Shell command that prints the password [env: LARDER_PASSWORD_COMMAND]
    #[arg(long, global = true, value_name = "COMMAND", conflicts_with = "password_file")]
    pub(crate) password_command: Option<String>,

    /// Key file, as made by `repo init --new-key-file` [env: LARDER_KEY_FILE]
    #[arg(long, global = true, value_name = "FILE",
          conflicts_with_all = ["password_file", "password_command"])]
    pub(crate) key_file: Option<PathBuf>,
}

/// How fast bytes may move, over all connections of the run.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct BandwidthArgs {
    // One line each: a longer text would spread the help of every command over three pages.
    /// Most bytes a second to storage; `2M` is what restic calls 2048 [env: LARDER_LIMIT_UPLOAD]
    #[arg(long, global = true, value_name = "RATE", value_parser = GivenRate::parse)]
    pub(crate) limit_upload: Option<GivenRate>,

    /// Most bytes a second from storage [env: LARDER_LIMIT_DOWNLOAD]
    #[arg(long, global = true, value_name = "RATE", value_parser = GivenRate::parse)]
    pub(crate) limit_download: Option<GivenRate>,

    /// Limits by the clock: `mon-fri 08:00-18:00 2M, else unlimited` [env: LARDER_BANDWIDTH]
    #[arg(long, global = true, value_name = "PLAN")]
    pub(crate) bandwidth: Option<BandwidthPlan>,
}

/// What to do while storage is slow or away.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PatienceArgs {
    /// Give up when storage has not answered for so long; 0: at once [env: LARDER_RETRY_FOR]
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) retry_for: Option<Duration>,

    /// What a profile says.
    #[arg(skip)]
    pub(crate) concurrency: Option<NonZeroUsize>,
}

impl PatienceArgs {
    /// How long storage may be away, as given by the option or the environment.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no length of time.
    pub(crate) fn retry_for(&self) -> Result<Option<Duration>> {
        match self.retry_for {
            Some(given) => Ok(Some(given)),
            None => from_environment("LARDER_RETRY_FOR", parse_duration),
        }
    }

    /// The most calls at once to a service, as given by the environment or a profile.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no number.
    pub(crate) fn concurrency(&self) -> Result<Option<NonZeroUsize>> {
        let parse = |text: &str| text.parse().map_err(|_| format!("`{text}` is not a number"));
        Ok(from_environment("LARDER_CONCURRENCY", parse)?.or(self.concurrency))
    }
}

/// Reads `90s`, `5m`, `1h 30m`, or 0.
///
/// # Errors
/// A text that says what a length of time looks like.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    if text.trim() == "0" {
        return Ok(Duration::ZERO);
    }
    let span: Option<SignedDuration> = text.parse().ok();
    let duration = span.and_then(|span| Duration::try_from(span).ok());
    duration.ok_or_else(|| format!("`{text}` is not a length of time such as `90s`, `5m` or `1h`"))
}

/// A rate that was said, even if it is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GivenRate(pub(crate) Rate);

impl GivenRate {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        parse_rate(text).map(Self)
    }
}

impl BandwidthArgs {
    /// The fixed limits as given by options or the environment.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no rate.
    pub(crate) fn limits(&self) -> Result<Limits> {
        let rate = |given: Option<GivenRate>, name| -> Result<Rate> {
            match given {
                Some(given) => Ok(given.0),
                None => Ok(from_environment(name, parse_rate)?.flatten()),
            }
        };
        Ok(Limits {
            upload: rate(self.limit_upload, "LARDER_LIMIT_UPLOAD")?,
            download: rate(self.limit_download, "LARDER_LIMIT_DOWNLOAD")?,
        })
    }

    /// The plan as given by options or the environment.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no plan.
    pub(crate) fn plan(&self) -> Result<Option<BandwidthPlan>> {
        match &self.bandwidth {
            Some(plan) => Ok(Some(plan.clone())),
            None => from_environment("LARDER_BANDWIDTH", str::parse),
        }
    }
}

pub(super) fn from_environment<T>(
    name: &'static str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>> {
    let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let parsed = parse(&value.to_string_lossy());
    parsed.map(Some).map_err(|what| Error::usage(format!("{name}: {what}")))
}

impl RepositoryArgs {
    /// The location as given by options or the environment.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is no location, [`Error::Local`] if the repository file cannot
    /// be read.
    pub(crate) fn given(&self) -> Result<Option<Location>> {
        let environment = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(location) = &self.repo {
            return parse_location(location).map(Some);
        }
        if let Some(path) = &self.repository_file {
            return location_from_file(path).map(Some);
        }
        if let Some(location) = environment("LARDER_REPOSITORY") {
            return parse_location(&location).map(Some);
        }
        environment("LARDER_REPOSITORY_FILE")
            .map(|path| location_from_file(path.as_ref()))
            .transpose()
    }
}

/// Reads a location; a path may hold any bytes.
///
/// # Errors
/// [`Error::Usage`] for what is no location.
pub(crate) fn parse_location(text: &OsStr) -> Result<Location> {
    match text.to_str() {
        Some(text) => Location::parse(text),
        None => Location::from_path(text.as_ref()),
    }
}

pub(crate) fn location_from_file(path: &Path) -> Result<Location> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::local("read", path, error))?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(Error::usage(format!("`{}` names no repository", path.display())));
    }
    Location::parse(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn lengths_of_time_are_read() {
        let seconds = |text| parse_duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("1h 30m"), Ok(5400));
        assert_eq!(seconds("0"), Ok(0));
        for wrong in ["", "5", "soon", "-5m"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    /// A command without examples leaves people to guess.
    #[test]
    fn every_command_has_examples() {
        fn look(command: &clap::Command, path: &str) {
            let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.contains("Examples:"), "`{path}` has no examples");
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
                look(sub, &format!("{path} {}", sub.get_name()));
            }
        }
        look(&Cli::command(), "larder");
    }
}
