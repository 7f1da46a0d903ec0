//! rclone as a server: S3 that takes no notice of conditions, WebDAV, and NFS.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::seaweed::s3_works;
use super::signature::S3Key;
use super::webdav::{self, PASSWORD, USER};
use super::{Daemon, Ports, Samba, Server, ready, tools};

const NAME: &str = "rclone";

/// `rclone serve` of a folder.
#[derive(Debug)]
struct Served {
    daemon: Daemon,
    ports: Ports,
    folder: TempDir,
}

impl Served {
    fn start(kind: &str, arguments: &[&str]) -> Option<Self> {
        let program = tools::installed(NAME, "python/bin/rclone")?;
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        fs::create_dir_all(data.join(RcloneS3::BUCKET)).expect("a folder for data");
        let ports = Ports::take();
        let mut daemon = Daemon::new(&program, &folder.path().join("log"))
            .args(["serve", kind])
            .arg(&data)
            .arg(format!("--addr=127.0.0.1:{}", ports.get(0)))
            .args(arguments.iter().copied())
            // It would read the user's own configuration, and keep files there.
            .arg(format!("--config={}", folder.path().join("rclone.conf").display()))
            .arg(format!("--cache-dir={}", folder.path().join("cache").display()));
        daemon.start();
        Some(Self { daemon, ports, folder })
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

/// `rclone serve s3`: a PUT with `If-None-Match` replaces what is there.
#[derive(Debug)]
pub(crate) struct RcloneS3 {
    served: Served,
    is_tls: bool,
}

impl RcloneS3 {
    /// The bucket that is there from the start.
    pub(crate) const BUCKET: &str = "backups";

    /// Starts one, with nothing in it.
    pub(crate) fn start() -> Option<Self> {
        let key = Self::key();
        let pair = format!("--auth-key={},{}", key.id, key.secret);
        ready(NAME, Self { served: Served::start("s3", &[&pair])?, is_tls: false })
    }

    /// The same by TLS, with this certificate and its key (PEM).
    pub(crate) fn start_with_tls(certificate: &str, key: &str) -> Option<Self> {
        let pair = Self::key();
        let pair = format!("--auth-key={},{}", pair.id, pair.secret);
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("writes it");
            format!("--{name}={}", folder.path().join(name).display())
        };
        let (certificate, key) = (file("cert", certificate), file("key", key));
        let served = Served::start("s3", &[&pair, &certificate, &key])?;
        ready(NAME, Self { served, is_tls: true })
    }

    fn key() -> S3Key {
        S3Key::new("rclonekey", "rclonesecret")
    }

    /// The folder on disk that is its bucket.
    pub(crate) fn data(&self) -> PathBuf {
        self.served.data().join(Self::BUCKET)
    }
}

impl Server for RcloneS3 {
    fn location(&self, path: &str) -> String {
        let port = self.served.ports.get(0);
        let (bucket, scheme) = (Self::BUCKET, if self.is_tls { "https" } else { "http" });
        format!("s3://{bucket}/{path}?endpoint={scheme}://127.0.0.1:{port}&region=us-east-1")
    }

    fn secrets(&self) -> Vec<(String, String)> {
        Self::key().variables()
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.served.daemon
    }

    fn wait(&mut self) -> Result<(), String> {
        let port = self.served.ports.get(0);
        let patience = Duration::from_secs(30);
        let is_tls = self.is_tls;
        self.served.daemon.wait_for(patience, || match is_tls {
            // Whether its certificate is any good is what the test is about.
            true => TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|e| e.to_string()),
            false => s3_works(port, &Self::key(), Self::BUCKET),
        })
    }
}

/// `rclone serve webdav`.
#[derive(Debug)]
pub(crate) struct RcloneDav(Served);

impl RcloneDav {
    /// Starts one, with nothing in it.
    pub(crate) fn start() -> Option<Self> {
        let (user, password) = (format!("--user={USER}"), format!("--pass={PASSWORD}"));
        ready(NAME, Self(Served::start("webdav", &[&user, &password])?))
    }

    /// The folder on disk that it serves.
    pub(crate) fn data(&self) -> PathBuf {
        self.0.data()
    }
}

impl Server for RcloneDav {
    fn location(&self, path: &str) -> String {
        format!("webdav+http://127.0.0.1:{}/{path}", self.0.ports.get(0))
    }

    fn secrets(&self) -> Vec<(String, String)> {
        webdav::secrets()
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.0.daemon
    }

    fn wait(&mut self) -> Result<(), String> {
        let port = self.0.ports.get(0);
        self.0.daemon.wait_for(Duration::from_secs(30), || webdav::works(port))
    }
}

/// `rclone serve nfs`: no hard links, no exclusive names, no port mapper.
#[derive(Debug)]
pub(crate) struct RcloneNfs(Served);

impl RcloneNfs {
    /// Starts one, with nothing in it.
    pub(crate) fn start() -> Option<Self> {
        // Without it files can only be written from their beginning to their end.
        ready(NAME, Self(Served::start("nfs", &["--vfs-cache-mode=writes"])?))
    }
}

impl Server for RcloneNfs {
    fn location(&self, path: &str) -> String {
        format!("nfs://127.0.0.1:{}/{path}", self.0.ports.get(0))
    }

    fn secrets(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.0.daemon
    }

    fn wait(&mut self) -> Result<(), String> {
        let (location, connection) = (self.location("ready"), self.connection());
        let patience = Duration::from_secs(30);
        self.0.daemon.wait_for(patience, || super::round_trip(&location, &connection))
    }
}

/// A share of Samba, mounted by rclone through FUSE.
#[derive(Debug)]
pub(crate) struct RcloneMount {
    daemon: Daemon,
    path: PathBuf,
}

impl RcloneMount {
    /// Mounts the share at an empty folder.
    pub(crate) fn start(server: &Samba, path: &Path) -> Option<Self> {
        let program = tools::installed(NAME, "python/bin/rclone")?;
        tools::of_system(NAME, "fusermount3")?;
        let hidden = Command::new(&program).args(["obscure", server.password()]).output();
        let hidden = String::from_utf8_lossy(&hidden.expect("rclone runs").stdout).into_owned();
        let (user, port) = (server.user(), server.port());
        let hidden = hidden.trim();
        let remote = format!(":smb,host=127.0.0.1,port={port},user={user},pass={hidden}:share");
        let folder = server.data().with_file_name("mount");
        fs::create_dir_all(&folder).expect("a folder");
        let mut daemon = Daemon::new(&program, &folder.join("log"))
            .args(["mount", &remote])
            .arg(path)
            .args(["--vfs-cache-mode=writes", "--vfs-write-back=0s", "--dir-cache-time=0s"])
            .arg(format!("--config={}", folder.join("rclone.conf").display()))
            .arg(format!("--cache-dir={}", folder.join("cache").display()));
        daemon.start();
        let mut mount = Self { daemon, path: path.into() };
        // As long as nothing is mounted, both folders are on one file system.
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        let is_mounted = || match device(path) != path.parent().and_then(device) {
            true => Ok(()),
            false => Err("nothing is mounted".to_owned()),
        };
        match mount.daemon.wait_for(Duration::from_secs(20), is_mounted) {
            Ok(()) => Some(mount),
            Err(why) => {
                let log = mount.daemon.last_words();
                println!("skipped: a mounted share because {why}; the log ends with: {log}");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RcloneMount {
    fn drop(&mut self) {
        let _ = Command::new("fusermount3").args(["-u", "-z"]).arg(&self.path).status();
    }
}
