//! Azurite: Azure's blob storage.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use reqsign_core::hash::{base64_decode, base64_hmac_sha256};
use tempfile::TempDir;

use super::{Daemon, Ports, Request, Response, Server, ready, tools};

const NAME: &str = "azurite";

/// A running Azurite with the container [`Azurite::CONTAINER`].
#[derive(Debug)]
pub(crate) struct Azurite {
    daemon: Daemon,
    ports: Ports,
    _folder: TempDir,
}

impl Azurite {
    /// The container that is there from the start.
    pub(crate) const CONTAINER: &str = "backups";
    /// The account that every Azurite has.
    pub(crate) const ACCOUNT: &str = "devstoreaccount1";
    /// Its key, which is published.
    pub(crate) const KEY: &str = concat!(
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/",
        "K1SZFPTOtr/KBHBeksoGMGw=="
    );

    /// Starts one, with nothing in it.
    pub(crate) fn start() -> Option<Self> {
        let script = tools::installed(NAME, "node/node_modules/azurite/dist/src/blob/main.js")?;
        let node = match tools::home().join("node/program") {
            own if own.exists() => own,
            _ => tools::of_system(NAME, "node")?,
        };
        let folder = tempfile::tempdir().expect("a folder");
        let ports = Ports::take();
        let location: PathBuf = folder.path().join("data");
        let mut daemon = Daemon::new(&node, &folder.path().join("log"))
            .arg(script)
            .args(["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location"])
            .arg(location)
            .args(["--blobHost", "127.0.0.1", "--blobPort"])
            .arg(ports.get(0).to_string());
        daemon.start();
        ready(NAME, Self { daemon, ports, _folder: folder })
    }

    pub(crate) fn port(&self) -> u16 {
        self.ports.get(0)
    }

    /// Where the account is, as a URL.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{}", self.port(), Self::ACCOUNT)
    }

    /// A request with the account's signature, past everything that is tested. `target` begins
    /// with `/container`; options after a `?` have values and stand in order.
    ///
    /// # Errors
    /// The status and text of a refusal.
    pub(crate) fn request(&self, request: Request) -> Result<Response, String> {
        signed(request, self.port())
    }
}

/// Signs and sends a request (Azure Storage, "Authorize with Shared Key").
fn signed(request: Request, port: u16) -> Result<Response, String> {
    let date = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let mut request = request.header("x-ms-date", &date).header("x-ms-version", "2023-11-03");
    request.target = format!("/{}{}", Azurite::ACCOUNT, request.target);
    let mut named: Vec<_> =
        request.headers.iter().filter(|(name, _)| name.starts_with("x-ms-")).cloned().collect();
    named.sort();
    let named: String = named.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let options: String = query
        .split('&')
        .filter_map(|option| option.split_once('='))
        .map(|(name, value)| format!("\n{name}:{value}"))
        .collect();
    let length = Some(request.body.len()).filter(|len| *len > 0).map(|len| len.to_string());
    let text = format!(
        "{}\n\n\n{}\n\n\n\n\n\n\n\n\n{named}/{}{path}{options}",
        request.method,
        length.unwrap_or_default(),
        Azurite::ACCOUNT,
    );
    let key = base64_decode(Azurite::KEY).expect("a key");
    let signature = base64_hmac_sha256(&key, text.as_bytes());
    let authorization = format!("SharedKey {}:{signature}", Azurite::ACCOUNT);
    request.header("authorization", &authorization).send(port)?.ok()
}

impl Server for Azurite {
    fn location(&self, path: &str) -> String {
        format!(
            "azblob://{}/{path}?account={}&endpoint={}",
            Self::CONTAINER,
            Self::ACCOUNT,
            self.endpoint()
        )
    }

    fn secrets(&self) -> Vec<(String, String)> {
        vec![("AZURE_STORAGE_KEY".into(), Self::KEY.into())]
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn wait(&mut self) -> Result<(), String> {
        let port = self.port();
        self.daemon.wait_for(Duration::from_secs(60), || {
            let container = format!("/{}?restype=container", Self::CONTAINER);
            match signed(Request::new("PUT", &container), port) {
                Err(refused) if !refused.starts_with("409") => return Err(refused),
                _ => {}
            }
            let blob = format!("/{}/probe/start", Self::CONTAINER);
            let write = Request::new("PUT", &blob).header("x-ms-blob-type", "BlockBlob");
            signed(write.body("ready"), port)?;
            let read = signed(Request::new("GET", &blob), port)?;
            if read.body == b"ready" { Ok(()) } else { Err("it gives back something else".into()) }
        })
    }
}
