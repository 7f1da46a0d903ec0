//! How the export is found, and the connections to it: made when they are needed, kept for the
//! next call, given up when something goes wrong.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nfs3_types::mount::{self, MOUNT_PROGRAM, dirpath};
use nfs3_types::nfs3::nfs_fh3;
use nfs3_types::portmap::{self, IPPROTO_TCP, PMAP_PORT, PMAP_PROG, mapping};
use nfs3_types::rpc::{auth_unix, opaque_auth};
use nfs3_types::xdr_codec::Opaque;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::super::connection::Timeouts;
use super::super::share::Fault;
use super::client::Client;
use super::explain;
use super::replies::Mounted;
use super::target::Target;
use super::wire::Wire;
use crate::error::StorageErrorKind;

/// The port of NFS where no port mapper says otherwise.
const PORT: u16 = 2049;

/// How long a failure is told to others who want to connect, instead of trying again.
const FAILURE_HOLDS: Duration = Duration::from_secs(2);

/// Connections that wait for the next call.
const IDLE_MAX: usize = 16;

/// Where an export is.
#[derive(Clone, Debug)]
pub(super) struct Mount {
    address: SocketAddr,
    /// The deepest folder of the path that the server mounts.
    pub(super) root: nfs_fh3,
    /// The folders from there to the repository, which may not be there yet.
    pub(super) path: Vec<String>,
}

/// All connections of one storage.
pub(super) struct Mounts {
    target: Target,
    mount: Mutex<Option<Mount>>,
    failed: Mutex<Option<(Instant, Fault)>>,
    idle: Mutex<Vec<Client>>,
}

impl Mounts {
    pub(super) fn new(target: Target) -> Self {
        let (mount, failed, idle) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { target, mount, failed, idle }
    }

    /// Where the export is, asking the server the first time.
    pub(super) fn find(&self) -> Result<Mount, Fault> {
        let mut mount = self.mount.lock();
        if let Some(mount) = &*mount {
            return Ok(mount.clone());
        }
        let found = self.trying(|| wait(find(&self.target)))?;
        Ok(mount.insert(found).clone())
    }

    /// Finds the export anew with the next call: its handle is not known to the server any more.
    pub(super) fn forget(&self) {
        *self.mount.lock() = None;
    }

    /// A connection that nobody uses.
    pub(super) fn take(&self, mount: &Mount) -> Result<Client, Fault> {
        // The youngest first: the others are those that servers close.
        while let Some(client) = { self.idle.lock().pop() } {
            if client.is_idle() {
                return Ok(client);
            }
        }
        let (user, timeouts) = (user(&self.target), self.target.timeouts);
        self.trying(|| wait(connected(mount.address, user, timeouts)))
    }

    /// Keeps a connection for the next call.
    pub(super) fn give_back(&self, client: Client) {
        let mut idle = self.idle.lock();
        if !client.is_broken && idle.len() < IDLE_MAX {
            idle.push(client);
        }
    }

    /// Connects, unless that has just failed.
    fn trying<T>(&self, connect: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        if let Some((since, fault)) = &*self.failed.lock()
            && since.elapsed() < FAILURE_HOLDS
        {
            return Err(fault.clone());
        }
        let connected = connect();
        *self.failed.lock() = connected.as_ref().err().map(|f| (Instant::now(), f.clone()));
        connected
    }
}

/// Waits on this thread.
pub(super) fn wait<T, E: From<Fault>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let not_done = |why| Err(Fault::from(why).into());
    super::super::asynchronous::block_on(work).unwrap_or_else(not_done)
}

/// Who asks, by numbers (AUTH_UNIX).
fn user(target: &Target) -> opaque_auth<'static> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    // Servers refuse names of more than 255 bytes.
    let name: String = name.chars().filter(char::is_ascii).take(255).collect();
    opaque_auth::auth_unix(&auth_unix {
        stamp: 0,
        machinename: Opaque::owned(name.into_bytes()),
        uid: target.uid,
        gid: target.gid,
        gids: target.groups.clone(),
    })
}

async fn connected(
    address: SocketAddr,
    user: opaque_auth<'static>,
    timeouts: Timeouts,
) -> Result<Client, Fault> {
    Ok(Client::new(connect(address, timeouts).await?, user, timeouts.idle))
}

async fn connect(address: SocketAddr, timeouts: Timeouts) -> Result<Wire, Fault> {
    match timeout(timeouts.connect, Wire::connect(address)).await {
        Ok(Ok(wire)) => Ok(wire),
        Ok(Err(error)) => Err(Fault::temporary(format!("{address} cannot be reached: {error}"))),
        Err(_) => Err(Fault::temporary(format!("{address} does not answer"))),
    }
}

/// Looks for the export: addresses of the host, ports of its services, the deepest folder of the
/// path that it mounts.
async fn find(target: &Target) -> Result<Mount, Fault> {
    let host = &target.host;
    let looked_up = timeout(target.timeouts.connect, tokio::net::lookup_host((host.as_str(), 0)));
    let addresses = match looked_up.await {
        Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(Fault::temporary(format!("`{host}` is not known: {error}"))),
        Err(_) => return Err(Fault::temporary(format!("nobody says where `{host}` is"))),
    };
    let mut last = Fault::temporary(format!("`{host}` has no address"));
    for address in addresses {
        match find_at(target, address).await {
            Err(fault) if fault.kind == StorageErrorKind::Temporary => last = fault,
            found => return found,
        }
    }
    Err(last)
}

async fn find_at(target: &Target, host: SocketAddr) -> Result<Mount, Fault> {
    let at = |port| SocketAddr::new(host.ip(), port);
    let port = match target.port {
        Some(port) => port,
        None => {
            mapped(target, at(PMAP_PORT), (nfs3_types::nfs3::PROGRAM, nfs3_types::nfs3::VERSION))
                .await
                .unwrap_or(PORT)
        }
    };
    let mount_port = match (target.mount_port, target.port) {
        (Some(port), _) => port,
        // Where the port of NFS is given, a server of its own often takes mounts there too.
        (None, Some(port)) => match mounted(target, at(port)).await {
            Ok((root, path)) => return Ok(Mount { address: at(port), root, path }),
            Err(fault) if !fault.ends_connection => return Err(fault),
            Err(fault) => mount_port(target, at(PMAP_PORT)).await.map_err(|_| fault)?,
        },
        (None, None) => mount_port(target, at(PMAP_PORT)).await?,
    };
    let (root, path) = mounted(target, at(mount_port)).await?;
    Ok(Mount { address: at(port), root, path })
}

/// The port of the mount protocol, as the port mapper says.
async fn mount_port(target: &Target, mapper: SocketAddr) -> Result<u16, Fault> {
    mapped(target, mapper, (mount::PROGRAM, mount::VERSION)).await.map_err(|fault| {
        let text = format!("the port mapper does not say where to mount: {fault}");
        let fault = Fault { text, ..fault };
        fault.with_hint("give the ports, as in `nfs://host:2049/export?mountport=20048`")
    })
}

/// The port of a program.
async fn mapped(
    target: &Target,
    mapper: SocketAddr,
    (prog, vers): (u32, u32),
) -> Result<u16, Fault> {
    let mut client = connected(mapper, opaque_auth::default(), target.timeouts).await?;
    let arguments = mapping { prog, vers, prot: IPPROTO_TCP, port: 0 };
    let program = (portmap::PROGRAM, portmap::VERSION);
    let procedure = PMAP_PROG::PMAPPROC_GETPORT as u32;
    let port: u32 = client.call(program, procedure, &arguments).await?;
    match u16::try_from(port) {
        Ok(port @ 1..) => Ok(port),
        _ => Err(Fault::new(
            StorageErrorKind::Unusable,
            format!("{mapper} knows no program {prog} in version {vers}"),
        )),
    }
}

/// Mounts the deepest folder of the path that the server lets us: exports may be folders above,
/// and the repository need not be there yet. Returns its handle, and what of the path is left.
async fn mounted(target: &Target, address: SocketAddr) -> Result<(nfs_fh3, Vec<String>), Fault> {
    let wire = connect(address, target.timeouts).await?;
    let is_privileged = wire.socket().is_privileged();
    let mut client = Client::new(wire, user(target), target.timeouts.idle);
    let program = (mount::PROGRAM, mount::VERSION);
    let procedure = MOUNT_PROGRAM::MOUNTPROC3_MNT as u32;
    let mut refused = None;
    for depth in (0..=target.path.len()).rev() {
        let path = format!("/{}", target.path[..depth].join("/"));
        let arguments = dirpath(Opaque::borrowed(path.as_bytes()));
        let Mounted(mounted) = client.call(program, procedure, &arguments).await?;
        match mounted {
            Ok(root) => {
                tracing::debug!(%address, path, is_privileged, "mounted");
                return Ok((root, target.path[depth..].to_vec()));
            }
            // That access is not allowed says more than that a folder above is no export.
            Err(state) => match refused {
                Some((1 | 13, _)) => {}
                _ => refused = Some((state, path)),
            },
        }
    }
    let (state, path) = refused.unwrap_or_default();
    Err(explain::mount(state, &path, &target.host, is_privileged))
}
