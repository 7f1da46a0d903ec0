//! How an object gets onto an SSH server.
//!
//! 1. the bytes go into a new file in `tmp/` of the same repository, which is synced where the
//!    server can (OpenSSH does) and closed;
//! 2. the file gets its final name: by a rename that replaces what is there, or by a second link,
//!    which is refused if there is something, for objects that are created once.
//!
//! Folders are made when they turn out to be missing. What a broken connection leaves in `tmp/` is
//! found there by its age later. A server without `hardlink@openssh.com`, or with a file system
//! that has no links, gets objects that are created once under their final name at once: exactly one
//! creator wins there too, but a reader may see an object that is not finished.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use openssh_sftp_client::error::SftpErrorKind;
use openssh_sftp_client::file::File;
use openssh_sftp_client::metadata::Permissions;

use super::super::failure::failure;
use super::super::name::{TMP_FOLDER, split_folder};
use super::super::throttle::Direction;
use super::pool::Lease;
use super::read::seek;
use super::{AHEAD, Answer, PIECE, PutMode, SftpStorage, refusal};
use crate::error::{StorageError, StorageErrorKind};

impl SftpStorage {
    /// See [`Storage::put`](super::Storage::put).
    pub(super) async fn store(
        &self,
        lease: &Lease,
        name: &str,
        bytes: &[u8],
        mode: PutMode,
    ) -> Result<(), StorageError> {
        // Asked first, so that nothing is moved that is refused afterwards.
        if mode == PutMode::CreateOnce && self.is_there(lease, name).await? {
            return Err(self.exists(name));
        }
        let temp = self.temp_path(name)?;
        let file = self.create(lease, name, &temp).await?;
        let stored = async {
            self.fill_file(lease, file, name, bytes).await?;
            match mode {
                PutMode::Content | PutMode::Replace => self.publish(lease, name, &temp).await,
                PutMode::CreateOnce => self.publish_once(lease, name, &temp, bytes).await,
            }
        };
        let stored = stored.await;
        if (stored.is_err() || mode == PutMode::CreateOnce) && lease.is_open() {
            // If this fails too, it is cleaned away by its age later.
            let _ = self.remove(lease, name, &temp).await;
        }
        stored
    }

    fn temp_path(&self, name: &str) -> Result<String, StorageError> {
        let mut random = [0; 12];
        getrandom::fill(&mut random).map_err(|error| {
            failure(&self.location, "write", name, StorageErrorKind::Permanent, error)
        })?;
        let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{}{TMP_FOLDER}/{random}", self.root))
    }

    /// See [`Storage::clean_unfinished`](super::Storage::clean_unfinished).
    pub(super) async fn clean(&self, lease: &Lease, age: Duration) -> Result<u64, StorageError> {
        // A file made now has the time of the server, which the clock here may not share.
        let probe = self.temp_path(TMP_FOLDER)?;
        let file = self.create(lease, TMP_FOLDER, &probe).await?;
        self.answer(lease, "write", TMP_FOLDER, file.close()).await?;
        let entries = self.entries(lease, TMP_FOLDER, &self.path(TMP_FOLDER)).await;
        self.remove(lease, TMP_FOLDER, &probe).await?;
        let files: Vec<(String, Duration)> = entries?
            .iter()
            .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()))
            .filter_map(|entry| {
                let name = entry.filename().to_str()?;
                let written = entry.metadata().modified()?.as_duration();
                Some((self.path(&format!("{TMP_FOLDER}/{name}")), written))
            })
            .collect();
        let now = files.iter().find(|(path, _)| *path == probe).map(|(_, written)| *written);
        let is_old = |written: Duration| now.is_some_and(|now| written.saturating_add(age) <= now);
        let mut removed = 0;
        for (path, _) in files.iter().filter(|(path, written)| *path != probe && is_old(*written)) {
            self.remove(lease, TMP_FOLDER, path).await?;
            removed += 1;
        }
        Ok(removed)
    }

    fn exists(&self, name: &str) -> StorageError {
        failure(&self.location, "write", name, StorageErrorKind::Exists, "it exists already")
    }

    async fn is_there(&self, lease: &Lease, name: &str) -> Result<bool, StorageError> {
        let mut files = lease.sftp().fs();
        let path = self.path(name);
        match self.answer(lease, "write", name, files.symlink_metadata(path)).await {
            Err(error) if error.kind == StorageErrorKind::Missing => Ok(false),
            look => look.map(|_| true),
        }
    }

    /// Creates a file that is not there yet, in a folder that may have to be made.
    async fn create(&self, lease: &Lease, name: &str, path: &str) -> Result<File, StorageError> {
        let mut options = lease.sftp().options();
        options.write(true).create_new(true);
        match self.answer(lease, "write", name, options.open(path)).await {
            Err(error) if error.kind == StorageErrorKind::Missing => {
                self.make_parents(lease, name, path).await?;
                self.answer(lease, "write", name, options.open(path)).await
            }
            created => created,
        }
    }

    /// Makes the folders above `path` that are missing, for their owner alone.
    async fn make_parents(
        &self,
        lease: &Lease,
        name: &str,
        path: &str,
    ) -> Result<(), StorageError> {
        let mut files = lease.sftp().fs();
        let mut missing = Vec::new();
        let mut folder = split_folder(path).0;
        // From below: the top is rarely missing, and may not even be ours to look at.
        while !folder.is_empty() {
            let mut builder = files.dir_builder();
            let private = owner_alone();
            let made = builder.permissions(private).create(folder);
            match self.answer(lease, "write", name, made).await {
                Ok(()) => break,
                Err(error) if error.kind == StorageErrorKind::Missing => missing.push(folder),
                // It is there already: somebody else made it a moment ago.
                Err(error) if error.kind == StorageErrorKind::Permanent => break,
                Err(error) => return Err(error),
            }
            folder = split_folder(folder).0;
        }
        for folder in missing.into_iter().rev() {
            let mut builder = files.dir_builder();
            let made = builder.permissions(owner_alone()).create(folder);
            match self.answer(lease, "write", name, made).await {
                Err(error) if error.kind == StorageErrorKind::Permanent => {}
                made => made?,
            }
        }
        Ok(())
    }

    /// Writes, syncs and closes.
    async fn fill_file(
        &self,
        lease: &Lease,
        mut file: File,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        let transfer =
            self.pace.as_ref().map(|pace| pace.begin(Direction::Upload, bytes.len() as u64));
        let piece_len = transfer.as_ref().map_or(PIECE, |transfer| transfer.piece().min(PIECE));
        let pieces = bytes.chunks(piece_len.max(1)).enumerate().map(|(at, piece)| {
            let (file, transfer) = (file.clone(), transfer.as_ref());
            let offset = (at * piece_len.max(1)) as u64;
            async move {
                self.pay("write", name, transfer, piece.len())?;
                self.answer(lease, "write", name, write_at(file, offset, piece)).await
            }
        });
        let written: Result<(), _> = stream::iter(pieces).buffered(AHEAD).try_collect().await;
        if let Err(error) = written {
            return Err(self.full_or(lease, error, bytes.len()).await);
        }
        if lease.sftp().support_fsync() {
            self.answer(lease, "write", name, file.sync_all()).await?;
        }
        self.answer(lease, "write", name, file.close()).await
    }

    /// The protocol has no word for a full disk, but the server may tell how much is free.
    async fn full_or(&self, lease: &Lease, error: StorageError, len: usize) -> StorageError {
        if error.kind != StorageErrorKind::Permanent || !lease.sftp().support_statvfs() {
            return error;
        }
        let mut files = lease.sftp().fs();
        let folder = if self.root.is_empty() { "." } else { &self.root };
        match self.answer(lease, "write", &error.object, files.statvfs(folder)).await {
            Ok(disk) if disk.bavail.saturating_mul(disk.frsize) < len as u64 => {
                let what = "the disk of the server is full";
                failure(&self.location, "write", &error.object, StorageErrorKind::Full, what)
            }
            _ => error,
        }
    }

    /// Gives the file its final name, in place of what has it.
    async fn publish(&self, lease: &Lease, name: &str, temp: &str) -> Result<(), StorageError> {
        let path = self.path(name);
        let mut files = lease.sftp().fs();
        match self.answer(lease, "write", name, files.rename(temp, &path)).await {
            Err(error) if error.kind == StorageErrorKind::Missing => {
                self.make_parents(lease, name, &path).await?;
                self.answer(lease, "write", name, files.rename(temp, &path)).await
            }
            // A rename that does not replace. What is there has the same name, so the same content,
            // unless it is torn.
            Err(error)
                if error.kind == StorageErrorKind::Permanent
                    && !lease.sftp().support_posix_rename()
                    && self.is_there(lease, name).await? =>
            {
                self.remove(lease, name, &path).await?;
                self.answer(lease, "write", name, files.rename(temp, &path)).await
            }
            renamed => renamed,
        }
    }

    /// Gives the file its final name unless something has it.
    async fn publish_once(
        &self,
        lease: &Lease,
        name: &str,
        temp: &str,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        let path = self.path(name);
        let mut files = lease.sftp().fs();
        let mut linked = files.hard_link(temp, &path).await;
        if let Err(error) = &linked
            && matches!(refusal(error), Some(SftpErrorKind::NoSuchFile))
        {
            self.make_parents(lease, name, &path).await?;
            linked = files.hard_link(temp, &path).await;
        }
        match linked.as_ref().err().map(refusal) {
            None => Ok(()),
            Some(Some(kind)) if !matches!(kind, SftpErrorKind::NoSuchFile) => {
                if self.is_there(lease, name).await? {
                    return Err(self.exists(name));
                }
                self.create_in_place(lease, name, &path, bytes).await
            }
            Some(_) => self.answer(lease, "write", name, async { linked }).await,
        }
    }

    /// For servers without links.
    async fn create_in_place(
        &self,
        lease: &Lease,
        name: &str,
        path: &str,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        let file = match self.create(lease, name, path).await {
            Err(error)
                if error.kind == StorageErrorKind::Permanent
                    && self.is_there(lease, name).await? =>
            {
                return Err(self.exists(name));
            }
            created => created?,
        };
        let filled = self.fill_file(lease, file, name, bytes).await;
        if filled.is_err() && lease.is_open() {
            let _ = self.remove(lease, name, path).await;
        }
        filled
    }

    async fn remove(&self, lease: &Lease, name: &str, path: &str) -> Result<(), StorageError> {
        let mut files = lease.sftp().fs();
        self.answer(lease, "write", name, files.remove_file(path)).await
    }
}

async fn write_at(mut file: File, offset: u64, piece: &[u8]) -> Answer<()> {
    seek(&mut file, offset)?;
    file.write_all(piece).await
}

/// Names and times of objects would tell others something too.
fn owner_alone() -> Permissions {
    let mut permissions = Permissions::new();
    permissions.set_read_by_owner(true).set_write_by_owner(true).set_execute_by_owner(true);
    permissions
}
