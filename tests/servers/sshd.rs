//! OpenSSH's server, with its own keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::{Daemon, Ports, Server, ready, tools};

const NAME: &str = "sshd";

/// A running sshd that lets the user of the test in, with one key.
#[derive(Debug)]
pub(crate) struct Sshd {
    daemon: Daemon,
    ports: Ports,
    folder: TempDir,
    user: String,
}

impl Sshd {
    /// Starts one that serves SFTP. Paths on it are those of this machine.
    pub(crate) fn start() -> Option<Self> {
        let program = tools::of_system(NAME, "sshd")?;
        let keygen = tools::of_system(NAME, "ssh-keygen")?;
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["host_key", "key"] {
            make_key(&keygen, &at(name));
        }
        fs::copy(at("key.pub"), at("authorized_keys")).expect("lets the key in");
        fs::create_dir(at("data")).expect("a folder for data");
        // Where the server has no unprivileged user of its own, this must be there.
        let _ = fs::create_dir_all("/run/sshd");
        let ports = Ports::take();
        let config = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}\n\
             UsePAM no\nStrictModes no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n\
             Subsystem sftp internal-sftp\nMaxSessions 50\nMaxStartups 100\n",
            ports.get(0),
            at("host_key").display(),
            at("authorized_keys").display(),
        );
        fs::write(at("sshd_config"), config).expect("writes its configuration");
        let host_key = fs::read_to_string(at("host_key.pub")).expect("a host key");
        let known = format!("[127.0.0.1]:{} {host_key}", ports.get(0));
        fs::write(at("known_hosts"), known).expect("writes the known hosts");
        let mut daemon =
            Daemon::new(&program, &at("log")).args(["-D", "-e", "-f"]).arg(at("sshd_config"));
        daemon.start();
        let user = Command::new("id").arg("-un").output().expect("`id` runs");
        let user = String::from_utf8_lossy(&user.stdout).trim().to_owned();
        ready(NAME, Self { daemon, ports, folder, user })
    }

    pub(crate) fn port(&self) -> u16 {
        self.ports.get(0)
    }

    /// The user's private key.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// Knows this server.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    /// The folder that locations are in.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Who logs in.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// Options for the programs `ssh` and `sftp`.
    fn client_options(&self) -> Vec<String> {
        let option = |text: String| ["-o".to_owned(), text];
        [
            option("BatchMode=yes".into()),
            option(format!("IdentityFile={}", self.key_file().display())),
            option("IdentitiesOnly=yes".into()),
            option(format!("UserKnownHostsFile={}", self.known_hosts().display())),
            option("ConnectTimeout=5".into()),
        ]
        .concat()
    }
}

fn make_key(keygen: &Path, path: &Path) {
    let made =
        Command::new(keygen).args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status();
    assert!(made.expect("ssh-keygen runs").success(), "a key is made");
}

impl Server for Sshd {
    fn location(&self, path: &str) -> String {
        let data = self.data();
        let known = self.known_hosts();
        format!(
            "sftp://{}@127.0.0.1:{}{}/{path}?known_hosts_file={}",
            self.user,
            self.port(),
            data.display(),
            known.display()
        )
    }

    fn secrets(&self) -> Vec<(String, String)> {
        vec![("LARDER_SFTP_KEY_FILE".into(), self.key_file().display().to_string())]
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn wait(&mut self) -> Result<(), String> {
        let target = format!("{}@127.0.0.1", self.user);
        let (options, port) = (self.client_options(), self.port().to_string());
        self.daemon.wait_for(Duration::from_secs(20), || {
            let ssh =
                Command::new("ssh").args(&options).args(["-p", &port, &target, "true"]).output();
            let ssh = ssh.map_err(|error| error.to_string())?;
            let said = String::from_utf8_lossy(&ssh.stderr).trim().to_owned();
            if ssh.status.success() { Ok(()) } else { Err(said) }
        })
    }
}
