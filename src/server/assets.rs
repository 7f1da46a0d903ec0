//! The web interface: pages that are in the program itself.
//!
//! In debug builds they are read from the folder `web`, so that what is changed there needs no
//! build. What a page may do in a browser is said here once, for all of them: only what comes from
//! this server, and nothing written into the page itself.

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

/// What pages may do: no script and no style but those of files, no other server, in no frame.
/// `blob:` is for previews of images, which the page itself asked for.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' blob: data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; \
    form-action 'self'";

/// The page that all others are part of.
const PAGE: &str = "index.html";

/// What belongs to programs: nothing below is ever a page.
const OF_PROGRAMS: &[&str] = &["api", "metrics", "healthz"];

/// The files of the interface.
#[derive(RustEmbed)]
#[folder = "web/"]
struct Files;

/// The same router, and the web interface wherever that is what a browser asks for.
pub fn with_pages(router: Router) -> Router {
    router.layer(middleware::from_fn(answer))
}

async fn answer(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD)
        && let Some((path, file)) = find(request.uri().path(), request.headers())
    {
        return show(&path, &file, request.headers());
    }
    next.run(request).await
}

/// The file of this path; the page itself for addresses that it makes up, of which only the
/// browser knows what they show.
fn find(path: &str, headers: &HeaderMap) -> Option<(String, EmbeddedFile)> {
    let path = path.trim_start_matches('/');
    if OF_PROGRAMS.contains(&path.split('/').next().unwrap_or_default()) {
        return None;
    }
    if let Some(file) = Files::get(path) {
        return Some((path.to_owned(), file));
    }
    let accepts = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_page = path.is_empty() || accepts.contains("text/html");
    is_page.then(|| Files::get(PAGE)).flatten().map(|file| (PAGE.to_owned(), file))
}

fn show(path: &str, file: &EmbeddedFile, asked: &HeaderMap) -> Response {
    let tag = tag(file);
    let is_known = asked
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == tag || known.trim() == "*");
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => file.data.to_vec().into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // Kept, and asked for each time whether it is still so: a new program has new pages.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}

fn tag(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let digits: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn browser() -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("text/html,*/*;q=0.8"))])
    }

    fn path_of(path: &str, headers: &HeaderMap) -> Option<String> {
        find(path, headers).map(|found| found.0)
    }

    #[test]
    fn every_address_is_a_page_for_browsers_but_those_of_programs() {
        for path in ["/", "/activity", "/r/home/backups/4f1c", "/settings/no.such"] {
            assert_eq!(path_of(path, &browser()).as_deref(), Some(PAGE), "{path}");
        }
        let entry = path_of("/backup_ui.js", &HeaderMap::new());
        assert_eq!(entry.as_deref(), Some("backup_ui.js"));
        for path in ["/api/v1/session", "/api", "/metrics", "/healthz"] {
            assert_eq!(path_of(path, &browser()), None, "{path}");
        }
        // A script that is not there is no page.
        assert_eq!(path_of("/views/none.js", &HeaderMap::new()), None);
        // Nothing beside the folder is shown.
        for path in ["/../Cargo.toml", "/../src/main.rs", "//etc/passwd"] {
            assert_eq!(path_of(path, &HeaderMap::new()), None, "{path}");
        }
    }

    #[test]
    fn what_is_known_is_not_sent_again_and_nothing_else_may_run() {
        let (path, file) = find("/", &browser()).expect("a page");
        let first = show(&path, &file, &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let policy = first.headers()[CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
        let tag = first.headers()[ETAG].clone();
        let again = show(&path, &file, &HeaderMap::from_iter([(IF_NONE_MATCH, tag)]));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let other = HeaderValue::from_static("\"other\"");
        let other = show(&path, &file, &HeaderMap::from_iter([(IF_NONE_MATCH, other)]));
        assert_eq!(other.status(), StatusCode::OK);
    }
}
