//! Giving way to other programs.

use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// The most that a process can give way.
const NICE_MAX: u8 = 19;

/// Lets this thread, and all that it starts from now on, give way to other programs: at the
/// processor by `nice` (0 to 19), at disks wholly if `idle_io` is set.
///
/// # Errors
/// [`Error::Usage`] for a number beyond 19; [`Error::Local`] if the system refuses.
pub fn lower_priority(nice: u8, idle_io: bool) -> Result<()> {
    if nice > NICE_MAX {
        return Err(Error::usage(format!("`nice` is a number from 0 to {NICE_MAX}")));
    }
    if nice > 0 {
        let own = rustix::process::getpriority_process(None).unwrap_or_default();
        // Nobody but root may take back what was given.
        let wanted = i32::from(nice).max(own);
        rustix::process::setpriority_process(None, wanted)
            .map_err(|error| Error::local("lower", "the priority of the process", error))?;
    }
    if idle_io {
        idle()?;
    }
    Ok(())
}

/// By the program of util-linux: there is no safe call for it.
fn idle() -> Result<()> {
    let failed = |error| Error::local("run", "ionice", error);
    let pid = rustix::process::getpid().as_raw_nonzero().to_string();
    let status = Command::new("ionice")
        .args(["-c", "3", "-p", &pid])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(failed)?;
    match status.success() {
        true => Ok(()),
        false => Err(failed(std::io::Error::other(format!("it ended with {status}")))),
    }
}
