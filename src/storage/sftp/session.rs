//! One `ssh` process and the SFTP session inside it.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openssh_sftp_client::{Error as SftpError, Sftp, SftpOptions};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};

use super::explain::SshSaid;
use crate::storage::Timeouts;

/// How long ssh may take to say its last words.
const LAST_WORDS_MAX: Duration = Duration::from_secs(2);

/// How much of what ssh says is kept.
const SAID_MAX: usize = 8 << 10;

/// What is done about the key of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum KnownHosts {
    /// It has to be known already.
    Strict,
    /// One never seen is believed and written down; one that changed is refused.
    AcceptNew,
}

/// Where ssh connects to, and as whom.
#[derive(Clone, Debug)]
pub(in crate::storage) struct Destination {
    /// A name, an address, or a `Host` of `~/.ssh/config`.
    pub(in crate::storage) host: String,
    /// The user there, if it is not what ssh would take.
    pub(in crate::storage) user: Option<String>,
    /// The port, if it is not what ssh would take.
    pub(in crate::storage) port: Option<u16>,
    /// A private key to use, and no other.
    pub(in crate::storage) key: Option<PathBuf>,
    /// What is done about the server's key.
    pub(in crate::storage) known_hosts: KnownHosts,
    /// A file used in place of `~/.ssh/config`.
    pub(in crate::storage) config: Option<PathBuf>,
    /// A file used in place of `~/.ssh/known_hosts`.
    pub(in crate::storage) known_hosts_file: Option<PathBuf>,
    /// How long the server may be silent.
    pub(in crate::storage) timeouts: Timeouts,
}

impl Destination {
    /// As ssh would take it, for messages.
    pub(super) fn shown(&self) -> String {
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let port = self.port.map(|port| format!("-p {port} ")).unwrap_or_default();
        format!("{port}{user}{}", self.host)
    }

    fn command(&self) -> Command {
        let mut ssh = Command::new("ssh");
        let strict = match self.known_hosts {
            KnownHosts::Strict => "StrictHostKeyChecking=yes",
            KnownHosts::AcceptNew => "StrictHostKeyChecking=accept-new",
        };
        for option in [
            "BatchMode=yes",
            strict,
            &format!("ConnectTimeout={}", at_least_a_second(self.timeouts.connect)),
            // A server or network that went away is noticed within the time it may be silent.
            &format!("ServerAliveInterval={}", at_least_a_second(self.timeouts.idle / 4)),
            "ServerAliveCountMax=3",
            // What a configuration for shells may ask for has no place here.
            "ClearAllForwardings=yes",
            "ForwardAgent=no",
            "ForwardX11=no",
            "PermitLocalCommand=no",
            "RemoteCommand=none",
            "RequestTTY=no",
            "ControlMaster=no",
            "EscapeChar=none",
            "LogLevel=INFO",
        ] {
            ssh.arg("-o").arg(option);
        }
        if let Some(config) = &self.config {
            ssh.arg("-F").arg(config);
        }
        if let Some(file) = &self.known_hosts_file {
            // In quotes: ssh splits the value at spaces.
            ssh.arg("-o").arg(format!("UserKnownHostsFile=\"{}\"", file.display()));
        }
        if let Some(key) = &self.key {
            ssh.arg("-o").arg("IdentitiesOnly=yes").arg("-i").arg(key);
        }
        if let Some(user) = &self.user {
            ssh.arg("-l").arg(user);
        }
        if let Some(port) = self.port {
            ssh.arg("-p").arg(port.to_string());
        }
        // After `--` even a host that begins with `-` is no option.
        ssh.arg("-s").arg("--").arg(&self.host).arg("sftp");
        // Whatever still wants to ask, such as the ssh to a jump host, which does not inherit
        // `BatchMode`, asks a program that says no, and never a terminal.
        ssh.env("SSH_ASKPASS", "false").env("SSH_ASKPASS_REQUIRE", "force");
        // A Ctrl-C in the terminal ends this program in order, with its connection still there.
        ssh.process_group(0).kill_on_drop(true);
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ssh
    }
}

/// An open session. Ends with its last user.
pub(super) struct Session {
    sftp: Sftp,
    destination: String,
    words: Arc<Words>,
    /// Killed when dropped.
    _ssh: Child,
}

/// What ssh said so far.
#[derive(Default)]
struct Words {
    said: Mutex<Vec<u8>>,
    /// Whether it ended, or this session is to be used no more.
    ended: AtomicBool,
    silent: tokio::sync::Notify,
}

impl Session {
    /// Connects.
    pub(super) async fn open(destination: &Destination) -> Result<Self, SshSaid> {
        let shown = destination.shown();
        let mut ssh = destination.command().spawn().map_err(|error| not_started(&error))?;
        let (Some(input), Some(output), Some(stderr)) =
            (ssh.stdin.take(), ssh.stdout.take(), ssh.stderr.take())
        else {
            return Err(SshSaid::nothing("it has no input or output", &shown));
        };
        let words = Arc::new(Words::default());
        tokio::spawn(words.clone().listen(stderr));
        let begin = Sftp::new(input, output, SftpOptions::default());
        let longest = destination.timeouts.connect + destination.timeouts.idle;
        match tokio::time::timeout(longest, begin).await {
            Ok(Ok(sftp)) => {
                tracing::debug!(destination = shown, "connected by ssh");
                Ok(Self { sftp, destination: shown, words, _ssh: ssh })
            }
            Ok(Err(error)) => Err(words.last(&error.to_string(), &shown).await),
            Err(_) => {
                let what = format!("there was no answer within {} s", longest.as_secs());
                drop(ssh);
                Err(words.last(&what, &shown).await)
            }
        }
    }

    pub(super) fn sftp(&self) -> &Sftp {
        &self.sftp
    }

    /// Whether calls can still be made.
    pub(super) fn is_open(&self) -> bool {
        !self.words.ended.load(Ordering::SeqCst)
    }

    /// Uses it for nothing new.
    pub(super) fn give_up(&self) {
        self.words.ended.store(true, Ordering::SeqCst);
    }

    /// Why it ended.
    pub(super) async fn lost(&self, error: &SftpError) -> SshSaid {
        self.give_up();
        self.words.last(&format!("the connection was lost: {error}"), &self.destination).await
    }
}

impl Words {
    /// Keeps what ssh says until it ends.
    async fn listen(self: Arc<Self>, mut stderr: ChildStderr) {
        let mut piece = [0; 1024];
        while let Ok(len @ 1..) = stderr.read(&mut piece).await {
            let mut said = self.said.lock();
            said.extend_from_slice(&piece[..len]);
            let excess = said.len().saturating_sub(SAID_MAX);
            said.drain(..excess);
        }
        self.ended.store(true, Ordering::SeqCst);
        self.silent.notify_waiters();
    }

    /// All that ssh says before it ends; `otherwise`, if that is nothing.
    async fn last(&self, otherwise: &str, destination: &str) -> SshSaid {
        let silent = self.silent.notified();
        if !self.ended.load(Ordering::SeqCst) {
            let _ = tokio::time::timeout(LAST_WORDS_MAX, silent).await;
        }
        let said = String::from_utf8_lossy(&self.said.lock()).into_owned();
        tracing::debug!(destination, said, otherwise, "ssh failed");
        SshSaid::understand(&said, otherwise, destination)
    }
}

/// What ssh takes: whole seconds.
fn at_least_a_second(time: Duration) -> u64 {
    time.as_secs().max(1)
}

fn not_started(error: &io::Error) -> SshSaid {
    if error.kind() == io::ErrorKind::NotFound {
        return SshSaid::not_installed();
    }
    SshSaid::nothing(&format!("it could not be started: {error}"), "")
}
