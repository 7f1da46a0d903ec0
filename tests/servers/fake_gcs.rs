//! fake-gcs-server: Google Cloud Storage, in memory of its process.

use std::time::Duration;

use tempfile::TempDir;

use super::{Daemon, Ports, Request, Response, Server, ready, tools};

const NAME: &str = "fake-gcs";

/// A running fake-gcs-server with the bucket [`FakeGcs::BUCKET`]. It serves whole objects: no
/// conditions, no parts, no deletion of many at once. A [`Server::restart`] keeps what it held.
#[derive(Debug)]
pub(crate) struct FakeGcs {
    daemon: Daemon,
    ports: Ports,
    _folder: TempDir,
}

impl FakeGcs {
    /// The bucket that is there from the start.
    pub(crate) const BUCKET: &str = "backups";

    /// Starts one, with nothing in it. It asks for no credentials.
    pub(crate) fn start() -> Option<Self> {
        let program = tools::installed(NAME, "fake-gcs-server")?;
        let folder = tempfile::tempdir().expect("a folder");
        let ports = Ports::take();
        let host = format!("127.0.0.1:{}", ports.get(0));
        let mut daemon = Daemon::new(&program, &folder.path().join("log"))
            .args(["-scheme", "http", "-host", "127.0.0.1", "-port", &ports.get(0).to_string()])
            .args(["-backend", "filesystem", "-filesystem-root"])
            .arg(folder.path().join("data"))
            .args(["-public-host", &host, "-external-url", &format!("http://{host}")])
            .args(["-log-level", "error"]);
        daemon.start();
        ready(NAME, Self { daemon, ports, _folder: folder })
    }

    /// Where it is, as a URL.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.get(0))
    }
}

impl Server for FakeGcs {
    fn location(&self, path: &str) -> String {
        format!("gcs://{}/{path}?endpoint={}&unsigned=true", Self::BUCKET, self.endpoint())
    }

    fn secrets(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn wait(&mut self) -> Result<(), String> {
        let port = self.ports.get(0);
        let send = |method, target: &str, kind, body: &str| {
            let request = Request::new(method, target).header("content-type", kind).body(body);
            request.send(port)
        };
        self.daemon.wait_for(Duration::from_secs(30), || {
            let bucket = format!(r#"{{"name": "{}"}}"#, Self::BUCKET);
            let made = send("POST", "/storage/v1/b?project=p", "application/json", &bucket)?;
            if made.status != 409 {
                made.ok()?;
            }
            let bucket = Self::BUCKET;
            let upload = format!("/upload/storage/v1/b/{bucket}/o?uploadType=media&name=probe");
            send("POST", &upload, "text/plain", "ready").and_then(Response::ok)?;
            let object = format!("/storage/v1/b/{bucket}/o/probe?alt=media");
            let read = send("GET", &object, "text/plain", "")?.ok()?;
            send("DELETE", &format!("/storage/v1/b/{bucket}/o/probe"), "text/plain", "")?.ok()?;
            if read.body == b"ready" { Ok(()) } else { Err("it gives back something else".into()) }
        })
    }
}
