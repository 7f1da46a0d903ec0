//! Reading objects and folders.

use std::time::UNIX_EPOCH;

use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use smb2::client::connection::{CompoundOp, Frame};
use smb2::client::stream::{FileReader, open_file_reader};
use smb2::msg::close::CloseRequest;
use smb2::msg::create::{
    CreateDisposition, CreateRequest, CreateResponse, ImpersonationLevel, ShareAccess,
};
use smb2::msg::read::{ReadRequest, ReadResponse, SMB2_CHANNEL_NONE};
use smb2::pack::{FileTime, ReadCursor, Unpack};
use smb2::types::flags::FileAccessMask;
use smb2::types::status::NtStatus;
use smb2::types::{Command, CreditCharge, FileId, OplockLevel};
use smb2::{DirectoryEntry, Error, Result};

use super::sessions::Session;

/// The most that is read by the request that opens the file.
pub(super) const ONE_READ: u64 = 256 << 10;

/// How much one request of a larger read asks for.
const PIECE: u64 = 1 << 20;

/// Requests of one read under way at once.
const PIECES_AT_ONCE: usize = 8;

/// How much a large read has under way at once.
pub(super) const WINDOW: u64 = PIECE * PIECES_AT_ONCE as u64;

/// Folders listed at once.
pub(super) const FOLDERS_AT_ONCE: usize = 8;

/// More entries than this in one folder are taken for a server that never ends.
const ENTRIES_MAX: usize = 10_000_000;

/// `FILE_DIRECTORY_FILE`, `FILE_NON_DIRECTORY_FILE`: what an open insists on.
pub(super) const IS_FOLDER: u32 = 0x01;
pub(super) const IS_FILE: u32 = 0x40;

/// A file, and what one request read of it.
pub(super) struct Opened {
    /// Its length.
    pub(super) len: u64,
    /// What was asked for, or less at its end.
    pub(super) bytes: Vec<u8>,
}

/// An open of something that exists, which keeps nobody else from anything.
pub(super) fn open_request(
    session: &Session,
    path: &str,
    access: u32,
    options: u32,
) -> CreateRequest {
    let all = ShareAccess::FILE_SHARE_READ
        | ShareAccess::FILE_SHARE_WRITE
        | ShareAccess::FILE_SHARE_DELETE;
    let access = access | FileAccessMask::FILE_READ_ATTRIBUTES | FileAccessMask::SYNCHRONIZE;
    CreateRequest {
        requested_oplock_level: OplockLevel::None,
        impersonation_level: ImpersonationLevel::Impersonation,
        desired_access: FileAccessMask::new(access),
        file_attributes: 0,
        share_access: ShareAccess(all),
        create_disposition: CreateDisposition::FileOpen,
        create_options: options,
        name: path_on_wire(session, path),
        create_contexts: Vec::new(),
    }
}

/// A path as servers read it; on shares of a name space it begins with server and share.
fn path_on_wire(session: &Session, path: &str) -> String {
    let (tree, path) = (&session.tree, smb2::encode_path(path));
    if !tree.is_dfs {
        return path;
    }
    let host = tree.server.rsplit_once(':').map_or(&*tree.server, |(host, _)| host);
    format!("{}\\{}\\{path}", host.trim_matches(['[', ']']), tree.share_name)
}

/// A request that failed as the server says.
pub(super) fn refused(status: NtStatus, command: Command) -> Error {
    Error::Protocol { status, command }
}

/// What a server answered to the open at the head of a chain.
pub(super) fn opened(frame: &Frame) -> Result<CreateResponse> {
    match frame.header.status {
        NtStatus::SUCCESS => CreateResponse::unpack(&mut ReadCursor::new(&frame.body)),
        status => Err(refused(status, Command::Create)),
    }
}

/// Reads up to `len` bytes at `offset` of a file: opens, reads and closes in one round trip.
/// `len` is at most [`ONE_READ`].
pub(super) async fn read_once(
    session: &Session,
    path: &str,
    offset: u64,
    len: u64,
) -> Result<Opened> {
    let connection = &session.connection;
    let tree = Some(session.tree.tree_id);
    let len_max = connection.params().map_or(1 << 16, |params| params.max_read_size);
    let len = u32::try_from(len.clamp(1, ONE_READ)).unwrap_or(1).min(len_max);
    let create = open_request(session, path, FileAccessMask::FILE_READ_DATA, IS_FILE);
    let read = ReadRequest {
        padding: 0x50,
        flags: 0,
        length: len,
        offset,
        file_id: FileId::SENTINEL,
        minimum_count: 0,
        channel: SMB2_CHANNEL_NONE,
        remaining_bytes: 0,
        read_channel_info: Vec::new(),
    };
    let close = CloseRequest { flags: 0, file_id: FileId::SENTINEL };
    let mut read_part = CompoundOp::new(Command::Read, &read, tree);
    // One credit for each 64 KiB.
    read_part.credit_charge = CreditCharge(u16::try_from(len.div_ceil(1 << 16)).unwrap_or(1));
    let chain = [
        CompoundOp::new(Command::Create, &create, tree),
        read_part,
        CompoundOp::new(Command::Close, &close, tree),
    ];
    let mut answers = connection.execute_compound(&chain).await?.into_iter();
    let mut next = || answers.next().unwrap_or(Err(Error::Disconnected));
    let (created, read, closed) = (next()?, next()?, next()?);
    let file = opened(&created)?;
    if closed.header.status != NtStatus::SUCCESS {
        // The failed read took the close with it.
        let _ = session.tree.close_handle(&mut connection.clone(), file.file_id).await;
    }
    let bytes = match read.header.status {
        NtStatus::SUCCESS => ReadResponse::unpack(&mut ReadCursor::new(&read.body))?.data,
        NtStatus::END_OF_FILE => Vec::new(),
        status => return Err(refused(status, Command::Read)),
    };
    if bytes.len() > len as usize {
        return Err(Error::invalid_data("the server sent more than was asked for"));
    }
    Ok(Opened { len: file.end_of_file, bytes })
}

/// Opens a file for reads of any length.
pub(super) async fn open(session: &Session, path: &str) -> Result<FileReader> {
    open_file_reader(session.tree.clone(), session.connection.clone(), path).await
}

/// Reads `len` bytes at `offset` by several requests at once, and hands them on in order. Fewer
/// come if the file is shorter.
pub(super) async fn read_window(
    reader: &FileReader,
    offset: u64,
    len: u64,
    mut take: impl FnMut(&[u8]),
) -> Result<()> {
    let pieces = super::super::share::windows(offset, len, PIECE);
    let mut pieces =
        stream::iter(pieces).map(|(from, len)| reader.read_at(from, len)).buffered(PIECES_AT_ONCE);
    while let Some(bytes) = pieces.try_next().await? {
        take(&bytes);
    }
    Ok(())
}

/// Lists several folders at once. One that is not there, or no folder, is empty.
pub(super) async fn list_folders(
    session: &Session,
    paths: &[String],
) -> Result<Vec<Vec<DirectoryEntry>>> {
    let lists = paths.iter().map(|path| list_folder(session, path));
    join_all(lists).await.into_iter().collect()
}

async fn list_folder(session: &Session, path: &str) -> Result<Vec<DirectoryEntry>> {
    let connection = session.connection.clone();
    let mut reader = match session.tree.open_directory_reader(connection, path).await {
        Err(error) if is_missing(&error) => return Ok(Vec::new()),
        reader => reader?,
    };
    let mut entries = Vec::new();
    loop {
        match reader.next_batch().await {
            Ok(Some(batch)) => entries.extend(batch),
            Ok(None) => return Ok(entries),
            // The top of an empty share has not even `.` and `..` on some servers.
            Err(error) if error.status() == Some(NtStatus::NO_SUCH_FILE) => return Ok(entries),
            Err(error) => return Err(error),
        }
        if entries.len() > ENTRIES_MAX {
            return Err(Error::invalid_data("a folder lists more than any repository has"));
        }
    }
}

/// Whether there is nothing of that name, or something else than was looked for.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(
        error.status(),
        Some(
            NtStatus::OBJECT_NAME_NOT_FOUND
                | NtStatus::OBJECT_PATH_NOT_FOUND
                | NtStatus::NO_SUCH_FILE
                | NtStatus::NOT_FOUND
                | NtStatus::NOT_A_DIRECTORY
                | NtStatus::FILE_IS_A_DIRECTORY
        )
    )
}

/// Milliseconds since 1970.
pub(super) fn milliseconds(time: FileTime) -> Option<i64> {
    let since = time.to_system_time()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}
