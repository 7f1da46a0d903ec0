//! Reading: several requests on their way at once, because each waits for the network.

use std::io::SeekFrom;
use std::pin::Pin;

use bytes::BytesMut;
use futures_util::{StreamExt, TryStreamExt, stream};
use openssh_sftp_client::Error as SftpError;
use openssh_sftp_client::file::File;
use tokio::io::AsyncSeek;

use super::super::failure::{buffer, failure, too_long, too_short};
use super::super::throttle::{Direction, Transfer};
use super::pool::Lease;
use super::{AHEAD, Answer, PIECE, SftpStorage, meta};
use crate::error::{StorageError, StorageErrorKind};
use crate::storage::ObjectMeta;

impl SftpStorage {
    /// See [`Storage::head`](super::Storage::head).
    pub(super) async fn look(&self, lease: &Lease, name: &str) -> Result<ObjectMeta, StorageError> {
        let mut files = lease.sftp().fs();
        let metadata = self.answer(lease, "read", name, files.metadata(self.path(name))).await?;
        match metadata.file_type() {
            Some(kind) if !kind.is_file() => Err(self.no_file(name)),
            _ => Ok(meta(name, &metadata)),
        }
    }

    fn no_file(&self, name: &str) -> StorageError {
        let what = "it is not a file";
        failure(&self.location, "read", name, StorageErrorKind::Missing, what)
    }

    async fn open(&self, lease: &Lease, name: &str) -> Result<File, StorageError> {
        self.answer(lease, "read", name, lease.sftp().open(self.path(name))).await
    }

    /// See [`Storage::get`](super::Storage::get).
    pub(super) async fn load(
        &self,
        lease: &Lease,
        name: &str,
        len_max: u64,
    ) -> Result<Vec<u8>, StorageError> {
        let mut file = self.open(lease, name).await?;
        let metadata = self.answer(lease, "read", name, file.metadata()).await?;
        if metadata.file_type().is_some_and(|kind| !kind.is_file()) {
            return Err(self.no_file(name));
        }
        let len = metadata.len().unwrap_or(0);
        if len > len_max {
            return Err(too_long(&self.location, name, len, len_max));
        }
        let mut bytes = buffer(&self.location, name, len)?;
        bytes.resize(len as usize, 0);
        self.fill(lease, &file, name, 0, &mut bytes).await?;
        Ok(bytes)
    }

    /// See [`Storage::get_range`](super::Storage::get_range).
    pub(super) async fn load_range(
        &self,
        lease: &Lease,
        name: &str,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), StorageError> {
        let end = offset.saturating_add(buf.len() as u64);
        if buf.is_empty() || i64::try_from(end).is_err() {
            let len = self.look(lease, name).await?.len;
            return if end <= len { Ok(()) } else { Err(too_short(&self.location, name, end)) };
        }
        let file = self.open(lease, name).await?;
        match self.fill(lease, &file, name, offset, buf).await {
            // What a server says to reading a folder.
            Err(error) if error.kind == StorageErrorKind::Permanent => {
                self.look(lease, name).await.and(Err(error))
            }
            filled => filled,
        }
    }

    /// Fills `buf` with what lies at `offset`.
    async fn fill(
        &self,
        lease: &Lease,
        file: &File,
        name: &str,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), StorageError> {
        let transfer =
            self.pace.as_ref().map(|pace| pace.begin(Direction::Download, buf.len() as u64));
        let piece_len = transfer.as_ref().map_or(PIECE, |transfer| transfer.piece().min(PIECE));
        let pieces = buf.chunks_mut(piece_len.max(1)).enumerate().map(|(at, piece)| {
            let (file, transfer) = (file.clone(), transfer.as_ref());
            let offset = offset + (at * piece_len.max(1)) as u64;
            async move {
                self.pay("read", name, transfer, piece.len())?;
                if self.answer(lease, "read", name, read_at(file, offset, piece)).await? {
                    return Ok(());
                }
                Err(too_short(&self.location, name, offset + piece.len() as u64))
            }
        });
        stream::iter(pieces).buffered(AHEAD).try_collect::<()>().await
    }

    /// Waits until so many bytes more may move.
    pub(super) fn pay(
        &self,
        action: &'static str,
        name: &str,
        transfer: Option<&Transfer<'_>>,
        bytes: usize,
    ) -> Result<(), StorageError> {
        let Some(transfer) = transfer else { return Ok(()) };
        transfer.pass(bytes).map_err(|error| {
            failure(&self.location, action, name, super::super::failure::classify(&error), error)
        })
    }
}

/// Moves the place of the next request, which costs none.
pub(super) fn seek(file: &mut File, offset: u64) -> Answer<()> {
    Pin::new(file).start_seek(SeekFrom::Start(offset)).map_err(SftpError::from)
}

/// Fills `piece`, and says whether there was enough.
async fn read_at(mut file: File, offset: u64, piece: &mut [u8]) -> Answer<bool> {
    let mut filled = 0;
    while filled < piece.len() {
        seek(&mut file, offset + filled as u64)?;
        let wanted = u32::try_from(piece.len() - filled).unwrap_or(u32::MAX);
        let Some(read) = file.read(wanted, BytesMut::new()).await? else { return Ok(false) };
        // No server gives more than it was asked for; one that does is not believed.
        let len = read.len().min(piece.len() - filled);
        if len == 0 {
            return Ok(false);
        }
        piece[filled..filled + len].copy_from_slice(&read[..len]);
        filled += len;
    }
    Ok(true)
}
