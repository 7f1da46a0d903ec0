//! How an object gets onto a share so that it stays there.
//!
//! 1. folders that are missing are made, and their parents flushed;
//! 2. the bytes go into a new file in `tmp/` of the same repository, which is flushed;
//! 3. the file is renamed to its final name in one step of the server. An object that must be
//!    created once gets that name by a hard link, and loses the other: a link refuses a taken name
//!    in the file system of the server, a rename only in the process of the server that looks;
//! 4. the folder that got the new name is flushed, where the server can.
//!
//! A flush is a request of its own (`FLUSH`), which servers answer when the bytes are on disk.
//! The server has to be set to mean it: `strict sync = yes`, the default of Samba since 4.7.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use smb2::client::connection::CompoundOp;
use smb2::client::stream::open_file_writer_exclusive;
use smb2::msg::close::CloseRequest;
use smb2::msg::flush::FlushRequest;
use smb2::msg::query_info::InfoType;
use smb2::msg::set_info::SetInfoRequest;
use smb2::types::flags::FileAccessMask;
use smb2::types::status::NtStatus;
use smb2::types::{Command, FileId};
use smb2::{Error, RenameOptions, Result};

use super::super::PutMode;
use super::super::name::{TMP_FOLDER, split_folder};
use super::super::share::{Fault, temporary_name};
use super::super::throttle::Transfer;
use super::super::waiting;
use super::read::{IS_FILE, IS_FOLDER, is_missing, milliseconds, open_request, opened, refused};
use super::sessions::Session;
use super::target::Target;
use crate::error::StorageErrorKind;

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
                waiting::is_alive();
                rest = later;
            }
        }
        whole(writer.finish().await?, len)
    }

    /// Gives the temporary file its final name. `false` if its temporary one is still there.
    async fn publish(&self, session: &Session, temporary: &str) -> Result<bool> {
        let path = self.target.path(self.name);
        match self.publish_as(session, temporary, &path).await {
            Err(error) if is_missing(&error) => {
                // Somebody removed the folder since.
                let folder = self.target.path(split_folder(self.name).0);
                self.folders.make_again(session, &folder).await?;
                self.publish_as(session, temporary, &path).await
            }
            // Some servers replace no file that somebody reads. One of that name and length is
            // the same object.
            Err(error)
                if self.mode == PutMode::Content
                    && error.status() == Some(NtStatus::ACCESS_DENIED) =>
            {
                let len: u64 = self.parts.iter().map(|part| part.len() as u64).sum();
                match session.tree.stat(&mut session.connection.clone(), &path).await {
                    Ok(there) if !there.is_directory && there.size == len => Ok(false),
                    looked => Err(unless_lost(error, looked)),
                }
            }
            published => published,
        }
    }

    async fn publish_as(&self, session: &Session, temporary: &str, path: &str) -> Result<bool> {
        let (tree, mut connection) = (&session.tree, session.connection.clone());
        let replaces = self.mode != PutMode::CreateOnce;
        if !replaces {
            match link(session, temporary, path).await {
                // A file system without links: whole, but of two at the same moment both may win.
                Err(error) if is_no_link(&error) => {}
                linked => return linked.map(|()| false),
            }
        }
        let options = RenameOptions::new().replace_if_exists(replaces);
        tree.rename_with(&mut connection, temporary, path, options).await.map(|()| true)
    }
}

/// Gives a file a further name, which must be free.
async fn link(session: &Session, file: &str, name: &str) -> Result<()> {
    /// `FileLinkInformation` (MS-FSCC, section 2.4.27).
    const LINK: u8 = 11;
    let tree = Some(session.tree.tree_id);
    let create = open_request(session, file, FileAccessMask::FILE_WRITE_ATTRIBUTES, IS_FILE);
    let name: Vec<u16> = smb2::encode_path(name).encode_utf16().collect();
    let len = u32::try_from(name.len() * 2).unwrap_or(u32::MAX);
    // Does not replace, 7 bytes of nothing, no folder to begin from, length, name.
    let mut buffer = vec![0; 16];
    buffer.extend_from_slice(&len.to_le_bytes());
    buffer.extend(name.iter().flat_map(|unit| unit.to_le_bytes()));
    let link = SetInfoRequest {
        info_type: InfoType::File,
        file_info_class: LINK,
        additional_information: 0,
        file_id: FileId::SENTINEL,
        buffer,
    };
    let close = CloseRequest { flags: 0, file_id: FileId::SENTINEL };
    let chain = [
        CompoundOp::new(Command::Create, &create, tree),
        CompoundOp::new(Command::SetInfo, &link, tree),
        CompoundOp::new(Command::Close, &close, tree),
    ];
    let mut answers = session.connection.execute_compound(&chain).await?.into_iter();
    let mut next = || answers.next().unwrap_or(Err(Error::Disconnected));
    let (created, linked, closed) = (next()?, next()?, next()?);
    let file = opened(&created)?;
    if closed.header.status != NtStatus::SUCCESS {
        // What was refused took the close with it.
        let _ = session.tree.close_handle(&mut session.connection.clone(), file.file_id).await;
    }
    match linked.header.status {
        NtStatus::SUCCESS => Ok(()),
        status => Err(refused(status, Command::SetInfo)),
    }
}

/// Whether a server says by this that its file system has no hard links.
fn is_no_link(error: &Error) -> bool {
    let Error::Protocol { status, command: Command::SetInfo } = error else { return false };
    matches!(
        *status,
        NtStatus::NOT_SUPPORTED
            | NtStatus::NOT_IMPLEMENTED
            | NtStatus::INVALID_DEVICE_REQUEST
            | NtStatus::INVALID_INFO_CLASS
            | NtStatus::INVALID_PARAMETER
            | NtStatus::ACCESS_DENIED
    )
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

/// What was refused, unless the look at the reason got no answer: that says nothing and passes.
fn unless_lost<T>(refused: Error, looked: Result<T>) -> Error {
    match looked {
        Err(lost) if lost.status().is_none() => lost,
        _ => refused,
    }
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
                looked => Err(unless_lost(error, looked)),
            }
        }
        made => made,
    }
}

/// Removes what writes that never finished left behind more than `age` ago, by the clock of the
/// server. Returns how many files that were.
pub(super) async fn clean(
    session: &Session,
    target: &Target,
    age: Duration,
) -> std::result::Result<u64, Fault> {
    let (tree, mut connection) = (&session.tree, session.connection.clone());
    let tmp = target.path(TMP_FOLDER);
    let entries = match tree.list_directory(&mut connection, &tmp).await {
        Err(error) if is_missing(&error) => return Ok(0),
        entries => entries?,
    };
    // A file made now has the time of the server, which the clock of this machine may not share.
    let probe = format!("{tmp}/{}", temporary_name()?);
    tree.write_file_compound_exclusive(&mut connection, &probe, b"").await?;
    let made = tree.stat(&mut connection, &probe).await;
    tree.delete_file(&mut connection, &probe).await?;
    let Some(now_ms) = milliseconds(made?.modified) else {
        return Err(Fault::new(StorageErrorKind::Permanent, "the server has no clock"));
    };
    let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    let is_old = |time| milliseconds(time).is_some_and(|ms| ms.saturating_add(age_ms) <= now_ms);
    let mut removed = 0;
    for entry in entries.iter().filter(|entry| !entry.is_directory && is_old(entry.modified)) {
        match tree.delete_file(&mut connection, &format!("{tmp}/{}", entry.name)).await {
            Err(error) if is_missing(&error) => {}
            deleted => {
                deleted?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection ended between "there is something of that name" and the look at what it is:
    /// a folder that was there was taken for a file then, and a run ended.
    #[test]
    fn a_look_without_an_answer_says_nothing() {
        let status = NtStatus::OBJECT_NAME_COLLISION;
        let refused = || Error::Protocol { status, command: Command::Create };
        let lost = unless_lost(refused(), Err::<(), _>(Error::Disconnected));
        assert!(matches!(lost, Error::Disconnected), "{lost}");
        assert_eq!(unless_lost(refused(), Err::<(), _>(refused())).status(), Some(status));
        assert_eq!(unless_lost(refused(), Ok(())).status(), Some(status));
    }
}
