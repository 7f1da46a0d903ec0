//! moto's S3: a second opinion, in memory of its process.

use std::time::Duration;

use tempfile::TempDir;

use super::seaweed::s3_works;
use super::signature::S3Key;
use super::{Daemon, Ports, Request, Response, Server, ready, tools};

const NAME: &str = "moto";

/// A running moto with the bucket [`Moto::BUCKET`]. A [`Server::restart`] loses what it held.
#[derive(Debug)]
pub(crate) struct Moto {
    daemon: Daemon,
    ports: Ports,
    _folder: TempDir,
}

impl Moto {
    /// The bucket that is there from the start.
    pub(crate) const BUCKET: &str = "backups";

    /// Starts one, with nothing in it. It takes any key.
    pub(crate) fn start() -> Option<Self> {
        let program = tools::installed(NAME, "python/bin/moto_server")?;
        let folder = tempfile::tempdir().expect("a folder");
        let ports = Ports::take();
        let mut daemon = Daemon::new(&program, &folder.path().join("log"))
            .args(["-H", "127.0.0.1", "-p"])
            .arg(ports.get(0).to_string());
        daemon.start();
        ready(NAME, Self { daemon, ports, _folder: folder })
    }

    /// Where it is, as a URL.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.get(0))
    }
}

impl Server for Moto {
    fn location(&self, path: &str) -> String {
        format!("s3://{}/{path}?endpoint={}&region=us-east-1", Self::BUCKET, self.endpoint())
    }

    fn secrets(&self) -> Vec<(String, String)> {
        S3Key::new("anybody", "whatever").variables()
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn wait(&mut self) -> Result<(), String> {
        let (port, key) = (self.ports.get(0), S3Key::new("anybody", "whatever"));
        self.daemon.wait_for(Duration::from_secs(60), || {
            let bucket = Request::new("PUT", &format!("/{}", Self::BUCKET));
            key.sign(bucket, "s3", port).send(port).and_then(Response::ok)?;
            s3_works(port, &key, Self::BUCKET)
        })
    }
}
