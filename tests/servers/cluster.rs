//! SeaweedFS as a cluster: a master, three volume servers, a filer and S3, each a process. Every
//! object is on two volume servers.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use tempfile::TempDir;

use super::seaweed::{IDENTITIES, remove_sockets, s3_works};
use super::signature::S3Key;
use super::{Daemon, Ports, Request, Response, Server, ready, tools};

const NAME: &str = "seaweedfs";

/// A running cluster with the bucket [`Cluster::BUCKET`].
#[derive(Debug)]
pub(crate) struct Cluster {
    /// What ends first: those that ask others.
    s3: Daemon,
    filer: Daemon,
    volumes: Vec<Daemon>,
    master: Daemon,
    program: PathBuf,
    ports: Ports,
    _folder: TempDir,
}

/// Ports by their numbers in the block.
const MASTER: u16 = 0;
const FILER: u16 = 1;
const S3: u16 = 2;
const VOLUMES: u16 = 3;

impl Cluster {
    /// The bucket that is there from the start.
    pub(crate) const BUCKET: &str = "backups";
    /// How many volume servers it has.
    pub(crate) const SERVERS: usize = 3;

    /// Starts one, with nothing in it.
    pub(crate) fn start() -> Option<Self> {
        let program = tools::installed(NAME, "python/bin/weed")?;
        let folder = tempfile::tempdir().expect("a folder");
        let ports = Ports::take();
        let at = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir(&path).expect("a folder");
            path.display().to_string()
        };
        let role = |role: &str, port: u16| {
            let log = format!("{role}{port}.log");
            Daemon::new(&program, &folder.path().join(log))
                .args(["-logtostderr=true", "-v=0", role])
                .args(["-ip.bind=127.0.0.1".to_owned(), format!("-port={}", ports.get(port))])
        };
        let address = |port: u16| format!("127.0.0.1:{}", ports.get(port));
        let master = role("master", MASTER)
            .args(["-ip=127.0.0.1", "-defaultReplication=001", "-volumeSizeLimitMB=128"])
            .args(["-volumePreallocate=false", "-electionTimeout=1s"])
            .arg(format!("-mdir={}", at("master")));
        let volume = |number: usize| {
            role("volume", VOLUMES + number as u16)
                .args(["-ip=127.0.0.1", "-max=100", "-dataCenter=dc", "-rack=rack"])
                .args(["-preStopSeconds=0", "-volume.allowUntrustedRemoteEndpoints=true"])
                .args([
                    format!("-dir={}", at(&format!("volume{number}"))),
                    format!("-master={}", address(MASTER)),
                ])
        };
        let volumes = (0..Self::SERVERS).map(volume).collect();
        let filer = role("filer", FILER)
            .args(["-ip=127.0.0.1", "-defaultReplicaPlacement=001"])
            .arg(format!("-master={}", address(MASTER)))
            .arg(format!("-defaultStoreDir={}", at("filer")));
        let identities = folder.path().join("s3.json");
        fs::write(&identities, IDENTITIES).expect("writes its keys");
        let s3 = role("s3", S3)
            .args(["-port.iceberg=0", "-port.lance=0", "-iam.readOnly=false"])
            .arg(format!("-filer={}", address(FILER)))
            .arg(format!("-config={}", identities.display()));
        let mut cluster = Self { s3, filer, volumes, master, program, ports, _folder: folder };
        cluster.master.start();
        cluster.volumes.iter_mut().for_each(Daemon::start);
        cluster.filer.start();
        cluster.s3.start();
        ready(NAME, cluster)
    }

    /// Ends one volume server as a power cut would.
    pub(crate) fn kill_volume_server(&mut self, number: usize) {
        self.volumes[number].kill();
    }

    /// Starts it again, with what it had.
    pub(crate) fn start_volume_server(&mut self, number: usize) {
        self.volumes[number].start();
    }

    /// Copies what is on one server only to a second one, as an administrator does after a loss.
    /// Returns what the tool said.
    pub(crate) fn fix_replication(&self) -> String {
        let mut shell = Command::new(&self.program)
            .args(["shell", &format!("-master=127.0.0.1:{}", self.ports.get(MASTER))])
            .args(["-filer", &format!("127.0.0.1:{}", self.ports.get(FILER))])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the shell starts");
        let orders = b"lock\nvolume.fix.replication -force\nunlock\nexit\n";
        shell.stdin.take().expect("a pipe").write_all(orders).expect("takes orders");
        let said = shell.wait_with_output().expect("the shell ends");
        String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned()
    }

    /// Waits until the master has noticed how many volume servers there are.
    pub(crate) fn wait_for_servers(&mut self, wanted: usize) {
        let port = self.ports.get(MASTER);
        let volumes =
            self.volumes.iter().enumerate().map(|(n, _)| self.ports.get(VOLUMES + n as u16));
        let urls: Vec<String> = volumes.map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        let seen = self.master.wait_for(Duration::from_secs(60), || {
            let said = Request::new("GET", "/dir/status").send(port)?.ok()?.text();
            let there = urls.iter().filter(|url| said.contains(url.as_str())).count();
            if there == wanted { Ok(()) } else { Err(format!("{there} servers: {said}")) }
        });
        seen.expect("the master notices");
        thread::sleep(Duration::from_millis(200));
    }
}

impl Server for Cluster {
    fn location(&self, path: &str) -> String {
        let port = self.ports.get(S3);
        format!("s3://{}/{path}?endpoint=http://127.0.0.1:{port}&region=us-east-1", Self::BUCKET)
    }

    fn secrets(&self) -> Vec<(String, String)> {
        S3Key::new("adminkey", "adminsecret").variables()
    }

    /// The one that serves S3.
    fn daemon(&mut self) -> &mut Daemon {
        &mut self.s3
    }

    fn wait(&mut self) -> Result<(), String> {
        let (port, key) = (self.ports.get(S3), S3Key::new("adminkey", "adminsecret"));
        let bucket = format!("/{}", Self::BUCKET);
        self.s3.wait_for(Duration::from_secs(90), || {
            let made = key.sign(Request::new("PUT", &bucket), "s3", port).send(port)?;
            if made.status != 409 {
                made.ok().map(|_: Response| ())?;
            }
            s3_works(port, &key, Self::BUCKET)
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let all = [&mut self.s3, &mut self.filer, &mut self.master];
        all.into_iter().chain(&mut self.volumes).for_each(Daemon::kill);
        remove_sockets(&self.ports);
    }
}
