//! rclone as a server: S3 that takes no notice of conditions, and WebDAV.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::seaweed::s3_works;
use super::signature::S3Key;
use super::webdav::{self, PASSWORD, USER};
use super::{Daemon, Ports, Server, ready, tools};

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
pub(crate) struct RcloneS3(Served);

impl RcloneS3 {
    /// The bucket that is there from the start.
    pub(crate) const BUCKET: &str = "backups";

    /// Starts one, with nothing in it.
    pub(crate) fn start() -> Option<Self> {
        let key = Self::key();
        let pair = format!("--auth-key={},{}", key.id, key.secret);
        ready(NAME, Self(Served::start("s3", &[&pair])?))
    }

    fn key() -> S3Key {
        S3Key::new("rclonekey", "rclonesecret")
    }

    /// The folder on disk that is its bucket.
    pub(crate) fn data(&self) -> PathBuf {
        self.0.data().join(Self::BUCKET)
    }
}

impl Server for RcloneS3 {
    fn location(&self, path: &str) -> String {
        let port = self.0.ports.get(0);
        format!("s3://{}/{path}?endpoint=http://127.0.0.1:{port}&region=us-east-1", Self::BUCKET)
    }

    fn secrets(&self) -> Vec<(String, String)> {
        Self::key().variables()
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.0.daemon
    }

    fn wait(&mut self) -> Result<(), String> {
        let port = self.0.ports.get(0);
        let patience = Duration::from_secs(30);
        self.0.daemon.wait_for(patience, || s3_works(port, &Self::key(), Self::BUCKET))
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
