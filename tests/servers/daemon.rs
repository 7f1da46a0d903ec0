//! A server process that lives no longer than the test.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};
use std::{io, thread};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

/// How a server is started, and its process while it runs.
#[derive(Debug)]
pub(crate) struct Daemon {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// What it prints goes to `log`.
    pub(crate) fn new(program: &Path, log: &Path) -> Self {
        let (program, log) = (program.into(), log.into());
        Self { program, arguments: vec![], environment: vec![], log, child: None }
    }

    pub(crate) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn args<A: Into<OsString>>(mut self, all: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(all.into_iter().map(Into::into));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts the process, which must not be running.
    ///
    /// # Panics
    /// If it cannot be started at all.
    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(&self.log).expect("a log");
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().map(|(n, v)| (n, v)));
        command.stdin(Stdio::null()).stderr(log.try_clone().expect("a log")).stdout(log);
        self.child = Some(spawn(command).expect("the server can be started"));
    }

    /// The number of the process, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Ends it and all that it started, at once.
    pub(crate) fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        for id in family(child.id()) {
            signal(id, Signal::KILL);
        }
        let _ = child.wait();
    }

    /// Freezes it and all that it started.
    pub(crate) fn stop(&mut self) {
        self.signal_family(Signal::STOP);
        // It takes a moment until they stand.
        let end = Instant::now() + Duration::from_secs(5);
        let runs = |id: &u32| stat(*id).is_some_and(|(state, _)| !matches!(&*state, "T" | "Z"));
        while self.id().map(family).unwrap_or_default().iter().any(runs) && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets all of it go on.
    pub(crate) fn cont(&mut self) {
        self.signal_family(Signal::CONT);
    }

    fn signal_family(&self, which: Signal) {
        for id in self.id().map(family).unwrap_or_default() {
            signal(id, which);
        }
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Repeats `attempt` until it works or `patience` is at its end.
    ///
    /// # Errors
    /// What the last attempt ended with.
    pub(crate) fn wait_for(
        &mut self,
        patience: Duration,
        mut attempt: impl FnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        let end = Instant::now() + patience;
        loop {
            let failure = match attempt() {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if self.has_ended() {
                return Err(format!("it has ended by itself ({failure})"));
            }
            if Instant::now() > end {
                return Err(failure);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn signal(id: u32, which: Signal) {
    if let Some(id) = Pid::from_raw(id as i32) {
        // It may have ended by now.
        let _ = kill_process(id, which);
    }
}

/// A process and all that descend from it, whatever session they are in.
fn family(id: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|id| Some((id, stat(id)?.1)))
        .collect();
    let mut all = vec![id];
    let mut at = 0;
    while let Some(&parent) = all.get(at) {
        all.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        at += 1;
    }
    all
}

/// State and parent of a process: what follows the name in brackets.
fn stat(id: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut rest = stat.rsplit_once(')')?.1.split_whitespace();
    Some((rest.next()?.into(), rest.next()?.parse().ok()?))
}

/// Starts processes on one thread that lives as long as this process. The system's signal at the
/// death of a parent comes at the death of the thread that made the child: a server started by a
/// thread of a test would die with that thread.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static ORDERS: Mutex<Option<mpsc::Sender<Order>>> = Mutex::new(None);
    let (answer, answered) = mpsc::channel();
    let mut orders = ORDERS.lock().expect("no panic");
    let orders = orders.get_or_insert_with(|| {
        let (orders, all) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (command, answer) in all {
                let _ = answer.send(spawn_here(command));
            }
        });
        orders
    });
    orders.send((command, answer)).expect("the thread waits for orders");
    answered.recv().expect("an answer")
}

#[allow(unsafe_code)]
fn spawn_here(mut command: Command) -> io::Result<Child> {
    // SAFETY: between fork and exec this makes one system call and touches no memory.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    command.spawn()
}
