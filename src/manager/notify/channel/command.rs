//! A program that gets the message as JSON on its standard input.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::super::notice::Notice;
use super::super::settings::{ChannelSettings, CommandSettings};
use super::super::template;
use crate::runtime::CancelToken;

/// How often it is looked whether the program has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a program of others must not see.
const PRIVATE: &str = "LARDER_";

/// What is kept of what a program complains about, bytes.
const COMPLAINT_MAX: u64 = 300;

pub(super) fn deliver(
    settings: &CommandSettings,
    channel: &ChannelSettings,
    notice: &Notice,
    cancel: &CancelToken,
) -> Result<(), String> {
    let [program, arguments @ ..] = &settings.run[..] else {
        return Err("it names no program".into());
    };
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(PRIVATE) {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .env("LARDER_EVENT", notice.event.as_str())
        .env("LARDER_REPOSITORY", &notice.repository)
        .env("LARDER_SUBJECT", template::subject(channel.subject.as_deref(), notice))
        .env("LARDER_TEXT", template::body(channel.body.as_deref(), notice))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // So that what it starts ends with it.
        .process_group(0);
    let mut child = command.spawn().map_err(|error| format!("it cannot be run: {error}"))?;
    let body = serde_json::to_vec(notice).map_err(|error| error.to_string())?;
    let stdin = child.stdin.take();
    // A program that does not read must not stop this one.
    let writer = std::thread::spawn(move || {
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(&body);
        }
    });
    let complaint = child.stderr.take().map(|stderr| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let mut stderr = stderr;
            let _ = stderr.by_ref().take(COMPLAINT_MAX).read_to_end(&mut text);
            // What is not read would stop the program.
            let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            String::from_utf8_lossy(&text).trim().to_owned()
        })
    });
    let status = wait(&mut child, Duration::from_secs(settings.timeout_seconds), cancel);
    let status = match status {
        Ok(Some(status)) => status,
        // Whatever holds its pipes is left behind.
        Ok(None) => return Err(format!("it took more than {} s", settings.timeout_seconds)),
        Err(error) => return Err(format!("it cannot be waited for: {error}")),
    };
    if status.success() {
        return Ok(());
    }
    let _ = writer.join();
    let said = complaint.and_then(|thread| thread.join().ok()).unwrap_or_default();
    Err(if said.is_empty() { format!("{status}") } else { format!("{status}: {said}") })
}

/// Waits for a program; ends it and returns `None` if it takes too long.
fn wait(
    child: &mut Child,
    longest: Duration,
    cancel: &CancelToken,
) -> std::io::Result<Option<std::process::ExitStatus>> {
    let until = Instant::now() + longest;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until || cancel.is_cancelled() {
            end(child);
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
}
