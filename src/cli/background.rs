//! A command that goes on in the background: it is started once more as a process of its own, and
//! the first one waits until that has done what people wait for.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Finish;
use super::output::Output;
use crate::error::{Error, Result};

/// Says to a program that it is the one in the background. Its standard input is a socket then.
const VARIABLE: &str = "LARDER_IN_BACKGROUND";

/// What is written to the socket when it is ready.
const READY: &[u8] = b"r";

/// Whether this is the program in the background.
pub(crate) fn is_it() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// Starts this program once more with the same arguments, and waits until that is [`ready`]. If it
/// ends before, it has said why, and its exit code is that of this program.
///
/// # Errors
/// [`Error::Local`] if it cannot be started.
pub(crate) fn start() -> Result<Finish> {
    let program = std::env::current_exe().map_err(|error| failed("larder", error))?;
    let (mut here, there) = UnixStream::pair().map_err(|error| failed(program.display(), error))?;
    let mut child = Command::new(&program)
        .args(std::env::args_os().skip(1))
        .env(VARIABLE, "1")
        .stdin(Stdio::from(OwnedFd::from(there)))
        .spawn()
        .map_err(|error| failed(program.display(), error))?;
    let mut said = Vec::new();
    // An error is the end, too.
    let _ = here.by_ref().take(READY.len() as u64).read_to_end(&mut said);
    if said == READY {
        return Ok(Finish::Done);
    }
    let status = child.wait().map_err(|error| failed(program.display(), error))?;
    Ok(Finish::As(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// Lets the first program end: this one leaves the terminal, and what it says from now on goes to
/// the end of `log`, or nowhere.
///
/// # Errors
/// [`Error::Local`] if the file cannot be written.
pub(crate) fn ready(log: Option<&Path>, out: &Output) -> Result<()> {
    let nowhere = Path::new("/dev/null");
    let log = log.unwrap_or(nowhere);
    let open = |path: &Path, options: &mut OpenOptions| -> Result<File> {
        options.open(path).map_err(|error| Error::local("write to", path, error))
    };
    let output = open(log, OpenOptions::new().append(true).create(true))?;
    let input = open(nowhere, OpenOptions::new().read(true))?;
    let failed = |error: rustix::io::Errno| failed("a background process", error.into());
    // A child of a shell's job becomes a session of its own, without that terminal.
    rustix::process::setsid().map_err(failed)?;
    rustix::io::write(rustix::stdio::stdin(), READY).map_err(failed)?;
    rustix::stdio::dup2_stdin(&input).map_err(failed)?;
    rustix::stdio::dup2_stdout(&output).map_err(failed)?;
    rustix::stdio::dup2_stderr(&output).map_err(failed)?;
    out.redirect(output);
    Ok(())
}

fn failed(what: impl ToString, error: std::io::Error) -> Error {
    Error::local("start", what.to_string(), error)
}
