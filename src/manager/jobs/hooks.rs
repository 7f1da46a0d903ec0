//! Commands around a job.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::JobRequest;
use crate::error::{Error, Result};
use crate::manager::board::{JobHandle, JobOutcome, LogLevel};
use crate::model::{Hook, HookCommand};
use crate::runtime::CancelToken;

/// How often one looks whether a command has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A command that was asked to end gets so long, before it is killed.
const GRACE: Duration = Duration::from_secs(3);
/// What a command wrote is waited for so long after its end: something that it left in the
/// background may hold its output open.
const OUTPUT_WAIT: Duration = Duration::from_secs(1);
/// Lines of its output that go into the log, and their longest.
const LINES_MAX: usize = 100;
const LINE_LEN_MAX: u64 = 2_000;

/// What a command is told in its environment.
pub(super) struct Facts(Vec<(&'static str, String)>);

impl Facts {
    pub(super) fn of(repository: &str, request: &JobRequest, handle: &JobHandle) -> Self {
        let schedule = request.schedule.as_ref();
        let text = |name: &'static str, text: &str| (name, text.to_owned());
        Self(vec![
            text("LARDER_JOB", handle.id().as_str()),
            text("LARDER_JOB_KIND", request.job.kind()),
            text("LARDER_JOB_TITLE", &request.title.clone().unwrap_or_default()),
            text("LARDER_JOB_REPOSITORY", repository),
            text("LARDER_ATTEMPT", &request.attempt.to_string()),
            text("LARDER_SCHEDULE", schedule.map_or("", |one| one.schedule_id.as_str())),
            text("LARDER_STATUS", "running"),
        ])
    }

    /// How the job ended.
    pub(super) fn note(&mut self, ran: &Result<JobOutcome>) {
        self.0.retain(|(name, _)| *name != "LARDER_STATUS");
        match ran {
            Ok(outcome) => {
                self.0.push(("LARDER_STATUS", "success".into()));
                let id = outcome.backup_id.map(|id| id.to_string()).unwrap_or_default();
                self.0.push(("LARDER_BACKUP_ID", id));
            }
            Err(error) => {
                let status = match error {
                    Error::Cancelled { .. } => "cancelled",
                    _ => "failure",
                };
                self.0.push(("LARDER_STATUS", status.into()));
                // A NUL would keep the command from being started.
                self.0.push(("LARDER_ERROR", error.in_full().replace('\0', "?")));
            }
        }
    }
}

/// Runs a command; what it writes goes into the log.
///
/// # Errors
/// [`Error::Local`] if it cannot be run, fails or takes too long; [`Error::Cancelled`].
pub(super) fn run_hook(
    name: &'static str,
    hook: &Hook,
    facts: &Facts,
    handle: &JobHandle,
    cancel: Option<&CancelToken>,
) -> Result<()> {
    let what = format!("the hook `{name}`");
    let failed = |error: std::io::Error| Error::local("run", &what, error);
    let mut command = command_of(hook);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    // Neither is for others: what opens the repository, and the way to whoever watches this program.
    command.env_remove("LARDER_PASSWORD").env_remove("NOTIFY_SOCKET");
    command.env("LARDER_HOOK", name).envs(facts.0.iter().map(|(name, text)| (name, text)));
    handle.log(LogLevel::Info, format!("{name}: {}", hook.command));
    let mut child = command.spawn().map_err(failed)?;
    let (open, all_read) = bounded(0);
    if let Some(out) = child.stdout.take() {
        follow(name, out, handle, &open);
    }
    if let Some(err) = child.stderr.take() {
        follow(name, err, handle, &open);
    }
    drop(open);
    let ended = wait(&mut child, Duration::from_secs(u64::from(hook.timeout_s)), cancel);
    wait_for_output(&all_read);
    match ended.map_err(failed)? {
        Ended::Itself(status) if status.success() => Ok(()),
        Ended::Itself(status) => {
            Err(failed(std::io::Error::other(format!("it ended with {status}"))))
        }
        Ended::TooLate => Err(failed(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("it took more than {} seconds and was ended", hook.timeout_s),
        ))),
        Ended::Cancelled => match cancel.map(CancelToken::check) {
            Some(Err(cancelled)) => Err(cancelled),
            _ => Err(Error::Cancelled { signal: None }),
        },
    }
}

fn command_of(hook: &Hook) -> Command {
    match &hook.command {
        HookCommand::Shell(line) => {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", line]);
            shell
        }
        HookCommand::Words(words) => {
            let mut words = words.iter();
            let mut command = Command::new(words.next().map_or("", String::as_str));
            command.args(words);
            command
        }
    }
}

enum Ended {
    Itself(ExitStatus),
    TooLate,
    Cancelled,
}

fn wait(
    child: &mut Child,
    longest: Duration,
    cancel: Option<&CancelToken>,
) -> std::io::Result<Ended> {
    let until = Instant::now() + longest;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::Itself(status));
        }
        let ended = match cancel.is_some_and(CancelToken::is_cancelled) {
            true => Ended::Cancelled,
            false if Instant::now() >= until => Ended::TooLate,
            false => {
                std::thread::sleep(LOOK_EVERY);
                continue;
            }
        };
        end(child)?;
        return Ok(ended);
    }
}

/// Ends a command and all that it has started.
fn end(child: &mut Child) -> std::io::Result<()> {
    use rustix::process::{Pid, Signal, kill_process_group};
    let signal = |signal| {
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            // Whoever is gone already needs no signal.
            let _ = kill_process_group(pid, signal);
        }
    };
    signal(Signal::TERM);
    let until = Instant::now() + GRACE;
    while Instant::now() < until {
        std::thread::sleep(LOOK_EVERY);
        let is_gone = i32::try_from(child.id()).ok().and_then(Pid::from_raw).is_none_or(|pid| {
            // The leader stays until somebody asked how it ended, and so does its group.
            child.try_wait().is_ok_and(|status| status.is_some())
                && rustix::process::test_kill_process_group(pid).is_err()
        });
        if is_gone {
            return Ok(());
        }
    }
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    child.wait().map(|_| ())
}

/// Writes into the log what comes, on a thread of its own. Whoever writes more than fits is not
/// kept from it.
fn follow(
    name: &'static str,
    from: impl Read + Send + 'static,
    handle: &JobHandle,
    open: &Sender<()>,
) {
    let (handle, open) = (handle.clone(), open.clone());
    let read = move || {
        let _open = open;
        let mut from = BufReader::new(from);
        let mut lines = 0;
        let mut line = Vec::new();
        loop {
            line.clear();
            match from.by_ref().take(LINE_LEN_MAX).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => lines += 1,
            }
            if lines <= LINES_MAX {
                let text = String::from_utf8_lossy(&line);
                handle.log(LogLevel::Info, format!("{name}: {}", text.trim_end()));
            }
        }
    };
    // Without a thread its output is lost, and it may fail as nobody reads it: that is told then.
    let _ = std::thread::Builder::new().name("hook".into()).spawn(read);
}

fn wait_for_output(all_read: &Receiver<()>) {
    // Nothing is ever sent: it ends when both readers have.
    let _ = all_read.recv_timeout(OUTPUT_WAIT);
}
