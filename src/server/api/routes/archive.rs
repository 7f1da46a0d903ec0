//! Folders of backups as archives, made while they are sent.

use std::io::{self, Write};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use utoipa::{IntoParams, ToSchema};

use super::download::describe;
use super::tree::find;
use crate::error::Error;
use crate::manager::{ExportFormat, ExportRequest, export_name, export_to};
use crate::runtime::{CancelToken, Runtime};
use crate::server::api::extract::{Path, Query};
use crate::server::api::page::backup_id;
use crate::server::api::problem::Problem;
use crate::server::api::state::ApiState;
use crate::tree::parse_path;

/// Bytes of an archive that are handed on at once.
const PIECE: usize = 128 << 10;
/// Pieces that wait for a slow client; then making the archive waits.
const WAITING: usize = 8;

/// Which kind of archive.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
pub(super) enum Format {
    /// Every system opens it; without hard links, extended attributes and devices.
    #[serde(rename = "zip")]
    Zip,
    /// Compressed by zstd; with everything but sockets.
    #[serde(rename = "tar.zst")]
    TarZst,
}

/// Which folder, and as what.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// The folder or file, from `/` on; all of the backup if there is none.
    path: Option<String>,
    /// The kind of archive.
    format: Format,
}

/// A folder of a backup as an archive
///
/// It is made while it is sent. If something in it cannot be read, the answer is broken off: an
/// archive that came to its end is whole.
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/backups/{backup}/archive",
    tag = "files",
    params(("repository" = String, Path, description = "Its name"),
        ("backup" = String, Path, description = "Its id"), Which),
    responses((status = 200, description = "The archive", content(
        (Vec<u8> = "application/zip"), (Vec<u8> = "application/zstd")))))]
pub(super) async fn archive(
    State(state): State<ApiState>,
    Path((name, backup)): Path<(String, String)>,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let id = backup_id(&backup)?;
    let subtree = parse_path(which.path.unwrap_or_default().as_bytes())?;
    let (format, kind) = match which.format {
        Format::Zip => (ExportFormat::Zip, "application/zip"),
        Format::TarZst => (ExportFormat::TarZst, "application/zstd"),
    };
    let turn = state.archive_turn().await?;
    let (folder, stopping) = (subtree.clone(), state.stopping());
    let start = state.ask_site(name, move |shelf| {
        // Whether it is there is found out before the answer begins.
        find(shelf, &*shelf.view()?, id, &folder)?;
        let snapshot = shelf.manager().snapshot(id)?;
        let file_name = export_name(&snapshot, format);
        let repository = shelf.open().manager.shared_repository();
        let (pieces, answer) = mpsc::channel::<Piece>(WAITING);
        let cancel = CancelToken::default();
        let runtime = Runtime { cancel: cancel.clone(), ..Runtime::default() };
        let request = ExportRequest { subtree: folder, runtime, ..ExportRequest::new(id, format) };
        let work = move || {
            let _turn = turn;
            let mut out = Out { pieces, buffer: Vec::with_capacity(PIECE), stopping, cancel };
            let done = export_to(&repository, &snapshot, &request, &mut out);
            let end = match done {
                Ok(report) if report.failed == 0 => return out.finish(),
                Ok(report) => format!("{} entries could not be read whole", report.failed),
                Err(error) => error.in_full(),
            };
            tracing::warn!("an archive of {} was broken off: {end}", id.short());
            let _ = out.pieces.blocking_send(Err(io::Error::other(end)));
        };
        let thread = std::thread::Builder::new().name("archive".into()).spawn(work);
        thread.map_err(|error| Error::local("start", "a thread for an archive", error))?;
        Ok((answer, file_name))
    });
    let (answer, file_name) = start.await?;
    let body = stream::try_unfold(answer, |mut answer| async move {
        match answer.recv().await {
            Some(Ok(piece)) => Ok(piece.map(|piece| (piece, answer))),
            Some(Err(error)) => Err(error),
            // Whoever made it is gone without a word.
            None => Err(io::Error::other("the archive was broken off")),
        }
    });
    let mut response = Body::from_stream(body).into_response();
    describe(response.headers_mut(), kind, file_name.as_bytes());
    let private = HeaderValue::from_static("private, no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, private);
    Ok(response)
}

/// A piece of an archive, or none at its end.
type Piece = io::Result<Option<Bytes>>;

/// What an archive is written into: pieces for the client, who may be slow or gone.
struct Out {
    pieces: mpsc::Sender<Piece>,
    buffer: Vec<u8>,
    stopping: watch::Receiver<bool>,
    cancel: CancelToken,
}

impl Out {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE));
        if piece.is_empty() {
            return Ok(());
        }
        if !*self.stopping.borrow() && self.pieces.blocking_send(Ok(Some(piece.into()))).is_ok() {
            return Ok(());
        }
        // Nobody takes it any more: what is left must not be read.
        self.cancel.cancel();
        Err(io::ErrorKind::BrokenPipe.into())
    }

    /// Says that it is whole.
    fn finish(mut self) {
        if self.send().is_ok() {
            let _ = self.pieces.blocking_send(Ok(None));
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    /// The end of an entry is no reason for a small piece.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
