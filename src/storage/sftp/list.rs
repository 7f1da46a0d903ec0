//! Listing: folders are read several at a time, because each takes some turns of the network.

use futures_util::{StreamExt, TryStreamExt, pin_mut, stream};
use openssh_sftp_client::fs::DirEntry;

use super::super::name::{TMP_FOLDER, check_name};
use super::pool::Lease;
use super::{SftpStorage, meta};
use crate::error::{StorageError, StorageErrorKind};
use crate::storage::ObjectMeta;

/// Folders read at the same time.
const FOLDERS: usize = 16;

impl SftpStorage {
    /// All objects below the folder `prefix`, at any depth.
    pub(super) async fn walk(
        &self,
        lease: &Lease,
        prefix: &str,
    ) -> Result<Vec<ObjectMeta>, StorageError> {
        let mut found = Vec::new();
        let mut level = vec![prefix.to_owned()];
        while !level.is_empty() {
            let read = level.iter().map(|folder| self.read_folder(lease, folder));
            let read: Vec<_> = stream::iter(read).buffered(FOLDERS).try_collect().await?;
            level = Vec::new();
            for (objects, folders) in read {
                found.extend(objects);
                level.extend(folders);
            }
        }
        Ok(found)
    }

    /// The objects in a folder, and its folders, all with their full names. `folder` is `""` or
    /// ends in `/`.
    async fn read_folder(
        &self,
        lease: &Lease,
        folder: &str,
    ) -> Result<(Vec<ObjectMeta>, Vec<String>), StorageError> {
        let (mut objects, mut folders) = (Vec::new(), Vec::new());
        let path = self.path(folder);
        let path = if path.is_empty() { "." } else { &path };
        let entries = match self.entries(lease, folder, path).await {
            Err(error) if error.kind == StorageErrorKind::Missing => return Ok((objects, folders)),
            entries => entries?,
        };
        for entry in entries {
            // What no object can be called is not ours: other files, unfinished writes in `tmp/`.
            let Some(name) = entry.filename().to_str().map(|name| format!("{folder}{name}")) else {
                continue;
            };
            if check_name(&name).is_err() || name == TMP_FOLDER {
                continue;
            }
            let kind = entry.file_type();
            if kind.is_some_and(|kind| kind.is_file()) {
                objects.push(meta(&name, &entry.metadata()));
            } else if kind.is_some_and(|kind| kind.is_dir()) {
                folders.push(name + "/");
            } else if kind.is_none_or(|kind| kind.is_symlink()) {
                match self.look(lease, &name).await {
                    Ok(object) => objects.push(object),
                    Err(error) if error.kind == StorageErrorKind::Missing => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok((objects, folders))
    }

    /// Everything in a folder of the server.
    pub(super) async fn entries(
        &self,
        lease: &Lease,
        prefix: &str,
        path: &str,
    ) -> Result<Vec<DirEntry>, StorageError> {
        let mut files = lease.sftp().fs();
        let folder = self.answer(lease, "list", prefix, files.open_dir(path)).await?;
        let entries = folder.read_dir();
        pin_mut!(entries);
        let mut all = Vec::new();
        while let Some(entry) = self.answer(lease, "list", prefix, entries.try_next()).await? {
            all.push(entry);
        }
        Ok(all)
    }
}
