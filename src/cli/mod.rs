//! The command line: arguments in, library calls, results out.
//!
//! Each command's file reads the same way: its arguments, what they become for the library, the
//! call, and what is printed. Nothing here decides about backups.

mod args;
mod author;
#[cfg(all(feature = "mount", any(target_os = "linux", target_os = "freebsd")))]
mod background;
mod commands;
mod context;
mod entry;
mod errors;
mod help;
mod mirrors;
mod output;
mod profile;
mod secrets;
mod select;
mod signals;
#[cfg(feature = "serve")]
mod sites;
mod time;
mod wire;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches};
use parking_lot::Mutex;

use self::args::Cli;
use self::context::Context;
use self::output::Output;
use self::profile::Profile;
use self::wire::Wire;
use crate::error::Error;
use crate::runtime::CancelToken;
use crate::storage::Access;

/// How a command that did not fail ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// Everything is as it should be.
    Done,
    /// It finished, but not all files could be read or restored.
    Incomplete,
    /// It looked for damage and found some.
    Damaged,
    /// Another process did it, and ended with this exit code.
    #[cfg(all(feature = "mount", any(target_os = "linux", target_os = "freebsd")))]
    As(u8),
}

impl Finish {
    /// [`Finish::Incomplete`] if `failed` files are not in the result.
    pub(crate) fn with_failed(failed: u64) -> Self {
        if failed == 0 { Self::Done } else { Self::Incomplete }
    }

    fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Damaged => 1,
            Self::Incomplete => 3,
            #[cfg(all(feature = "mount", any(target_os = "linux", target_os = "freebsd")))]
            Self::As(code) => code,
        }
    }
}

/// What a shell reports for a program whose reader went away, as `git log | head` does.
const EXIT_BROKEN_PIPE: u8 = 128 + 13;

/// Runs the program with its arguments (the first is the program's name) and returns its exit
/// code; everything that has to be said has been printed then.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match parse(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let json = arguments.iter().any(|argument| argument == "--json");
            return errors::report_usage(&error, json).into();
        }
    };
    start_logging(cli.command.default_log(), cli.global.json);
    let mut global = cli.global;
    let out = Arc::new(Output::new(global.json, global.quiet, global.verbose, global.no_color));
    let cancel = CancelToken::default();
    signals::install(cancel.clone(), Arc::clone(&out));
    let surroundings = || {
        let profile = Profile::choose(global.profile.as_deref())?;
        profile.fill(&mut global)?;
        // Commands for secrets are not run for what needs none.
        let access = if cli.command.uses_storage() { profile.access()? } else { Access::default() };
        let wire = Wire::new(&global, access, &out, cancel.clone())?;
        let (out, mirrors) = (Arc::clone(&out), Mutex::default());
        Ok(Context { global, out, cancel, wire, profile, mirrors })
    };
    let result = surroundings().and_then(|context| {
        let ran = cli.command.run(&context);
        let finish = mirrors::tell(&context, *ran.as_ref().unwrap_or(&Finish::Done));
        ran.map_err(|error| ended_by(&context.cancel, error))?;
        out.flush().map(|()| finish)
    });
    if out.verbose {
        tell_requests(&out);
    }
    match result {
        Ok(finish) => finish.exit_code().into(),
        Err(error) if output::is_broken_pipe(&error) => EXIT_BROKEN_PIPE.into(),
        Err(error) => {
            // Results printed before the error stay readable before it.
            let _ = out.flush();
            errors::report(&out, &error);
            error.exit_code().into()
        }
    }
}

/// Says what was asked of storage, if anything was.
fn tell_requests(out: &Output) {
    let used = out.requests.used();
    if used.requests() == 0 {
        return;
    }
    let line = match out.json {
        true => serde_json::json!({ "message_type": "storage", "storage": used }).to_string(),
        false => format!("storage   {}", wire::shown(&used)),
    };
    out.to_stderr(&line);
}

/// What ended a command: a transfer that was given up because of a signal is not the reason.
fn ended_by(cancel: &CancelToken, error: Error) -> Error {
    match (&error, cancel.check()) {
        (Error::Storage(cause), Err(cancelled)) if cause.is_temporary() => cancelled,
        _ => error,
    }
}

fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    if arguments.iter().any(|argument| argument == "--no-color") {
        command = command.color(clap::ColorChoice::Never);
    }
    let matches = command.try_get_matches_from_mut(arguments)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// `LARDER_LOG=debug` (or a filter of `tracing_subscriber`) logs to standard error. Without it only
/// commands that run for days do, with the filter `default`.
/// With `--json` each line is an object.
fn start_logging(default: Option<&str>, json: bool) {
    use tracing_subscriber::EnvFilter;
    let given = EnvFilter::try_from_env("LARDER_LOG").ok();
    if let Some(filter) = given.or_else(|| default.map(EnvFilter::new)) {
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        // A second call in one process keeps the first subscriber.
        let _ = match json {
            true => log.json().try_init(),
            false => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
        };
    }
}
