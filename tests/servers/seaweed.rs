//! SeaweedFS in one process: S3 with versions, object lock and restricted keys.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::signature::S3Key;
use super::{Daemon, Ports, Request, Response, Server, ready, tools};

/// The name by which `install.sh` knows it.
const NAME: &str = "seaweedfs";

/// A running SeaweedFS with the bucket [`Seaweed::BUCKET`].
#[derive(Debug)]
pub(crate) struct Seaweed {
    daemon: Daemon,
    ports: Ports,
    bucket: String,
    key: S3Key,
    _folder: TempDir,
}

/// Keys and what they may do.
pub(super) const IDENTITIES: &str = r#"{"identities": [
  {"name": "admin", "credentials": [{"accessKey": "adminkey", "secretKey": "adminsecret"}],
   "actions": ["Admin", "Read", "List", "Tagging", "Write"]},
  {"name": "reader", "credentials": [{"accessKey": "readerkey", "secretKey": "readersecret"}],
   "actions": ["Read", "List"]}
]}"#;

impl Seaweed {
    /// The bucket that is there from the start.
    pub(crate) const BUCKET: &str = "backups";

    /// Starts one, with nothing in it. A PUT to a missing bucket fails, as it does at AWS.
    pub(crate) fn start() -> Option<Self> {
        let program = tools::installed(NAME, "python/bin/weed")?;
        let folder = tempfile::tempdir().expect("a folder");
        let ports = Ports::take();
        let identities = folder.path().join("s3.json");
        fs::write(&identities, IDENTITIES).expect("writes its keys");
        let data = folder.path().join("data");
        fs::create_dir(&data).expect("a folder for data");
        let port = |name: &str, number| format!("-{name}.port={}", ports.get(number));
        let mut daemon = Daemon::new(&program, &folder.path().join("log"))
            .args(["-logtostderr=true", "-v=0", "mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"])
            .arg(format!("-dir={}", data.display()))
            .args([port("master", 0), port("filer", 1), port("volume", 2)])
            .args([port("s3", 3), port("admin", 4)])
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-admin.ui=false", "-webdav=false"])
            .arg(format!("-s3.config={}", identities.display()))
            .args(["-s3.iam.readOnly=false", "-s3.autoCreateBucket=false"])
            .arg(format!("-bucket={}", Self::BUCKET));
        daemon.start();
        let (bucket, key) = (Self::BUCKET.into(), S3Key::new("adminkey", "adminsecret"));
        ready(NAME, Self { daemon, ports, bucket, key, _folder: folder })
    }

    /// Where S3 is.
    pub(crate) fn port(&self) -> u16 {
        self.ports.get(3)
    }

    /// Where S3 is, as a URL.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// A key that may do everything.
    pub(crate) fn admin(&self) -> S3Key {
        S3Key::new("adminkey", "adminsecret")
    }

    /// A key that may read and list only.
    pub(crate) fn reader(&self) -> S3Key {
        S3Key::new("readerkey", "readersecret")
    }

    /// A new key that may read, list and write, and delete nothing.
    pub(crate) fn without_delete(&self) -> S3Key {
        let iam = |form: &str| {
            let request = Request::new("POST", "/")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(format!("{form}&Version=2010-05-08"));
            let request = self.admin().sign(request, "iam", self.port());
            request.send(self.port()).and_then(Response::ok).expect("IAM answers")
        };
        iam("Action=CreateUser&UserName=append");
        let made = iam("Action=CreateAccessKey&UserName=append");
        // {"Statement":[{"Effect":"Allow","Action":[...],"Resource":["arn:aws:s3:::*"]}]}
        iam("Action=PutUserPolicy&UserName=append&PolicyName=append&PolicyDocument=\
             %7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow\
             %22%2C%22Action%22%3A%5B%22s3%3AGetObject%22%2C%22s3%3APutObject%22%2C%22s3%3AListBucket\
             %22%5D%2C%22Resource%22%3A%5B%22arn%3Aaws%3As3%3A%3A%3A%2A%22%2C%22arn%3Aaws%3As3%3A%3A\
             %3A%2A%2F%2A%22%5D%7D%5D%7D");
        let element = |name| made.element(name).expect("a key is made");
        let key = S3Key { id: element("AccessKeyId"), secret: element("SecretAccessKey") };
        // The new key works a moment later.
        let mut attempts = 0;
        while self.put_as(&key, "probe/append", b"x").is_err() && attempts < 100 {
            std::thread::sleep(Duration::from_millis(50));
            attempts += 1;
        }
        key
    }

    /// Whose secrets [`Server::secrets`] gives from now on.
    pub(crate) fn use_key(&mut self, key: S3Key) {
        self.key = key;
    }

    /// Which bucket [`Server::location`] names from now on.
    pub(crate) fn use_bucket(&mut self, bucket: &str) {
        self.bucket = bucket.into();
    }

    /// Makes a bucket.
    pub(crate) fn make_bucket(&self, name: &str) {
        self.s3("PUT", &format!("/{name}"), &[], b"").expect("makes a bucket");
    }

    /// Makes a bucket with versions, object lock and this retention (`COMPLIANCE` or
    /// `GOVERNANCE`) for every object.
    pub(crate) fn make_locked_bucket(&self, name: &str, mode: &str, days: u32) {
        let lock = [("x-amz-bucket-object-lock-enabled", "true")];
        self.s3("PUT", &format!("/{name}"), &lock, b"").expect("makes a bucket");
        let rule = format!(
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>\
             <DefaultRetention><Mode>{mode}</Mode><Days>{days}</Days></DefaultRetention></Rule>\
             </ObjectLockConfiguration>"
        );
        let target = format!("/{name}?object-lock");
        self.s3("PUT", &target, &[], rule.as_bytes()).expect("sets a retention");
    }

    /// A signed request of the administrator's, past everything that is tested. `target` begins
    /// with `/bucket`.
    ///
    /// # Errors
    /// The status and text of a refusal.
    pub(crate) fn s3(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, String> {
        let mut request = Request::new(method, target).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.admin().sign(request, "s3", self.port()).send(self.port())?.ok()
    }

    fn put_as(&self, key: &S3Key, name: &str, body: &[u8]) -> Result<Response, String> {
        let request = Request::new("PUT", &format!("/{}/{name}", Self::BUCKET)).body(body);
        key.sign(request, "s3", self.port()).send(self.port())?.ok()
    }
}

impl Server for Seaweed {
    fn location(&self, path: &str) -> String {
        format!("s3://{}/{path}?endpoint={}&region=us-east-1", self.bucket, self.endpoint())
    }

    fn secrets(&self) -> Vec<(String, String)> {
        self.key.variables()
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn wait(&mut self) -> Result<(), String> {
        let (port, key) = (self.port(), self.admin());
        self.daemon.wait_for(Duration::from_secs(60), || s3_works(port, &key, Self::BUCKET))
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        self.daemon.kill();
        remove_sockets(&self.ports);
    }
}

/// Removes the sockets with the numbers of ports in their names, which it leaves.
pub(super) fn remove_sockets(ports: &Ports) {
    for number in 0..6 {
        for role in ["master", "filer", "volume", "s3", "admin"] {
            for (kind, above) in [("", 0), ("-grpc", 10_000)] {
                let port = ports.get(number) + above;
                let socket = format!("/tmp/seaweedfs-{role}{kind}-{port}.sock");
                let _ = fs::remove_file(PathBuf::from(socket));
            }
        }
    }
}

/// Writes and reads an object.
pub(super) fn s3_works(port: u16, key: &S3Key, bucket: &str) -> Result<(), String> {
    let target = format!("/{bucket}/probe/start");
    let exchange = |method, body: &[u8]| {
        let request = Request::new(method, &target).body(body);
        key.sign(request, "s3", port).send(port)?.ok()
    };
    exchange("PUT", b"ready")?;
    let read = exchange("GET", b"")?;
    if read.body == b"ready" { Ok(()) } else { Err("it gives back something else".into()) }
}
