//! How an object gets onto a share so that it stays there.
//!
//! 1. folders that are missing are made, and their parents flushed;
//! 2. the bytes go into a new file in `tmp/` of the same repository, which is flushed;
//! 3. the file is renamed to its final name in one step of the server, which refuses a taken name
//!    where the object must be created once;
//! 4. the folder that got the new name is flushed, where the server can.
//!
//! A flush is a request of its own (`FLUSH`), which servers answer when the bytes are on disk.
//! The server has to be set to mean it: `strict sync = yes`, the default of Samba since 4.7.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use smb2::client::connection::CompoundOp;
use smb2::client::stream::open_file_writer_exclusive;
use smb2::msg::flush::FlushRequest;
use smb2::types::flags::FileAccessMask;
use smb2::types::status::NtStatus;
use smb2::types::{Command, FileId};
use smb2::{Error, RenameOptions, Result};

use super::super::PutMode;
use super::super::name::{TMP_FOLDER, split_folder};
use super::super::share::{Fault, temporary_name};
use super::super::throttle::Transfer;
use super::read::{IS_FOLDER, is_missing, open_request, opened, refused};
use super::sessions::Session;
use super::target::Target;

/// How many bytes a writer is given at once.
const STRIDE: usize = 4 << 20;

/// What a storage knows of the folders of its share.
#[derive(Default)]
pub(super) struct Folders {
    /// Paths below the share that are there to stay.
    durable: Mutex<HashSet<String>>,
    /// The server cannot flush folders: its own settings decide how long a new name is at risk.
    cannot_flush: AtomicBool,
}

/// An object on its way to the share.
pub(super) struct Put<'p> {
    pub(super) target: &'p Target,
    pub(super) folders: &'p Folders,
    pub(super) name: &'p str,
    pub(super) parts: &'p [&'p [u8]],
    pub(super) mode: PutMode,
    pub(super) transfer: Option<Transfer<'p>>,
}

impl Put<'_> {
    /// Stores the object durably.
    pub(super) async fn run(&self, session: &Session) -> std::result::Result<(), Fault> {
        let folder = self.target.path(split_folder(self.name).0);
        let tmp = self.target.path(TMP_FOLDER);
        self.folders.make(session, &tmp).await?;
        self.folders.make(session, &folder).await?;
        let temporary = format!("{tmp}/{}", temporary_name()?);
        let stored = match self.write(session, &temporary).await {
            Ok(()) => self.publish(session, &temporary).await.map_err(Fault::from),
            Err(fault) => Err(fault),
        };
        match stored {
            Ok(true) => {}
            not_moved => {
                // If this fails too, `clean_unfinished` removes it later.
                let _ = session.tree.delete_file(&mut session.connection.clone(), &temporary).await;
                not_moved?;
            }
        }
        Ok(self.folders.flush(session, &folder).await?)
    }

    /// Writes and flushes the temporary file.
    async fn write(&self, session: &Session, path: &str) -> std::result::Result<(), Fault> {
        let (tree, mut connection) = (&session.tree, session.connection.clone());
        let len: usize = self.parts.iter().map(|part| part.len()).sum();
        // One request that opens, writes and flushes.
        if self.transfer.is_none() && len as u64 <= connection.compound_write_limit() {
            let bytes = self.parts.concat();
            let written =
                match tree.write_file_compound_exclusive(&mut connection, path, &bytes).await {
                    Err(error) if is_missing(&error) => {
                        self.folders.make_again(session, &self.target.path(TMP_FOLDER)).await?;
                        tree.write_file_compound_exclusive(&mut connection, path, &bytes).await
                    }
                    written => written,
                };
            return whole(written?, len);
        }
        let open = || open_file_writer_exclusive(tree.clone(), session.connection.clone(), path);
        let mut writer = match open().await {
            Err(error) if is_missing(&error) => {
                self.folders.make_again(session, &self.target.path(TMP_FOLDER)).await?;
                open().await?
            }
            writer => writer?,
        };
        for part in self.parts {
            let mut rest = *part;
            while !rest.is_empty() {
                let stride = self.transfer.as_ref().map_or(STRIDE, |t| t.piece().min(STRIDE));
                let (now, later) = rest.split_at(rest.len().min(stride));
                if let Some(transfer) = &self.transfer {
                    transfer.pass(now.len())?;
                }
                writer.write_chunk(now).await?;
                rest = later;
            }
        }
        whole(writer.finish().await?, len)
    }

    /// Gives the temporary file its name. `false` if an equal object has it already.
    async fn publish(&self, session: &Session, temporary: &str) -> Result<bool> {
        let (tree, mut connection) = (&session.tree, session.connection.clone());
        let path = self.target.path(self.name);
        let options = RenameOptions::new().replace_if_exists(self.mode != PutMode::CreateOnce);
        let mut renamed = tree.rename_with(&mut connection, temporary, &path, options).await;
        if renamed.as_ref().is_err_and(is_missing) {
            // Somebody removed the folder since.
            let folder = self.target.path(split_folder(self.name).0);
            self.folders.make_again(session, &folder).await?;
            renamed = tree.rename_with(&mut connection, temporary, &path, options).await;
        }
        match renamed {
            Ok(()) => Ok(true),
            // Some servers replace no file that somebody reads. One of that name and length is
            // the same object.
            Err(error)
                if self.mode == PutMode::Content
                    && error.status() == Some(NtStatus::ACCESS_DENIED) =>
            {
                let len: u64 = self.parts.iter().map(|part| part.len() as u64).sum();
                match tree.stat(&mut connection, &path).await {
                    Ok(there) if !there.is_directory && there.size == len => Ok(false),
                    _ => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }
}

fn whole(written: u64, len: usize) -> std::result::Result<(), Fault> {
    match written == len as u64 {
        true => Ok(()),
        false => Err(Fault::temporary(format!("the server took {written} of {len} bytes"))),
    }
}

impl Folders {
    /// Makes a folder and its parents, so that they survive a crash; once per storage.
    async fn make(&self, session: &Session, path: &str) -> Result<()> {
        if path.is_empty() || self.durable.lock().contains(path) {
            return Ok(());
        }
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let folder = &path[..end];
            if self.durable.lock().contains(folder) {
                continue;
            }
            make_folder(session, folder).await?;
            // Also if it was there: somebody may have made it a moment ago.
            self.flush(session, split_folder(folder).0).await?;
            self.durable.lock().insert(folder.to_owned());
        }
        Ok(())
    }

    /// The same for a folder that should be there and is not.
    async fn make_again(&self, session: &Session, path: &str) -> Result<()> {
        self.durable.lock().clear();
        self.make(session, path).await
    }

    /// Has the server write the entries of a folder to disk. Not every server can, and none that
    /// refuses it fails the write: nothing else can be done from here.
    async fn flush(&self, session: &Session, path: &str) -> Result<()> {
        /// `FILE_ADD_FILE`, `FILE_ADD_SUBDIRECTORY`: a flush takes the right to change it.
        const ADD: u32 = FileAccessMask::FILE_WRITE_DATA | FileAccessMask::FILE_APPEND_DATA;
        if self.cannot_flush.load(Ordering::SeqCst) {
            return Ok(());
        }
        let tree = Some(session.tree.tree_id);
        let create = open_request(session, path, ADD, IS_FOLDER);
        let flush = FlushRequest { file_id: FileId::SENTINEL };
        // Nothing behind the flush: only the last request of a chain may take its time.
        let chain = [
            CompoundOp::new(Command::Create, &create, tree),
            CompoundOp::new(Command::Flush, &flush, tree),
        ];
        let mut answers = session.connection.execute_compound(&chain).await?.into_iter();
        let mut next = || answers.next().unwrap_or(Err(Error::Disconnected));
        let (created, flushed) = (next()?, next()?);
        let folder = match opened(&created) {
            Err(error) if is_no_flush(&error) => return self.do_without(),
            folder => folder?,
        };
        let _ = session.tree.close_handle(&mut session.connection.clone(), folder.file_id).await;
        match flushed.header.status {
            NtStatus::SUCCESS => Ok(()),
            status => match refused(status, Command::Flush) {
                error if is_no_flush(&error) => self.do_without(),
                error => Err(error),
            },
        }
    }

    fn do_without(&self) -> Result<()> {
        tracing::debug!("the server does not flush folders");
        self.cannot_flush.store(true, Ordering::SeqCst);
        Ok(())
    }
}

/// Whether a server says by this that it flushes no folders.
fn is_no_flush(error: &Error) -> bool {
    /// `STATUS_INVALID_HANDLE`.
    const INVALID_HANDLE: NtStatus = NtStatus(0xc000_0008);
    matches!(
        error.status(),
        Some(
            NtStatus::ACCESS_DENIED
                | NtStatus::INVALID_PARAMETER
                | NtStatus::INVALID_DEVICE_REQUEST
                | NtStatus::NOT_SUPPORTED
                | NtStatus::NOT_IMPLEMENTED
                | INVALID_HANDLE
        )
    )
}

async fn make_folder(session: &Session, path: &str) -> Result<()> {
    let mut connection = session.connection.clone();
    match session.tree.create_directory(&mut connection, path).await {
        // Whoever may not make it can still use it.
        Err(error)
            if matches!(
                error.status(),
                Some(NtStatus::OBJECT_NAME_COLLISION | NtStatus::ACCESS_DENIED)
            ) =>
        {
            match session.tree.stat(&mut connection, path).await {
                Ok(there) if there.is_directory => Ok(()),
                _ => Err(error),
            }
        }
        made => made,
    }
}
