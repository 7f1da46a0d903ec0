//! Samba, with one share and one user.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{Daemon, Ports, Server, ready, tools};

const NAME: &str = "samba";
const PASSWORD: &str = "correct horse";

/// A running smbd with the shares `share` and `readonly` (the same folder), and `other`, whose
/// folder a test may choose.
#[derive(Debug)]
pub(crate) struct Samba {
    daemon: Daemon,
    ports: Ports,
    folder: TempDir,
    user: String,
}

impl Samba {
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("", None)
    }

    /// Starts one with more settings in its `[global]` part, and the share `other` in a folder.
    pub(crate) fn start_with(settings: &str, other: Option<&Path>) -> Option<Self> {
        let program = tools::of_system(NAME, "smbd")?;
        let smbpasswd = tools::of_system(NAME, "smbpasswd")?;
        let folder = tempfile::tempdir().expect("a folder");
        let user = Command::new("id").arg("-un").output().expect("`id` runs");
        let user = String::from_utf8_lossy(&user.stdout).trim().to_owned();
        let ports = Ports::take();
        let config = configuration(folder.path(), ports.get(0), settings, other);
        fs::write(folder.path().join("smb.conf"), config).expect("writes its configuration");
        let config = folder.path().join("smb.conf");
        if let Err(reason) = set_password(&smbpasswd, &config, &user) {
            return tools::skip(NAME, &reason);
        }
        let mut daemon = Daemon::new(&program, &folder.path().join("log"))
            .args(["--foreground", "--no-process-group", "-s"])
            .arg(config);
        daemon.start();
        ready(NAME, Self { daemon, ports, folder, user })
    }

    pub(crate) fn port(&self) -> u16 {
        self.ports.get(0)
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The folder that is shared.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A location on another share.
    pub(crate) fn on_share(&self, share: &str, path: &str) -> String {
        format!("smb://{}@127.0.0.1:{}/{share}/{path}", self.user, self.port())
    }
}

fn configuration(folder: &Path, port: u16, settings: &str, other: Option<&Path>) -> String {
    let at = |name: &str| {
        let path = folder.join(name);
        fs::create_dir_all(&path).expect("a folder");
        path.display().to_string()
    };
    let other = other.map_or_else(|| at("other"), |path| path.display().to_string());
    let share = |name: &str, path: &str, more: &str| {
        format!("[{name}]\npath = {path}\nread only = no\n{more}\n")
    };
    format!(
        "[global]\nserver role = standalone server\nsmb ports = {port}\ninterfaces = 127.0.0.1\n\
         bind interfaces only = yes\ndisable netbios = yes\nload printers = no\n\
         private dir = {private}\nlock directory = {lock}\nstate directory = {state}\n\
         cache directory = {cache}\npid directory = {private}\nncalrpc dir = {private}\n\
         log file = {folder}/log\nmap to guest = never\n{settings}\n{share}{readonly}{other}",
        private = at("private"),
        lock = at("lock"),
        state = at("state"),
        cache = at("cache"),
        folder = folder.display(),
        share = share("share", &at("data"), ""),
        readonly = share("readonly", &at("data"), "write ok = no"),
        other = share("other", &other, ""),
    )
}

fn set_password(smbpasswd: &Path, config: &Path, user: &str) -> Result<(), String> {
    use std::io::Write;
    let mut child = Command::new(smbpasswd)
        .arg("-c")
        .arg(config)
        .args(["-s", "-a", user])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let twice = format!("{PASSWORD}\n{PASSWORD}\n");
    child.stdin.take().expect("a pipe").write_all(twice.as_bytes()).expect("it reads");
    let done = child.wait_with_output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    if done.status.success() { Ok(()) } else { Err(format!("smbpasswd: {said}")) }
}

impl Server for Samba {
    fn location(&self, path: &str) -> String {
        self.on_share("share", path)
    }

    fn secrets(&self) -> Vec<(String, String)> {
        vec![("LARDER_SMB_PASSWORD".into(), PASSWORD.into())]
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn wait(&mut self) -> Result<(), String> {
        let location = self.location("ready");
        let connection = self.connection();
        self.daemon.wait_for(Duration::from_secs(20), || super::round_trip(&location, &connection))
    }
}
