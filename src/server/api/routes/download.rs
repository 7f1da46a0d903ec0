//! Files of backups as they were, whole or in part.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use utoipa::IntoParams;

use super::tree::find;
use crate::error::Error;
use crate::model::{BackupId, FileKind};
use crate::server::api::extract::{Path, Query};
use crate::server::api::page::backup_id;
use crate::server::api::problem::Problem;
use crate::server::api::state::ApiState;
use crate::tree::parse_path;
use crate::view::OpenFile;

/// Bytes that are read and sent at once.
const PIECE: u32 = 512 << 10;

/// Which file.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Its path, from `/` on; bytes that are no text as `%XX`.
    path: String,
}

/// A file of a backup
///
/// Takes `Range` (one range of bytes), `If-None-Match` and `If-Range`. If a part of it cannot be
/// read, the answer is broken off there.
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/backups/{backup}/file",
    tag = "files",
    params(("repository" = String, Path, description = "Its name"),
        ("backup" = String, Path, description = "Its id"), Which),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = 206, content_type = "application/octet-stream", body = Vec<u8>,
            description = "The part that was asked for"),
        (status = 304, description = "It is what the client has")))]
pub(super) async fn file(
    State(state): State<ApiState>,
    Path((name, backup)): Path<(String, String)>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = backup_id(&backup)?;
    let path = parse_path(which.path.as_bytes())?;
    let (tag, file_name) = (etag(id, &path), path.clone());
    let open = state.ask_site(name, move |shelf| {
        let view = shelf.view()?;
        let found = find(shelf, &view, id, &path)?;
        if found.kind != FileKind::File {
            return Err(Error::usage_hint(
                format!("it is a {}, not a file", found.kind.as_str()),
                "a folder comes as an archive from `.../archive`",
            )
            .into());
        }
        Ok(view.open_file(found.node)?)
    });
    let open = Arc::new(open.await?);
    let given = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if given(header::IF_NONE_MATCH).is_some_and(|tags| tags == "*" || tags.contains(&tag)) {
        let headers = [(header::ETAG, tag)];
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let size = open.size();
    let is_same = given(header::IF_RANGE).is_none_or(|known| known == tag);
    let range =
        given(header::RANGE).filter(|_| is_same).map_or(Ok(None), |text| ranged(text, size));
    let Ok(range) = range else {
        let problem = Problem::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "range",
            format!("the file has {size} bytes"),
        );
        let headers = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
        return Ok((headers, problem).into_response());
    };
    let wanted = range.clone().unwrap_or(0..size);
    // Damage at the beginning is a problem that says so, and no answer that is broken off.
    let first = read(&state, &open, &wanted).await?;
    let mut answer = match &range {
        Some(range) => {
            let shown = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
            (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, shown)]).into_response()
        }
        None => StatusCode::OK.into_response(),
    };
    let name = file_name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    describe(answer.headers_mut(), "application/octet-stream", name);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(wanted.end - wanted.start));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // What is in a backup never changes; whether one may still see it is asked each time.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    *answer.body_mut() = Body::from_stream(pieces(state, open, first, wanted));
    Ok(answer)
}

/// The first bytes of a range; none if it is empty.
pub(super) async fn read(
    state: &ApiState,
    file: &Arc<OpenFile>,
    range: &Range<u64>,
) -> Result<Bytes, Problem> {
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    if *state.stopping().borrow() {
        return Err(Problem::busy("the server is about to end"));
    }
    let (file, start) = (Arc::clone(file), range.start);
    let len = u32::try_from(range.end - range.start).unwrap_or(PIECE).min(PIECE);
    let read = state.ask(move |_| Ok(file.read(start, len)?)).await?;
    match read.is_empty() {
        // An end that comes too early must not look like the whole file.
        true => Err(Problem::internal("the file ends too early")),
        false => Ok(read),
    }
}

/// The bytes of a range, of which `first` was read, one piece after the other as the client takes
/// them.
pub(super) fn pieces(
    state: ApiState,
    file: Arc<OpenFile>,
    first: Bytes,
    range: Range<u64>,
) -> impl Stream<Item = Result<Bytes, Problem>> {
    let begin = (state, file, Some(first), range);
    stream::try_unfold(begin, |(state, file, first, range)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let piece = match first {
            Some(first) => first,
            None => read(&state, &file, &range).await?,
        };
        let start = range.start + piece.len() as u64;
        Ok(Some((piece, (state, file, None, start..range.end))))
    })
}

/// What is in a backup is named by the backup and the path.
fn etag(id: BackupId, path: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(id.as_bytes());
    hasher.update(path);
    format!("\"{}\"", &hasher.finalize().to_hex()[..32])
}

/// The one range of bytes that is asked for; none if the header says something else, which means
/// the whole.
///
/// # Errors
/// If no byte of it is there.
fn ranged(text: &str, size: u64) -> Result<Option<Range<u64>>, ()> {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|text| text.split_once('-'))
    else {
        return Ok(None);
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = match (first.trim().is_empty(), last.trim().is_empty()) {
        (false, true) => number(first).map(|first| first..size),
        (false, false) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => {
                Some(first..size.min(last.saturating_add(1)))
            }
            _ => None,
        },
        (true, false) => number(last).map(|count| size.saturating_sub(count)..size),
        (true, true) => None,
    };
    match range {
        Some(range) if range.start >= range.end => Err(()),
        range => Ok(range),
    }
}

/// The headers of a download: it is saved, never shown as a page of this server.
pub(super) fn describe(headers: &mut HeaderMap, kind: &'static str, name: &[u8]) {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let plain: String =
        name.iter().map(|b| if is_plain(*b) { char::from(*b) } else { '_' }).collect();
    let text = String::from_utf8_lossy(name);
    let encode = |b: u8| match is_plain(b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02X}"),
    };
    let encoded: String = text.bytes().map(encode).collect();
    let disposition = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Even if somebody opens it in a browser, nothing in it runs.
    let policy = HeaderValue::from_static("sandbox; default-src 'none'");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_means_them() {
        assert_eq!(ranged("bytes=0-3", 10), Ok(Some(0..4)));
        assert_eq!(ranged("bytes=4-", 10), Ok(Some(4..10)));
        assert_eq!(ranged("bytes=-3", 10), Ok(Some(7..10)));
        assert_eq!(ranged("bytes=-30", 10), Ok(Some(0..10)));
        assert_eq!(ranged("bytes=5-99", 10), Ok(Some(5..10)));
        assert_eq!(ranged("bytes=10-", 10), Err(()));
        assert_eq!(ranged("bytes=-0", 10), Err(()));
        for whole in ["bytes=", "bytes=3-1", "bytes=a-b", "items=0-1", "bytes=0-1,3-4"] {
            assert_eq!(ranged(whole, 10), Ok(None), "{whole}");
        }
        assert_eq!(ranged("bytes=0-18446744073709551615", 10), Ok(Some(0..10)));
    }
}
