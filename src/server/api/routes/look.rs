//! What is shown as it is: pictures of backups, and the page of the recovery kit.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::download::{describe, pieces, read};
use super::tree::find;
use crate::manager::disaster::{Kit, KitOptions};
use crate::model::FileKind;
use crate::runtime::Runtime;
use crate::server::api::extract::{Path, Query};
use crate::server::api::page::backup_id;
use crate::server::api::problem::Problem;
use crate::server::api::state::ApiState;
use crate::tree::parse_path;

/// Larger pictures are for downloads.
const PICTURE_MAX: u64 = 20 << 20;

/// Which file.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Its path, from `/` on; bytes that are no text as `%XX`.
    path: String,
}

/// What kind of picture begins like this: what it is called says nothing.
fn picture_kind(begin: &[u8]) -> Option<&'static str> {
    match begin {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        _ => None,
    }
}

/// A picture of a backup, to be shown
///
/// PNG, JPEG, GIF and WebP of 20 MiB at most, found out by how they begin.
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/backups/{backup}/preview",
    tag = "files",
    params(("repository" = String, Path, description = "Its name"),
        ("backup" = String, Path, description = "Its id"), Which),
    responses((status = 200, description = "The picture", content(
        (Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/gif"),
        (Vec<u8> = "image/webp")))))]
pub(super) async fn preview(
    State(state): State<ApiState>,
    Path((name, backup)): Path<(String, String)>,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let id = backup_id(&backup)?;
    let path = parse_path(which.path.as_bytes())?;
    let file_name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
    let no_picture = || {
        let text = "it is no PNG, JPEG, GIF or WebP of 20 MiB at most";
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "no_preview", text)
            .hint("download it from `.../file`")
    };
    let open = state.ask_site(name, move |shelf| {
        let view = shelf.view()?;
        let found = find(shelf, &view, id, &path)?;
        match found.kind == FileKind::File && found.size <= PICTURE_MAX {
            true => Ok(view.open_file(found.node)?),
            false => Err(no_picture()),
        }
    });
    let open = Arc::new(open.await?);
    let whole = 0..open.size();
    let first = read(&state, &open, &whole).await?;
    let kind = picture_kind(&first).ok_or_else(no_picture)?;
    let mut answer = StatusCode::OK.into_response();
    // Even a picture that is more than that runs nothing.
    describe(answer.headers_mut(), kind, &file_name);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("inline"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.end));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    *answer.body_mut() = Body::from_stream(pieces(state, open, first, whole));
    Ok(answer)
}

/// A kind of page.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum PageKind {
    /// To be printed.
    Html,
    /// Plain text.
    Text,
}

/// As what the kit comes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct KitPage {
    /// The kind of page.
    format: PageKind,
}

/// The recovery kit, with a line for the recovery code
///
/// The code of the kit that there is stays good: it is written in by hand. A new code is made by
/// `larder kit` alone, which withdraws the old one only when the new kit is safely stored; over
/// HTTP nobody knows whether it is.
#[utoipa::path(get, path = "/api/v1/repositories/{repository}/kit", tag = "repositories",
    params(("repository" = String, Path, description = "Its name"), KitPage),
    responses((status = 200, description = "The page", content(
        (Vec<u8> = "text/html"), (Vec<u8> = "text/plain")))))]
pub(super) async fn kit(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Query(page): Query<KitPage>,
) -> Result<Response, Problem> {
    let kit = state.ask_site(name, |shelf| {
        let options = KitOptions { keep_code: true, ..KitOptions::default() };
        let repository = shelf.open().manager.repository();
        Ok(Kit::without_code(repository, &options, &Runtime::default())?)
    });
    let kit = kit.await?;
    let (text, kind, file_name) = match page.format {
        PageKind::Html => (kit.html(), "text/html; charset=utf-8", "larder-recovery-kit.html"),
        PageKind::Text => (kit.text(), "text/plain; charset=utf-8", "larder-recovery-kit.txt"),
    };
    let mut answer = text.as_bytes().to_vec().into_response();
    describe(answer.headers_mut(), kind, file_name.as_bytes());
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_known_by_how_they_begin() {
        assert_eq!(picture_kind(b"\x89PNG\r\n\x1a\nrest"), Some("image/png"));
        assert_eq!(picture_kind(&[0xff, 0xd8, 0xff, 0xe0]), Some("image/jpeg"));
        assert_eq!(picture_kind(b"GIF89a"), Some("image/gif"));
        assert_eq!(picture_kind(b"RIFF\x10\0\0\0WEBPVP8 "), Some("image/webp"));
        for none in [&b""[..], b"<svg xmlns=", b"<html>", b"RIFF\x10\0\0\0WAVE", b"GIF8"] {
            assert_eq!(picture_kind(none), None);
        }
    }
}
