//! Objects as files on an NFS export, by version 3 of the protocol and the crate `nfs3_client`:
//! nothing is mounted, and no root is needed where the server takes requests from any port.
//!
//! `nfs3_client` rather than `nfs-rs`: small, and made for the Rust that this crate promises to
//! build with. It leaves to us what a repository has opinions on (verifiers, exclusive names,
//! what is asked again), and `wire` and `replies` put limits to what it believes. Version 4 is
//! not spoken: where a server has nothing else, its export can be mounted and used as a folder.
//!
//! - [`target`]: what a location says; [`mounts`]: the way to the export, connections;
//! - [`wire`], [`replies`], [`client`]: requests and answers; [`explain`]: failures;
//! - [`read`], [`mod@write`]: how objects are read and written.
//!
//! The server believes the numbers of user and groups that it is told, and nothing is encrypted:
//! NFS is for networks whose machines trust each other.

mod client;
mod explain;
mod mounts;
mod read;
mod replies;
mod target;
mod wire;
mod write;

use std::sync::Arc;
use std::time::Duration;

use super::connection::Connection;
use super::failure::{buffer, checked_name, checked_prefix, too_long, too_short};
use super::name::{TMP_FOLDER, split_folder};
use super::services::ServiceLocation;
use super::share::Fault;
use super::throttle::{Direction, Pace};
use super::{ObjectMeta, PutMode, SharedStorage, Storage, in_parallel};
use crate::error::{StorageError, StorageErrorKind};
use client::{Answer, Client, Node, Refusal};
use mounts::{Mount, Mounts};
use read::{Absent, Folders, Listed};
use target::Target;

/// Calls at once that make sense, each on a connection of its own: most of a small write is
/// waiting for the disk of the server.
const CONCURRENCY: usize = 8;

/// How often a call begins again because the server has forgotten a handle.
const ATTEMPTS: usize = 3;

/// Folders listed before their objects are handed on.
const FOLDERS_AT_ONCE: usize = 64;

/// Objects on an export.
#[derive(Clone)]
struct NfsStorage {
    location: String,
    mounts: Arc<Mounts>,
    folders: Arc<Folders>,
    /// Limits of bandwidth.
    pace: Option<Pace>,
}

/// Opens a location; the server is asked with the first call.
pub(super) fn connect(
    location: &ServiceLocation,
    connection: &Connection,
) -> crate::error::Result<SharedStorage> {
    let mounts = Arc::new(Mounts::new(Target::parse(location, connection)?));
    let location = location.to_string();
    Ok(Arc::new(NfsStorage { location, mounts, folders: Arc::default(), pace: None }))
}

impl NfsStorage {
    /// Does something with a connection, and does it again if it was begun with a handle that the
    /// server has forgotten: files were replaced meanwhile, or folders removed and made anew.
    fn call<T>(
        &self,
        action: &'static str,
        object: &str,
        mut work: impl AsyncFnMut(&mut Client, &Mount) -> Answer<T>,
    ) -> Result<T, StorageError> {
        let mut call = || -> Answer<T> {
            let mount = self.mounts.find()?;
            let mut client = self.mounts.take(&mount)?;
            let answer = mounts::wait(work(&mut client, &mount));
            self.mounts.give_back(client);
            answer
        };
        let mut answer = call();
        for attempt in 1..ATTEMPTS {
            let is_stale = answer.as_ref().is_err_and(Refusal::is_stale);
            // In a folder that was removed, some servers find nothing instead.
            let is_missing = answer.as_ref().is_err_and(Refusal::is_missing);
            let may_be_stale = is_stale || is_missing && attempt == 1 && self.folders.forget();
            if !may_be_stale {
                break;
            }
            self.folders.forget();
            // Of a handle that is stale still, that of the export may be the reason.
            if attempt > 1 {
                self.mounts.forget();
            }
            answer = call();
        }
        answer.map_err(|refusal| Fault::from(refusal).of(&self.location, action, object))
    }

    /// Finds an object.
    async fn find(&self, client: &mut Client, mount: &Mount, name: &str) -> Answer<Node> {
        let (folder, last) = split_folder(name);
        let folder = self.folders.find(client, mount, folder, Absent::IsError).await?;
        read::find_file(client, &folder, last).await
    }

    fn list_folder(&self, prefix: &str) -> Result<Listed, StorageError> {
        let folder = prefix.trim_end_matches('/');
        let listed = self.call("list", prefix, async |client, mount| {
            let handle = self.folders.find(client, mount, folder, Absent::IsError).await?;
            read::list(client, &handle, prefix).await
        });
        match listed {
            // Nothing, or an object, of that name: nothing is inside.
            Err(error) if error.kind == StorageErrorKind::Missing => Ok(Listed::default()),
            listed => listed,
        }
    }
}

impl Storage for NfsStorage {
    fn location(&self) -> &str {
        &self.location
    }

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        checked_name(&self.location, "write", name)?;
        let len = parts.iter().map(|part| part.len() as u64).sum();
        let folders = &*self.folders;
        let transfer = self.pace.as_ref().map(|pace| pace.begin(Direction::Upload, len));
        let put = write::Put { folders, name, parts, mode, transfer };
        self.call("write", name, async |client, mount| put.run(client, mount).await)
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        checked_name(&self.location, "read", name)?;
        let read = self.call("read", name, async |client, mount| {
            let file = self.find(client, mount, name).await?;
            let len = file.attributes.size;
            if len > len_max {
                return Ok(Err(too_long(&self.location, name, len, len_max)));
            }
            let mut bytes = match buffer(&self.location, name, len) {
                Ok(buffer) => buffer,
                error => return Ok(error),
            };
            let transfer = self.pace.as_ref().map(|pace| pace.begin(Direction::Download, len));
            let take = |piece: &[u8]| bytes.extend_from_slice(piece);
            read::read(client, &file.handle, (0, len), transfer.as_ref(), take).await?;
            match bytes.len() as u64 == len {
                true => Ok(Ok(bytes)),
                false => Ok(Err(too_short(&self.location, name, len))),
            }
        });
        read?
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        checked_name(&self.location, "read", name)?;
        let wanted = buf.len() as u64;
        let end = offset.saturating_add(wanted);
        let filled = self.call("read", name, async |client, mount| {
            let file = self.find(client, mount, name).await?;
            if end > file.attributes.size {
                return Ok(false);
            }
            let mut filled = 0;
            let take = |piece: &[u8]| {
                if let Some(rest) = buf.get_mut(filled..filled + piece.len()) {
                    rest.copy_from_slice(piece);
                    filled += piece.len();
                }
            };
            let transfer = self.pace.as_ref().map(|pace| pace.begin(Direction::Download, wanted));
            read::read(client, &file.handle, (offset, wanted), transfer.as_ref(), take).await?;
            Ok(filled as u64 == wanted)
        })?;
        if filled { Ok(()) } else { Err(too_short(&self.location, name, end)) }
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        checked_name(&self.location, "read", name)?;
        self.call("read", name, async |client, mount| {
            let file = self.find(client, mount, name).await?;
            Ok(read::meta(name.into(), &file.attributes))
        })
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        checked_prefix(&self.location, prefix)?;
        let mut folders = vec![prefix.to_owned()];
        while !folders.is_empty() {
            let now = folders.split_off(folders.len().saturating_sub(FOLDERS_AT_ONCE));
            for listed in in_parallel(self, &now, |folder| self.list_folder(folder)) {
                let listed = listed?;
                listed.objects.into_iter().for_each(&mut *found);
                folders.extend(listed.folders);
            }
        }
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        checked_name(&self.location, "delete", name)?;
        let (folder, last) = split_folder(name);
        let deleted = self.call("delete", name, async |client, mount| {
            let folder = self.folders.find(client, mount, folder, Absent::IsError).await?;
            client.remove(&folder, last).await
        });
        match deleted {
            // A folder is not an object, so there was none of this name.
            Err(error) if error.kind == StorageErrorKind::Missing => Ok(()),
            deleted => deleted,
        }
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn paced(&self, pace: &Pace) -> Option<SharedStorage> {
        Some(Arc::new(Self { pace: Some(pace.clone()), ..self.clone() }))
    }
    fn clean_unfinished(&self, age: Duration) -> Result<u64, StorageError> {
        self.call("delete", TMP_FOLDER, async |client, mount| {
            write::clean(client, mount, &self.folders, age).await
        })
    }
}
