//! The requests of NFS version 3 that a repository needs, each as one call.

use std::time::Duration;

use nfs3_client::rpc::RpcClient;
use nfs3_types::nfs3::{
    self, COMMIT3args, COMMIT3res, CREATE3args, GETATTR3args, GETATTR3res, LINK3args, LOOKUP3args,
    MKDIR3args, NFS_PROGRAM, Nfs3Option, Nfs3Result, READ3args, READDIRPLUS3args, REMOVE3args,
    RENAME3args, WRITE3args, WRITE3res, WRITE3resok, cookieverf3, createhow3, diropargs3, fattr3,
    nfs_fh3, nfsstat3, sattr3, stable_how, writeverf3,
};
use nfs3_types::rpc::opaque_auth;
use nfs3_types::xdr_codec::{Opaque, Pack, Unpack};

use super::super::share::Fault;
use super::super::waiting;
use super::explain;
use super::replies::{Batch, Bytes, Done, Entries, Found, Made};
use super::wire::{Socket, Wire};

/// Only the owner reads and writes objects: names and times would tell others something too.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Bytes of one part of a listing.
const LIST_LEN: u32 = 64 << 10;

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The server said no.
    Status(nfsstat3),
    /// It could not be asked, or its answer means nothing.
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Refusal {
    /// Whether the server said just this.
    pub(super) fn is(&self, status: nfsstat3) -> bool {
        matches!(self, Self::Status(said) if *said == status)
    }

    /// Whether a handle is one of a file that is gone, or of a server that has forgotten it.
    pub(super) fn is_stale(&self) -> bool {
        self.is(nfsstat3::NFS3ERR_STALE) || self.is(nfsstat3::NFS3ERR_BADHANDLE)
    }

    /// Whether there is nothing of that name.
    pub(super) fn is_missing(&self) -> bool {
        self.is(nfsstat3::NFS3ERR_NOENT) || self.is(nfsstat3::NFS3ERR_NOTDIR)
    }
}

pub(super) type Answer<T> = Result<T, Refusal>;

/// A connection for one call at a time.
pub(super) struct Client {
    rpc: RpcClient<Wire>,
    socket: Socket,
    /// The longest wait for an answer: a disk that sleeps takes its time.
    patience: Duration,
    /// A request is under way, or was lost: what the connection says next is not known.
    pub(super) is_broken: bool,
}

/// A file or a folder.
pub(super) struct Node {
    pub(super) handle: nfs_fh3,
    pub(super) attributes: fattr3,
}

impl Client {
    pub(super) fn new(wire: Wire, user: opaque_auth<'static>, patience: Duration) -> Self {
        let socket = wire.socket();
        let rpc = RpcClient::new_with_auth(wire, user, opaque_auth::default());
        Self { rpc, socket, patience, is_broken: false }
    }

    /// Whether it can be used for a next call.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_broken && self.socket.is_idle()
    }

    /// Calls a procedure of any program.
    pub(super) async fn call<R: Unpack>(
        &mut self,
        (program, version): (u32, u32),
        procedure: u32,
        arguments: &(impl Pack + Send + Sync),
    ) -> Result<R, Fault> {
        let patience = self.patience;
        self.is_broken = true;
        let call = self.rpc.call(program, version, procedure, arguments);
        match tokio::time::timeout(patience, call).await {
            Ok(Ok(reply)) => {
                self.is_broken = false;
                waiting::is_alive();
                Ok(reply)
            }
            Ok(Err(error)) => Err(explain::rpc(&error)),
            Err(_) => {
                let text = format!("the server did not answer for {} seconds", patience.as_secs());
                Err(Fault { ends_connection: true, ..Fault::temporary(text) })
            }
        }
    }

    async fn ask<R: Unpack>(
        &mut self,
        procedure: NFS_PROGRAM,
        arguments: &(impl Pack + Send + Sync),
    ) -> Result<R, Fault> {
        let program = (nfs3::PROGRAM, nfs3::VERSION);
        self.call(program, procedure as u32, arguments).await
    }

    /// What is in a folder under a name.
    pub(super) async fn look_up(&mut self, folder: &nfs_fh3, name: &str) -> Answer<Node> {
        let arguments = LOOKUP3args { what: place(folder, name) };
        let Found(found) = self.ask(NFS_PROGRAM::NFSPROC3_LOOKUP, &arguments).await?;
        let (handle, attributes) = found.map_err(Refusal::Status)?;
        self.node(handle, attributes).await
    }

    /// Attributes of what a handle stands for.
    pub(super) async fn attributes(&mut self, handle: &nfs_fh3) -> Answer<fattr3> {
        let arguments = GETATTR3args { object: handle.clone() };
        let reply: GETATTR3res = self.ask(NFS_PROGRAM::NFSPROC3_GETATTR, &arguments).await?;
        Ok(accepted(reply)?.obj_attributes)
    }

    async fn node(&mut self, handle: nfs_fh3, attributes: Option<fattr3>) -> Answer<Node> {
        let attributes = match attributes {
            Some(attributes) => attributes,
            None => self.attributes(&handle).await?,
        };
        Ok(Node { handle, attributes })
    }

    /// Makes a folder.
    pub(super) async fn make_folder(&mut self, parent: &nfs_fh3, name: &str) -> Answer<nfs_fh3> {
        let attributes = mode(FOLDER_MODE);
        let arguments = MKDIR3args { where_: place(parent, name), attributes };
        let Made(made) = self.ask(NFS_PROGRAM::NFSPROC3_MKDIR, &arguments).await?;
        match made.map_err(Refusal::Status)?.0 {
            Some(handle) => Ok(handle),
            None => Ok(self.look_up(parent, name).await?.handle),
        }
    }

    /// Makes a file that is not there yet.
    pub(super) async fn make_file(&mut self, folder: &nfs_fh3, name: &str) -> Answer<Node> {
        let how = createhow3::GUARDED(mode(FILE_MODE));
        let arguments = CREATE3args { where_: place(folder, name), how };
        let Made(made) = self.ask(NFS_PROGRAM::NFSPROC3_CREATE, &arguments).await?;
        match made.map_err(Refusal::Status)? {
            (Some(handle), attributes) => self.node(handle, attributes).await,
            (None, _) => self.look_up(folder, name).await,
        }
    }

    /// Reads up to `len` bytes, and says whether the file ends behind them.
    pub(super) async fn read(
        &mut self,
        file: &nfs_fh3,
        offset: u64,
        len: u32,
    ) -> Answer<(Vec<u8>, bool)> {
        let arguments = READ3args { file: file.clone(), offset, count: len };
        let Bytes(read) = self.ask(NFS_PROGRAM::NFSPROC3_READ, &arguments).await?;
        match read.map_err(Refusal::Status)? {
            (bytes, _) if bytes.len() > len as usize => {
                Err(explain::nonsense("the server sent more than was asked for").into())
            }
            read => Ok(read),
        }
    }

    /// Writes `bytes`, or the first of them.
    pub(super) async fn write(
        &mut self,
        file: &nfs_fh3,
        offset: u64,
        bytes: &[u8],
        stable: stable_how,
    ) -> Answer<WRITE3resok> {
        let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let data = Opaque::borrowed(bytes);
        let arguments = WRITE3args { file: file.clone(), offset, count, stable, data };
        let reply: WRITE3res = self.ask(NFS_PROGRAM::NFSPROC3_WRITE, &arguments).await?;
        let written = accepted(reply)?;
        match written.count {
            0 => Err(explain::nonsense("the server wrote nothing").into()),
            more if more > count => Err(explain::nonsense("the server wrote too much").into()),
            _ => Ok(written),
        }
    }

    /// Has the server write a file to disk. What it returns is another value than that of the
    /// writes before if the server has lost them since.
    pub(super) async fn commit(&mut self, file: &nfs_fh3) -> Answer<writeverf3> {
        let arguments = COMMIT3args { file: file.clone(), offset: 0, count: 0 };
        let reply: COMMIT3res = self.ask(NFS_PROGRAM::NFSPROC3_COMMIT, &arguments).await?;
        Ok(accepted(reply)?.verf)
    }

    /// Gives a file another name, which may be taken.
    pub(super) async fn rename(
        &mut self,
        from: (&nfs_fh3, &str),
        to: (&nfs_fh3, &str),
    ) -> Answer<()> {
        let arguments = RENAME3args { from: place(from.0, from.1), to: place(to.0, to.1) };
        let Done(done) = self.ask(NFS_PROGRAM::NFSPROC3_RENAME, &arguments).await?;
        done.map_err(Refusal::Status)
    }

    /// Gives a file a further name, which must be free.
    pub(super) async fn link(&mut self, file: &nfs_fh3, to: (&nfs_fh3, &str)) -> Answer<()> {
        let arguments = LINK3args { file: file.clone(), link: place(to.0, to.1) };
        let Done(done) = self.ask(NFS_PROGRAM::NFSPROC3_LINK, &arguments).await?;
        done.map_err(Refusal::Status)
    }

    /// Removes a file.
    pub(super) async fn remove(&mut self, folder: &nfs_fh3, name: &str) -> Answer<()> {
        let arguments = REMOVE3args { object: place(folder, name) };
        let Done(done) = self.ask(NFS_PROGRAM::NFSPROC3_REMOVE, &arguments).await?;
        done.map_err(Refusal::Status)
    }

    /// Some entries of a folder, from `cookie` on.
    pub(super) async fn entries(
        &mut self,
        folder: &nfs_fh3,
        cookie: u64,
        verifier: cookieverf3,
    ) -> Answer<Batch> {
        let (dir, cookieverf) = (folder.clone(), verifier);
        let (dircount, maxcount) = (LIST_LEN, LIST_LEN);
        let arguments = READDIRPLUS3args { dir, cookie, cookieverf, dircount, maxcount };
        let Entries(entries) = self.ask(NFS_PROGRAM::NFSPROC3_READDIRPLUS, &arguments).await?;
        entries.map_err(Refusal::Status)
    }
}

/// A name in a folder.
fn place<'n>(folder: &nfs_fh3, name: &'n str) -> diropargs3<'n> {
    diropargs3 { dir: folder.clone(), name: name.as_bytes().into() }
}

fn mode(mode: u32) -> sattr3 {
    sattr3 { mode: Nfs3Option::Some(mode), ..sattr3::default() }
}

fn accepted<T, E>(reply: Nfs3Result<T, E>) -> Answer<T> {
    match reply {
        Nfs3Result::Ok(success) => Ok(success),
        Nfs3Result::Err((status, _)) => Err(Refusal::Status(status)),
    }
}
