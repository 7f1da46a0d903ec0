//! NFS-Ganesha, with one export and version 3 of the protocol.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::{Daemon, Ports, Server, ready, tools};

const NAME: &str = "nfs";

/// A running ganesha.nfsd that exports one folder to read and write, and one to read.
#[derive(Debug)]
pub(crate) struct NfsServer {
    daemon: Daemon,
    ports: Ports,
    folder: TempDir,
    data: PathBuf,
}

/// It registers itself with the port mapper of the machine and ends if there is none. Tests give
/// their ports in the location, so this says that all is well.
const NO_PORT_MAPPER: &str =
    "int rpcb_set(void) { return 1; }\nint rpcb_unset(void) { return 1; }\n";

impl NfsServer {
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// Starts one that exports this folder.
    pub(crate) fn start_with(data: Option<&Path>) -> Option<Self> {
        let program = tools::of_system(NAME, "ganesha.nfsd")?;
        if !rustix::process::geteuid().is_root() {
            return tools::skip(NAME, "only root can start the server");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let preload = match compile(NO_PORT_MAPPER, folder.path()) {
            Ok(library) => library,
            Err(reason) => return tools::skip(NAME, &reason),
        };
        let data = data.map_or_else(|| at("data"), Path::to_owned);
        fs::create_dir_all(&data).expect("a folder for data");
        let ports = Ports::take();
        fs::create_dir_all(at("readonly")).expect("a folder to read");
        let config = configuration(&ports, &data, &at("readonly"));
        fs::write(at("ganesha.conf"), config).expect("its configuration");
        let mut daemon = Daemon::new(&program, &at("output"))
            .arg("-F")
            .args(["-f".into(), at("ganesha.conf")])
            .args(["-L".into(), at("log")])
            .args(["-p".into(), at("pid")])
            .env("LD_PRELOAD", &preload.display().to_string());
        daemon.start();
        ready(NAME, Self { daemon, ports, folder, data })
    }

    pub(crate) fn port(&self) -> u16 {
        self.ports.get(0)
    }

    /// The folder that is exported.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The folder that is exported to be read.
    pub(crate) fn readonly(&self) -> PathBuf {
        self.folder.path().join("readonly")
    }

    /// A location with another path on the server, and more options.
    pub(crate) fn at(&self, path: &Path, options: &str) -> String {
        let (port, mount_port) = (self.port(), self.ports.get(1));
        format!("nfs://127.0.0.1:{port}{}?mountport={mount_port}{options}", path.display())
    }

    /// What the server says of itself.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

fn compile(source: &str, folder: &Path) -> Result<PathBuf, String> {
    let (file, library) = (folder.join("preload.c"), folder.join("preload.so"));
    fs::write(&file, source).expect("a source");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&file);
    let compiled = compiler.output().map_err(|error| format!("there is no `cc`: {error}"))?;
    match compiled.status.success() {
        true => Ok(library),
        false => Err(String::from_utf8_lossy(&compiled.stderr).into_owned()),
    }
}

/// Without caches: tests change what is on disk behind the back of the server.
fn configuration(ports: &Ports, data: &Path, readonly: &Path) -> String {
    let export = |id: u16, path: &Path, access: &str| {
        format!(
            "EXPORT {{ Export_Id = {id}; Path = {path}; Pseudo = /export{id}; Tag = tag{id};\n\
             Access_Type = {access}; Squash = No_Root_Squash; SecType = sys; Protocols = 3;\n\
             Transports = TCP; Attr_Expiration_Time = 0; FSAL {{ Name = VFS; }} }}\n",
            path = path.display()
        )
    };
    format!(
        "NFS_CORE_PARAM {{ NFS_Port = {}; MNT_Port = {}; Protocols = 3; Bind_addr = 127.0.0.1;\n\
         Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }}\n\
         MDCACHE {{ Dir_Chunk = 0; }}\nLOG {{ Default_Log_Level = EVENT; }}\n{}{}",
        ports.get(0),
        ports.get(1),
        export(1, data, "RW"),
        export(2, readonly, "RO"),
    )
}

impl Server for NfsServer {
    fn location(&self, path: &str) -> String {
        self.at(&self.data.join(path), "")
    }

    fn secrets(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }

    fn wait(&mut self) -> Result<(), String> {
        let location = self.location("ready");
        let connection = self.connection();
        self.daemon.wait_for(Duration::from_secs(30), || super::round_trip(&location, &connection))
    }
}
