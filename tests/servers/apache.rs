//! Apache with mod_dav: a strict WebDAV server, over HTTP 1.1 with keep-alive.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::webdav::{self, PASSWORD, USER};
use super::{Daemon, Ports, Server, ready, tools};

const NAME: &str = "apache";

/// Modules it cannot do without.
const MODULES: [&str; 10] = [
    "mpm_event",
    "authn_core",
    "authn_file",
    "authz_core",
    "authz_user",
    "auth_basic",
    "dav",
    "dav_fs",
    "dav_lock",
    "dir",
];

/// A running Apache that serves a folder by WebDAV.
#[derive(Debug)]
pub(crate) struct Apache {
    daemon: Daemon,
    ports: Ports,
    folder: TempDir,
}

impl Apache {
    /// Starts one, with nothing in it.
    pub(crate) fn start() -> Option<Self> {
        let program = tools::of_system(NAME, "apache2")?;
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let ports = Ports::take();
        for name in ["data", "run"] {
            fs::create_dir(at(name)).expect("a folder");
        }
        let modules: String = MODULES
            .iter()
            .map(|name| {
                format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")
            })
            .collect();
        // As root it works as somebody else, who must own the files.
        let is_root = rustix::process::geteuid().is_root();
        let user = if is_root { "User www-data\nGroup www-data\n" } else { "" };
        let home = folder.path().display();
        let config = format!(
            "{modules}{user}ServerRoot {home}\nServerName 127.0.0.1\nListen 127.0.0.1:{port}\n\
             PidFile {home}/run/pid\nErrorLog {home}/log\nMutex file:{home}/run default\n\
             DefaultRuntimeDir {home}/run\nDocumentRoot {home}/data\nDavLockDB {home}/run/locks\n\
             DavMinTimeout 60\n<Directory {home}/data>\nDav On\nDirectoryIndex disabled\n\
             AuthType Basic\nAuthName larder\nAuthUserFile {home}/users\nRequire valid-user\n\
             </Directory>\n",
            port = ports.get(0),
        );
        fs::write(at("httpd.conf"), config).expect("writes its configuration");
        fs::write(at("users"), format!("{USER}:{{SHA}}{}\n", sha1(PASSWORD))).expect("its users");
        if is_root {
            open_to_www_data(&folder);
        }
        let mut daemon = Daemon::new(&program, &at("output"))
            .arg("-d")
            .arg(folder.path())
            .arg("-f")
            .arg(at("httpd.conf"))
            .arg("-DFOREGROUND");
        daemon.start();
        ready(NAME, Self { daemon, ports, folder })
    }

    pub(crate) fn port(&self) -> u16 {
        self.ports.get(0)
    }

    /// The folder on disk that it serves.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

/// Base64 of the SHA-1 of a password, as a file of users has it.
fn sha1(password: &str) -> String {
    let hex = reqsign_core::hash::hex_sha1(password.as_bytes());
    let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digit).collect();
    reqsign_core::hash::base64_encode(&bytes)
}

fn open_to_www_data(folder: &TempDir) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = passwd.lines().find_map(|line| line.strip_prefix("www-data:x:"));
    let mut ids = line.into_iter().flat_map(|line| line.split(':')).map(|id| id.parse().ok());
    let (user, group) = (ids.next().flatten(), ids.next().flatten());
    for path in [folder.path().to_path_buf(), folder.path().join("data"), folder.path().join("run")]
    {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("opens it");
        chown(&path, user, group).expect("gives it away");
    }
}

impl Server for Apache {
    fn location(&self, path: &str) -> String {
        format!("webdav+http://127.0.0.1:{}/{path}", self.ports.get(0))
    }

    fn secrets(&self) -> Vec<(String, String)> {
        webdav::secrets()
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn wait(&mut self) -> Result<(), String> {
        let port = self.ports.get(0);
        self.daemon.wait_for(Duration::from_secs(30), || webdav::works(port))
    }
}
