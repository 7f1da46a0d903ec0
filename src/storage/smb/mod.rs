//! Objects as files on an SMB share (Windows, Samba, network disks), by the crate `smb2`: nothing
//! is mounted, and no root is needed.
//!
//! `smb2` rather than `smb`: it speaks the whole of versions 2 and 3 with a third of the crates
//! and no unfinished ones among them, asks for several things at once where `smb` waits for each
//! answer, replaces a file by a rename in one step, and refuses unsigned answers by itself. It has
//! no version 1, which is not safe. What it does for itself is turned off where this module knows
//! better: connections are made anew here, because only here it is known what may be repeated.
//!
//! - [`target`]: what a location says; [`sessions`]: connections; [`explain`]: failures;
//! - `read`, `write`: how objects are read and written.
//!
//! Users are signed in with their password (NTLMv2), and every message is signed, or encrypted
//! where the server asks for it or the location has `encrypt=required`. Of the servers tried,
//! Samba 4.17 offers no encryption to `smb2` 0.39, and is refused then. Guests are served without
//! either, so they are taken only where `guest=true` asks for them. Kerberos is not offered.
//!
//! Names of objects have lower-case letters alone, so that servers may ignore case.

mod explain;
mod read;
mod sessions;
mod target;
mod write;

use std::sync::Arc;
use std::time::Duration;

use smb2::DirectoryEntry;

use super::asynchronous::block_on;
use super::connection::Connection;
use super::failure::{buffer, checked_name, checked_prefix, too_long, too_short};
use super::name::{NAME_LEN_MAX, TMP_FOLDER, is_object_component};
use super::services::ServiceLocation;
use super::share::{Fault, windows};
use super::throttle::{Direction, Pace};
use super::{ObjectMeta, PutMode, SharedStorage, Storage, waiting};
use crate::error::{StorageError, StorageErrorKind};
use read::{FOLDERS_AT_ONCE, ONE_READ, WINDOW};
use sessions::{Session, Sessions};
use target::Target;

/// Calls at once that make sense: most of a small write is waiting for the disk of the server.
const CONCURRENCY: usize = 16;

/// Objects on a share.
#[derive(Clone)]
struct SmbStorage {
    location: String,
    sessions: Arc<Sessions>,
    folders: Arc<write::Folders>,
    /// Limits of bandwidth.
    pace: Option<Pace>,
}

/// Opens a location; the server is asked with the first call.
pub(super) fn connect(
    location: &ServiceLocation,
    connection: &Connection,
) -> crate::error::Result<SharedStorage> {
    let sessions = Arc::new(Sessions::new(Target::parse(location, connection)?));
    let location = location.to_string();
    Ok(Arc::new(SmbStorage { location, sessions, folders: Arc::default(), pace: None }))
}

impl SmbStorage {
    fn target(&self) -> &Target {
        &self.sessions.target
    }

    fn path(&self, name: &str) -> String {
        self.target().path(name)
    }

    /// Does something with a session; one that turns out to be lost is not used again.
    fn call<T>(
        &self,
        action: &'static str,
        object: &str,
        work: impl AsyncFnOnce(&Session) -> Result<T, Fault>,
    ) -> Result<T, StorageError> {
        let call = || {
            let lease = self.sessions.lease()?;
            let answer = block_on(work(&lease.session)).unwrap_or_else(|why| Err(Fault::from(why)));
            if answer.as_ref().is_err_and(|fault| fault.ends_connection) {
                lease.discard();
            }
            answer
        };
        call().map_err(|fault: Fault| fault.of(&self.location, action, object))
    }

    /// Fills `take` with a range of an object that is as long as `len` says.
    async fn read_rest(
        &self,
        session: &Session,
        path: &str,
        range: (u64, u64),
        len: Option<u64>,
        mut take: impl FnMut(&[u8]),
    ) -> Result<u64, Fault> {
        let (offset, wanted) = range;
        let reader = read::open(session, path).await?;
        if reader.info().is_directory {
            return Err(Fault::new(StorageErrorKind::Missing, "there is no such file"));
        }
        let found = reader.size();
        if len.is_some_and(|len| len != found) {
            return Err(Fault::temporary("it was replaced while it was read"));
        }
        if offset.saturating_add(wanted) <= found {
            let transfer = self.pace.as_ref().map(|p| p.begin(Direction::Download, wanted));
            let window = transfer.as_ref().map_or(WINDOW, |t| WINDOW.min(t.piece() as u64));
            for (from, len) in windows(offset, wanted, window) {
                if let Some(transfer) = &transfer {
                    transfer.pass(len as usize)?;
                }
                read::read_window(&reader, from, len, &mut take).await?;
                waiting::is_alive();
            }
        }
        // It was only read: nothing depends on how the server takes this.
        let _ = reader.close().await;
        Ok(found)
    }

    /// What a listing tells of the objects in `folder`; the folders in it go to `folders`.
    fn objects(
        folder: &str,
        entries: Vec<DirectoryEntry>,
        folders: &mut Vec<String>,
        found: &mut dyn FnMut(ObjectMeta),
    ) -> Result<(), Fault> {
        for entry in entries {
            // What no object can be called is not ours: `.`, `Thumbs.db`, ...
            let ours = is_object_component(entry.name.as_bytes())
                && folder.len() + entry.name.len() <= NAME_LEN_MAX;
            if !ours || (folder.is_empty() && entry.name == TMP_FOLDER) {
                continue;
            }
            let name = format!("{folder}{}", entry.name);
            match entry.is_directory {
                true if entry.is_link() => {
                    let text = format!("`{name}` is a link, and links in it are not followed");
                    return Err(Fault::new(StorageErrorKind::Permanent, text));
                }
                true => folders.push(name + "/"),
                false => {
                    let modified_ms = read::milliseconds(entry.modified);
                    found(ObjectMeta { name, len: entry.size, modified_ms });
                }
            }
        }
        Ok(())
    }
}

impl Storage for SmbStorage {
    fn location(&self) -> &str {
        &self.location
    }

    fn put(&self, name: &str, parts: &[&[u8]], mode: PutMode) -> Result<(), StorageError> {
        checked_name(&self.location, "write", name)?;
        let len = parts.iter().map(|part| part.len() as u64).sum();
        let (target, folders) = (self.target(), &*self.folders);
        let transfer = self.pace.as_ref().map(|pace| pace.begin(Direction::Upload, len));
        let put = write::Put { target, folders, name, parts, mode, transfer };
        self.call("write", name, async |session| put.run(session).await)
    }

    fn get(&self, name: &str, len_max: u64) -> Result<Vec<u8>, StorageError> {
        checked_name(&self.location, "read", name)?;
        let path = self.path(name);
        let first = match &self.pace {
            None => len_max.min(ONE_READ),
            // Paid for below, in pieces.
            Some(_) => 0,
        };
        self.call("read", name, async |session| {
            let opened = read::read_once(session, &path, 0, first).await?;
            if opened.len > len_max {
                return Ok(Err(too_long(&self.location, name, opened.len, len_max)));
            }
            let mut bytes = match buffer(&self.location, name, opened.len) {
                Ok(buffer) => buffer,
                error => return Ok(error),
            };
            bytes.extend_from_slice(&opened.bytes);
            let have = bytes.len() as u64;
            if have < opened.len {
                let rest = (have, opened.len - have);
                let take = |piece: &[u8]| bytes.extend_from_slice(piece);
                self.read_rest(session, &path, rest, Some(opened.len), take).await?;
            }
            match bytes.len() as u64 == opened.len {
                true => Ok(Ok(bytes)),
                false => Ok(Err(too_short(&self.location, name, opened.len))),
            }
        })?
    }

    fn get_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Result<(), StorageError> {
        checked_name(&self.location, "read", name)?;
        let (path, wanted) = (self.path(name), buf.len() as u64);
        let end = offset.saturating_add(wanted);
        if wanted == 0 {
            let len = self.head(name)?.len;
            return if end <= len { Ok(()) } else { Err(too_short(&self.location, name, end)) };
        }
        let mut filled = 0;
        self.call("read", name, async |session| {
            let mut take = |piece: &[u8]| {
                if let Some(rest) = buf.get_mut(filled..filled + piece.len()) {
                    rest.copy_from_slice(piece);
                    filled += piece.len();
                }
            };
            if wanted <= ONE_READ && self.pace.is_none() {
                take(&read::read_once(session, &path, offset, wanted).await?.bytes);
            } else {
                self.read_rest(session, &path, (offset, wanted), None, take).await?;
            }
            Ok(())
        })?;
        match filled as u64 == wanted {
            true => Ok(()),
            false => Err(too_short(&self.location, name, end)),
        }
    }

    fn head(&self, name: &str) -> Result<ObjectMeta, StorageError> {
        checked_name(&self.location, "read", name)?;
        let path = self.path(name);
        self.call("read", name, async |session| {
            let there = session.tree.stat(&mut session.connection.clone(), &path).await?;
            if there.is_directory {
                return Err(Fault::new(StorageErrorKind::Missing, "there is no such file"));
            }
            let modified_ms = read::milliseconds(there.modified);
            Ok(ObjectMeta { name: name.into(), len: there.size, modified_ms })
        })
    }

    fn list(&self, prefix: &str, found: &mut dyn FnMut(ObjectMeta)) -> Result<(), StorageError> {
        checked_prefix(&self.location, prefix)?;
        let mut folders = vec![prefix.to_owned()];
        while !folders.is_empty() {
            let now = folders.split_off(folders.len().saturating_sub(FOLDERS_AT_ONCE));
            let paths: Vec<_> = now.iter().map(|f| self.path(f.trim_end_matches('/'))).collect();
            // `found` is called outside of it: it may call back into storage.
            let listed = self.call("list", prefix, async |session| {
                Ok(read::list_folders(session, &paths).await?)
            })?;
            for (folder, entries) in now.iter().zip(listed) {
                Self::objects(folder, entries, &mut folders, found)
                    .map_err(|fault| fault.of(&self.location, "list", prefix))?;
            }
        }
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        checked_name(&self.location, "delete", name)?;
        let path = self.path(name);
        let deleted = self.call("delete", name, async |session| {
            Ok(session.tree.delete_file(&mut session.connection.clone(), &path).await?)
        });
        match deleted {
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
        let target = self.target();
        self.call("delete", TMP_FOLDER, async |session| write::clean(session, target, age).await)
    }
}
