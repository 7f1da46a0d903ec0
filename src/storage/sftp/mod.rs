//! Objects as files on an SSH server, through its SFTP subsystem.
//!
//! The `ssh` program of this machine makes the connection, so that whatever works with `ssh host`
//! works here: `~/.ssh/config`, jump hosts, agents, hardware keys, known hosts. The protocol inside
//! it is spoken by the crate that OpenDAL's service uses too, without that service, because it
//! syncs no file, shows half an object while one is created once, waits for ever on a server that
//! went silent, hides why ssh failed, and leaves ssh processes behind when this one is killed.
//!
//! How an object is written is in `put.rs`, how ssh is run and what it says in `session.rs` and
//! `explain.rs`.

mod explain;
mod list;
mod pool;
mod put;
mod read;
mod session;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use openssh_sftp_client::Error as SftpError;
use openssh_sftp_client::error::SftpErrorKind;
use openssh_sftp_client::metadata::MetaData;

use self::pool::{Lease, Pool};
pub(super) use self::session::{Destination, KnownHosts};
use super::asynchronous::{NotDone, block_on};
use super::failure::{checked_name, checked_prefix, failure};
use super::throttle::Pace;
use super::{ObjectMeta, PutMode, SharedStorage, Storage, waiting};
use crate::error::{StorageError, StorageErrorKind};

/// What one request moves: what OpenSSH allows. Other servers get it in smaller pieces.
const PIECE: usize = 255 << 10;

/// Requests on their way at the same time, for one object.
const AHEAD: usize = 16;

/// Calls at once: more only wait for each other at one server.
const CONCURRENCY: usize = 8;

/// Objects below a folder of an SSH server.
#[derive(Clone)]
pub(super) struct SftpStorage {
    location: String,
    /// The folder, `""` or ending in `/`; relative to the home folder unless it begins with `/`.
    root: String,
    pool: Arc<Pool>,
    /// Limits of bandwidth.
    pace: Option<Pace>,
}

/// What a request ends in.
type Answer<T> = Result<T, SftpError>;

impl SftpStorage {
    /// Uses the folder `root` at `destination`, through up to `connections` connections, of which
    /// the first is made by the first call.
    pub(super) fn new(
        destination: Destination,
        root: &str,
        connections: usize,
        location: String,
    ) -> Self {
        let slash = if root.is_empty() || root.ends_with('/') { "" } else { "/" };
        let pool = Arc::new(Pool::new(destination, connections));
        Self { location, root: format!("{root}{slash}"), pool, pace: None }
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.root)
    }

    /// Runs `work` with a connection, on this thread.
    fn with<T, W, F>(&self, action: &'static str, object: &str, work: W) -> Result<T, StorageError>
    where
        W: FnOnce(Lease) -> F,
        F: Future<Output = Result<T, StorageError>>,
    {
        let run = async {
            let lease = self.pool.lease().await;
            let lease = lease
                .map_err(|said| failure(&self.location, action, object, said.kind, said.why))?;
            work(lease).await
        };
        let not_done = |why: NotDone| failure(&self.location, action, object, why.kind, why.what);
        block_on(run).map_err(not_done)?
    }

    /// Waits for the answer to one request, as long as the server shows signs of life.
    async fn answer<T>(
        &self,
        lease: &Lease,
        action: &'static str,
        object: &str,
        request: impl Future<Output = Answer<T>>,
    ) -> Result<T, StorageError> {
        // A server that answers nothing for so long is given up: the connection is closed, and
        // whoever repeats the call gets a new one.
        let silence_max = self.pool.timeouts().idle;
        match tokio::time::timeout(silence_max, request).await {
            Ok(Ok(answer)) => {
                waiting::is_alive();
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.error(lease, action, object, error).await),
            Err(_) => {
                lease.give_up();
                let what = format!("the server did not answer for {} s", silence_max.as_secs());
                Err(failure(&self.location, action, object, StorageErrorKind::Temporary, what))
            }
        }
    }

    async fn error(
        &self,
        lease: &Lease,
        action: &'static str,
        object: &str,
        error: SftpError,
    ) -> StorageError {
        let Some(refused) = refusal(&error) else {
            // Not an answer: the connection is gone, and ssh may say why.
            let said = lease.lost(&error).await;
            return failure(&self.location, action, object, StorageErrorKind::Temporary, said.why);
        };
        let (kind, what) = match refused {
            SftpErrorKind::NoSuchFile => {
                (StorageErrorKind::Missing, "there is no such file on the server")
            }
            SftpErrorKind::PermDenied => {
                (StorageErrorKind::Denied, "the server does not permit it to this user")
            }
            SftpErrorKind::OpUnsupported => {
                (StorageErrorKind::Permanent, "the server cannot do it")
            }
            _ => (
                StorageErrorKind::Permanent,
                "the server refused, and the protocol has no word for why",
            ),
        };
        tracing::debug!(action, object, %error, "the SFTP server refused");
        failure(&self.location, action, object, kind, what)
    }
}

/// What the server said, if the error is an answer of it.
fn refusal(error: &SftpError) -> Option<SftpErrorKind> {
    match error {
        SftpError::SftpError(kind, _) => Some(*kind),
        SftpError::UnsupportedExtension(_) => Some(SftpErrorKind::OpUnsupported),
        _ => None,
    }
}

fn meta(name: &str, metadata: &MetaData) -> ObjectMeta {
    let modified = metadata.modified().map(|time| time.as_duration().as_millis());
    ObjectMeta {
        name: name.into(),
        len: metadata.len().unwrap_or(0),
        modified_ms: modified.and_then(|ms| i64::try_from(ms).ok()),
    }
}

impl Storage for SftpStorage {
    fn location(&self) -> &str {
        &self.location
    }

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        checked_name(&self.location, "write", name)?;
        let bytes = parts.concat();
        self.with(
            "write",
            name,
            |lease| async move { self.store(&lease, name, &bytes, mode).await },
        )
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        checked_name(&self.location, "read", name)?;
        self.with("read", name, |lease| async move { self.load(&lease, name, len_max).await })
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        checked_name(&self.location, "read", name)?;
        self.with(
            "read",
            name,
            |lease| async move { self.load_range(&lease, name, offset, buf).await },
        )
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        checked_name(&self.location, "read", name)?;
        self.with("read", name, |lease| async move { self.look(&lease, name).await })
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        checked_prefix(&self.location, prefix)?;
        let walk = |lease| async move { self.walk(&lease, prefix).await };
        // `found` may call back into storage, so it waits for the end of the walk.
        self.with("list", prefix, walk)?.into_iter().for_each(found);
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        checked_name(&self.location, "delete", name)?;
        let remove = |lease: Lease| async move {
            let mut files = lease.sftp().fs();
            self.answer(&lease, "delete", name, files.remove_file(self.path(name))).await
        };
        match self.with("delete", name, remove) {
            Err(error) if error.kind == StorageErrorKind::Missing => Ok(()),
            deleted => deleted,
        }
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn clean_unfinished(&self, age: Duration) -> Result<u64, StorageError> {
        let clean = |lease| async move { self.clean(&lease, age).await };
        self.with("delete", super::name::TMP_FOLDER, clean)
    }

    fn paced(&self, pace: &Pace) -> Option<SharedStorage> {
        Some(Arc::new(Self { pace: Some(pace.clone()), ..self.clone() }))
    }
}
